//! Waiting for locks: a session sleeps until it is granted what it wants, or gives up.
//!
//! Invariants: the table of locks is under one mutex, and each session sleeps on a condition of its own with that mutex.
//! Whoever grants a lock wakes who gets it. Nobody comes back from waiting and is still in a queue. The mutex is the
//! innermost one: nothing else is locked under it.

use std::time::{Duration, Instant};

use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::deadlock::{self, Found, Link};
use super::mode::{TableLockMode, WaitPolicy};
use super::table::{Asked, LockTable, Owner, Wait};
use super::tag::LockTag;
use crate::Error;

/// All locks of an engine.
#[derive(Debug)]
pub(crate) struct LockManager {
    table: Mutex<LockTable>,
    /// What each owner sleeps on.
    sleeps: Box<[Condvar]>,
}

/// What ends a session's waiting before it has what it waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Interrupts<'a> {
    pub(crate) cancelled: &'a AtomicBool,
    /// When the statement has run for as long as it may.
    pub(crate) statement_end: Option<Instant>,
    /// How long it waits for a lock at most.
    pub(crate) lock_timeout: Option<Duration>,
    /// How long it waits before it looks for a deadlock.
    pub(crate) deadlock_timeout: Duration,
}

impl Interrupts<'_> {
    /// Whether the statement may go on.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Relaxed) {
            return Err(Error::Cancelled);
        }
        match self.statement_end {
            Some(end) if Instant::now() >= end => Err(Error::StatementTimeout),
            _ => Ok(()),
        }
    }
}

/// One of those who wait for each other, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlockLink {
    /// The session that waits.
    pub session: usize,
    /// In which mode.
    pub mode: TableLockMode,
    /// For what.
    pub tag: LockTag,
    /// Which session keeps it waiting.
    pub blocked_by: usize,
}

/// PostgreSQL's sentence, of sessions in place of processes.
impl std::fmt::Display for DeadlockLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let DeadlockLink { session, mode, tag, blocked_by } = self;
        write!(f, "Session {session} waits for {mode} on {tag}; blocked by session {blocked_by}.")
    }
}

fn deadlock(ring: &[Link]) -> Error {
    let next = ring.iter().cycle().skip(1);
    let links = ring.iter().zip(next).map(|(link, next)| DeadlockLink {
        session: link.waiter,
        mode: link.wait.mode,
        tag: link.wait.tag,
        blocked_by: next.waiter,
    });
    Error::Deadlock { ring: links.collect() }
}

impl LockManager {
    /// For so many owners.
    pub(crate) fn new(owners: usize) -> LockManager {
        LockManager {
            table: Mutex::new(LockTable::new(owners)),
            sleeps: (0..owners).map(|_| Condvar::new()).collect(),
        }
    }

