//! The empty end of a table, given back to the file system.
//!
//! ```text
//! enough pages at the end seemed empty ─► table locked so that nobody else has it, unless somebody has: then not at all
//!     ─► looked at again, from the end on, as long as nobody waits for the table ─► the maps cut off ─► TRUNCATE, flushed
//!     ─► pages forgotten, files cut off ─► the lock given back; once more, if somebody waited
//! ```
//!
//! Invariants: a page goes only if it has no line pointer in use, seen under that lock: an index may lead to a dead one. Once
//! the record is flushed the files are cut off, or the engine stops. A checkpoint that has begun does not end between the
//! two: it would rely on pages that were forgotten unwritten. Source: `lazy_truncate_heap`, `RelationTruncate`.

use std::time::{Duration, Instant};

use base::{BlockNumber, ForkNumber};
use wal::rmgr::smgr::Truncate;
use wal::write::NewRecord;

use super::VacuumPhase;
use super::table::Vacuum;
use crate::Error;
use crate::db::Shared;
use crate::lock::{LockTag, TableLockMode, WaitPolicy};
use crate::table::page::page_of;
use crate::visibility_map::MapPage;

/// So many pages are worth it (`REL_TRUNCATE_MINIMUM`), or such a part of the table (`REL_TRUNCATE_FRACTION`).
const WORTH_IT: BlockNumber = 1000;
const WORTH_IT_PART: BlockNumber = 16;
/// Between two attempts to have the lock (`VACUUM_TRUNCATE_LOCK_WAIT_INTERVAL`).
const RETRY: Duration = Duration::from_millis(50);
/// Pages between two looks at the clock.
const PAGES_EVERY: BlockNumber = 32;

/// `RM_SMGR_ID`, and `XLOG_SMGR_TRUNCATE` with `XLR_SPECIAL_REL_UPDATE`
const SMGR: u8 = 2;
const TRUNCATE: u8 = 0x20 | 0x01;
/// `SMGR_TRUNCATE_ALL`: heap, visibility map and free space map.
const ALL_FORKS: i32 = 1 | 2 | 4;

/// The pages that may go.
struct Candidates {
    /// Those before are known to have rows.
    nonempty: BlockNumber,
    /// Those behind are gone.
    end: BlockNumber,
}

impl Vacuum<'_, '_> {
    /// Gives empty pages at the end back, if there are enough of them and nobody else uses the table.
    ///
    /// # Errors
    /// As the disk and the log say, the engine has then stopped if anything was cut off; [`Error::Cancelled`].
    pub(super) fn truncate(&mut self) -> Result<(), Error> {
        let pages = self.report.pages;
        let possible = pages - self.nonempty;
        let is_worth_it =
            possible > 0 && (possible >= WORTH_IT || possible >= pages / WORTH_IT_PART);
        if !self.options.truncates || self.is_emergency || !is_worth_it {
            return Ok(());
        }
        // The catalog's own tables are used without a lock.
        if self.session.shared.catalog.own().iter().any(|own| own.oid == self.table.oid) {
            return Ok(());
        }
        let (tag, mode) = (LockTag::Relation(self.table.oid), TableLockMode::AccessExclusive);
        loop {
            self.tell(VacuumPhase::Truncating, pages)?;
            if !self.lock_alone(tag, mode)? {
                return Ok(());
            }
            let cut = self.truncate_locked();
            self.session.unlock(tag, mode);
            if !cut? {
                return Ok(());
            }
        }
    }

    /// Gets the lock, if nobody has the table for long. Others do not queue up behind this.
    fn lock_alone(&mut self, tag: LockTag, mode: TableLockMode) -> Result<bool, Error> {
        let began = Instant::now();
        loop {
            if self.session.lock(tag, mode, WaitPolicy::NoWait)? {
                return Ok(true);
            }
            if began.elapsed() + RETRY > self.options.truncation_wait {
                return Ok(false);
            }
            let session = &*self.session;
            let locks = &session.shared.transactions.locks;
            locks.pause(session.number(), RETRY, &session.interrupts())?;
        }
    }

