//! docs/benchmarks/growth.md and its plots, from what `cargo xtask bench growth` measured.
//!
//! Invariant: where the server is ahead, the report says so by itself.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use serde::Deserialize;

use super::Watched;
use crate::plot::{Axes, Line, Panel};
use crate::report::Report;

/// From this heading on the report is written by hand.
const KEPT: &str = "\n## What was seen\n";

/// All that was measured; xtask/src/bench/growth.rs has these fields.
#[derive(Debug, Deserialize)]
pub struct Figures {
    /// Machine, compiler, commit: name and value.
    pub conditions: Vec<[String; 2]>,
    /// Beside idle sessions.
    pub idle: Vec<BesideIdle>,
    /// Making the tables.
    pub loads: Vec<Load>,
    /// Work on so many rows.
    pub runs: Vec<OnRows>,
    /// Beside a reader, or none.
    pub readers: Vec<BesideReader>,
}

/// A part of work beside idle sessions.
#[derive(Debug, Deserialize)]
pub struct BesideIdle {
    /// What they do: the name in JSON.
    pub idle: String,
    /// How many.
    pub sessions: u32,
    /// Whether other sessions do the other part meanwhile.
    pub is_mixed: bool,
    /// Of this part.
    pub workload: String,
    /// The store's name in JSON.
    pub store: String,
    /// How much was done, all its sessions together.
    pub per_second: f64,
}

/// Making the tables of a store.
#[derive(Debug, Deserialize)]
pub struct Load {
    /// Accounts.
    pub rows: u32,
    /// The store's name in JSON.
    pub store: String,
    /// Rows with the index on their key.
    pub load_seconds: f64,
    /// An index on another column.
    pub index_seconds: f64,
}

/// Work on so many rows.
#[derive(Debug, Deserialize)]
pub struct OnRows {
    /// Accounts.
    pub rows: u32,
    /// Its name in JSON.
    pub workload: String,
    /// The store's name in JSON.
    pub store: String,
    /// How much was done, all threads together.
    pub per_second: f64,
}

/// Transfers beside a reader, or none.
#[derive(Debug, Deserialize)]
pub struct BesideReader {
    /// The store's name in JSON.
    pub store: String,
    /// Whether there was one.
    pub is_held: bool,
    /// What was seen.
    pub watched: Watched,
}

/// The stores in the order of the tables: name in JSON, in words, colour.
const STORES: [(&str, &str, RGBColor); 3] = [
    ("classic", "classic", BLUE),
    ("commit_ts", "commit-ts", GREEN),
    ("postgresql", "PostgreSQL", RED),
];
const SERVER: &str = "postgresql";

/// What idle sessions do: name in JSON, in words.
const IDLE: [(&str, &str); 2] = [
    ("connected", "idle, without a transaction"),
    ("in_transaction", "idle in a transaction that has an id"),
];

/// What is done beside them: whether it is a part of two, its workload, in words.
const PARTS: [(bool, &str, &str); 3] = [
    (false, "transfer", "transfers"),
    (true, "transfer", "transfers, beside reads"),
    (true, "read", "point reads, beside transfers"),
];

const INTRODUCTION: &str = "# Cost as it grows\n\n\
    Written by `cargo xtask bench growth`; run it again on your machine, since absolute figures drift from one to another. What \
    stands from \"What was seen\" on is written by hand.\n\n\
    The engine in both snapshot modes, by its own Rust interface, and PostgreSQL inside its server (loops in PL/pgSQL), with the \
    tables, the work and the settings of [engine.md](engine.md): transfers are durable and change two accounts found by their \
    keys, point reads have a snapshot each, each store may keep 128 MB in memory. They take turns in each round, and each run \
    begins behind a checkpoint. After a run that changes rows the sums of the tables are held against each other.\n";

const OF_SESSIONS: &str = "\n## Idle sessions\n\n\
    Working sessions beside so many that do nothing: 8 that transfer, or 7 that transfer while one reads. An idle session either \
    only is there, or has begun a transaction with an id and has no snapshot in use: every snapshot of a list then has one entry \
    more, and versions that ended since cannot be removed while a list's xmin is what decides. A second, all sessions of a part \
    together.\n";

const OF_ROWS: &str = "\n## Rows\n\n\
    The same work on tables of other sizes, 8 sessions each. From about a million rows on the table is larger than the memory \
    that a store keeps its pages in; what does not fit comes from the system's cache, into which the files are read before each \
    run.\n";

