//! Entries of a range, in order or in reverse.
//!
//! A leaf's entries are copied under its lock, and handed out when it is given back. Forward, the scan goes on with the
//! page that was to the right at that time: what a split has moved there since was copied already. Backward, with the
//! page that is to the left now, and from there to the right as long as splits have put pages between. A page that was
//! deleted meanwhile leads on to its right sibling, which has its range.
//!
//! Source: `_bt_first`, `_bt_readpage`, `_bt_walk_left` of PostgreSQL 15. Invariants: a row that is in the index during the
//! whole scan is found once; one that comes or goes meanwhile is found or not. Whether everybody sees a row is asked while its
//! leaf is locked: a dead row's page is not said to be seen by all before vacuum has taken the entry off the leaf.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Bound;

use base::sync::Arc;
use base::{BlockNumber, Tid, variant};

use super::error::IndexError;
use super::form::EntryValues;
use super::index::Index;
use super::key::SearchKey;
use super::page::{NONE, Node, NodeFlags, Opaque};
use super::simple_deletion::Killed;
use crate::heap::Value;

/// Which way a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// In the index's order.
    Forward,
    /// In reverse.
    Backward,
}

/// A bound: values of the key's first columns.
pub type KeyBound<'a> = Bound<&'a [Value<'a>]>;

/// A bound, as values of the bound's columns.
type Limit = Bound<EntryValues>;

/// Says whether everybody sees all that is on a page of the table. Asked while a leaf is locked.
pub(crate) trait AllVisible: fmt::Debug + Send + Sync {
    /// Of each of these rows, whether everybody sees all that is on its page.
    fn of(&self, rows: &[Tid]) -> Vec<bool>;
}

/// A row that an entry leads to, with the entry if everybody sees the row.
pub(crate) type Found = (Tid, Option<Arc<[u8]>>);

/// Memory of a scan, for another one.
pub(crate) type ScanRoom = VecDeque<Found>;

/// A scan of a range.
#[derive(Debug)]
pub struct Scan<'s> {
    index: Index<'s>,
    direction: Direction,
    lower: Limit,
    /// `None` where it is the lower one, too, so that what is searched for is what the range ends with.
    upper: Option<Limit>,
    /// The leaf to be read next, and where the last one was; `None` at the end.
    next: Option<Place>,
    leaf: Leaf,
    /// What was noted of the leaf before.
    left: Option<Killed>,
    /// Where entries are wanted.
    all_visible: Option<Box<dyn AllVisible + 's>>,
}

/// What was read of a leaf.
#[derive(Debug, Default)]
struct Leaf {
    found: VecDeque<Found>,
    /// The rows of it that are of no use.
    killed: Killed,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// The first: from the root.
    Begin,
    /// A page.
    Right(BlockNumber),
    /// The page to the left of this one.
    LeftOf(BlockNumber),
}

