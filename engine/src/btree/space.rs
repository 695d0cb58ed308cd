//! Pages that were taken out of the tree, until they are used again.
//!
//! ```text
//! deleted ─► kept as it is while somebody may have a link to it ─► in the free space map ─► REUSE_PAGE, and made anew by a split
//! ```
//!
//! A deleted page has the transaction id that was the next one then (`safexid`). Who reads or writes an index has a snapshot
//! or an id; once everybody who had one at that time is gone, nobody has a link to the page any more.
//!
//! Source: `_bt_getbuf`, `BTPageIsRecyclable`, `_bt_pendingfsm_finalize` of PostgreSQL 15. Invariants: which pages are free is a
//! hint; a page is looked at again, under its lock, before it is used. Every page that was deleted since the engine was opened
//! and that somebody may have a link to is among those that wait; of those deleted before, nobody has one. The lock of
//! these is held from asking for a page until that is locked, so that vacuum, which reads the length of the file under it,
//! finds no page that somebody has just been given and has not locked yet. Nobody waits for a page in use with that lock
//! held.

use std::collections::BTreeMap;

use base::sync::{MutexGuard, PoisonError};
use base::{BlockNumber, ForkNumber, FullXid, RawPage, TimestampTz};
use wal::rmgr::btree::{Btree, ReusePage};

use super::error::IndexError;
use super::index::{HeldPage, Index, Writer};
use super::page::{self, METAPAGE};
use crate::buffer::PageStore;
use crate::checkpoint::running_xacts_are_logged;

const REUSE_PAGE: u8 = 0xD0;

/// When a page was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// The id that was the next one.
    pub safe_xid: FullXid,
    /// Where a snapshot by time would have started.
    pub moment: TimestampTz,
}

impl Deletion {
    /// Before this engine was opened.
    fn earlier(safe_xid: FullXid) -> Deletion {
        Deletion { safe_xid, moment: TimestampTz(i64::MIN) }
    }
}

/// Who may have links to pages that are deleted.
pub trait Readers {
    /// A page that is deleted now.
    fn deletion(&self) -> Deletion;

    /// Looks again at who is there.
    fn look(&mut self);

    /// Whether everybody who was there at a page's deletion was gone at the last look.
    fn are_gone(&self, since: Deletion) -> bool;
}

/// What is known of deleted pages.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// Those that may not be used yet.
    waiting: BTreeMap<BlockNumber, Deletion>,
}

/// What vacuum finds of a page that is not in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unused {
    /// It can be used.
    Free,
    /// It cannot yet.
    Waits,
}

impl<'s> Index<'s> {
    /// A new page at the relation's end, locked: zeros.
    pub(super) fn added_page(&self) -> Result<(BlockNumber, HeldPage<'s>), IndexError> {
        let pinned = self.storage.pool.extend(self.of.locator(), ForkNumber::Main)?;
        Ok((pinned.name().block, pinned.into_write()))
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.of.space.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many pages the index has, all of which somebody has locked or made by now.
    pub(super) fn blocks(&self) -> Result<BlockNumber, IndexError> {
        let _nobody_adds = self.space();
        let (files, locator) = (self.storage.pool.store(), self.of.locator());
        let blocks = files.blocks(locator, ForkNumber::Main);
        blocks.map_err(|error| self.structure(METAPAGE, format!("its length is unknown: {error}")))
    }

    /// Notes a page that has just been deleted.
    pub(super) fn note_deleted(&self, block: BlockNumber, deletion: Deletion) {
        self.space().waiting.insert(block, deletion);
    }

    /// Whether a page of the tree that was deleted may not be used yet.
    fn waits(&self, block: BlockNumber, safe_xid: FullXid, readers: &dyn Readers) -> bool {
        let mut space = self.space();
        let known = space.waiting.get(&block).filter(|deletion| deletion.safe_xid == safe_xid);
        let deletion = known.copied().unwrap_or(Deletion::earlier(safe_xid));
        let waits = !readers.are_gone(deletion);
        if waits {
            space.waiting.insert(block, deletion);
        } else {
            space.waiting.remove(&block);
        }
        waits
    }

    /// Those of the waiting pages that nobody can have a link to any more: they wait no longer.
    fn no_longer_waiting(&self, readers: &dyn Readers) -> Vec<BlockNumber> {
        let mut space = self.space();
        let mut free = Vec::new();
        space.waiting.retain(|block, deletion| {
            let waits = !readers.are_gone(*deletion);
            if !waits {
                free.push(*block);
            }
            waits
        });
        free
    }
}

impl<'s> Writer<'_, 's> {
    /// Notes a page that is found not to be in use: a deleted one, or `None` of one that was never made.
    pub(super) fn note_unused(
        &mut self,
        block: BlockNumber,
        safe_xid: Option<FullXid>,
        readers: &dyn Readers,
    ) -> Result<Unused, IndexError> {
        if safe_xid.is_some_and(|safe_xid| self.index.waits(block, safe_xid, readers)) {
            return Ok(Unused::Waits);
        }
        let (map, mut guard) = self.free_space();
        map.note_free_page(block, &mut guard)?;
        Ok(Unused::Free)
    }

    /// Frees those of the waiting pages that nobody can have a link to any more; how many.
    pub(super) fn free_waiting(
        &mut self,
        readers: &dyn Readers,
    ) -> Result<BlockNumber, IndexError> {
        let free = self.index.no_longer_waiting(readers);
        let (map, mut guard) = self.free_space();
        for block in &free {
            map.note_free_page(*block, &mut guard)?;
        }
        Ok(free.len() as BlockNumber)
    }

    /// Has all pages be found that were noted as free.
    pub(super) fn tell_of_free_pages(&mut self) -> Result<(), IndexError> {
        let (map, mut guard) = self.free_space();
        map.bring_up_to_date(0..BlockNumber::MAX, &mut guard, &mut || Ok(()))
    }

    /// A page for the tree, locked, whatever is on it: a free one, or a new one at the relation's end.
    pub(super) fn new_page(&mut self) -> Result<(BlockNumber, HeldPage<'s>), IndexError> {
        let index = self.index;
        let space = index.space();
        loop {
            let (map, mut guard) = self.free_space();
            let Some(block) = map.take_free_page(&mut guard)? else { break };
            let pinned = index.storage.pool.get(index.name(block))?;
            // Somebody has it: it was used again before it was noted. This may be who asks.
            let Some(page) = pinned.try_into_write() else { continue };
            if RawPage::new(&page).header().upper == 0 {
                return Ok((block, page));
            }
            // In use since, or deleted again.
            let Ok(safe_xid) = page::safe_xid(&page) else { continue };
            if space.waiting.contains_key(&block) {
                continue;
            }
            drop(space);
            if running_xacts_are_logged(index.storage) {
                let reuse = ReusePage {
                    locator: index.of.locator(),
                    block,
                    snapshot_conflict_horizon: safe_xid,
                    is_catalog_relation: None,
                };
                self.log(REUSE_PAGE, &Btree::ReusePage(reuse), &mut [])?;
            }
            return Ok((block, page));
        }
        // With the hint's lock held.
        index.added_page()
    }
}
