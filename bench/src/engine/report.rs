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
    /// Rows with the index on their key, in each round.
    pub load_seconds: Vec<f64>,
    /// An index on another column, in each round; none of a store that has no indexes.
    pub index_seconds: Vec<f64>,
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
    /// How much was done in each round, all threads together.
    pub per_second: Vec<f64>,
    /// The disk's own rate in each round, of durable workloads.
    pub fdatasync_per_second: Vec<f64>,
}

/// Ratios of one to another in the same rounds.
#[derive(Debug, Clone, PartialEq)]
struct Ratios(Vec<f64>);

/// The stores in the order of the tables: name in JSON, in words, colour.
const STORES: [(&str, &str, RGBColor); 6] = [
    ("engine", "pgstrata", BLUE),
    ("engine_asleep", "pgstrata, asleep", CYAN),
    ("postgresql", "PostgreSQL", RED),
    ("sqlite", "SQLite", GREEN),
    ("redb", "redb", MAGENTA),
    ("fjall", "fjall", BLACK),
];
const OWN: &str = "engine";
/// The same, in which who waits for the log sleeps at once; in durable workloads.
const ASLEEP: &str = "engine_asleep";
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
    *pgstrata, asleep* is the engine with `waits_awake` off: sessions that wait for the log sleep at once, and nothing keeps their processors from \
    sleeping. The disk's own rate is measured by a thread that sleeps, too; it would be higher with processors kept awake \
    (\"What was tried\" has figures).\n\n\
    Rates are medians of the rounds. Ratios are formed within each round, whose runs stand beside each other, and are medians of those: the \
    machine and its disk change from minute to minute.\n\n\
    Each read sees what was committed when it began: the engine and PostgreSQL take a snapshot for each within one transaction, \
    SQLite and redb begin a transaction for each, fjall reads a key as it is and takes a snapshot for each range. After each run \
    the sums of the tables are held against each other.\n";

impl Figures {
    fn run(&self, workload: &str, threads: u32, store: &str) -> Option<&Run> {
        let is_it = |run: &&Run| {
            (run.workload.as_str(), run.threads, run.store.as_str()) == (workload, threads, store)
        };
        self.runs.iter().find(is_it)
    }

    fn rate(&self, workload: &str, threads: u32, store: &str) -> Option<f64> {
        median(&self.run(workload, threads, store)?.per_second)
    }

    fn disk(&self, workload: &str, threads: u32) -> Option<f64> {
        median(&self.run(workload, threads, OWN)?.fdatasync_per_second)
    }

    fn threads(&self, workload: &str) -> Vec<u32> {
        let of = self.runs.iter().filter(|run| run.workload == workload);
        let mut threads: Vec<u32> = of.map(|run| run.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        threads
    }

    /// One store to another.
    fn to(&self, workload: &str, threads: u32, [one, other]: [&str; 2]) -> Option<Ratios> {
        let of = |store| self.run(workload, threads, store).map(|run| &run.per_second);
        Ratios::of(of(one)?, of(other)?)
    }

    /// One store to the disk.
    fn to_disk(&self, workload: &str, threads: u32, store: &str) -> Option<Ratios> {
        let run = self.run(workload, threads, store)?;
        Ratios::of(&run.per_second, &run.fdatasync_per_second)
    }

    /// The engine to the best of those that run in a process of their user.
    fn to_best_embedded(&self, workload: &str, threads: u32) -> Option<Ratios> {
        let rate = |store| Some((store, self.rate(workload, threads, store)?));
        let embedded = STORES.iter().map(|store| store.0);
        let embedded = embedded.filter(|store| ![OWN, ASLEEP, SERVER].contains(store));
        let (best, _) = embedded.filter_map(rate).max_by(|one, other| one.1.total_cmp(&other.1))?;
        self.to(workload, threads, [OWN, best])
    }
}

impl Ratios {
    fn of(one: &[f64], other: &[f64]) -> Option<Ratios> {
        let ratios: Vec<f64> = one.iter().zip(other).map(|(one, other)| one / other).collect();
        (!ratios.is_empty()).then_some(Ratios(ratios))
    }

    fn median(&self) -> f64 {
        median(&self.0).unwrap_or(f64::NAN)
    }

    /// The least and the greatest.
    fn range(&self) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{} to {}", digits(least), digits(greatest))
    }
}

