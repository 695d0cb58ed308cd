//! The report of `cargo xtask bench wal`, as Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::bench::machine::{Machine, cores};
use crate::bench::measure::Runs;
use crate::bench::wal::Measured;
use crate::bench::wal_input::Facts;

/// What walking every record header and checking its CRC-32C costs at least, measured once with an inline loop
/// (nanoseconds a record and core).
const LIMIT_NS: f64 = 11.0;

/// The whole report.
pub(crate) fn write(
    machine: &Machine,
    peer: &str,
    facts: &Facts,
    runs: u32,
    copy: Duration,
    all: &[Measured],
) -> String {
    let mut text = String::from("# Reading the log: `strata waldump` against pg_waldump\n\n");
    text += "Written by `cargo xtask bench wal`; run it again on your machine, since absolute figures drift from one \
             to another. Both programs read the same segments in one run, page cache warm, output to /dev/null, taking \
             turns. Where both print the same, the outputs were compared first, byte by byte.\n\n";
    text += &conditions(machine, &format!("pg_waldump {peer}"), facts, runs);
    text += &ratios(all);
    text += &costs(facts, all);
    text += &judgement(facts, copy, all);
    text
}

/// What was measured on what, as a table.
pub(super) fn conditions(machine: &Machine, peer: &str, facts: &Facts, runs: u32) -> String {
    let log = format!(
        "{:.2} GB, {:.1} million records, {:.0} bytes a record, written by PostgreSQL {} (pgbench, COPY, row by row \
         inserts, index builds; wal_level replica, full_page_writes on)",
        facts.bytes as f64 / 1e9,
        facts.records as f64 / 1e6,
        facts.bytes as f64 / facts.records as f64,
        facts.server
    );
    let of_the_run = [
        ("peer", peer.to_owned()),
        ("log", log),
        ("runs", format!("{runs} of each; seconds are medians")),
    ];
    let mut text = String::from("| | |\n|---|---|\n");
    for (name, value) in machine.rows().into_iter().chain(of_the_run) {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push('\n');
    text
}

/// How many times as fast.
pub(super) fn ratio(peer: &Runs, ours: &Runs) -> f64 {
    peer.median() / ours.median()
}

fn ratios(all: &[Measured]) -> String {
    let mut text = format!(
        "## How many times as fast\n\n\
         | work | pg_waldump | strata, 1 thread | ratio | goal | strata, {} threads | ratio | goal |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
        cores()
    );
    for measured in all {
        let goal = |pick: fn((f64, f64)) -> f64| {
            measured.case.goals.map_or("-".into(), |goals| format!("{:.0}", pick(goals)))
        };
        let _ = writeln!(
            text,
            "| {} | {:.2} s | {:.2} s | **{:.1}** | {} | {:.2} s | **{:.1}** | {} |",
            measured.case.name,
            measured.peer.median(),
            measured.one_thread.median(),
            ratio(&measured.peer, &measured.one_thread),
            goal(|goals| goals.0),
            measured.all_threads.median(),
            ratio(&measured.peer, &measured.all_threads),
            goal(|goals| goals.1),
        );
    }
    text.push('\n');
    text
}

fn costs(facts: &Facts, all: &[Measured]) -> String {
    let mut text = String::from(
        "## What it costs\n\n\
         Nanoseconds a record are of processor time, so threads do not hide in them. Resident memory is the peak, mapped \
         files included.\n\n\
         | work | program | median | best | processor | ns a record | GB/s | resident |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for measured in all {
        let programs = [
            ("pg_waldump".to_owned(), &measured.peer),
            ("strata, 1 thread".to_owned(), &measured.one_thread),
            (format!("strata, {} threads", cores()), &measured.all_threads),
        ];
        for (program, runs) in programs {
            let _ = writeln!(
                text,
                "| {} | {program} | {:.3} s | {:.3} s | {:.3} s | {:.1} | {:.2} | {:.0} MB |",
                measured.case.name,
                runs.median(),
                runs.best(),
                runs.processor(),
                nanoseconds_a_record(runs, facts),
                facts.bytes as f64 / 1e9 / runs.median(),
                runs.peak_resident() as f64 / 1e6,
            );
        }
    }
    text.push('\n');
    text
}

/// Processor time.
pub(super) fn nanoseconds_a_record(runs: &Runs, facts: &Facts) -> f64 {
    runs.processor() * 1e9 / facts.records as f64
}

/// The distance to the limit, and in plain words what was missed and lost.
fn judgement(facts: &Facts, copy: Duration, all: &[Measured]) -> String {
    let mut text = String::from("## Limit, misses and losses\n\n");
    if let Some(statistics) = all.first() {
        let cost = nanoseconds_a_record(&statistics.one_thread, facts);
        let copy = copy.as_secs_f64();
        let own = cost - copy * 1e9 / facts.records as f64;
        let peer = statistics.peer.median();
        let at_limit = copy + LIMIT_NS * facts.records as f64 / 1e9;
        let _ = writeln!(
            text,
            "- The limit, walking every header and its CRC in memory, is near {LIMIT_NS:.0} ns a record and core. \
             Statistics take {cost:.1} ns with one thread: {:.1} times the limit. Of that the kernel's copy out of the \
             page cache is {:.1} ns ({copy:.3} s for the log, measured alone), and the rest {own:.1} ns: {:.1} times \
             the limit.",
            cost / LIMIT_NS,
            cost - own,
            own / LIMIT_NS
        );
        let _ = writeln!(
            text,
            "- So a reader with memory of its own that does nothing but copy would be {:.1} times as fast as \
             pg_waldump here, and one at the limit {:.1} times, with one thread. Reading through a map of the files \
             avoids the copy, but the bytes then change under the reader while a server writes them, so that a checked \
             record would no longer be one, and a file that shrinks ends the process.",
            peer / copy,
            peer / at_limit
        );
    }
    let mut missed = Vec::new();
    let mut lost = Vec::new();
    for measured in all {
        let attempts = [
            (
                "1 thread".to_owned(),
                ratio(&measured.peer, &measured.one_thread),
                measured.case.goals.map(|g| g.0),
            ),
            (
                format!("{} threads", cores()),
                ratio(&measured.peer, &measured.all_threads),
                measured.case.goals.map(|g| g.1),
            ),
        ];
        for (threads, ratio, goal) in attempts {
            if goal.is_some_and(|goal| ratio < goal) {
                missed.push(format!("{} with {threads} ({ratio:.1})", measured.case.name));
            }
            if ratio < 1.0 {
                lost.push(format!("{} with {threads} ({ratio:.1})", measured.case.name));
            }
        }
    }
    let list = |cases: Vec<String>| if cases.is_empty() { "none".into() } else { cases.join("; ") };
    let _ = writeln!(text, "- Goals missed: {}.", list(missed));
    let _ = writeln!(text, "- Slower than pg_waldump: {}.", list(lost));
    let heaviest =
        all.iter().map(|m| m.one_thread.peak_resident().max(m.all_threads.peak_resident())).max();
    let peer = all.iter().map(|measured| measured.peer.peak_resident()).max();
    let _ = writeln!(
        text,
        "- Resident memory: at most {:.0} MB (limit 256 MB), against {:.0} MB of pg_waldump.",
        heaviest.unwrap_or(0) as f64 / 1e6,
        peer.unwrap_or(0) as f64 / 1e6
    );
    text
}
