//! `strata run`: a load on an engine in this process, for a time, with its invariant checked before and after.
//!
//! Invariants: every commit that is shown as acknowledged is durable; what a run leaves is closed, unless it was asked to
//! crash.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::disk::RealDisk;
use base::{Lsn, PAGE_SIZE};
use clap::{Args, ValueEnum};
use engine::data_directory::{Birth, InitOptions, init};
use engine::workload::{
    self, Fill, Kind, Latencies, Load, Outcome, Plan, PreparedMix, TwoPhaseCounts, TwoPhaseStep,
    Watch,
};
use engine::{Durability, Engine, EngineOptions, Isolation};
use history::Workload;
use wal::Version;
use wal::read::{Position, RecordReader};
use wal::source::{Log, Options};
use wal::stats::{Grouping, Statistics};

use crate::engine_arguments::EngineArguments;
use crate::failure::{Failure, note};
use crate::output::Output;
use crate::record::{self, RecordArguments};
use crate::{open, signals};

/// Run a load on the embedded engine, and check its invariant before and after.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Arguments {
    /// The load.
    #[arg(value_enum)]
    load: LoadName,

    /// The data directory; made if it is not there [default: strata-LOAD].
    #[arg(short = 'D', long = "dir", value_name = "DATADIR")]
    directory: Option<PathBuf>,

    /// What transactions see of each other: read committed, or repeatable read.
    #[arg(long)]
    repeatable_read: bool,

    /// Sessions at the same time.
    #[arg(short = 'c', long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) sessions: u32,

    /// How long, in seconds; with 0 the invariant is checked and nothing else done.
    #[arg(short = 'T', long, value_name = "S", default_value = "10")]
    pub(crate) seconds: u64,

    /// Size of new tables: thousands of accounts (bank), branches with 10,000 accounts each (tpcb) [default: the number of
    /// sessions].
    #[arg(short = 's', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: Option<u32>,

    /// What random choices begin with.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) seed: u64,

    /// Commit without waiting until that is durable (synchronous_commit = off): a crash may lose the last commits.
    #[arg(long)]
    asynchronous: bool,

    /// Log a restore point of this name when the time is over; `strata recover --target-name` finds it.
    #[arg(long, value_name = "NAME")]
    restore_point: Option<String>,

    /// Choose from the first N rows of each table alone, so that sessions meet.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..))]
    hot_rows: Option<u32>,

    /// Change rows in N subtransactions of each transaction first, half of them rolled back; past 64 they overflow the
    /// slot that others see them in.
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    subtransactions: u32,

    /// Let N more sessions read all tables by one snapshot, hold it, and read them again: sums must be right and stay.
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=1000))]
    long_readers: u32,

    /// How long a long reader holds a snapshot, in seconds.
    #[arg(long, value_name = "S", default_value = "1", value_parser = |text: &str| seconds(text, "--hold"), requires = "long_readers")]
    hold: f64,

    /// End N of a hundred transactions by PREPARE TRANSACTION and then COMMIT PREPARED or ROLLBACK PREPARED, most of them
    /// from another session.
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u32).range(0..=100))]
    prepared: u32,

    /// How long a transaction stays prepared at most before another session ends it, in seconds.
    #[arg(long, value_name = "S", default_value = "0", value_parser = |text: &str| seconds(text, "--prepared-pause"), requires = "prepared")]
    prepared_pause: f64,

    /// Leave those prepared that are so when the time is over; the next run ends them.
    #[arg(long, requires = "prepared")]
    leave_prepared: bool,

    /// Kill the process when the time is over, in the middle of its transactions, as kill -9 does.
    #[arg(long)]
    crash: bool,

    /// Print a line "SESSION NUMBER" for each commit as soon as it is acknowledged, and no report; with --prepared also lines
    /// "STEP IDENTIFIER" for what happens to prepared transactions, before (preparing, committing, rolling-back) and after
    /// it has (found, prepared, committed, rolled-back).
    #[arg(long)]
    acknowledge: bool,

    #[command(flatten)]
    pub(crate) record: RecordArguments,

    #[command(flatten)]
    pub(crate) engine: EngineArguments,
}

/// Transactions of each session that can be prepared at the same time.
const PREPARED_PER_SESSION: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoadName {
    Bank,
    Tpcb,
    ListAppend,
    Register,
}

