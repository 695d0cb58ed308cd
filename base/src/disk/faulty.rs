//! A disk in memory that loses what was not synced, and fails where it is told to.
//!
//! It is for tests. A test runs a workload on it and counts the calls; then, for each call, it runs the
//! workload again and has the power fail in that call ([`FaultyDisk::crash_at`]), looks at what may be
//! left ([`FaultyDisk::after_crash`], any number of times, by seed), and demands that what was acknowledged
//! is there. And it has each kind of call fail ([`FaultyDisk::inject`], by [`FaultyDisk::sites`] and
//! [`fault::TABLE`]).
//!
//! - Bytes that were not synced survive sector by sector ([`SECTOR`] bytes), in any combination of old, new and in
//!   between: kept, dropped, torn, reordered (`content.rs`).
//! - Names that were not synced by their directory survive or do not (`names.rs`). A file's own sync says nothing of
//!   its name.
//! - After a sync that failed, what it was to make durable is lost, though reads may still show it and later
//!   syncs succeed, as on Linux.
//!
//! Invariant: the same calls in the same order with the same seeds give the same bytes and errors.

mod content;
pub mod fault;
mod file;
mod names;
mod survival;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use fastrand::Rng;

use content::Content;
pub use content::SECTOR;
pub use fault::{Fault, FaultKind, Lasting, Operation, Site};
use file::FaultyFile;
use names::{Names, Node, ROOT};
use survival::Survival;

use super::{Creation, DirectoryEntry, Disk, DiskFile, Opening, WritableFile, resume};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The disk; see the module. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    names: Names,
    /// The files; a node that is none of them is a directory.
    files: BTreeMap<Node, Content>,
    open: BTreeMap<Node, usize>,
    /// Which open file has a file's advisory lock.
    locks: BTreeMap<Node, u64>,
    files_opened: u64,
    next_node: Node,
    /// Number of the latest change.
    sequence: u64,
    random: Rng,
    sites: BTreeMap<Site, u64>,
    changing_calls: u64,
    crash_at: Option<u64>,
    crashed: bool,
    faults: Vec<Fault>,
    faults_made: u64,
    /// Sites whose syncs do nothing.
    left_out: BTreeSet<Site>,
    observer: Option<Observer>,
}

/// Told of each call.
struct Observer(Box<Observe>);

type Observe = dyn FnMut(&Site, u64) + Send;

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Observer")
    }
}

/// How a call is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Well,
    /// The power fails when it is under way.
    Crash,
    Fault(FaultKind),
}

impl FaultyDisk {
    /// An empty disk. `seed` decides how much of a failing write is written, and what a failing sync loses.
    pub fn new(seed: u64) -> FaultyDisk {
        FaultyDisk::of(Names::default(), BTreeMap::new(), ROOT + 1, seed)
    }

