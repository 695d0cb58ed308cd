//! What a transaction locks, and what its session does beyond it.
//!
//! Invariants: a lock of a table is kept until the transaction ends or is rolled back to a savepoint before it. A table's
//! lock is had before the table is looked at, and whether it is still there is looked at afterwards.

use std::time::Duration;

use base::Xid;
use base::sync::Arc;

use super::Transaction;
use crate::Error;
use crate::catalog::{Relation, TableEntry};
use crate::lock::{AdvisoryKey, LockTag, TableLockMode, WaitPolicy};
use crate::session::Session;
use crate::table::Table;

/// How an advisory lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdvisoryMode {
    /// By one session alone.
    Exclusive,
    /// Beside others who take it so.
    Shared,
}

impl From<AdvisoryMode> for TableLockMode {
    fn from(mode: AdvisoryMode) -> TableLockMode {
        match mode {
            AdvisoryMode::Exclusive => TableLockMode::Exclusive,
            AdvisoryMode::Shared => TableLockMode::Share,
        }
    }
}

impl Session<'_> {
    /// Gets a lock for the transaction. `false` if it was refused, and not to be waited for.
    pub(crate) fn lock(
        &mut self,
        tag: LockTag,
        mode: TableLockMode,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        if self.locks.has(tag, mode) {
            return Ok(true);
        }
        let granted = self.acquire(tag, mode, policy)?;
        if granted {
            self.locks.take(tag, mode);
        }
        Ok(granted)
    }

    /// Gets a lock that the session may hold already for something else.
    fn acquire(
        &self,
        tag: LockTag,
        mode: TableLockMode,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        if self.locks.is_held(tag, mode) {
            return Ok(true);
        }
        let locks = &self.shared.transactions.locks;
        locks.acquire(self.number(), tag, mode, policy, &self.interrupts())
    }

    /// Gives back a lock of the transaction.
    pub(crate) fn unlock(&mut self, tag: LockTag, mode: TableLockMode) {
        if self.locks.give_back(tag, mode) {
            self.release([(tag, mode)]);
        }
    }

    /// Gives locks back that the session is not to hold any more.
    pub(crate) fn release(&self, locks: impl IntoIterator<Item = (LockTag, TableLockMode)>) {
        self.shared.transactions.locks.release(self.number(), locks);
    }

    /// Takes an advisory lock until it is given back or the session ends. `false` if it was refused, and not to be waited
    /// for.
    ///
    /// # Errors
    /// [`Error::Deadlock`], [`Error::LockTimeout`], [`Error::StatementTimeout`], [`Error::Cancelled`] while it waits.
    pub fn advisory_lock(
        &mut self,
        key: AdvisoryKey,
        mode: AdvisoryMode,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        let (tag, mode) = (LockTag::Advisory(key), mode.into());
        let granted = self.acquire(tag, mode, policy)?;
        if granted {
            self.locks.take_for_session(tag, mode);
        }
        Ok(granted)
    }

    /// Gives back an advisory lock that the session took; `false` if it has none such. One that was taken twice is to be
    /// given back twice.
    pub fn advisory_unlock(&mut self, key: AdvisoryKey, mode: AdvisoryMode) -> bool {
        let (tag, mode) = (LockTag::Advisory(key), mode.into());
        let given_back = self.locks.give_back_for_session(tag, mode);
        if given_back == Some(true) {
            self.release([(tag, mode)]);
        }
        given_back.is_some()
    }

    /// Gives back all advisory locks that the session took, those of a running transaction aside.
    pub fn advisory_unlock_all(&mut self) {
        let given_back = self.locks.give_back_all_for_session();
        self.release(given_back);
    }
}

/// What the session has taken beyond its transactions goes with it.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.advisory_unlock_all();
    }
}

impl Transaction<'_, '_> {
    /// Locks a table, until the transaction ends.
    ///
    /// # Errors
    /// [`Error::LockNotAvailable`] if it was not to be waited for; [`Error::Deadlock`], [`Error::LockTimeout`],
    /// [`Error::StatementTimeout`], [`Error::Cancelled`] while it waits; [`Error::NoTable`] if it is gone by then.
    pub fn lock_table(
        &mut self,
        table: &Table,
        mode: TableLockMode,
        policy: WaitPolicy,
    ) -> Result<(), Error> {
        self.check()?;
        self.lock_entry(table.entry(), mode, policy)
    }

