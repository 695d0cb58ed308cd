//! Room made on a leaf by what nobody sees any more: entries that were marked dead, and others whose rows lie on the same
//! pages of the table.
//!
//! ```text
//! a scan, or a search for equal keys, comes to an entry without a row for anybody ─► it is marked dead, a hint
//! an entry finds no room on the leaf ─► the table is asked for all rows on the pages of those ─► DELETE
//! ```
//!
//! Source: `_bt_killitems`, `_bt_simpledel_pass`, `heap_index_delete_tuples` of PostgreSQL 15. Invariants: an entry is marked
//! only if the leaf is, byte for byte, that on which it was read, hints aside; marks are not logged. The table's pages are
//! locked with the leaf locked, never the other way round.

use std::collections::BTreeSet;

use base::{BlockNumber, Lsn, OffsetNumber, Tid, Xid};

use super::error::IndexError;
use super::index::{HeldPage, Writer, to_change};
use super::page::{NodeFlags, Opaque};
use super::remove::By;
use super::tuple::IndexTuple;
use super::unique::Duplicate;

/// What an index asks of its table, with a leaf locked. It must not wait for anybody.
pub trait Heap<E> {
    /// What is there of the row of another entry with the same key.
    ///
    /// # Errors
    /// Where the table cannot be read.
    fn judge(&mut self, tid: Tid) -> Result<Duplicate, E>;

    /// Finds out of rows of one page of the table, ascending, what nobody sees that hangs from their line pointers, and nobody
    /// will; with each stands whether that is known already. Those rows are put into `dead`, in their order, and the newest
    /// transaction whose doing that is into `newest`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    fn find_dead(
        &mut self,
        rows: &[(Tid, bool)],
        newest: &mut Xid,
        dead: &mut Vec<Tid>,
    ) -> Result<(), E>;
}

/// Entries of a leaf that lead to nothing that anybody sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Killed {
    pub(super) block: BlockNumber,
    /// The leaf's, when they were read.
    pub(super) lsn: Lsn,
    pub(crate) rows: BTreeSet<Tid>,
}

impl<'s> Writer<'_, 's> {
    /// Marks entries dead.
    ///
    /// # Errors
    /// Where the leaf cannot be read, or the log is stopped.
    pub fn kill(&mut self, killed: &Killed) -> Result<(), IndexError> {
        let (index, block) = (self.index, killed.block);
        let mut leaf = index.write(block)?;
        let opaque = Opaque::of(&leaf).map_err(index.node_error(block))?;
        if opaque.flags.contains(NodeFlags::DELETED) || !opaque.is_leaf() {
            return Ok(());
        }
        let node = index.node(block, &leaf)?;
        if node.page().header().lsn != killed.lsn {
            return Ok(());
        }
        let mut offsets = Vec::new();
        for offset in opaque.first_data()..=node.last() {
            let entry = node.entry(offset).map_err(index.node_error(block))?;
            if !node.is_dead(offset) && entry.tids().all(|tid| killed.rows.contains(&tid)) {
                offsets.push(offset);
            }
        }
        self.mark_dead(&mut leaf, &offsets)
    }

    /// Marks entries of a leaf.
    pub(super) fn mark_dead(
        &mut self,
        leaf: &mut HeldPage<'s>,
        offsets: &[OffsetNumber],
    ) -> Result<(), IndexError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let mut page = to_change(leaf);
        for offset in offsets {
            page.set_item_dead(*offset);
        }
        Opaque::change(&mut page, |opaque| opaque.flags |= NodeFlags::HAS_GARBAGE);
        self.log_hint(leaf)
    }

    /// Takes off a leaf what was marked dead, and what else of the same pages of the table is dead. Whether there was
    /// anything.
    pub(super) fn delete_dead<E: From<IndexError>>(
        &mut self,
        block: BlockNumber,
        leaf: &mut HeldPage<'s>,
        new: IndexTuple<'_>,
        heap: &mut dyn Heap<E>,
    ) -> Result<bool, E> {
        let index = self.index;
        let node = index.node(block, leaf)?;
        let data = || node.opaque.first_data()..=node.last();
        if !data().any(|offset| node.is_dead(offset)) {
            return Ok(false);
        }
        let mut pages: BTreeSet<BlockNumber> = new.tids().map(|tid| tid.block).collect();
        for offset in data().filter(|offset| node.is_dead(*offset)) {
            let entry = node.entry(offset).map_err(index.node_error(block))?;
            pages.extend(entry.tids().map(|tid| tid.block));
        }
        let mut rows = Vec::new();
        for offset in data() {
            let entry = node.entry(offset).map_err(index.node_error(block))?;
            let on_pages = entry.tids().filter(|tid| pages.contains(&tid.block));
            rows.extend(on_pages.map(|tid| (tid, node.is_dead(offset))));
        }
        // In the table's order.
        rows.sort_unstable();
        let (mut dead, mut newest) = (Vec::new(), Xid::INVALID);
        for of_page in rows.chunk_by(|(one, _), (other, _)| one.block == other.block) {
            heap.find_dead(of_page, &mut newest, &mut dead)?;
        }
        let dead: BTreeSet<Tid> = dead.into_iter().collect();
        let removal = index.removal(block, &node, |tid| dead.contains(&tid))?;
        self.remove(block, leaf, &removal, By::Deletion(newest))?;
        Ok(true)
    }
}
