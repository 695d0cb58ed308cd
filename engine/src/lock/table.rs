//! The table of locks: who holds what, who waits for what and in which order. No thread waits in here.
//!
//! ```text
//! tag ─► holders   session 3: AccessShare        session 5: AccessShare, RowExclusive
//!        queue     session 4: AccessExclusive ─► session 6: AccessShare     the first was there first
//! ```
//!
//! A request is granted if no other holder's mode and no waiting request excludes it. Whoever holds a lock already and wants
//! more of it goes before the first waiter whom what he holds keeps waiting: behind him he would wait for himself.
//!
//! Invariants: a session waits for one thing at most. A queue is never empty of a reason: its first waiter is excluded by
//! a holder, and each later one by a holder or by a request ahead of it. A lock without holders and waiters is not kept.
//! Source: `LockAcquireExtended`, `LockCheckConflicts`, `ProcSleep`, `ProcLockWakeup` of PostgreSQL 15.

use std::collections::HashMap;

use super::mode::{Modes, TableLockMode};
use super::tag::LockTag;

/// Who holds locks and waits for them: a slot of the process array.
pub(super) type Owner = usize;

/// All locks.
#[derive(Debug)]
pub(super) struct LockTable {
    pub(super) locks: HashMap<LockTag, Lock>,
    /// What each owner waits for.
    pub(super) waiting: Box<[Option<Wait>]>,
}

/// One lock.
#[derive(Debug, Default)]
pub(super) struct Lock {
    pub(super) holders: Vec<Holder>,
    pub(super) queue: Vec<Request>,
}

/// What somebody holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    pub(super) owner: Owner,
    pub(super) modes: Modes,
}

/// What somebody waits for, in a lock's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) owner: Owner,
    pub(super) mode: TableLockMode,
}

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) tag: LockTag,
    pub(super) mode: TableLockMode,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Granted,
    /// It is not, and nobody waits.
    Refused,
    /// It waits in the queue.
    Queued,
    /// It would wait for somebody in the queue who waits for it: a ring of two.
    Deadlock(Owner),
}

impl Lock {
    pub(super) fn held_by(&self, owner: Owner) -> Modes {
        let held = self.holders.iter().find(|holder| holder.owner == owner);
        held.map_or(Modes::default(), |holder| holder.modes)
    }

    /// Whether what others hold excludes this mode.
    fn is_excluded(&self, owner: Owner, mode: TableLockMode) -> bool {
        let conflicts = mode.conflicts();
        self.holders
            .iter()
            .any(|holder| holder.owner != owner && holder.modes.intersects(conflicts))
    }

    fn grant(&mut self, owner: Owner, mode: TableLockMode) {
        match self.holders.iter_mut().find(|holder| holder.owner == owner) {
            Some(holder) => holder.modes = holder.modes.with(mode),
            None => self.holders.push(Holder { owner, modes: Modes::default().with(mode) }),
        }
    }

    fn give_back(&mut self, owner: Owner, mode: TableLockMode) {
        if let Some(at) = self.holders.iter().position(|holder| holder.owner == owner) {
            self.holders[at].modes = self.holders[at].modes.less(mode);
            if self.holders[at].modes.is_empty() {
                self.holders.swap_remove(at);
            }
        }
    }
}

impl LockTable {
    pub(super) fn new(owners: usize) -> LockTable {
        LockTable { locks: HashMap::new(), waiting: vec![None; owners].into() }
    }

    /// Asks for a lock that the owner does not hold in this mode; `may_wait` says whether it enters the queue.
    pub(super) fn ask(
        &mut self,
        owner: Owner,
        tag: LockTag,
        mode: TableLockMode,
        may_wait: bool,
    ) -> Asked {
        let lock = self.locks.entry(tag).or_default();
        let conflicts = mode.conflicts();
        let waits_behind = lock.queue.iter().any(|request| conflicts.contains(request.mode));
        if !waits_behind && !lock.is_excluded(owner, mode) {
            lock.grant(owner, mode);
            return Asked::Granted;
        }
        if !may_wait {
            self.forget_if_unused(tag);
            return Asked::Refused;
        }
        let held = lock.held_by(owner);
        let mut place = lock.queue.len();
        let mut ahead = Modes::default();
        for (at, request) in lock.queue.iter().enumerate().filter(|_| !held.is_empty()) {
            if request.mode.conflicts().intersects(held) {
                if conflicts.intersects(lock.held_by(request.owner)) {
                    return Asked::Deadlock(request.owner);
                }
                if !conflicts.intersects(ahead) && !lock.is_excluded(owner, mode) {
                    lock.grant(owner, mode);
                    return Asked::Granted;
                }
                place = at;
                break;
            }
            ahead = ahead.with(request.mode);
        }
        lock.queue.insert(place, Request { owner, mode });
        self.waiting[owner] = Some(Wait { tag, mode });
        Asked::Queued
    }

