//! What became of a transaction, as one session sees it.
//!
//! By list, the process array says who runs and `pg_xact` who committed; by commit timestamp the table in memory says
//! both, and `pg_xact` answers for what is older.
//!
//! Invariant: `pg_xact` is asked after the process array, never before (`snapshot::status`, invariant 1).

use std::borrow::Cow;

use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::{CommandId, MultiXactId, Xid};
use procarray::ProcArray;
use snapshot::commit_ts::{CommitTimestamps, CommitTsStatus};
use snapshot::{CommandIdPair, LoggedStatus, MultiXactMember, MultiXactStatus, TransactionStatus};

use super::own_ids::OwnIds;
use crate::Error;
use crate::slru::Status;
use crate::slru::multixact::precedes;
use crate::storage::Storage;

/// Combo command ids of one transaction: a number for each pair of commands that made and ended one version
/// (`combocid.c`).
#[derive(Debug, Default)]
pub(crate) struct ComboIds(Vec<CommandIdPair>);

impl ComboIds {
    /// The number of a pair.
    pub(crate) fn id_of(&mut self, pair: CommandIdPair) -> CommandId {
        let known = self.0.iter().rposition(|known| *known == pair);
        known.unwrap_or_else(|| {
            self.0.push(pair);
            self.0.len() - 1
        }) as CommandId
    }

    fn pair_of(&self, combo: CommandId) -> Option<CommandIdPair> {
        self.0.get(combo as usize).copied()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The logs, as one session asks them.
#[derive(Clone, Copy)]
pub(crate) struct LogStatus<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) array: &'a ProcArray,
    /// The session's own transaction and its subtransactions.
    pub(crate) own: &'a OwnIds,
    /// Before this one everybody had ended when the session's snapshot was taken.
    pub(crate) xmin: Option<Xid>,
    pub(crate) combos: &'a ComboIds,
    pub(crate) cancelled: &'a AtomicBool,
}

/// The same, with the table of commit timestamps before them where the mode has one.
#[derive(Clone, Copy)]
pub(crate) struct SessionStatus<'a> {
    pub(crate) logs: LogStatus<'a>,
    pub(crate) table: Option<&'a CommitTimestamps>,
}

/// Whether a transaction or subtransaction runs, as the process array has it (`TransactionIdIsInProgress`). A slot that
/// could not keep all subtransactions leads to `pg_subtrans`.
///
/// # Errors
/// Where a page of a log cannot be read.
pub(crate) fn is_in_array(storage: &Storage, array: &ProcArray, xid: Xid) -> Result<bool, Error> {
    let mut overflowed: Vec<Xid> = Vec::new();
    if array.shared().search(xid, &mut overflowed) {
        return Ok(true);
    }
    let Some(&oldest) =
        overflowed.iter().reduce(|one, other| if other.precedes(*one) { other } else { one })
    else {
        return Ok(false);
    };
    if storage.clog.status(xid)?.0 == Status::Aborted {
        return Ok(false);
    }
    Ok(overflowed.contains(&storage.subtrans.topmost(xid, oldest)?))
}

impl LogStatus<'_> {
    /// Up to where the log must be flushed before a hint may say that this transaction committed.
    pub(crate) fn commit_lsn(&self, xid: Xid) -> Result<base::Lsn, Error> {
        self.storage.clog.status(xid).map(|(_, lsn)| lsn)
    }
}

impl TransactionStatus for LogStatus<'_> {
    type Error = Error;

    #[inline]
    fn own(&self, xid: Xid) -> bool {
        self.own.contains(xid)
    }

    fn running(&self, xid: Xid) -> Result<bool, Error> {
        if self.xmin.is_some_and(|xmin| xid.precedes(xmin)) {
            return Ok(false);
        }
        is_in_array(self.storage, self.array, xid)
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Error> {
        Ok(match self.storage.clog.status(xid)?.0 {
            Status::InProgress => LoggedStatus::InProgress,
            Status::Committed => LoggedStatus::Committed,
            Status::Aborted => LoggedStatus::Aborted,
            Status::SubCommitted => LoggedStatus::SubCommitted,
        })
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Error> {
        // Nobody asks about older ones, and their pages may be gone.
        if self.xmin.is_some_and(|xmin| xid.precedes(xmin)) {
            return Ok(None);
        }
        self.storage.subtrans.parent(xid)
    }

    /// A set is in the log before a row names it, but the one after it, which says where it ends, may be on its way.
    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Error> {
        let members = loop {
            let (oldest, next, position) = {
                let ids = self.storage.ids.lock();
                (ids.oldest_multi, ids.next_multi, ids.next_multi_offset)
            };
            if only_lockers && precedes(multi, oldest) || !precedes(multi, next) {
                return Ok(Cow::Borrowed(&[]));
            }
            if let Some(members) = self.storage.multixact.members(multi, next, position)? {
                break members;
            }
            self.check_interrupts()?;
            self.storage.log.log().check()?;
            base::sync::thread::yield_now();
        };
        let known = members.into_iter().filter_map(|member| {
            let status = MultiXactStatus::from_number(member.status)?;
            Some(MultiXactMember { xid: member.xid, status })
        });
        Ok(Cow::Owned(known.collect()))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Error> {
        self.combos.pair_of(combo).ok_or(Error::UnknownComboId(combo))
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        if self.cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl TransactionStatus for SessionStatus<'_> {
    type Error = Error;

    #[inline]
    fn own(&self, xid: Xid) -> bool {
        self.logs.own(xid)
    }

    fn running(&self, xid: Xid) -> Result<bool, Error> {
        match self.table {
            Some(table) => CommitTsStatus { table, behind: &self.logs }.running(xid),
            None => self.logs.running(xid),
        }
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Error> {
        match self.table {
            Some(table) => CommitTsStatus { table, behind: &self.logs }.logged(xid),
            None => self.logs.logged(xid),
        }
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Error> {
        self.logs.parent(xid)
    }

    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Error> {
        self.logs.members(multi, only_lockers)
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Error> {
        self.logs.command_ids(combo)
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        self.logs.check_interrupts()
    }
}
