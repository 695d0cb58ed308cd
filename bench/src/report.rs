//! docs/benchmarks/snapshot.md and its plot, from what was measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::*;
use serde::Deserialize;

use crate::RUNNING;
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

    let mut text = String::from(
        "# Snapshots: taking one, asking it, ending a transaction\n\n\
         Written by `cargo xtask bench snapshot`; run it again on your machine, since absolute figures drift from one to \
         another. The peer is PostgreSQL's own GetSnapshotData, called in a loop by a C function in a server in which \
         prepared transactions run (bench/peer); ours are medians of criterion. Both take the lock, read the dense arrays \
         and write into the memory of the snapshot before, in a session that shows an xmin already.\n\n| | |\n|---|---|\n",
    );
    for [name, value] in &peer.conditions {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let plot = output.with_extension("svg");
    let name = plot.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let _ = write!(
        text,
        "\n## Taking a snapshot\n\nNanoseconds, beside so many running transactions.\n\n![The table below as a plot, both axes \
         logarithmic]({name})\n\n| running | PostgreSQL, rebuilt | classic, rebuilt | ratio | PostgreSQL, reused | \
         classic, reused | ratio | commit-ts by marker | commit-ts in order | its first of a transaction |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for (at, row) in peer.rows.iter().enumerate() {
        let _ = writeln!(
            text,
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
    text += "\nThe first commit-timestamp snapshot of a transaction also shows its start to whoever removes versions, with \
             a fence, and takes it back; classic ones do that under the lock.\n\n## Asking it\n\nWhether an xid between \
             xmin and xmax counts as running, in nanoseconds a question, 1,024 xids in turn.\n\n| running | search | linear \
             search of the same list | ratio |\n|---:|---:|---:|---:|\n";
    for (at, running) in RUNNING.iter().enumerate() {
        let ratio = linear[at] / search[at];
        let _ = writeln!(
            text,
            "| {running} | {:.1} | {:.1} | **{ratio:.1}** |",
            search[at], linear[at]
        );
    }
    text += "\n## Ending a transaction\n\nThe same code with the group clear and without it. Steady: each thread begins and \
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
            text,
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
    let _ =
        write!(text, "\n## Goals\n\n| goal | reached | measured |\n|---|---|---|\n{}", goals.rows);
    fs::write(output, text).with_context(|| format!("cannot write {}", output.display()))?;
    let series = [
        ("PostgreSQL, rebuilt", peer.rows.iter().map(|row| row.rebuilt_ns).collect(), RED),
        ("PostgreSQL, reused", peer.rows.iter().map(|row| row.reused_ns).collect(), MAGENTA),
        ("classic, rebuilt", rebuilt, BLUE),
        ("classic, reused", reused, CYAN),
        ("commit-ts in order", ordered, GREEN),
    ];
    draw(&series, &plot).with_context(|| format!("cannot draw {}", plot.display()))
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

fn draw(series: &[(&str, Vec<f64>, RGBColor)], plot: &Path) -> Result<()> {
    let area = SVGBackend::new(plot, (760, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    // A logarithmic axis has no 0: nobody running is drawn at 1.
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((1.0..1000.0).log_scale(), (1.0..5000.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("running transactions (0 at the left edge)")
        .y_desc("ns a snapshot")
        .draw()?;
    for (name, times, colour) in series {
        let points =
            RUNNING.iter().map(|&running| (running as f64).max(1.0)).zip(times.iter().copied());
        let points: Vec<_> = points.collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(*name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    area.present()?;
    Ok(())
}