    /// Gives an owner's lock to another, whom it does not exclude: they are one transaction's.
    pub(super) fn hand_over(&mut self, from: Owner, to: Owner, tag: LockTag, mode: TableLockMode) {
        let Some(lock) = self.locks.get_mut(&tag) else { return };
        // In this order, so that the lock is held all the while.
        lock.grant(to, mode);
        lock.give_back(from, mode);
    }

    /// Gives a lock to who had it before nobody else did.
    pub(super) fn restore(&mut self, owner: Owner, tag: LockTag, mode: TableLockMode) {
        self.locks.entry(tag).or_default().grant(owner, mode);
    }

    /// Gives a lock back; those who can go on now are noted in `woken`.
    pub(super) fn release(
        &mut self,
        owner: Owner,
        tag: LockTag,
        mode: TableLockMode,
        woken: &mut Vec<Owner>,
    ) {
        let Some(lock) = self.locks.get_mut(&tag) else { return };
        lock.give_back(owner, mode);
        self.wake(tag, woken);
    }

    /// Takes an owner out of the queue that it waits in; those who can go on now are noted in `woken`.
    pub(super) fn give_up(&mut self, owner: Owner, woken: &mut Vec<Owner>) {
        let Some(Wait { tag, .. }) = self.waiting[owner].take() else { return };
        if let Some(lock) = self.locks.get_mut(&tag) {
            lock.queue.retain(|request| request.owner != owner);
        }
        self.wake(tag, woken);
    }

    /// Grants what can be granted of a queue, in its order.
    pub(super) fn wake(&mut self, tag: LockTag, woken: &mut Vec<Owner>) {
        let Some(lock) = self.locks.get_mut(&tag) else { return };
        let mut ahead = Modes::default();
        let mut at = 0;
        while let Some(&Request { owner, mode }) = lock.queue.get(at) {
            if mode.conflicts().intersects(ahead) || lock.is_excluded(owner, mode) {
                ahead = ahead.with(mode);
                at += 1;
            } else {
                lock.grant(owner, mode);
                lock.queue.remove(at);
                self.waiting[owner] = None;
                woken.push(owner);
            }
        }
        self.forget_if_unused(tag);
    }

    fn forget_if_unused(&mut self, tag: LockTag) {
        if self.locks.get(&tag).is_some_and(|lock| lock.holders.is_empty() && lock.queue.is_empty())
        {
            self.locks.remove(&tag);
        }
    }

    /// Whether an owner keeps another one waiting.
    pub(super) fn keeps_waiting(&self, owner: Owner) -> bool {
        let waiting = self.waiting.iter().enumerate().filter(|(_, wait)| wait.is_some());
        waiting.map(|(other, _)| other).any(|other| self.blockers(other).contains(&owner))
    }

    /// Who keeps an owner waiting: who holds what its request excludes, and who waits ahead of it for such
    /// (`pg_blocking_pids`).
    pub(super) fn blockers(&self, owner: Owner) -> Vec<Owner> {
        let Some(Wait { tag, mode }) = self.waiting[owner] else { return Vec::new() };
        let Some(lock) = self.locks.get(&tag) else { return Vec::new() };
        let conflicts = mode.conflicts();
        let holds = lock.holders.iter().filter(|holder| holder.modes.intersects(conflicts));
        let mut blockers: Vec<Owner> = holds.map(|holder| holder.owner).collect();
        let ahead = lock.queue.iter().take_while(|request| request.owner != owner);
        let ahead = ahead.filter(|request| conflicts.contains(request.mode));
        blockers.extend(ahead.map(|request| request.owner));
        blockers.retain(|blocker| *blocker != owner);
        blockers.sort_unstable();
        blockers.dedup();
        blockers
    }
}

#[cfg(test)]
mod tests {
    use super::super::tag::AdvisoryKey;
    use super::*;
    use TableLockMode::{AccessExclusive, AccessShare, Exclusive, RowExclusive, Share};
    use proptest::prelude::*;

    const TAG: LockTag = LockTag::Relation(1);

    fn released(table: &mut LockTable, owner: Owner, mode: TableLockMode) -> Vec<Owner> {
        let mut woken = Vec::new();
        table.release(owner, TAG, mode, &mut woken);
        woken
    }

    #[test]
    fn who_comes_later_waits_behind_who_waits() {
        let mut table = LockTable::new(4);
        assert_eq!(table.ask(0, TAG, AccessShare, true), Asked::Granted);
        assert_eq!(table.ask(1, TAG, AccessExclusive, true), Asked::Queued);
        assert_eq!(table.ask(2, TAG, AccessShare, false), Asked::Refused);
        assert_eq!(table.ask(2, TAG, AccessShare, true), Asked::Queued);
        assert_eq!((table.blockers(1), table.blockers(2)), (vec![0], vec![1]));
        assert_eq!(released(&mut table, 0, AccessShare), [1]);
        assert_eq!(table.blockers(2), [1]);
        assert_eq!(released(&mut table, 1, AccessExclusive), [2]);
        assert!(released(&mut table, 2, AccessShare).is_empty());
        assert!(table.locks.is_empty());
    }

