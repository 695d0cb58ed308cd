//! The names of files and directories: as they are, as a crash leaves them for certain, and what happened
//! to them in between.
//!
//! Invariants: a change (a creation, removal, renaming) survives as a whole or not at all. It is durable
//! once every directory that it touches has been synced. Of changes to the same name a later one
//! survives only with the earlier ones; all others survive in any combination.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

/// A file or directory, whatever its names.
pub(super) type Node = u64;

/// The directory that everything is in.
pub(super) const ROOT: Node = 0;

type Entries = BTreeMap<(Node, OsString), Node>;

#[derive(Debug, Clone)]
struct Change {
    sequence: u64,
    entries: Vec<((Node, OsString), Option<Node>)>,
    unsynced: BTreeSet<Node>,
}

impl Change {
    fn touches_what_it_touches(&self, other: &Change) -> bool {
        self.entries.iter().any(|(one, _)| other.entries.iter().any(|(name, _)| one == name))
    }

    fn apply(&self, entries: &mut Entries) {
        for (name, node) in &self.entries {
            match node {
                Some(node) => entries.insert(name.clone(), *node),
                None => entries.remove(name),
            };
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    current: Entries,
    durable: Entries,
    changes: Vec<Change>,
}

/// A path's last name, and the directory that it is in.
pub(super) type Place = (Node, OsString);

impl Names {
    /// Of what a crash has left.
    pub(super) fn of(entries: Entries) -> Names {
        Names { current: entries.clone(), durable: entries, changes: Vec::new() }
    }

    /// What a path names.
    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let mut node = ROOT;
        for component in path.components() {
            if let Some(name) = name(component)? {
                node = self.get(&(node, name.to_owned())).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(node)
    }

    /// The directory and the last name of a path.
    pub(super) fn place(&self, path: &Path) -> io::Result<Place> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Ok((self.find(directory)?, name.to_owned()))
    }

    pub(super) fn get(&self, place: &Place) -> Option<Node> {
        self.current.get(place).copied()
    }

    /// Whether the node has a name at the moment.
    pub(super) fn names(&self, node: Node) -> bool {
        self.current.values().any(|named| *named == node)
    }

    /// The entries of a directory.
    pub(super) fn list(&self, directory: Node) -> impl Iterator<Item = (&OsString, Node)> {
        let from = (directory, OsString::new());
        let entries = self.current.range(from..).take_while(move |((of, _), _)| *of == directory);
        entries.map(|((_, name), node)| (name, *node))
    }

    /// Changes entries in one step.
    pub(super) fn change(&mut self, sequence: u64, entries: Vec<(Place, Option<Node>)>) {
        let unsynced = entries.iter().map(|((directory, _), _)| *directory).collect();
        let change = Change { sequence, entries, unsynced };
        change.apply(&mut self.current);
        self.changes.push(change);
    }

    /// Makes durable what needed only this directory's sync, and what that builds on.
    pub(super) fn sync(&mut self, directory: Node) {
        for change in &mut self.changes {
            change.unsynced.remove(&directory);
        }
        let kept = self.with_predecessors(|change| change.unsynced.is_empty());
        let mut kept = kept.into_iter();
        let durable = &mut self.durable;
        self.changes.retain(|change| {
            let done = kept.next().unwrap_or(false);
            if done {
                change.apply(durable);
            }
            !done
        });
    }

    /// A sync of this directory that fails: what it waited for will never be durable, though it still shows.
    pub(super) fn lose(&mut self, directory: Node) {
        self.changes.retain(|change| !change.unsynced.contains(&directory));
    }

    /// What a crash leaves; `keep` is asked for each change by its sequence number.
    pub(super) fn survivor(&self, mut keep: impl FnMut(u64) -> bool) -> Entries {
        let kept = self.with_predecessors(|change| keep(change.sequence));
        let mut entries = self.durable.clone();
        for (change, _) in self.changes.iter().zip(kept).filter(|(_, kept)| *kept) {
            change.apply(&mut entries);
        }
        entries
    }

    fn with_predecessors(&self, keep: impl FnMut(&Change) -> bool) -> Vec<bool> {
        let mut kept: Vec<bool> = self.changes.iter().map(keep).collect();
        for later in (0..kept.len()).rev() {
            if kept[later] {
                let earlier = kept.iter_mut().zip(&self.changes).take(later);
                for (kept, change) in earlier {
                    *kept |= change.touches_what_it_touches(&self.changes[later]);
                }
            }
        }
        kept
    }

    /// Whether a crash leaves these very names.
    pub(super) fn is_durable(&self) -> bool {
        self.changes.is_empty() && self.current == self.durable
    }

    /// Every node that has a name, had one when the directory was last synced, or may get one by a crash.
    pub(super) fn nodes(&self) -> BTreeSet<Node> {
        let changed = self.changes.iter().flat_map(|change| &change.entries);
        let changed = changed.filter_map(|(_, node)| *node);
        self.current.values().chain(self.durable.values()).copied().chain(changed).collect()
    }
}

/// The name that a path's component is, if any; there is no way up.
fn name(component: Component<'_>) -> io::Result<Option<&OsStr>> {
    match component {
        Component::Normal(name) => Ok(Some(name)),
        Component::RootDir | Component::CurDir => Ok(None),
        Component::ParentDir | Component::Prefix(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}
