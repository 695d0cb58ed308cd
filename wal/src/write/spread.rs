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
//! Invariants: who has come and not gone is counted on one processor, unless it has slept meanwhile. A thread may run on the same processors
//! when it has moved as before.

use base::processor;
use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use crossbeam_utils::CachePadded;

/// How many commit on each processor; nobody is counted where there is nothing to choose.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Those that may be chosen, by their numbers, in ascending order.
    processors: Box<[usize]>,
    /// By the numbers of processors.
    on: Box<[CachePadded<AtomicU32>]>,
}

/// Somebody who commits.
#[derive(Debug)]
pub(super) struct Place<'s> {
    spread: &'s Spread,
    on: usize,
}

impl Spread {
    /// Over the processors that the calling thread may run on.
    pub(super) fn new() -> Spread {
        let processors = processor::allowed().unwrap_or_default();
        let [_, .., last] = processors[..] else { return Spread::default() };
        let on = (0..=last).map(|_| CachePadded::new(AtomicU32::new(0))).collect();
        Spread { processors: processors.into(), on }
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
        let Spread { processors, on } = self.spread;
        let here = self.spread.count(self.on);
        // Of two who lead by turns the one keeps the processor awake for the other.
        if here < 3 {
            return;
        }
        // Of those that are as empty the next one, so that not all go to the first.
        let (before, behind) = processors.split_at(processors.partition_point(|at| *at <= self.on));
        let fewest = behind.iter().chain(before).min_by_key(|at| self.spread.count(**at));
        let Some(&there) = fewest.filter(|at| self.spread.count(**at) + 2 <= here) else { return };
        // Of those who see the same difference one goes.
        if on[self.on].compare_exchange(here, here - 1, Relaxed, Relaxed).is_ok() {
            on[there].fetch_add(1, Relaxed);
            self.on = there;
            if processor::move_to(there).is_err() {
                self.look_around();
            }
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

    /// How often of a hundred times it moves who is where so many others are, with so many elsewhere; and sees to it that it is counted where
    /// it is then.
    fn moves(processors: &[usize], here: u32, elsewhere: u32) -> usize {
        let moves = |_: &usize| {
            let spread = Spread::new();
            let mut place = spread.come().expect("several");
            let on = place.on;
            for processor in processors {
                let others = if *processor == on { here } else { elsewhere };
                spread.on[*processor].fetch_add(others, Relaxed);
            }
            place.even_out();
            assert_eq!(spread.count(place.on), if place.on == on { here } else { elsewhere } + 1);
            assert_eq!(processor::allowed().expect("known"), processors);
            place.on != on && processor::current() == Some(place.on)
        };
        (0..100).filter(moves).count()
    }

    // The scheduler may take the thread elsewhere in between, though hardly every time.

    #[test]
    fn one_moves_to_where_two_fewer_are() {
        with_processors(|processors| {
            assert!(moves(processors, 2, 0) > 50);
            assert!(moves(processors, 5, 4) > 50);
        });
    }

    #[test]
    fn nobody_moves_for_one_fewer_or_away_from_one() {
        with_processors(|processors| {
            assert!(moves(processors, 2, 2) < 50);
            assert!(moves(processors, 1, 0) < 50);
        });
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
            assert_eq!((place.on, counts(&spread, processors).iter().sum()), (only, 6));
            assert_eq!(spread.count(only), 6);
            assert_eq!(processor::allowed().expect("known"), [only]);
        });
    }
}
