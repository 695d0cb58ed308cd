//! Savepoints: subtransactions begun, released and rolled back, of any depth.
//!
//! ```text
//! savepoint    a level begins ─► with its first change, it and all around it get ids, the outermost first
//!                ─► process array, pg_subtrans, table of timestamps; every 64 are logged (XLOG_XACT_ASSIGNMENT)
//! release      the level's changes become those of the one around it; its id stays a child of the transaction
//! rollback_to  abort record ─► pg_xact ─► process array ─► files, names and locks as they were; the level begins anew
//! ```
//!
//! Invariants: levels are numbered in the order in which they begin, so an id names one for as long as the transaction runs.
//! A level's lists are those of the transaction from a length on. Source: `xact.c` (`AssignTransactionId`,
//! `AbortSubTransaction`).

use base::FullXid;
use base::Xid;
use wal::write::NewRecord;

use super::Transaction;
use super::tables::remove_files;
use crate::Error;
use crate::catalog::{Claim, Relation};
use crate::checkpoint::running_xacts_are_logged;
use crate::lock::{LockTag, TableLockMode, WaitPolicy};
use crate::planted::{self, Bug};
use crate::session::{Durability, Session};
use crate::xact::end::Ending;
use crate::xact::xids;

/// The resource manager `Transaction`, and its record `XLOG_XACT_ASSIGNMENT`.
const XACT: u8 = 1;
const ASSIGNMENT: u8 = 0x50;
/// Subtransactions that the log ties to their transaction together (`PGPROC_MAX_CACHED_SUBXIDS`).
const REPORTED_TOGETHER: usize = procarray::MAX_CACHED_SUBXIDS;

/// A savepoint of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SavepointId(u32);

/// What has happened since a savepoint, up to the next.
#[derive(Debug)]
pub(super) struct Level {
    id: SavepointId,
    pub(super) xid: Option<FullXid>,
    /// The lengths of the transaction's lists when it began.
    locks: usize,
    claimed: usize,
    made: usize,
    dropped: usize,
}

/// A name that the transaction makes or drops a relation by.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) name: String,
    /// What the transaction made of it before.
    pub(super) before: Option<Claim>,
}

impl Transaction<'_, '_> {
    /// Begins a savepoint, within those that there are.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`] after an error that only a rollback repairs; where the engine has stopped.
    pub fn savepoint(&mut self) -> Result<SavepointId, Error> {
        self.check()?;
        let id = SavepointId(self.savepoints);
        self.savepoints += 1;
        let Transaction { claimed, made, dropped, .. } = &*self;
        let (locks, claimed) = (self.session.locks.length(), claimed.len());
        let (made, dropped) = (made.len(), dropped.len());
        self.levels.push(Level { id, xid: None, locks, claimed, made, dropped });
        self.session.ids.current = None;
        Ok(id)
    }

    /// Forgets a savepoint and those within it; what was done since stays.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`] where it was released or rolled back from without; as [`Transaction::savepoint`].
    pub fn release(&mut self, savepoint: SavepointId) -> Result<(), Error> {
        self.check()?;
        let at = self.level_of(savepoint)?;
        self.release_from(at);
        Ok(())
    }

    /// Forgets all savepoints.
    pub(crate) fn release_all(&mut self) {
        self.release_from(0);
    }

    fn release_from(&mut self, level: usize) {
        // Whoever waits for a released subtransaction waits for the transaction from here on.
        let released = self.levels.drain(level..).filter_map(|level| level.xid);
        self.session.release(released.map(own_lock));
        self.set_current();
    }

    /// Undoes what was done since a savepoint, and forgets those within it; the savepoint itself stays. An error of a
    /// statement since then is repaired.
    ///
    /// # Errors
    /// [`Error::NoSavepoint`] as [`Transaction::release`]; where the log is stopped.
    pub fn rollback_to(&mut self, savepoint: SavepointId) -> Result<(), Error> {
        self.session.shared.check()?;
        let at = self.level_of(savepoint)?;
        self.undo_to(at)
    }

    /// Gives up what a failed statement belongs to, at once and not only when the caller comes to it: the innermost
    /// savepoint's changes and locks, or those of the whole transaction where there is none. From here on it can only be
    /// rolled back, whole or to a savepoint (`AbortCurrentTransaction`). If the session was cancelled, that is done with.
    ///
    /// # Errors
    /// Where the log is stopped. It is given up all the same.
    pub fn give_up(&mut self) -> Result<(), Error> {
        if self.is_over {
            return Ok(());
        }
        let given_up = match self.levels.len().checked_sub(1) {
            Some(innermost) => self.undo_to(innermost),
            None => self.end(false, Durability::default()),
        };
        self.has_failed = true;
        self.session.forget_cancel();
        given_up
    }

