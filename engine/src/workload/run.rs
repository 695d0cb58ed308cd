//! A load run by many sessions for a time.
//!
//! Invariant: a session's numbers go up by one with each commit that was acknowledged, beginning behind what the history
//! holds already; whoever watches is told of a commit after it counts and before the session's next one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::sync::{Mutex, PoisonError, thread};
use fastrand::Rng;

use super::joined;
use super::latency::Latencies;
use super::load::{Load, LoadError, is_to_be_tried_again};
use super::readers;
use crate::{Durability, Engine, Error, Isolation};

/// How often whoever watches is asked whether to go on.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// How a load is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Sessions at the same time.
    pub sessions: u32,
    /// How long.
    pub time: Duration,
    /// What transactions see of each other.
    pub isolation: Isolation,
    /// When a commit counts.
    pub durability: Durability,
    /// What the choice of rows and amounts begins with.
    pub seed: u64,
    /// Rows of each table that are chosen from, at least 2; `None` for all.
    pub hot_rows: Option<usize>,
    /// Subtransactions of each transaction.
    pub subtransactions: u32,
    /// Sessions that read all tables by one snapshot again and again.
    pub long_readers: u32,
    /// How long each of them holds its snapshot.
    pub hold: Duration,
}

/// Whoever watches.
pub trait Watch: Sync {
    /// This commit of this session counts: it is durable, unless commits are asynchronous.
    fn committed(&self, session: u32, number: i64);

    /// So many commits after so long; `Break` ends the run.
    fn progress(&self, commits: u64, elapsed: Duration) -> ControlFlow<()>;
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Transactions that committed.
    pub commits: u64,
    /// That were rolled back on purpose.
    pub rolled_back: u64,
    /// That were tried again, since another was in their way, by SQLSTATE.
    pub tried_again: BTreeMap<&'static str, u64>,
    /// Snapshots by which long readers have read everything.
    pub snapshots: u64,
    /// How long it ran.
    pub time: Duration,
    /// How long commits took, from the beginning of their transaction.
    pub latencies: Latencies,
}

/// Runs a load; `last` are the numbers that the history holds already ([`Checked::last`](super::Checked::last)).
///
/// # Errors
/// The first error that ended a session, or what a long reader saw broken; the others have ended, too.
pub fn run(
    engine: &Engine,
    load: &Load,
    plan: &Plan,
    last: &BTreeMap<u32, i64>,
    watch: &dyn Watch,
) -> Result<Outcome, LoadError> {
    let ends = AtomicBool::new(false);
    let commits = AtomicU64::new(0);
    let failure: Mutex<Option<LoadError>> = Mutex::new(None);
    let fail = |error: LoadError| {
        ends.store(true, Ordering::Relaxed);
        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    };
    let snapshots = AtomicU64::new(0);
    let began = Instant::now();
    let parts: Vec<Part> = thread::scope(|scope| {
        let sessions: Vec<_> = (0..plan.sessions)
            .map(|who| {
                let (ends, commits, fail) = (&ends, &commits, &fail);
                scope.spawn(move || {
                    let mut part = Part::default();
                    let first = last.get(&who).copied().unwrap_or(0);
                    let tell = |number| {
                        commits.fetch_add(1, Ordering::Relaxed);
                        watch.committed(who, number);
                    };
                    if let Err(error) = part.work(engine, load, plan, (who, first), ends, &tell) {
                        fail(error.into());
                    }
                    part
                })
            })
            .collect();
        for _ in 0..plan.long_readers {
            scope.spawn(|| {
                if let Err(error) = readers::read(engine, load, plan.hold, &ends, &snapshots) {
                    fail(error);
                }
            });
        }
        while !ends.load(Ordering::Relaxed) && began.elapsed() < plan.time {
            thread::sleep(LOOK.min(plan.time.saturating_sub(began.elapsed())));
            let done = commits.load(Ordering::Relaxed);
            if watch.progress(done, began.elapsed()).is_break() {
                break;
            }
        }
        ends.store(true, Ordering::Relaxed);
        sessions.into_iter().map(joined).collect()
    });
    let time = began.elapsed();
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut outcome = Outcome {
        commits: 0,
        rolled_back: 0,
        tried_again: BTreeMap::new(),
        snapshots: snapshots.into_inner(),
        time,
        latencies: Latencies::default(),
    };
    for part in parts {
        outcome.commits += part.latencies.count();
        outcome.rolled_back += part.rolled_back;
        for (state, count) in part.tried_again {
            *outcome.tried_again.entry(state).or_default() += count;
        }
        outcome.latencies.merge(&part.latencies);
    }
    Ok(outcome)
}

/// What one session does.
#[derive(Debug, Default)]
struct Part {
    rolled_back: u64,
    tried_again: BTreeMap<&'static str, u64>,
    latencies: Latencies,
}

impl Part {
    fn work(
        &mut self,
        engine: &Engine,
        load: &Load,
        plan: &Plan,
        (who, mut number): (u32, i64),
        ends: &AtomicBool,
        tell: &dyn Fn(i64),
    ) -> Result<(), Error> {
        let mut session = engine.session()?;
        let mut random = Rng::with_seed(plan.seed.wrapping_add(u64::from(who)));
        while !ends.load(Ordering::Relaxed) {
            let began = Instant::now();
            match load.transaction(&mut session, plan, (who, number + 1), &mut random) {
                Ok(true) => {
                    number += 1;
                    self.latencies.add(began.elapsed());
                    tell(number);
                }
                Ok(false) => self.rolled_back += 1,
                Err(error) if is_to_be_tried_again(&error) => {
                    *self.tried_again.entry(error.sqlstate()).or_default() += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