    fn of(names: Names, files: BTreeMap<Node, Content>, next_node: Node, seed: u64) -> FaultyDisk {
        let state = State {
            names,
            files,
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
            files_opened: 0,
            next_node,
            sequence: 0,
            random: Rng::with_seed(seed),
            sites: BTreeMap::new(),
            changing_calls: 0,
            crash_at: None,
            crashed: false,
            faults: Vec::new(),
            faults_made: 0,
            left_out: BTreeSet::new(),
            observer: None,
        };
        FaultyDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls have been made that change something: the places where the power may fail.
    pub fn changing_calls(&self) -> u64 {
        self.state().changing_calls
    }

    /// How many calls have been made, by site.
    pub fn sites(&self) -> BTreeMap<Site, u64> {
        self.state().sites.clone()
    }

    /// Has the power fail in the changing call of this number, counted from 1 since the disk was made. That
    /// call and all later ones are errors. What that call does may survive or not, like all that was not synced.
    pub fn crash_at(&self, call: u64) {
        self.state().crash_at = Some(call);
    }

    /// Has the power fail now.
    pub fn crash(&self) {
        self.state().crashed = true;
    }

    /// Whether the power has failed.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// A disk with what the power's failing now would leave of this one. With seed 0 nothing survives that
    /// was not synced, with 1 everything does; other seeds draw. The new disk has no faults planned and counts
    /// from 0.
    pub fn after_crash(&self, seed: u64) -> FaultyDisk {
        let state = self.state();
        let mut survival = Survival::of_seed(seed, state.sequence);
        let entries = state.names.survivor(|sequence| survival.keeps_name(sequence));
        let mut files = BTreeMap::new();
        let named: BTreeSet<Node> = entries.values().copied().collect();
        for (node, content) in state.files.iter().filter(|(node, _)| named.contains(node)) {
            survival.begin_file();
            let bytes = content.survivor(&mut |sequences| survival.choose(sequences));
            files.insert(*node, Content::of(bytes));
        }
        FaultyDisk::of(Names::of(entries), files, state.next_node, seed)
    }

    /// Plans a fault.
    ///
    /// # Panics
    /// If the fault does not happen to the site's operation, by [`fault::TABLE`].
    pub fn inject(&self, fault: Fault) {
        assert!(fault.kind.happens_to(fault.site.operation), "{fault:?} is not in the table");
        self.state().faults.push(fault);
    }

    /// Forgets all faults that are planned.
    pub fn clear_faults(&self) {
        self.state().faults.clear();
    }

    /// Has the syncs of a site do nothing and say that they have: what a program does that leaves them out. For showing
    /// that a test notices.
    pub fn leave_out(&self, site: Site) {
        self.state().left_out.insert(site);
    }

    /// Has `observer` told of each call, as it begins, with the number that it has among those of its site. It must not
    /// use the disk.
    pub fn observe(&self, observer: impl FnMut(&Site, u64) + Send + 'static) {
        self.state().observer = Some(Observer(Box::new(observer)));
    }

    /// How many faults have been made.
    pub fn faults_made(&self) -> u64 {
        self.state().faults_made
    }

    /// Whether a crash now would lose nothing, whatever the seed.
    pub fn is_durable(&self) -> bool {
        let state = self.state();
        state.names.is_durable() && state.files.values().all(Content::is_durable)
    }

    /// Opens a file.
    fn file(
        &self,
        mut state: MutexGuard<'_, State>,
        node: Node,
        place: String,
        synchronous: bool,
    ) -> Box<FaultyFile> {
        *state.open.entry(node).or_default() += 1;
        state.files_opened += 1;
        let number = state.files_opened;
        drop(state);
        Box::new(FaultyFile { disk: self.clone(), node, place, synchronous, number })
    }
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}

impl State {
    /// Counts a call and says how it is to go.
    fn begin(&mut self, site: Site) -> io::Result<Turn> {
        if self.crashed {
            return Err(power_is_off());
        }
        let count = self.sites.entry(site.clone()).or_default();
        *count += 1;
        if let Some(Observer(observer)) = &mut self.observer {
            observer(&site, *count);
        }
        if site.operation.changes() {
            self.changing_calls += 1;
            if self.crash_at == Some(self.changing_calls) {
                self.crashed = true;
                return Ok(Turn::Crash);
            }
        }
        let count = *count;
        match self.faults.iter().find(|fault| fault.happens_at(&site, count)) {
            Some(fault) => {
                self.faults_made += 1;
                Ok(Turn::Fault(fault.kind))
            }
            None => Ok(Turn::Well),
        }
    }

    /// As [`State::begin`], for what cannot be done in part: where it is to fail it is not done at all.
    fn begin_whole(&mut self, site: Site) -> io::Result<Turn> {
        match self.begin(site)? {
            Turn::Fault(kind) if kind.is_told() => Err(kind.error()),
            // Nothing but the retry can be seen of an interruption.
            Turn::Fault(kind) => {
                let mut attempts = 0;
                resume::uninterrupted(|| {
                    attempts += 1;
                    if attempts == 1 { Err(kind.error()) } else { Ok(Turn::Well) }
                })
            }
            turn => Ok(turn),
        }
    }

    /// Ends a call that has been done: well, unless the power has failed meanwhile.
    fn end(&self) -> io::Result<()> {
        if self.crashed { Err(power_is_off()) } else { Ok(()) }
    }

    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    fn new_node(&mut self) -> Node {
        let node = self.next_node;
        self.next_node += 1;
        node
    }

    fn find_file(&self, path: &Path) -> io::Result<Node> {
        let node = self.names.find(path)?;
        if self.files.contains_key(&node) {
            Ok(node)
        } else {
            Err(io::ErrorKind::IsADirectory.into())
        }
    }

    fn find_directory(&self, path: &Path) -> io::Result<Node> {
        let node = self.names.find(path)?;
        if self.files.contains_key(&node) {
            Err(io::ErrorKind::NotADirectory.into())
        } else {
            Ok(node)
        }
    }

