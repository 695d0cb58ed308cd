//! Those who wait awake, spread over the processors.
//!
//! ```text
//! processor 0    A leads ─ sync ───────────────────────────────────────────
//! processor 1    B waits   C waits   D waits   E waits, moves to processor 0
//! ```
//!
//! Sessions that wait for the same flush go on at the same moment, so what they do next takes as long as it does on the processor that
//! has most of them. The system's scheduler lets them gather on one: whoever wakes up is drawn to where it was woken from, which is the
//! processor that takes the disk's interrupts, and whoever has just run is thought to have its memory in that processor's caches, and is left
//! there. So it is counted who commits on which processor, and where two more do than on another one, somebody moves there who
//! has nothing to do but wait.
//!
//! Invariants: who has come and not gone is counted on one processor. A thread may run on the same processors when it has moved as
//! before.

use base::processor;
use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use crossbeam_utils::CachePadded;

use super::group::IS_MODEL;

/// How many commit on each processor.
#[derive(Debug)]
pub(super) struct Spread {
    /// By the numbers of processors; empty where there is nothing to choose.
    on: Box<[CachePadded<AtomicU32>]>,
}

/// Somebody who commits.
#[derive(Debug)]
pub(super) struct Place<'s> {
    spread: &'s Spread,
    on: usize,
}

impl Spread {
    /// Over the processors that the process may run on.
    pub(super) fn new() -> Spread {
        let processors = if IS_MODEL { Ok(Vec::new()) } else { processor::allowed() };
        let processors = processors.unwrap_or_default();
        let numbers = match processors[..] {
            [_, .., last] => last + 1,
            _ => 0,
        };
        Spread { on: (0..numbers).map(|_| CachePadded::new(AtomicU32::new(0))).collect() }
    }

    /// Counts the calling thread until what is given is dropped; `None` where there is nothing to choose.
    #[inline]
    pub(super) fn come(&self) -> Option<Place<'_>> {
        if self.on.is_empty() {
            return None;
        }
        let on = processor::current()?;
        self.on.get(on)?.fetch_add(1, Relaxed);
        Some(Place { spread: self, on })
    }

    fn count(&self, processor: usize) -> u32 {
        self.on[processor].load(Relaxed)
    }
}

impl Place<'_> {
    /// Moves the calling thread to where fewer are, if that makes it more even. Takes some microseconds if it does.
    pub(super) fn even_out(&mut self) {
        self.look_around();
        let here = self.spread.count(self.on);
        let is_emptier = |processor: &usize| self.spread.count(*processor) + 2 <= here;
        // Of two who lead by turns the one keeps the processor awake for the other.
        if here < 3 || !(0..self.spread.on.len()).any(|processor| is_emptier(&processor)) {
            return;
        }
        // Those of the thread, which may be fewer than those of the process.
        let processors = processor::allowed().unwrap_or_default();
        let counted = processors.into_iter().filter(|processor| *processor < self.spread.on.len());
        let fewest = counted.min_by_key(|processor| self.spread.count(*processor));
        let Some(there) = fewest.filter(is_emptier) else { return };
        // Of those who see the same difference one goes.
        let goes = self.spread.on[self.on].compare_exchange(here, here - 1, Relaxed, Relaxed);
        if goes.is_ok() {
            self.spread.on[there].fetch_add(1, Relaxed);
            self.on = there;
            // Whoever is refused stays, and is counted where it is the next time.
            let _ = processor::move_to(there);
        }
    }

    /// Notes where the scheduler has put the thread.
    fn look_around(&mut self) {
        let Some(now) = processor::current() else { return };
        if now != self.on && now < self.spread.on.len() {
            self.spread.on[self.on].fetch_sub(1, Relaxed);
            self.spread.on[now].fetch_add(1, Relaxed);
            self.on = now;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.spread.on[self.on].fetch_sub(1, Relaxed);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    /// Runs this on a thread of its own, with the processors that there are, if they are several.
    fn with_processors(test: impl FnOnce(&[usize]) + Send) {
        let processors = processor::allowed().expect("known");
        if processors.len() > 1 {
            thread::scope(|scope| scope.spawn(|| test(&processors)).join().expect("no failure"));
        } else {
            assert!(Spread::new().come().is_none(), "nothing to choose");
        }
    }

    fn counts(spread: &Spread, processors: &[usize]) -> Vec<u32> {
        processors.iter().map(|processor| spread.count(*processor)).collect()
    }

    #[test]
    fn who_comes_is_counted_until_it_goes() {
        with_processors(|processors| {
            let spread = Spread::new();
            let places = [spread.come().expect("several"), spread.come().expect("several")];
            assert_eq!(counts(&spread, processors).iter().sum::<u32>(), 2);
            drop(places);
            assert_eq!(counts(&spread, processors).iter().sum::<u32>(), 0);
        });
    }

    #[test]
    fn one_of_three_moves_to_where_nobody_is() {
        with_processors(|processors| {
            // The scheduler may take the thread elsewhere in between, though hardly every time.
            let moves = (0..100).any(|_| {
                let spread = Spread::new();
                let mut place = spread.come().expect("several");
                let here = place.on;
                spread.on[here].fetch_add(2, Relaxed);
                place.even_out();
                let there = place.on;
                assert_eq!(processor::allowed().expect("known"), processors);
                there != here
                    && (spread.count(here), spread.count(there)) == (2, 1)
                    && processor::current() == Some(there)
            });
            assert!(moves);
        });
    }

    #[test]
    fn nobody_moves_for_one_more_or_away_from_one() {
        // How many are elsewhere, and here beside the thread itself.
        for (elsewhere, here) in [(1, 1), (0, 1)] {
            with_processors(|processors| {
                let moved = (0..100).filter(|_| {
                    let spread = Spread::new();
                    let mut place = spread.come().expect("several");
                    let on = place.on;
                    for processor in processors {
                        let others = if *processor == on { here } else { elsewhere };
                        spread.on[*processor].fetch_add(others, Relaxed);
                    }
                    place.even_out();
                    place.on != on
                });
                assert!(moved.count() < 50, "other than by the scheduler");
            });
        }
    }

    #[test]
    fn nobody_moves_to_where_it_may_not_run() {
        with_processors(|processors| {
            let spread = Spread::new();
            let only = processors[1];
            processor::stay_on(only).expect("allowed");
            let mut place = spread.come().expect("several");
            spread.on[only].fetch_add(5, Relaxed);
            place.even_out();
            assert_eq!((place.on, spread.count(only)), (only, 6));
            assert_eq!(processor::allowed().expect("known"), [only]);
        });
    }
}
