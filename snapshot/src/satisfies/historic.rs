//! The rule for logical decoding: catalog rows as they were for a transaction that is being replayed.
//!
//! Invariant: the lists are the other way round. A historic snapshot lists who *committed* between its
//! bounds, and the ids of the replayed transaction. Own changes count by command ids that the log gave,
//! not by those in the tuple, which later transactions may have overwritten. No hints are given, and the
//! moves of an old VACUUM FULL are not looked at: no catalog row has them.

use base::{CommandId, Infomask, Xid};

use super::{Judged, ender, found};
use crate::reason::Reason;
use crate::stamp::{Hints, TupleStamp};
use crate::status::{CommandIdPair, TransactionStatus};

/// Who had committed when the replayed transaction reached a command.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HistoricSnapshot {
    xmin: Xid,
    xmax: Xid,
    committed: Vec<Xid>,
    own: Vec<Xid>,
    curcid: CommandId,
}

impl HistoricSnapshot {
    /// Everything before `xmin` has ended, nothing from `xmax` on has begun, in between `committed`
    /// committed; `own` are the replayed transaction and its subtransactions, at command `curcid`.
    pub fn new(
        xmin: Xid,
        xmax: Xid,
        mut committed: Vec<Xid>,
        mut own: Vec<Xid>,
        curcid: CommandId,
    ) -> HistoricSnapshot {
        committed.sort_unstable_by_key(|xid| xid.0);
        own.sort_unstable_by_key(|xid| xid.0);
        HistoricSnapshot { xmin, xmax, committed, own, curcid }
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
    ) -> Result<bool, S::Error> {
        if xid.precedes(self.xmin) {
            Ok(known_committed || status.did_commit(xid)?)
        } else {
            Ok(xid.precedes(self.xmax)
                && self.committed.binary_search_by_key(&xid.0, |other| other.0).is_ok())
        }
    }
}

/// Whether the replayed transaction saw the version. `command_ids` gives what the log says of it: `None`
/// if it has not come by yet. Its `cmax` is [`CommandId::MAX`] where nothing has ended it.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_historic<S: TransactionStatus>(
    stamp: &TupleStamp,
    snapshot: &HistoricSnapshot,
    command_ids: impl Fn() -> Option<CommandIdPair>,
    status: &S,
) -> Result<Judged<bool>, S::Error> {
    let judged =
        |visible, reason, xid| Ok(Judged::new(visible, Hints::default(), found(reason, xid)));
    let bits = stamp.infomask;
    let xmin = if bits.xmin_frozen() { Xid::FROZEN } else { stamp.xmin };
    if bits.xmin_aborted() {
        return judged(false, Reason::XminMarkedAborted, xmin);
    }
    if snapshot.is_own(xmin) {
        match command_ids() {
            None => return judged(false, Reason::CommandIdsUnknown, xmin),
            Some(pair) if pair.cmin >= snapshot.curcid => {
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
            Some(pair) if pair.cmax >= snapshot.curcid => {
                judged(true, Reason::EndedByLaterCommand, xmax)
            }
            Some(_) => judged(false, Reason::EndedByEarlierCommand, xmax),
        };
    }
    if snapshot.committed(xmax, bits.contains(Infomask::XMAX_COMMITTED), status)? {
        judged(false, Reason::XmaxCommitted, xmax)
    } else {
        judged(true, Reason::XmaxAfterSnapshot, xmax)
    }
}