const OF_READER: &str = "\n## A reader that stays\n\n\
    Transfers by 8 sessions, with the autovacuum on and a second between its rounds, for the whole time beside a reader at \
    repeatable read that has read all accounts before, and reads them again at the end, when it must see the same. Rates of the \
    first and of the last quarter of the time; pages of 8 kB before and after; versions at the end that are not the newest of \
    their rows and not removed (the engine: what a vacuum then counts; PostgreSQL: pgstattuple).\n";

impl Figures {
    fn beside(&self, idle: &str, sessions: u32, part: (bool, &str), store: &str) -> Option<f64> {
        let is_it = |run: &&BesideIdle| {
            (run.idle.as_str(), run.sessions, run.store.as_str()) == (idle, sessions, store)
                && (run.is_mixed, run.workload.as_str()) == part
        };
        self.idle.iter().find(is_it).map(|run| run.per_second)
    }

    fn sessions(&self) -> Vec<u32> {
        ascending(self.idle.iter().map(|run| run.sessions))
    }

    fn on_rows(&self, rows: u32, workload: &str, store: &str) -> Option<f64> {
        let is_it = |run: &&OnRows| {
            (run.rows, run.workload.as_str(), run.store.as_str()) == (rows, workload, store)
        };
        self.runs.iter().find(is_it).map(|run| run.per_second)
    }

    /// Rows a second of a load, or of an index's making.
    fn loaded(&self, rows: u32, is_index: bool, store: &str) -> Option<f64> {
        let is_it = |load: &&Load| (load.rows, load.store.as_str()) == (rows, store);
        let load = self.loads.iter().find(is_it)?;
        let seconds = if is_index { load.index_seconds } else { load.load_seconds };
        Some(f64::from(rows) / seconds)
    }

    fn watched(&self, store: &str, is_held: bool) -> Option<&Watched> {
        let is_it = |run: &&BesideReader| (run.store.as_str(), run.is_held) == (store, is_held);
        self.readers.iter().find(is_it).map(|run| &run.watched)
    }
}

impl Watched {
    /// Between each two samples: the time of the later, and transactions a second.
    fn rates(&self) -> Vec<(f64, f64)> {
        let rate = |pair: &[super::Sample]| {
            let done = pair[1].transactions.saturating_sub(pair[0].transactions);
            (pair[1].seconds, done as f64 / (pair[1].seconds - pair[0].seconds))
        };
        self.samples.windows(2).map(rate).collect()
    }

    /// The mean rates of the first and of the last quarter.
    fn quarters(&self) -> Option<[f64; 2]> {
        let rates = self.rates();
        let quarter = rates.len().div_ceil(4);
        let mean = |rates: &[(f64, f64)]| {
            rates.iter().map(|rate| rate.1).sum::<f64>() / rates.len() as f64
        };
        (quarter > 0).then(|| [mean(&rates[..quarter]), mean(&rates[rates.len() - quarter..])])
    }
}

fn ascending(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Writes the report to `output`, and the plots beside it.
///
/// # Errors
/// Where a file cannot be written.
pub fn write(figures: &Figures, output: &Path) -> Result<()> {
    let report = Report::new(output, INTRODUCTION, &figures.conditions);
    let mut growth = Growth { figures, report, losses: vec![] };
    if !figures.idle.is_empty() {
        growth.sessions()?;
    }
    if !figures.loads.is_empty() {
        growth.rows()?;
    }
    if !figures.readers.is_empty() {
        growth.readers()?;
    }
    growth.losses();
    growth.report.write(Some(KEPT))
}

struct Growth<'a> {
    figures: &'a Figures,
    report: Report<'a>,
    /// Where the server was ahead.
    losses: Vec<String>,
}

