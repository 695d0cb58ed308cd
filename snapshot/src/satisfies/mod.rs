//! The nine rules that say what a version is to whoever asks.
//!
//! ```text
//! rule            sees committed     own changes        others' running changes   answer
//! mvcc            as of a snapshot   earlier commands   no                        visible?
//! self            now                all                no                        visible?
//! any             everything         everything         everything                yes
//! toast           everything, but what was taken back or moved                    visible?
//! dirty           now                all                yes, and says whose       visible? by whom?
//! historic        as of a commit     earlier commands   no                        visible? (decoding)
//! non-vacuumable  whatever anyone may still see                                   visible?
//! update          now                by command         says that they are there  may I change it?
//! vacuum          now                now                says that they are there  is it garbage?
//! ```
//!
//! Each is a pure function of stamp, snapshot and status. They share two stages: what became of who
//! inserted the version (`inserter`), and then of who ended it, which is asked only of a version whose
//! insertion counts.
//!
//! Invariants:
//!
//! - Bits that a server can have set are believed without a look-up. `XMIN_COMMITTED` spares the commit
//!   log but not the snapshot: a committed transaction may have committed too late for it.
//! - A fate is asked in the order own, running, committed; what is none of them aborted or crashed.
//! - A hint is given only where a look-up has just shown it.
//! - Stamps that no server writes get an answer, too: the one that PostgreSQL's functions, built without
//!   assertions, would give.
//!
//! Source: `access/heap/heapam_visibility.c` of PostgreSQL 15.

mod historic;
mod update;
mod vacuum;
mod visible;

use base::{CommandId, Infomask, Xid};

use crate::reason::Reason;
use crate::stamp::{Hint, Hints, TupleStamp};
use crate::status::TransactionStatus;

pub use historic::{CommittedBetween, HistoricSnapshot, satisfies_historic};
pub use update::{UpdateVerdict, satisfies_update};
pub use vacuum::{
    RemovalHorizon, VacuumVerdict, satisfies_non_vacuumable, satisfies_vacuum,
    satisfies_vacuum_horizon,
};
pub use visible::{
    DirtyVerdict, satisfies_any, satisfies_dirty, satisfies_mvcc, satisfies_self, satisfies_toast,
};

/// A verdict with what led to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Judged<V> {
    /// What the rule says.
    pub verdict: V,
    /// What the version may now be told.
    pub hints: Hints,
    /// The fact that decided.
    pub reason: Reason,
    /// The transaction (or multixact) that the reason is about, or [`Xid::INVALID`].
    pub xid: Xid,
}

impl<V> Judged<V> {
    /// The sentence that decided.
    pub fn sentence(&self) -> String {
        self.reason.sentence(self.xid)
    }

    pub(crate) fn new(verdict: V, hints: Hints, found: Found) -> Judged<V> {
        Judged { verdict, hints, reason: found.reason, xid: found.xid }
    }
}

/// A fact and whom it is about.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    reason: Reason,
    xid: Xid,
}

pub(crate) const fn found(reason: Reason, xid: Xid) -> Found {
    Found { reason, xid }
}

/// A transaction's fate as far as a snapshot lets one see.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It had not ended, or ended too late to count.
    Running,
    /// It committed in time.
    Committed,
    /// It aborted or crashed.
    Aborted,
}

/// A snapshot that the MVCC rule can be asked with: a list of who ran, or a point of time.
pub trait MvccSnapshot<S: TransactionStatus> {
    /// Own changes by commands before this one are seen.
    fn curcid(&self) -> CommandId;

    /// The fate of a transaction that is not the asker's own. `known_committed` says that a bit of the
    /// tuple has it as committed: then the answer is [`Outcome::Running`] or [`Outcome::Committed`].
    ///
    /// # Errors
    /// Where `status` has no answer.
    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error>;
}

/// How a rule looks at the fates of transactions.
pub(crate) trait View<S: TransactionStatus> {
    /// What it says of an inserter, and of an ender, that still runs.
    const RUNNING: (Reason, Reason);

    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error>;
}

/// As they are at this instant.
pub(crate) struct Now;

impl<S: TransactionStatus> View<S> for Now {
    const RUNNING: (Reason, Reason) = (Reason::XminRunning, Reason::XmaxRunning);

    #[inline]
    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error> {
        Ok(if known_committed {
            Outcome::Committed
        } else if status.is_in_progress(xid)? {
            Outcome::Running
        } else if status.did_commit(xid)? {
            Outcome::Committed
        } else {
            Outcome::Aborted
        })
    }
}

/// As they were for a snapshot.
pub(crate) struct Then<'a, N>(pub(crate) &'a N);

impl<S: TransactionStatus, N: MvccSnapshot<S>> View<S> for Then<'_, N> {
    const RUNNING: (Reason, Reason) = (Reason::XminAfterSnapshot, Reason::XmaxAfterSnapshot);

    #[inline]
    fn outcome(&self, xid: Xid, known_committed: bool, status: &S) -> Result<Outcome, S::Error> {
        self.0.outcome(xid, known_committed, status)
    }
}

