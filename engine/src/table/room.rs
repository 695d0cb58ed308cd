//! A page with room for a row: which ones are tried, and when one is added to the table.
//!
//! ```text
//! page that the session's last row went to ─► page that the free space map names ─► the last page, if it names none
//!     ─► none has room: each is noted as it is, and the map names another ─► it names none: the table is made longer
//! ```
//!
//! Invariants: whoever comes to a page looks at its room under its lock. A page that is added goes to who added it, and is
//! unknown to the map until it is full or vacuumed. Where several wait to add pages, those who come next find pages that were
//! added for them. Source: `hio.c`.

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use base::{BlockNumber, ForkNumber, Xid, max_align};
use wal::write::Inserter;

use super::page::{PinnedPage, page_to_fill};
use crate::Error;
use crate::buffer::{PageName, PageWrite};
use crate::catalog::TableEntry;
use crate::db::Shared;
use crate::free_space_map::{FreeSpaceMap, Guard, NEW_PAGE};
use crate::session::Session;

/// Pages that are added for each who waits to add one, and at most for all of them.
const PAGES_PER_WAITER: u32 = 20;
const MOST_PAGES_AT_ONCE: u32 = 512;

/// Who makes a table longer, and how its end has moved.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    lock: Mutex<()>,
    waiting: AtomicU32,
    /// How often the table was cut off; changes under a lock of the table that keeps everybody out.
    truncations: AtomicU32,
    /// So many pages are there, at least; made less under a lock of the table that keeps everybody out.
    there: AtomicU32,
}

impl Extension {
    /// Has the lock, if nobody else has.
    fn try_begin(&self) -> Option<MutexGuard<'_, ()>> {
        match self.lock.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits for the lock.
    fn begin(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Relaxed);
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Relaxed);
        guard
    }

    /// Whether a page was seen to be there.
    #[inline]
    pub(super) fn has(&self, block: BlockNumber) -> bool {
        block < self.there.load(Relaxed)
    }

    /// The table has so many pages.
    pub(super) fn saw(&self, blocks: BlockNumber) {
        self.there.fetch_max(blocks, Relaxed);
    }

    /// The table was cut off: the pages that sessions put rows into last may be gone.
    pub(crate) fn cut_off(&self) {
        self.truncations.fetch_add(1, Relaxed);
        self.there.store(0, Relaxed);
    }
}

/// The page of a table that a session's last row went to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    block: BlockNumber,
    /// How often the table had been cut off.
    truncations: u32,
}

/// A page that had too little room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub(super) block: BlockNumber,
    pub(super) room: usize,
}

impl<'e> Session<'e> {
    /// The free space map of a table, and how this session guards its changes.
    pub(crate) fn free_space(&mut self, table: &TableEntry) -> (FreeSpaceMap<'e>, Guard<'_>) {
        let map = FreeSpaceMap::of(&self.shared.storage, table.locator);
        let xid = self.own_xid().unwrap_or(Xid::INVALID);
        (map, Guard::Image(&mut self.inserter, xid))
    }

    /// Notes how much room a page has, in the free space map.
    pub(crate) fn note_room(
        &mut self,
        table: &TableEntry,
        block: BlockNumber,
        room: usize,
    ) -> Result<(), Error> {
        let (map, mut guard) = self.free_space(table);
        Ok(map.note(block, room, &mut guard)?)
    }

    /// Has `fill` put something of this length into a page with room for it.
    pub(super) fn with_room<T>(
        &mut self,
        table: &TableEntry,
        length: usize,
        fill: impl FnOnce(&'e Shared, &mut Inserter, PageName, &mut PageWrite<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let needed = max_align(length as u64) as usize;
        let mut tried = None;
        loop {
            let pinned = self.page_to_try(table, needed, tried)?;
            let name = pinned.name();
            let mut guard = pinned.write();
            let room = room_on(name, &mut guard)?;
            if room >= needed {
                self.set_target(table, name.block);
                return fill(self.shared, &mut self.inserter, name, &mut guard);
            }
            tried = Some(Tried { block: name.block, room });
        }
    }

    /// Has the next row go to this page.
    pub(super) fn set_target(&mut self, table: &TableEntry, block: BlockNumber) {
        let target = Target { block, truncations: table.extension.truncations.load(Relaxed) };
        self.targets.insert(table.oid, target);
    }

    /// A page that may have so much room, other than the one that was tried last; one that is added if none is known.
    pub(super) fn page_to_try(
        &mut self,
        table: &TableEntry,
        needed: usize,
        tried: Option<Tried>,
    ) -> Result<PinnedPage<'e>, Error> {
        let shared = self.shared;
        let block = match tried {
            Some(Tried { block, room }) => {
                let (map, mut guard) = self.free_space(table);
                map.note_and_search(block, room, needed, &mut guard)?
            }
            None => self.first_to_try(table, needed)?,
        };
        match block {
            Some(block) => Ok(shared.storage.pool.get(table.page_name(block))?),
            None => self.page_added(table, needed),
        }
    }

    fn first_to_try(
        &mut self,
        table: &TableEntry,
        needed: usize,
    ) -> Result<Option<BlockNumber>, Error> {
        let truncations = table.extension.truncations.load(Relaxed);
        let target = self.targets.get(&table.oid);
        if let Some(target) = target.filter(|target| target.truncations == truncations) {
            return Ok(Some(target.block));
        }
        let (map, mut guard) = self.free_space(table);
        match map.search(needed, &mut guard)? {
            Some(block) => Ok(Some(block)),
            // So that not every session begins a page of its own.
            None => Ok(table.blocks(self.shared)?.checked_sub(1)),
        }
    }

    /// A page at the table's end, or one that somebody has just added there.
    fn page_added(&mut self, table: &TableEntry, needed: usize) -> Result<PinnedPage<'e>, Error> {
        let pool = &self.shared.storage.pool;
        let at_once = table.extension.try_begin();
        let _one_at_a_time = match at_once {
            Some(at_once) => at_once,
            None => {
                let waited = table.extension.begin();
                if let Some(block) = self.add_for_others(table, needed)? {
                    return Ok(pool.get(table.page_name(block))?);
                }
                waited
            }
        };
        Ok(pool.extend(table.locator, ForkNumber::Main)?)
    }

    /// Behind others who have added pages: one of theirs, or, if they have taken them all, pages for those who wait still.
    fn add_for_others(
        &mut self,
        table: &TableEntry,
        needed: usize,
    ) -> Result<Option<BlockNumber>, Error> {
        let pool = &self.shared.storage.pool;
        let (map, mut guard) = self.free_space(table);
        let found = map.search(needed, &mut guard)?;
        if found.is_some() {
            return Ok(found);
        }
        let waiting = table.extension.waiting.load(Relaxed);
        let more = (waiting * PAGES_PER_WAITER).min(MOST_PAGES_AT_ONCE);
        let mut first = None;
        for _ in 0..more {
            let block = pool.extend(table.locator, ForkNumber::Main)?.name().block;
            map.note(block, NEW_PAGE, &mut guard)?;
            first.get_or_insert(block);
        }
        if let Some(first) = first {
            map.bring_up_to_date::<Error>(first..first + more, &mut guard, &mut || Ok(()))?;
        }
        Ok(None)
    }
}

/// How much room a page has for a row; it is made if nothing was ever put on it.
pub(super) fn room_on(name: PageName, guard: &mut PageWrite<'_>) -> Result<usize, Error> {
    Ok(page_to_fill(name, guard)?.as_page().heap_free_space())
}
