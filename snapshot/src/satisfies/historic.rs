//! The rule for logical decoding: catalog rows as they were for a transaction that is being replayed.
//!
//! Who had committed is told by a list or by a point of time, like who was running is to the mvcc rule:
//!
//! | mode | others' changes count if |
//! |---|---|
//! | classic | the log's reader had come by their commit: [`CommittedBetween`], the other way round than a classic snapshot |
//! | commit timestamp | their timestamp is below the start: [`CommitTsSnapshot`](crate::commit_ts::CommitTsSnapshot) |
//!
//! The two are the same where timestamps are drawn in the order of the commit records
//! ([`InOrder`](crate::commit_ts::publish::InOrder)) and the start is behind the last one that the reader came by. Where
//! they are drawn by marker, their order counts, not the log's.
//!
//! Invariant: own changes count by command ids that the log gave, not by those in the tuple, which later transactions may
//! have overwritten. No hints are given, and the moves of an old VACUUM FULL are not looked at: no catalog row has them.

use base::{CommandId, Infomask, Xid};

use super::{Judged, MvccSnapshot, Outcome, ender, found};
use crate::reason::Reason;
use crate::stamp::{Hints, TupleStamp};
use crate::status::{CommandIdPair, TransactionStatus};

/// What a replayed transaction saw when it reached a command: what `others` had committed, and its own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HistoricSnapshot<N = CommittedBetween> {
    others: N,
    own: Vec<Xid>,
}

impl HistoricSnapshot {
    /// Everything before `xmin` has ended, nothing from `xmax` on has begun, in between `committed`
    /// committed; `own` are the replayed transaction and its subtransactions, at command `curcid`.
    pub fn new(
        xmin: Xid,
        xmax: Xid,
        mut committed: Vec<Xid>,
        own: Vec<Xid>,
        curcid: CommandId,
    ) -> HistoricSnapshot {
        committed.sort_unstable_by_key(|xid| xid.0);
        HistoricSnapshot::over(CommittedBetween { xmin, xmax, committed, curcid }, own)
    }
}

impl<N> HistoricSnapshot<N> {
    /// What `others` lets one see of everybody else, at its command; `own` are the replayed transaction and its
    /// subtransactions.
    pub fn over(others: N, mut own: Vec<Xid>) -> HistoricSnapshot<N> {
        own.sort_unstable_by_key(|xid| xid.0);
        HistoricSnapshot { others, own }
    }

    fn is_own(&self, xid: Xid) -> bool {
        self.own.binary_search_by_key(&xid.0, |own| own.0).is_ok()
    }

    /// Whether `xid` committed in time. `known_committed`: a bit of the tuple has it as committed.
    fn committed<S: TransactionStatus>(
        &self,
        xid: Xid,
        known_committed: bool,
        status: &S,
    ) -> Result<bool, S::Error>
    where
        N: MvccSnapshot<S>,
    {
        Ok(self.others.outcome(xid, known_committed, status)? == Outcome::Committed)
    }
}

/// Who had committed, as a list: everything before `xmin` has ended, nothing from `xmax` on counts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct CommittedBetween {
    xmin: Xid,
    xmax: Xid,
    committed: Vec<Xid>,
    curcid: CommandId,
}

impl<S: TransactionStatus> MvccSnapshot<S> for CommittedBetween {
    fn curcid(&self) -> CommandId {
        self.curcid
    }

    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error> {
        Ok(if xid.precedes(self.xmin) {
            let committed = known_committed || status.did_commit(xid)?;
            if committed { Outcome::Committed } else { Outcome::Aborted }
        } else if xid.precedes(self.xmax)
            && self.committed.binary_search_by_key(&xid.0, |other| other.0).is_ok()
        {
            Outcome::Committed
        } else {
            Outcome::Running
        })
    }
}

/// Whether the replayed transaction saw the version. `command_ids` gives what the log says of it: `None`
/// if it has not come by yet. Its `cmax` is [`CommandId::MAX`] where nothing has ended it.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_historic<S: TransactionStatus, N: MvccSnapshot<S>>(
    stamp: &TupleStamp,
    snapshot: &HistoricSnapshot<N>,
    command_ids: impl Fn() -> Option<CommandIdPair>,
    status: &S,
) -> Result<Judged<bool>, S::Error> {
    let judged =
        |visible, reason, xid| Ok(Judged::new(visible, Hints::default(), found(reason, xid)));
    let (bits, curcid) = (stamp.infomask, snapshot.others.curcid());
    let xmin = if bits.xmin_frozen() { Xid::FROZEN } else { stamp.xmin };
    if bits.xmin_aborted() {
        return judged(false, Reason::XminMarkedAborted, xmin);
    }
    if snapshot.is_own(xmin) {
        match command_ids() {
            None => return judged(false, Reason::CommandIdsUnknown, xmin),
            Some(pair) if pair.cmin >= curcid => {
                return judged(false, Reason::InsertedByLaterCommand, xmin);
            }
            Some(_) => {}
        }
    } else if !snapshot.committed(xmin, bits.xmin_committed(), status)? {
        return judged(false, Reason::XminAfterSnapshot, xmin);
    }
    if bits.contains(Infomask::XMAX_INVALID) {
        return judged(true, Reason::XmaxNone, stamp.xmax);
    }
    if bits.xmax_locked_only() {
        return judged(true, Reason::XmaxLocks, stamp.xmax);
    }
    let xmax = ender(stamp, status)?;
    if snapshot.is_own(xmax) {
        return match command_ids() {
            None => judged(true, Reason::CommandIdsUnknown, xmax),
            Some(pair) if pair.cmax >= curcid => judged(true, Reason::EndedByLaterCommand, xmax),
            Some(_) => judged(false, Reason::EndedByEarlierCommand, xmax),
        };
    }
    if snapshot.committed(xmax, bits.contains(Infomask::XMAX_COMMITTED), status)? {
        judged(false, Reason::XmaxCommitted, xmax)
    } else {
        judged(true, Reason::XmaxAfterSnapshot, xmax)
    }
}
