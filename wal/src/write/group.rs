//! Group flush: one flushes for all who wait meanwhile.
//!
//! ```text
//! A  lock, nobody leads: lead    write, sync .............. publish   hand over
//! B       lock, A leads: enqueue, sleep .............................. told: done
//! C                lock, A leads: enqueue, sleep ..................... told: lead     write, sync ...
//! ```
//!
//! The leader flushes as much as is copied, not only what it needs itself. When it is done it looks at those who
//! came meanwhile: whoever is covered is woken, and of the others the first leads next, woken before the rest,
//! so that the disk is not kept waiting. Source: the queue of PostgreSQL's `LWLockAcquireOrWait`, with the
//! difference that only one of those who are not covered wakes up.
//!
//! Invariants: who is told that it is done finds the position flushed; who is in the queue is told something by
//! whoever leads, since both happen under the lock; the flushed position never goes back, whoever
//! publishes.

use base::Lsn;
use base::ordering;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU32, AtomicU64};
use base::sync::{Arc, Mutex, MutexGuard, PoisonError, Semaphore};
use crossbeam_utils::CachePadded;

const NOTHING: u32 = 0;
const DONE: u32 = 1;
const LEAD: u32 = 2;

/// Who flushes, who waits, and up to where it is flushed.
#[derive(Debug)]
pub struct FlushGroup {
    flushed: CachePadded<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_led: bool,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    up_to: Lsn,
    waiter: Arc<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    told: AtomicU32,
    semaphore: Semaphore,
}

impl Waiter {
    fn tell(&self, what: u32) {
        // The semaphore orders it.
        self.told.store(what, Relaxed);
        self.semaphore.post();
    }
}

impl FlushGroup {
    /// A group for a log that is flushed up to `flushed`.
    pub fn new(flushed: Lsn) -> FlushGroup {
        FlushGroup {
            flushed: CachePadded::new(AtomicU64::new(flushed.0)),
            state: Mutex::new(State::default()),
        }
    }

    /// Up to where it is flushed.
    #[inline]
    pub fn flushed(&self) -> Lsn {
        Lsn(self.flushed.load(ordering!("log.flushed-seen", Acquire)))
    }

    /// Tells everybody that it is flushed up to here.
    pub fn publish(&self, flushed: Lsn) {
        if base::variant!("log.flushed-stored") {
            self.flushed.store(flushed.0, ordering!("log.flushed", Release));
            return;
        }
        self.flushed.fetch_max(flushed.0, ordering!("log.flushed", Release));
    }

    /// Comes back when it is flushed up to `up_to`. Of those who come at once one calls `flush`, which flushes up
    /// to its argument at least and says how far it came.
    ///
    /// # Errors
    /// That of `flush`; every other who waits calls it then, too.
    pub fn flush<E>(
        &self,
        up_to: Lsn,
        mut flush: impl FnMut(Lsn) -> Result<Lsn, E>,
    ) -> Result<(), E> {
        loop {
            if self.flushed() >= up_to {
                return Ok(());
            }
            let mut state = self.state();
            if self.flushed() >= up_to {
                return Ok(());
            }
            if state.is_led {
                if base::variant!("log.enqueue-after-unlock") {
                    drop(state);
                    state = self.state();
                }
                let semaphore = Semaphore::new();
                let waiter = Arc::new(Waiter { told: AtomicU32::new(NOTHING), semaphore });
                state.waiting.push(Waiting { up_to, waiter: Arc::clone(&waiter) });
                drop(state);
                waiter.semaphore.wait();
                match waiter.told.load(Relaxed) {
                    DONE => return Ok(()),
                    LEAD => {}
                    _ => continue,
                }
            } else {
                state.is_led = true;
                drop(state);
            }
            let mut leader = Leader { group: self, flushed: None };
            let flushed = flush(up_to)?;
            let publishes_late = base::variant!("log.publish-after-wake");
            if !publishes_late {
                self.publish(flushed);
            }
            leader.flushed = Some(flushed);
            drop(leader);
            if publishes_late {
                self.publish(flushed);
            }
            return Ok(());
        }
    }

    /// No code runs under this lock that can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to tell those who wait; done when dropped, also by an error or a panic.
struct Leader<'g> {
    group: &'g FlushGroup,
    flushed: Option<Lsn>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(loom) && base::sync::thread::panicking() {
            return;
        }
        let mut state = self.group.state();
        let Some(flushed) = self.flushed else {
            // It did not work: each finds out for itself.
            state.is_led = false;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.iter().for_each(|waiting| waiting.waiter.tell(NOTHING));
            return;
        };
        let all = std::mem::take(&mut state.waiting);
        let (done, mut left): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|waiting| waiting.up_to <= flushed);
        let next = if left.is_empty() { None } else { Some(left.remove(0)) };
        state.is_led = next.is_some();
        state.waiting = left;
        drop(state);
        if let Some(next) = next {
            next.waiter.tell(LEAD);
        }
        done.iter().for_each(|waiting| waiting.waiter.tell(DONE));
    }
}
