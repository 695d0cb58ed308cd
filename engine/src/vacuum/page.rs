//! One page: pruned, its hints set, what is old frozen, the visibility map told; later its dead line pointers freed.
//!
//! Invariants: what is decided of a page is made under the hold of its lock under which it was looked at. A page that
//! somebody else has pinned is left as it is, unless the table must come to its age: then he is waited for. Source:
//! `lazy_scan_prune`, `lazy_scan_noprune`, `lazy_vacuum_heap_page`.

use base::page::PageFlags;
use base::{BlockNumber, HeapTupleHeader, Lsn, OffsetNumber, Page, RawPage, Tid, Xid};
use snapshot::TupleStamp;
use snapshot::satisfies::{VacuumVerdict, satisfies_vacuum};

use super::freeze::{self, FreezeError};
use super::table::Vacuum;
use crate::Error;
use crate::buffer::{PageName, PageWrite};
use crate::catalog::frozen::Frozen;
use crate::free_space_map::NEW_PAGE;
use crate::heap::vacuum;
use crate::storage::PageImage;
use crate::table::page::{
    NewHint, PinnedPage, heap_error, log_change, log_hint, log_page, page_of, put_hints,
    read_header,
};
use crate::table::prune::prune_locked;
use crate::visibility_map::{self, ALL_FROZEN, ALL_VISIBLE, MapPage};

/// What a page turned out to be.
#[derive(Debug)]
struct PageState {
    /// Whether all that is on it is seen by everybody.
    is_all_visible: bool,
    /// Whether nothing on it will have to be frozen; counts only if it is all-visible.
    is_all_frozen: bool,
    /// The newest inserter on it.
    newest_xmin: Xid,
    /// Line pointers without a tuple that indexes may know.
    dead: Vec<OffsetNumber>,
    /// Whether there are others in use.
    has_rows: bool,
}

/// The versions on a page as they were judged.
#[derive(Debug, Default)]
struct Judged {
    tuples: Vec<(OffsetNumber, HeapTupleHeader)>,
    /// Whether there are line pointers in use that are not dead.
    has_rows: bool,
    hints: Vec<NewHint>,
    dead: Vec<OffsetNumber>,
    live: u64,
    recently_dead: u64,
    /// Dead ones, which pruning did not find so.
    missed: u64,
    is_not_visible_to_all: bool,
    newest_xmin: Xid,
}

impl Vacuum<'_, '_> {
    /// Looks at a page for the first time.
    pub(super) fn scan_page(&mut self, block: BlockNumber) -> Result<(), Error> {
        let map = self.pin_map(block)?;
        let pool = &self.session.shared.storage.pool;
        let pinned = pool.get_in_ring(self.table.page_name(block), &mut self.ring)?;
        let mut guard = match pinned.try_cleanup() {
            Some(guard) => guard,
            None if self.scan_busy_page(&pinned)? => return Ok(()),
            None => pinned.cleanup()?,
        };
        let name = pinned.name();
        if RawPage::new(&guard).header().upper == 0 {
            drop(guard);
            return self.note_new_page(block);
        }
        let state = self.prune_and_freeze(name, &mut guard)?;
        self.mark(&map, name, &mut guard, &state)?;
        self.saw(block, state.has_rows);
        let room = Page::assume_valid(&guard).heap_free_space();
        drop(guard);
        // Of a page with dead line pointers it is noted when they have been freed.
        if state.dead.is_empty() || self.is_emergency {
            self.session.note_room(self.table, block, room)?;
        }
        self.dead.extend(state.dead.iter().map(|offset| Tid { block, offset: *offset }));
        Ok(())
    }

