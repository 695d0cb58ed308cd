//! The rows of one key, a leaf at a time: what a [`Scan`](super::Scan) of that key gives, for who wants the first that is of use
//! and nothing of it longer.
//!
//! Source and invariants: as of the scan; no page is locked between two leaves.

use base::{BlockNumber, Tid};

use super::error::IndexError;
use super::form::EntryValues;
use super::index::Index;
use super::key::SearchKey;
use super::root_copy::RootCopies;
use super::simple_deletion::Killed;
use crate::heap::Value;

/// Where the rows of a key are.
#[derive(Debug)]
pub struct KeyRows<'i, 's> {
    index: &'i Index<'s>,
    key: SearchKey<'i>,
    /// The leaf to be read next.
    next: Option<BlockNumber>,
}

/// Memory for a key that is searched for.
#[derive(Debug, Default)]
pub struct KeyRoom {
    number: [u8; 8],
    entry: Option<EntryValues>,
}

impl<'s> Index<'s> {
    /// The rows of entries that begin with these values; the search begins at the session's copy of the root.
    ///
    /// # Errors
    /// Where values do not fit the columns, or a page on the way cannot be read or is damaged.
    pub fn find<'i>(
        &'i self,
        values: &[Value<'_>],
        room: &'i mut KeyRoom,
        roots: &mut RootCopies,
    ) -> Result<KeyRows<'i, 's>, IndexError> {
        let shape = self.shape();
        let KeyRoom { number, entry } = room;
        let key = match shape.number_key(values, number) {
            Some(key) => key,
            None => {
                let columns = values.len().min(shape.key().len());
                shape.search_for(entry.insert(shape.plain(&values[..columns])?))?
            }
        };
        let next = self.descend(&key, None, Some(roots))?.map(|(_, leaf)| leaf);
        Ok(KeyRows { index: self, key, next })
    }
}

impl KeyRows<'_, '_> {
    /// Reads the next leaf, and puts its rows behind those in `rows`, in the order of the index. `None` behind the last; with
    /// what [`Writer::kill`](super::Writer::kill) wants to know of the leaf.
    ///
    /// # Errors
    /// Where a page cannot be read or is damaged.
    pub fn next_leaf(&mut self, rows: &mut Vec<Tid>) -> Result<Option<Killed>, IndexError> {
        let KeyRows { index, key, .. } = &*self;
        let Some(mut block) = self.next else { return Ok(None) };
        loop {
            let step = index.read(block, |opaque, node| {
                if let Some(right) = index.to_the_right(key, block, opaque, node)? {
                    return Ok(Err(right));
                }
                let Some(node) = node else { return Ok(Err(opaque.next)) };
                let lsn = node.page().header().lsn;
                let killed = Killed { block, lsn, ..Killed::default() };
                for offset in index.first_not_before(key, block, node)?..=node.last() {
                    if index.compare(key, block, node, offset)?.is_ne() {
                        return Ok(Ok((killed, None)));
                    }
                    if !node.is_dead(offset) {
                        rows.extend(node.entry(offset).map_err(index.node_error(block))?.tids());
                    }
                }
                Ok(Ok((killed, (!opaque.is_rightmost()).then_some(opaque.next))))
            })?;
            match step {
                Err(right) => block = right,
                Ok((killed, next)) => {
                    self.next = next;
                    return Ok(Some(killed));
                }
            }
        }
    }
}
