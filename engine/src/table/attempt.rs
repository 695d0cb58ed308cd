//! A version ended or replaced on its page, if it still is as it was looked at.
//!
//! Invariants: under one hold of the page's exclusive lock the version is compared with what was looked at, changed, and the
//! change logged; of two pages, the one with the lower number is locked first. Source: `heap_update`, `heap_delete`.

use base::page::PageError;
use base::{HeapTupleHeader, Infomask, Page, RawPage, Tid, Xid, max_align};
use wal::rmgr::heap::DeleteFlags;

use super::page::{
    PinnedPage, clear_map, heap_error, log_change, page_of, page_to_fill, read_header,
};
use super::prune::{has_removable, try_prune};
use super::room::{self, room_on};
use crate::Error;
use crate::buffer::PageName;
use crate::catalog::TableEntry;
use crate::heap::update::{Updating, update, update_to_other_page};
use crate::heap::{Change, NewXmax, delete};
use crate::session::Session;
use crate::transaction::Transaction;
use crate::visibility_map::MapPage;

/// What trying to change it came to.
pub(super) enum Tried {
    Changed {
        new: Tid,
        is_hot: bool,
    },
    /// It is not as it was any more.
    Stale,
    /// The page has no room for the new version.
    NoRoom,
}

impl Transaction<'_, '_> {
    /// Ends a version, if it is as it was looked at; whether it was.
    pub(super) fn try_end(
        &mut self,
        pinned: &PinnedPage<'_>,
        tid: Tid,
        seen: &HeapTupleHeader,
        xid: Xid,
    ) -> Result<bool, Error> {
        let flags = DeleteFlags::empty();
        let tried = self.try_delete(pinned, tid, seen, xid, NewXmax::ends(xid), flags)?;
        Ok(matches!(tried, Tried::Changed { .. }))
    }

    pub(super) fn try_delete(
        &mut self,
        pinned: &PinnedPage<'_>,
        tid: Tid,
        seen: &HeapTupleHeader,
        xid: Xid,
        new: NewXmax,
        flags: DeleteFlags,
    ) -> Result<Tried, Error> {
        let name = pinned.name();
        let mut guard = pinned.write();
        if !is_as_seen(name, guard.page(), tid, seen)? {
            return Ok(Tried::Stale);
        }
        let stamp = self.ending_stamp(seen)?;
        let session = &mut *self.session;
        let map = MapPage::to_clear(session.shared, name, &guard)?;
        let (inserter, change) = (&mut session.inserter, &mut session.change);
        let mut page = page_to_fill(name, &mut guard)?;
        delete::delete(&mut page, tid, xid, new, stamp, flags, change).map_err(heap_error(name))?;
        clear_map(map.as_ref(), name);
        log_change(session.shared, inserter, xid, change, &mut [(name, &mut guard)])?;
        Ok(Tried::Changed { new: tid, is_hot: true })
    }

    #[expect(clippy::too_many_arguments, reason = "what one change is made of")]
    pub(super) fn try_update(
        &mut self,
        table: &TableEntry,
        pinned: &PinnedPage<'_>,
        tid: Tid,
        seen: &HeapTupleHeader,
        xid: Xid,
        ((old_xmax, new_xmax), is_hot): ((NewXmax, Option<NewXmax>), bool),
        tuple: &mut [u8],
    ) -> Result<Tried, Error> {
        let ending = self.ending_stamp(seen)?;
        let how = Updating {
            old: tid,
            xid,
            command: self.command,
            ending,
            old_xmax,
            new_xmax,
            is_hot,
            may_share: false,
        };
        let session = &mut *self.session;
        match session.update_on_page(pinned, &how, seen, tuple)? {
            Tried::NoRoom => {}
            tried => return Ok(tried),
        }
        // While somebody sees all that has ended, no update of a full page is to look over it again.
        let name = pinned.name();
        let is_worth_it =
            page_of(name, &pinned.read())?.is_some_and(|page| has_removable(session, &page));
        if !is_worth_it {
            return session.update_elsewhere(table, pinned, &how, seen, tuple);
        }
        try_prune(session, pinned)?;
        match session.update_on_page(pinned, &how, seen, tuple)? {
            Tried::NoRoom => session.update_elsewhere(table, pinned, &how, seen, tuple),
            tried => Ok(tried),
        }
    }
}

