//! docs/benchmarks/engine.md and its plot, from what `cargo xtask bench engine` measured.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use serde::Deserialize;

use crate::plot::{Axes, Line, Panel};
use crate::report::Report;

/// From this heading on the report is written by hand.
const KEPT: &str = "\n## What was tried\n";

/// All that was measured; xtask/src/bench/engine.rs has these fields.
#[derive(Debug, Deserialize)]
pub struct Figures {
    /// Machine, compiler, commit: name and value.
    pub conditions: Vec<[String; 2]>,
    /// Rows of the table of accounts.
    pub accounts: u32,
    /// Making the tables.
    pub loads: Vec<Load>,
    /// Everything else.
    pub runs: Vec<Run>,
}

/// Making the tables of a store.
#[derive(Debug, Deserialize)]
pub struct Load {
    /// Its name in JSON.
    pub store: String,
    /// Rows with the index on their key.
    pub load_seconds: f64,
    /// An index on another column.
    pub index_seconds: Option<f64>,
}

/// A workload with so many threads.
#[derive(Debug, Deserialize)]
pub struct Run {
    /// Its name in JSON.
    pub workload: String,
    /// How many.
    pub threads: u32,
    /// The store's name in JSON.
    pub store: String,
    /// How much was done, all threads together.
    pub per_second: f64,
    /// The disk's own rate, of durable workloads.
    pub fdatasync_per_second: Option<f64>,
}

/// The stores in the order of the tables: name in JSON, in words, colour.
const STORES: [(&str, &str, RGBColor); 5] = [
    ("engine", "pgstrata", BLUE),
    ("postgresql", "PostgreSQL", RED),
    ("sqlite", "SQLite", GREEN),
    ("redb", "redb", MAGENTA),
    ("fjall", "fjall", BLACK),
];
const OWN: &str = "engine";
const SERVER: &str = "postgresql";

/// Name in JSON, heading, what it is.
const WORKLOADS: [(&str, &str, &str); 4] = [
    (
        "transfer",
        "Transfer",
        "A durable transaction that changes two accounts, found by their keys. Transactions a second.",
    ),
    (
        "tpcb",
        "TPC-B-like",
        "A durable transaction that changes an account, one of 320 tellers and one of 32 branches, and puts a row into a history. \
         Transactions a second.",
    ),
    ("read", "Point reads", "An account's balance by its key. Reads a second."),
    (
        "range",
        "Range reads",
        "The balances of 100 accounts with successive keys, added up. Ranges a second.",
    ),
];

const INTRODUCTION: &str = "# The engine against what people would use instead\n\n\
    Written by `cargo xtask bench engine`; run it again on your machine, since absolute figures drift from one to another. What \
    stands from \"What was tried\" on is written by hand.\n\n\
    Stores take turns in each round, on the same file system, and each may keep 128 MB in memory (SQLite: each \
    connection). None vacuums by itself or makes checkpoints while it is measured. The engine is called by its \
    own Rust interface, tables and indexes of PostgreSQL's format. PostgreSQL works inside its server: loops in PL/pgSQL, \
    so that no client and no parsing costs anything. SQLite (rusqlite), redb and fjall are called in the process. Tables: \
    accounts with an id, a number, a balance and 84 bytes of text.\n\n\
    A commit is durable before it counts:\n\n\
    | store | what a commit waits for |\n|---|---|\n\
    | pgstrata | `fdatasync` of the log, shared by those who commit together |\n\
    | PostgreSQL | the same; `fsync` and `synchronous_commit` on, `wal_sync_method` fdatasync |\n\
    | SQLite | `fdatasync` of its log (WAL, `synchronous = FULL`); one writes at a time, by a lock round the library, which is \
    better for it than its own waiting |\n\
    | redb | `fdatasync` of its file (`Durability::Immediate`); one writes at a time |\n\
    | fjall | `fdatasync` of its journal (`PersistMode::SyncData`), optimistic transactions |\n\n\
    The disk's own rate is that of one thread that writes one page of 8 kB after the other into a file of zeros and calls `fdatasync` \
    after each, right before and after each of the engine's runs.\n\n\
    Each read sees what was committed when it began: the engine and PostgreSQL take a snapshot for each within one transaction, \
    SQLite and redb begin a transaction for each, fjall reads a key as it is and takes a snapshot for each range. After each run \
    the sums of the tables are held against each other.\n";

