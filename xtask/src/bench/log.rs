//! `cargo xtask bench log`: the log alone. Inserting records without a sync, against memcpy; durable commits, against
//! the disk's own rate of fdatasync.
//!
//! The program `log` of the crate `bench` measures and prints a line of JSON for each figure; this writes the report.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::bench::machine::Machine;
use crate::{process, workspace};

/// What `cargo xtask bench log` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/log.md")]
    output: PathBuf,

    /// The directory whose disk is measured.
    #[arg(long, value_name = "DIR", default_value = "target/bench-log")]
    directory: PathBuf,
}

/// What the program prints; bench/src/log.rs has the same fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Measured {
    Insertion { length: u64, threads: u64, memcpy_ns: f64, memory_ns: f64, files_ns: f64 },
    Commits { sessions: u64, per_second: f64, syncs_per_commit: f64, fdatasync_per_second: f64 },
}

/// Measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    let machine = Machine::before_measuring();
    let build = ["build", "--release", "--package", "pgstrata-bench", "--bin", "log"];
    process::run_shown(workspace::cargo().args(build))?;
    let directory = workspace::directory().join(&arguments.directory);
    fs::create_dir_all(&directory)?;
    println!("xtask: inserting and committing, about two minutes");
    let program = workspace::target_directory()?.join("release/log");
    let output = process::run(process::command(program).arg(&directory))?;
    let mut all = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        all.push(serde_json::from_str(line).with_context(|| format!("not a measurement: {line}"))?);
    }
    ensure!(!all.is_empty(), "nothing was measured");
    let report = report(&machine, &all);
    print!("{report}");
    let output = workspace::directory().join(&arguments.output);
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&output, report)?;
    println!("xtask: wrote {}", output.display());
    Ok(())
}

fn report(machine: &Machine, all: &[Measured]) -> String {
    let mut text = String::from("# Writing the log\n\n");
    text += "Written by `cargo xtask bench log`; run it again on your machine, since absolute figures drift from one to \
             another. The log alone: no pages, no transactions.\n\n| | |\n|---|---|\n";
    for (name, value) in machine.rows() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text += &insertions(all);
    text += &commits(all);
    text
}

/// A table for each length.
fn insertions(all: &[Measured]) -> String {
    let mut text = String::from(
        "\n## Inserting, without a sync\n\nEach record is built, summed (CRC-32C), given its place and copied. *memory*: buffers of \
         16 MiB that go nowhere. *files*: the same, written to segment files that are never synced. *memcpy*: one thread that \
         copies as many bytes to successive places of 16 MiB, the limit. Nanoseconds a record are of all threads \
         together; medians of five runs.\n",
    );
    let mut lengths: BTreeMap<u64, Vec<&Measured>> = BTreeMap::new();
    for measured in all {
        if let Measured::Insertion { length, .. } = measured {
            lengths.entry(*length).or_default().push(measured);
        }
    }
    for (length, rows) in lengths {
        let _ = write!(
            text,
            "\nRecords of {length} bytes:\n\n| threads | memory, ns | GB/s | files, ns | GB/s | memcpy, ns | GB/s |\n\
             |---:|---:|---:|---:|---:|---:|---:|\n"
        );
        for row in rows {
            if let Measured::Insertion { threads, memcpy_ns, memory_ns, files_ns, .. } = row {
                let rate = |ns: &f64| length as f64 / ns;
                let _ = writeln!(
                    text,
                    "| {threads} | {memory_ns:.1} | {:.2} | {files_ns:.1} | {:.2} | {memcpy_ns:.1} | {:.2} |",
                    rate(memory_ns),
                    rate(files_ns),
                    rate(memcpy_ns),
                );
            }
        }
    }
    text
}

fn commits(all: &[Measured]) -> String {
    let mut text = String::from(
        "\n## Durable commits\n\nA commit is three records (two of 100 bytes, one of 34) and a flush; sync method fdatasync, \
         no commit delay. Beside it the rate at which one thread writes 8 kB and calls fdatasync, measured before and after each run. \
         Medians of three runs of two seconds.\n\n| sessions | commits a second | fdatasync a second | ratio | syncs a commit |\n\
         |---:|---:|---:|---:|---:|\n",
    );
    for measured in all {
        if let Measured::Commits { sessions, per_second, syncs_per_commit, fdatasync_per_second } =
            measured
        {
            let _ = writeln!(
                text,
                "| {sessions} | {per_second:.0} | {fdatasync_per_second:.0} | **{:.2}** | {syncs_per_commit:.3} |",
                per_second / fdatasync_per_second
            );
        }
    }
    text
}
