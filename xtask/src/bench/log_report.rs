//! docs/benchmarks/log.md, from what was measured.
//!
//! Invariant: what is written by hand, from its heading on, is kept.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use crate::bench::log_recovery::Recovery;
use crate::bench::machine::Machine;
use crate::installation::Installation;

/// Records inserted, none flushed.
#[derive(Debug)]
pub(crate) struct Insertion {
    /// Length of a record in bytes.
    pub(crate) length: u64,
    /// Threads that insert.
    pub(crate) threads: u64,
    /// Nanoseconds a record, copied by one thread and nothing else.
    pub(crate) memcpy_ns: f64,
    /// Into buffers that go nowhere; of all threads together.
    pub(crate) memory_ns: f64,
    /// Into files that are never synced; of all threads together.
    pub(crate) files_ns: f64,
}

/// Durable commits.
#[derive(Debug)]
pub(crate) struct Commits {
    /// Sessions that commit.
    pub(crate) sessions: u64,
    /// How many times PostgreSQL's rate is the goal.
    pub(crate) goal: Option<f64>,
    /// Commits a second, all together.
    pub(crate) per_second: f64,
    /// Syncs for each.
    pub(crate) syncs_per_commit: f64,
    /// The disk's own rate, before and after each round.
    pub(crate) fdatasync_per_second: f64,
    /// Commits for each of the disk's own syncs, of the median round.
    pub(crate) of_fdatasync: f64,
    /// PostgreSQL's commits a second.
    pub(crate) peer_per_second: f64,
    /// The same with a commit_delay.
    pub(crate) delayed_peer_per_second: f64,
}

/// The goal with one session: this part of the disk's own rate.
const ALONE: f64 = 0.9;

/// The goal of recovery: so many times as fast as PostgreSQL with the same log.
const RECOVERY: f64 = 2.0;

/// From this heading on the report is written by hand, and kept.
const KEPT: &str = "\n## What was tried\n";

/// All that was measured; what was not is empty.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) insertions: Vec<Insertion>,
    pub(crate) commits: Vec<Commits>,
    pub(crate) recoveries: Vec<Recovery>,
}

/// The report. `before` is what it said before.
pub(crate) fn report(machine: &Machine, figures: &Figures, before: &str) -> Result<String> {
    let mut text = String::from(
        "# Writing the log, and recovering from it\n\nWritten by `cargo xtask bench log`; run it again on your machine, since \
         absolute figures drift from one to another. Insertion and commits are of the log alone: no pages, no rows, no \
         commit status. What stands from \"What was tried\" on is written by hand.\n\n| | |\n|---|---|\n",
    );
    let peer = ("peer", format!("PostgreSQL {}", Installation::Debian15.version()?));
    for (name, value) in machine.rows().into_iter().chain([peer]) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {value} |");
    }
    let Figures { insertions, commits, recoveries } = figures;
    if !insertions.is_empty() {
        text += &insertion(insertions);
    }
    if !commits.is_empty() {
        text += &durable(commits);
    }
    if !recoveries.is_empty() {
        text += &recovery(recoveries);
    }
    text += &goals(commits, recoveries);
    if let Some(at) = before.find(KEPT) {
        text += &before[at..];
    }
    Ok(text)
}

fn recovery(all: &[Recovery]) -> String {
    let threads = all.first().map_or(1, |row| row.threads);
    let mut text = format!(
        "\n## Recovery\n\nTwo logs, each recovered by both programs: one that the engine wrote and one that PostgreSQL 15 wrote, under \
         the same load, TPC-B over a million accounts in two sessions that commit asynchronously, rows found by their place, no indexes. \
         Nobody closed the data directory, and the only checkpoint lies before the load. Data checksums and commit timestamps are \
         on, buffers are 128 MB, fsync is on during recovery. *redo*: from the first record to the last, as each program says. \
         *ready*: from the start of the program until transactions can run; the checkpoint that ends recovery is made. \
         *warm*: the files are in the kernel's memory; the round with the median ratio of three. *cold*: they are not; one \
         round. The engine works with {threads} threads, or with one.\n\n\
         | log of | records | images | MB | files | engine redo, s | MB/s | PostgreSQL redo, s | MB/s | ratio | engine, one \
         thread, s | ratio | engine ready, s | PostgreSQL ready, s |\n\
         |---|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for row in all {
        let megabytes = row.log_bytes / 1e6;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {megabytes:.0} | {} | {:.2} | {:.0} | {:.2} | {:.0} | **{:.2}** | {:.2} | {:.2} | {:.2} | {:.2} |",
            row.writer,
            row.records,
            row.images,
            if row.is_warm { "warm" } else { "cold" },
            row.engine.redo,
            megabytes / row.engine.redo,
            row.peer.redo,
            megabytes / row.peer.redo,
            row.ratio(),
            row.one_thread.redo,
            row.peer.redo / row.one_thread.redo,
            row.engine.all,
            row.peer.all,
        );
    }
    text
}