    fn content(&mut self, node: Node) -> &mut Content {
        self.files.entry(node).or_default()
    }

    /// Forgets files that nobody has open and that no crash can bring back.
    fn forget_unreachable(&mut self) {
        let named = self.names.nodes();
        let open = &self.open;
        self.files.retain(|node, _| named.contains(node) || open.contains_key(node));
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let site = Site::new(Operation::Open, path);
        state.begin_whole(site.clone())?;
        let node = state.find_file(path)?;
        Ok(self.file(state, node, site.place, false))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut state = self.state();
        state.begin_whole(Site::new(Operation::List, directory))?;
        let node = state.find_directory(directory)?;
        let entry = |(name, node): (&std::ffi::OsString, Node)| {
            let file = state.files.get(&node);
            DirectoryEntry {
                name: name.clone(),
                is_directory: file.is_none(),
                length: file.map_or(0, Content::length),
            }
        };
        Ok(state.names.list(node).map(entry).collect())
    }

    fn is_directory(&self, path: &Path) -> bool {
        let mut state = self.state();
        let begun = state.begin(Site::new(Operation::Look, path));
        begun.is_ok() && state.find_directory(path).is_ok()
    }

    fn belongs_to_us(&self, path: &Path) -> io::Result<bool> {
        self.state().begin_whole(Site::new(Operation::Owner, path))?;
        Ok(true)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut state = self.state();
        state.begin_whole(Site::new(Operation::Open, path))?;
        match state.names.find(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn scratch(&self) -> io::Result<Box<dyn WritableFile>> {
        let mut state = self.state();
        let site = Site { operation: Operation::OpenForWriting, place: "(scratch)".to_owned() };
        if state.begin_whole(site.clone())? == Turn::Crash {
            return Err(power_is_off());
        }
        let node = state.new_node();
        state.content(node);
        Ok(self.file(state, node, site.place, false))
    }

    fn open_for_writing(&self, path: &Path, how: Opening) -> io::Result<Box<dyn WritableFile>> {
        let mut state = self.state();
        let site = Site::new(Operation::OpenForWriting, path);
        state.begin_whole(site.clone())?;
        let node = match state.names.find(path) {
            Ok(_) if how.creation == Creation::New => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            Ok(_) => state.find_file(path)?,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && how.creation != Creation::Never =>
            {
                let place = state.names.place(path)?;
                let (node, sequence) = (state.new_node(), state.next_sequence());
                state.content(node);
                state.names.change(sequence, vec![(place, Some(node))]);
                node
            }
            Err(error) => return Err(error),
        };
        state.end()?;
        Ok(self.file(state, node, site.place, how.synchronous))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Site::new(Operation::Rename, to))?;
        let node = state.names.find(from)?;
        let (old, new) = (state.names.place(from)?, state.names.place(to)?);
        if let Some(there) = state.names.get(&new)
            && !(state.files.contains_key(&there) && state.files.contains_key(&node))
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if old != new {
            let sequence = state.next_sequence();
            state.names.change(sequence, vec![(old, None), (new, Some(node))]);
        }
        state.end()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Site::new(Operation::Remove, path))?;
        state.find_file(path)?;
        let (place, sequence) = (state.names.place(path)?, state.next_sequence());
        state.names.change(sequence, vec![(place, None)]);
        state.end()
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Site::new(Operation::CreateDirectory, path))?;
        let place = state.names.place(path)?;
        if state.names.get(&place).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (node, sequence) = (state.new_node(), state.next_sequence());
        state.names.change(sequence, vec![(place, Some(node))]);
        state.end()
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.begin_whole(Site::new(Operation::RemoveDirectory, path))?;
        let node = state.find_directory(path)?;
        if state.names.list(node).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (place, sequence) = (state.names.place(path)?, state.next_sequence());
        state.names.change(sequence, vec![(place, None)]);
        state.end()
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.find_directory(directory);
        let site = Site::new(Operation::SyncDirectory, directory);
        let is_left_out = state.left_out.contains(&site);
        let turn = state.begin(site)?;
        let node = node?;
        if is_left_out && turn == Turn::Well {
            return Ok(());
        }
        match turn {
            Turn::Crash => return Err(power_is_off()),
            Turn::Fault(kind @ FaultKind::FailedSync) => {
                state.names.lose(node);
                return Err(kind.error());
            }
            Turn::Fault(_) | Turn::Well => state.names.sync(node),
        }
        state.forget_unreachable();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
