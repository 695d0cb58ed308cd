//! Pages of tables pruned: when somebody comes to one that is short of room, and meanwhile, where a session waits for the log anyway.
//!
//! ```text
//! transaction 1   updates a row: the page is noted    commits ... waits for the log ...
//! transaction 2   updates a row of the table          commits ... waits for the log: prunes the page, if nobody sees the old version ...
//! others          update rows of the page: there is room
//! ```
//!
//! Invariants: a page is pruned only by who has it alone; one that was noted only while the session's transaction has a lock of
//! its table and does not drop it, since recovery has no file of it behind that commit.
//! Source: `heap_page_prune_opt`; pruning while one waits is our own.

use std::collections::VecDeque;

use base::page::{PageBytes, PageFlags};
use base::{HeapTupleHeader, Lsn, OffsetNumber, PAGE_SIZE, Page, Tid, Xid};
use snapshot::satisfies::{RemovalHorizon, VacuumVerdict, satisfies_vacuum};
use snapshot::{TransactionStatus, TupleStamp};
use wal::write::Inserter;

use super::page::{NewHint, PinnedPage, heap_error, log_change, log_hint, put_hints};
use crate::Error;
use crate::buffer::note::Noted;
use crate::buffer::{PageName, PageWrite};
use crate::db::Shared;
use crate::heap::Change;
use crate::heap::prune::{Fate, Fates, Pruned, prune, stands};
use crate::session::{Session, ToEnd};
use crate::xact::mode::ModeHorizon;
use crate::xact::status::SessionStatus;

/// Whether pruning the page may be worth it (`heap_page_prune_opt`): something is noted as prunable, nobody sees it any
/// more, and the page is short of room.
pub(crate) fn is_worth_pruning(session: &mut Session<'_>, page: &Page<'_>) -> bool {
    prunable(page).is_some_and(|xid| is_short(page) && session.horizon().is_removable(xid))
}

/// The oldest transaction that left something to prune on the page, if that is noted.
fn prunable(page: &Page<'_>) -> Option<Xid> {
    Some(page.header().prune_xid).filter(|xid| !xid.is_invalid())
}

fn is_short(page: &Page<'_>) -> bool {
    page.header().flags.contains(PageFlags::PAGE_FULL) || page.heap_free_space() < PAGE_SIZE / 10
}

/// Whether something on the page is noted as prunable, and nobody sees it any more.
pub(crate) fn has_removable(session: &mut Session<'_>, page: &Page<'_>) -> bool {
    prunable(page).is_some_and(|xid| session.horizon().is_removable(xid))
}

/// Prunes the page, unless somebody else has it pinned. How much room it then has is for vacuum to note.
///
/// # Errors
/// Where a transaction's fate cannot be read, or the log is stopped.
pub(crate) fn try_prune(session: &mut Session<'_>, pinned: &PinnedPage<'_>) -> Result<(), Error> {
    let horizon = session.horizon();
    let Some(mut guard) = pinned.try_cleanup() else { return Ok(()) };
    prune_locked(session, pinned.name(), &mut guard, horizon)?;
    Ok(())
}

/// Prunes the page, which is locked for that, and logs it; of one that changes in hints alone the image, if need be.
///
/// # Errors
/// As [`try_prune`].
pub(crate) fn prune_locked(
    session: &mut Session<'_>,
    name: PageName,
    guard: &mut PageWrite<'_>,
    horizon: ModeHorizon<'_>,
) -> Result<Pruned, Error> {
    let xid = session.own_xid().unwrap_or(Xid::INVALID);
    let (ToEnd { inserter, .. }, mut pruner) = session.split();
    pruner.prune(horizon, (inserter, xid), name, guard)
}

/// What pruning takes of a session, its door to the log aside.
pub(crate) struct Pruner<'p> {
    pub(crate) shared: &'p Shared,
    pub(crate) status: SessionStatus<'p>,
    pub(crate) change: &'p mut Change,
}

impl Pruner<'_> {
    /// As [`prune_locked`], in the log as of this transaction.
    fn prune(
        &mut self,
        horizon: ModeHorizon<'_>,
        (inserter, xid): (&mut Inserter, Xid),
        name: PageName,
        guard: &mut PageWrite<'_>,
    ) -> Result<Pruned, Error> {
        let Pruner { shared, status, change } = self;
        let noted = guard.noted();
        let pruned = {
            let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
            let (lsn, hints, status) = (page.header().lsn, Vec::new(), *status);
            let mut fates = PageFates { status, horizon, name, lsn, hints, error: None };
            let pruned = prune(&mut page, &mut fates, noted.as_ref().map(Noted::offsets), change);
            let pruned = pruned.map_err(heap_error(name));
            match fates.error.take() {
                Some(error) => Err(error),
                None => pruned.inspect(|_| put_hints(&mut page, &fates.hints)),
            }
        }?;
        if pruned.is_empty() {
            log_hint(&shared.storage, inserter, xid, name, guard)?;
        } else {
            log_change(shared, inserter, xid, change, &mut [(name, guard)])?;
        }
        guard.note(still_doubtful(&pruned, guard));
        Ok(pruned)
    }

    /// Prunes the next of the pages that were noted, if nobody sees any more what its update left; whether there was one. A
    /// page that is pinned, not in memory, or that something is wrong with, is left to who comes to it, and so is one that others
    /// have changed since: they come again, and are not to wait for its lock.
    pub(crate) fn prune_noted(
        &mut self,
        horizon: ModeHorizon<'_>,
        inserter: &mut Inserter,
        noted: &mut ToPrune,
    ) -> bool {
        let Some(Updated { name, lsn }) = noted.take(horizon) else { return false };
        let Some(pinned) = self.shared.storage.pool.get_cached(name) else { return true };
        let Some(mut guard) = pinned.try_cleanup() else { return true };
        let is_worth_it = guard.page().is_ok_and(|page| {
            let is_prunable = |xid| is_short(&page) && horizon.is_removable(xid);
            page.header().lsn == lsn && prunable(&page).is_some_and(is_prunable)
        });
        if is_worth_it {
            // Its commit stands in the log already, so this is nobody's.
            let _ = self.prune(horizon, (inserter, Xid::INVALID), name, &mut guard);
        }
        true
    }
}