/// What became of who inserted a version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inserter {
    /// The insertion counts.
    Committed,
    /// It is the asking transaction.
    Own,
    /// Somebody else, who has not ended.
    Running,
    /// The insertion never counted.
    Aborted,
    /// The insertion counted, and an old VACUUM FULL is moving the row away; `own`: the asker.
    MovingOff { own: bool },
    /// An old VACUUM FULL is bringing the row here; `own`: the asker.
    MovingIn { own: bool },
}

/// What became of who inserted the version, the hint for it, and why.
#[inline]
pub(crate) fn inserter<S: TransactionStatus, V: View<S>>(
    stamp: &TupleStamp,
    view: &V,
    status: &S,
) -> Result<(Inserter, Hint, Found), S::Error> {
    let (bits, xmin) = (stamp.infomask, stamp.xmin);
    let about_xmin = |reason| found(reason, xmin);
    if bits.xmin_committed() {
        // Frozen is visible to every snapshot; committed may have come too late for this one.
        if !bits.xmin_frozen() && view.outcome(xmin, true, status)? == Outcome::Running {
            return Ok((Inserter::Running, Hint::Nothing, about_xmin(V::RUNNING.0)));
        }
        return Ok((Inserter::Committed, Hint::Nothing, about_xmin(Reason::XmaxNone)));
    }
    if bits.xmin_aborted() {
        return Ok((Inserter::Aborted, Hint::Nothing, about_xmin(Reason::XminMarkedAborted)));
    }
    if bits.intersects(Infomask::MOVED) {
        return mover(stamp, view, status);
    }
    if status.is_own(xmin) {
        return Ok((Inserter::Own, Hint::Nothing, about_xmin(Reason::XminOwn)));
    }
    Ok(match view.outcome(xmin, false, status)? {
        Outcome::Running => (Inserter::Running, Hint::Nothing, about_xmin(V::RUNNING.0)),
        Outcome::Committed => (Inserter::Committed, Hint::Committed, about_xmin(Reason::XmaxNone)),
        Outcome::Aborted => (Inserter::Aborted, Hint::Invalid, about_xmin(Reason::XminAborted)),
    })
}

/// The same for a row that a VACUUM FULL before 9.0 moved: its outcome stands for the inserter's. Such a
/// VACUUM committed synchronously and moved only what was known committed, so that no commit record need
/// be waited for.
#[cold]
fn mover<S: TransactionStatus, V: View<S>>(
    stamp: &TupleStamp,
    view: &V,
    status: &S,
) -> Result<(Inserter, Hint, Found), S::Error> {
    let xvac = stamp.xvac();
    let about_xvac = |reason| found(reason, xvac);
    let committed = (Inserter::Committed, Hint::CommittedForCertain, about_xvac(Reason::XmaxNone));
    let own = status.is_own(xvac);
    let outcome = if own { Outcome::Running } else { view.outcome(xvac, false, status)? };
    Ok(if stamp.infomask.contains(Infomask::MOVED_OFF) {
        match outcome {
            Outcome::Running => {
                (Inserter::MovingOff { own }, Hint::Nothing, about_xvac(Reason::MovingOff))
            }
            Outcome::Committed => (Inserter::Aborted, Hint::Invalid, about_xvac(Reason::MovedOff)),
            Outcome::Aborted => committed,
        }
    } else {
        match outcome {
            Outcome::Running => {
                (Inserter::MovingIn { own }, Hint::Nothing, about_xvac(Reason::MovingIn))
            }
            Outcome::Committed => committed,
            Outcome::Aborted => (Inserter::Aborted, Hint::Invalid, about_xvac(Reason::NotMovedIn)),
        }
    })
}

impl Inserter {
    /// A move under way, as every rule but vacuum takes it: whoever moves sees the row at its new place,
    /// everyone else at its old one.
    #[inline]
    pub(crate) fn settled(self) -> Inserter {
        match self {
            Inserter::MovingOff { own: false } | Inserter::MovingIn { own: true } => {
                Inserter::Committed
            }
            Inserter::MovingOff { own: true } | Inserter::MovingIn { own: false } => {
                Inserter::Aborted
            }
            settled => settled,
        }
    }
}

/// The command that inserted an own version.
#[inline]
pub(crate) fn cmin<S: TransactionStatus>(
    stamp: &TupleStamp,
    status: &S,
) -> Result<CommandId, S::Error> {
    if stamp.infomask.contains(Infomask::COMBOCID) {
        Ok(status.command_ids(stamp.raw_command_id())?.cmin)
    } else {
        Ok(stamp.raw_command_id())
    }
}

/// The command by which the asking transaction ended a version.
#[inline]
pub(crate) fn cmax<S: TransactionStatus>(
    stamp: &TupleStamp,
    status: &S,
) -> Result<CommandId, S::Error> {
    if stamp.infomask.contains(Infomask::COMBOCID) {
        Ok(status.command_ids(stamp.raw_command_id())?.cmax)
    } else {
        Ok(stamp.raw_command_id())
    }
}

/// Who ends the version, where `xmax` does not only lock it: `xmax`, or the multixact's updater.
#[inline]
pub(crate) fn ender<S: TransactionStatus>(stamp: &TupleStamp, status: &S) -> Result<Xid, S::Error> {
    if stamp.infomask.contains(Infomask::XMAX_IS_MULTI) {
        status.updater(stamp.multixact())
    } else {
        Ok(stamp.xmax)
    }
}
