//! Many threads that begin, end, prepare and look: what each look may say is judged by the order in which
//! the calls came and went.
//!
//! A global ticket is drawn before each xid is asked for and after each end has come back. To a set of the
//! running: whoever's end had come back before the taking has ended; whoever's end had not been called by
//! the time the set was there runs; and if T2 has ended, so has every T1 whose end came back before T2 was
//! begun.

use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::SeqCst;
use base::sync::{Arc, thread};
use base::{FullXid, TimestampTz};
use procarray::{Backend, GroupClear, ProcArray, ReservedSlot, RunningSet};

use crate::array;
use crate::random::{Random, seeds};

const XIDS: usize = 4096;

/// Tickets by xid, 0 where none was drawn yet.
struct Ledger {
    first: u64,
    ticket: AtomicU64,
    begun: Vec<AtomicU64>,
    ending: Vec<AtomicU64>,
    ended: Vec<AtomicU64>,
}

impl Ledger {
    fn new(first: u64) -> Ledger {
        let column = || (0..XIDS).map(|_| AtomicU64::new(0)).collect();
        Ledger {
            first,
            ticket: AtomicU64::new(1),
            begun: column(),
            ending: column(),
            ended: column(),
        }
    }

    fn draw(&self) -> u64 {
        self.ticket.fetch_add(1, SeqCst)
    }

    fn note(&self, column: &[AtomicU64], xid: FullXid, ticket: u64) {
        if let Some(cell) = column.get((xid.0 - self.first) as usize) {
            cell.store(ticket, SeqCst);
        }
    }

    /// Takes a set and judges it.
    fn look(&self, backend: &mut Backend, set: &mut RunningSet, unlocked: bool) {
        let before = self.ticket.load(SeqCst);
        if !(unlocked && set.completion_count != 0 && backend.advertise_unlocked(set)) {
            backend.take_running(set);
        }
        let own = backend.xid();
        // Whoever has not called its end by now.
        let still =
            |at: usize| self.begun[at].load(SeqCst) != 0 && self.ending[at].load(SeqCst) == 0;
        let running_after: Vec<bool> = (0..XIDS).map(still).collect();
        let mut newest_seen = 0;
        let sees = |at: usize| {
            let xid = FullXid(self.first + at as u64);
            own != Some(xid) && !set.is_running(xid)
        };
        let used = XIDS.min((set.xmax.0 - self.first) as usize);
        for (at, &still) in running_after.iter().enumerate().take(used) {
            if sees(at) {
                assert!(!still, "{at} runs still: {set:?}");
                newest_seen = newest_seen.max(self.begun[at].load(SeqCst));
            }
        }
        for at in 0..XIDS {
            let ended = self.ended[at].load(SeqCst);
            if ended != 0 && (ended < before || ended < newest_seen) {
                assert!(sees(at), "{at} ended at {ended} of {before}, {newest_seen}: {set:?}");
            }
        }
        assert!(backend.horizons().data.xid <= set.xmin, "the own xmin holds the horizon back");
    }
}

fn session(array: &Arc<ProcArray>, ledger: &Ledger, seed: u64, rounds: usize) {
    let mut random = Random::new(seed);
    let mut backend = Backend::connect(array, 1).expect("a free slot");
    let mut set = RunningSet::default();
    for _ in 0..rounds {
        let ticket = ledger.draw();
        let xid = backend.assign_xid();
        ledger.note(&ledger.begun, xid, ticket);
        for _ in 0..random.below(3) {
            backend.assign_subxid();
        }
        if random.below(2) == 0 {
            ledger.look(&mut backend, &mut set, random.below(2) == 0);
        }
        let reserved = (random.below(8) == 0).then(|| ReservedSlot::take(array).ok()).flatten();
        if let Some(reserved) = reserved {
            let prepared = backend.prepare(reserved, TimestampTz(1));
            if random.below(2) == 0 {
                ledger.look(&mut backend, &mut set, random.below(2) == 0);
                assert!(set.is_running(xid), "what was prepared runs");
                backend.clear_xmin();
            }
            ledger.note(&ledger.ending, xid, ledger.draw());
            prepared.finish();
        } else {
            ledger.note(&ledger.ending, xid, ledger.draw());
            backend.end_transaction();
        }
        ledger.note(&ledger.ended, xid, ledger.draw());
        if random.below(3) == 0 {
            ledger.look(&mut backend, &mut set, random.below(2) == 0);
            backend.end_transaction();
        }
        if random.below(50) == 0 {
            drop(backend);
            backend = Backend::connect(array, 1).expect("a free slot");
            set = RunningSet::default();
        }
    }
}

#[test]
fn threads_see_only_what_the_order_of_calls_allows() {
    for seed in seeds(6) {
        for (threads, groups) in [(8, GroupClear::WhenContended), (24, GroupClear::Always)] {
            // Across the end of an epoch, too.
            let first = [FullXid(3), FullXid((6 << 32) - 500)][(seed % 2) as usize];
            let array = array(threads, 4, first.0, groups);
            let ledger = Arc::new(Ledger::new(first.0));
            let running: Vec<_> = (0..u64::from(threads))
                .map(|thread| {
                    let (array, ledger) = (Arc::clone(&array), Arc::clone(&ledger));
                    thread::spawn(move || session(&array, &ledger, seed << 8 | thread, 30))
                })
                .collect();
            for thread in running {
                thread.join().expect("a session keeps every rule");
            }
            array.check();
            assert!(array.list().is_empty(), "everybody has gone");
            assert_eq!(array.latest_completed().next(), array.next_xid(), "everything has ended");
        }
    }
}

/// 64 committers and nothing else: each is cleared once, and the last id counts.
#[test]
fn groups_clear_everyone_once() {
    let array = array(64, 0, 3, GroupClear::Always);
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let array = Arc::clone(&array);
            thread::spawn(move || {
                let mut backend = Backend::connect(&array, 1).expect("a free slot");
                for _ in 0..200 {
                    let xid = backend.assign_xid();
                    backend.end_transaction();
                    assert!(array.latest_completed() >= xid);
                    assert_eq!(backend.xid(), None);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a committer comes back");
    }
    assert_eq!(array.completion_count(), 1 + 64 * 200);
    assert_eq!(array.latest_completed(), FullXid(2 + 64 * 200));
}
