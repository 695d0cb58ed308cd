//! The fates of transactions as of this instant, from the commit-timestamp table alone.
//!
//! Invariant: what the table no longer holds has ended, and the commit log behind it says how. Whoever
//! crashed must have been marked as aborted before the table is asked: a slot cannot tell it from one
//! that runs.

use std::borrow::Cow;

use base::{CommandId, MultiXactId, Xid};

use super::slot::Slot;
use super::table::{CommitTimestamps, Lookup};
use crate::status::{CommandIdPair, LoggedStatus, MultiXactMember, TransactionStatus};

/// Answers about running and committed transactions from a table, and about everything else from the
/// status behind it.
#[derive(Clone, Copy, Debug)]
pub struct CommitTsStatus<'a, S> {
    /// Where fates are looked up.
    pub table: &'a CommitTimestamps,
    /// Asked what is older than the table, what is the asker's own, and about multixacts.
    pub behind: &'a S,
}

impl<S: TransactionStatus> TransactionStatus for CommitTsStatus<'_, S> {
    type Error = S::Error;

    #[inline]
    fn own(&self, xid: Xid) -> bool {
        self.behind.own(xid)
    }

    #[inline]
    fn running(&self, xid: Xid) -> Result<bool, S::Error> {
        let found = self.table.lookup(xid);
        Ok(!matches!(found, Lookup::Truncated | Lookup::Found(Slot::Committed(_) | Slot::Aborted)))
    }

    #[inline]
    fn logged(&self, xid: Xid) -> Result<LoggedStatus, S::Error> {
        match self.table.lookup(xid) {
            Lookup::Truncated => self.behind.logged(xid),
            Lookup::Found(Slot::Committed(_)) => Ok(LoggedStatus::Committed),
            Lookup::Found(Slot::Aborted) => Ok(LoggedStatus::Aborted),
            Lookup::Found(_) => Ok(LoggedStatus::InProgress),
        }
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, S::Error> {
        match self.table.parent(xid) {
            Some(parent) => Ok(Some(parent)),
            None => self.behind.parent(xid),
        }
    }

    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, S::Error> {
        self.behind.members(multi, only_lockers)
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, S::Error> {
        self.behind.command_ids(combo)
    }

    fn check_interrupts(&self) -> Result<(), S::Error> {
        self.behind.check_interrupts()
    }
}
