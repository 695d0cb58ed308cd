//! Transactions over few hot keys, run by many sessions and recorded.
//!
//! ```text
//! list-append   [append 3 <- 17]  [read 4]  [append 4 <- 2] ...      a key's values are 1, 2, 3 and so on, in the order
//! register      [write 3 <- 17]   [read 4]  [read 3] ...             in which they were given out
//! ```
//!
//! So many keys are in use at once; one that was written as often as is allowed gives way to a new one. Some transactions
//! are rolled back on purpose, some operations are done in a savepoint that is rolled back: these stand in the history as
//! a transaction of their own, which failed. At the end one session reads every key, so that the order of all versions
//! is known.
//!
//! Invariant: each transaction is recorded once its end is known, with the times before it was begun and after that. One
//! whose commit failed has an outcome that is not known.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::sync::thread::ScopedJoinHandle;
use base::sync::{Mutex, PoisonError, thread};
use fastrand::Rng;
use history::{Block, Header, HistoryError, Level, Operation, Outcome, Replaced, Workload, Writer};

use super::joined;
use super::latency::Latencies;
use super::lists::Lists;
use super::load::LoadError;
use super::run::{LOOK, Watch};
use crate::{Durability, Engine, Error, Isolation, Session};

/// One transaction in so many is rolled back on purpose.
const ROLLED_BACK: u32 = 50;
/// A write that finds no row. The reads at the end show that it is gone.
const NO_DATA_FOUND: &str = "P0002";
/// Operations of a transaction that reads everything at the end.
const LAST_READS: u64 = 500;
/// A short wait for a lock is no deadlock; and one that is should not cost a second.
const DEADLOCK_TIMEOUT: Duration = Duration::from_millis(5);
/// Nobody holds a lock for so long; a lock that is never given back is not to stop the run.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// How a history is made.
#[derive(Debug, Clone)]
pub struct RecordPlan {
    /// What the transactions do.
    pub workload: Workload,
    /// Sessions at the same time.
    pub sessions: u32,
    /// How long at most.
    pub time: Duration,
    /// How many transactions at most; `None` for as many as there is time for.
    pub transactions: Option<u64>,
    /// What transactions see of each other.
    pub isolation: Isolation,
    /// When a commit counts.
    pub durability: Durability,
    /// What the choice of operations begins with.
    pub seed: u64,
    /// Keys in use at once.
    pub keys: u32,
    /// Writes of a key, before another takes its place.
    pub writes: u32,
    /// Operations of a transaction at most.
    pub operations: u32,
    /// One operation in so many is done in a savepoint that is rolled back; 0 for none.
    pub savepoints: u32,
}

impl RecordPlan {
    /// What the history says of itself.
    pub fn header(&self, snapshots: &str) -> Header {
        Header {
            workload: self.workload,
            level: match self.isolation {
                Isolation::ReadCommitted => Level::ReadCommitted,
                Isolation::RepeatableRead => Level::RepeatableRead,
            },
            snapshots: snapshots.to_owned(),
            seed: self.seed,
            sessions: self.sessions,
        }
    }
}

/// Why a history cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The tables cannot be had.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The engine says so.
    #[error(transparent)]
    Engine(#[from] Error),
    /// It cannot be written.
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// What a recorded run came to.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Transactions that were recorded.
    pub transactions: u64,
    /// Those that committed.
    pub commits: u64,
    /// Those that were rolled back on purpose.
    pub rolled_back: u64,
    /// Savepoints that were.
    pub savepoints: u64,
    /// Those that failed, by SQLSTATE.
    pub failed: BTreeMap<&'static str, u64>,
    /// How long it ran.
    pub time: Duration,
    /// How long commits took, from the beginning of their transaction.
    pub latencies: Latencies,
}

/// The keys in use, with the last value that each was given.
#[derive(Debug)]
struct Active {
    slots: Vec<Mutex<(u64, u64)>>,
    next: AtomicU64,
    writes: u64,
}

impl Active {
    fn new(plan: &RecordPlan) -> Active {
        let keys = u64::from(plan.keys.max(1));
        Active {
            slots: (0..keys).map(|key| Mutex::new((key, 0))).collect(),
            next: AtomicU64::new(keys),
            writes: u64::from(plan.writes.max(1)),
        }
    }

    /// A key, and for a write its next value.
    fn pick(&self, random: &mut Rng, writes: bool) -> (u64, u64) {
        let slot = &self.slots[random.usize(..self.slots.len())];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if !writes {
            return (slot.0, 0);
        }
        if slot.1 == self.writes {
            *slot = (self.next.fetch_add(1, Ordering::Relaxed), 0);
        }
        slot.1 += 1;
        *slot
    }
}

