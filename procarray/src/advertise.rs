//! A point in time that readers take without a lock and that a horizon must not pass: what a
//! commit-timestamp snapshot does with its start timestamp.
//!
//! ```text
//! reader                                      horizon
//! low = clock            (relaxed)            now = clock             (relaxed)
//! shown = low            (relaxed)            fence                   (advertise.horizon, SeqCst)
//! fence                  (advertise.reader)   read every shown
//! start = clock          (acquire)            horizon = the least of them and now
//! ```
//!
//! Of the two fences one is first. If the reader's is, the horizon reads `shown`, which is at most
//! `start`. If the horizon's is, the reader's second look at the clock finds `now` or later. So the
//! horizon never passes a `start` in use, whether it was taken before or after the horizon. The reader must
//! work with what it read second: the first may be older than a horizon that missed it.
//!
//! Invariants: the clock never goes back; 0 is no point in time; a position is written by its owner
//! alone.

use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;
use base::{fence, ordering, variant};
use crossbeam_utils::CachePadded;

/// What each reader shows, one position a reader.
#[derive(Debug)]
pub struct Advertised {
    shown: Box<[CachePadded<AtomicU64>]>,
}

impl Advertised {
    /// Positions for so many readers, none reading.
    pub fn new(readers: usize) -> Advertised {
        Advertised { shown: (0..readers).map(|_| CachePadded::new(AtomicU64::new(0))).collect() }
    }

    /// Begins to read at the clock's time and gives it back; no horizon passes it until
    /// [`release`](Self::release). The position shows nothing yet.
    #[inline]
    pub fn acquire(&self, reader: usize, clock: &AtomicU64) -> u64 {
        let low = clock.load(Relaxed);
        self.shown[reader].store(low, Relaxed);
        // Pairs with `advertise.horizon`.
        fence!("advertise.reader", SeqCst);
        if variant!("advertise.no-second-look") {
            return low;
        }
        // Pairs with the release of whoever moves the clock on after what it stands for is readable.
        clock.load(ordering!("advertise.clock", Acquire))
    }

    /// Ends reading.
    #[inline]
    pub fn release(&self, reader: usize) {
        // Nothing that the reader did may come after.
        self.shown[reader].store(0, ordering!("advertise.release", Release));
    }

    /// The point in time that no reader is before, now or later.
    pub fn horizon(&self, clock: &AtomicU64) -> u64 {
        if variant!("advertise.scan-before-clock") {
            let oldest = self.oldest_shown();
            fence!("advertise.horizon", SeqCst);
            return oldest.unwrap_or(u64::MAX).min(clock.load(Relaxed));
        }
        let now = clock.load(Relaxed);
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
}
