//! The commit-timestamp mode over a server's own `pg_commit_ts`: the fates of transactions as of a point of time.
//!
//! ```text
//! now                                   as of the start
//! running                               running
//! committed at t                        committed if t < start, else running
//! committed, time not known             committed: before the first time that is kept
//! aborted                               aborted
//! ```
//!
//! Invariants: the boundary is that of `snapshot::commit_ts`: `commit_ts < start_ts`. A transaction that still runs has not
//! committed, whatever time it has drawn. Bits of a tuple that say that somebody committed say nothing of when, and are
//! taken off it first ([`AsOf::stamp`]); so every rule, not only the one with a snapshot, answers for the start.
//!
//! The server draws a commit's time before it shows the commit, by a clock that can jump back: a snapshot of this very
//! moment is not as repeatable as one of the `snapshot` crate's own table. One of the past is, as long as what it needs is
//! not removed.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;

use base::{CommandId, Infomask, MultiXactId, TimestampTz, Xid};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use snapshot::satisfies::{MvccSnapshot, Outcome, RemovalHorizon};
use snapshot::{CommandIdPair, LoggedStatus, MultiXactMember, TransactionStatus, TupleStamp};

use crate::error::SqlError;
use crate::ffi::transactions::{
    CommitTimes, ServerStatus, Unknown, commit_time, commit_times, keeps_commit_times, now,
};
use crate::running::next_xid;

/// A point of time.
#[derive(Debug)]
pub(crate) struct AsOf {
    /// Commits before this are seen.
    start: TimestampTz,
    /// Whether this transaction's own changes are: not in a snapshot of the past.
    own_changes: bool,
    /// Own changes by commands before this one.
    curcid: CommandId,
    /// No id has been given out twice, so that a frozen version's inserter can be told.
    is_first_epoch: bool,
    /// Who was found running counts as running from then on, whatever time it has drawn.
    found_running: RefCell<HashSet<u32>>,
}

impl AsOf {
    /// The snapshot of a time in the past, without this transaction's own changes.
    ///
    /// # Errors
    /// Where the server keeps no commit times, or not back to then; where the time is still to come.
    pub(crate) fn past(start: TimestampTz) -> Result<AsOf, SqlError> {
        let code = PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
        let times = commit_times().ok_or_else(|| {
            SqlError::new(code, "the server keeps no commit times")
                .hint("Set track_commit_timestamp to on and restart; times are known of what commits from then on.")
        })?;
        if start > now() {
            let code = PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE;
            return Err(SqlError::new(code, format!("{} is still to come", text(start)))
                .detail("Who will have committed until then is not known."));
        }
        match times {
            CommitTimes::None => {
                Err(too_old(start, "No transaction has committed since commit times are kept."))
            }
            CommitTimes::From(first, time) if start < time => Err(too_old(
                start,
                format!("The oldest that is known is {}, of transaction {first}.", text(time)),
            )),
            CommitTimes::From(..) => Ok(AsOf::new(start, false, 0)),
        }
    }

    /// The snapshot of this moment, with own changes by commands before `curcid`; `None` if the server keeps no commit times.
    pub(crate) fn present(curcid: CommandId) -> Option<AsOf> {
        keeps_commit_times().then(|| AsOf::new(now(), true, curcid))
    }

    fn new(start: TimestampTz, own_changes: bool, curcid: CommandId) -> AsOf {
        let is_first_epoch = next_xid().epoch() == 0;
        AsOf { start, own_changes, curcid, is_first_epoch, found_running: RefCell::default() }
    }

    /// When the inserter of a version committed. Of one frozen this is not told once ids have begun to be given out
    /// again: what is now known of the id may be a later transaction's.
    pub(crate) fn inserter_time(&self, stamp: &TupleStamp) -> Option<TimestampTz> {
        let is_told = !stamp.infomask.xmin_frozen() || self.is_first_epoch;
        is_told.then(|| commit_time(stamp.xmin)).flatten()
    }

    /// The stamp without what is known of its transactions only since they committed.
    pub(crate) fn stamp(&self, stamp: &TupleStamp) -> TupleStamp {
        let mut stamp = *stamp;
        let bits = stamp.infomask;
        if bits.xmin_committed() && self.inserter_time(&stamp).is_some() {
            stamp.infomask.remove(Infomask::XMIN_FROZEN);
        }
        if bits.contains(Infomask::XMAX_COMMITTED)
            && !bits.contains(Infomask::XMAX_IS_MULTI)
            && !bits.xmax_locked_only()
            && commit_time(stamp.xmax).is_some()
        {
            stamp.infomask.remove(Infomask::XMAX_COMMITTED);
        }
        stamp
    }

    fn fate(&self, xid: Xid, known_committed: bool) -> Result<Outcome, Unknown> {
        if known_committed {
            // The bit was left because no time is known.
            return Ok(Outcome::Committed);
        }
        if self.found_running.borrow().contains(&xid.0) {
            return Ok(Outcome::Running);
        }
        if ServerStatus.is_in_progress(xid)? {
            self.found_running.borrow_mut().insert(xid.0);
            return Ok(Outcome::Running);
        }
        if !ServerStatus.did_commit(xid)? {
            return Ok(Outcome::Aborted);
        }
        Ok(match commit_time(xid) {
            Some(time) if time >= self.start => Outcome::Running,
            _ => Outcome::Committed,
        })
    }
}

/// A time as the session shows it.
pub(crate) fn text(time: TimestampTz) -> String {
    let mut bytes = Vec::new();
    crate::ffi::time::push(time, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn too_old(start: TimestampTz, detail: impl Into<String>) -> SqlError {
    let message = format!("commit times are not known back to {}", text(start));
    SqlError::new(PgSqlErrorCode::ERRCODE_SNAPSHOT_TOO_OLD, message).detail(detail)
}

impl TransactionStatus for AsOf {
    type Error = Unknown;

    fn own(&self, xid: Xid) -> bool {
        self.own_changes && ServerStatus.own(xid)
    }

    fn running(&self, xid: Xid) -> Result<bool, Unknown> {
        Ok(self.fate(xid, false)? == Outcome::Running)
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Unknown> {
        Ok(match self.fate(xid, false)? {
            Outcome::Running => LoggedStatus::InProgress,
            Outcome::Committed => LoggedStatus::Committed,
            Outcome::Aborted => LoggedStatus::Aborted,
        })
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Unknown> {
        ServerStatus.parent(xid)
    }

    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Unknown> {
        ServerStatus.members(multi, only_lockers).map(|members| Cow::Owned(members.into_owned()))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Unknown> {
        ServerStatus.command_ids(combo)
    }
}

impl MvccSnapshot<AsOf> for AsOf {
    fn curcid(&self) -> CommandId {
        self.curcid
    }

    fn outcome(&self, xid: Xid, known_committed: bool, _: &AsOf) -> Result<Outcome, Unknown> {
        self.fate(xid, known_committed)
    }
}

/// As if this snapshot were the oldest in use: what ended before its start is removable.
impl RemovalHorizon for AsOf {
    fn is_removable(&self, ender: Xid) -> bool {
        self.fate(ender, false) == Ok(Outcome::Committed)
    }
}
