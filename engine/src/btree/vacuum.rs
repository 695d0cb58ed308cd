//! Entries of rows that vacuum is about to give up, taken off all leaves; leaves that are empty then, taken out of the tree.
//!
//! ```text
//! blocks in order, up to where the index ends by then
//!     leaf: entries of these rows go ─► VACUUM ─► none left? deleted
//!           split since this began, its right half on a block that was passed? ─► that one now
//!     half-dead leaf: deleted. Deleted page: free, once nobody can have a link to it
//! at the end: how many deleted pages are not free yet, into the metapage ─► META_CLEANUP
//! ```
//!
//! While this runs it has a number, the cycle id, which each split writes on both halves; so a page that was split behind the
//! back of the pass is known.
//!
//! Source: `btbulkdelete`, `btvacuumcleanup`, `btvacuumpage` of PostgreSQL 15. Invariants: each leaf is locked alone once, so
//! that whoever has read an entry under its lock has also looked at the row by then, or will look with a snapshot that the
//! row's successor at that place is invisible to; one vacuum of an index at a time.

use base::sync::atomic::Ordering::Relaxed;
use base::{BlockNumber, RawPage, Tid};
use wal::rmgr::btree::{Btree, MetaCleanup};

use super::error::IndexError;
use super::index::{Known, Writer, to_change};
use super::page::{self, METAPAGE, MetaPage, NONE, NodeFlags, Opaque};
use super::remove::By;
use super::space::{Readers, Unused};

const META_CLEANUP: u8 = 0xE0;
/// The highest cycle id (`MAX_BT_CYCLE_ID`).
const MAX_CYCLE_ID: u16 = 0xFF7F;
/// One page in so many that is deleted, and not free at the last clean-up, is worth a pass that does nothing else.
const WORTH_A_PASS: BlockNumber = 20;

/// What passes over an index have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Pages that the index has.
    pub pages: BlockNumber,
    /// Rows that have entries.
    pub rows: u64,
    /// Rows whose entries were taken off, by all passes.
    pub removed: u64,
    /// Pages that were deleted, by all passes.
    pub newly_deleted: BlockNumber,
    /// Pages that are deleted.
    pub deleted: BlockNumber,
    /// Of these, those that can be used again.
    pub free: BlockNumber,
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

/// One pass.
struct Pass<'p, E> {
    /// Which rows' entries go; `None` if none do.
    is_dead: Option<&'p dyn Fn(Tid) -> bool>,
    /// 0 if no entries go.
    cycle_id: u16,
    readers: &'p mut dyn Readers,
    on_page: &'p mut dyn FnMut(BlockNumber) -> Result<(), E>,
    vacuumed: &'p mut Vacuumed,
}

/// What is to be done about a page when its lock is given back.
#[derive(Debug, Default)]
struct Then {
    /// It is an empty leaf.
    deletes: bool,
    /// The page to go back to: it was split behind the pass.
    goes_back_to: Option<BlockNumber>,
}

impl Writer<'_, '_> {
    /// Takes off all leaves the entries of rows that are as `is_dead` says, and deletes leaves that are empty. `on_page` is
    /// called before each page, with its block; no page is locked then. What earlier passes of the same vacuum did is
    /// in `vacuumed`.
    ///
    /// # Errors
    /// As the disk and the log say; where a page is damaged; those of `on_page`.
    pub fn bulk_delete<E: From<IndexError>>(
        &mut self,
        is_dead: &dyn Fn(Tid) -> bool,
        readers: &mut dyn Readers,
        on_page: &mut dyn FnMut(BlockNumber) -> Result<(), E>,
        vacuumed: &mut Vacuumed,
    ) -> Result<(), E> {
        let index = self.index;
        let cycle_id = index.of.begin_vacuum();
        let _cycle = Cycle(&index.of);
        self.pass(Pass { is_dead: Some(is_dead), cycle_id, readers, on_page, vacuumed })
    }

    /// Ends a vacuum: with what its passes did, or `None` where there was none; then there is one now if enough deleted pages
    /// may have become free.
    ///
    /// # Errors
    /// As [`Writer::bulk_delete`].
    pub fn clean_up<E: From<IndexError>>(
        &mut self,
        vacuumed: Option<Vacuumed>,
        readers: &mut dyn Readers,
        on_page: &mut dyn FnMut(BlockNumber) -> Result<(), E>,
    ) -> Result<Option<Vacuumed>, E> {
        let vacuumed = match vacuumed {
            Some(vacuumed) => vacuumed,
            None => {
                let left = self.index.metapage()?.metadata.last_cleanup_deleted_pages;
                if left <= self.index.blocks()? / WORTH_A_PASS {
                    return Ok(None);
                }
                let mut vacuumed = Vacuumed::default();
                let (is_dead, cycle_id) = (None, 0);
                self.pass(Pass { is_dead, cycle_id, readers, on_page, vacuumed: &mut vacuumed })?;
                vacuumed
            }
        };
        self.note_clean_up(vacuumed.deleted - vacuumed.free)?;
        Ok(Some(vacuumed))
    }

