//! `cargo xtask bench engine`: the engine by its own interface against PostgreSQL 15 inside its server, SQLite, redb and
//! fjall, and against the disk's own rate of fdatasync.
//!
//! The program `stores` of the crate `bench` makes the tables of one store, runs one workload on them, checks what is left and
//! prints a line of JSON. The server's part is [`Server`]. In each round all of them take turns, on the same
//! file system, every other round the other way about. The program `stores_report` writes the report: ratios are formed
//! within rounds, since the machine and its disk change from minute to minute.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::bench::engine_peer::Server;
use crate::bench::machine::Machine;
use crate::bench::measure::median;
use crate::installation::Installation;
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// What `cargo xtask bench engine` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the report goes; its plot lies beside it. It is written only where nothing is left out.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/engine.md")]
    output: PathBuf,

    /// The directory whose disk is measured; the server's data directory is a temporary one (TMPDIR).
    #[arg(long, value_name = "DIR", default_value = "target")]
    directory: PathBuf,

    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::ALL)]
    workloads: Vec<Workload>,

    /// Which stores.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Store::ALL)]
    stores: Vec<Store>,

    /// Threads, or sessions of the server.
    #[arg(long, value_delimiter = ',', default_values_t = THREADS)]
    threads: Vec<u32>,

    /// Seconds of each measurement, after a fifth of that to warm up.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    seconds: f64,

    /// Rounds, of which the median counts.
    #[arg(long, value_name = "N", default_value_t = 7)]
    rounds: u32,

    /// Rows of the table of accounts.
    #[arg(long, value_name = "N", default_value_t = ACCOUNTS)]
    accounts: u32,
}

const THREADS: [u32; 3] = [1, 8, 32];
const ACCOUNTS: u32 = 100_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Workload {
    /// Rows put in, and an index made.
    Load,
    /// Two accounts changed, durably.
    Transfer,
    /// Three rows changed and one put in, durably.
    Tpcb,
    /// One row read.
    Read,
    /// 100 rows read.
    Range,
}

impl Workload {
    const ALL: [Workload; 5] =
        [Workload::Load, Workload::Transfer, Workload::Tpcb, Workload::Read, Workload::Range];

    /// Its name in JSON and in the server.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Load => "load",
            Workload::Transfer => "transfer",
            Workload::Tpcb => "tpcb",
            Workload::Read => "read",
            Workload::Range => "range",
        }
    }

    /// Whether each piece of it waits for the disk.
    fn is_durable(self) -> bool {
        matches!(self, Workload::Transfer | Workload::Tpcb)
    }
}

/// What is measured by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Store {
    Engine,
    /// The engine, in which sessions that wait for the log sleep at once; only durable workloads.
    EngineAsleep,
    Postgresql,
    Sqlite,
    Redb,
    Fjall,
}

impl Store {
    const ALL: [Store; 6] = [
        Store::Engine,
        Store::Postgresql,
        Store::EngineAsleep,
        Store::Sqlite,
        Store::Redb,
        Store::Fjall,
    ];

    /// Its name in JSON.
    fn name(self) -> &'static str {
        match self {
            Store::Engine => "engine",
            Store::EngineAsleep => "engine_asleep",
            Store::Postgresql => "postgresql",
            Store::Sqlite => "sqlite",
            Store::Redb => "redb",
            Store::Fjall => "fjall",
        }
    }
}

/// How long making the tables took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    /// Rows, with the index on their key.
    pub(crate) load: f64,
    /// An index on another column; `None` of a store that has none.
    pub(crate) index: Option<f64>,
}

/// What the program prints; bench/src/engine/mod.rs has these fields.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Printed {
    Loaded { load_seconds: f64, index_seconds: Option<f64> },
    Ran { per_second: f64 },
    Disk { fdatasync_per_second: f64 },
}