    /// Cuts off what is empty still. Whether there may be more, which somebody who waited for the table kept from being
    /// looked at.
    fn truncate_locked(&mut self) -> Result<bool, Error> {
        let shared = self.session.shared;
        let pages = self.report.pages;
        if self.table.blocks(shared)? != pages {
            // Somebody has made it longer, and not for nothing.
            return Ok(false);
        }
        let candidates = Candidates { nonempty: self.nonempty, end: pages };
        let (end, was_waited_for) = self.first_empty(candidates)?;
        if end >= pages {
            return Ok(false);
        }
        self.cut_off(end)?;
        self.report.truncated += pages - end;
        self.report.pages = end;
        Ok(was_waited_for && end > self.nonempty)
    }

    /// Behind the last page that has something on it, and whether somebody came to wait for the table meanwhile, so that it
    /// was not looked any further (`count_nondeletable_pages`).
    fn first_empty(&mut self, candidates: Candidates) -> Result<(BlockNumber, bool), Error> {
        let Candidates { nonempty, end } = candidates;
        let mut looked = Instant::now();
        for block in (nonempty..end).rev() {
            if (block + 1).is_multiple_of(PAGES_EVERY)
                && looked.elapsed() >= self.options.truncation_look
            {
                self.tell(VacuumPhase::Truncating, block + 1)?;
                let locks = &self.session.shared.transactions.locks;
                if locks.keeps_waiting(self.session.number()) {
                    return Ok((block + 1, true));
                }
                looked = Instant::now();
            }
            self.session.check_cancelled()?;
            let pool = &self.session.shared.storage.pool;
            let pinned = pool.get_in_ring(self.table.page_name(block), &mut self.ring)?;
            let guard = pinned.read();
            let page = page_of(pinned.name(), &guard)?;
            let is_used =
                page.is_some_and(|page| page.line_pointers().any(|(_, pointer)| pointer.is_used()));
            if is_used {
                return Ok((block + 1, false));
            }
        }
        Ok((nonempty, false))
    }

    /// Cuts the table and its maps off behind so many pages. It is locked so that nobody else has it.
    fn cut_off(&mut self, end: BlockNumber) -> Result<(), Error> {
        // It would keep the map's page in memory.
        self.map = None;
        let (table, shared) = (self.table, self.session.shared);
        let locator = table.locator;
        let (free_space, mut guard) = self.session.free_space(table);
        let free_space_pages = free_space.prepare_cut(end, &mut guard)?;
        let map_pages = MapPage::prepare_cut(self.session, locator, end)?;
        let forks = [
            (ForkNumber::Main, Some(end)),
            (ForkNumber::FreeSpaceMap, free_space_pages),
            (ForkNumber::VisibilityMap, map_pages),
        ];
        {
            let in_gate = shared.storage.commit_gate.enter(self.session.number());
            let mut main = Vec::with_capacity(20);
            Truncate { blocks: end, locator, flags: ALL_FORKS }.encode(&mut main);
            let record = NewRecord { main: &[&main], ..NewRecord::new(SMGR, TRUNCATE) };
            let log = shared.storage.log.log();
            let placed = log.insert(&mut self.session.inserter, &record)?;
            let cut = log.flush(placed.end).map_err(Error::from).and_then(|()| {
                forks.into_iter().try_for_each(|(fork, pages)| match pages {
                    Some(pages) => cut_fork(shared, locator, fork, pages),
                    None => Ok(()),
                })
            });
            if let Err(error) = &cut {
                shared.stop(error);
            }
            cut?;
            drop(in_gate);
        }
        table.extension.cut_off();
        let (free_space, mut guard) = self.session.free_space(table);
        // Those at the end were said to be empty, and would be the first to be taken.
        free_space.bring_up_to_date::<Error>(end..BlockNumber::MAX, &mut guard, &mut || Ok(()))
    }
}

fn cut_fork(
    shared: &Shared,
    locator: base::RelFileLocator,
    fork: ForkNumber,
    pages: BlockNumber,
) -> Result<(), Error> {
    let pool = &shared.storage.pool;
    // Who is about to write one of them lets it go soon.
    while pool.forget(locator, fork, pages).is_err() {
        base::sync::thread::yield_now();
    }
    let failed = |error| Error::Fork { action: "truncate", locator, fork, error };
    pool.store().truncate(locator, fork, pages).map_err(failed)
}
