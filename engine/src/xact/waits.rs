//! Waiting for another transaction to end, and finding out that it never would.
//!
//! ```text
//! 701 ──waits for──► 702 ──► 705          at most one arrow leaves each
//!  ▲                          │
//!  └──────────────────────────┘            the arrow that closes the ring is refused: deadlock
//! ```
//!
//! Invariants: an arrow is drawn and taken away under one mutex, by the transaction that it leaves. Each one is followed
//! to its end before it is drawn, so there is never a ring. A transaction that ends first stops running and then looks
//! for waiters; a waiter first counts itself and then looks whether the other runs; the fences between order the two, so
//! that one of them sees the other.

use std::collections::HashMap;

use base::sync::atomic::Ordering::{Relaxed, SeqCst};
use base::sync::atomic::{self, AtomicBool, AtomicUsize};
use base::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use base::{FullXid, Xid};

use crate::Error;

/// Who waits for whom.
#[derive(Debug)]
pub(crate) struct Waits {
    graph: Mutex<HashMap<Xid, Arrow>>,
    /// How many arrows there are or are about to be.
    count: AtomicUsize,
    /// What each session sleeps on.
    sleeps: Box<[Condvar]>,
}

#[derive(Debug, Clone, Copy)]
struct Arrow {
    holder: Xid,
    /// The transaction that the holder is a subtransaction of, or the holder.
    top: Xid,
    /// The waiter's session.
    session: usize,
}