/// What all sessions share.
struct Shared<'a, W> {
    plan: &'a RecordPlan,
    lists: &'a Lists,
    active: &'a Active,
    writer: &'a Mutex<Writer<W>>,
    began: Instant,
    ends: &'a AtomicBool,
    /// Transactions that were begun.
    begun: &'a AtomicU64,
    commits: &'a AtomicU64,
    watch: &'a dyn Watch,
}

/// Runs transactions and records them; gives back what the history was written to.
///
/// # Errors
/// The first error that ended a session, or where the history cannot be written; the sessions have ended then.
pub fn record<W: Write + Send>(
    engine: &Engine,
    plan: &RecordPlan,
    writer: Writer<W>,
    watch: &dyn Watch,
) -> Result<(Recorded, W), RecordError> {
    let lists = Lists::open(engine, plan.workload)?;
    let (active, writer) = (Active::new(plan), Mutex::new(writer));
    let (ends, begun, commits) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let failure: Mutex<Option<RecordError>> = Mutex::new(None);
    let began = Instant::now();
    let shared = Shared {
        plan,
        lists: &lists,
        active: &active,
        writer: &writer,
        began,
        ends: &ends,
        begun: &begun,
        commits: &commits,
        watch,
    };
    let parts: Vec<Recorded> = thread::scope(|scope| {
        let sessions: Vec<_> = (0..plan.sessions)
            .map(|who| {
                let (shared, failure) = (&shared, &failure);
                scope.spawn(move || {
                    let mut part = Part { who, ..Part::default() };
                    if let Err(error) = part.work(engine, shared) {
                        shared.ends.store(true, Ordering::Relaxed);
                        let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        first.get_or_insert(error);
                    }
                    part.recorded
                })
            })
            .collect();
        while !sessions.iter().all(ScopedJoinHandle::is_finished) && began.elapsed() < plan.time {
            thread::sleep(LOOK.min(plan.time.saturating_sub(began.elapsed())));
            let done = commits.load(Ordering::Relaxed);
            if watch.progress(done, began.elapsed()).is_break() {
                break;
            }
        }
        ends.store(true, Ordering::Relaxed);
        sessions.into_iter().map(joined).collect()
    });
    let mut recorded = Recorded { time: began.elapsed(), ..Recorded::default() };
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    parts.iter().for_each(|part| recorded.merge(part));
    let mut last = Part { who: plan.sessions, ..Part::default() };
    last.read_everything(engine, &shared)?;
    recorded.transactions += last.recorded.transactions;
    let writer = writer.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok((recorded, writer.finish()?))
}

impl Recorded {
    fn merge(&mut self, other: &Recorded) {
        self.transactions += other.transactions;
        self.commits += other.commits;
        self.rolled_back += other.rolled_back;
        self.savepoints += other.savepoints;
        for (state, count) in &other.failed {
            *self.failed.entry(state).or_default() += count;
        }
        self.latencies.merge(&other.latencies);
    }
}

/// What one session does.
#[derive(Debug, Default)]
struct Part {
    who: u32,
    number: u64,
    block: Block,
    recorded: Recorded,
}

/// A transaction under way: its operations, and those that were rolled back within it.
#[derive(Debug, Default)]
struct Done {
    operations: Vec<Operation>,
    undone: Vec<Operation>,
}

impl Part {
    fn work<W: Write>(
        &mut self,
        engine: &Engine,
        shared: &Shared<'_, W>,
    ) -> Result<(), RecordError> {
        let mut session = engine.session()?;
        session.set_deadlock_timeout(DEADLOCK_TIMEOUT);
        session.set_lock_timeout(Some(LOCK_TIMEOUT));
        let mut random =
            Rng::with_seed(shared.plan.seed.wrapping_mul(1 << 20) + u64::from(self.who));
        let most = shared.plan.transactions.unwrap_or(u64::MAX);
        while !shared.ends.load(Ordering::Relaxed)
            && shared.begun.fetch_add(1, Ordering::Relaxed) < most
        {
            let operations = operations(shared, &mut random);
            for operation in &operations {
                shared.lists.make(&mut session, operation.key())?;
            }
            self.transaction(&mut session, shared, operations, &mut random)?;
        }
        self.flush(shared)
    }

    fn transaction<W: Write>(
        &mut self,
        session: &mut Session<'_>,
        shared: &Shared<'_, W>,
        operations: Vec<Operation>,
        random: &mut Rng,
    ) -> Result<(), RecordError> {
        let mut done = Done::default();
        let began = Instant::now();
        let begin = shared.began.elapsed();
        let outcome = self.run(session, shared, operations, random, &mut done)?;
        let end = shared.began.elapsed();
        self.number += 1;
        if outcome == Outcome::Ok {
            self.recorded.commits += 1;
            self.recorded.latencies.add(began.elapsed());
            shared.commits.fetch_add(1, Ordering::Relaxed);
            shared.watch.committed(self.who, self.number as i64);
        }
        if !done.undone.is_empty() {
            let undone = std::mem::take(&mut done.undone);
            self.note(shared, (begin, end), Outcome::Failed(String::new()), undone)?;
        }
        self.note(shared, (begin, end), outcome, done.operations)
    }

