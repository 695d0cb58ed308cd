//! Changing and deleting rows that others may be changing at the same moment.
//!
//! ```text
//! look     under the shared lock: may this command change the version?
//!            someone who runs holds it ─► wait for his end, look again
//!            someone has updated it    ─► repeatable read: error; read committed: on to his version
//!            someone has deleted it    ─► repeatable read: error; read committed: it is gone
//! decide   the caller says what becomes of the version; no page is locked
//! change   under the exclusive lock: if the version is still as it was looked at, change it; else look again
//! ```
//!
//! PostgreSQL marks the version as locked before it looks for room elsewhere; here nothing is promised to anybody between
//! looking and changing, so that the loser of a race goes round again. Source: `heap_update`, `heap_delete`,
//! `EvalPlanQual`.
//!
//! Invariant: no page is locked while another transaction is waited for.

use base::page::LinePointer;
use base::{
    ForkNumber, HeapTupleHeader, Infomask, Infomask2, OffsetNumber, Page, Tid, Xid, max_align,
};
use snapshot::satisfies::{UpdateVerdict, satisfies_update};
use snapshot::{CommandIdPair, TransactionStatus, TupleStamp};

use super::Row;
use super::page::{
    PinnedPage, heap_error, log_change, needs_image, page_of, page_to_fill, try_prune,
};
use crate::Error;
use crate::buffer::{PageName, PageWrite};
use crate::catalog::TableEntry;
use crate::heap::update::{Updating, update, update_to_other_page};
use crate::heap::{Change, CommandStamp, HeapError, NewXmax, Value, delete};
use crate::lock::WaitPolicy;
use crate::session::{Isolation, Session};
use crate::transaction::Transaction;
use base::sync::Arc;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRow {
    /// It stays as it is.
    Keep,
    /// It gets the values that were written down.
    Update,
    /// It goes.
    Delete,
}

/// What looking at a version finds.
enum Looked {
    /// It may be changed.
    Ready(HeapTupleHeader, Row),
    /// There is none that this command could change.
    Gone,
    /// Somebody who runs holds it.
    HeldBy(Xid),
    /// Somebody has updated it: there is its successor.
    Updated {
        next: Tid,
        by: Xid,
    },
    Deleted,
}

/// What trying to change it came to.
enum Tried {
    Changed(Tid),
    /// It is not as it was any more.
    Stale,
    /// The page has no room for the new version.
    NoRoom,
}

