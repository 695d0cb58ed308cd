//! The rule for whoever wants to update, delete or lock a version.
//!
//! Invariant: it answers for this instant, except that own changes count by command. A lock held by
//! anyone, the asker included, is reported as being modified; what to do about it is the caller's.

use base::{CommandId, Infomask};

use super::{Found, Inserter, Judged, Now, cmax, cmin, ender, found, inserter};
use crate::reason::Reason;
use crate::stamp::{Hint, Hints, TupleStamp};
use crate::status::TransactionStatus;

/// What the rule says (`TM_Result`, as far as it comes from here).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UpdateVerdict {
    /// It may be changed.
    Ok,
    /// It did not exist when the command began.
    Invisible,
    /// The asking transaction has changed it since the command began.
    SelfModified,
    /// Somebody else updated it and committed.
    Updated,
    /// Somebody else deleted it and committed.
    Deleted,
    /// Somebody who still runs changes or locks it.
    BeingModified,
}

type Step = (UpdateVerdict, Hint, Found);

/// Whether the version may be changed by command `curcid` of the asking transaction.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_update<S: TransactionStatus>(
    stamp: &TupleStamp,
    curcid: CommandId,
    status: &S,
) -> Result<Judged<UpdateVerdict>, S::Error> {
    let (inserter, xmin_hint, why) = inserter(stamp, &Now, status)?;
    let (verdict, xmax_hint, why) = match inserter.settled() {
        Inserter::Own => own(stamp, curcid, status)?,
        Inserter::Committed => committed(stamp, curcid, status)?,
        _ => (UpdateVerdict::Invisible, Hint::Nothing, why),
    };
    Ok(Judged::new(verdict, Hints { xmin: xmin_hint, xmax: xmax_hint }, why))
}

/// A version that the asking transaction inserted. It can be locked by others all the same: they locked
/// its predecessor's key, and the lock was carried over.
fn own<S: TransactionStatus>(
    stamp: &TupleStamp,
    curcid: CommandId,
    status: &S,
) -> Result<Step, S::Error> {
    let (bits, xmax) = (stamp.infomask, stamp.xmax);
    let multi = bits.contains(Infomask::XMAX_IS_MULTI);
    if cmin(stamp, status)? >= curcid {
        let why = found(Reason::InsertedByLaterCommand, stamp.xmin);
        return Ok((UpdateVerdict::Invisible, Hint::Nothing, why));
    }
    if bits.contains(Infomask::XMAX_INVALID) {
        return Ok((UpdateVerdict::Ok, Hint::Nothing, found(Reason::XmaxNone, xmax)));
    }
    if bits.xmax_locked_only() {
        let running = if multi {
            status.multixact_running(stamp.multixact(), true)?
        } else {
            status.is_in_progress(xmax)?
        };
        return Ok(locked(running, stamp, Hint::Nothing));
    }
    let xid = ender(stamp, status)?;
    if status.is_own(xid) {
        return by_command(stamp, curcid, status, xid);
    }
    if multi {
        if status.multixact_running(stamp.multixact(), false)? {
            return Ok(locked(true, stamp, Hint::Nothing));
        }
        return Ok((UpdateVerdict::Ok, Hint::Nothing, found(Reason::XmaxRolledBack, xid)));
    }
    Ok((UpdateVerdict::Ok, Hint::Invalid, found(Reason::XmaxRolledBack, xid)))
}

/// A version whose insertion has committed.
fn committed<S: TransactionStatus>(
    stamp: &TupleStamp,
    curcid: CommandId,
    status: &S,
) -> Result<Step, S::Error> {
    let (bits, xmax) = (stamp.infomask, stamp.xmax);
    let ok = |reason, hint| Ok((UpdateVerdict::Ok, hint, found(reason, xmax)));
    let changed = if stamp.has_successor { UpdateVerdict::Updated } else { UpdateVerdict::Deleted };
    let locks = bits.xmax_locked_only();
    if bits.contains(Infomask::XMAX_INVALID) {
        return ok(Reason::XmaxNone, Hint::Nothing);
    }
    if bits.contains(Infomask::XMAX_COMMITTED) {
        if locks {
            return ok(Reason::XmaxLocks, Hint::Nothing);
        }
        return Ok((changed, Hint::Nothing, found(Reason::XmaxMarkedCommitted, xmax)));
    }
    if bits.contains(Infomask::XMAX_IS_MULTI) {
        let multi = stamp.multixact();
        if bits.locked_before_upgrade() {
            return ok(Reason::LockerGone, Hint::Nothing);
        }
        if locks {
            return Ok(locked(status.multixact_running(multi, true)?, stamp, Hint::Invalid));
        }
        let xid = status.updater(multi)?;
        if status.is_own(xid) {
            return by_command(stamp, curcid, status, xid);
        }
        // Whatever the updater did, lockers that run must be waited for.
        if status.multixact_running(multi, false)? {
            return Ok(locked(true, stamp, Hint::Nothing));
        }
        if status.did_commit(xid)? {
            return Ok((changed, Hint::Nothing, found(Reason::XmaxCommitted, xid)));
        }
        return Ok((UpdateVerdict::Ok, Hint::Invalid, found(Reason::XmaxAborted, xid)));
    }
    if status.is_own(xmax) {
        if locks {
            return Ok(locked(true, stamp, Hint::Nothing));
        }
        return by_command(stamp, curcid, status, xmax);
    }
    if status.is_in_progress(xmax)? {
        let reason = if locks { Reason::LockerRunning } else { Reason::XmaxRunning };
        return Ok((UpdateVerdict::BeingModified, Hint::Nothing, found(reason, xmax)));
    }
    if !status.did_commit(xmax)? {
        return ok(if locks { Reason::LockerGone } else { Reason::XmaxAborted }, Hint::Invalid);
    }
    if locks {
        return ok(Reason::LockerGone, Hint::Invalid);
    }
    Ok((changed, Hint::Committed, found(Reason::XmaxCommitted, xmax)))
}

/// A version that is only locked; `hint` where the lockers are gone.
fn locked(running: bool, stamp: &TupleStamp, hint: Hint) -> Step {
    if running {
        let why = found(Reason::LockerRunning, stamp.xmax);
        (UpdateVerdict::BeingModified, Hint::Nothing, why)
    } else {
        (UpdateVerdict::Ok, hint, found(Reason::LockerGone, stamp.xmax))
    }
}

/// A version that the asking transaction itself ended.
fn by_command<S: TransactionStatus>(
    stamp: &TupleStamp,
    curcid: CommandId,
    status: &S,
    xid: base::Xid,
) -> Result<Step, S::Error> {
    Ok(if cmax(stamp, status)? >= curcid {
        let why = found(Reason::EndedByLaterCommand, xid);
        (UpdateVerdict::SelfModified, Hint::Nothing, why)
    } else {
        let why = found(Reason::EndedByEarlierCommand, xid);
        (UpdateVerdict::Invisible, Hint::Nothing, why)
    })
}