impl Waits {
    pub(crate) fn new(sessions: usize) -> Waits {
        Waits {
            graph: Mutex::new(HashMap::new()),
            count: AtomicUsize::new(0),
            sleeps: (0..sessions).map(|_| Condvar::new()).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Xid, Arrow>> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes back when `is_running` says that the holder, a subtransaction of `top` if it is not that itself, has ended.
    /// `session` is the waiter's, `waiter` its top-level transaction.
    ///
    /// # Errors
    /// [`Error::Deadlock`] if the holder waits for the waiter, directly or not; [`Error::Cancelled`] once `cancelled`
    /// is set.
    pub(crate) fn wait(
        &self,
        session: usize,
        waiter: Xid,
        (holder, top): (Xid, Xid),
        cancelled: &AtomicBool,
        is_running: impl Fn() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.count.fetch_add(1, Relaxed);
        atomic::fence(SeqCst);
        let waited = self.wait_counted(session, waiter, (holder, top), cancelled, is_running);
        self.count.fetch_sub(1, Relaxed);
        waited
    }

    fn wait_counted(
        &self,
        session: usize,
        waiter: Xid,
        (holder, top): (Xid, Xid),
        cancelled: &AtomicBool,
        is_running: impl Fn() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut graph = self.lock();
        let mut is_drawn = false;
        let outcome = loop {
            match is_running() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
            if cancelled.load(Relaxed) {
                break Err(Error::Cancelled);
            }
            if !is_drawn {
                if let Some(ring) = ring(&graph, waiter, top) {
                    break Err(Error::Deadlock { waiter, ring });
                }
                graph.insert(waiter, Arrow { holder, top, session });
                is_drawn = true;
            }
            graph = self.sleeps[session].wait(graph).unwrap_or_else(PoisonError::into_inner);
        };
        if is_drawn {
            graph.remove(&waiter);
        }
        outcome
    }

    /// For whose end a session waits, as a top-level transaction.
    pub(crate) fn holder(&self, session: usize) -> Option<Xid> {
        let graph = self.lock();
        graph.values().find(|arrow| arrow.session == session).map(|arrow| arrow.top)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Wakes who waits for transactions or subtransactions that have stopped running.
    pub(crate) fn ended(&self, holders: &[FullXid]) {
        atomic::fence(SeqCst);
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let has_ended = |arrow: &&Arrow| holders.iter().any(|holder| holder.xid() == arrow.holder);
        for arrow in self.lock().values().filter(has_ended) {
            self.sleeps[arrow.session].notify_all();
        }
    }

    /// Has a session look again whether it was cancelled.
    pub(crate) fn wake(&self, session: usize) {
        // Who holds the graph looks after this, or sleeps by the time that it is woken.
        drop(self.lock());
        self.sleeps[session].notify_all();
    }
}

/// The transactions of the ring that an arrow would close, the waiter's own left out.
fn ring(graph: &HashMap<Xid, Arrow>, waiter: Xid, holder: Xid) -> Option<Vec<Xid>> {
    let mut ring = vec![holder];
    let mut next = holder;
    while let Some(arrow) = graph.get(&next) {
        if arrow.top == waiter {
            return Some(ring);
        }
        next = arrow.top;
        ring.push(next);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::sync::{Arc, thread};

    /// Transactions that run until they are ended, in a graph.
    #[derive(Debug)]
    struct World {
        waits: Waits,
        running: Mutex<Vec<Xid>>,
    }

    impl World {
        fn new(xids: &[u32]) -> Arc<World> {
            let running = Mutex::new(xids.iter().copied().map(Xid).collect());
            Arc::new(World { waits: Waits::new(8), running })
        }

        fn end(&self, xid: u32) {
            self.running.lock().expect("lock").retain(|other| *other != Xid(xid));
            self.waits.ended(&[FullXid(u64::from(xid))]);
        }

        fn wait(&self, session: usize, waiter: u32, holder: u32) -> Result<(), Error> {
            let holders = (Xid(holder), Xid(holder));
            self.waits.wait(session, Xid(waiter), holders, &AtomicBool::new(false), || {
                Ok(self.running.lock().expect("lock").contains(&Xid(holder)))
            })
        }

        /// Comes back when so many wait.
        fn until_waiting(&self, count: usize) {
            while self.waits.lock().len() < count {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn who_has_ended_is_not_waited_for() {
        World::new(&[]).wait(0, 10, 11).expect("at once");
    }

    #[test]
    fn waiters_are_woken_by_the_end() {
        let world = World::new(&[10, 11, 12]);
        let waiters: Vec<_> = [(0, 10), (1, 11)]
            .map(|(session, waiter)| {
                let world = Arc::clone(&world);
                thread::spawn(move || world.wait(session, waiter, 12))
            })
            .into();
        world.until_waiting(2);
        world.end(12);
        for waiter in waiters {
            waiter.join().expect("no panic").expect("woken");
        }
        assert_eq!(world.waits.count.load(Relaxed), 0);
    }

    #[test]
    fn the_last_of_a_ring_is_refused_and_the_others_go_on() {
        let world = World::new(&[10, 11, 12]);
        let waiters: Vec<_> = [(0, 10, 11), (1, 11, 12)]
            .map(|(session, waiter, holder)| {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let waited = world.wait(session, waiter, holder);
                    world.end(waiter);
                    waited
                })
            })
            .into();
        world.until_waiting(2);
        let error = world.wait(2, 12, 10).expect_err("a ring");
        assert!(
            matches!(&error, Error::Deadlock { waiter: Xid(12), ring } if *ring == [Xid(10), Xid(11)]),
            "{error}"
        );
        world.end(12);
        for waiter in waiters {
            waiter.join().expect("no panic").expect("woken");
        }
    }

    #[test]
    fn a_cancelled_waiter_gives_up() {
        let world = World::new(&[10, 11]);
        let cancelled = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (world, cancelled) = (Arc::clone(&world), Arc::clone(&cancelled));
            let holders = (Xid(11), Xid(11));
            thread::spawn(move || world.waits.wait(3, Xid(10), holders, &cancelled, || Ok(true)))
        };
        world.until_waiting(1);
        cancelled.store(true, Relaxed);
        world.waits.wake(3);
        let waited = waiter.join().expect("no panic");
        assert!(matches!(waited, Err(Error::Cancelled)));
        assert!(world.waits.lock().is_empty());
    }
}