    fn table(&self) -> MutexGuard<'_, LockTable> {
        // Nothing in it panics half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self, woken: &[Owner]) {
        woken.iter().for_each(|owner| self.sleeps[*owner].notify_one());
    }

    /// Gets a lock that the owner does not hold in this mode. `false` if it was refused, which only a policy other than
    /// [`WaitPolicy::Wait`] can bring about.
    ///
    /// # Errors
    /// [`Error::Deadlock`], [`Error::LockTimeout`], [`Error::StatementTimeout`], [`Error::Cancelled`]: the lock is not held then.
    pub(crate) fn acquire(
        &self,
        owner: Owner,
        tag: LockTag,
        mode: TableLockMode,
        policy: WaitPolicy,
        interrupts: &Interrupts<'_>,
    ) -> Result<bool, Error> {
        let mut table = self.table();
        match table.ask(owner, tag, mode, policy == WaitPolicy::Wait) {
            Asked::Granted => Ok(true),
            Asked::Refused => Ok(false),
            Asked::Queued => self.wait(table, owner, interrupts).map(|()| true),
            Asked::Deadlock(other) => {
                let own = Link { waiter: owner, wait: Wait { tag, mode } };
                let wait = table.waiting[other];
                let others = wait.map(|wait| Link { waiter: other, wait });
                Err(deadlock(&[Some(own), others].into_iter().flatten().collect::<Vec<_>>()))
            }
        }
    }

    fn wait(
        &self,
        mut table: MutexGuard<'_, LockTable>,
        owner: Owner,
        interrupts: &Interrupts<'_>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let lock_end = interrupts.lock_timeout.map(|timeout| began + timeout);
        let mut look_at = began.checked_add(interrupts.deadlock_timeout);
        loop {
            if table.waiting[owner].is_none() {
                return Ok(());
            }
            let now = Instant::now();
            let has_come = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let ended = if interrupts.cancelled.load(Relaxed) {
                Some(Error::Cancelled)
            } else if has_come(lock_end)
                && (!has_come(interrupts.statement_end) || lock_end <= interrupts.statement_end)
            {
                Some(Error::LockTimeout)
            } else if has_come(interrupts.statement_end) {
                Some(Error::StatementTimeout)
            } else if has_come(look_at) {
                look_at = None;
                match deadlock::check(&mut table, owner) {
                    Found::Nothing => None,
                    Found::Reordered(woken) => {
                        self.wake_all(&woken);
                        continue;
                    }
                    Found::Ring(ring) => Some(deadlock(&ring)),
                }
            } else {
                None
            };
            if let Some(error) = ended {
                let mut woken = Vec::new();
                table.give_up(owner, &mut woken);
                self.wake_all(&woken);
                return Err(error);
            }
            let next = [lock_end, interrupts.statement_end, look_at].into_iter().flatten().min();
            table = self.sleep(table, owner, next, now);
        }
    }

    fn sleep<'t>(
        &self,
        table: MutexGuard<'t, LockTable>,
        owner: Owner,
        until: Option<Instant>,
        now: Instant,
    ) -> MutexGuard<'t, LockTable> {
        match until {
            None => self.sleeps[owner].wait(table).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let timeout = until.saturating_duration_since(now);
                let slept = self.sleeps[owner].wait_timeout(table, timeout);
                slept.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Gives locks of one owner to another, who goes on with the same transaction.
    pub(crate) fn hand_over(&self, from: Owner, to: Owner, locks: &[(LockTag, TableLockMode)]) {
        let mut table = self.table();
        locks.iter().for_each(|(tag, mode)| table.hand_over(from, to, *tag, *mode));
    }

    /// Gives an owner the locks that it had when the engine ran last. Nothing else runs yet.
    pub(crate) fn restore(&self, owner: Owner, locks: &[(LockTag, TableLockMode)]) {
        let mut table = self.table();
        locks.iter().for_each(|(tag, mode)| table.restore(owner, *tag, *mode));
    }

    /// Gives locks back.
    pub(crate) fn release(
        &self,
        owner: Owner,
        locks: impl IntoIterator<Item = (LockTag, TableLockMode)>,
    ) {
        let mut woken = Vec::new();
        let mut table = self.table();
        for (tag, mode) in locks {
            table.release(owner, tag, mode, &mut woken);
        }
        drop(table);
        self.wake_all(&woken);
    }

    /// Sleeps for so long, or until it is interrupted (`pg_sleep`).
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::StatementTimeout`].
    pub(crate) fn pause(
        &self,
        owner: Owner,
        duration: Duration,
        interrupts: &Interrupts<'_>,
    ) -> Result<(), Error> {
        let end = Instant::now().checked_add(duration);
        let mut table = self.table();
        loop {
            interrupts.check()?;
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                return Ok(());
            }
            let until = [end, interrupts.statement_end].into_iter().flatten().min();
            table = self.sleep(table, owner, until, now);
        }
    }

    /// Has an owner look whether it was cancelled.
    pub(crate) fn interrupt(&self, owner: Owner) {
        // Who holds the table looks after this, or sleeps by the time that it is woken.
        drop(self.table());
        self.sleeps[owner].notify_one();
    }

    /// Whether an owner keeps another one waiting.
    pub(crate) fn keeps_waiting(&self, owner: Owner) -> bool {
        self.table().keeps_waiting(owner)
    }

    /// Who keeps an owner waiting, in the order of their numbers.
    pub(crate) fn blockers(&self, owner: Owner) -> Vec<Owner> {
        self.table().blockers(owner)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.table().waiting.iter().flatten().count()
    }

    /// How many locks are held or waited for.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.table().locks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::TableLockMode::{AccessExclusive, AccessShare, Exclusive};
    use super::*;
    use base::sync::{Arc, thread};

    const FOREVER: Duration = Duration::from_secs(1 << 20);

    fn interrupts(cancelled: &AtomicBool) -> Interrupts<'_> {
        let (lock_timeout, deadlock_timeout) = (None, FOREVER);
        Interrupts { cancelled, statement_end: None, lock_timeout, deadlock_timeout }
    }

    fn until_waiting(manager: &LockManager, count: usize) {
        while manager.waiting() < count {
            thread::yield_now();
        }
    }

    fn tag(number: u32) -> LockTag {
        LockTag::Relation(number)
    }

    #[test]
    fn waiters_are_woken_in_their_order() {
        let manager = Arc::new(LockManager::new(4));
        let never = AtomicBool::new(false);
        let asked = manager.acquire(0, tag(1), AccessShare, WaitPolicy::Wait, &interrupts(&never));
        assert!(asked.expect("free"));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiters = Vec::new();
        for owner in 1..4 {
            let (manager, order) = (Arc::clone(&manager), Arc::clone(&order));
            let begun = Arc::clone(&manager);
            waiters.push(thread::spawn(move || {
                let never = AtomicBool::new(false);
                let granted = manager.acquire(
                    owner,
                    tag(1),
                    AccessExclusive,
                    WaitPolicy::Wait,
                    &interrupts(&never),
                );
                assert!(granted.expect("granted"));
                order.lock().expect("lock").push(owner);
                manager.release(owner, [(tag(1), AccessExclusive)]);
            }));
            until_waiting(&begun, owner);
        }
        manager.release(0, [(tag(1), AccessShare)]);
        waiters.into_iter().for_each(|waiter| waiter.join().expect("no panic"));
        assert_eq!(*order.lock().expect("lock"), [1, 2, 3]);
        assert_eq!(manager.count(), 0);
    }

    #[test]
    fn who_looks_for_the_deadlock_gives_up() {
        let manager = Arc::new(LockManager::new(2));
        let never = AtomicBool::new(false);
        for owner in 0..2 {
            let asked = manager.acquire(
                owner,
                tag(owner as u32),
                Exclusive,
                WaitPolicy::Wait,
                &interrupts(&never),
            );
            assert!(asked.expect("free"));
        }
        let waiter = {
            let manager = Arc::clone(&manager);
            thread::spawn(move || {
                let never = AtomicBool::new(false);
                manager.acquire(0, tag(1), Exclusive, WaitPolicy::Wait, &interrupts(&never))
            })
        };
        until_waiting(&manager, 1);
        let soon = Interrupts { deadlock_timeout: Duration::ZERO, ..interrupts(&never) };
        let error =
            manager.acquire(1, tag(0), Exclusive, WaitPolicy::Wait, &soon).expect_err("a ring");
        let Error::Deadlock { ring } = &error else { panic!("{error}") };
        assert_eq!(
            ring.iter().map(|link| (link.session, link.blocked_by)).collect::<Vec<_>>(),
            [(1, 0), (0, 1)]
        );
        assert_eq!(
            ring[0].to_string(),
            "Session 1 waits for ExclusiveLock on relation 0 of database 5; blocked by session 0."
        );
        manager.release(1, [(tag(1), Exclusive)]);
        assert!(waiter.join().expect("no panic").expect("granted"));
    }

    #[test]
    fn waiting_ends_with_time_and_when_it_is_cancelled() {
        let manager = Arc::new(LockManager::new(2));
        let never = AtomicBool::new(false);
        let plain = interrupts(&never);
        let ask = |interrupts: &Interrupts<'_>, policy| {
            manager.acquire(1, tag(1), Exclusive, policy, interrupts)
        };
        assert!(manager.acquire(0, tag(1), Exclusive, WaitPolicy::Wait, &plain).expect("free"));
        assert!(!ask(&plain, WaitPolicy::NoWait).expect("refused"));
        let soon = Some(Duration::from_millis(1));
        let short = Interrupts { lock_timeout: soon, ..plain };
        assert!(matches!(ask(&short, WaitPolicy::Wait), Err(Error::LockTimeout)));
        let over = Interrupts { statement_end: Some(Instant::now()), ..plain };
        assert!(matches!(ask(&over, WaitPolicy::Wait), Err(Error::StatementTimeout)));
        let cancelled = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (manager, cancelled) = (Arc::clone(&manager), Arc::clone(&cancelled));
            thread::spawn(move || {
                manager.acquire(1, tag(1), Exclusive, WaitPolicy::Wait, &interrupts(&cancelled))
            })
        };
        until_waiting(&manager, 1);
        assert_eq!(manager.blockers(1), [0]);
        cancelled.store(true, Relaxed);
        manager.interrupt(1);
        assert!(matches!(waiter.join().expect("no panic"), Err(Error::Cancelled)));
        assert_eq!(manager.waiting(), 0);
        let mut cancelled = interrupts(&cancelled);
        assert!(matches!(manager.pause(1, FOREVER, &cancelled), Err(Error::Cancelled)));
        cancelled.cancelled = &never;
        manager.pause(1, Duration::from_millis(1), &cancelled).expect("slept");
    }
}