impl Session<'_> {
    /// Puts the new version on the old one's page.
    fn update_on_page(
        &mut self,
        pinned: &PinnedPage<'_>,
        how: &Updating,
        seen: &HeapTupleHeader,
        tuple: &mut [u8],
    ) -> Result<Tried, Error> {
        let name = pinned.name();
        let mut guard = pinned.write();
        if !is_as_seen(name, guard.page(), how.old, seen)? {
            return Ok(Tried::Stale);
        }
        let map = MapPage::to_clear(self.shared, name, &guard)?;
        let noted = guard.noted();
        let mut page = page_to_fill(name, &mut guard)?;
        if page.as_page().heap_free_space() < max_align(tuple.len() as u64) as usize {
            return Ok(Tried::NoRoom);
        }
        let how =
            Updating { may_share: !self.shared.storage.needs_image(page.header().lsn), ..*how };
        let change = &mut self.change;
        let offset = update(&mut page, &how, tuple, change).map_err(heap_error(name))?;
        clear_map(map.as_ref(), name);
        let pages = &mut [(name, &mut guard)];
        log_change(self.shared, &mut self.inserter, how.xid, change, pages)?;
        guard.note(noted.and_then(|noted| noted.with(how.old.offset)?.with(offset)));
        self.to_prune.note(name, RawPage::new(&guard).header().lsn);
        Ok(Tried::Changed { new: Tid { block: name.block, offset }, is_hot: how.is_hot })
    }

    /// Puts the new version on another page.
    fn update_elsewhere(
        &mut self,
        table: &TableEntry,
        old: &PinnedPage<'_>,
        how: &Updating,
        seen: &HeapTupleHeader,
        tuple: &mut [u8],
    ) -> Result<Tried, Error> {
        let (shared, old_name) = (self.shared, old.name());
        let needed = max_align(tuple.len() as u64) as usize;
        let mut tried = None;
        loop {
            let new = self.page_to_try(table, needed, tried)?;
            let new_name = new.name();
            if new_name.block == old_name.block {
                let room = room_on(old_name, &mut old.write())?;
                if room >= needed {
                    // Made since it was looked for there.
                    return Ok(Tried::Stale);
                }
                tried = Some(room::Tried { block: old_name.block, room });
                continue;
            }
            // In the order of their numbers: two updates across the same pages do not wait for each other.
            let (mut old_guard, mut new_guard);
            if old_name.block < new_name.block {
                old_guard = old.write();
                new_guard = new.write();
            } else {
                new_guard = new.write();
                old_guard = old.write();
            }
            if !is_as_seen(old_name, old_guard.page(), how.old, seen)? {
                return Ok(Tried::Stale);
            }
            let room = room_on(new_name, &mut new_guard)?;
            if room < needed {
                tried = Some(room::Tried { block: new_name.block, room });
                continue;
            }
            self.set_target(table, new_name.block);
            let old_map = MapPage::to_clear(shared, old_name, &old_guard)?;
            let new_map = MapPage::to_clear(shared, new_name, &new_guard)?;
            let (old_noted, new_noted) = (old_guard.noted(), new_guard.noted());
            let change: &mut Change = &mut self.change;
            let mut old_page = page_to_fill(old_name, &mut old_guard)?;
            let mut new_page = page_to_fill(new_name, &mut new_guard)?;
            let block = new_name.block;
            let offset =
                update_to_other_page(&mut old_page, &mut new_page, block, how, tuple, change)
                    .map_err(heap_error(new_name))?;
            clear_map(old_map.as_ref(), old_name);
            clear_map(new_map.as_ref(), new_name);
            let pages = &mut [(new_name, &mut new_guard), (old_name, &mut old_guard)];
            log_change(shared, &mut self.inserter, how.xid, change, pages)?;
            old_guard.note(old_noted.and_then(|noted| noted.with(how.old.offset)));
            new_guard.note(new_noted.and_then(|noted| noted.with(offset)));
            return Ok(Tried::Changed { new: Tid { block, offset }, is_hot: false });
        }
    }
}

/// Hints come and go without the version becoming another.
const HINTS: Infomask = Infomask::XMIN_COMMITTED
    .union(Infomask::XMIN_INVALID)
    .union(Infomask::XMAX_COMMITTED)
    .union(Infomask::XMAX_INVALID);

/// Whether the version is what was looked at, hints aside.
pub(super) fn is_as_seen(
    name: PageName,
    page: Result<Page<'_>, PageError>,
    tid: Tid,
    seen: &HeapTupleHeader,
) -> Result<bool, Error> {
    let page = page.map_err(|error| Error::Page { name, error })?;
    let Some(tuple) = page.item(tid.offset) else { return Ok(false) };
    let now = read_header(name, tid.offset, tuple)?;
    let essence = |header: &HeapTupleHeader| {
        let bits = header.infomask.difference(HINTS);
        (header.xmin, header.xmax, header.field3, header.ctid, bits, header.infomask2)
    };
    Ok(essence(&now) == essence(seen))
}