    /// Notes in the metapage how many deleted pages are not free (`_bt_set_cleanup_info`).
    fn note_clean_up(&mut self, deleted: BlockNumber) -> Result<(), IndexError> {
        let index = self.index;
        if index.metapage()?.metadata.last_cleanup_deleted_pages == deleted {
            return Ok(());
        }
        let mut page = index.write(METAPAGE)?;
        let mut metadata = MetaPage::read(&page).map_err(index.node_error(METAPAGE))?.metadata;
        metadata.last_cleanup_deleted_pages = deleted;
        MetaPage::of(metadata).write(page.bytes_mut());
        let cleanup = Btree::MetaCleanup(MetaCleanup { metadata });
        self.log(META_CLEANUP, &cleanup, &mut [(0, true, &mut page)])
    }

    fn pass<E: From<IndexError>>(&mut self, mut pass: Pass<'_, E>) -> Result<(), E> {
        let index = self.index;
        pass.readers.look();
        let before = *pass.vacuumed;
        let Vacuumed { removed, newly_deleted, .. } = before;
        *pass.vacuumed = Vacuumed { removed, newly_deleted, ..Vacuumed::default() };
        let mut next = METAPAGE + 1;
        loop {
            pass.vacuumed.pages = index.blocks()?;
            if next >= pass.vacuumed.pages {
                break;
            }
            while next < pass.vacuumed.pages {
                let mut block = Some(next);
                while let Some(at) = block {
                    (pass.on_page)(at)?;
                    let then = self.vacuum_page(at, next, &mut pass)?;
                    if then.deletes {
                        let Vacuumed { newly_deleted, deleted, .. } = pass.vacuumed;
                        // Those behind are counted when the pass comes to them.
                        let mut on_deleted = |block| {
                            *newly_deleted += 1;
                            *deleted += BlockNumber::from(block <= next);
                        };
                        self.delete_leaf(at, pass.readers, &mut on_deleted, pass.on_page)?;
                    }
                    block = then.goes_back_to;
                }
                next += 1;
            }
        }
        pass.readers.look();
        pass.vacuumed.free += self.free_waiting(pass.readers)?;
        if pass.vacuumed.free > 0 {
            self.tell_of_free_pages()?;
        }
        Ok(())
    }

    /// One page; the pass is at `scanned`.
    fn vacuum_page<E>(
        &mut self,
        block: BlockNumber,
        scanned: BlockNumber,
        pass: &mut Pass<'_, E>,
    ) -> Result<Then, IndexError> {
        let index = self.index;
        let mut page = index.write(block)?;
        let is_behind = block != scanned;
        if RawPage::new(&page).header().upper == 0 {
            drop(page);
            if !is_behind {
                self.note_unused(block, None, pass.readers)?;
                pass.vacuumed.deleted += 1;
                pass.vacuumed.free += 1;
            }
            return Ok(Then::default());
        }
        let opaque = Opaque::of(&page).map_err(index.node_error(block))?;
        // Its turn has come already, unless it was split since.
        if is_behind && (opaque.cycle_id != pass.cycle_id || opaque.is_ignored()) {
            return Ok(Then::default());
        }
        if opaque.flags.contains(NodeFlags::DELETED) {
            let safe_xid = page::safe_xid(&page).map_err(index.node_error(block))?;
            drop(page);
            pass.vacuumed.deleted += 1;
            if self.note_unused(block, Some(safe_xid), pass.readers)? == Unused::Free {
                pass.vacuumed.free += 1;
            }
            return Ok(Then::default());
        }
        if !opaque.is_leaf() {
            return Ok(Then::default());
        }
        if opaque.flags.contains(NodeFlags::HALF_DEAD) {
            return Ok(Then { deletes: true, goes_back_to: None });
        }
        let is_of_cycle = pass.cycle_id != 0 && opaque.cycle_id == pass.cycle_id;
        let goes_back = is_of_cycle
            && !opaque.flags.contains(NodeFlags::SPLIT_END)
            && opaque.next != NONE
            && opaque.next < scanned;
        let is_dead = pass.is_dead.unwrap_or(&|_| false);
        let removal = index.removal(block, &index.node(block, &page)?, is_dead)?;
        pass.vacuumed.rows += removal.stay;
        pass.vacuumed.removed += removal.rows;
        if !removal.is_empty() {
            self.remove(block, &mut page, &removal, By::Vacuum)?;
        } else if is_of_cycle {
            Opaque::change(&mut to_change(&mut page), |opaque| opaque.cycle_id = 0);
            self.log_hint(&mut page)?;
        }
        let deletes = removal.stay == 0 && !is_behind;
        Ok(Then { deletes, goes_back_to: goes_back.then_some(opaque.next) })
    }
}