    /// Judges all versions on a page.
    fn judge(&self, name: PageName, page: &Page<'_>) -> Result<Judged, Error> {
        let status = self.session.status();
        let lsn = page.header().lsn;
        let mut judged = Judged::default();
        for (offset, pointer) in page.line_pointers() {
            if pointer.is_dead() {
                judged.dead.push(offset);
            } else if pointer.is_used() {
                judged.has_rows = true;
            }
            let Some(tuple) = page.item(offset) else { continue };
            let mut header = read_header(name, offset, tuple)?;
            let stamp = TupleStamp::new(&header, Tid { block: name.block, offset });
            let found = satisfies_vacuum(&stamp, &self.horizon, &status)?;
            if let Some(hint) = NewHint::of(offset, header, &stamp, found.hints, lsn, &status) {
                header.infomask |= hint.bits();
                judged.hints.push(hint);
            }
            let mut is_visible_to_all = false;
            match found.verdict {
                VacuumVerdict::Live => {
                    judged.live += 1;
                    let bits = header.infomask;
                    let xmin = if bits.xmin_frozen() { Xid::FROZEN } else { header.xmin };
                    // A hint that is not there may be of a commit that is not durable.
                    is_visible_to_all = (bits.xmin_committed() || bits.xmin_frozen())
                        && xmin.precedes(self.cutoffs.oldest.xid);
                    if xmin.is_normal() && judged.newest_xmin.precedes(xmin) {
                        judged.newest_xmin = xmin;
                    }
                }
                VacuumVerdict::DeleteInProgress => judged.live += 1,
                VacuumVerdict::RecentlyDead => judged.recently_dead += 1,
                VacuumVerdict::InsertInProgress => {}
                VacuumVerdict::Dead => judged.missed += 1,
            }
            judged.is_not_visible_to_all |= !is_visible_to_all;
            judged.tuples.push((offset, header));
        }
        judged.is_not_visible_to_all |= !judged.dead.is_empty();
        Ok(judged)
    }

    fn prune_and_freeze(
        &mut self,
        name: PageName,
        guard: &mut PageWrite<'_>,
    ) -> Result<PageState, Error> {
        let judged = loop {
            let pruned = prune_locked(self.session, name, guard, self.horizon)?;
            self.report.removed += pruned.removed as u64;
            let page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
            let judged = self.judge(name, &page.as_page())?;
            // Somebody may have aborted since it was pruned.
            if judged.missed == 0 {
                break judged;
            }
        };
        if !judged.hints.is_empty() {
            let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
            put_hints(&mut page, &judged.hints);
            let session = &mut *self.session;
            let xid = session.own_xid().unwrap_or(Xid::INVALID);
            log_hint(&session.shared.storage, &mut session.inserter, xid, name, guard)?;
        }
        let mut left = self.left;
        let (mut frozen, mut is_all_frozen) = (Vec::new(), true);
        for (offset, header) in &judged.tuples {
            let plan = freeze::plan(self.session, *offset, header, &self.cutoffs, &mut left);
            let plan = plan.map_err(|error| self.unfreezable(name, *offset, error))?;
            frozen.extend(plan.tuple);
            is_all_frozen &= plan.is_all_frozen;
        }
        if !frozen.is_empty() {
            let session = &mut *self.session;
            let (inserter, change) = (&mut session.inserter, &mut session.change);
            let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
            vacuum::freeze(&mut page, self.cutoffs.freeze.xid, &frozen, change)
                .map_err(heap_error(name))?;
            log_change(session.shared, inserter, Xid::INVALID, change, &mut [(name, guard)])?;
        }
        self.left = left;
        self.report.frozen += frozen.len() as u64;
        self.report.live += judged.live;
        self.report.recently_dead += judged.recently_dead;
        Ok(PageState {
            is_all_visible: !judged.is_not_visible_to_all,
            is_all_frozen,
            newest_xmin: judged.newest_xmin,
            dead: judged.dead,
            has_rows: judged.has_rows,
        })
    }

    /// Tells the visibility map what a page turned out to be; what the two contradict each other in is mended.
    fn mark(
        &mut self,
        map: &MapPage<'_>,
        name: PageName,
        guard: &mut PageWrite<'_>,
        state: &PageState,
    ) -> Result<(), Error> {
        let header = RawPage::new(guard).header();
        let is_flagged = header.flags.contains(PageFlags::ALL_VISIBLE);
        let mut there = map.status(name.block);
        if there != 0 && !is_flagged {
            map.clear(name.block, visibility_map::BITS);
            there = 0;
        }
        if !state.dead.is_empty() && is_flagged {
            let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
            page.set_flags(PageFlags::ALL_VISIBLE, false);
            map.clear(name.block, visibility_map::BITS);
        }
        if !state.is_all_visible {
            return Ok(());
        }
        let all = if state.is_all_frozen { visibility_map::BITS } else { ALL_VISIBLE };
        let missing = all & !there;
        if missing == 0 {
            return Ok(());
        }
        if header.lsn == Lsn(0) {
            // An empty page that the log does not know: redo would find nothing to flag.
            let (storage, inserter) = (&self.session.shared.storage, &mut self.session.inserter);
            let image = PageImage { xid: Xid::INVALID, name, is_standard: true };
            log_page(storage, inserter, image, guard)?;
        }
        let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
        page.set_flags(PageFlags::ALL_VISIBLE, true);
        let is_new = missing & ALL_VISIBLE != 0;
        let newest = if is_new { state.newest_xmin } else { Xid::INVALID };
        map.set(self.session, name, guard, newest, missing)?;
        self.report.set_all_visible += u64::from(is_new);
        self.report.set_all_frozen += u64::from(missing & ALL_FROZEN != 0);
        Ok(())
    }