/// What `stores_report` reads; bench/src/engine/report.rs has these fields.
#[derive(Debug, Serialize)]
struct Figures {
    conditions: Vec<[String; 2]>,
    accounts: u32,
    loads: Vec<Load>,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Load {
    store: Store,
    /// Of each round.
    load_seconds: Vec<f64>,
    /// Of each round; none of a store that has no indexes.
    index_seconds: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct Run {
    workload: Workload,
    threads: u32,
    store: Store,
    /// Of each round.
    per_second: Vec<f64>,
    /// The disk's own rate in each round, measured right before and after each run of the engine; none where nothing waits for the
    /// disk.
    fdatasync_per_second: Vec<f64>,
}

/// Measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds > 0, "--rounds 0 measures nothing");
    ensure!(arguments.seconds > 0.0, "--seconds is to be more than 0");
    setup::ensure_installed(&Needs::SERVER)?;
    let machine = Machine::before_measuring();
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "pgstrata-bench", "--features", "peers"]);
    // SQLite calls fsync unless it is told that there is fdatasync, which all the others call.
    build.args(["--bin", "stores", "--bin", "stores_report"]);
    process::run_shown(build.env("LIBSQLITE3_FLAGS", "-DHAVE_FDATASYNC=1"))?;
    // One of its own: what was in the named directory is somebody's.
    let directory = workspace::directory().join(&arguments.directory).join("pgstrata-bench-engine");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    let bench = Bench { arguments, directory };
    let (loads, server) = bench.measure_loads()?;
    let runs = bench.measure_runs(server.as_ref())?;
    if let Some(server) = server {
        server.stop()?;
    }
    bench.report(&machine, loads, runs)
}

struct Bench<'a> {
    arguments: &'a Arguments,
    directory: PathBuf,
}

impl Bench<'_> {
    fn place(&self, store: Store) -> PathBuf {
        self.directory.join(store.name())
    }

    /// Makes the tables of each store, in rounds; those of the last are worked with.
    fn measure_loads(&self) -> Result<(Vec<Load>, Option<Server>)> {
        let accounts = self.arguments.accounts;
        let is_measured = self.arguments.workloads.contains(&Workload::Load);
        let rounds = if is_measured { self.arguments.rounds } else { 1 };
        let mut times = vec![Vec::new(); self.arguments.stores.len()];
        let mut server = None;
        for round in 1..=rounds {
            println!("xtask: making the tables, {accounts} accounts, round {round} of {rounds}");
            for (store, times) in self.arguments.stores.iter().zip(&mut times) {
                times.push(match store {
                    Store::Postgresql => {
                        drop(server.take());
                        let (made, loaded) = Server::load(accounts, self.most_threads(), &[])?;
                        server = Some(made);
                        loaded
                    }
                    _ => {
                        let place = self.place(*store);
                        let _ = fs::remove_dir_all(&place);
                        let accounts = accounts.to_string();
                        match program(&place, &["load", store.name(), &accounts])? {
                            Printed::Loaded { load_seconds, index_seconds } => {
                                Loaded { load: load_seconds, index: index_seconds }
                            }
                            other => anyhow::bail!("not a load: {other:?}"),
                        }
                    }
                });
            }
        }
        let mut loads = Vec::new();
        for (store, times) in self.arguments.stores.iter().zip(times) {
            if !is_measured || *store == Store::EngineAsleep {
                continue;
            }
            let load_seconds = times.iter().map(|time| time.load).collect();
            let index_seconds = times.iter().filter_map(|time| time.index).collect();
            loads.push(Load { store: *store, load_seconds, index_seconds });
        }
        Ok((loads, server))
    }

    fn most_threads(&self) -> u32 {
        self.arguments.threads.iter().copied().max().unwrap_or(1)
    }

    fn measure_runs(&self, server: Option<&Server>) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        let is_run = |workload: &&Workload| **workload != Workload::Load;
        for workload in self.arguments.workloads.iter().filter(is_run) {
            for &threads in &self.arguments.threads {
                println!("xtask: {}, {threads} threads", workload.name());
                runs.extend(self.measure_run(server, *workload, threads)?);
            }
        }
        Ok(runs)
    }

    /// A workload with so many threads, of each store in turn.
    fn measure_run(
        &self,
        server: Option<&Server>,
        workload: Workload,
        threads: u32,
    ) -> Result<Vec<Run>> {
        let stores = self.arguments.stores.iter().copied();
        let mut stores: Vec<Store> =
            stores.filter(|store| workload.is_durable() || *store != Store::EngineAsleep).collect();
        let mut runs: Vec<Run> = Vec::new();
        let mut disk = Vec::new();
        for store in &stores {
            let (per_second, fdatasync_per_second) = (Vec::new(), Vec::new());
            runs.push(Run { workload, threads, store: *store, per_second, fdatasync_per_second });
        }
        for _ in 0..self.arguments.rounds {
            let mut around = Vec::new();
            for store in &stores {
                let is_own = matches!(store, Store::Engine | Store::EngineAsleep);
                around.extend(if is_own { self.disk(workload)? } else { None });
                let rate = self.run(*store, server, workload, threads)?;
                around.extend(if is_own { self.disk(workload)? } else { None });
                let of_store = runs.iter_mut().find(|run| run.store == *store);
                of_store.context("a run for each")?.per_second.push(rate);
            }
            if !around.is_empty() {
                disk.push(around.iter().sum::<f64>() / around.len() as f64);
            }
            // Whoever goes first finds the machine as the one before has left it.
            stores.reverse();
        }
        for run in &mut runs {
            run.fdatasync_per_second.clone_from(&disk);
            let rate = median(run.per_second.clone())?;
            println!("xtask:   {:<12}{rate:>12.0} a second", run.store.name());
        }
        Ok(runs)
    }

    /// What the disk does alone, of a workload that waits for it.
    fn disk(&self, workload: Workload) -> Result<Option<f64>> {
        if !workload.is_durable() {
            return Ok(None);
        }
        match program(&self.directory, &["disk"])? {
            Printed::Disk { fdatasync_per_second } => Ok(Some(fdatasync_per_second)),
            other => anyhow::bail!("not a disk's rate: {other:?}"),
        }
    }

    fn run(
        &self,
        store: Store,
        server: Option<&Server>,
        workload: Workload,
        threads: u32,
    ) -> Result<f64> {
        let Arguments { accounts, seconds, .. } = self.arguments;
        if store == Store::Postgresql {
            let server = server.context("the server was not loaded")?;
            return server.run(workload, threads, *seconds);
        }
        let milliseconds = (seconds * 1000.0).round().max(1.0).to_string();
        let (accounts, threads) = (accounts.to_string(), threads.to_string());
        let arguments = ["run", store.name(), &accounts, workload.name(), &threads, &milliseconds];
        match program(&self.place(store), &arguments)? {
            Printed::Ran { per_second } => Ok(per_second),
            other => anyhow::bail!("not a run: {other:?}"),
        }
    }

    fn report(&self, machine: &Machine, loads: Vec<Load>, runs: Vec<Run>) -> Result<()> {
        let Arguments { output, accounts, seconds, rounds, .. } = self.arguments;
        let versions = format!(
            "PostgreSQL {}, SQLite by rusqlite {}, redb {}, fjall {}",
            Installation::Debian15.version()?,
            locked("rusqlite")?,
            locked("redb")?,
            locked("fjall")?
        );
        let method = format!(
            "medians of {rounds} rounds of {seconds} s; ratios are medians of those within each round"
        );
        let own = [("peers", versions), ("figures", method)];
        let conditions = machine.rows().into_iter().chain(own);
        let conditions = conditions.map(|(name, value)| [name.to_owned(), value]).collect();
        let figures = Figures { conditions, accounts: *accounts, loads, runs };
        let is_whole = self.arguments.workloads.len() == Workload::ALL.len()
            && self.arguments.stores.len() == Store::ALL.len()
            && THREADS.iter().all(|threads| self.arguments.threads.contains(threads));
        let output = is_whole.then_some(output.as_path());
        write_report("stores_report", &figures, &self.directory, output)
    }
}