    fn run<W>(
        &mut self,
        session: &mut Session<'_>,
        shared: &Shared<'_, W>,
        operations: Vec<Operation>,
        random: &mut Rng,
        done: &mut Done,
    ) -> Result<Outcome, RecordError> {
        let plan = shared.plan;
        let mut transaction = session.begin(plan.isolation)?;
        for mut operation in operations {
            let is_undone = plan.savepoints > 0 && random.u32(..plan.savepoints) == 0;
            let savepoint = if is_undone { Some(transaction.savepoint()?) } else { None };
            let ran = shared.lists.run(&mut transaction, &mut operation);
            if is_undone && writes(&operation) {
                done.undone.push(operation);
            } else {
                done.operations.push(operation);
            }
            let state = match ran {
                Ok(true) => None,
                Ok(false) => Some(NO_DATA_FOUND),
                Err(error) => Some(failed(error)?),
            };
            if let Some(state) = state {
                transaction.rollback()?;
                *self.recorded.failed.entry(state).or_default() += 1;
                return Ok(Outcome::Failed(state.to_owned()));
            }
            if let Some(savepoint) = savepoint {
                transaction.rollback_to(savepoint)?;
                self.recorded.savepoints += 1;
            }
        }
        if random.u32(..ROLLED_BACK) == 0 {
            transaction.rollback()?;
            self.recorded.rolled_back += 1;
            return Ok(Outcome::Failed(String::new()));
        }
        match transaction.commit_with(plan.durability) {
            Ok(()) => Ok(Outcome::Ok),
            Err(error) => Ok(Outcome::Unknown(error.sqlstate().to_owned())),
        }
    }

    fn note<W: Write>(
        &mut self,
        shared: &Shared<'_, W>,
        (begin, end): (Duration, Duration),
        outcome: Outcome,
        operations: Vec<Operation>,
    ) -> Result<(), RecordError> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1);
        self.block.push(&history::Transaction {
            session: self.who,
            number: self.number,
            begin: nanoseconds(begin),
            end: nanoseconds(end),
            outcome,
            operations,
        })?;
        self.recorded.transactions += 1;
        if self.block.is_full() { self.flush(shared) } else { Ok(()) }
    }

    fn flush<W: Write>(&mut self, shared: &Shared<'_, W>) -> Result<(), RecordError> {
        let mut writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(writer.write(&mut self.block)?)
    }

    /// Reads every key that was in use.
    fn read_everything<W: Write>(
        &mut self,
        engine: &Engine,
        shared: &Shared<'_, W>,
    ) -> Result<(), RecordError> {
        let mut session = engine.session()?;
        let used = shared.active.next.load(Ordering::Relaxed);
        for first in (0..used).step_by(LAST_READS as usize) {
            let keys = first..used.min(first + LAST_READS);
            let begin = shared.began.elapsed();
            let mut transaction = session.begin(shared.plan.isolation)?;
            let mut operations = Vec::new();
            for key in keys {
                let mut operation = read_of(shared.plan.workload, key);
                shared.lists.run(&mut transaction, &mut operation)?;
                operations.push(operation);
            }
            transaction.commit()?;
            self.number += 1;
            self.note(shared, (begin, shared.began.elapsed()), Outcome::Ok, operations)?;
        }
        self.flush(shared)
    }
}

fn writes(operation: &Operation) -> bool {
    matches!(operation, Operation::Append { .. } | Operation::Write { .. })
}

fn read_of(workload: Workload, key: u64) -> Operation {
    match workload {
        Workload::ListAppend => Operation::ReadList { key, values: Vec::new() },
        Workload::Register => Operation::Read { key, value: None },
    }
}

/// What a transaction is to do.
fn operations<W>(shared: &Shared<'_, W>, random: &mut Rng) -> Vec<Operation> {
    let workload = shared.plan.workload;
    let count = random.u32(1..=shared.plan.operations.max(1));
    let pick = |_| {
        let writes = random.bool();
        let (key, value) = shared.active.pick(random, writes);
        match workload {
            _ if !writes => read_of(workload, key),
            Workload::ListAppend => Operation::Append { key, value },
            Workload::Register => Operation::Write { key, value, replaced: Replaced::Unknown },
        }
    };
    (0..count).map(pick).collect()
}

/// The SQLSTATE of an error after which the session goes on.
fn failed(error: Error) -> Result<&'static str, Error> {
    match error {
        Error::Deadlock { .. } | Error::Serialization { .. } | Error::LockTimeout => {
            Ok(error.sqlstate())
        }
        other => Err(other),
    }
}
