//! Entries of a unique index: a key that a row has, or may get, is not given to another.
//!
//! ```text
//! first leaf where the key may be, locked ─► each equal entry: is there such a row?
//!       somebody decides that who still runs ─► lock given back, for the caller to wait and come again
//!       there is ─► conflict                    there is none, for anybody ─► the entry is marked dead
//!       there is none ─► to the right, to where the row's tid belongs ─► in
//! ```
//!
//! Source: `_bt_check_unique`, `_bt_stepright` of PostgreSQL 15. Invariant: the lock of the first leaf where the key may be
//! is held from the first look until the entry is in, the locks on the way to the right overlapping; whoever puts the same
//! key in must have that lock first.

use base::{BlockNumber, OffsetNumber, Tid, Xid, variant};

use super::error::IndexError;
use super::index::{HeldPage, Index, Writer};
use super::insert::Equals;
use super::key::SearchKey;
use super::page::{NONE, Node, Opaque};
use super::search::Step;
use super::simple_deletion::Heap;
use crate::heap::Value;

/// What stands at the end of an entry of the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// A row.
    There,
    /// What this transaction makes of it, which still runs.
    InDoubt(Xid),
    /// None; where `for_good`, nobody sees one either.
    Gone {
        /// Whether the entry can go.
        for_good: bool,
    },
}

/// What came of putting an entry in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is in.
    Done,
    /// It is not: it depends on this transaction whether the key is free.
    Wait(Xid),
    /// It is not: this row has the key.
    Conflict(Tid),
}

/// What the entries of one leaf say.
enum OnLeaf {
    Stop(Inserted),
    /// There are none behind.
    Free,
    /// The next leaf may have some.
    Next(BlockNumber),
}

impl<'s> Writer<'_, 's> {
    /// Puts in an entry for a row, if no row has its key. A key with a null is always free. `is_unchanged` as for
    /// [`Writer::insert_with`].
    ///
    /// # Errors
    /// As [`Writer::insert`], and those of `heap`.
    pub fn insert_unique<E: From<IndexError>>(
        &mut self,
        values: &[Value<'_>],
        tid: Tid,
        is_unchanged: bool,
        heap: &mut dyn Heap<E>,
    ) -> Result<Inserted, E> {
        let index = self.index;
        let tuple = index.of.shape.form_stored(values, self.stored, tid);
        let tuple = tuple.map_err(IndexError::from)?;
        let key = index.key_of(&tuple)?;
        if key.values.iter().any(Option::is_none) {
            self.insert_tuple(&tuple, is_unchanged, Some(heap))?;
            return Ok(Inserted::Done);
        }
        let without_tid = SearchKey { tid: None, ..key.clone() };
        let (way, mut block, mut leaf) = self.find(&without_tid, tuple.len())?;
        let (stop, mut has_duplicates) =
            self.look_for_equal(&without_tid, block, &mut leaf, heap)?;
        if let Some(stop) = stop {
            return Ok(stop);
        }
        if variant!("btree.unique-unlocked") {
            drop(leaf);
            leaf = index.write(block)?;
        }
        loop {
            let opaque = Opaque::of(&leaf).map_err(index.node_error(block))?;
            let node = index.node(block, &leaf)?;
            let Some(right) = index.to_the_right(&key, block, &opaque, Some(&node))? else { break };
            (block, leaf) = self.step_right(right, leaf, &way)?;
            has_duplicates = true;
        }
        let equals = Equals { are_there: Some(has_duplicates), is_unchanged };
        self.put(&key, &way, (block, leaf), &tuple, equals, Some(heap))?;
        Ok(Inserted::Done)
    }

    /// What stands in the way of a key, from the leaf on where it may be first; whether there are equal entries.
    fn look_for_equal<E: From<IndexError>>(
        &mut self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        leaf: &mut HeldPage<'s>,
        heap: &mut dyn Heap<E>,
    ) -> Result<(Option<Inserted>, bool), E> {
        let index = self.index;
        let (mut dead, mut has_duplicates) = (Vec::new(), false);
        let mut found = {
            let node = index.node(block, leaf)?;
            index.equal_on(key, block, &node, heap, &mut dead, &mut has_duplicates)?
        };
        self.mark_dead(leaf, &dead)?;
        loop {
            match found {
                OnLeaf::Stop(stop) => return Ok((Some(stop), has_duplicates)),
                OnLeaf::Free => return Ok((None, has_duplicates)),
                OnLeaf::Next(right) => {
                    found = index.read(right, |opaque, node| {
                        let Some(node) = node.filter(|_| !opaque.is_ignored()) else {
                            return match opaque.next {
                                NONE => Err(index
                                    .structure(right, "a deleted page is the last of its level")),
                                next => Ok(Ok(OnLeaf::Next(next))),
                            };
                        };
                        // Marks are left to who has the page locked to change it.
                        Ok(index.equal_on(key, right, node, heap, &mut dead, &mut has_duplicates))
                    })??;
                }
            }
        }
    }

    /// The next page to the right that is in use, locked before the left one is given back (`_bt_stepright`).
    fn step_right(
        &mut self,
        mut block: BlockNumber,
        left: HeldPage<'s>,
        way: &[Step],
    ) -> Result<(BlockNumber, HeldPage<'s>), IndexError> {
        let index = self.index;
        loop {
            let page = index.write(block)?;
            let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
            if opaque.is_ignored() {
                if opaque.is_rightmost() {
                    return Err(index.structure(block, "a deleted page is the last of its level"));
                }
                block = opaque.next;
            } else if opaque.is_unfinished() {
                self.finish_split(block, page, way)?;
            } else {
                drop(left);
                return Ok((block, page));
            }
        }
    }
}

impl Index<'_> {
    /// Judges the entries of a leaf that are equal to a key; notes those that nobody needs.
    fn equal_on<E: From<IndexError>>(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        node: &Node<'_>,
        heap: &mut dyn Heap<E>,
        dead: &mut Vec<OffsetNumber>,
        has_duplicates: &mut bool,
    ) -> Result<OnLeaf, E> {
        for offset in self.first_not_before(key, block, node)?..=node.last() {
            if node.is_dead(offset) {
                *has_duplicates = true;
                continue;
            }
            if self.compare(key, block, node, offset)?.is_ne() {
                return Ok(OnLeaf::Free);
            }
            *has_duplicates = true;
            let entry = node.entry(offset).map_err(self.node_error(block))?;
            let mut is_dead = true;
            for tid in entry.tids() {
                match heap.judge(tid)? {
                    Duplicate::There => return Ok(OnLeaf::Stop(Inserted::Conflict(tid))),
                    Duplicate::InDoubt(xid) => return Ok(OnLeaf::Stop(Inserted::Wait(xid))),
                    Duplicate::Gone { for_good } => is_dead &= for_good,
                }
            }
            if is_dead {
                dead.push(offset);
            }
        }
        let right = self.to_the_right_if_equal(key, block, node)?;
        Ok(right.map_or(OnLeaf::Free, OnLeaf::Next))
    }

    /// The page to the right, if it may have entries that are equal to a key without a tid.
    fn to_the_right_if_equal(
        &self,
        key: &SearchKey<'_>,
        block: BlockNumber,
        node: &Node<'_>,
    ) -> Result<Option<BlockNumber>, IndexError> {
        let Some(high_key) = node.high_key().map_err(self.node_error(block))? else {
            return Ok(None);
        };
        let order = self.of.shape.compare(key, high_key).map_err(self.entry_error(block, 1))?;
        Ok(order.is_eq().then_some(node.opaque.next))
    }
}
