//! A load run by many sessions for a time.
//!
//! Invariant: a session's numbers go up by one with each commit that was acknowledged, beginning behind what the history
//! holds already; whoever watches is told of a commit after it counts and before the session's next one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use base::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use base::sync::{Mutex, MutexGuard, PoisonError, thread};
use fastrand::Rng;

use super::check::Checked;
use super::latency::Latencies;
use super::load::{Author, Ended, Load, LoadError, is_to_be_tried_again};
use super::prepared::{Decider, Prepared, PreparedMix, TwoPhaseCounts, TwoPhaseStep, Undecided};
use super::{joined, readers};
use crate::{Cancel, Durability, Engine, Error, Isolation, Session};

/// How often whoever watches is asked whether to go on.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// How often sessions are cancelled again that wait for what nobody ends any more.
const CANCEL_AGAIN: Duration = Duration::from_millis(5);

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
    /// Transactions that end in two phases.
    pub prepared: PreparedMix,
}

/// Whoever watches.
pub trait Watch: Sync {
    /// This commit of this session counts: it is durable, unless commits are asynchronous.
    fn committed(&self, session: u32, number: i64);

    /// This happens to a prepared transaction, or has happened: what has is told before anything else happens to it.
    fn two_phase(&self, _step: TwoPhaseStep, _gid: &str) {}

    /// So many commits after so long; `Break` ends the run.
    fn progress(&self, commits: u64, elapsed: Duration) -> ControlFlow<()>;
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Transactions that committed, in one phase.
    pub commits: u64,
    /// That were rolled back on purpose.
    pub rolled_back: u64,
    /// That were tried again, since another was in their way, by SQLSTATE.
    pub tried_again: BTreeMap<&'static str, u64>,
    /// Those that ended in two phases.
    pub two_phase: TwoPhaseCounts,
    /// Snapshots by which long readers have read everything.
    pub snapshots: u64,
    /// How long it ran.
    pub time: Duration,
    /// How long commits took, from the beginning of their transaction.
    pub latencies: Latencies,
}

/// What all sessions share.
struct Shared<'a> {
    engine: &'a Engine,
    load: &'a Load,
    plan: &'a Plan,
    before: &'a Checked,
    watch: &'a dyn Watch,
    undecided: Undecided,
    ends: AtomicBool,
    /// Sessions that have not ended.
    working: AtomicU32,
    commits: AtomicU64,
    cancels: Mutex<Vec<Cancel<'a>>>,
    failure: Mutex<Option<LoadError>>,
}

/// Runs a load; `before` is what [`Load::check`] found of it.
///
/// # Errors
/// The first error that ended a session, or what a long reader saw broken; the others have ended, too.
pub fn run(
    engine: &Engine,
    load: &Load,
    plan: &Plan,
    before: &Checked,
    watch: &dyn Watch,
) -> Result<Outcome, LoadError> {
    let found = &before.prepared;
    found.iter().for_each(|gid| watch.two_phase(TwoPhaseStep::Found, gid));
    let shared = Shared {
        engine,
        load,
        plan,
        before,
        watch,
        undecided: Undecided::new(&plan.prepared, found),
        ends: AtomicBool::new(false),
        working: AtomicU32::new(plan.sessions),
        commits: AtomicU64::new(0),
        cancels: Mutex::default(),
        failure: Mutex::default(),
    };
    let snapshots = AtomicU64::new(0);
    let began = Instant::now();
    let parts: Vec<Part> = thread::scope(|scope| {
        let shared = &shared;
        let mut sessions: Vec<_> =
            (0..plan.sessions).map(|who| scope.spawn(move || Part::work(shared, who))).collect();
        if plan.prepared.percent > 0 || !found.is_empty() {
            sessions.push(scope.spawn(|| Part::resolve(shared)));
        }
        for _ in 0..plan.long_readers {
            scope.spawn(|| {
                let (hold, ends) = (plan.hold, &shared.ends);
                if let Err(error) = readers::read(engine, load, hold, ends, &snapshots) {
                    shared.fail(error);
                }
            });
        }
        while !shared.ends.load(Ordering::Relaxed) && began.elapsed() < plan.time {
            thread::sleep(LOOK.min(plan.time.saturating_sub(began.elapsed())));
            let done = shared.commits.load(Ordering::Relaxed);
            if watch.progress(done, began.elapsed()).is_break() {
                break;
            }
        }
        shared.ends.store(true, Ordering::Relaxed);
        while shared.working.load(Ordering::Relaxed) > 0 {
            if plan.prepared.leaves || shared.has_failed() {
                // One that was about to begin a transaction would not notice.
                lock(&shared.cancels).iter().for_each(Cancel::cancel);
            }
            thread::sleep(CANCEL_AGAIN);
        }
        sessions.into_iter().map(joined).collect()
    });
    let time = began.elapsed();
    if let Some(error) = lock(&shared.failure).take() {
        return Err(error);
    }
    let left = shared.undecided.count();
    let mut outcome = Outcome {
        commits: 0,
        rolled_back: 0,
        tried_again: BTreeMap::new(),
        two_phase: TwoPhaseCounts { found: found.len() as u64, left, ..TwoPhaseCounts::default() },
        snapshots: snapshots.into_inner(),
        time,
        latencies: Latencies::default(),
    };
    for part in parts {
        outcome.commits += part.latencies.count();
        outcome.rolled_back += part.rolled_back;
        outcome.two_phase.add(&part.two_phase);
        for (state, count) in part.tried_again {
            *outcome.tried_again.entry(state).or_default() += count;
        }
        outcome.latencies.merge(&part.latencies);
    }
    Ok(outcome)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared<'_> {
    fn fail(&self, error: LoadError) {
        self.ends.store(true, Ordering::Relaxed);
        lock(&self.failure).get_or_insert(error);
    }

    fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    fn decider(&self, who: Option<u32>) -> Decider<'_> {
        let (load, undecided, watch) = (self.load, &self.undecided, self.watch);
        Decider { load, undecided, watch, who, counts: TwoPhaseCounts::default() }
    }

    fn random(&self, who: u32) -> Rng {
        Rng::with_seed(self.plan.seed.wrapping_add(u64::from(who)))
    }
}

