//! Who commits just now, for checkpoints (`delayChkptStart`).
//!
//! ```text
//! committer    enters ── fence ── commit record inserted ── flushed ── clog set ── leaves
//! checkpoint                      redo point moved ── fence ── looks ── waits for who was in ── clog written
//! ```
//!
//! A commit record before the redo point is not replayed, so the checkpoint must write the clog page that says the same.
//! Invariant: if a commit record lies before the redo point, whoever waits here after it has moved that point comes back
//! only when the committer has left.
//!
//! The argument: each place has a word of its own, odd while its holder is in, and higher by one at each step. Between
//! entering and inserting lies a sequentially consistent fence, and so does one between moving the redo point and looking.
//! If the checkpoint's look misses that the committer is in, its fence comes first in the one order of such fences, so
//! the committer's reservation of log space sees the moved redo point and lies behind it. A committer who enters later
//! than the look is not waited for, by the same argument. Words are waited for by value: one that changed belongs to a
//! holder who has left, whoever has come since. Committers write only their own cache line.

use std::time::Duration;

use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use base::sync::{atomic, thread};

/// How long a checkpoint sleeps before it looks again: a commit under way waits for a disk, and prunes a page or two meanwhile, at most.
const PATIENCE: Duration = Duration::from_millis(1);

/// A word that shares its cache line, and the one that is fetched along with it, with no other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(AtomicU64);

/// The places of all who can commit.
#[derive(Debug)]
pub struct CommitGate(Box<[Place]>);

/// That someone commits; it ends when this goes.
#[derive(Debug)]
pub struct Committing<'g>(&'g AtomicU64);

impl CommitGate {
    /// With so many places.
    pub fn new(places: usize) -> CommitGate {
        CommitGate((0..places).map(|_| Place::default()).collect())
    }

    /// Enters, at a place that is one's own. Done before the commit record is inserted.
    ///
    /// # Panics
    /// If someone is in at this place, or there is no such place.
    pub fn enter(&self, place: usize) -> Committing<'_> {
        let word = &self.0[place].0;
        let before = word.load(Relaxed);
        assert!(before.is_multiple_of(2), "place {place} of the commit gate is taken");
        word.store(before + 1, Relaxed);
        atomic::fence(SeqCst);
        Committing(word)
    }

    /// Comes back when all who are in now have left. Done after the redo point was moved.
    pub fn wait(&self) {
        atomic::fence(SeqCst);
        let who_was_in: Vec<_> = self
            .0
            .iter()
            .map(|place| (&place.0, place.0.load(Acquire)))
            .filter(|(_, word)| !word.is_multiple_of(2))
            .collect();
        for (word, seen) in who_was_in {
            while word.load(Acquire) == seen {
                thread::sleep(PATIENCE);
            }
        }
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        // Nobody else writes the word. What was done before, the clog's page above all, is seen by who sees this.
        self.0.store(self.0.load(Relaxed) + 1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::sync::Arc;
    use base::sync::atomic::AtomicBool;

    #[test]
    fn who_was_in_is_waited_for_and_who_comes_later_is_not() {
        let gate = Arc::new(CommitGate::new(3));
        let later = gate.enter(2);
        drop(later);
        let committing = gate.enter(0);
        let left = Arc::new(AtomicBool::new(false));
        let checkpoint = {
            let (gate, left) = (Arc::clone(&gate), Arc::clone(&left));
            thread::spawn(move || {
                gate.wait();
                assert!(left.load(Acquire), "it waited");
            })
        };
        left.store(true, Release);
        drop(committing);
        // The place is used again at once: another's stay is not waited for.
        let next = gate.enter(0);
        // Who came back has seen the first one leave, or found the second.
        drop(next);
        checkpoint.join().expect("came back");
    }

    #[test]
    fn nobody_in_is_no_wait() {
        CommitGate::new(0).wait();
        CommitGate::new(4).wait();
    }

    #[test]
    #[should_panic(expected = "is taken")]
    fn a_place_is_ones_own() {
        let gate = CommitGate::new(1);
        let _committing = gate.enter(0);
        let _again = gate.enter(0);
    }

    /// What the gate is for: a record before the redo point is in the clog when the checkpoint looks. The log is a
    /// counter here, and the clog a word for each place.
    #[test]
    fn what_lies_before_the_redo_point_is_in_the_clog() {
        const ROUNDS: u64 = 20_000;
        let gate = Arc::new(CommitGate::new(2));
        let log = Arc::new(AtomicU64::new(0));
        let clog: Arc<[AtomicU64; 2]> = Arc::default();
        let reserved: Arc<[AtomicU64; 2]> = Arc::default();
        let committers: Vec<_> = (0..2)
            .map(|place| {
                let (gate, log) = (Arc::clone(&gate), Arc::clone(&log));
                let (clog, reserved) = (Arc::clone(&clog), Arc::clone(&reserved));
                thread::spawn(move || {
                    for round in 1..=ROUNDS {
                        let _committing = gate.enter(place);
                        // The place in the log counts this committer's own records in its half of the word.
                        let own = 1_u64 << (place * 32);
                        log.fetch_add(own, Relaxed);
                        reserved[place].store(round, Relaxed);
                        clog[place].store(round, Relaxed);
                    }
                })
            })
            .collect();
        for _ in 0..200 {
            let redo = log.fetch_add(0, Relaxed);
            gate.wait();
            for place in 0..2 {
                let before_redo = redo >> (place * 32) & 0xFFFF_FFFF;
                assert!(clog[place].load(Relaxed) >= before_redo, "lost at place {place}");
            }
        }
        for committer in committers {
            committer.join().expect("ended");
        }
    }
}
