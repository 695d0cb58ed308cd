//! The commit timestamps of a window of transaction ids, in memory.
//!
//! ```text
//! xid  ... truncated | oldest ............ oldest + capacity | not yet
//! slot                 xid mod capacity
//! ```
//!
//! Invariants:
//!
//! 1. A slot is read first and the window second: whoever read a word that belongs to a later id sees a
//!    window that has moved on, because the window moves before slots are cleared, and those are cleared
//!    before they are given out again. The slot's own Release and Acquire carry that, and those of
//!    `cleared` to the next owner: accesses of the window itself are relaxed.
//! 2. Below the window everything has ended, and ended before every snapshot that is still asked; so the
//!    commit log alone decides. [`CommitTimestamps::truncate`]'s caller sees to that.
//! 3. A page's upper bound is raised before a timestamp on the page is stamped, and lowered only when the
//!    page is given out again. It is asked about commits that the asker has heard of, by the stamp or by
//!    a hint that followed it: so its own accesses are relaxed. One that was lowered is right for old
//!    ids, and one that a later page raised merely spares nothing.
//! 4. A commit stamps children before their parents: the youngest subtransaction first, itself last. Whoever
//!    follows a child to a parent that has ended reads the child again: by then it says what became of the
//!    child itself. At any other order a nested subtransaction whose parent is stamped already would look
//!    as if it had been left behind by a crash.

use base::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use base::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use base::{FullXid, TimestampTz, Xid, fence, ordering, variant};

use super::slot::Slot;

/// Ids that share an upper bound: their slots fill a memory page.
#[cfg(not(any(loom, shuttle)))]
pub(crate) const SLOTS_PER_PAGE: u64 = 512;
/// Ids that share an upper bound: few, for the model checker's sake.
#[cfg(any(loom, shuttle))]
pub(crate) const SLOTS_PER_PAGE: u64 = 2;

/// What the table says of an id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lookup {
    /// It lies below the window: it ended before all that is still asked.
    Truncated,
    /// Its slot; a child has been followed to what decides its fate.
    Found(Slot),
}

/// An id for which there is no slot yet: the table must be truncated first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("transaction {xid:?} has no slot among those from {oldest:?} on")]
pub struct OutOfWindow {
    /// The id asked for.
    pub xid: FullXid,
    /// The window's first.
    pub oldest: FullXid,
}

/// The table. Any number of threads read; each id has one writer at a time, its transaction.
#[derive(Debug)]
pub struct CommitTimestamps {
    slots: Box<[AtomicU64]>,
    /// The highest commit timestamp of each page of slots.
    upper_bounds: Box<[AtomicI64]>,
    /// The window's first id.
    oldest: AtomicU64,
    /// Ids below this plus the capacity have clear slots.
    cleared: AtomicU64,
    /// Readers in doubt.
    waiting: AtomicUsize,
    settled: Condvar,
    lock: Mutex<()>,
}

impl CommitTimestamps {
    /// A table for at least `capacity` ids, the first of them `oldest`'s page's first.
    ///
    /// # Panics
    /// For a capacity of more than 2^30, more than 32-bit ids can tell apart.
    pub fn new(capacity: u64, oldest: FullXid) -> CommitTimestamps {
        let capacity = capacity.next_power_of_two().max(2 * SLOTS_PER_PAGE);
        assert!(capacity <= 1 << 30, "a window of {capacity} ids is too large for 32-bit ids");
        let oldest = oldest.0 - oldest.0 % SLOTS_PER_PAGE;
        CommitTimestamps {
            slots: (0..capacity).map(|_| AtomicU64::new(0)).collect(),
            upper_bounds: (0..capacity / SLOTS_PER_PAGE).map(|_| AtomicI64::new(0)).collect(),
            oldest: AtomicU64::new(oldest),
            cleared: AtomicU64::new(oldest),
            waiting: AtomicUsize::new(0),
            settled: Condvar::new(),
            lock: Mutex::new(()),
        }
    }

    /// The number of ids in the window.
    pub fn capacity(&self) -> u64 {
        self.slots.len() as u64
    }