    fn unfreezable(&self, name: PageName, offset: OffsetNumber, error: FreezeError) -> Error {
        match error {
            FreezeError::Other(error) => error,
            FreezeError::Fault(fault) => {
                let tid = Tid { block: name.block, offset };
                Error::Unfreezable { table: self.table.name.clone(), tid, fault }
            }
        }
    }

    /// Looks at a page that somebody has pinned, and leaves it as it is. `false` if that will not do, since something on it
    /// must be frozen.
    fn scan_busy_page(&mut self, pinned: &PinnedPage<'_>) -> Result<bool, Error> {
        let name = pinned.name();
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else {
            drop(guard);
            return self.note_new_page(name.block).map(|()| true);
        };
        let judged = self.judge(name, &page)?;
        let (mut left, mut would_freeze): (Frozen, bool) = (self.left, false);
        let status = self.session.status();
        for (_, header) in &judged.tuples {
            would_freeze |= freeze::would_freeze(header, &self.cutoffs, &mut left, &status)?;
        }
        if would_freeze && self.cutoffs.is_aggressive {
            return Ok(false);
        }
        self.left = left;
        self.report.live += judged.live;
        self.report.recently_dead += judged.recently_dead;
        self.report.missed += judged.missed;
        let tid = |offset: &OffsetNumber| Tid { block: name.block, offset: *offset };
        self.dead.extend(judged.dead.iter().map(tid));
        let room = page.heap_free_space();
        drop(guard);
        self.saw(name.block, judged.has_rows);
        if judged.dead.is_empty() || self.is_emergency {
            self.session.note_room(self.table, name.block, room)?;
        }
        Ok(true)
    }

    /// A page has rows, or not.
    fn saw(&mut self, block: BlockNumber, has_rows: bool) {
        if has_rows {
            self.nonempty = block + 1;
        }
    }

    /// A page that was added and that nothing was put on, by whoever added it or by a crash: others may have it.
    fn note_new_page(&mut self, block: BlockNumber) -> Result<(), Error> {
        let (map, mut guard) = self.session.free_space(self.table);
        if map.noted(block)? == 0 {
            map.note(block, NEW_PAGE, &mut guard)?;
        }
        Ok(())
    }

    /// Frees dead line pointers of a page that no index knows any more.
    pub(super) fn free_on_page(
        &mut self,
        block: BlockNumber,
        offsets: &[OffsetNumber],
    ) -> Result<(), Error> {
        let map = self.pin_map(block)?;
        let session = &mut *self.session;
        let pool = &session.shared.storage.pool;
        let pinned = pool.get_in_ring(self.table.page_name(block), &mut self.ring)?;
        let name = pinned.name();
        let mut guard = pinned.write();
        let (inserter, change) = (&mut session.inserter, &mut session.change);
        let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
        vacuum::free_dead(&mut page, offsets, change).map_err(heap_error(name))?;
        log_change(session.shared, inserter, Xid::INVALID, change, &mut [(name, &mut guard)])?;
        let page = Page::assume_valid(&guard);
        let judged = self.judge(name, &page)?;
        let state = PageState {
            is_all_visible: !judged.is_not_visible_to_all,
            is_all_frozen: !judged.tuples.iter().any(|(_, header)| freeze::needs_freezing(header)),
            newest_xmin: judged.newest_xmin,
            dead: judged.dead,
            has_rows: judged.has_rows,
        };
        let room = page.heap_free_space();
        self.mark(&map, name, &mut guard, &state)?;
        drop(guard);
        self.session.note_room(self.table, block, room)
    }
}