impl Figures {
    fn rate(&self, workload: &str, threads: u32, store: &str) -> Option<f64> {
        let mut runs = self.runs.iter();
        let is_it = |run: &&Run| {
            (run.workload.as_str(), run.threads, run.store.as_str()) == (workload, threads, store)
        };
        runs.find(is_it).map(|run| run.per_second)
    }

    fn disk(&self, workload: &str, threads: u32) -> Option<f64> {
        let is_it = |run: &&Run| (run.workload.as_str(), run.threads) == (workload, threads);
        self.runs.iter().find(is_it).and_then(|run| run.fdatasync_per_second)
    }

    fn threads(&self, workload: &str) -> Vec<u32> {
        let of = self.runs.iter().filter(|run| run.workload == workload);
        let mut threads: Vec<u32> = of.map(|run| run.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        threads
    }

    /// The best of those that run in a process of their user.
    fn best_embedded(&self, workload: &str, threads: u32) -> Option<f64> {
        let embedded = STORES.iter().filter(|store| store.0 != OWN && store.0 != SERVER);
        let rates = embedded.filter_map(|store| self.rate(workload, threads, store.0));
        rates.max_by(f64::total_cmp)
    }
}

/// Writes the report to `output`, and the plot beside it.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(figures: &Figures, output: &Path) -> Result<()> {
    let mut report = Report::new(output, INTRODUCTION, &figures.conditions);
    let _ = writeln!(report.text, "| accounts | {} |", figures.accounts);
    if !figures.runs.is_empty() {
        let panels = WORKLOADS.map(|workload| panel(figures, workload));
        let in_words = "The tables below as plots, the axes logarithmic";
        report.plot("", in_words, (900, 640), (2, 2), &panels)?;
    }
    for (workload, heading, what) in WORKLOADS {
        table(figures, workload, heading, what, &mut report.text);
    }
    loads(figures, &mut report.text);
    goals(figures, &mut report.text);
    report.write(Some(KEPT))
}

/// Two digits behind the point of a ratio below ten, none of one above.
fn ratio(one: f64, other: f64) -> String {
    let ratio = one / other;
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
}

fn table(figures: &Figures, workload: &str, heading: &str, what: &str, text: &mut String) {
    let threads = figures.threads(workload);
    if threads.is_empty() {
        return;
    }
    let is_durable = matches!(workload, "transfer" | "tpcb");
    let _ = write!(text, "\n## {heading}\n\n{what}\n\n| threads |");
    for (_, name, _) in STORES {
        let _ = write!(text, " {name} |");
    }
    *text += " to PostgreSQL | to the best embedded |";
    *text += if is_durable { " fdatasync a second | to that |\n" } else { "\n" };
    *text += "|---:|";
    *text += &"---:|".repeat(STORES.len() + 2 + if is_durable { 2 } else { 0 });
    text.push('\n');
    for threads in threads {
        let _ = write!(text, "| {threads} |");
        for (store, ..) in STORES {
            match figures.rate(workload, threads, store) {
                Some(rate) => _ = write!(text, " {rate:.0} |"),
                None => *text += " - |",
            }
        }
        let own = figures.rate(workload, threads, OWN);
        let disk = figures.disk(workload, threads);
        let server = figures.rate(workload, threads, SERVER);
        for other in [server, figures.best_embedded(workload, threads)] {
            match own.zip(other) {
                Some((own, other)) => _ = write!(text, " **{}** |", ratio(own, other)),
                None => *text += " - |",
            }
        }
        if let Some((own, disk)) = own.zip(disk) {
            let _ = write!(text, " {disk:.0} | {} |", ratio(own, disk));
        }
        text.push('\n');
    }
}

