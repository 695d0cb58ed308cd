//! `cargo xtask bench wal`: `strata waldump` against pg_waldump 15 on the same segments, in one run.
//!
//! The page cache is warm, the programs take turns (so that a slow moment of the machine meets all of them), and each
//! output is first compared with the peer's where it should be the same.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bench::machine::{Machine, cores};
use crate::bench::measure::{self, Runs};
use crate::bench::report;
use crate::bench::wal_input::{self, WalInput};
use crate::installation::Installation;
use crate::process;
use crate::setup::{self, Needs};
use crate::workspace::{self, Profile};

/// What `cargo xtask bench wal` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each command.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/wal.md")]
    output: PathBuf,
}

/// How much `strata` reads at once, in bytes.
const READ_SIZE: usize = 512 * 1024;

/// One thing that both programs do.
#[derive(Debug)]
pub(crate) struct Case {
    /// What it is, for the report.
    pub(crate) name: &'static str,
    peer_arguments: &'static [&'static str],
    strata_arguments: &'static [&'static str],
    /// True if both print the same bytes.
    same_output: bool,
    /// How many times as fast as the peer it should be, with one thread and with two.
    pub(crate) goals: Option<(f64, f64)>,
}

/// Everything that is measured; the names go into the report.
const CASES: [Case; 5] = [
    Case {
        name: "statistics by record type (`--stats=record`)",
        peer_arguments: &["--stats=record"],
        strata_arguments: &["--stats=record"],
        same_output: true,
        goals: Some((3.0, 6.0)),
    },
    Case {
        name: "text to /dev/null",
        peer_arguments: &[],
        strata_arguments: &[],
        same_output: true,
        goals: Some((4.0, 8.0)),
    },
    Case {
        name: "text with block details (`--bkp-details`) to /dev/null",
        peer_arguments: &["--bkp-details"],
        strata_arguments: &["--bkp-details"],
        same_output: true,
        goals: None,
    },
    Case {
        name: "the records of one resource manager, as text (`--rmgr=Btree`)",
        peer_arguments: &["--rmgr=Btree"],
        strata_arguments: &["--rmgr=Btree"],
        same_output: true,
        goals: None,
    },
    Case {
        name: "JSON to /dev/null (`--format=json`; the peer: text)",
        peer_arguments: &[],
        strata_arguments: &["--format=json"],
        same_output: false,
        goals: Some((1.0, 1.0)),
    },
];

/// What one case took.
#[derive(Debug)]
pub(crate) struct Measured {
    /// What was measured.
    pub(crate) case: &'static Case,
    /// pg_waldump.
    pub(crate) peer: Runs,
    /// `strata waldump --threads 1`.
    pub(crate) one_thread: Runs,
    /// `strata waldump` with a thread for each core.
    pub(crate) all_threads: Runs,
}

/// Makes the log if it is not there, measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::SERVER)?;
    // Looked at before the build and the making of the log, which load the machine themselves.
    let machine = Machine::before_measuring();
    let strata = workspace::build_strata(Profile::Release)?;
    let input = wal_input::find_or_make()?;
    warm_page_cache(&input.directory)?;
    let copy = measure_copy(&input, arguments.runs)?;
    println!("xtask: copying the log out of the page cache: {:.2} s", copy.as_secs_f64());
    let mut all = Vec::new();
    for case in &CASES {
        println!("xtask: {}", case.name);
        let measured = measure(case, &strata, &input, arguments.runs)?;
        println!(
            "xtask:   pg_waldump {:.2} s, strata {:.2} s with 1 thread, {:.2} s with {}",
            measured.peer.median(),
            measured.one_thread.median(),
            measured.all_threads.median(),
            cores()
        );
        all.push(measured);
    }
    let peer_version = Installation::Debian15.version()?;
    let text = report::write(&machine, &peer_version, &input.facts, arguments.runs, copy, &all);
    let output = workspace::directory().join(&arguments.output);
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&output, text).with_context(|| format!("cannot write {}", output.display()))?;
    println!("xtask: wrote {}", output.display());
    Ok(())
}

fn measure(case: &'static Case, strata: &Path, input: &WalInput, runs: u32) -> Result<Measured> {
    let range = |command: &mut Command| {
        command.arg("--path").arg(&input.directory);
        command.args(["--start", &input.facts.start, "--end", &input.facts.end]);
    };
    let peer = || -> Result<Command> {
        let mut command = Installation::Debian15.command("pg_waldump")?;
        range(&mut command);
        command.args(case.peer_arguments);
        Ok(command)
    };
    let ours = |threads: usize| -> Command {
        let mut command = process::command(strata);
        command.arg("waldump");
        range(&mut command);
        command.arg(format!("--threads={threads}"));
        command.args(case.strata_arguments);
        command
    };
    if case.same_output {
        for threads in [1, cores()] {
            measure::compare_outputs(&mut peer()?, &mut ours(threads))?;
        }
    }
    let mut measured = Measured {
        case,
        peer: Runs::default(),
        one_thread: Runs::default(),
        all_threads: Runs::default(),
    };
    for _ in 0..runs {
        measured.peer.add(measure::run(&mut peer()?)?);
        measured.one_thread.add(measure::run(&mut ours(1))?);
        measured.all_threads.add(measure::run(&mut ours(cores()))?);
    }
    Ok(measured)
}

/// The median time of reading the measured range into memory, as `strata` reads it, and doing nothing with it: what
/// the kernel's copy costs.
fn measure_copy(input: &WalInput, runs: u32) -> Result<Duration> {
    let mut files = Vec::new();
    for entry in fs::read_dir(&input.directory)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    let mut window = vec![0; READ_SIZE];
    let mut times = Vec::new();
    for _ in 0..runs {
        let began = Instant::now();
        let mut left = input.facts.bytes;
        for path in &files {
            let file = File::open(path)?;
            let mut offset = 0;
            while left > 0 {
                let got = file.read_at(&mut window, offset)?;
                offset += got as u64;
                left = left.saturating_sub(got as u64);
                if got == 0 {
                    break;
                }
            }
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

fn warm_page_cache(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        io::copy(&mut File::open(entry?.path())?, &mut io::sink())?;
    }
    Ok(())
}