impl Growth<'_> {
    fn plot(
        &mut self,
        subject: &str,
        height: u32,
        grid: (usize, usize),
        panels: &[Panel],
    ) -> Result<()> {
        let in_words = "The tables below as plots";
        self.report.plot(&format!("-{subject}"), in_words, (900, height), grid, panels)
    }

    /// Figures of the stores, more being better, and of the modes to the server.
    fn cells(&mut self, what: &str, of_store: impl Fn(&str) -> Option<f64>) {
        for (store, ..) in STORES {
            match of_store(store) {
                Some(rate) => _ = write!(self.report.text, " {rate:.0} |"),
                None => self.report.text += " - |",
            }
        }
        for (mode, name, _) in STORES.into_iter().filter(|(store, ..)| *store != SERVER) {
            match of_store(mode).zip(of_store(SERVER)) {
                Some((own, server)) => {
                    let ratio = own / server;
                    let _ = write!(self.report.text, " **{ratio:.2}** |");
                    if ratio < 1.0 {
                        self.losses.push(format!("{what}: {name} has {ratio:.2} of its rate"));
                    }
                }
                None => self.report.text += " - |",
            }
        }
        self.report.text.push('\n');
    }

    fn sessions(&mut self) -> Result<()> {
        let figures = self.figures;
        let sessions = figures.sessions();
        self.report.text += OF_SESSIONS;
        let panel = |(idle, in_words): (&str, &str), (is_mixed, workload, name)| {
            let line = |(store, name, colour): (&str, _, _)| {
                let rate = |count: &u32| {
                    let rate = figures.beside(idle, *count, (is_mixed, workload), store);
                    rate.map(|rate| (f64::from(*count), rate))
                };
                Line { name, colour, points: sessions.iter().filter_map(rate).collect() }
            };
            Panel {
                caption: format!("{name}; {in_words}"),
                below: "idle sessions",
                side: "a second",
                axes: Axes::LogarithmicBelow,
                lines: STORES.map(line).into(),
            }
        };
        let panels: Vec<_> =
            PARTS.iter().flat_map(|part| IDLE.map(|idle| panel(idle, *part))).collect();
        self.plot("sessions", 900, (3, 2), &panels)?;
        for (idle, in_words) in IDLE {
            let _ = write!(
                self.report.text,
                "\n### Sessions {in_words}\n\n| work | idle sessions | classic | commit-ts | PostgreSQL | classic to PostgreSQL \
                 | commit-ts to PostgreSQL |\n|---|---:|---:|---:|---:|---:|---:|\n"
            );
            for (is_mixed, workload, name) in PARTS {
                for &count in &sessions {
                    let _ = write!(self.report.text, "| {name} | {count} |");
                    let what = format!("{name}, beside {count} sessions {in_words}");
                    self.cells(&what, |store| {
                        figures.beside(idle, count, (is_mixed, workload), store)
                    });
                }
            }
        }
        let (Some(&fewest), Some(&most)) = (sessions.first(), sessions.last()) else {
            return Ok(());
        };
        let _ = write!(
            self.report.text,
            "\n### What is left of a rate\n\nBeside {most} sessions, of what it is beside {fewest}.\n\n| sessions | work | classic | \
             commit-ts | PostgreSQL |\n|---|---|---:|---:|---:|\n"
        );
        for (idle, in_words) in IDLE {
            for (is_mixed, workload, name) in PARTS {
                let _ = write!(self.report.text, "| {in_words} | {name} |");
                for (store, ..) in STORES {
                    let of = |count| figures.beside(idle, count, (is_mixed, workload), store);
                    match of(most).zip(of(fewest)) {
                        Some((most, fewest)) => {
                            let _ = write!(self.report.text, " {:.2} |", most / fewest);
                        }
                        None => self.report.text += " - |",
                    }
                }
                self.report.text.push('\n');
            }
        }
        Ok(())
    }

    fn rows(&mut self) -> Result<()> {
        type Of<'a> = &'a dyn Fn(u32, &str) -> Option<f64>;

        let figures = self.figures;
        let sizes = ascending(figures.loads.iter().map(|load| load.rows));
        self.report.text += OF_ROWS;
        let subjects: [(&str, &str, Of<'_>); 4] = [
            ("Point reads", "a second", &|rows, store| figures.on_rows(rows, "read", store)),
            ("Transfers", "a second", &|rows, store| figures.on_rows(rows, "transfer", store)),
            ("Loading, with the index on the key", "rows a second", &|rows, store| {
                figures.loaded(rows, false, store)
            }),
            ("Making an index on a column without order", "rows a second", &|rows, store| {
                figures.loaded(rows, true, store)
            }),
        ];
        let panel = |(heading, side, of): (&str, _, Of<'_>)| {
            let line = |(store, name, colour): (&str, _, _)| {
                let rate = |rows: &u32| of(*rows, store).map(|rate| (f64::from(*rows), rate));
                Line { name, colour, points: sizes.iter().filter_map(rate).collect() }
            };
            let axes = Axes::Logarithmic;
            let lines = STORES.map(line).into();
            Panel { caption: heading.to_owned(), below: "rows", side, axes, lines }
        };
        self.plot("rows", 640, (2, 2), &subjects.map(panel))?;
        for (heading, unit, of) in subjects {
            let _ = write!(
                self.report.text,
                "\n### {heading}, {unit}\n\n| rows | classic | commit-ts | PostgreSQL | classic to PostgreSQL | commit-ts to \
                 PostgreSQL |\n|---:|---:|---:|---:|---:|---:|\n"
            );
            for &rows in &sizes {
                let _ = write!(self.report.text, "| {rows} |");
                self.cells(&format!("{heading}, {rows} rows"), |store| of(rows, store));
            }
        }
        Ok(())
    }

    fn readers(&mut self) -> Result<()> {
        type Of = fn(&Watched) -> Vec<(f64, f64)>;

        let figures = self.figures;
        self.report.text += OF_READER;
        let subjects: [(&str, &str, &str, Of); 3] = [
            ("Transfers a second", "seconds", "a second", Watched::rates),
            ("Pages of the table", "thousands of transfers", "pages", |watched| {
                let point = |sample: &super::Sample| {
                    (sample.transactions as f64 / 1e3, sample.table_pages as f64)
                };
                watched.samples.iter().map(point).collect()
            }),
            ("Pages of the index", "thousands of transfers", "pages", |watched| {
                let point = |sample: &super::Sample| {
                    (sample.transactions as f64 / 1e3, sample.index_pages as f64)
                };
                watched.samples.iter().map(point).collect()
            }),
        ];
        let panel = |(heading, below, side, of): (&str, _, _, Of), is_held| {
            let line = |(store, name, colour): (&str, _, _)| {
                let points = figures.watched(store, is_held).map(of).unwrap_or_default();
                Line { name, colour, points }
            };
            let beside = if is_held { "a reader that stays" } else { "no reader" };
            let (axes, lines) = (Axes::Linear, STORES.map(line).into());
            Panel { caption: format!("{heading}, {beside}"), below, side, axes, lines }
        };
        let panels: Vec<_> = subjects
            .iter()
            .flat_map(|subject| [false, true].map(|is_held| panel(*subject, is_held)))
            .collect();
        self.plot("reader", 900, (3, 2), &panels)?;
        self.report.text += "\n| store | reader | a second, at first | at last | table, pages before | after | index, pages before | after \
                      | pages grown by, per 1,000 transfers | dead versions |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
        for is_held in [false, true] {
            for (store, name, _) in STORES {
                let Some(watched) = figures.watched(store, is_held) else { continue };
                let [Some(first), Some(last)] = [watched.samples.first(), watched.samples.last()]
                else {
                    continue;
                };
                let [at_first, at_last] = watched.quarters().unwrap_or([0.0; 2]);
                let pages = |sample: &super::Sample| sample.table_pages + sample.index_pages;
                let grown = pages(last).saturating_sub(pages(first)) as f64;
                let done = last.transactions.saturating_sub(first.transactions).max(1) as f64;
                let _ = writeln!(
                    self.report.text,
                    "| {name} | {} | {at_first:.0} | {at_last:.0} | {} | {} | {} | {} | {:.1} | {} |",
                    if is_held { "held" } else { "none" },
                    first.table_pages,
                    last.table_pages,
                    first.index_pages,
                    last.index_pages,
                    grown * 1e3 / done,
                    watched.dead_versions
                );
                let Some(server) = figures.watched(SERVER, is_held) else { continue };
                let beside = if is_held { "a reader that stays" } else { "no reader" };
                let [_, of_server] = server.quarters().unwrap_or([0.0; 2]);
                if store != SERVER && at_last < of_server {
                    let ratio = at_last / of_server;
                    let loss = format!(
                        "transfers beside {beside}, at last: {name} has {ratio:.2} of its rate"
                    );
                    self.losses.push(loss);
                }
            }
        }
        self.report.text +=
            "\nWhat is left beside the reader of the rate without one, in the last quarter: ";
        let mut kept = Vec::new();
        for (store, name, _) in STORES {
            let rate = |is_held| figures.watched(store, is_held)?.quarters().map(|rates| rates[1]);
            if let Some((held, none)) = rate(true).zip(rate(false)) {
                kept.push(format!("{name} {:.2}", held / none));
            }
        }
        let _ = writeln!(self.report.text, "{}.", kept.join(", "));
        Ok(())
    }

    fn losses(&mut self) {
        self.report.text += "\n## Where PostgreSQL is ahead\n\n";
        if self.losses.is_empty() {
            self.report.text += "Nowhere in this run.\n";
        }
        for loss in &self.losses {
            let _ = writeln!(self.report.text, "- {loss}");
        }
    }
}
