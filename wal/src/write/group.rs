//! Group flush: one flushes for all who wait meanwhile.
//!
//! ```text
//! A  lock, nobody leads: lead    write, sync .............. publish   hand over
//! B       lock, A leads: enqueue, sleep .............................. told: done
//! C                lock, A leads: enqueue, sleep ..................... told: lead     gather, write, sync ...
//! ```
//!
//! The leader flushes as much as is copied, not only what it needs itself. When it is done it looks at those who
//! came meanwhile: whoever is covered is woken, and of the others the first leads next, woken before the rest,
//! so that the disk is not kept waiting. Source: the queue of PostgreSQL's `LWLockAcquireOrWait`, with the
//! difference that only one of those who are not covered wakes up.
//!
//! **Gathering.** Of sessions that commit again and again half would sleep while the other half is flushed, and each
//! flush would serve half of them. So who leads for a commit first waits until as many have come as committed
//! around the flush before, those that it served and those that came too late for it. It waits no longer than half of what
//! a flush takes. Where that was in vain the next flushes do without, one,
//! three, seven and up to 63, so that sessions which do not come back lose next to nothing. A lone session never waits.
//! (PostgreSQL's `commit_delay` is a fixed time for the same purpose, to be set by hand.)
//!
//! **Staying awake.** To fall asleep and be woken takes a thread longer than to commit, and who wakes many is late for the
//! next flush. So who comes for a commit while another leads first looks at the flushed position again and again, giving its
//! processor to whoever wants it, for as long as two flushes take; then it goes into the queue. That only puts off what it
//! would do anyway. Where a flush takes more than half a millisecond nobody does. When the flush begins those who wait are spread over
//! the processors, see [`spread`](super::spread). While the leader waits for the disk the processors
//! have little else to do, so who stays awake then does work that somebody would have to do later; not while the leader gathers,
//! since that would keep those from coming whom it waits for.
//!
//! Invariants: who is told that it is done finds the position flushed; who is in the queue is told something by
//! whoever leads, since both happen under the lock; the flushed position never goes back, whoever
//! publishes.

use std::time::{Duration, Instant};

use base::Lsn;
use base::ordering;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use base::sync::{Arc, Mutex, MutexGuard, PoisonError, Semaphore, thread};
use crossbeam_utils::CachePadded;

use super::spread::{Place, Spread};

const NOTHING: u32 = 0;
const DONE: u32 = 1;
const LEAD: u32 = 2;

/// Who flushes, who waits, and up to where it is flushed.
#[derive(Debug)]
pub struct FlushGroup {
    flushed: CachePadded<AtomicU64>,
    /// How many commits have come, ever; and how many of them when the last flush began, which serves them.
    arrived: CachePadded<AtomicU64>,
    served: AtomicU64,
    /// Whether those who wait may stay awake.
    may_stay_awake: bool,
    /// How long they do, in nanoseconds, and whether there is a leader: written under the lock.
    stay_awake: AtomicU64,
    has_leader: AtomicBool,
    /// Whether the leader has done gathering, and writes and waits for the disk; with `commit_delay`, whether that has begun.
    is_flushing: AtomicBool,
    /// On which processors those are who commit.
    spread: Spread,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_led: bool,
    waiting: Vec<Waiting>,
    gathering: Gathering,
}

/// What is known of how many commit at once.
#[derive(Debug, Default)]
struct Gathering {
    /// How many committed around the last flush.
    expected: u64,
    /// How many flushes are to do without.
    pausing: u32,
    /// How many did after the last time that it was in vain.
    paused: u32,
    /// Mean time of a flush, of the last few.
    takes: Duration,
}

/// Nobody stays awake where a flush takes longer than this.
const SHORT_FLUSH: Duration = Duration::from_micros(500);

/// No processor falls asleep where a flush takes less than this.
#[cfg(not(loom))]
const TOO_SHORT_TO_SLEEP: Duration = Duration::from_micros(20);

/// What only puts something off, gathering and staying awake, is left out of models: who goes on at once is as right.
const IS_MODEL: bool = cfg!(any(loom, shuttle));

/// The most flushes that do without gathering because it was in vain.
const LONGEST_PAUSE: u32 = 63;

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

impl Gathering {
    /// Notes that a flush took so long, and that so many committed around it.
    fn learn(&mut self, took: Duration, committing: u64) {
        self.takes = if self.takes.is_zero() { took } else { (self.takes * 7 + took) / 8 };
        self.expected = committing;
    }

