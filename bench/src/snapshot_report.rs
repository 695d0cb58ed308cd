//! docs/benchmarks/snapshot.md and its plot, from what was measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;
use serde::Deserialize;

use crate::RUNNING;
use crate::plot::{Axes, Line, Panel};
use crate::report::Report;
use crate::transaction_end::{Kind, Measured};

/// What `cargo xtask bench snapshot` measured of PostgreSQL.
#[derive(Debug, Deserialize)]
pub struct Peer {
    /// Machine, compiler, commit: name and value.
    pub conditions: Vec<[String; 2]>,
    /// For each number of running transactions.
    pub rows: Vec<PeerRow>,
}

/// GetSnapshotData beside so many running transactions, in nanoseconds a call.
#[derive(Debug, Deserialize)]
pub struct PeerRow {
    /// How many.
    pub running: usize,
    /// While nobody ends.
    pub reused_ns: f64,
    /// Read from the dense arrays.
    pub rebuilt_ns: f64,
}

/// Criterion's medians, in nanoseconds.
#[derive(Debug)]
pub struct Estimates<'a> {
    directory: &'a Path,
}

impl<'a> Estimates<'a> {
    /// Of criterion's directory.
    pub fn new(directory: &'a Path) -> Estimates<'a> {
        Estimates { directory }
    }

    /// The median of a benchmark.
    ///
    /// # Errors
    /// Where it was not measured.
    pub fn median(&self, group: &str, function: &str, running: usize) -> Result<f64> {
        let file = self
            .directory
            .join(group)
            .join(function)
            .join(running.to_string())
            .join("new/estimates.json");
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let estimates: serde_json::Value = serde_json::from_slice(&text)?;
        let median = estimates["median"]["point_estimate"].as_f64();
        median.with_context(|| format!("no median in {}", file.display()))
    }

    fn medians(&self, group: &str, function: &str) -> Result<Vec<f64>> {
        RUNNING.iter().map(|&running| self.median(group, function, running)).collect()
    }
}

const INTRODUCTION: &str = "# Snapshots: taking one, asking it, ending a transaction\n\n\
    Written by `cargo xtask bench snapshot`; run it again on your machine, since absolute figures drift from one to another. \
    The peer is PostgreSQL's own GetSnapshotData, called in a loop by a C function in a server in which prepared transactions \
    run (bench/peer); ours are medians of criterion. Both take the lock, read the dense arrays and write into the memory of the \
    snapshot before, in a session that shows an xmin already.\n";

/// Writes the report to `output`, and the plot beside it.
///
/// # Errors
/// Where something was not measured, or a file cannot be written.
pub fn write(
    peer: &Peer,
    estimates: &Estimates<'_>,
    ends: &[Measured],
    output: &Path,
) -> Result<()> {
    let rebuilt = estimates.medians("take", "rebuilt")?;
    let reused = estimates.medians("take", "reused")?;
    let marker = estimates.medians("take", "commit-ts by marker")?;
    let ordered = estimates.medians("take", "commit-ts in order")?;
    let first = estimates.medians("take", "commit-ts in order, first of a transaction")?;
    let search = estimates.medians("membership", "search")?;
    let linear = estimates.medians("membership", "linear search")?;

    let mut report = Report::new(output, INTRODUCTION, &peer.conditions);
    report.text += "\n## Taking a snapshot\n\nNanoseconds, beside so many running transactions.\n";
    let lines = [
        ("PostgreSQL, rebuilt", RED, peer.rows.iter().map(|row| row.rebuilt_ns).collect()),
        ("PostgreSQL, reused", MAGENTA, peer.rows.iter().map(|row| row.reused_ns).collect()),
        ("classic, rebuilt", BLUE, rebuilt.clone()),
        ("classic, reused", CYAN, reused.clone()),
        ("commit-ts in order", GREEN, ordered.clone()),
    ];
    let panel = Panel {
        caption: String::new(),
        below: "running transactions (0 at the left edge)",
        side: "ns a snapshot",
        axes: Axes::Logarithmic,
        lines: lines.map(|(name, colour, times)| line(name, colour, &times)).into(),
    };
    let in_words = "The table below as a plot, both axes logarithmic";
    report.plot("", in_words, (760, 420), (1, 1), &[panel])?;
    report.text += "\n| running | PostgreSQL, rebuilt | classic, rebuilt | ratio | PostgreSQL, reused | classic, reused \
                    | ratio | commit-ts by marker | commit-ts in order | its first of a transaction |\n\
                    |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for (at, row) in peer.rows.iter().enumerate() {
        let _ = writeln!(
            report.text,
            "| {} | {:.0} | {:.0} | **{:.1}** | {:.0} | {:.1} | **{:.1}** | {:.1} | {:.1} | {:.1} |",
            row.running,
            row.rebuilt_ns,
            rebuilt[at],
            row.rebuilt_ns / rebuilt[at],
            row.reused_ns,
            reused[at],
            row.reused_ns / reused[at],
            marker[at],
            ordered[at],
            first[at],
        );
    }
    report.text += "\nThe first commit-timestamp snapshot of a transaction also shows its start to whoever removes versions, with \
             a fence, and takes it back; classic ones do that under the lock.\n\n## Asking it\n\nWhether an xid between \
             xmin and xmax counts as running, in nanoseconds a question, 1,024 xids in turn.\n\n| running | search | linear \
             search of the same list | ratio |\n|---:|---:|---:|---:|\n";
    for (at, running) in RUNNING.iter().enumerate() {
        let ratio = linear[at] / search[at];
        let _ = writeln!(
            report.text,
            "| {running} | {:.1} | {:.1} | **{ratio:.1}** |",
            search[at], linear[at]
        );
    }
    report.text += "\n## Ending a transaction\n\nThe same code with the group clear and without it. Steady: each thread begins and \
             ends transactions, one after the other; two cores run two threads, and the lock is held for some nanoseconds, \
             so that they hardly ever meet at it. Burst: all threads come to their end while the lock is held, as when one \
             flush of the log lets all go.\n\n| workload | threads | idle transactions | locks a commit, alone | with groups | \
             fewer by | commits a second, alone | with groups | ratio |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for end in ends {
        let kind = match (end.workload.kind, end.workload.snapshots) {
            (Kind::Steady, false) => "steady",
            (Kind::Steady, true) => "steady, a snapshot each",
            (Kind::Burst, _) => "burst",
        };
        let _ = writeln!(
            report.text,
            "| {kind} | {} | {} | {:.3} | {:.3} | **{:.1}** | {:.2} M | {:.2} M | **{:.2}** |",
            end.workload.threads,
            end.workload.idle,
            end.alone_acquisitions,
            end.group_acquisitions,
            end.alone_acquisitions / end.group_acquisitions,
            end.alone_per_second / 1e6,
            end.group_per_second / 1e6,
            end.group_per_second / end.alone_per_second,
        );
    }
    let mut goals = Goals::default();
    for (at, row) in peer.rows.iter().enumerate().filter(|(_, row)| row.running >= 100) {
        let name =
            format!("classic, rebuilt, {} running: at most half of PostgreSQL's time", row.running);
        goals.add(
            &name,
            rebuilt[at] <= row.rebuilt_ns / 2.0,
            format!("{:.2} of it", rebuilt[at] / row.rebuilt_ns),
        );
    }
    let worst = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    goals.add(
        "classic, reused: under 10 ns",
        worst(&reused) < 10.0,
        format!("{:.1} ns at worst", worst(&reused)),
    );
    for (name, times) in [("by marker", &marker), ("in order", &ordered)] {
        let best = times.iter().copied().fold(f64::INFINITY, f64::min);
        let measured = format!("{best:.1} to {:.1} ns", worst(times));
        goals.add(
            &format!("commit-timestamp {name}: under 10 ns, whatever runs"),
            worst(times) < 10.0,
            measured,
        );
    }
    let asked = search[RUNNING.len() - 1];
    goals.add("membership at 1,000: under 5 ns", asked < 5.0, format!("{asked:.1} ns"));
    for end in ends.iter().filter(|end| end.workload.threads == 64) {
        let fewer = end.alone_acquisitions / end.group_acquisitions;
        let faster = end.group_per_second / end.alone_per_second;
        let kind = if end.workload.kind == Kind::Burst { "burst" } else { "steady" };
        let snapshots = if end.workload.snapshots { ", a snapshot each" } else { "" };
        let name = format!(
            "64 threads, {kind}{snapshots}, {} idle: a quarter of the locks, no lower throughput",
            end.workload.idle
        );
        goals.add(
            &name,
            fewer >= 4.0 && faster >= 1.0,
            format!("{fewer:.1} times fewer, {faster:.2} times as fast"),
        );
    }
    let _ = write!(
        report.text,
        "\n## Goals\n\n| goal | reached | measured |\n|---|---|---|\n{}",
        goals.rows
    );
    report.write(None)
}

/// A line of the plot: a logarithmic axis has no 0, so that nobody running is drawn at 1.
fn line(name: &'static str, colour: RGBColor, times: &[f64]) -> Line {
    let points = RUNNING.iter().map(|&running| (running as f64).max(1.0));
    Line { name, colour, points: points.zip(times.iter().copied()).collect() }
}

#[derive(Default)]
struct Goals {
    rows: String,
}

impl Goals {
    fn add(&mut self, name: &str, reached: bool, measured: String) {
        let verdict = if reached { "yes" } else { "**no**" };
        let _ = writeln!(self.rows, "| {name} | {verdict} | {measured} |");
    }
}
