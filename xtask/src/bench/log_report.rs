//! docs/benchmarks/log.md, from what was measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

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

/// The report.
pub(crate) fn report(
    machine: &Machine,
    insertions: &[Insertion],
    commits: &[Commits],
) -> Result<String> {
    let mut text = String::from(
        "# Writing the log\n\nWritten by `cargo xtask bench log`; run it again on your machine, since absolute figures \
         drift from one to another. The log alone: no pages, no rows, no commit status.\n\n| | |\n|---|---|\n",
    );
    let peer = ("peer", format!("PostgreSQL {}", Installation::Debian15.version()?));
    for (name, value) in machine.rows().into_iter().chain([peer]) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text += &insertion(insertions);
    text += &durable(commits);
    text += &goals(commits);
    Ok(text)
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

fn goals(commits: &[Commits]) -> String {
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
    text
}