    /// For how many a leader should wait, itself among them, that finds so many; `None` if it should not.
    fn begin(&mut self, are_there: u64) -> Option<u64> {
        if are_there >= self.expected {
            return None;
        }
        if self.pausing > 0 {
            self.pausing -= 1;
            return None;
        }
        Some(self.expected)
    }

    /// The leader waits no longer.
    fn end(&mut self, was_in_vain: bool) {
        self.paused = if was_in_vain { (self.paused * 2 + 1).min(LONGEST_PAUSE) } else { 0 };
        self.pausing = self.paused;
    }
}

impl Waiter {
    fn tell(&self, what: u32) {
        // The semaphore orders it.
        self.told.store(what, Relaxed);
        self.semaphore.post();
    }
}

impl FlushGroup {
    /// A group for a log that is flushed up to `flushed`; whether those who wait for a commit may stay awake.
    pub fn new(flushed: Lsn, waits_awake: bool) -> FlushGroup {
        let may_stay_awake = waits_awake && !IS_MODEL;
        FlushGroup {
            flushed: CachePadded::new(AtomicU64::new(flushed.0)),
            arrived: CachePadded::new(AtomicU64::new(0)),
            served: AtomicU64::new(0),
            may_stay_awake,
            stay_awake: AtomicU64::new(0),
            has_leader: AtomicBool::new(false),
            is_flushing: AtomicBool::new(false),
            spread: if may_stay_awake { Spread::new() } else { Spread::default() },
            state: Mutex::new(State::default()),
        }
    }

