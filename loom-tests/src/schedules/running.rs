//! Many sessions that begin, end, prepare and look at who is running: what each look may say is judged by the
//! order in which the calls came and went.
//!
//! A ticket is drawn before each xid is asked for, before each end is called and after it has come back. To a set
//! of the running: whoever's end had come back before the taking has ended; whoever's end had not been called by
//! the time the set was there runs; and if T2 has ended, so has every T1 whose end came back before T2 was
//! begun.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use base::sync::{Arc, thread};
use base::{FullXid, TimestampTz};
use fastrand::Rng;
use procarray::{Backend, Config, GroupClear, ProcArray, ReservedSlot, RunningSet};

use super::{Schedule, Setup};

pub(super) const SCHEDULE: Schedule = Schedule {
    name: "running",
    property: "a set of the running lists who runs, and whoever ended before one that it does not list has ended",
    wrong: &[
        "end.clear-outside-lock",
        "end.latest-after-lock",
        "end.latest-first",
        "group.pop-one",
        "prepare.count-stands",
        "prepare.own-entry-first",
        "running.no-second-look",
    ],
    run,
};

/// Tickets by xid, 0 where none was drawn yet.
struct Ledger {
    first: u64,
    ticket: AtomicU64,
    begun: Vec<AtomicU64>,
    ending: Vec<AtomicU64>,
    ended: Vec<AtomicU64>,
}

impl Ledger {
    fn new(first: u64, xids: usize) -> Ledger {
        let column = || (0..xids).map(|_| AtomicU64::new(0)).collect();
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
        column[(xid.0 - self.first) as usize].store(ticket, SeqCst);
    }

    /// Takes a set and judges it.
    fn look(&self, backend: &mut Backend, set: &mut RunningSet, unlocked: bool) {
        let before = self.ticket.load(SeqCst);
        if !(unlocked && set.completion_count != 0 && backend.advertise_unlocked(set)) {
            backend.take_running(set);
        }
        let own = backend.xid();
        // Whoever has not called its end by now.
        let used = (set.xmax.0 - self.first) as usize;
        let still =
            |at: usize| self.begun[at].load(SeqCst) != 0 && self.ending[at].load(SeqCst) == 0;
        let running_after: Vec<bool> = (0..used).map(still).collect();
        let mut newest_seen = 0;
        let sees = |at: usize| {
            let xid = FullXid(self.first + at as u64);
            own != Some(xid) && !set.is_running(xid)
        };
        for (at, &still) in running_after.iter().enumerate() {
            if sees(at) {
                assert!(!still, "{at} runs still: {set:?}");
                newest_seen = newest_seen.max(self.begun[at].load(SeqCst));
            }
        }
        for at in 0..self.ended.len() {
            let ended = self.ended[at].load(SeqCst);
            if ended != 0 && (ended < before || ended < newest_seen) {
                assert!(sees(at), "{at} ended at {ended} of {before}, {newest_seen}: {set:?}");
            }
        }
        assert!(backend.horizons().data.xid <= set.xmin, "the own xmin holds the horizon back");
    }
}

fn session(array: &Arc<ProcArray>, ledger: &Ledger, seed: u64, rounds: usize) {
    let mut random = Rng::with_seed(seed);
    let mut backend = Backend::connect(array, 1).expect("a free slot");
    let mut set = RunningSet::default();
    for _ in 0..rounds {
        let ticket = ledger.draw();
        let xid = backend.assign_xid();
        ledger.note(&ledger.begun, xid, ticket);
        for _ in 0..random.usize(..3) {
            backend.assign_subxid();
        }
        if random.usize(..2) == 0 {
            ledger.look(&mut backend, &mut set, random.usize(..2) == 0);
        }
        let reserved = (random.usize(..8) == 0).then(|| ReservedSlot::take(array).ok()).flatten();
        if let Some(reserved) = reserved {
            let prepared = backend.prepare(reserved, TimestampTz(1));
            if random.usize(..2) == 0 {
                ledger.look(&mut backend, &mut set, random.usize(..2) == 0);
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
        if random.usize(..3) == 0 {
            ledger.look(&mut backend, &mut set, random.usize(..2) == 0);
            backend.end_transaction();
        }
        if random.usize(..20) == 0 {
            drop(backend);
            backend = Backend::connect(array, 1).expect("a free slot");
            set = RunningSet::default();
        }
    }
}

fn run(setup: &Setup) {
    let mut random = Rng::with_seed(setup.seed);
    let groups = [GroupClear::WhenContended, GroupClear::Always, GroupClear::Never];
    // Across 2^31 and the end of an epoch, too.
    let first = [3, (1 << 31) - 20, (1 << 32) - 20, (6 << 32) - 20].map(FullXid)[random.usize(..4)];
    let config = Config {
        sessions: setup.threads,
        prepared: 4,
        next_xid: first,
        group_clear: groups[random.usize(..3)],
    };
    let array = Arc::new(ProcArray::new(config).expect("a legal size"));
    // Three ids a round at most, and the special ids of a new epoch.
    let ledger = Ledger::new(first.0, setup.threads as usize * setup.rounds * 3 + 4);
    thread::scope(|scope| {
        for thread in 0..u64::from(setup.threads) {
            let (array, ledger) = (&array, &ledger);
            let (seed, rounds) = (setup.seed << 8 | thread, setup.rounds);
            scope.spawn(move || session(array, ledger, seed, rounds));
        }
    });
    array.check();
    assert!(array.list().is_empty(), "everybody has gone");
    assert_eq!(array.latest_completed().next(), array.next_xid(), "everything has ended");
}