    /// Locks a table for what a statement does with it.
    #[inline]
    pub(crate) fn use_table(
        &mut self,
        entry: &Arc<TableEntry>,
        mode: TableLockMode,
    ) -> Result<(), Error> {
        self.lock_entry(entry, mode, WaitPolicy::Wait)
    }

    pub(crate) fn lock_entry(
        &mut self,
        entry: &Arc<TableEntry>,
        mode: TableLockMode,
        policy: WaitPolicy,
    ) -> Result<(), Error> {
        if !self.session.lock(LockTag::Relation(entry.oid), mode, policy)? {
            return Err(Error::LockNotAvailable(entry.name.clone()));
        }
        let is_it = |dropped: &Relation| matches!(dropped, Relation::Table(dropped) if Arc::ptr_eq(dropped, entry));
        if entry.is_gone() || self.dropped.iter().any(is_it) {
            return Err(Error::NoTable(entry.name.clone()));
        }
        Ok(())
    }

    /// Takes an advisory lock until the transaction ends, or is rolled back to a savepoint before it. `false` if it was
    /// refused, and not to be waited for.
    ///
    /// # Errors
    /// As [`Session::advisory_lock`].
    pub fn advisory_lock(
        &mut self,
        key: AdvisoryKey,
        mode: AdvisoryMode,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        self.check()?;
        self.session.lock(LockTag::Advisory(key), mode.into(), policy)
    }

    /// As [`Session::advisory_lock`], of the session that the transaction runs in: rolling back does not give it back.
    ///
    /// # Errors
    /// As [`Session::advisory_lock`].
    pub fn advisory_lock_for_session(
        &mut self,
        key: AdvisoryKey,
        mode: AdvisoryMode,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        self.check()?;
        self.session.advisory_lock(key, mode, policy)
    }

    /// As [`Session::advisory_unlock`].
    pub fn advisory_unlock(&mut self, key: AdvisoryKey, mode: AdvisoryMode) -> bool {
        self.session.advisory_unlock(key, mode)
    }

    /// As [`Session::advisory_unlock_all`].
    pub fn advisory_unlock_all(&mut self) {
        self.session.advisory_unlock_all();
    }

    /// As [`Session::set_compression`].
    pub fn set_compression(&mut self, compression: crate::heap::Compression) {
        self.session.set_compression(compression);
    }

    /// As [`Session::set_lock_timeout`].
    pub fn set_lock_timeout(&mut self, timeout: Option<Duration>) {
        self.session.set_lock_timeout(timeout);
    }

    /// As [`Session::set_statement_timeout`].
    pub fn set_statement_timeout(&mut self, timeout: Option<Duration>) {
        self.session.set_statement_timeout(timeout);
    }

    /// As [`Session::set_deadlock_timeout`].
    pub fn set_deadlock_timeout(&mut self, timeout: Duration) {
        self.session.set_deadlock_timeout(timeout);
    }

    /// Waits until another transaction or subtransaction has ended: one that [`Table::scan_dirty`] told of.
    ///
    /// # Errors
    /// [`Error::Deadlock`], [`Error::LockTimeout`], [`Error::StatementTimeout`], [`Error::Cancelled`] while it waits.
    pub fn wait_for_end(&mut self, xid: Xid) -> Result<(), Error> {
        self.check()?;
        if self.session.ids.contains(xid) {
            return Ok(());
        }
        self.session.wait_for(xid, WaitPolicy::Wait).map(drop)
    }

    /// Sleeps (`pg_sleep`), until it is cancelled or the statement's time is over.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::StatementTimeout`].
    pub fn sleep(&mut self, duration: Duration) -> Result<(), Error> {
        let session = &*self.session;
        let locks = &session.shared.transactions.locks;
        locks.pause(session.number(), duration, &session.interrupts())
    }
}
