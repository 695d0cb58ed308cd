//! The set of running transactions as one session sees it: the contents of a classic snapshot, taken in
//! one pass over the dense arrays (`GetSnapshotData`), and the two ways to keep an old one.
//!
//! Under the shared lock the set of the running cannot shrink (rule 1 of [`crate::array`]), so one pass is
//! a consistent picture. The session's own xmin is shown under the same lock, if none is shown yet: whoever
//! takes the lock exclusively afterwards, and every horizon after that, knows of it.
//!
//! Keeping an old set **without** the lock ([`Backend::advertise_unlocked`]):
//!
//! ```text
//! session                                   horizon
//! xmin = set's xmin                         (lock, shared)
//! fence  (running.advertise, SeqCst) <----> fence  (horizon.scan, SeqCst)
//! completion_count unchanged?               read every xid and xmin
//!   no: take xmin back, take the lock
//! ```
//!
//! Of two such fences one is first. If the session's is, the horizon reads its xmin. If the horizon's is,
//! the session reads at least the count that the horizon's thread knew when it took the lock; an unchanged
//! count then says that nobody of the set had ended by then, and the horizon is held back by them, or by
//! `latest_completed`, which stood still too.
//!
//! Invariants: `xmin <= xmax`; every listed xid is at least `xmin` and below `xmax`; the owner's own ids are
//! in no list, but its xid counts for `xmin`.

use base::{FullXid, Xid, fence, variant};

use crate::array::Shared;
use crate::backend::Backend;
use crate::proc::{ProcNumber, StatusFlags};
use crate::scan;
use crate::subxids::SubxidState;

/// Who was running at one moment, for one session.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RunningSet {
    /// Everything older had ended.
    pub xmin: FullXid,
    /// This and everything newer had not ended; one more than the highest that had.
    pub xmax: FullXid,
    /// The transactions between them that were running, in the order of their slots.
    pub xids: Vec<Xid>,
    /// Their subtransactions, unless `overflowed`. Some may be at or above `xmax`.
    pub subxids: Vec<Xid>,
    /// Whether subtransactions are missing: an id must be traced to its parent first.
    pub overflowed: bool,
    /// The count at which it was taken; 0 for one that never was.
    pub completion_count: u64,
    /// The session's own xid at that time.
    pub own_xid: Option<FullXid>,
    /// What replication slots asked to be kept back at that time.
    pub replication: crate::array::ReplicationXmins,
}

/// How a set came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The old one still stood.
    Reused,
    /// From the dense arrays.
    Rebuilt,
}

impl RunningSet {
    /// Whether an id, of a transaction or a subtransaction, was running to this set. An overflowed set
    /// answers for ids of transactions, and for ids outside of `xmin..xmax`.
    pub fn is_running(&self, xid: FullXid) -> bool {
        xid >= self.xmax
            || (xid >= self.xmin
                && (self.xids.contains(&xid.xid()) || self.subxids.contains(&xid.xid())))
    }
}

/// The pass over all slots that fills a set in. The slots may stand in a [`crate::ProcArray`], or be a copy of a server's.
#[derive(Debug)]
pub struct RunningPass<'s> {
    pub(crate) set: &'s mut RunningSet,
    latest_completed: FullXid,
    pub(crate) xmax: Xid,
    pub(crate) xmin: FullXid,
}

impl<'s> RunningPass<'s> {
    /// Begins a pass into the memory of an old set, for a session with this xid. All that follows is of the moment at
    /// which `latest_completed` was the highest xid that had ended.
    #[inline]
    pub fn begin(
        set: &'s mut RunningSet,
        latest_completed: FullXid,
        own_xid: Option<FullXid>,
    ) -> RunningPass<'s> {
        let xmax = latest_completed.next();
        set.xids.clear();
        set.subxids.clear();
        set.overflowed = false;
        set.xmax = xmax;
        set.own_xid = own_xid;
        let xmin = own_xid.map_or(xmax, |xid| xid.min(xmax));
        RunningPass { set, latest_completed, xmax: xmax.xid(), xmin }
    }

    /// Counts a slot that is not the session's own. `xid` was read once and is not [`Xid::INVALID`]; `subxids` appends
    /// the subtransactions' ids, none if they overflowed.
    #[inline]
    pub fn slot(
        &mut self,
        xid: Xid,
        status: impl FnOnce() -> StatusFlags,
        subxids: impl FnOnce(&mut Vec<Xid>) -> SubxidState,
    ) {
        if !xid.precedes(self.xmax) || status().any_of(StatusFlags::NOT_IN_SNAPSHOTS) {
            return;
        }
        self.set.xids.push(xid);
        self.xmin = self.xmin.min(self.latest_completed.nearest(xid));
        if !self.set.overflowed {
            self.set.overflowed = subxids(&mut self.set.subxids).overflowed;
        }
    }

    /// Ends the pass. What the slots do not say, [`RunningSet::completion_count`] and [`RunningSet::replication`], is
    /// left as it was.
    #[inline]
    pub fn end(self) {
        if self.set.overflowed {
            self.set.subxids.clear();
        }
        self.set.xmin = self.xmin;
    }
}