fn seconds(text: &str, option: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86400.0).contains(seconds));
    seconds.ok_or_else(|| {
        format!("invalid value \"{text}\" for option {option}: it must be in range 0..86400")
    })
}

/// What a load is.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// One with an invariant.
    Load(Kind),
    /// One whose history is recorded.
    Record(Workload),
}

impl Arguments {
    pub(crate) fn isolation(&self) -> Isolation {
        match self.repeatable_read {
            true => Isolation::RepeatableRead,
            false => Isolation::ReadCommitted,
        }
    }

    pub(crate) fn durability(&self) -> Durability {
        match self.asynchronous {
            true => Durability::Asynchronous,
            false => Durability::Synchronous,
        }
    }

    /// Whether the options go with the load.
    fn check(&self, work: Work) -> Result<(), Failure> {
        let wrong = match work {
            Work::Load(_) => {
                self.record.given().map(|option| (option, "needs a load that is recorded"))
            }
            Work::Record(_) => {
                let others = [
                    (self.crash, "--crash"),
                    (self.acknowledge, "--acknowledge"),
                    (self.scale.is_some(), "--scale"),
                    (self.hot_rows.is_some(), "--hot-rows"),
                    (self.subtransactions > 0, "--subtransactions"),
                    (self.long_readers > 0, "--long-readers"),
                    (self.prepared > 0, "--prepared"),
                    (self.restore_point.is_some(), "--restore-point"),
                ];
                let given = others.iter().find(|(is_given, _)| *is_given);
                given.map(|(_, option)| (*option, "does not go with a load that is recorded"))
            }
        };
        wrong.map_or(Ok(()), |(option, why)| Err(Failure::of_usage(format_args!("{option} {why}"))))
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    signals::catch_interrupts()?;
    let (kind, name) = match arguments.load {
        LoadName::Bank => (Work::Load(Kind::Bank), "strata-bank"),
        LoadName::Tpcb => (Work::Load(Kind::Tpcb), "strata-tpcb"),
        LoadName::ListAppend => (Work::Record(Workload::ListAppend), "strata-list-append"),
        LoadName::Register => (Work::Record(Workload::Register), "strata-register"),
    };
    arguments.check(kind)?;
    let directory = arguments.directory.clone().unwrap_or_else(|| PathBuf::from(name));
    if !directory.join("PG_VERSION").exists() {
        let birth = Birth::now().map_err(Failure::new)?;
        init(&RealDisk, &directory, &InitOptions::default(), &birth).map_err(Failure::new)?;
        note(format_args!("made data directory \"{}\"", directory.display()));
    }
    if let Some(archive) = arguments.engine.archive()
        && !archive.is_dir()
    {
        let what =
            format_args!("archive \"{}\" is no directory (make it first)", archive.display());
        return Err(Failure::new(what));
    }
    let sessions = arguments.sessions + arguments.long_readers + 10;
    let prepared_transactions = match arguments.prepared {
        0 => 0,
        _ => arguments.sessions * PREPARED_PER_SESSION,
    };
    let options = EngineOptions { prepared_transactions, ..arguments.engine.options(sessions) };
    let engine = open::engine(&directory, options)?;
    let kind = match kind {
        Work::Load(kind) => kind,
        Work::Record(workload) => {
            record::run(&engine, workload, arguments)?;
            return engine.close().map_err(Failure::new);
        }
    };
    let scale = arguments.scale.unwrap_or(arguments.sessions) as usize;
    let load = Load::open(&engine, kind, scale).map_err(Failure::new)?;
    let before = load.check(&engine).map_err(Failure::new)?;
    note(format_args!(
        "the invariant holds: {} rows, {} transactions so far",
        before.rows, before.transactions
    ));
    if !before.prepared.is_empty() {
        let count = before.prepared.len();
        note(format_args!("{count} transactions are prepared, and hold their locks"));
    }
    let output = Output::open()?;
    let watch = Watching::new(
        output,
        arguments.acknowledge,
        arguments.crash.then_some(Duration::from_secs(arguments.seconds)),
    );
    if arguments.seconds > 0 {
        let plan = Plan {
            sessions: arguments.sessions,
            // Who is to crash in the middle must still be running then.
            time: Duration::from_secs(arguments.seconds + if arguments.crash { 60 } else { 0 }),
            isolation: arguments.isolation(),
            durability: arguments.durability(),
            seed: arguments.seed,
            hot_rows: arguments.hot_rows.map(|rows| rows as usize),
            subtransactions: arguments.subtransactions,
            long_readers: arguments.long_readers,
            hold: Duration::from_secs_f64(arguments.hold),
            prepared: PreparedMix {
                percent: arguments.prepared,
                pause: Duration::from_secs_f64(arguments.prepared_pause),
                at_once: prepared_transactions,
                leaves: arguments.leave_prepared,
            },
        };
        let log_begin = engine.log_end();
        let ran = workload::run(&engine, &load, &plan, &before, &watch);
        let outcome = ran.map_err(Failure::new)?;
        let after = load.check(&engine).map_err(Failure::new)?;
        if !arguments.acknowledge {
            watch.print(&report(&engine, &outcome))?;
            watch.print(&fill(&load.fill(&engine).map_err(Failure::new)?))?;
            watch.print(&log_by_type(&directory, log_begin, engine.log_end()))?;
        }
        let two_phase = &outcome.two_phase;
        let expected = before.transactions + outcome.commits + two_phase.committed;
        if after.transactions != expected {
            return Err(Failure::new(format_args!(
                "the invariant is broken: {} transactions are there, and {expected} committed",
                after.transactions
            )));
        }
        if after.prepared.len() as u64 != two_phase.left {
            return Err(Failure::new(format_args!(
                "the invariant is broken: {} transactions are prepared, and {} were left so",
                after.prepared.len(),
                two_phase.left
            )));
        }
        note(format_args!(
            "the invariant holds: {} rows, {} transactions",
            after.rows, after.transactions
        ));
    }
    if let Some(name) = &arguments.restore_point {
        let end = engine.restore_point(name).map_err(Failure::new)?;
        note(format_args!("restore point \"{name}\" ends at {end}"));
    }
    engine.close().map_err(Failure::new)
}

/// Prints what was acknowledged and how far it has come; crashes.
pub(crate) struct Watching {
    output: Mutex<Output>,
    acknowledges: bool,
    crashes_after: Option<Duration>,
    /// Second of the last note on stderr, and the commits then.
    last_note: AtomicU64,
    last_commits: AtomicU64,
}

impl Watching {
    pub(crate) fn new(
        output: Output,
        acknowledges: bool,
        crashes_after: Option<Duration>,
    ) -> Watching {
        Watching {
            output: Mutex::new(output),
            acknowledges,
            crashes_after,
            last_note: AtomicU64::new(0),
            last_commits: AtomicU64::new(0),
        }
    }