/// Has a program of the crate `bench` write the report of what was measured to `output` below the workspace; of a part of it,
/// to the directory, and shows it.
pub(super) fn write_report(
    program: &str,
    figures: &impl Serialize,
    directory: &Path,
    output: Option<&Path>,
) -> Result<()> {
    let measured = directory.join("measured.json");
    fs::write(&measured, serde_json::to_vec_pretty(figures)?)?;
    let path = match output {
        Some(output) => workspace::directory().join(output),
        None => directory.join("part.md"),
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut report = process::command(release(program)?);
    process::run_shown(report.arg(&measured).arg(&path))?;
    if output.is_none() {
        println!("{}", fs::read_to_string(&path)?);
        println!("xtask: only a part was measured; the report is as it was");
    }
    println!("xtask: wrote {}", path.display());
    Ok(())
}

/// A program of the crate `bench`, as it was built to be measured.
pub(super) fn release(program: &str) -> Result<PathBuf> {
    Ok(workspace::target_directory()?.join("release").join(program))
}

fn program(directory: &Path, arguments: &[&str]) -> Result<Printed> {
    let mut command = process::command(release("stores")?);
    let output = process::run(command.arg(directory).args(arguments))?;
    let line = String::from_utf8(output.stdout)?;
    serde_json::from_str(&line).with_context(|| format!("not a measurement: {line}"))
}

/// The version of a crate in Cargo.lock.
fn locked(name: &str) -> Result<String> {
    let lock = fs::read_to_string(workspace::directory().join("Cargo.lock"))?;
    let behind = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).map(|parts| parts.1);
    let version = behind.and_then(|text| text.split('"').next());
    Ok(version.with_context(|| format!("{name} is not in Cargo.lock"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_are_locked() {
        for name in ["rusqlite", "redb", "fjall"] {
            assert!(locked(name).expect("there").starts_with(|first: char| first.is_ascii_digit()));
        }
    }
}