/// A page within which a row was updated, as that left it.
#[derive(Debug, Clone, Copy)]
struct Updated {
    name: PageName,
    lsn: Lsn,
}

/// Pages within which a session has updated a row.
#[derive(Debug, Default)]
pub(crate) struct ToPrune {
    /// Of the running transaction.
    current: Vec<Updated>,
    /// Of earlier ones, the oldest first, and who left it.
    earlier: VecDeque<(Xid, Updated)>,
}

impl ToPrune {
    /// The most pages that are kept of the running transaction, and of earlier ones: what a session has not come to by then, others
    /// have.
    const MOST: usize = 32;

    /// Notes a page that the running transaction has updated a row of, and its LSN since.
    pub(crate) fn note(&mut self, name: PageName, lsn: Lsn) {
        if let Some(current) = self.current.iter_mut().find(|current| current.name == name) {
            current.lsn = lsn;
        } else if self.current.len() < Self::MOST {
            self.current.push(Updated { name, lsn });
        }
    }

    /// The running transaction has committed.
    pub(crate) fn committed(&mut self, xid: Xid) {
        for updated in self.current.drain(..) {
            if self.earlier.len() == Self::MOST {
                self.earlier.pop_front();
            }
            self.earlier.push_back((xid, updated));
        }
    }

    /// Whether there may be something to take.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.current.is_empty() && !self.earlier.is_empty()
    }

    /// The session may have given locks of tables back or drops one, or the running transaction is over.
    pub(crate) fn forget_current(&mut self) {
        self.current.clear();
    }

    /// Takes the oldest page whose updater nobody sees as running any more, and of whose table the running transaction has a
    /// lock: it has updated rows of it, too.
    fn take(&mut self, horizon: ModeHorizon<'_>) -> Option<Updated> {
        let is_locked = |of: &Updated| {
            self.current.iter().any(|current| current.name.locator == of.name.locator)
        };
        let is_ready = |(by, of): &(Xid, Updated)| is_locked(of) && horizon.is_removable(*by);
        let at = self.earlier.iter().position(is_ready)?;
        self.earlier.remove(at).map(|(_, updated)| updated)
    }
}

/// The versions that a page's next pruning has to look at, now that hints are noted.
fn still_doubtful(pruned: &Pruned, page: &PageBytes) -> Option<Noted> {
    let page = Page::assume_valid(page);
    let stands =
        |offset| HeapTupleHeader::read(page.item(offset)?).ok().map(|(header, _)| stands(&header));
    Noted::of(pruned.doubtful.iter().copied().filter(|offset| stands(*offset) == Some(false)))
}

/// What is to become of a page's versions. Of one whose transactions cannot be asked about, nothing.
struct PageFates<'a, 'e> {
    status: SessionStatus<'a>,
    horizon: ModeHorizon<'e>,
    name: PageName,
    /// The page's.
    lsn: Lsn,
    /// What may be noted of versions, so that nobody has to find it out again.
    hints: Vec<NewHint>,
    error: Option<Error>,
}

impl PageFates<'_, '_> {
    fn or_note<T>(&mut self, answer: Result<T, Error>, otherwise: T) -> T {
        answer.unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            otherwise
        })
    }
}

impl Fates for PageFates<'_, '_> {
    fn are_known(&self) -> bool {
        self.error.is_none()
    }

    fn fate(&mut self, offset: OffsetNumber, header: &HeapTupleHeader) -> Fate {
        let stamp = TupleStamp::new(header, Tid { block: self.name.block, offset });
        let judged = satisfies_vacuum(&stamp, &self.horizon, &self.status);
        if let Ok(judged) = &judged {
            let new = NewHint::of(offset, *header, &stamp, judged.hints, self.lsn, &self.status);
            self.hints.extend(new);
        }
        match judged.map(|judged| judged.verdict) {
            Ok(VacuumVerdict::Dead) => Fate::Dead,
            Ok(VacuumVerdict::RecentlyDead) => Fate::RecentlyDead,
            Ok(VacuumVerdict::Live) => Fate::Live,
            Ok(VacuumVerdict::InsertInProgress) => Fate::InsertInProgress,
            Ok(VacuumVerdict::DeleteInProgress) => Fate::DeleteInProgress,
            Err(error) => self.or_note(Err(error), Fate::Live),
        }
    }

    fn updater(&mut self, header: &HeapTupleHeader) -> Xid {
        let updater = self.status.updater(header.xmax.0);
        self.or_note(updater, Xid::INVALID)
    }

    fn has_committed(&mut self, xid: Xid) -> bool {
        let committed = self.status.did_commit(xid);
        self.or_note(committed, true)
    }
}

#[cfg(test)]
mod tests;