/// A session has ended, also by a panic.
struct Ends<'a>(&'a AtomicU32);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        // What it has prepared is among those to be ended.
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// What one session does.
#[derive(Debug, Default)]
struct Part {
    rolled_back: u64,
    tried_again: BTreeMap<&'static str, u64>,
    two_phase: TwoPhaseCounts,
    latencies: Latencies,
}

impl Part {
    /// A session that runs transactions.
    fn work(shared: &Shared<'_>, who: u32) -> Part {
        let _ends = Ends(&shared.working);
        let mut part = Part::default();
        let mut decider = shared.decider(Some(who));
        let worked = shared.engine.session().and_then(|mut session| {
            lock(&shared.cancels).push(session.cancel_handle());
            part.transactions(shared, &mut session, who, &mut decider)
        });
        part.two_phase = decider.counts;
        match worked {
            Err(Error::Cancelled) if shared.ends.load(Ordering::Relaxed) => {}
            Err(error) => shared.fail(error.into()),
            Ok(()) => {}
        }
        part
    }

    fn transactions(
        &mut self,
        shared: &Shared<'_>,
        session: &mut Session<'_>,
        who: u32,
        decider: &mut Decider<'_>,
    ) -> Result<(), Error> {
        let Shared { plan, before, load, .. } = *shared;
        let mix = &plan.prepared;
        let mut random = shared.random(who);
        let last = |numbers: &BTreeMap<u32, i64>| numbers.get(&who).copied().unwrap_or(0);
        let (mut number, mut prepared) = (last(&before.last), last(&before.last_prepared));
        while !shared.ends.load(Ordering::Relaxed) {
            if let Some(one) = shared.undecided.take_of_another(who) {
                decider.end(session, &one, &mut random)?;
            }
            let began = Instant::now();
            let is_prepared =
                mix.percent > 0 && random.u32(..100) < mix.percent && shared.undecided.take_room();
            let next = 1 + if is_prepared { prepared } else { number };
            let author = Author { session: who, number: next, is_prepared };
            if is_prepared {
                shared.watch.two_phase(TwoPhaseStep::Preparing, &author.gid());
            }
            let ended = load.transaction(session, plan, author, &mut random);
            if is_prepared && !matches!(ended, Ok(Ended::Prepared(_))) {
                shared.undecided.give_room();
            }
            match ended {
                Ok(Ended::Committed) => {
                    number = next;
                    self.latencies.add(began.elapsed());
                    shared.commits.fetch_add(1, Ordering::Relaxed);
                    shared.watch.committed(who, number);
                }
                Ok(Ended::Prepared(moves)) => {
                    prepared = next;
                    let one = Prepared { gid: author.gid(), by: Some(who), moves };
                    decider.prepared(session, one, mix.pause, &mut random)?;
                }
                Ok(Ended::RolledBack) => self.rolled_back += 1,
                Err(error) if is_to_be_tried_again(&error) => {
                    *self.tried_again.entry(error.sqlstate()).or_default() += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The resolver.
    fn resolve(shared: &Shared<'_>) -> Part {
        let mut decider = shared.decider(None);
        let (mix, mut random) = (&shared.plan.prepared, shared.random(shared.plan.sessions));
        let Shared { engine, ends, working, .. } = shared;
        if let Err(error) = decider.resolve(engine, mix, ends, working, &mut random) {
            shared.fail(error);
        }
        Part { two_phase: decider.counts, ..Part::default() }
    }
}
