//! The rules about garbage: vacuum, and non-vacuumable for scans that skip it.
//!
//! Invariant: a version is dead only if no transaction, running or to come, can see it. An ended version
//! is dead once its end lies before everyone's horizon; whether it does is the horizon's to say, so that
//! horizons of different relations and of both snapshot modes fit.

use base::{Infomask, Xid};

use super::{Found, Inserter, Judged, Now, ender, found, inserter};
use crate::reason::Reason;
use crate::stamp::{Hint, Hints, TupleStamp};
use crate::status::TransactionStatus;

/// What the rule says (`HTSV_Result`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VacuumVerdict {
    /// Nobody sees it, ever.
    Dead,
    /// It stands.
    Live,
    /// It has ended, but someone may still see it.
    RecentlyDead,
    /// Its inserter still runs.
    InsertInProgress,
    /// Who ends it still runs.
    DeleteInProgress,
}

/// From where on someone may still see what ended.
pub trait RemovalHorizon {
    /// Whether nobody can see a version that this committed transaction ended.
    fn is_removable(&self, ender: Xid) -> bool;
}

/// The oldest transaction id that still matters to someone (`OldestXmin`).
impl RemovalHorizon for Xid {
    #[inline]
    fn is_removable(&self, ender: Xid) -> bool {
        ender.precedes(*self)
    }
}

type Step = (VacuumVerdict, Hint, Found);

/// Whether the version is garbage, given a horizon.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_vacuum<S: TransactionStatus>(
    stamp: &TupleStamp,
    horizon: &impl RemovalHorizon,
    status: &S,
) -> Result<Judged<VacuumVerdict>, S::Error> {
    let (mut judged, dead_after) = satisfies_vacuum_horizon(stamp, status)?;
    if let Some(xid) = dead_after.filter(|xid| horizon.is_removable(*xid)) {
        judged = Judged::new(VacuumVerdict::Dead, judged.hints, found(Reason::BelowHorizon, xid));
    }
    Ok(judged)
}

/// Whether someone may still see the version.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_non_vacuumable<S: TransactionStatus>(
    stamp: &TupleStamp,
    horizon: &impl RemovalHorizon,
    status: &S,
) -> Result<Judged<bool>, S::Error> {
    let Judged { verdict, hints, reason, xid } = satisfies_vacuum(stamp, horizon, status)?;
    Ok(Judged::new(verdict != VacuumVerdict::Dead, hints, found(reason, xid)))
}

/// What the version is without a horizon; of a recently dead one also who ended it, for the caller to
/// compare with as many horizons as it likes.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_vacuum_horizon<S: TransactionStatus>(
    stamp: &TupleStamp,
    status: &S,
) -> Result<(Judged<VacuumVerdict>, Option<Xid>), S::Error> {
    let (inserter, xmin_hint, why) = inserter(stamp, &Now, status)?;
    let (verdict, xmax_hint, why) = match inserter {
        Inserter::Aborted => (VacuumVerdict::Dead, Hint::Nothing, why),
        Inserter::Running | Inserter::MovingIn { .. } => {
            (VacuumVerdict::InsertInProgress, Hint::Nothing, why)
        }
        Inserter::MovingOff { .. } => (VacuumVerdict::DeleteInProgress, Hint::Nothing, why),
        Inserter::Own => own(stamp, status)?,
        Inserter::Committed => committed(stamp, status)?,
    };
    let hints = Hints { xmin: xmin_hint, xmax: xmax_hint };
    let dead_after = (verdict == VacuumVerdict::RecentlyDead).then_some(why.xid);
    Ok((Judged::new(verdict, hints, why), dead_after))
}

/// A version that the asking transaction inserted.
fn own<S: TransactionStatus>(stamp: &TupleStamp, status: &S) -> Result<Step, S::Error> {
    let bits = stamp.infomask;
    if !bits.contains(Infomask::XMAX_INVALID) && !bits.xmax_locked_only() {
        let xid = ender(stamp, status)?;
        if status.is_own(xid) {
            let why = found(Reason::XmaxOwn, xid);
            return Ok((VacuumVerdict::DeleteInProgress, Hint::Nothing, why));
        }
    }
    let why = found(Reason::XminOwn, stamp.xmin);
    Ok((VacuumVerdict::InsertInProgress, Hint::Nothing, why))
}

/// A version whose insertion has committed.
fn committed<S: TransactionStatus>(stamp: &TupleStamp, status: &S) -> Result<Step, S::Error> {
    let (bits, xmax) = (stamp.infomask, stamp.xmax);
    let live = |reason, hint| Ok((VacuumVerdict::Live, hint, found(reason, xmax)));
    let multi = bits.contains(Infomask::XMAX_IS_MULTI);
    let known_committed = bits.contains(Infomask::XMAX_COMMITTED);
    if bits.contains(Infomask::XMAX_INVALID) {
        return live(Reason::XmaxNone, Hint::Nothing);
    }
    if bits.xmax_locked_only() {
        if known_committed {
            return live(Reason::XmaxLocks, Hint::Nothing);
        }
        let running = if multi {
            !bits.locked_before_upgrade() && status.multixact_running(stamp.multixact(), true)?
        } else {
            status.is_in_progress(xmax)?
        };
        return if running {
            live(Reason::LockerRunning, Hint::Nothing)
        } else {
            live(Reason::LockerGone, Hint::Invalid)
        };
    }
    if !multi && known_committed {
        return Ok((VacuumVerdict::RecentlyDead, Hint::Nothing, found(Reason::AboveHorizon, xmax)));
    }
    let xid = ender(stamp, status)?;
    if status.is_in_progress(xid)? {
        let why = found(Reason::XmaxRunning, xid);
        return Ok((VacuumVerdict::DeleteInProgress, Hint::Nothing, why));
    }
    if status.did_commit(xid)? {
        // A multixact's lockers may still run; they are on the newer version as well.
        let hint = if multi { Hint::Nothing } else { Hint::Committed };
        return Ok((VacuumVerdict::RecentlyDead, hint, found(Reason::AboveHorizon, xid)));
    }
    let lockers = multi && status.multixact_running(stamp.multixact(), false)?;
    let hint = if lockers { Hint::Nothing } else { Hint::Invalid };
    Ok((VacuumVerdict::Live, hint, found(Reason::XmaxAborted, xid)))
}