    /// Whether the last flushes took as long as it takes a processor to fall asleep, and not longer than somebody may stay awake.
    #[cfg(not(loom))]
    pub(super) fn is_worth_staying_awake(&self) -> bool {
        self.stay_awake.load(Relaxed) >= TOO_SHORT_TO_SLEEP.as_nanos() as u64 * 2
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
    pub fn flush<E>(&self, up_to: Lsn, flush: impl FnMut(Lsn) -> Result<Lsn, E>) -> Result<(), E> {
        self.flush_as(Purpose::Position, up_to, flush, &mut || false)
    }

    /// [`FlushGroup::flush`] for a commit: whoever calls `flush` may gather others before it, and who waits awake for that calls
    /// `meanwhile`, which mostly does a few microseconds' work each time, or says that it has none.
    ///
    /// # Errors
    /// As [`FlushGroup::flush`].
    pub fn flush_commit<E>(
        &self,
        up_to: Lsn,
        flush: impl FnMut(Lsn) -> Result<Lsn, E>,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> Result<(), E> {
        self.flush_as(Purpose::Commit, up_to, flush, meanwhile)
    }

    fn flush_as<E>(
        &self,
        purpose: Purpose,
        up_to: Lsn,
        mut flush: impl FnMut(Lsn) -> Result<Lsn, E>,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> Result<(), E> {
        if !IS_MODEL && purpose == Purpose::Commit && self.flushed() < up_to {
            self.arrived.fetch_add(1, Relaxed);
        }
        let mut patience = Patience::default();
        let mut place = if purpose == Purpose::Commit { self.spread.come() } else { None };
        loop {
            if self.flushed() >= up_to {
                return Ok(());
            }
            if purpose == Purpose::Commit
                && self.stay_awake(up_to, &mut patience, &mut place, meanwhile)
            {
                return Ok(());
            }
            let mut state = self.state();
            if self.flushed() >= up_to {
                return Ok(());
            }
            if state.is_led {
                if patience.is_left() {
                    // Somebody else was faster.
                    continue;
                }
                if base::variant!("log.enqueue-after-unlock") {
                    drop(state);
                    state = self.state();
                }
                let semaphore = Semaphore::new();
                let waiter = Arc::new(Waiter { told: AtomicU32::new(NOTHING), semaphore });
                // Whoever sleeps is put by the scheduler where there is room.
                place = None;
                state.waiting.push(Waiting { up_to, waiter: Arc::clone(&waiter) });
                drop(state);
                waiter.semaphore.wait();
                match waiter.told.load(Relaxed) {
                    DONE => return Ok(()),
                    LEAD => {}
                    _ => continue,
                }
            } else {
                self.set_led(&mut state, true);
                drop(state);
            }
            let mut leader = Leader { group: self, outcome: None };
            if purpose == Purpose::Commit {
                self.gather();
            }
            let (began, before) = (Instant::now(), self.served_by_next());
            self.set_flushing(true);
            let flushed = flush(up_to);
            self.set_flushing(false);
            let flushed = flushed?;
            let (took, around) = (began.elapsed(), self.arrived_since(before));
            let publishes_late = base::variant!("log.publish-after-wake");
            if !publishes_late {
                self.publish(flushed);
            }
            leader.outcome = Some((flushed, took, around));
            drop(leader);
            if publishes_late {
                self.publish(flushed);
            }
            return Ok(());
        }
    }

    /// Waits, awake, for the flush that is under way and perhaps the next one, as long as others lead. Whether it is flushed
    /// up to there. This only puts off what follows.
    fn stay_awake(
        &self,
        up_to: Lsn,
        patience: &mut Patience,
        place: &mut Option<Place<'_>>,
        meanwhile: &mut dyn FnMut() -> bool,
    ) -> bool {
        if !self.may_stay_awake {
            return false;
        }
        let most = Duration::from_nanos(self.stay_awake.load(Relaxed));
        if most.is_zero() {
            patience.is_over = true;
        }
        if patience.is_over || !self.has_leader.load(Relaxed) {
            return false;
        }
        let began = *patience.began.get_or_insert_with(Instant::now);
        let mut is_even = false;
        loop {
            let is_flushing = self.is_flushing.load(Relaxed);
            if is_flushing && !is_even {
                // Those who were waited for are there.
                is_even = true;
                if let Some(place) = place {
                    place.even_out();
                }
            } else if !(is_flushing && meanwhile()) {
                thread::yield_now();
            }
            if self.flushed() >= up_to {
                return true;
            }
            patience.is_over = began.elapsed() >= most;
            if patience.is_over || !self.has_leader.load(Relaxed) {
                return false;
            }
        }
    }

    /// Waits for those who are expected, a little. Their coming is a matter of microseconds, so the processor is given
    /// to them, not to sleep.
    fn gather(&self) {
        if IS_MODEL {
            return;
        }
        let are_there = || self.arrived_since(self.served.load(Relaxed));
        let mut state = self.state();
        let Some(expected) = state.gathering.begin(are_there()) else { return };
        let patience = state.gathering.takes / 2;
        drop(state);
        let began = Instant::now();
        loop {
            thread::yield_now();
            let all_are_there = are_there() >= expected;
            if all_are_there || began.elapsed() >= patience {
                return self.state().gathering.end(!all_are_there);
            }
        }
    }

    /// How many commits have come since so many had.
    fn arrived_since(&self, before: u64) -> u64 {
        if IS_MODEL { 0 } else { self.arrived.load(Relaxed).saturating_sub(before) }
    }

    /// A flush begins, for all that have come. Gives how many had when the one before began.
    fn served_by_next(&self) -> u64 {
        if IS_MODEL { 0 } else { self.served.swap(self.arrived.load(Relaxed), Relaxed) }
    }

    fn set_led(&self, state: &mut State, is_led: bool) {
        state.is_led = is_led;
        if !IS_MODEL {
            self.has_leader.store(is_led, Relaxed);
        }
    }

    fn set_flushing(&self, is_flushing: bool) {
        if !IS_MODEL {
            self.is_flushing.store(is_flushing, Relaxed);
        }
    }

    /// No code runs under this lock that can panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long one has stayed awake.
#[derive(Debug, Default)]
struct Patience {
    began: Option<Instant>,
    is_over: bool,
}

impl Patience {
    /// Whether one has, and may go on.
    fn is_left(&self) -> bool {
        self.began.is_some() && !self.is_over
    }
}

/// What a flush is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Commit,
    Position,
}

/// The duty to tell those who wait; done when dropped, also by an error or a panic.
struct Leader<'g> {
    group: &'g FlushGroup,
    /// Up to where it is flushed, how long that took, and how many committed around it.
    outcome: Option<(Lsn, Duration, u64)>,
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(loom) && base::sync::thread::panicking() {
            return;
        }
        let mut state = self.group.state();
        let Some((flushed, took, around)) = self.outcome else {
            // It did not work: each finds out for itself.
            self.group.set_led(&mut state, false);
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.iter().for_each(|waiting| waiting.waiter.tell(NOTHING));
            return;
        };
        let all = std::mem::take(&mut state.waiting);
        state.gathering.learn(took, around);
        let takes = state.gathering.takes;
        if self.group.may_stay_awake {
            let awake_for = if takes > SHORT_FLUSH { Duration::ZERO } else { takes * 2 };
            self.group.stay_awake.store(awake_for.as_nanos() as u64, Relaxed);
        }
        let (done, mut left): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|waiting| waiting.up_to <= flushed);
        let next = if left.is_empty() { None } else { Some(left.remove(0)) };
        self.group.set_led(&mut state, next.is_some());
        state.waiting = left;
        drop(state);
        if let Some(next) = next {
            next.waiter.tell(LEAD);
        }
        done.iter().for_each(|waiting| waiting.waiter.tell(DONE));
    }
}
