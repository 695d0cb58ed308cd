//! Where timestamps come from.
//!
//! Invariant: a [`HybridClock`] never draws the same timestamp twice and never an older one, whatever its
//! wall clock does: `max(now, last + 1)`. Timestamps are microseconds since 2000-01-01 and above 0, which
//! PostgreSQL's pg_commit_ts reads as "none".

use base::sync::atomic::{AtomicI64, Ordering};
use base::{TimestampTz, ordering};

/// Something that tells the time, and may be set back.
pub trait WallClock: Send + Sync {
    /// The time now.
    fn now(&self) -> TimestampTz;
}

/// The system's clock.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now(&self) -> TimestampTz {
        use std::time::{SystemTime, UNIX_EPOCH};
        // Before 1970 there is no time worth telling: the hybrid clock counts on from its last.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        TimestampTz(micros - base::time::POSTGRES_EPOCH_UNIX_SECONDS * 1_000_000)
    }
}

/// A clock that a test sets, forwards and back.
#[derive(Default, Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that stands at `now`.
    pub fn new(now: TimestampTz) -> TestClock {
        TestClock(AtomicI64::new(now.0))
    }

    /// Sets it.
    pub fn set(&self, now: TimestampTz) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl WallClock for TestClock {
    fn now(&self) -> TimestampTz {
        TimestampTz(self.0.load(Ordering::Relaxed))
    }
}

impl<W: WallClock> WallClock for base::sync::Arc<W> {
    fn now(&self) -> TimestampTz {
        (**self).now()
    }
}

/// The highest timestamp that fits into a slot, in the year 75,000.
pub(crate) const HIGHEST: i64 = (1 << 61) - 1;

/// A wall clock made strictly increasing.
#[derive(Default, Debug)]
pub struct HybridClock<W> {
    wall: W,
    last: AtomicI64,
}

impl<W: WallClock> HybridClock<W> {
    /// A clock whose timestamps come after `last`: the highest of an earlier life.
    pub fn new(wall: W, last: TimestampTz) -> HybridClock<W> {
        HybridClock { wall, last: AtomicI64::new(last.0.clamp(0, HIGHEST - 1)) }
    }

    /// A timestamp that nobody drew before, later than all drawn.
    ///
    /// # Panics
    /// In the year 75,000.
    pub fn draw(&self) -> TimestampTz {
        let now = self.wall.now().0.min(HIGHEST - 1);
        let next = |last: i64| now.max(last + 1);
        // AcqRel: the draws form one chain, so that who sees a timestamp drawn sees the markers that
        // stand in front of it and of all earlier ones (pairs with the load in `latest`).
        let last = self
            .last
            .fetch_update(ordering!("commit-ts.draw", AcqRel), Ordering::Relaxed, |last| {
                Some(next(last))
            })
            .unwrap_or_else(|last| last);
        let drawn = next(last);
        assert!(drawn <= HIGHEST, "timestamps ran out");
        TimestampTz(drawn)
    }

    /// The latest timestamp drawn.
    #[inline]
    pub fn latest(&self) -> TimestampTz {
        TimestampTz(self.last.load(ordering!("commit-ts.start", Acquire)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::sync::Arc;

    #[test]
    fn time_only_goes_forward() {
        let wall = Arc::new(TestClock::new(TimestampTz(1000)));
        let clock = HybridClock::new(wall.clone(), TimestampTz(7));
        assert_eq!(clock.draw(), TimestampTz(1000));
        assert_eq!(clock.draw(), TimestampTz(1001), "the wall clock stands");
        wall.set(TimestampTz(-5));
        assert_eq!(clock.draw(), TimestampTz(1002), "it was set back");
        wall.set(TimestampTz(2000));
        assert_eq!((clock.draw(), clock.latest()), (TimestampTz(2000), TimestampTz(2000)));
    }

    #[test]
    fn the_first_timestamp_is_above_zero_and_above_those_of_an_earlier_life() {
        let clock = HybridClock::new(TestClock::new(TimestampTz(-99)), TimestampTz(-100));
        assert_eq!(clock.draw(), TimestampTz(1));
        let clock = HybridClock::new(TestClock::new(TimestampTz(5)), TimestampTz(400));
        assert_eq!(clock.draw(), TimestampTz(401));
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now() > TimestampTz(20 * 365 * 86_400 * 1_000_000));
    }

    #[test]
    fn nobody_draws_what_another_drew() {
        let clock = Arc::new(HybridClock::new(TestClock::default(), TimestampTz(0)));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let clock = clock.clone();
                base::sync::thread::spawn(move || {
                    let drawn: Vec<i64> = (0..1000).map(|_| clock.draw().0).collect();
                    assert!(drawn.is_sorted());
                    drawn
                })
            })
            .collect();
        let mut all: Vec<i64> =
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=4000).collect::<Vec<_>>());
    }
}