    /// The window's first id.
    pub fn oldest(&self) -> FullXid {
        FullXid(self.oldest.load(Ordering::Relaxed))
    }

    /// The 64-bit id of a 32-bit one: the nearest to the window's first; `None` below the window.
    #[inline]
    fn widen(&self, xid: Xid) -> Option<FullXid> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        let distance = xid.0.wrapping_sub(oldest as u32) as i32;
        u64::try_from(distance).ok().map(|distance| FullXid(oldest + distance))
    }

    /// Whether the id can be given out. A caller that hears no truncates, and asks again.
    ///
    /// # Errors
    /// Where its slot still belongs to an older id.
    pub fn check(&self, xid: FullXid) -> Result<(), OutOfWindow> {
        let cleared = self.cleared.load(ordering!("commit-ts.cleared-seen", Acquire));
        if xid.0 < cleared + self.capacity() && xid.0 >= self.oldest().0 {
            Ok(())
        } else {
            Err(OutOfWindow { xid, oldest: FullXid(cleared) })
        }
    }

    #[inline]
    fn slot(&self, xid: FullXid) -> &AtomicU64 {
        &self.slots[(xid.0 & (self.slots.len() as u64 - 1)) as usize]
    }

    #[inline]
    fn upper_bound(&self, xid: FullXid) -> &AtomicI64 {
        let page = xid.0 / SLOTS_PER_PAGE;
        &self.upper_bounds[(page & (self.upper_bounds.len() as u64 - 1)) as usize]
    }

    /// Writes a fate. Readers in doubt are not woken: see [`CommitTimestamps::settle`].
    pub(crate) fn set(&self, xid: FullXid, slot: Slot) {
        let raise_bound = || {
            if let Slot::Committed(timestamp) = slot {
                self.upper_bound(xid).fetch_max(timestamp.0, Ordering::Relaxed);
            }
        };
        if !variant!("commit-ts.bound-after-stamp") {
            // Before the stamp, whose Release carries it: who knows of the commit finds the bound at or
            // above its timestamp (invariant 3).
            raise_bound();
        }
        self.slot(xid).store(slot.to_word(), ordering!("commit-ts.slot", Release));
        if variant!("commit-ts.bound-after-stamp") {
            raise_bound();
        }
    }

    /// Writes the fates of a tree that ended, children before their parents, and wakes whoever waits for them.
    /// `children` are in ascending order: a parent's id is below its child's.
    pub(crate) fn settle(&self, xid: FullXid, children: &[FullXid], slot: Slot) {
        debug_assert!(children.is_sorted(), "subtransactions in ascending order: {children:?}");
        if variant!("commit-ts.wake-before-stamp") {
            self.wake_waiting();
        }
        if variant!("commit-ts.parent-first") {
            self.set(xid, slot);
        }
        if variant!("commit-ts.outer-first") {
            children.iter().for_each(|child| self.set(*child, slot));
        }
        // Invariant 4.
        for child in children.iter().rev() {
            self.set(*child, slot);
        }
        self.set(xid, slot);
        if variant!("commit-ts.wake-before-stamp") {
            return;
        }
        // Pairs with `commit-ts.wait`: either the waiting reader is seen here, or it sees the stamp when it
        // looks again.
        fence!("commit-ts.settle", SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.wake_waiting();
        }
    }

    /// Has every reader in doubt check for interrupts. What the check looks at was set before.
    pub fn wake_waiting(&self) {
        // A reader that holds the lock looks after this, or sleeps by the time that it is woken.
        if !variant!("commit-ts.wake-without-lock") {
            drop(self.locked());
        }
        self.settled.notify_all();
    }

    /// A subtransaction begins.
    ///
    /// # Errors
    /// Where it has no slot yet.
    pub fn begin_child(&self, xid: FullXid, parent: FullXid) -> Result<(), OutOfWindow> {
        self.check(xid)?;
        self.set(xid, Slot::ChildOf(parent.xid()));
        Ok(())
    }

    /// A transaction, or a subtransaction alone, rolls back, with the subtransactions under it, in ascending order.
    pub fn abort(&self, xid: FullXid, children: &[FullXid]) {
        self.settle(xid, children, Slot::Aborted);
    }

    /// A transaction is prepared; its subtransactions stay its children.
    pub fn prepare(&self, xid: FullXid, at: TimestampTz) {
        self.set(xid, Slot::Prepared(at));
    }

    /// What the slot itself says.
    #[inline]
    fn read(&self, xid: Xid) -> Lookup {
        let Some(full) = self.widen(xid) else { return Lookup::Truncated };
        let is_below_window = || full.0 < self.oldest.load(Ordering::Relaxed);
        let too_early = variant!("commit-ts.window-first") && is_below_window();
        let word = self.slot(full).load(ordering!("commit-ts.slot-seen", Acquire));
        // The slot first, the window second (invariant 1).
        if too_early || (!variant!("commit-ts.window-first") && is_below_window()) {
            return Lookup::Truncated;
        }
        Lookup::Found(Slot::from_word(word))
    }

    /// What became of a normal id, as of this instant; never [`Slot::ChildOf`]. Of an id that could not yet be
    /// given out ([`CommitTimestamps::check`]) the answer says nothing.
    #[inline]
    pub fn lookup(&self, xid: Xid) -> Lookup {
        match self.read(xid) {
            Lookup::Found(Slot::ChildOf(parent)) => self.lookup_child(xid, parent),
            found => found,
        }
    }

    #[cold]
    fn lookup_child(&self, xid: Xid, parent: Xid) -> Lookup {
        let mut parent = parent;
        loop {
            match self.read(parent) {
                Lookup::Found(Slot::ChildOf(next)) => parent = next,
                // The parent committed: the child itself now says whether it did, too (invariant 4).
                Lookup::Found(Slot::Committed(_)) | Lookup::Truncated => {
                    return match self.read(xid) {
                        // Only what its parent's end left behind in a crash: not committed.
                        Lookup::Found(Slot::ChildOf(_)) => Lookup::Found(Slot::Aborted),
                        found => found,
                    };
                }
                found => {
                    // Rolled back alone while the parent goes on.
                    return match self.read(xid) {
                        Lookup::Found(Slot::ChildOf(_)) => found,
                        child => child,
                    };
                }
            }
        }
    }

    /// The parent of a running subtransaction.
    pub fn parent(&self, xid: Xid) -> Option<Xid> {
        match self.read(xid) {
            Lookup::Found(Slot::ChildOf(parent)) => Some(parent),
            _ => None,
        }
    }

    /// Whether every commit on the id's page is older than `start`. Says nothing of who has not
    /// committed yet.
    #[inline]
    pub fn page_is_older_than(&self, xid: Xid, start: TimestampTz) -> bool {
        let Some(full) = self.widen(xid) else { return true };
        let bound = self.upper_bound(full).load(Ordering::Relaxed);
        bound < start.0 || full.0 < self.oldest.load(Ordering::Relaxed)
    }

    /// Waits until a commit under way has got its timestamp, and says what became of it. Before each sleep
    /// `check_interrupts` is asked, with the table's lock held, and an error ends the waiting; who wants it
    /// asked during a sleep calls [`CommitTimestamps::wake_waiting`].
    ///
    /// # Errors
    /// Those of `check_interrupts`.
    #[cold]
    pub fn wait_settled<E>(
        &self,
        xid: Xid,
        mut check_interrupts: impl FnMut() -> Result<(), E>,
    ) -> Result<Lookup, E> {
        let in_doubt = |found| matches!(found, Lookup::Found(Slot::Committing(_)));
        let mut guard = self.locked();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Pairs with `commit-ts.settle`.
        fence!("commit-ts.wait", SeqCst);
        let mut outcome = Ok(self.lookup(xid));
        while let Ok(found) = outcome
            && in_doubt(found)
        {
            if let Err(interrupt) = check_interrupts() {
                outcome = Err(interrupt);
                break;
            }
            guard = self.settled.wait(guard).unwrap_or_else(PoisonError::into_inner);
            outcome = Ok(self.lookup(xid));
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(guard);
        outcome
    }

    fn locked(&self) -> MutexGuard<'_, ()> {
        // The lock protects no data that a panic could leave half written.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the ids below `horizon`, whole pages of them. Everything below it has ended, and ended
    /// before every snapshot in use (invariant 2). One caller at a time.
    pub fn truncate(&self, horizon: FullXid) {
        let from = self.oldest.load(Ordering::Relaxed);
        let to = (horizon.0 - horizon.0 % SLOTS_PER_PAGE).min(from + self.capacity());
        if to <= from {
            return;
        }
        if !variant!("commit-ts.clear-before-window") {
            self.oldest.store(to, Ordering::Relaxed);
        }
        if variant!("commit-ts.cleared-first") {
            self.cleared.store(to, ordering!("commit-ts.cleared", Release));
        }
        for xid in (from..to).map(FullXid) {
            self.slot(xid).store(0, ordering!("commit-ts.clear-slot", Release));
            if xid.0 % SLOTS_PER_PAGE == 0 {
                self.upper_bound(xid).store(0, Ordering::Relaxed);
            }
        }
        if variant!("commit-ts.clear-before-window") {
            self.oldest.store(to, Ordering::Relaxed);
        }
        self.cleared.store(to, ordering!("commit-ts.cleared", Release));
    }

    /// Up to where the table can be truncated: the first id that has not ended, or ended too late for a
    /// snapshot that starts at `oldest_start_ts`. No id from `next` on has begun.
    pub fn truncation_horizon(&self, oldest_start_ts: TimestampTz, next: FullXid) -> FullXid {
        let mut xid = self.oldest();
        while xid < next {
            let ended = match self.lookup(xid.xid()) {
                // Special ids, in each epoch, are nobody's.
                _ if !xid.xid().is_normal() => true,
                Lookup::Truncated | Lookup::Found(Slot::Aborted) => true,
                Lookup::Found(Slot::Committed(timestamp)) => timestamp < oldest_start_ts,
                Lookup::Found(_) => false,
            };
            if !ended {
                break;
            }
            xid = FullXid(xid.0 + 1);
        }
        xid
    }

    /// The slots of the window from `from` on, at most `count`, for whoever stores them.
    pub(crate) fn slots_from(
        &self,
        from: FullXid,
        count: u64,
    ) -> impl Iterator<Item = (FullXid, Lookup)> + '_ {
        (from.0..from.0.saturating_add(count)).map(FullXid).map(|xid| (xid, self.lookup(xid.xid())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(micros: i64) -> Lookup {
        Lookup::Found(Slot::Committed(TimestampTz(micros)))
    }

    #[test]
    fn ids_of_both_epochs_find_their_slots() {
        let table = CommitTimestamps::new(1024, FullXid(u64::from(u32::MAX) - 99));
        let (before, after) = (FullXid(u64::from(u32::MAX) - 5), FullXid((1 << 32) + 7));
        table.check(after).unwrap();
        table.settle(before, &[], Slot::Committed(TimestampTz(10)));
        table.settle(after, &[], Slot::Committed(TimestampTz(20)));
        assert_eq!(table.lookup(before.xid()), committed(10));
        assert_eq!(table.lookup(after.xid()), committed(20));
        assert_eq!(table.lookup(Xid(8)), Lookup::Found(Slot::InProgress));
        assert_eq!(table.lookup(Xid(u32::MAX - 5000)), Lookup::Truncated);
    }

    #[test]
    fn truncation_gives_slots_out_again_clear() {
        let table = CommitTimestamps::new(1024, FullXid(0));
        assert!(table.check(FullXid(1024)).is_err());
        table.settle(FullXid(100), &[], Slot::Committed(TimestampTz(10)));
        table.settle(FullXid(600), &[], Slot::Committed(TimestampTz(9)));
        table.truncate(FullXid(520));
        assert_eq!(table.oldest(), FullXid(512));
        assert_eq!(table.lookup(Xid(100)), Lookup::Truncated);
        assert_eq!(table.lookup(Xid(600)), committed(9));
        table.check(FullXid(1024 + 100)).unwrap();
        assert_eq!(table.lookup(Xid(1024 + 100)), Lookup::Found(Slot::InProgress));
        assert!(table.page_is_older_than(Xid(1024 + 100), TimestampTz(1)));
        assert!(table.check(FullXid(100)).is_err(), "too old");
    }

    #[test]
    fn children_share_their_parents_fate_unless_they_rolled_back() {
        let table = CommitTimestamps::new(1024, FullXid(0));
        let [top, kept, inner, gone] = [10, 11, 12, 13].map(FullXid);
        table.begin_child(kept, top).unwrap();
        table.begin_child(inner, kept).unwrap();
        table.begin_child(gone, top).unwrap();
        table.abort(gone, &[]);
        assert_eq!(table.lookup(inner.xid()), Lookup::Found(Slot::InProgress));
        table.prepare(top, TimestampTz(5));
        assert_eq!(table.lookup(inner.xid()), Lookup::Found(Slot::Prepared(TimestampTz(5))));
        table.settle(top, &[kept, inner], Slot::Committed(TimestampTz(7)));
        assert_eq!(table.lookup(inner.xid()), committed(7));
        assert_eq!(table.lookup(gone.xid()), Lookup::Found(Slot::Aborted));
    }

    #[test]
    fn a_reader_in_doubt_gets_the_final_timestamp() {
        let table = base::sync::Arc::new(CommitTimestamps::new(1024, FullXid(0)));
        for round in 3..200u64 {
            let xid = FullXid(round);
            table.set(xid, Slot::Committing(TimestampTz(1)));
            let reader = {
                let table = table.clone();
                base::sync::thread::spawn(move || table.wait_settled(xid.xid(), || Ok::<_, ()>(())))
            };
            table.settle(xid, &[], Slot::Committed(TimestampTz(round as i64)));
            assert_eq!(reader.join().expect("no panic"), Ok(committed(round as i64)));
        }
    }

    #[test]
    fn a_reader_in_doubt_can_be_interrupted() {
        let table = base::sync::Arc::new(CommitTimestamps::new(1024, FullXid(0)));
        table.set(FullXid(9), Slot::Committing(TimestampTz(1)));
        for _ in 0..200 {
            let cancelled = base::sync::Arc::new(base::sync::atomic::AtomicBool::new(false));
            let reader = {
                let (table, cancelled) = (table.clone(), cancelled.clone());
                base::sync::thread::spawn(move || {
                    table.wait_settled(Xid(9), || {
                        let cancelled = cancelled.load(Ordering::Relaxed);
                        if cancelled {
                            Err("canceling statement due to user request")
                        } else {
                            Ok(())
                        }
                    })
                })
            };
            cancelled.store(true, Ordering::Relaxed);
            table.wake_waiting();
            let interrupted = reader.join().expect("no panic");
            assert_eq!(interrupted, Err("canceling statement due to user request"));
        }
        assert_eq!(table.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_truncation_horizon_stops_at_who_has_not_ended_for_all() {
        let first = (1u64 << 32) - 4;
        let table = CommitTimestamps::new(1024, FullXid(first));
        let begin = first - first % SLOTS_PER_PAGE;
        for xid in (begin..first).map(FullXid) {
            table.abort(xid, &[]);
        }
        let horizon = |start| table.truncation_horizon(TimestampTz(start), FullXid((1 << 32) + 8));
        assert_eq!(horizon(100), FullXid(first));
        let after = |distance: u64| FullXid(first + distance);
        table.settle(after(0), &[], Slot::Committed(TimestampTz(50)));
        table.abort(after(1), &[]);
        table.begin_child(after(3), after(2)).unwrap();
        table.settle(after(2), &[after(3)], Slot::Committed(TimestampTz(70)));
        // The special ids of the next epoch, and one that runs.
        assert_eq!(horizon(100), FullXid((1 << 32) + 3));
        assert_eq!(horizon(70), after(2));
        assert_eq!(horizon(50), after(0));
        table.truncate(horizon(100));
        assert_eq!(horizon(1), FullXid((1 << 32) + 3), "what is below the window has ended");
    }
}
