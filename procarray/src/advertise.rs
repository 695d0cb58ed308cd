//! A point in time that readers take without a lock and that a horizon must not pass: what a
//! commit-timestamp snapshot does with its start timestamp.
//!
//! ```text
//! reader                                      horizon
//! low = clock                                 now = clock
//! shown = low            (relaxed)            fence                   (advertise.horizon, SeqCst)
//! fence                  (advertise.reader)   read every shown
//! start = clock                               horizon = the least of them and now
//! ```
//!
//! Of the two fences one is first. If the reader's is, the horizon reads `shown`, which is at most
//! `start`. If the horizon's is, the reader's second look at the clock finds `now` or later. So the
//! horizon never passes a `start` in use, whether it was taken before or after the horizon. The reader must
//! work with what it read second: the first may be older than a horizon that missed it.
//!
//! A reader that begins again while it shows something needs none of this: what it shows is older. One that
//! needs only newer points any more shows the oldest of these instead ([`Advertised::advance`]).
//!
//! A point that goes from one reader to another ([`Advertised::take_over`]) could be missed by a horizon
//! that looks at the new one too early and at the old one too late. So a horizon and a taking over
//! exclude each other; both are rare.
//!
//! Invariants: the clock never goes back, and whoever reads it reads what it stands for as well (an acquire
//! load); 0 is no point in time; a position is written by its owner alone.

use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Mutex, MutexGuard, PoisonError};
use base::{fence, ordering, variant};
use crossbeam_utils::CachePadded;

/// What each reader shows, one position a reader.
#[derive(Debug)]
pub struct Advertised {
    shown: Box<[CachePadded<AtomicU64>]>,
    /// Held by a horizon and by who takes a point over.
    moving: Mutex<()>,
}

impl Advertised {
    /// Positions for so many readers, none reading.
    pub fn new(readers: usize) -> Advertised {
        Advertised {
            shown: (0..readers).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
            moving: Mutex::new(()),
        }
    }

    /// Begins to read at the clock's time and gives it back; no horizon passes it until
    /// [`release`](Self::release). The position shows nothing yet.
    #[inline]
    pub fn acquire(&self, reader: usize, clock: impl Fn() -> u64) -> u64 {
        let low = clock();
        self.shown[reader].store(low, Relaxed);
        // Pairs with `advertise.horizon`.
        fence!("advertise.reader", SeqCst);
        if variant!("advertise.no-second-look") {
            return low;
        }
        clock()
    }

    /// Goes on reading at this point and newer ones alone. The position shows an older one.
    #[inline]
    pub fn advance(&self, reader: usize, oldest: u64) {
        // Nothing that the reader did at an older point may come after.
        self.shown[reader].store(oldest, ordering!("advertise.advance", Release));
    }

    /// Ends reading.
    #[inline]
    pub fn release(&self, reader: usize) {
        // Nothing that the reader did may come after.
        self.shown[reader].store(0, ordering!("advertise.release", Release));
    }

    /// Begins to read at a point that `from` reads at; no horizon has passed it. `false`, and nothing is
    /// shown, if `from` shows nothing so old any more. The position shows nothing yet.
    pub fn take_over(&self, reader: usize, from: usize, point: u64) -> bool {
        let moving = (!variant!("advertise.take-over-unlocked")).then(|| self.moving());
        let shown = self.shown[from].load(Relaxed);
        let is_held = shown != 0 && shown <= point;
        if is_held {
            self.shown[reader].store(point, Relaxed);
        }
        drop(moving);
        is_held
    }

    /// What a reader shows.
    pub fn shown(&self, reader: usize) -> Option<u64> {
        Some(self.shown[reader].load(Relaxed)).filter(|&shown| shown != 0)
    }

    /// The point in time that no reader is before, now or later.
    pub fn horizon(&self, clock: impl Fn() -> u64) -> u64 {
        let _moving = self.moving();
        if variant!("advertise.scan-before-clock") {
            let oldest = self.oldest_shown();
            fence!("advertise.horizon", SeqCst);
            return oldest.unwrap_or(u64::MAX).min(clock());
        }
        let now = clock();
        // Pairs with `advertise.reader`.
        fence!("advertise.horizon", SeqCst);
        self.oldest_shown().unwrap_or(now).min(now)
    }

    fn oldest_shown(&self) -> Option<u64> {
        self.shown
            .iter()
            .map(|shown| shown.load(ordering!("advertise.scan", Acquire)))
            .filter(|&shown| shown != 0)
            .min()
    }

    /// The lock protects no data that a panic could leave half written.
    fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