impl<'s> Index<'s> {
    /// The entries between two bounds, each of values of the key's first columns.
    ///
    /// # Errors
    /// Where values do not fit the columns.
    pub fn scan(
        &self,
        lower: KeyBound<'_>,
        upper: KeyBound<'_>,
        direction: Direction,
    ) -> Result<Scan<'s>, IndexError> {
        let limit = |bound: KeyBound<'_>| -> Result<Limit, IndexError> {
            let form = |values: &[Value<'_>]| {
                let of_key = values.len().min(self.of.shape.key().len());
                self.of.shape.plain(&values[..of_key])
            };
            Ok(match bound {
                Bound::Unbounded => Bound::Unbounded,
                Bound::Included([]) | Bound::Excluded([]) => Bound::Unbounded,
                Bound::Included(values) => Bound::Included(form(values)?),
                Bound::Excluded(values) => Bound::Excluded(form(values)?),
            })
        };
        let is_equality = match (lower, upper) {
            (Bound::Included(lower), Bound::Included(upper)) => lower == upper,
            _ => false,
        };
        let lower = limit(lower)?;
        let upper = if is_equality { None } else { Some(limit(upper)?) };
        Ok(Scan {
            index: self.clone(),
            direction,
            lower,
            upper,
            next: Some(Place::Begin),
            leaf: Leaf::default(),
            left: None,
            all_visible: None,
        })
    }

    /// The rows of entries that begin with these values.
    ///
    /// # Errors
    /// As [`Index::scan`].
    pub fn equal(&self, values: &[Value<'_>]) -> Result<Scan<'s>, IndexError> {
        self.scan(Bound::Included(values), Bound::Included(values), Direction::Forward)
    }

    /// Whether an entry of these values is one that [`Index::equal`] finds.
    ///
    /// # Errors
    /// Where values do not fit the columns.
    pub fn has_key(&self, entry: &[Value<'_>], key: &[Value<'_>]) -> Result<bool, IndexError> {
        let shape = &self.of.shape;
        let columns = key.len().min(shape.key().len());
        let (entry, key) = (shape.plain(entry)?, shape.plain(&key[..columns])?);
        Ok(shape.begins_with(&entry, &key)?)
    }
}

impl Scan<'_> {
    /// The index.
    pub fn index(&self) -> &Index<'_> {
        &self.index
    }

    /// Notes that nobody sees a row any more that was given, and that nobody will.
    pub fn kill(&mut self, tid: Tid) {
        self.leaf.killed.rows.insert(tid);
    }

    /// What was noted so of a leaf that the scan has left since, for [`Writer::kill`](super::Writer::kill).
    pub fn take_killed(&mut self) -> Option<Killed> {
        self.left.take()
    }

    fn upper(&self) -> &Limit {
        self.upper.as_ref().unwrap_or(&self.lower)
    }

    /// What is searched for to find a bound; the first entry behind equal ones with `next_key`.
    fn key<'k>(
        &'k self,
        limit: &'k EntryValues,
        next_key: bool,
    ) -> Result<SearchKey<'k>, IndexError> {
        Ok(SearchKey { next_key, ..self.index.shape().search_for(limit)? })
    }

    /// The key that the scan begins at.
    fn first_key(&self) -> Result<Option<SearchKey<'_>>, IndexError> {
        let (limit, behind_equal) = match (self.direction, &self.lower, self.upper()) {
            (Direction::Forward, Bound::Included(limit), _)
            | (Direction::Backward, _, Bound::Excluded(limit)) => (limit, false),
            (Direction::Forward, Bound::Excluded(limit), _)
            | (Direction::Backward, _, Bound::Included(limit)) => (limit, true),
            _ => return Ok(None),
        };
        self.key(limit, behind_equal).map(Some)
    }

    /// What was noted of the leaf is for who takes it.
    fn leave(&mut self) {
        if !self.leaf.killed.rows.is_empty() {
            self.left = Some(std::mem::take(&mut self.leaf.killed));
        }
    }

    /// Reads the next leaf, and says which comes then.
    fn read(&mut self, place: Place) -> Result<Option<Place>, IndexError> {
        self.leave();
        let mut leaf = std::mem::take(&mut self.leaf);
        leaf.found.clear();
        let next = self.read_into(place, &mut leaf);
        self.leaf = leaf;
        next
    }

    fn read_into(&self, place: Place, leaf: &mut Leaf) -> Result<Option<Place>, IndexError> {
        match place {
            Place::Begin => self.read_first(leaf),
            // The range of a page that was deleted since has gone to this one, and what was put in there since may lie
            // before the scan's own range.
            Place::Right(block) => {
                let key = self.first_key()?;
                self.read_from(block, key.as_ref(), None, leaf)
            }
            Place::LeftOf(block) => match self.left_of(block)? {
                Some((left, of)) => self.read_from(left, None, Some(of), leaf),
                None => Ok(None),
            },
        }
    }

    fn read_first(&self, leaf: &mut Leaf) -> Result<Option<Place>, IndexError> {
        let key = self.first_key()?;
        let block = match &key {
            Some(key) => self.index.descend(key, None, None)?.map(|(_, block)| block),
            None if self.index.fast_root()?.is_none() => None,
            None => Some(self.index.endpoint(0, self.direction == Direction::Backward)?),
        };
        match block {
            Some(block) => self.read_from(block, key.as_ref(), None, leaf),
            None => Ok(None),
        }
    }

    /// Reads a leaf from where the key is, or all of it; first goes right to where the key is. A leaf that is no longer to
    /// the left of the one that it should be is not read: what a split has moved between the two would be missed.
    fn read_from(
        &self,
        mut block: BlockNumber,
        key: Option<&SearchKey<'_>>,
        left_of: Option<BlockNumber>,
        leaf: &mut Leaf,
    ) -> Result<Option<Place>, IndexError> {
        let index = &self.index;
        loop {
            let step = index.read(block, |opaque, node| {
                if let Some(key) = key
                    && let Some(right) = index.to_the_right(key, block, opaque, node)?
                {
                    return Ok(Err(right));
                }
                if let Some(right) = left_of
                    && opaque.next != right
                    && !variant!("btree.left-of-whatever")
                {
                    return Ok(Ok(Some(Place::LeftOf(right))));
                }
                // The last leaf may have been split since it was the last.
                let begins_at_end = key.is_none() && matches!(self.upper(), Bound::Unbounded);
                let is_last = opaque.is_rightmost();
                let is_first_read = self.direction == Direction::Backward && begins_at_end;
                if is_first_read && matches!(self.next, Some(Place::Begin)) && !is_last {
                    return Ok(Err(opaque.next));
                }
                let goes_on = match node.filter(|_| !opaque.is_ignored()) {
                    Some(node) => self.copy(block, node, key, leaf)?,
                    None => !variant!("btree.deleted-is-the-end"),
                };
                Ok(Ok(match self.direction {
                    _ if !goes_on => None,
                    Direction::Forward if is_last => None,
                    Direction::Forward => Some(Place::Right(opaque.next)),
                    Direction::Backward if opaque.is_leftmost() => None,
                    Direction::Backward => Some(Place::LeftOf(block)),
                }))
            })?;
            match step {
                Err(right) => block = right,
                Ok(next) => return Ok(next),
            }
        }
    }

    /// Copies a leaf's entries that are within the range. Whether the range goes on behind them.
    fn copy(
        &self,
        block: BlockNumber,
        node: &Node<'_>,
        key: Option<&SearchKey<'_>>,
        leaf: &mut Leaf,
    ) -> Result<bool, IndexError> {
        let goes_on = self.copy_range(block, node, key, leaf)?;
        if let Some(all_visible) = &self.all_visible {
            let rows: Vec<Tid> = leaf.found.iter().map(|(tid, _)| *tid).collect();
            for (found, is_visible) in leaf.found.iter_mut().zip(all_visible.of(&rows)) {
                found.1.take_if(|_| !is_visible);
            }
        }
        Ok(goes_on)
    }

    fn copy_range(
        &self,
        block: BlockNumber,
        node: &Node<'_>,
        key: Option<&SearchKey<'_>>,
        leaf: &mut Leaf,
    ) -> Result<bool, IndexError> {
        let index = &self.index;
        (leaf.killed.block, leaf.killed.lsn) = (block, node.page().header().lsn);
        let middle = match key {
            Some(key) => index.first_not_before(key, block, node)?,
            None if self.direction == Direction::Forward => node.opaque.first_data(),
            None => node.last() + 1,
        };
        let count = match self.direction {
            Direction::Forward => node.last() + 1 - middle,
            Direction::Backward => middle - node.opaque.first_data(),
        };
        let (end, is_excluded) = match (self.direction, &self.lower, self.upper()) {
            (Direction::Forward, _, Bound::Included(limit))
            | (Direction::Backward, Bound::Included(limit), _) => (Some(limit), false),
            (Direction::Forward, _, Bound::Excluded(limit))
            | (Direction::Backward, Bound::Excluded(limit), _) => (Some(limit), true),
            _ => (None, false),
        };
        let made;
        let end = match (key, end) {
            (Some(key), Some(_)) if self.upper.is_none() && !key.next_key => Some(key),
            (_, Some(limit)) => {
                made = self.key(limit, false)?;
                Some(&made)
            }
            (_, None) => None,
        };
        for step in 0..count {
            let offset = match self.direction {
                Direction::Forward => middle + step,
                Direction::Backward => middle - 1 - step,
            };
            let entry = node.entry(offset).map_err(index.node_error(block))?;
            if let Some(end) = end {
                let order = index.of.shape.compare(end, entry);
                let order = order.map_err(index.entry_error(block, offset))?;
                let is_past = match self.direction {
                    Direction::Forward => order.is_lt(),
                    Direction::Backward => order.is_gt(),
                };
                if is_past || is_excluded && order.is_eq() {
                    return Ok(false);
                }
            }
            if node.is_dead(offset) {
                continue;
            }
            let bytes: Option<Arc<[u8]>> = self.all_visible.as_ref().map(|_| entry.bytes().into());
            let found = |tid| (tid, bytes.clone());
            let mut tids = entry.tids();
            match self.direction {
                _ if tids.len() == 1 => leaf.found.extend(tids.next().map(|tid| (tid, bytes))),
                Direction::Forward => leaf.found.extend(tids.map(found)),
                Direction::Backward => leaf.found.extend(tids.rev().map(found)),
            }
        }
        Ok(true)
    }

    /// The page to the left of one, where no split lies between, and which one that is: in the place of a deleted page
    /// stands the one that has its range now. `None` of the first.
    fn left_of(
        &self,
        mut from: BlockNumber,
    ) -> Result<Option<(BlockNumber, BlockNumber)>, IndexError> {
        /// Steps to the right before the page is looked at again.
        const TRIES: usize = 4;
        let index = &self.index;
        loop {
            let Opaque { prev, next, flags, .. } = index.opaque(from)?;
            if flags.contains(NodeFlags::DELETED) && next != NONE {
                from = next;
                continue;
            }
            if prev == NONE {
                return Ok(None);
            }
            let mut block = prev;
            for _ in 0..TRIES {
                let Opaque { next, flags, .. } = index.opaque(block)?;
                if !flags.contains(NodeFlags::DELETED) && next == from {
                    return Ok(Some((block, from)));
                }
                if next == NONE {
                    break;
                }
                block = next;
            }
            // It is deleted, or something came between it and what it named.
            let Opaque { prev: now, next, flags, .. } = index.opaque(from)?;
            match (flags.contains(NodeFlags::DELETED), next) {
                (true, NONE) => return Err(index.structure(from, "a deleted page is the last")),
                (true, next) => from = next,
                (false, _) if now == prev => self.check_left_link(from, prev)?,
                (false, _) => {}
            }
        }
    }

    /// Whether a page's left link is wrong, and not only was for a moment: a page that came between the two may be gone again.
    /// Who changes links has both pages locked.
    fn check_left_link(&self, from: BlockNumber, prev: BlockNumber) -> Result<(), IndexError> {
        let index = &self.index;
        let wrong =
            || index.structure(from, format!("no page to its left leads to it from {prev}"));
        if prev == from {
            return Err(wrong());
        }
        index.read(prev, |left, _| {
            let right = index.opaque(from)?;
            let leads_here = !left.flags.contains(NodeFlags::DELETED) && left.next == from;
            let is_deleted = right.flags.contains(NodeFlags::DELETED);
            let may_be = leads_here || is_deleted || right.prev != prev;
            may_be.then_some(()).ok_or_else(wrong)
        })
    }
}

