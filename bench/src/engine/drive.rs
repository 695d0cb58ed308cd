//! Threads that do one work for a time, counted after they have warmed up.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crossbeam_utils::CachePadded;
use fastrand::Rng;

use super::{BRANCHES, RANGE, Store, TELLERS, Workload};

/// What a worker does next, and how much it has done.
#[derive(Debug)]
pub struct Next<'r> {
    random: Rng,
    accounts: u32,
    ends: &'r AtomicBool,
    done: &'r AtomicU64,
    /// Pieces of work that were begun.
    count: u64,
}

impl Next<'_> {
    /// Whether there is more to do, as there always is at first. What was done since the last time is counted.
    pub fn goes_on(&mut self) -> bool {
        self.done.store(self.count, Ordering::Relaxed);
        self.count += 1;
        self.count == 1 || !self.ends.load(Ordering::Relaxed)
    }

    /// An account.
    pub fn account(&mut self) -> u32 {
        self.random.u32(..self.accounts)
    }

    /// Two accounts, the lower number first, so that transactions do not wait for each other in a ring.
    pub fn two_accounts(&mut self) -> [u32; 2] {
        let one = self.account();
        let other = (one + 1 + self.random.u32(..self.accounts - 1)) % self.accounts;
        [one.min(other), one.max(other)]
    }

    /// The first of successive accounts.
    pub fn first_of_range(&mut self) -> u32 {
        self.random.u32(..=self.accounts - RANGE)
    }

    /// A teller and a branch.
    pub fn teller_and_branch(&mut self) -> (u32, u32) {
        (self.random.u32(..TELLERS), self.random.u32(..BRANCHES))
    }

    /// An amount.
    pub fn amount(&mut self) -> i64 {
        self.random.i64(1..=5000)
    }
}

/// A work, and how many threads do it.
pub type Part = (Workload, usize);

/// So many threads do a work for some time, and a fifth of it before without being counted; how much a second.
///
/// # Errors
/// The first error of a worker.
pub fn run(
    store: &dyn Store,
    workload: Workload,
    threads: usize,
    time: Duration,
    accounts: u32,
) -> Result<f64> {
    Ok(run_together(store, &[(workload, threads)], time, accounts)?.iter().sum())
}

/// As [`run`], of several parts at the same time: how much a second of each.
///
/// # Errors
/// The first error of a worker.
pub fn run_together(
    store: &dyn Store,
    parts: &[Part],
    time: Duration,
    accounts: u32,
) -> Result<Vec<f64>> {
    watch(store, parts, accounts, |done| {
        thread::sleep(time / 5);
        let (before, began) = (done(), Instant::now());
        // An error ends its thread; what the others did says nothing then.
        thread::sleep(time);
        let (after, seconds) = (done(), began.elapsed().as_secs_f64());
        after.iter().zip(before).map(|(after, before)| (after - before) as f64 / seconds).collect()
    })
}

/// Threads do these parts as long as `watches` takes, which is given what tells how much of each part is done.
///
/// # Errors
/// The first error of a worker.
pub fn watch<T>(
    store: &dyn Store,
    parts: &[Part],
    accounts: u32,
    watches: impl FnOnce(&dyn Fn() -> Vec<u64>) -> T,
) -> Result<T> {
    let threads = || {
        let of_part = |(part, &(workload, threads)): (usize, &Part)| {
            std::iter::repeat_n((part, workload), threads)
        };
        parts.iter().enumerate().flat_map(of_part)
    };
    let (ends, ready) = (AtomicBool::new(false), Barrier::new(threads().count() + 1));
    // Each on a line of its own, so that counting costs a thread nothing that another one does.
    let counts: Vec<_> = threads().map(|_| CachePadded::new(AtomicU64::new(0))).collect();
    let done = || {
        let mut done = vec![0; parts.len()];
        for ((part, _), count) in threads().zip(&counts) {
            done[part] += count.load(Ordering::Relaxed);
        }
        done
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (1..)
            .zip(threads().zip(&counts))
            .map(|(seed, ((_, workload), done))| {
                let (ends, ready) = (&ends, &ready);
                scope.spawn(move || {
                    let worker = store.worker();
                    ready.wait();
                    let random = Rng::with_seed(seed);
                    let mut next = Next { random, accounts, ends, done, count: 0 };
                    worker?.work(workload, &mut next)
                })
            })
            .collect();
        ready.wait();
        let watched = watches(&done);
        ends.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(watched)
    })
}