    fn acknowledge(&self, line: &str) {
        if self.acknowledges && self.print(line).is_err() {
            // Nobody reads what would be acknowledged.
            std::process::exit(1);
        }
    }

    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut output = self.output.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        output.write_bytes(text.as_bytes())
    }
}

impl Watch for Watching {
    fn committed(&self, session: u32, number: i64) {
        self.acknowledge(&format!("{session} {number}\n"));
    }

    fn two_phase(&self, step: TwoPhaseStep, gid: &str) {
        let step = match step {
            TwoPhaseStep::Found => "found",
            TwoPhaseStep::Preparing => "preparing",
            TwoPhaseStep::Prepared => "prepared",
            TwoPhaseStep::Committing => "committing",
            TwoPhaseStep::Committed => "committed",
            TwoPhaseStep::RollingBack => "rolling-back",
            TwoPhaseStep::RolledBack => "rolled-back",
        };
        self.acknowledge(&format!("{step} {gid}\n"));
    }

    fn progress(&self, commits: u64, elapsed: Duration) -> ControlFlow<()> {
        if self.crashes_after.is_some_and(|after| elapsed >= after) {
            signals::kill_this_process();
        }
        let seconds = elapsed.as_secs();
        let last = self.last_note.swap(seconds, Ordering::Relaxed);
        if seconds > last {
            let before = self.last_commits.swap(commits, Ordering::Relaxed);
            note(format_args!(
                "{seconds} s: {commits} commits, {} a second",
                (commits - before) / (seconds - last)
            ));
        }
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The line of a report that says how many commits there were.
pub(crate) fn commits(commits: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let rate = commits as f64 / seconds;
    format!("commits             {commits} in {seconds:.2} s, {rate:.0} a second\n")
}

/// The line that says how long transactions took.
pub(crate) fn latency(latencies: &Latencies) -> String {
    let [half, most, nearly, all] = [50.0, 90.0, 99.0, 99.9]
        .map(|percent| latencies.percentile(percent).as_secs_f64() * 1000.0);
    format!(
        "latency             50% {half:.3} ms, 90% {most:.3} ms, 99% {nearly:.3} ms, 99.9% {all:.3} ms\n"
    )
}

/// Throughput, latencies, the log, the last checkpoint.
fn report(engine: &Engine, outcome: &Outcome) -> String {
    let log = engine.log_statistics();
    let mut states = String::new();
    for (state, count) in &outcome.tried_again {
        let _ = writeln!(states, "    {state:<16}{count}");
    }
    let mut text = format!(
        "{}rolled back         {}\n\
         tried again         {}\n\
         {states}{}\
         log                 {} records, {} bytes, {} images, {} writes, {} syncs\n",
        commits(outcome.commits, outcome.time),
        outcome.rolled_back,
        outcome.tried_again.values().sum::<u64>(),
        latency(&outcome.latencies),
        log.records,
        log.bytes,
        log.images,
        log.writes,
        log.syncs,
    );
    let two_phase = &outcome.two_phase;
    if *two_phase != TwoPhaseCounts::default() {
        let TwoPhaseCounts { found, prepared, committed, rolled_back, by_others, left } = two_phase;
        let _ = writeln!(
            text,
            "prepared            {prepared}, and {found} before: {committed} committed, {rolled_back} rolled back, \
             {by_others} of them by another session, {left} left"
        );
    }
    if outcome.snapshots > 0 {
        let _ =
            writeln!(text, "long readers        {} snapshots, all sums right", outcome.snapshots);
    }
    if let Some(checkpoint) = engine.last_checkpoint() {
        text += &format!("{checkpoint}\n");
    }
    text
}

/// How full tables are.
fn fill(fills: &[Fill]) -> String {
    let mut text = String::new();
    for (place, Fill { table, pages, rows, bytes }) in fills.iter().enumerate() {
        let title = if place == 0 { "tables" } else { "" };
        let percent = 100.0 * *bytes as f64 / (*pages * PAGE_SIZE as u64).max(1) as f64;
        let _ = writeln!(
            text,
            "{title:<20}{table:<12} {pages:>8} pages {rows:>10} rows {percent:>5.1}% rows' bytes"
        );
    }
    text
}

/// What a stretch of the log is made of, the types with the most bytes first.
pub(crate) fn log_by_type(directory: &Path, begin: Lsn, end: Lsn) -> String {
    const SHOWN: usize = 8;
    let options = Options { start: Some(begin), ..Options::default() };
    let log = match Log::open(Arc::new(RealDisk), &directory.join("pg_wal"), options) {
        Ok(log) => log,
        Err(error) => return format!("log by type         not known: {error}\n"),
    };
    let mut reader = RecordReader::new(Arc::new(log));
    reader.resume(Position::jump_to(begin));
    reader.set_end(Some(end));
    let mut statistics = Statistics::default();
    // The last records may not have been written yet.
    while let Ok(record) = reader.next_record() {
        statistics.add(&record);
    }
    let mut rows = statistics.rows(Grouping::RecordType, Version::V15);
    rows.sort_by_key(|row| std::cmp::Reverse(row.counts.record_bytes + row.counts.image_bytes));
    let mut text = String::new();
    for (place, row) in rows.iter().take(SHOWN).enumerate() {
        let title = if place == 0 { "log by type" } else { "" };
        let name = format!("{}/{}", row.resource_manager, row.record_type.as_deref().unwrap_or(""));
        let bytes = row.counts.record_bytes + row.counts.image_bytes;
        let _ = writeln!(
            text,
            "{title:<20}{name:<28} {:>10} records {bytes:>12} bytes",
            row.counts.count
        );
    }
    if rows.len() > SHOWN {
        let _ = writeln!(text, "{:<20}and {} more types", "", rows.len() - SHOWN);
    }
    text
}
