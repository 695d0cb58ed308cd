//! The rules that answer "is it visible?": mvcc, self, any, toast and dirty.
//!
//! Invariant: self and dirty ask about this instant and see all of their own changes; mvcc asks as of its
//! snapshot and sees its own changes by earlier commands. Where the verdict is settled without a look-up
//! (a row that is only locked), mvcc looks nothing up, while self and dirty look so as to leave a hint.

use base::{CommandId, Infomask, Xid};

use super::{
    Found, Inserter, Judged, MvccSnapshot, Now, Outcome, Then, View, cmax, cmin, ender, found,
    inserter,
};
use crate::reason::Reason;
use crate::stamp::{Hint, Hints, TupleStamp};
use crate::status::TransactionStatus;

/// What became of who ended a version whose insertion counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nobody ended it, or it does not count.
    Stands,
    /// Somebody else is ending it; the transaction.
    Running(Xid),
    /// It has ended.
    Ended,
}

/// The rule for tables whose every version is wanted.
pub fn satisfies_any() -> Judged<bool> {
    Judged::new(true, Hints::default(), found(Reason::EveryVersion, Xid::INVALID))
}

/// The rule for TOAST rows: whoever sees the referring row sees them, unless a speculative insertion was
/// taken back or an old VACUUM FULL moved them.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_toast<S: TransactionStatus>(
    stamp: &TupleStamp,
    status: &S,
) -> Result<Judged<bool>, S::Error> {
    let bits = stamp.infomask;
    let known = bits.xmin_committed() || bits.xmin_aborted();
    let trusted = found(Reason::Trusted, Xid::INVALID);
    if !known && !bits.intersects(Infomask::MOVED) {
        let visible = !stamp.xmin.is_invalid();
        let why = if visible { trusted } else { found(Reason::XminNone, Xid::INVALID) };
        return Ok(Judged::new(visible, Hints::default(), why));
    }
    let (inserter, hint, why) = inserter(stamp, &Now, status)?;
    let visible = inserter.settled() == Inserter::Committed;
    let hints = Hints { xmin: hint, xmax: Hint::Nothing };
    Ok(Judged::new(visible, hints, if visible { trusted } else { why }))
}

/// The rule for reading at a snapshot.
///
/// # Errors
/// Where `status` has no answer.
#[inline]
pub fn satisfies_mvcc<S: TransactionStatus, N: MvccSnapshot<S>>(
    stamp: &TupleStamp,
    snapshot: &N,
    status: &S,
) -> Result<Judged<bool>, S::Error> {
    let view = Then(snapshot);
    let (inserter, xmin_hint, why) = inserter(stamp, &view, status)?;
    let curcid = snapshot.curcid();
    let (end, xmax_hint, why) = match inserter.settled() {
        Inserter::Own => {
            if cmin(stamp, status)? >= curcid {
                let why = found(Reason::InsertedByLaterCommand, stamp.xmin);
                return Ok(Judged::new(false, Hints::default(), why));
            }
            end_of_own(stamp, Some(curcid), status)?
        }
        Inserter::Committed => end_then(stamp, &view, curcid, status)?,
        _ => {
            let hints = Hints { xmin: xmin_hint, xmax: Hint::Nothing };
            return Ok(Judged::new(false, hints, why));
        }
    };
    let hints = Hints { xmin: xmin_hint, xmax: xmax_hint };
    Ok(Judged::new(end != End::Ended, hints, why))
}

/// The rule for what is committed at this instant or the asker's own.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_self<S: TransactionStatus>(
    stamp: &TupleStamp,
    status: &S,
) -> Result<Judged<bool>, S::Error> {
    let (inserter, xmin_hint, why) = inserter(stamp, &Now, status)?;
    let (visible, xmax_hint, why) = match inserter.settled() {
        Inserter::Own | Inserter::Committed => {
            let (end, hint, why) = end_now(stamp, inserter, status)?;
            (end != End::Ended, hint, why)
        }
        _ => (false, Hint::Nothing, why),
    };
    Ok(Judged::new(visible, Hints { xmin: xmin_hint, xmax: xmax_hint }, why))
}

/// What the dirty rule says: also who is at work on the version.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct DirtyVerdict {
    /// Whether it is visible if everyone who still runs commits.
    pub visible: bool,
    /// Somebody else who inserts it and still runs; else [`Xid::INVALID`].
    pub xmin: Xid,
    /// Somebody else who ends it and still runs; else [`Xid::INVALID`].
    pub xmax: Xid,
    /// The token, if that insertion may be taken back without an abort.
    pub speculative_token: Option<u32>,
}

/// The rule for whoever must know of conflicts: others' changes count although they still run.
///
/// # Errors
/// Where `status` has no answer.
pub fn satisfies_dirty<S: TransactionStatus>(
    stamp: &TupleStamp,
    status: &S,
) -> Result<Judged<DirtyVerdict>, S::Error> {
    let mut verdict = DirtyVerdict::default();
    let (inserter, xmin_hint, why) = inserter(stamp, &Now, status)?;
    let mut hints = Hints { xmin: xmin_hint, xmax: Hint::Nothing };
    let why = match inserter.settled() {
        Inserter::Running => {
            verdict.visible = true;
            verdict.xmin = stamp.xmin;
            verdict.speculative_token = stamp.speculative_token;
            why
        }
        Inserter::Own | Inserter::Committed => {
            let (end, hint, why) = end_now(stamp, inserter, status)?;
            hints.xmax = hint;
            verdict.visible = end != End::Ended;
            if let End::Running(xid) = end {
                verdict.xmax = xid;
            }
            why
        }
        _ => why,
    };
    Ok(Judged::new(verdict, hints, why))
}