    #[test]
    fn who_holds_it_goes_before_those_who_wait_for_him() {
        let mut table = LockTable::new(4);
        assert_eq!(table.ask(0, TAG, AccessShare, true), Asked::Granted);
        assert_eq!(table.ask(1, TAG, AccessExclusive, true), Asked::Queued);
        // Behind 1 it would wait for itself.
        assert_eq!(table.ask(0, TAG, RowExclusive, true), Asked::Granted);
        assert_eq!(table.ask(2, TAG, Share, true), Asked::Queued);
        assert!(released(&mut table, 0, AccessShare).is_empty());
        assert_eq!(released(&mut table, 0, RowExclusive), [1]);
    }

    #[test]
    fn who_waits_for_a_lock_that_is_handed_over_waits_on() {
        let mut table = LockTable::new(4);
        assert_eq!(table.ask(0, TAG, Exclusive, true), Asked::Granted);
        assert_eq!(table.ask(1, TAG, AccessShare, true), Asked::Granted);
        assert_eq!(table.ask(2, TAG, Share, true), Asked::Queued);
        table.hand_over(0, 3, TAG, Exclusive);
        assert_eq!(table.blockers(2), [3]);
        assert_eq!(released(&mut table, 3, Exclusive), [2]);
        table.restore(3, TAG, AccessShare);
        assert_eq!(table.ask(0, TAG, AccessExclusive, true), Asked::Queued);
        assert_eq!(table.blockers(0), [1, 2, 3]);
    }

    #[test]
    fn two_who_want_more_of_the_same_are_a_ring() {
        let mut table = LockTable::new(2);
        assert_eq!(table.ask(0, TAG, Share, true), Asked::Granted);
        assert_eq!(table.ask(1, TAG, Share, true), Asked::Granted);
        assert_eq!(table.ask(0, TAG, Exclusive, true), Asked::Queued);
        assert_eq!(table.ask(1, TAG, Exclusive, true), Asked::Deadlock(0));
        assert_eq!(released(&mut table, 1, Share), [0]);
    }

    #[test]
    fn who_gives_up_lets_those_behind_go_on() {
        let mut table = LockTable::new(3);
        assert_eq!(table.ask(0, TAG, AccessShare, true), Asked::Granted);
        assert_eq!(table.ask(1, TAG, AccessExclusive, true), Asked::Queued);
        assert_eq!(table.ask(2, TAG, AccessShare, true), Asked::Queued);
        let mut woken = Vec::new();
        table.give_up(1, &mut woken);
        assert_eq!(woken, [2]);
        assert_eq!(
            LockTag::Advisory(AdvisoryKey::Two(1, -1)).to_string(),
            "advisory lock [5,1,4294967295,2]"
        );
    }

    proptest! {
        /// Whatever is asked and given back: nobody has what another's mode excludes, and whoever waits is kept by somebody.
        #[test]
        fn nobody_has_what_another_excludes(steps in proptest::collection::vec((0_usize..5, 0_usize..8, 0_u8..3), 1..120)) {
            let mut table = LockTable::new(5);
            for (owner, mode, what) in steps {
                let mode = TableLockMode::ALL[mode];
                let mut woken = Vec::new();
                if table.waiting[owner].is_some() {
                    if what == 0 {
                        table.give_up(owner, &mut woken);
                    }
                } else if what == 1 {
                    let held = table.locks.get(&TAG).map_or(Modes::default(), |lock| lock.held_by(owner));
                    for mode in TableLockMode::ALL.into_iter().filter(|mode| held.contains(*mode)) {
                        table.release(owner, TAG, mode, &mut woken);
                    }
                } else {
                    table.ask(owner, TAG, mode, what == 2);
                }
                let Some(lock) = table.locks.get(&TAG) else {
                    prop_assert!(table.waiting.iter().all(Option::is_none));
                    continue;
                };
                for one in &lock.holders {
                    for other in lock.holders.iter().filter(|other| other.owner != one.owner) {
                        let modes = TableLockMode::ALL.into_iter().filter(|mode| one.modes.contains(*mode));
                        for mode in modes {
                            prop_assert!(!mode.conflicts().intersects(other.modes));
                        }
                    }
                }
                for owner in 0..5 {
                    let waits = lock.queue.iter().any(|request| request.owner == owner);
                    prop_assert_eq!(waits, table.waiting[owner].is_some());
                    prop_assert_eq!(waits, !table.blockers(owner).is_empty(), "owner {}", owner);
                }
            }
        }
    }
}