impl Transaction<'_, '_> {
    /// Deletes a row if its newest version is as `condition` wants it.
    pub(crate) fn delete_row(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        mut condition: impl FnMut(&[Value<'_>]) -> bool,
    ) -> Result<bool, Error> {
        let decide = |row: &Row, _: &mut Vec<u8>| {
            Ok(if condition(&row.values()?) { NewRow::Delete } else { NewRow::Keep })
        };
        Ok(self.modify_row(table, tid, decide)?.is_some())
    }

    /// Changes a row; `decide` is shown its newest version, and writes down the tuple that it is to become. Gives the
    /// root of what was changed or made, if `tid` was one; `None` if nothing was.
    pub(crate) fn modify_row(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        mut decide: impl FnMut(&Row, &mut Vec<u8>) -> Result<NewRow, Error>,
    ) -> Result<Option<Tid>, Error> {
        if tid.block >= table.blocks(self.session.shared)? {
            return Ok(None);
        }
        let xid = self.assign_xid()?;
        let mut place = Place { tid, expected_xmin: None };
        let mut root = tid;
        if self.isolation == Isolation::RepeatableRead {
            // The versions before the one that the snapshot sees were changed before it was taken: no conflict.
            match self.get_row(table, tid)? {
                Some(row) => place.tid = row.tid(),
                None => return Ok(None),
            }
        }
        let mut tuple = Vec::new();
        loop {
            self.session.check_cancelled()?;
            let name = table.page_name(place.tid.block);
            let pinned = self.session.shared.storage.pool.get(name)?;
            let (header, row) = match self.look_at(table, &pinned, &mut place)? {
                Looked::Ready(header, row) => (header, row),
                Looked::Gone => return Ok(None),
                Looked::HeldBy(holder) => {
                    drop(pinned);
                    self.session.wait_for(holder, WaitPolicy::Wait)?;
                    continue;
                }
                Looked::Updated { next, by } => {
                    self.refuse_if_repeatable(table, place.tid, "update")?;
                    if next.block != place.tid.block {
                        root = next;
                    }
                    place = Place { tid: next, expected_xmin: Some(by) };
                    continue;
                }
                Looked::Deleted => {
                    self.refuse_if_repeatable(table, place.tid, "delete")?;
                    return Ok(None);
                }
            };
            let decision = decide(&row, &mut tuple)?;
            let tried = match decision {
                NewRow::Keep => return Ok(None),
                NewRow::Delete => self.try_delete(&pinned, place.tid, &header, xid)?,
                NewRow::Update => {
                    self.try_update(table, &pinned, place.tid, &header, xid, &mut tuple)?
                }
            };
            if let Tried::Changed(new) = tried {
                return Ok(Some(if new.block == root.block { root } else { new }));
            }
        }
    }

    fn refuse_if_repeatable(
        &self,
        table: &TableEntry,
        tid: Tid,
        how: &'static str,
    ) -> Result<(), Error> {
        match self.isolation {
            Isolation::ReadCommitted => Ok(()),
            Isolation::RepeatableRead => {
                Err(Error::Serialization { table: table.name.clone(), tid, how })
            }
        }
    }

    /// Looks at a version under the shared lock.
    fn look_at(
        &self,
        table: &Arc<TableEntry>,
        pinned: &PinnedPage<'_>,
        place: &mut Place,
    ) -> Result<Looked, Error> {
        let name = pinned.name();
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else { return Ok(Looked::Gone) };
        let pointer = page.line_pointer(place.tid.offset);
        if place.expected_xmin.is_none()
            && let Some(target) = pointer.and_then(LinePointer::target)
        {
            place.tid.offset = target;
        }
        let Some(tuple) = page.item(place.tid.offset) else { return Ok(Looked::Gone) };
        let header = read_header(name, place.tid.offset, tuple)?;
        if place.expected_xmin.is_some_and(|xmin| xmin != header.xmin) {
            // The place has been given to another row.
            return Ok(Looked::Gone);
        }
        let status = self.session.status();
        let stamp = TupleStamp::new(&header, place.tid);
        let judged = satisfies_update(&stamp, self.command, &status)?;
        Ok(match judged.verdict {
            UpdateVerdict::Ok => Looked::Ready(header, Row::new(place.tid, tuple, table)),
            UpdateVerdict::Invisible | UpdateVerdict::SelfModified => Looked::Gone,
            UpdateVerdict::Updated => {
                Looked::Updated { next: header.ctid, by: updater(&header, &status)? }
            }
            UpdateVerdict::Deleted => Looked::Deleted,
            UpdateVerdict::BeingModified => match holder(&header, &status)? {
                Some(holder) => Looked::HeldBy(holder),
                // Whoever held it has just gone.
                None => return self.look_again(table, &page, place),
            },
        })
    }

    /// Looks once more at a version whose holder ended between two questions.
    fn look_again(
        &self,
        table: &Arc<TableEntry>,
        page: &Page<'_>,
        place: &Place,
    ) -> Result<Looked, Error> {
        let Some(tuple) = page.item(place.tid.offset) else { return Ok(Looked::Gone) };
        let header = HeapTupleHeader::read(tuple).map(|(header, _)| header);
        let Ok(header) = header else { return Ok(Looked::Gone) };
        let status = self.session.status();
        let stamp = TupleStamp::new(&header, place.tid);
        Ok(match satisfies_update(&stamp, self.command, &status)?.verdict {
            UpdateVerdict::Ok => Looked::Ready(header, Row::new(place.tid, tuple, table)),
            UpdateVerdict::Updated => {
                Looked::Updated { next: header.ctid, by: updater(&header, &status)? }
            }
            UpdateVerdict::Deleted => Looked::Deleted,
            UpdateVerdict::Invisible | UpdateVerdict::SelfModified => Looked::Gone,
            UpdateVerdict::BeingModified => Looked::HeldBy(header.xmax),
        })
    }

    /// The stamp of this command as what ends a version: with a number that stands for two commands, if this transaction
    /// made the version, too (`HeapTupleHeaderAdjustCmax`).
    fn ending_stamp(&mut self, header: &HeapTupleHeader) -> Result<CommandStamp, Error> {
        let session = &mut *self.session;
        if header.infomask.xmin_committed() || !session.ids.contains(header.xmin) {
            return Ok(CommandStamp { id: self.command, is_combo: false });
        }
        let cmin = if header.infomask.contains(Infomask::COMBOCID) {
            session.status().command_ids(header.field3)?.cmin
        } else {
            header.field3
        };
        let id = session.combos.id_of(CommandIdPair { cmin, cmax: self.command });
        Ok(CommandStamp { id, is_combo: true })
    }

    fn try_delete(
        &mut self,
        pinned: &PinnedPage<'_>,
        tid: Tid,
        seen: &HeapTupleHeader,
        xid: Xid,
    ) -> Result<Tried, Error> {
        let name = pinned.name();
        let mut guard = pinned.write();
        if !is_as_seen(name, &guard, tid, seen)? {
            return Ok(Tried::Stale);
        }
        let stamp = self.ending_stamp(seen)?;
        let session = &mut *self.session;
        let (inserter, change) = (&mut session.inserter, &mut session.change);
        let mut page = page_to_fill(name, &mut guard)?;
        delete::delete(&mut page, tid, xid, NewXmax::ends(xid), stamp, change)
            .map_err(heap_error(name))?;
        log_change(session.shared, inserter, xid, change, &mut [(name, &mut guard)])?;
        Ok(Tried::Changed(tid))
    }

    fn try_update(
        &mut self,
        table: &TableEntry,
        pinned: &PinnedPage<'_>,
        tid: Tid,
        seen: &HeapTupleHeader,
        xid: Xid,
        tuple: &mut [u8],
    ) -> Result<Tried, Error> {
        let ending = self.ending_stamp(seen)?;
        let how = Updating {
            old: tid,
            xid,
            command: self.command,
            ending,
            old_xmax: NewXmax::updates(xid),
            new_xmax: None,
            is_hot: true,
            may_share: false,
        };
        let session = &mut *self.session;
        match session.update_on_page(pinned, &how, seen, tuple)? {
            Tried::NoRoom => {}
            tried => return Ok(tried),
        }
        try_prune(session, table, pinned)?;
        match session.update_on_page(pinned, &how, seen, tuple)? {
            Tried::NoRoom => session.update_elsewhere(table, pinned, &how, seen, tuple),
            tried => Ok(tried),
        }
    }
}

/// Where a version is looked for.
#[derive(Debug, Clone, Copy)]
struct Place {
    tid: Tid,
    /// Who must have made it, if it was come to from its predecessor.
    expected_xmin: Option<Xid>,
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
        if !is_as_seen(name, &guard, how.old, seen)? {
            return Ok(Tried::Stale);
        }
        let mut page = page_to_fill(name, &mut guard)?;
        if page.as_page().heap_free_space() < max_align(tuple.len() as u64) as usize {
            return Ok(Tried::NoRoom);
        }
        let how = Updating { may_share: !needs_image(self.shared, page.header().lsn), ..*how };
        let change = &mut self.change;
        let offset = update(&mut page, &how, tuple, change).map_err(heap_error(name))?;
        let pages = &mut [(name, &mut guard)];
        log_change(self.shared, &mut self.inserter, how.xid, change, pages)?;
        Ok(Tried::Changed(Tid { block: name.block, offset }))
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
        let mut tried = 0;
        loop {
            let pool = &shared.storage.pool;
            let new = match self.candidate(table, needed, tried)? {
                Some(block) if block == old_name.block => {
                    self.set_target(table, block, 0);
                    self.targets.remove(&table.oid);
                    tried += 1;
                    continue;
                }
                Some(block) => pool.get(table.page_name(block))?,
                None => pool.extend(table.locator, ForkNumber::Main)?,
            };
            tried += 1;
            let new_name = new.name();
            // In the order of their numbers: two updates across the same pages do not wait for each other.
            let (mut old_guard, mut new_guard);
            if old_name.block < new_name.block {
                old_guard = old.write();
                new_guard = new.write();
            } else {
                new_guard = new.write();
                old_guard = old.write();
            }
            if !is_as_seen(old_name, &old_guard, how.old, seen)? {
                table.placement.note(new_name.block, room(new_name, &mut new_guard)?);
                return Ok(Tried::Stale);
            }
            let has = room(new_name, &mut new_guard)?;
            self.set_target(table, new_name.block, has);
            if has < needed {
                self.targets.remove(&table.oid);
                continue;
            }
            let change: &mut Change = &mut self.change;
            let mut old_page = page_to_fill(old_name, &mut old_guard)?;
            let mut new_page = page_to_fill(new_name, &mut new_guard)?;
            let block = new_name.block;
            let offset =
                update_to_other_page(&mut old_page, &mut new_page, block, how, tuple, change)
                    .map_err(heap_error(new_name))?;
            let pages = &mut [(new_name, &mut new_guard), (old_name, &mut old_guard)];
            log_change(shared, &mut self.inserter, how.xid, change, pages)?;
            self.set_target(table, block, Page::assume_valid(&new_guard).heap_free_space());
            return Ok(Tried::Changed(Tid { block, offset }));
        }
    }
}

fn room(name: PageName, guard: &mut PageWrite<'_>) -> Result<usize, Error> {
    Ok(page_to_fill(name, guard)?.as_page().heap_free_space())
}

fn read_header(
    name: PageName,
    offset: OffsetNumber,
    tuple: &[u8],
) -> Result<HeapTupleHeader, Error> {
    let damaged = || {
        let hoff = tuple.get(22).copied().unwrap_or(0);
        HeapError::DamagedTuple { offset, length: tuple.len(), hoff }
    };
    let read = HeapTupleHeader::read(tuple);
    read.map(|(header, _)| header).map_err(|_| Error::Heap { name, error: damaged() })
}

/// Hints come and go without the version becoming another.
const HINTS: Infomask = Infomask::XMIN_COMMITTED
    .union(Infomask::XMIN_INVALID)
    .union(Infomask::XMAX_COMMITTED)
    .union(Infomask::XMAX_INVALID);

/// Whether the version is what was looked at, hints aside.
fn is_as_seen(
    name: PageName,
    guard: &PageWrite<'_>,
    tid: Tid,
    seen: &HeapTupleHeader,
) -> Result<bool, Error> {
    let page = base::RawPage::new(guard).validate();
    let page = page.map_err(|error| Error::Page { name, error })?;
    let Some(tuple) = page.item(tid.offset) else { return Ok(false) };
    let now = read_header(name, tid.offset, tuple)?;
    let essence = |header: &HeapTupleHeader| {
        let bits = header.infomask.difference(HINTS);
        let bits2 = header.infomask2.difference(Infomask2::empty());
        (header.xmin, header.xmax, header.field3, header.ctid, bits, bits2)
    };
    Ok(essence(&now) == essence(seen))
}

/// Who ended a version.
fn updater(
    header: &HeapTupleHeader,
    status: &impl TransactionStatus<Error = Error>,
) -> Result<Xid, Error> {
    if header.infomask.contains(Infomask::XMAX_IS_MULTI) {
        return status.updater(header.xmax.0);
    }
    Ok(header.xmax)
}

/// Somebody who holds a version and runs.
fn holder(
    header: &HeapTupleHeader,
    status: &impl TransactionStatus<Error = Error>,
) -> Result<Option<Xid>, Error> {
    if !header.infomask.contains(Infomask::XMAX_IS_MULTI) {
        return Ok(Some(header.xmax));
    }
    let only_locks = header.infomask.xmax_locked_only();
    for member in status.members(header.xmax.0, only_locks)?.iter() {
        if !status.own(member.xid) && status.running(member.xid)? {
            return Ok(Some(member.xid));
        }
    }
    Ok(None)
}