/// The end of a version at this instant.
fn end_now<S: TransactionStatus>(
    stamp: &TupleStamp,
    inserter: Inserter,
    status: &S,
) -> Result<(End, Hint, Found), S::Error> {
    if inserter == Inserter::Own {
        return end_of_own(stamp, None, status);
    }
    let (bits, xmax) = (stamp.infomask, stamp.xmax);
    let stands = |reason, hint| Ok((End::Stands, hint, found(reason, xmax)));
    if bits.contains(Infomask::XMAX_INVALID) {
        return stands(Reason::XmaxNone, Hint::Nothing);
    }
    let locks = bits.xmax_locked_only();
    let multi = bits.contains(Infomask::XMAX_IS_MULTI);
    if bits.contains(Infomask::XMAX_COMMITTED) {
        if locks {
            return stands(Reason::XmaxLocks, Hint::Nothing);
        }
        return Ok((End::Ended, Hint::Nothing, found(Reason::XmaxMarkedCommitted, xmax)));
    }
    if multi && locks {
        return stands(Reason::XmaxLocks, Hint::Nothing);
    }
    let xid = ender(stamp, status)?;
    // A multixact gets no hint: its lockers may still run.
    let hint = |hint| if multi { Hint::Nothing } else { hint };
    if status.is_own(xid) {
        if locks {
            return stands(Reason::LockerRunning, Hint::Nothing);
        }
        return Ok((End::Ended, Hint::Nothing, found(Reason::XmaxOwn, xid)));
    }
    Ok(match Now.outcome(xid, false, status)? {
        Outcome::Running if locks => {
            (End::Stands, Hint::Nothing, found(Reason::LockerRunning, xid))
        }
        Outcome::Running => (End::Running(xid), Hint::Nothing, found(Reason::XmaxRunning, xid)),
        Outcome::Aborted if locks => {
            (End::Stands, hint(Hint::Invalid), found(Reason::LockerGone, xid))
        }
        Outcome::Aborted => (End::Stands, hint(Hint::Invalid), found(Reason::XmaxAborted, xid)),
        Outcome::Committed if locks => {
            (End::Stands, hint(Hint::Invalid), found(Reason::LockerGone, xid))
        }
        Outcome::Committed => {
            (End::Ended, hint(Hint::Committed), found(Reason::XmaxCommitted, xid))
        }
    })
}

/// The end of a version for a snapshot.
#[inline]
fn end_then<S: TransactionStatus, V: View<S>>(
    stamp: &TupleStamp,
    view: &V,
    curcid: CommandId,
    status: &S,
) -> Result<(End, Hint, Found), S::Error> {
    let bits = stamp.infomask;
    if bits.contains(Infomask::XMAX_INVALID) {
        return Ok((End::Stands, Hint::Nothing, found(Reason::XmaxNone, stamp.xmax)));
    }
    if bits.xmax_locked_only() {
        return Ok((End::Stands, Hint::Nothing, found(Reason::XmaxLocks, stamp.xmax)));
    }
    let multi = bits.contains(Infomask::XMAX_IS_MULTI);
    let known_committed = !multi && bits.contains(Infomask::XMAX_COMMITTED);
    let xid = ender(stamp, status)?;
    if !known_committed && status.is_own(xid) {
        return by_command(xid, cmax(stamp, status)?, curcid);
    }
    // A multixact gets no hint: its lockers may still run.
    let hint = |hint| if multi || known_committed { Hint::Nothing } else { hint };
    Ok(match view.outcome(xid, known_committed, status)? {
        Outcome::Running => (End::Running(xid), Hint::Nothing, found(V::RUNNING.1, xid)),
        Outcome::Aborted => (End::Stands, hint(Hint::Invalid), found(Reason::XmaxAborted, xid)),
        Outcome::Committed => {
            (End::Ended, hint(Hint::Committed), found(Reason::XmaxCommitted, xid))
        }
    })
}

/// The end of a version that the asking transaction inserted: only itself can have ended it. With a
/// command id, ends by that command and later ones do not count.
fn end_of_own<S: TransactionStatus>(
    stamp: &TupleStamp,
    curcid: Option<CommandId>,
    status: &S,
) -> Result<(End, Hint, Found), S::Error> {
    let bits = stamp.infomask;
    if bits.contains(Infomask::XMAX_INVALID) {
        return Ok((End::Stands, Hint::Nothing, found(Reason::XmaxNone, stamp.xmax)));
    }
    if bits.xmax_locked_only() {
        return Ok((End::Stands, Hint::Nothing, found(Reason::XmaxLocks, stamp.xmax)));
    }
    let xid = ender(stamp, status)?;
    if !status.is_own(xid) {
        let multi = bits.contains(Infomask::XMAX_IS_MULTI);
        let hint = if multi { Hint::Nothing } else { Hint::Invalid };
        return Ok((End::Stands, hint, found(Reason::XmaxRolledBack, xid)));
    }
    match curcid {
        Some(curcid) => by_command(xid, cmax(stamp, status)?, curcid),
        None => Ok((End::Ended, Hint::Nothing, found(Reason::XmaxOwn, xid))),
    }
}

fn by_command<E>(xid: Xid, cmax: CommandId, curcid: CommandId) -> Result<(End, Hint, Found), E> {
    Ok(if cmax >= curcid {
        (End::Stands, Hint::Nothing, found(Reason::EndedByLaterCommand, xid))
    } else {
        (End::Ended, Hint::Nothing, found(Reason::EndedByEarlierCommand, xid))
    })
}
