//! `strata run list-append`, `register`: transactions over few hot keys, recorded for `strata check`.
//!
//! Invariant: a history that was begun and not ended is told from a whole one; in Jepsen's form it is written at the end,
//! in the order of time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use engine::Engine;
use engine::workload::{RecordPlan, Recorded, record};
use history::{Reader, Workload, Writer};

use crate::failure::{Failure, note};
use crate::output::Output;
use crate::run::{Arguments, Watching, commits, latency};

/// How a history is recorded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Recorded loads (list-append, register)")]
pub(crate) struct RecordArguments {
    /// Record the history in FILE, for `strata check`.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// Its form: bincode, or edn, Jepsen's form, which Elle reads, too [default: bincode].
    #[arg(long, value_enum, value_name = "FORM", requires = "history")]
    history_format: Option<HistoryFormat>,

    /// End after so many transactions, if the time is not over before.
    #[arg(long, value_name = "N")]
    transactions: Option<u64>,

    /// Keys in use at once [default: 10].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: Option<u32>,

    /// Writes of a key before another takes its place [default: 64].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    writes_per_key: Option<u32>,

    /// Operations of a transaction at most [default: 5].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    operations: Option<u32>,

    /// One operation in N is done in a savepoint that is rolled back; 0 for none [default: 50].
    #[arg(long, value_name = "N")]
    savepoints: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HistoryFormat {
    Bincode,
    Edn,
}

impl RecordArguments {
    /// An option of these that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let RecordArguments {
            history,
            transactions,
            keys,
            writes_per_key,
            operations,
            savepoints,
            ..
        } = self;
        let given = [
            (history.is_some(), "--history"),
            (transactions.is_some(), "--transactions"),
            (keys.is_some(), "--keys"),
            (writes_per_key.is_some(), "--writes-per-key"),
            (operations.is_some(), "--operations"),
            (savepoints.is_some(), "--savepoints"),
        ];
        given.into_iter().find(|(is_given, _)| *is_given).map(|(_, option)| option)
    }
}

/// Runs a recorded load.
pub(crate) fn run(
    engine: &Engine,
    workload: Workload,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let of = &arguments.record;
    let plan = RecordPlan {
        workload,
        sessions: arguments.sessions,
        time: Duration::from_secs(arguments.seconds),
        transactions: of.transactions,
        isolation: arguments.isolation(),
        durability: arguments.durability(),
        seed: arguments.seed,
        keys: of.keys.unwrap_or(10),
        writes: of.writes_per_key.unwrap_or(64),
        operations: of.operations.unwrap_or(5),
        savepoints: of.savepoints.unwrap_or(50),
    };
    let watch = Watching::new(Output::open()?, false, None);
    let header = plan.header(arguments.engine.mode());
    let recorded = match (&of.history, of.history_format) {
        (None, _) => {
            let writer = Writer::new(std::io::sink(), &header).map_err(Failure::new)?;
            record(engine, &plan, writer, &watch).map_err(Failure::new)?.0
        }
        (Some(path), Some(HistoryFormat::Edn)) => {
            let mut out = create(path)?;
            let writer = Writer::new(Vec::new(), &header).map_err(Failure::new)?;
            let (recorded, bytes) = record(engine, &plan, writer, &watch).map_err(Failure::new)?;
            let transactions: Result<Vec<_>, _> =
                Reader::new(&bytes[..]).map_err(Failure::new)?.collect();
            let transactions = transactions.map_err(Failure::new)?;
            let written = history::edn::write(&header, &transactions, &mut out);
            written.and_then(|()| out.flush()).map_err(|error| unwritten(path, &error))?;
            recorded
        }
        (Some(path), _) => {
            let writer = Writer::new(create(path)?, &header).map_err(Failure::new)?;
            record(engine, &plan, writer, &watch).map_err(Failure::new)?.0
        }
    };
    watch.print(&report(&recorded))?;
    if let Some(path) = &of.history {
        note(format_args!(
            "{} transactions recorded in \"{}\" (strata check says whether that can be)",
            recorded.transactions,
            path.display()
        ));
    }
    Ok(())
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = File::create(path).map_err(|error| unwritten(path, &error))?;
    Ok(BufWriter::new(file))
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format_args!("could not write history \"{}\": {error}", path.display()))
}

/// Throughput, latencies, what failed.
fn report(recorded: &Recorded) -> String {
    let mut text = format!(
        "{}rolled back         {} transactions, {} savepoints\n{}",
        commits(recorded.commits, recorded.time),
        recorded.rolled_back,
        recorded.savepoints,
        latency(&recorded.latencies),
    );
    for (place, (state, count)) in recorded.failed.iter().enumerate() {
        let title = if place == 0 { "failed" } else { "" };
        let _ = writeln!(text, "{title:<20}{state} {count}");
    }
    text
}
