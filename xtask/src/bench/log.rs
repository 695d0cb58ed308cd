//! `cargo xtask bench log`: inserting records without a sync, against memcpy; durable commits, against the disk's own rate
//! of fdatasync and against PostgreSQL 15, which commits inside its server; recovery, against PostgreSQL 15's.
//!
//! The program `log` of the crate `bench` measures and prints a line of JSON for each figure. Its rounds of commits and
//! the server's take turns, on the same file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::bench::log_peer::Peer;
use crate::bench::log_recovery;
use crate::bench::log_report::{self, Commits, Figures, Insertion};
use crate::bench::machine::Machine;
use crate::bench::measure::median;
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// What `cargo xtask bench log` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/log.md")]
    output: PathBuf,

    /// The directory whose disk is measured; the server's data directory is a temporary one (TMPDIR).
    #[arg(long, value_name = "DIR", default_value = "target/bench-log")]
    directory: PathBuf,

    /// Measure this part alone, print it, and leave the report as it is.
    #[arg(long, value_enum)]
    part: Option<Part>,

    /// Megabytes of log that are recovered.
    #[arg(long, value_name = "N", default_value = "500")]
    recovery_megabytes: u64,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Insertion,
    Commits,
    Recovery,
}

/// Lengths of the records that are inserted.
const LENGTHS: [u64; 3] = [60, 200, 8000];
/// Threads that insert.
const THREADS: [u64; 5] = [1, 2, 4, 8, 32];
/// Sessions that commit, and how many times PostgreSQL's rate is the goal.
const SESSIONS: [(u64, Option<f64>); 4] = [(1, None), (8, Some(2.5)), (32, Some(3.0)), (128, None)];
/// Rounds of each.
const ROUNDS: usize = 3;
/// The commit_delay that PostgreSQL is measured with beside its default: half of a usual sync.
const DELAY: Duration = Duration::from_micros(50);

/// What is used of what the program prints; bench/src/log.rs has these fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Measured {
    Insertion { length: u64, threads: u64, memcpy_ns: f64, memory_ns: f64, files_ns: f64 },
    Commits { per_second: f64, syncs_per_commit: f64, fdatasync_per_second: f64 },
}

/// Measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::SERVER_WITH_HEADERS)?;
    let machine = Machine::before_measuring();
    let build =
        ["build", "--release", "--package", "pgstrata-bench", "--bin", "log", "--bin", "recovery"];
    process::run_shown(workspace::cargo().args(build))?;
    let directory = workspace::directory().join(&arguments.directory);
    fs::create_dir_all(&directory)?;
    let wants = |part| arguments.part.is_none_or(|only| only == part);
    let mut figures = Figures::default();
    if wants(Part::Insertion) {
        figures.insertions = measure_insertions(&directory)?;
    }
    if wants(Part::Commits) {
        figures.commits = measure_commits(&directory)?;
    }
    if wants(Part::Recovery) {
        figures.recoveries = log_recovery::measure(&directory, arguments.recovery_megabytes)?;
    }
    let output = workspace::directory().join(&arguments.output);
    let before = fs::read_to_string(&output).unwrap_or_default();
    let report = log_report::report(&machine, &figures, &before)?;
    print!("{report}");
    if arguments.part.is_some() {
        println!("xtask: only a part was measured; the report is as it was");
        return Ok(());
    }
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&output, report)?;
    println!("xtask: wrote {}", output.display());
    Ok(())
}

fn measure_insertions(directory: &Path) -> Result<Vec<Insertion>> {
    println!("xtask: inserting, about a minute");
    let mut insertions = Vec::new();
    for (length, threads) in
        LENGTHS.iter().flat_map(|length| THREADS.map(|threads| (length, threads)))
    {
        let arguments = ["insertion", &length.to_string(), &threads.to_string()];
        for measured in run_program(directory, &arguments)? {
            if let Measured::Insertion { length, threads, memcpy_ns, memory_ns, files_ns } =
                measured
            {
                insertions.push(Insertion { length, threads, memcpy_ns, memory_ns, files_ns });
            }
        }
    }
    Ok(insertions)
}

fn measure_commits(directory: &Path) -> Result<Vec<Commits>> {
    let most = SESSIONS.map(|(sessions, _)| sessions).into_iter().max().unwrap_or(1);
    let peer = Peer::start(most)?;
    let mut all = Vec::new();
    for (sessions, goal) in SESSIONS {
        println!("xtask: committing, {sessions} sessions");
        let (mut rounds, mut peers, mut delayed) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rounds.extend(run_program(directory, &["commits", &sessions.to_string()])?);
            peers.push(peer.commits(sessions, Duration::ZERO)?);
            delayed.push(peer.commits(sessions, DELAY)?);
        }
        let of_rounds = |value: &dyn Fn(&Measured) -> Option<f64>| {
            median(rounds.iter().filter_map(value).collect())
        };
        let of = |field: fn(f64, f64, f64) -> f64| {
            of_rounds(&|measured| match measured {
                Measured::Commits {
                    per_second, syncs_per_commit, fdatasync_per_second, ..
                } => Some(field(*per_second, *syncs_per_commit, *fdatasync_per_second)),
                Measured::Insertion { .. } => None,
            })
        };
        all.push(Commits {
            sessions,
            goal,
            per_second: of(|rate, _, _| rate)?,
            syncs_per_commit: of(|_, syncs, _| syncs)?,
            fdatasync_per_second: of(|_, _, disk| disk)?,
            of_fdatasync: of(|rate, _, disk| rate / disk)?,
            peer_per_second: median(peers)?,
            delayed_peer_per_second: median(delayed)?,
        });
    }
    peer.stop()?;
    Ok(all)
}

fn run_program(directory: &Path, arguments: &[&str]) -> Result<Vec<Measured>> {
    let program = workspace::target_directory()?.join("release/log");
    let output = process::run(process::command(program).arg(directory).args(arguments))?;
    let lines = String::from_utf8(output.stdout)?;
    let parse = |line: &str| {
        serde_json::from_str(line).with_context(|| format!("not a measurement: {line}"))
    };
    let all = lines.lines().map(parse).collect::<Result<Vec<_>>>()?;
    ensure!(!all.is_empty(), "nothing was measured");
    Ok(all)
}