/// Ends with the first error.
impl Iterator for Scan<'_> {
    type Item = Result<Tid, IndexError>;

    fn next(&mut self) -> Option<Result<Tid, IndexError>> {
        self.next_found().map(|found| found.map(|(tid, _)| tid))
    }
}

impl<'s> Scan<'s> {
    /// The same scan, which gives entries, too.
    pub(crate) fn with_entries(self, all_visible: impl AllVisible + 's) -> Scan<'s> {
        Scan { all_visible: Some(Box::new(all_visible)), ..self }
    }

    /// The same scan, which uses this memory.
    pub(crate) fn with_room(mut self, room: ScanRoom) -> Scan<'s> {
        self.leaf.found = room;
        self
    }

    /// The memory of a scan that is at its end.
    pub(crate) fn take_room(&mut self) -> ScanRoom {
        std::mem::take(&mut self.leaf.found)
    }

    /// Gives nothing more.
    pub(crate) fn end(&mut self) {
        self.next = None;
        self.leaf.found.clear();
    }

    /// The next row, if it is on this page of the table and comes from the leaf that was read last, and the table is to be
    /// read for it.
    pub(crate) fn next_on(&mut self, block: BlockNumber) -> Option<Tid> {
        let is_on = |(tid, entry): &&Found| tid.block == block && entry.is_none();
        self.leaf.found.front().filter(is_on)?;
        self.leaf.found.pop_front().map(|(tid, _)| tid)
    }

    /// The next row, with its entry if that is wanted and everybody sees the row.
    pub(crate) fn next_found(&mut self) -> Option<Result<Found, IndexError>> {
        loop {
            if let Some(found) = self.leaf.found.pop_front() {
                return Some(Ok(found));
            }
            let Some(place) = self.next else {
                self.leave();
                return None;
            };
            match self.read(place) {
                Ok(next) => self.next = next,
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
    }
}
