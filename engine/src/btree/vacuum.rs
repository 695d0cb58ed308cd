//! Entries of rows that vacuum is about to give up, taken off all leaves.
//!
//! ```text
//! blocks in order, up to where the index ends by then
//!     leaf: entries of these rows go ─► VACUUM
//!           split since this began, its right half on a block that was passed? ─► that one now
//! ```
//!
//! While this runs it has a number, the cycle id, which each split writes on both halves; so a page that was split behind the
//! back of the pass is known.
//!
//! Source: `btbulkdelete`, `btvacuumpage` of PostgreSQL 15. Invariants: each leaf is locked alone once, so that whoever has
//! read an entry under its lock has also looked at the row by then, or will look with a snapshot that the row's successor at
//! that place is invisible to; one vacuum of an index at a time.

use base::sync::atomic::Ordering::Relaxed;
use base::{BlockNumber, ForkNumber, RawPage, Tid};

use super::error::IndexError;
use super::index::{Index, Known, Writer, to_change};
use super::page::{METAPAGE, NONE, NodeFlags, Opaque};
use super::remove::By;
use crate::buffer::PageStore;

/// The highest cycle id (`MAX_BT_CYCLE_ID`).
const MAX_CYCLE_ID: u16 = 0xFF7F;

/// What a pass over an index has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Pages that the index has.
    pub pages: BlockNumber,
    /// Rows that have entries.
    pub rows: u64,
    /// Rows whose entries were taken off.
    pub removed: u64,
}

impl Known {
    /// A pass begins; its number.
    fn begin_vacuum(&self) -> u16 {
        let last = self.last_cycle.load(Relaxed);
        let next = if last >= MAX_CYCLE_ID { 1 } else { last + 1 };
        self.last_cycle.store(next, Relaxed);
        self.cycle.store(next, Relaxed);
        next
    }
}

/// Splits need not be marked any more.
struct Cycle<'k>(&'k Known);

impl Drop for Cycle<'_> {
    fn drop(&mut self) {
        self.0.cycle.store(0, Relaxed);
    }
}

impl Index<'_> {
    fn blocks(&self) -> Result<BlockNumber, IndexError> {
        let (files, locator) = (self.storage.pool.store(), self.of.locator());
        let blocks = files.blocks(locator, ForkNumber::Main);
        blocks.map_err(|error| self.structure(METAPAGE, format!("its length is unknown: {error}")))
    }
}

impl Writer<'_, '_> {
    /// Takes off all leaves the entries of rows that are as `is_dead` says. `on_page` is called before each page, with its
    /// block; no page is locked then.
    ///
    /// # Errors
    /// As the disk and the log say; where a page is damaged; those of `on_page`.
    pub fn bulk_delete<E: From<IndexError>>(
        &mut self,
        is_dead: &dyn Fn(Tid) -> bool,
        on_page: &mut dyn FnMut(BlockNumber) -> Result<(), E>,
    ) -> Result<Vacuumed, E> {
        let index = self.index;
        let known = std::sync::Arc::clone(&index.of);
        let cycle_id = known.begin_vacuum();
        let _cycle = Cycle(&known);
        let mut vacuumed = Vacuumed::default();
        let mut next = METAPAGE + 1;
        loop {
            vacuumed.pages = index.blocks()?;
            if next >= vacuumed.pages {
                return Ok(vacuumed);
            }
            while next < vacuumed.pages {
                on_page(next)?;
                let mut right = self.vacuum_page(next, next, cycle_id, is_dead, &mut vacuumed)?;
                while let Some(block) = right {
                    on_page(block)?;
                    right = self.vacuum_page(block, next, cycle_id, is_dead, &mut vacuumed)?;
                }
                next += 1;
            }
        }
    }

    /// One page; the one to go back to, if it was split behind the pass, which is at `scanned`.
    fn vacuum_page(
        &mut self,
        block: BlockNumber,
        scanned: BlockNumber,
        cycle_id: u16,
        is_dead: &dyn Fn(Tid) -> bool,
        vacuumed: &mut Vacuumed,
    ) -> Result<Option<BlockNumber>, IndexError> {
        let index = self.index;
        let mut page = index.write(block)?;
        if RawPage::new(&page).header().upper == 0 {
            return Ok(None);
        }
        let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
        if !opaque.is_leaf() || opaque.is_ignored() {
            return Ok(None);
        }
        let is_behind = block != scanned;
        if is_behind && opaque.cycle_id != cycle_id {
            // Its turn has come already.
            return Ok(None);
        }
        let goes_back = opaque.cycle_id == cycle_id
            && !opaque.flags.contains(NodeFlags::SPLIT_END)
            && opaque.next != NONE
            && opaque.next < scanned;
        let removal = index.removal(block, &index.node(block, &page)?, is_dead)?;
        vacuumed.rows += removal.stay;
        vacuumed.removed += removal.rows;
        if !removal.is_empty() {
            self.remove(block, &mut page, &removal, By::Vacuum)?;
        } else if opaque.cycle_id == cycle_id {
            Opaque::change(&mut to_change(&mut page), |opaque| opaque.cycle_id = 0);
            self.log_hint(&mut page)?;
        }
        Ok(goes_back.then_some(opaque.next))
    }
}