    /// Undoes what was done since a level began; it begins anew.
    fn undo_to(&mut self, at: usize) -> Result<(), Error> {
        self.levels.truncate(at + 1);
        let level = &mut self.levels[at];
        let xid = level.xid.take();
        let (locks, claimed, made, dropped) =
            (level.locks, level.claimed, level.made, level.dropped);
        let made = self.made.split_off(made);
        let files: Vec<_> = made.iter().map(Relation::locator).collect();
        let shared = self.session.shared;
        let own = xid.map_or_else(Vec::new, |xid| match planted::has(Bug::SavepointIsKept) {
            false => self.session.ids.cut(xid),
            true => vec![xid],
        });
        let aborted = match xid {
            None => Ok(()),
            _ if planted::has(Bug::SavepointIsKept) => Ok(()),
            Some(xid) => {
                let Session { backend, inserter, .. } = &mut *self.session;
                let (storage, transactions) = (&shared.storage, &shared.transactions);
                let children = &own[1..];
                let prepared = None;
                Ending { storage, transactions, backend, inserter, xid, children, prepared }
                    .abort_alone(&files)
            }
        };
        if aborted.is_ok() {
            files.iter().for_each(|relation| remove_files(shared, *relation));
        }
        let session = self.session.number();
        for Claimed { name, before } in self.claimed.drain(claimed..).rev() {
            shared.catalog.restore(&name, session, before);
        }
        self.dropped.truncate(dropped);
        made.iter().for_each(Relation::set_gone);
        let since = self.session.locks.cut(locks);
        self.session.to_prune.forget_current();
        self.session.release(own.into_iter().map(own_lock).chain(since));
        self.set_current();
        self.has_failed = aborted.is_err();
        if std::mem::take(&mut self.is_in_command) {
            self.hold_nothing_back();
        }
        aborted
    }

    fn level_of(&self, savepoint: SavepointId) -> Result<usize, Error> {
        self.levels
            .binary_search_by_key(&savepoint.0, |level| level.id.0)
            .map_err(|_| Error::NoSavepoint)
    }

    fn set_current(&mut self) {
        let ids = &mut self.session.ids;
        ids.current = self.levels.last().map_or(ids.top, |level| level.xid);
    }

    /// Gives ids to the transaction and to all savepoints, the innermost last, whose id it returns.
    #[cold]
    pub(super) fn assign_missing(&mut self) -> Result<Xid, Error> {
        let shared = self.session.shared;
        let (storage, transactions) = (&shared.storage, &shared.transactions);
        let top = match self.session.ids.top {
            Some(top) => top,
            None => {
                let Session { backend, inserter, ids, .. } = &mut *self.session;
                let xid = *ids.top.insert(xids::assign(storage, transactions, backend, inserter)?);
                self.session.lock_own(xid)?;
                xid
            }
        };
        let mut innermost = top;
        for level in &mut self.levels {
            if level.xid.is_none() {
                let Session { backend, inserter, ids, .. } = &mut *self.session;
                let parent = innermost;
                let xid = xids::assign_child(storage, transactions, backend, inserter, parent)?;
                level.xid = Some(xid);
                ids.children.push(xid);
                self.session.lock_own(xid)?;
                self.unreported.push(xid.xid());
            }
            innermost = level.xid.unwrap_or(innermost);
            if self.unreported.len() >= REPORTED_TOGETHER {
                let reported = std::mem::take(&mut self.unreported);
                if running_xacts_are_logged(storage) {
                    let parts = [top.xid(), Xid(reported.len() as u32)];
                    let words = parts.iter().chain(&reported);
                    let main: Vec<u8> = words.flat_map(|word| word.0.to_le_bytes()).collect();
                    let xid = innermost.xid();
                    let record =
                        NewRecord { xid, main: &[&main], ..NewRecord::new(XACT, ASSIGNMENT) };
                    storage.log.log().insert(&mut self.session.inserter, &record)?;
                }
            }
        }
        self.session.ids.current = Some(innermost);
        Ok(innermost.xid())
    }
}

/// The lock of an id that a transaction holds as long as it runs under it.
pub(crate) fn own_lock(xid: FullXid) -> (LockTag, TableLockMode) {
    (LockTag::Transaction(xid.xid()), TableLockMode::Exclusive)
}

impl Session<'_> {
    /// Takes the lock of an id that was just given out: nobody knows of it yet.
    fn lock_own(&self, xid: FullXid) -> Result<(), Error> {
        let (tag, mode) = own_lock(xid);
        let locks = &self.shared.transactions.locks;
        locks.acquire(self.number(), tag, mode, WaitPolicy::Wait, &self.interrupts()).map(drop)
    }
}