/// A table for each length.
fn insertion(all: &[Insertion]) -> String {
    let mut text = String::from(
        "\n## Inserting, without a sync\n\nEach record is built, summed (CRC-32C), given its place and copied. *memory*: \
         buffers of 16 MiB that go nowhere. *files*: the same, written to segment files that are never synced. *memcpy*: one \
         thread that copies as many bytes to successive places of 16 MiB, the limit. Nanoseconds a record are of all \
         threads together; medians of three runs.\n",
    );
    let mut lengths: BTreeMap<u64, Vec<&Insertion>> = BTreeMap::new();
    for row in all {
        lengths.entry(row.length).or_default().push(row);
    }
    for (length, rows) in lengths {
        let _ = write!(
            text,
            "\nRecords of {length} bytes:\n\n| threads | memory, ns | GB/s | files, ns | GB/s | memcpy, ns | GB/s | memory \
             / memcpy |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        );
        for Insertion { threads, memcpy_ns, memory_ns, files_ns, .. } in rows {
            let rate = |ns: &f64| length as f64 / ns;
            let _ = writeln!(
                text,
                "| {threads} | {memory_ns:.1} | {:.2} | {files_ns:.1} | {:.2} | {memcpy_ns:.1} | {:.2} | {:.1} |",
                rate(memory_ns),
                rate(files_ns),
                rate(memcpy_ns),
                memory_ns / memcpy_ns,
            );
        }
    }
    text
}

fn durable(all: &[Commits]) -> String {
    let mut text = String::from(
        "\n## Durable commits\n\nA commit is three records (two of 100 bytes, one of 34) and a flush; sync method fdatasync, \
         default options. *fdatasync*: the rate at which one thread writes 8 kB and calls it, measured before and after each \
         round. *PostgreSQL*: a C function in the server (`bench/peer/commit.c`) that logs two records of 100 bytes and commits, \
         in as many backends, without SQL or a client; fsync and synchronous_commit on, and once more with a commit_delay of 50 \
         us. It does more for a commit than the log alone does: an xid, the process array, commit status. Programs take \
         turns; medians of three rounds of two seconds.\n\n| sessions | commits a second | fdatasync a second | ratio \
         | syncs a commit | PostgreSQL | ratio | goal | PostgreSQL, commit_delay | ratio |\n\
         |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in all {
        let goal = row.goal.map_or("-".to_owned(), |goal| goal.to_string());
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.0} | **{:.2}** | {:.3} | {:.0} | **{:.2}** | {goal} | {:.0} | {:.2} |",
            row.sessions,
            row.per_second,
            row.fdatasync_per_second,
            row.of_fdatasync,
            row.syncs_per_commit,
            row.peer_per_second,
            row.per_second / row.peer_per_second,
            row.delayed_peer_per_second,
            row.per_second / row.delayed_peer_per_second,
        );
    }
    text
}

fn goals(commits: &[Commits], recoveries: &[Recovery]) -> String {
    let mut text = String::from("\n## Goals\n\n| goal | reached | measured |\n|---|---|---|\n");
    let said = |is_reached: bool| if is_reached { "yes" } else { "**no**" };
    for row in commits {
        if row.sessions == 1 {
            let _ = writeln!(
                text,
                "| 1 session: at least {ALONE} of the disk's own rate | {} | {:.2} |",
                said(row.of_fdatasync >= ALONE),
                row.of_fdatasync
            );
        }
        if let Some(goal) = row.goal {
            let ratio = row.per_second / row.peer_per_second;
            let _ = writeln!(
                text,
                "| {} sessions: at least {goal} times PostgreSQL | {} | {ratio:.2} |",
                row.sessions,
                said(ratio >= goal)
            );
        }
    }
    for row in recoveries.iter().filter(|row| row.is_warm) {
        let _ = writeln!(
            text,
            "| recovery of the log of {}: at least {RECOVERY} times PostgreSQL | {} | {:.2} |",
            row.writer,
            said(row.ratio() >= RECOVERY),
            row.ratio()
        );
    }
    // What the words say if the two logs are not the same: each program with its own.
    let of = |writer| recoveries.iter().find(|row| row.is_warm && row.writer == writer);
    if let (Some(own), Some(theirs)) = (of("engine"), of("PostgreSQL")) {
        let (own, theirs) = (own.log_bytes / own.engine.redo, theirs.log_bytes / theirs.peer.redo);
        let _ = writeln!(
            text,
            "| each with its own log, MB/s: at least {RECOVERY} times PostgreSQL | {} | {:.2} |",
            said(own >= RECOVERY * theirs),
            own / theirs
        );
    }
    text
}