impl Backend {
    /// Takes the set of the running under the lock, into the memory of an old one, which is kept if it
    /// still stands; shows its xmin, unless an older one is shown already.
    pub fn take_running(&mut self, set: &mut RunningSet) -> Taken {
        let shared = self.array.shared();
        let taken = if set.completion_count == shared.completion_count() {
            set.own_xid = self.xid();
            Taken::Reused
        } else {
            self.rebuild(&shared, set);
            Taken::Rebuilt
        };
        let proc = self.array.proc(self.number());
        if proc.xmin().is_none() {
            proc.set_xmin(Some(set.xmin));
        }
        taken
    }

    /// Takes the set of the running under a lock that is held, and shows nothing.
    pub fn rebuild(&self, shared: &Shared<'_>, set: &mut RunningSet) {
        assert!(std::ptr::eq(shared.array, &raw const **self.array()), "the lock of this array");
        let mut pass = RunningPass::begin(set, shared.latest_completed(), self.xid());
        let own = Some(self.position());
        scan::running(&mut pass, &shared.array.dense, shared.len(), own, |position, into| {
            shared.subxids(position, into)
        });
        pass.end();
        set.completion_count = shared.completion_count();
        set.replication = shared.replication_xmins();
    }

    /// Keeps an old set without taking the lock: shows its xmin and tells whether the set still stands. If
    /// not, nothing is shown that was not before, and the set has to be taken anew.
    ///
    /// A session that shows an xmin already needs only the second look.
    pub fn advertise_unlocked(&mut self, set: &RunningSet) -> bool {
        let proc = self.array.proc(self.number());
        if proc.xmin().is_some() {
            return self.array.completion_count() == set.completion_count;
        }
        if variant!("running.check-before-advertise") {
            let stands = self.array.completion_count() == set.completion_count;
            if stands {
                proc.set_xmin(Some(set.xmin));
                fence!("running.advertise", SeqCst);
            }
            return stands;
        }
        proc.set_xmin(Some(set.xmin));
        // Pairs with `horizon.scan`.
        fence!("running.advertise", SeqCst);
        let stands = self.array.completion_count() == set.completion_count
            || variant!("running.no-second-look");
        if !stands {
            proc.set_xmin(None);
        }
        stands
    }

    /// Shows no xmin any more: the session has no snapshot left.
    pub fn clear_xmin(&mut self) {
        self.array.proc(self.number()).set_xmin(None);
    }

    /// Shows a newer xmin than before: the session has newer snapshots alone left (`SnapshotResetXmin`).
    ///
    /// # Panics
    ///
    /// If no xmin or a newer one is shown: a horizon may have passed this one.
    pub fn advance_xmin(&mut self, xmin: FullXid) {
        let proc = self.array.proc(self.number());
        let shown = proc.xmin();
        assert!(shown.is_some_and(|shown| shown <= xmin), "xmin goes from {shown:?} to {xmin:?}");
        proc.set_xmin(Some(xmin));
    }

    /// Shows the xmin of a snapshot that another session has in use and hands on
    /// (`ProcArrayInstallImportedXmin`). `false`, and nothing changes, if that session shows no xmin so old
    /// any more, or is of another database, whose horizons are others.
    ///
    /// The lock is held exclusively, so that a horizon looks at both slots before this or at both
    /// afterwards: between a look at this one before and at the other's after its end, it could miss both.
    ///
    /// # Panics
    ///
    /// If the session shows an xmin already.
    pub fn take_over_xmin(&mut self, xmin: FullXid, from: ProcNumber) -> bool {
        let array = &self.array;
        let own = array.proc(self.number());
        let shared = variant!("import.shared-lock").then(|| array.shared());
        let exclusive = shared.is_none().then(|| array.exclusive());
        assert_eq!(own.xmin(), None, "a session that takes over an xmin has none");
        let source = array.proc(from);
        let is_held = source.offset().is_some()
            && source.database() == own.database()
            && !source.status().any_of(StatusFlags::IN_VACUUM)
            && source.xmin().is_some_and(|shown| shown <= xmin);
        if is_held {
            own.set_xmin(Some(xmin));
        }
        drop((shared, exclusive));
        is_held
    }
}