/// The median, of an even number the upper one; `None` of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A ratio: two digits behind the point of one below ten, none of one above.
fn digits(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
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

fn table(figures: &Figures, workload: &str, heading: &str, what: &str, text: &mut String) {
    let threads = figures.threads(workload);
    if threads.is_empty() {
        return;
    }
    let is_durable = matches!(workload, "transfer" | "tpcb");
    let stores = || STORES.iter().filter(|store| is_durable || store.0 != ASLEEP);
    let _ = write!(text, "\n## {heading}\n\n{what}\n\n| threads |");
    for (_, name, _) in stores() {
        let _ = write!(text, " {name} |");
    }
    *text += " to PostgreSQL | to the best embedded |";
    *text += if is_durable { " fdatasync a second | to that | asleep, to that |\n" } else { "\n" };
    *text += "|---:|";
    *text += &"---:|".repeat(stores().count() + 2 + if is_durable { 3 } else { 0 });
    text.push('\n');
    for threads in threads {
        let _ = write!(text, "| {threads} |");
        for (store, ..) in stores() {
            let rate = figures.rate(workload, threads, store);
            let _ = write!(text, " {} |", rate.map_or("-".to_owned(), |rate| format!("{rate:.0}")));
        }
        let ratio = |ratios: Option<Ratios>, mark| {
            let median = ratios.map(|ratios| format!("{mark}{}{mark}", digits(ratios.median())));
            median.unwrap_or("-".to_owned())
        };
        let to_server = figures.to(workload, threads, [OWN, SERVER]);
        let to_best = figures.to_best_embedded(workload, threads);
        let _ = write!(text, " {} | {} |", ratio(to_server, "**"), ratio(to_best, "**"));
        if is_durable {
            let disk = figures.disk(workload, threads).unwrap_or(f64::NAN);
            let to_disk = |store| ratio(figures.to_disk(workload, threads, store), "");
            let _ = write!(text, " {disk:.0} | {} | {} |", to_disk(OWN), to_disk(ASLEEP));
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
        let faster = |own: &[f64], theirs: Option<&Vec<f64>>| {
            let ratios = theirs.and_then(|theirs| Ratios::of(theirs, own));
            ratios.map_or("-".to_owned(), |ratios| digits(ratios.median()))
        };
        let seconds = |seconds: &[f64]| {
            median(seconds).map_or("-".to_owned(), |seconds| format!("{seconds:.3}"))
        };
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {} | {} |",
            seconds(&load.load_seconds),
            faster(&load.load_seconds, server.map(|server| &server.load_seconds)),
            seconds(&load.index_seconds),
            faster(&load.index_seconds, server.map(|server| &server.index_seconds)),
        );
    }
}

fn goals(figures: &Figures, text: &mut String) {
    let mut rows = String::new();
    let mut goal = |what: &str, least: f64, measured: Option<Ratios>| {
        let Some(measured) = measured else { return };
        let median = measured.median();
        let said = if median >= least { "yes" } else { "**no**" };
        let _ = writeln!(rows, "| {what} | {said} | {} | {} |", digits(median), measured.range());
    };
    let of_disk = |store| figures.to_disk("transfer", 1, store);
    goal("transfer, 1 thread: at least 0.9 of the disk's own rate", 0.9, of_disk(OWN));
    for (threads, least) in [(8, 2.5), (32, 3.0)] {
        let what = format!("transfer, {threads} threads: at least {least} times PostgreSQL");
        goal(&what, least, figures.to("transfer", threads, [OWN, SERVER]));
    }
    for threads in figures.threads("read") {
        let what = format!("point reads, {threads} threads: at least 5 times PostgreSQL");
        goal(&what, 5.0, figures.to("read", threads, [OWN, SERVER]));
        let what = format!("point reads, {threads} threads: at least the best embedded store");
        goal(&what, 1.0, figures.to_best_embedded("read", threads));
    }
    let of = |store| figures.loads.iter().find(move |load| load.store == store);
    if let Some((own, server)) = of(OWN).zip(of(SERVER)) {
        let load = Ratios::of(&server.load_seconds, &own.load_seconds);
        goal("load: at least PostgreSQL's speed", 1.0, load);
        let index = Ratios::of(&server.index_seconds, &own.index_seconds);
        goal("index build: at least PostgreSQL's speed", 1.0, index);
    }
    if !rows.is_empty() {
        let _ = write!(
            text,
            "\n## Goals\n\n| goal | reached | measured | in single rounds |\n|---|---|---|---|\n{rows}"
        );
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
    let lines = STORES.map(line).into_iter().filter(|line| !line.points.is_empty()).collect();
    let axes = Axes::Logarithmic;
    let (below, side) = ("threads", "a second");
    Panel { caption: heading.to_owned(), below, side, axes, lines }
}