fn loads(figures: &Figures, text: &mut String) {
    if figures.loads.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\n## Loading, and making an index\n\n{} accounts, in the order of their keys, in one transaction with the index on the \
         key, until durable; then an index on a column without order, where the store has indexes. Seconds. redb gets them in one \
         transaction, fjall by its ingestion of sorted keys; neither has a second index.\n\n| store | load, s | ratio to \
         PostgreSQL's speed | index, s | ratio to PostgreSQL's speed |\n|---|---:|---:|---:|---:|\n",
        figures.accounts
    );
    let server = figures.loads.iter().find(|load| load.store == SERVER);
    for (store, name, _) in STORES {
        let Some(load) = figures.loads.iter().find(|load| load.store == store) else { continue };
        let faster = |own: Option<f64>, theirs: Option<f64>| {
            own.zip(theirs).map_or("-".to_owned(), |(own, theirs)| ratio(theirs, own))
        };
        let index = load.index_seconds.map_or("-".to_owned(), |time| format!("{time:.3}"));
        let _ = writeln!(
            text,
            "| {name} | {:.3} | {} | {index} | {} |",
            load.load_seconds,
            faster(Some(load.load_seconds), server.map(|server| server.load_seconds)),
            faster(load.index_seconds, server.and_then(|server| server.index_seconds)),
        );
    }
}

fn goals(figures: &Figures, text: &mut String) {
    let mut rows = String::new();
    let mut goal = |what: &str, least: f64, measured: Option<f64>| {
        let Some(measured) = measured else { return };
        let said = if measured >= least { "yes" } else { "**no**" };
        let _ = writeln!(rows, "| {what} | {said} | {} |", ratio(measured, 1.0));
    };
    let to = |workload, threads, other: Option<f64>| {
        figures.rate(workload, threads, OWN).zip(other).map(|(own, other)| own / other)
    };
    let of_disk = to("transfer", 1, figures.disk("transfer", 1));
    goal("transfer, 1 thread: at least 0.9 of the disk's own rate", 0.9, of_disk);
    for (threads, least) in [(8, 2.5), (32, 3.0)] {
        let server = to("transfer", threads, figures.rate("transfer", threads, SERVER));
        goal(
            &format!("transfer, {threads} threads: at least {least} times PostgreSQL"),
            least,
            server,
        );
    }
    for threads in figures.threads("read") {
        let server = to("read", threads, figures.rate("read", threads, SERVER));
        goal(&format!("point reads, {threads} threads: at least 5 times PostgreSQL"), 5.0, server);
        let best = to("read", threads, figures.best_embedded("read", threads));
        goal(
            &format!("point reads, {threads} threads: at least the best embedded store"),
            1.0,
            best,
        );
    }
    let of = |store| figures.loads.iter().find(move |load| load.store == store);
    if let Some((own, server)) = of(OWN).zip(of(SERVER)) {
        let load = server.load_seconds / own.load_seconds;
        goal("load: at least PostgreSQL's speed", 1.0, Some(load));
        let index = server.index_seconds.zip(own.index_seconds);
        goal(
            "index build: at least PostgreSQL's speed",
            1.0,
            index.map(|(theirs, own)| theirs / own),
        );
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n## Goals\n\n| goal | reached | measured |\n|---|---|---|\n{rows}");
    }
}

/// A workload's plot.
fn panel(figures: &Figures, (workload, heading, _): (&str, &str, &str)) -> Panel {
    let threads = figures.threads(workload);
    let line = |(store, name, colour): (&str, _, _)| {
        let rate = |threads: &u32| figures.rate(workload, *threads, store);
        let points = threads.iter().filter_map(|at| Some((f64::from(*at), rate(at)?)));
        Line { name, colour, points: points.collect() }
    };
    let (axes, lines) = (Axes::Logarithmic, STORES.map(line).into());
    let (below, side) = ("threads", "a second");
    Panel { caption: heading.to_owned(), below, side, axes, lines }
}
