//! Many threads end transactions: with the group clear and without it. Prints a line of JSON for each workload.
//!
//! | workload | what happens |
//! |---|---|
//! | steady | each thread begins a transaction and ends it, again and again, with a snapshot before or not. On two cores two threads run, and the lock is held for some nanoseconds, so that they hardly ever meet at it |
//! | burst | all threads come to their end while the lock is held, as when one flush of the log lets all go; the time runs from the lock's release to the last end |
//!
//! Lock acquisitions are the exclusive ones, which ends alone need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use base::FullXid;
use bench::transaction_end::{Kind, Measured, Workload};
use procarray::{Backend, Config, GroupClear, ProcArray, RunningSet};

const ROUNDS: usize = 5;
/// Long enough for every thread to have gone to sleep at the lock.
const SETTLING: Duration = Duration::from_millis(2);

const fn workload(
    kind: Kind,
    threads: u64,
    idle: u64,
    snapshots: bool,
    transactions: u64,
) -> Workload {
    Workload { kind, threads, idle, snapshots, transactions }
}

const WORKLOADS: [Workload; 8] = [
    workload(Kind::Steady, 1, 0, false, 640_000),
    workload(Kind::Steady, 2, 0, false, 640_000),
    workload(Kind::Steady, 64, 0, false, 640_000),
    workload(Kind::Steady, 64, 0, true, 640_000),
    workload(Kind::Steady, 64, 1000, true, 128_000),
    workload(Kind::Burst, 8, 0, false, 800),
    workload(Kind::Burst, 64, 0, false, 6_400),
    workload(Kind::Burst, 64, 1000, false, 6_400),
];

fn main() {
    for workload in WORKLOADS {
        let measured = [GroupClear::Never, GroupClear::WhenContended].map(|group_clear| {
            let mut rounds: Vec<_> = (0..ROUNDS)
                .map(|_| match workload.kind {
                    Kind::Steady => steady(workload, group_clear),
                    Kind::Burst => burst(workload, group_clear),
                })
                .collect();
            rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
            let (seconds, acquisitions) = rounds[ROUNDS / 2];
            let transactions = workload.transactions as f64;
            (transactions / seconds, acquisitions as f64 / transactions)
        });
        let [(alone_per_second, alone_acquisitions), (group_per_second, group_acquisitions)] =
            measured;
        let measured = Measured {
            workload,
            alone_per_second,
            alone_acquisitions,
            group_per_second,
            group_acquisitions,
        };
        println!("{}", serde_json::to_string(&measured).expect("plain numbers"));
    }
}

/// An array in which some transactions run all the while, and these.
fn array_of(workload: Workload, group_clear: GroupClear) -> (Arc<ProcArray>, Vec<Backend>) {
    let sessions = (workload.threads + workload.idle) as u32;
    let config = Config { sessions, prepared: 0, next_xid: FullXid(1000), group_clear };
    let array = Arc::new(ProcArray::new(config).expect("a legal size"));
    let mut others: Vec<Backend> =
        (0..workload.idle).map(|_| Backend::connect(&array, 5).expect("a free slot")).collect();
    for other in &mut others {
        other.assign_xid();
    }
    (array, others)
}

/// Seconds, and how often the array's lock was taken exclusively.
fn steady(workload: Workload, group_clear: GroupClear) -> (f64, u64) {
    let (array, _others) = array_of(workload, group_clear);
    let barrier = Barrier::new(workload.threads as usize + 1);
    thread::scope(|scope| {
        for _ in 0..workload.threads {
            let mut session = Backend::connect(&array, 5).expect("a free slot");
            let barrier = &barrier;
            scope.spawn(move || {
                let mut set = RunningSet::default();
                barrier.wait();
                for _ in 0..workload.transactions / workload.threads {
                    if workload.snapshots {
                        session.take_running(&mut set);
                    }
                    session.assign_xid();
                    session.end_transaction();
                }
                barrier.wait();
            });
        }
        let before = array.exclusive_acquisitions();
        barrier.wait();
        let began = Instant::now();
        barrier.wait();
        (began.elapsed().as_secs_f64(), array.exclusive_acquisitions() - before)
    })
}

/// Seconds, and how often the array's lock was taken exclusively.
fn burst(workload: Workload, group_clear: GroupClear) -> (f64, u64) {
    let (array, _others) = array_of(workload, group_clear);
    let bursts = workload.transactions / workload.threads;
    let barrier = Barrier::new(workload.threads as usize + 1);
    let (arrived, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..workload.threads {
            let mut session = Backend::connect(&array, 5).expect("a free slot");
            let (barrier, arrived, ended) = (&barrier, &arrived, &ended);
            scope.spawn(move || {
                for _ in 0..bursts {
                    session.assign_xid();
                    barrier.wait();
                    arrived.fetch_add(1, Ordering::Relaxed);
                    session.end_transaction();
                    ended.fetch_add(1, Ordering::Relaxed);
                    barrier.wait();
                }
            });
        }
        let before = array.exclusive_acquisitions();
        let mut took = Duration::ZERO;
        for burst in 1..=bursts {
            let lock = array.shared();
            barrier.wait();
            while arrived.load(Ordering::Relaxed) < burst * workload.threads {
                thread::yield_now();
            }
            thread::sleep(SETTLING);
            let began = Instant::now();
            drop(lock);
            barrier.wait();
            took += began.elapsed();
            assert_eq!(ended.load(Ordering::Relaxed), burst * workload.threads);
        }
        (took.as_secs_f64(), array.exclusive_acquisitions() - before)
    })
}
