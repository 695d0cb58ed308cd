//! `cargo xtask bench growth`: what the engine's work costs beside idle sessions, on more rows, and beside a reader that
//! stays; in both snapshot modes, against PostgreSQL 15 inside its server.
//!
//! The program `growth` of the crate `bench` is the engine's part, one process a run, that prints a line of JSON; the server's
//! is [`Server`] and [`growth_peer`]. They take turns in each round, on the same file system. The program
//! `growth_report` writes the report from the medians.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bench::engine::{Workload, release, write_report};
use crate::bench::engine_peer::Server;
use crate::bench::growth_peer::{self, IdleSessions};
use crate::bench::machine::Machine;
use crate::bench::measure::median;
use crate::installation::Installation;
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// What `cargo xtask bench growth` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the report goes; its plots lie beside it. It is written only where nothing is left out.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/growth.md")]
    output: PathBuf,

    /// The directory whose disk is measured; the server's data directory is a temporary one (TMPDIR).
    #[arg(long, value_name = "DIR", default_value = "target")]
    directory: PathBuf,

    /// What grows.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Subject::ALL)]
    subjects: Vec<Subject>,

    /// Which stores.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Store::ALL)]
    stores: Vec<Store>,

    /// Idle sessions.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = IDLE)]
    sessions: Vec<u32>,

    /// Rows of the table of accounts; 10,000,000 take minutes more, and gigabytes of disk.
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = ROWS)]
    rows: Vec<u32>,

    /// Seconds of each measurement, after a fifth of that to warm up.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    seconds: f64,

    /// Rounds, of which the median counts; tables of more than 100,000 rows are made once.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,

    /// Seconds that the reader stays, in which it is looked at each second.
    #[arg(long, value_name = "N", default_value_t = 20)]
    reader_seconds: u32,
}

const IDLE: [u32; 4] = [1, 10, 100, 1000];
const ROWS: [u32; 3] = [10_000, 100_000, 1_000_000];
/// Rows where something else grows.
const ACCOUNTS: u32 = 100_000;
/// Sessions that work.
const WORKING: u32 = 8;

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Subject {
    /// Sessions that do nothing.
    Sessions,
    /// Rows.
    Rows,
    /// The age of the oldest snapshot.
    Reader,
}

impl Subject {
    const ALL: [Subject; 3] = [Subject::Sessions, Subject::Rows, Subject::Reader];
}

/// What is measured by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Store {
    /// The engine, snapshots by list.
    Classic,
    /// The engine, snapshots by commit timestamp.
    CommitTs,
    /// The server.
    Postgresql,
}

impl Store {
    const ALL: [Store; 3] = [Store::Classic, Store::CommitTs, Store::Postgresql];

    /// Its name in JSON.
    fn name(self) -> &'static str {
        match self {
            Store::Classic => "classic",
            Store::CommitTs => "commit_ts",
            Store::Postgresql => "postgresql",
        }
    }
}

/// What a session does that does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Idle {
    /// It is there.
    Connected,
    /// It has begun a transaction, which has an id.
    InTransaction,
}

impl Idle {
    const ALL: [Idle; 2] = [Idle::Connected, Idle::InTransaction];

    /// Its name in JSON.
    fn name(self) -> &'static str {
        match self {
            Idle::Connected => "connected",
            Idle::InTransaction => "in_transaction",
        }
    }
}

/// How it stands at a moment; bench/src/growth/reader.rs has these fields.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    pub(crate) transactions: u64,
    pub(crate) table_pages: u64,
    pub(crate) index_pages: u64,
}

/// What was seen of a run beside a reader, or none.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) samples: Vec<Sample>,
    pub(crate) dead_versions: u64,
}

/// What the program prints of a load.
#[derive(Debug, Deserialize)]
struct Loaded {
    load_seconds: f64,
    index_seconds: f64,
}

/// What `growth_report` reads; bench/src/growth/report.rs has these fields.
#[derive(Debug, Default, Serialize)]
struct Figures {
    conditions: Vec<[String; 2]>,
    idle: Vec<BesideIdle>,
    loads: Vec<Load>,
    runs: Vec<OnRows>,
    readers: Vec<BesideReader>,
}

#[derive(Debug, Serialize)]
struct BesideIdle {
    idle: Idle,
    sessions: u32,
    is_mixed: bool,
    workload: Workload,
    store: Store,
    per_second: f64,
}

#[derive(Debug, Serialize)]
struct Load {
    rows: u32,
    store: Store,
    load_seconds: f64,
    index_seconds: f64,
}

#[derive(Debug, Serialize)]
struct OnRows {
    rows: u32,
    workload: Workload,
    store: Store,
    per_second: f64,
}

#[derive(Debug, Serialize)]
struct BesideReader {
    store: Store,
    is_held: bool,
    watched: Watched,
}

/// Measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    ensure!(arguments.rounds > 0, "--rounds 0 measures nothing");
    ensure!(arguments.seconds > 0.0, "--seconds is to be more than 0");
    ensure!(arguments.reader_seconds > 0, "--reader-seconds is to be more than 0");
    setup::ensure_installed(&Needs::SERVER)?;
    let machine = Machine::before_measuring();
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", "pgstrata-bench"]);
    process::run_shown(build.args(["--bin", "growth", "--bin", "growth_report"]))?;
    // One of its own: what was in the named directory is somebody's.
    let directory = workspace::directory().join(&arguments.directory).join("pgstrata-bench-growth");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory)?;
    let bench = Bench { arguments, directory };
    let disk = bench.fdatasync_per_second()?;
    let mut figures = Figures::default();
    for subject in &arguments.subjects {
        match subject {
            Subject::Sessions => figures.idle = bench.beside_idle()?,
            Subject::Rows => (figures.loads, figures.runs) = bench.on_rows()?,
            Subject::Reader => figures.readers = bench.beside_reader()?,
        }
    }
    let disk = [disk, bench.fdatasync_per_second()?];
    bench.report(&machine, disk, figures)
}

/// A store with the tables.
enum Made {
    Engine { store: Store, directory: PathBuf },
    Server(Server),
}

struct Bench<'a> {
    arguments: &'a Arguments,
    directory: PathBuf,
}

impl Bench<'_> {
    /// Makes the tables of a store anew.
    fn make(&self, store: Store, rows: u32, settings: &[(&str, &str)]) -> Result<(Made, Loaded)> {
        if store == Store::Postgresql {
            let idle = self.arguments.sessions.iter().copied().max().unwrap_or(0);
            let (server, loaded) = Server::load(rows, idle + WORKING, settings)?;
            let index_seconds = loaded.index.context("a server has indexes")?;
            let loaded = Loaded { load_seconds: loaded.load, index_seconds };
            return Ok((Made::Server(server), loaded));
        }
        let directory = self.directory.join(store.name());
        let _ = fs::remove_dir_all(&directory);
        let made = Made::Engine { store, directory };
        let loaded = made.program("load", rows, &[])?;
        Ok((made, loaded))
    }

    fn beside_idle(&self) -> Result<Vec<BesideIdle>> {
        let Arguments { stores, sessions, seconds, rounds, .. } = self.arguments;
        let made = stores.iter().map(|store| Ok(self.make(*store, ACCOUNTS, &[])?.0));
        let made = made.collect::<Result<Vec<_>>>()?;
        let works = [
            vec![(Workload::Transfer, WORKING)],
            vec![(Workload::Transfer, WORKING - 1), (Workload::Read, 1)],
        ];
        let mut figures = Vec::new();
        for idle in Idle::ALL {
            for &count in sessions {
                println!("xtask: {count} sessions, {}", idle.name());
                // By store, work and part of it.
                let mut rates =
                    vec![works.each_ref().map(|work| vec![vec![]; work.len()]); made.len()];
                for _ in 0..*rounds {
                    for (made, rates) in made.iter().zip(&mut rates) {
                        let measured = made.run(ACCOUNTS, (idle, count), &works, *seconds)?;
                        for (rates, measured) in rates.iter_mut().zip(measured) {
                            for (rates, rate) in rates.iter_mut().zip(measured) {
                                rates.push(rate);
                            }
                        }
                    }
                }
                for (store, rates) in stores.iter().zip(rates) {
                    for (work, rates) in works.iter().zip(rates) {
                        let is_mixed = work.len() > 1;
                        for (&(workload, _), rates) in work.iter().zip(rates) {
                            let (store, sessions, per_second) = (*store, count, median(rates)?);
                            println!(
                                "xtask:   {:<11}{:<9}{}{per_second:>12.0} a second",
                                store.name(),
                                workload.name(),
                                if is_mixed { " of two" } else { "       " },
                            );
                            figures.push(BesideIdle {
                                idle,
                                sessions,
                                is_mixed,
                                workload,
                                store,
                                per_second,
                            });
                        }
                    }
                }
            }
        }
        Ok(figures)
    }

    fn on_rows(&self) -> Result<(Vec<Load>, Vec<OnRows>)> {
        let Arguments { stores, rows, seconds, rounds, .. } = self.arguments;
        let (mut loads, mut runs) = (Vec::new(), Vec::new());
        let works = [Workload::Read, Workload::Transfer].map(|workload| vec![(workload, WORKING)]);
        for &rows in rows {
            println!("xtask: {rows} rows");
            let times = if rows > ACCOUNTS { 1 } else { *rounds };
            let mut made = Vec::new();
            for &store in stores {
                let mut loaded = Vec::new();
                let mut last = None;
                for _ in 0..times {
                    drop(last.take());
                    let (made, took) = self.make(store, rows, &[])?;
                    loaded.push(took);
                    last = Some(made);
                }
                let of = |seconds: fn(&Loaded) -> f64| median(loaded.iter().map(seconds).collect());
                let load_seconds = of(|loaded| loaded.load_seconds)?;
                let index_seconds = of(|loaded| loaded.index_seconds)?;
                println!(
                    "xtask:   {:<11}load{load_seconds:>9.3} s, index{index_seconds:>9.3} s",
                    store.name()
                );
                loads.push(Load { rows, store, load_seconds, index_seconds });
                made.push(last.context("nothing was loaded")?);
            }
            let mut rates = vec![[vec![], vec![]]; made.len()];
            for _ in 0..*rounds {
                for (made, rates) in made.iter().zip(&mut rates) {
                    made.bring_into_memory()?;
                    let measured = made.run(rows, (Idle::Connected, 0), &works, *seconds)?;
                    for (rates, measured) in rates.iter_mut().zip(measured) {
                        rates.extend(measured);
                    }
                }
            }
            for (&store, rates) in stores.iter().zip(rates) {
                for (work, rates) in works.iter().zip(rates) {
                    let (workload, per_second) = (work[0].0, median(rates)?);
                    println!(
                        "xtask:   {:<11}{:<9}{per_second:>12.0} a second",
                        store.name(),
                        workload.name()
                    );
                    runs.push(OnRows { rows, workload, store, per_second });
                }
            }
        }
        Ok((loads, runs))
    }

    fn beside_reader(&self) -> Result<Vec<BesideReader>> {
        let Arguments { stores, reader_seconds, .. } = self.arguments;
        let mut readers = Vec::new();
        for is_held in [false, true] {
            println!("xtask: {}", if is_held { "a reader that stays" } else { "no reader" });
            for &store in stores {
                let settings = [("autovacuum", "on"), ("autovacuum_naptime", "1s")];
                let (made, _) = self.make(store, ACCOUNTS, &settings)?;
                let watched = match &made {
                    Made::Server(server) => {
                        let seconds = f64::from(*reader_seconds);
                        let looks = (seconds, *reader_seconds);
                        growth_peer::watch(server, WORKING, looks, is_held)?
                    }
                    Made::Engine { .. } => {
                        let milliseconds = (reader_seconds * 1000).to_string();
                        let (looks, threads) = (reader_seconds.to_string(), WORKING.to_string());
                        let reader = if is_held { "held" } else { "none" };
                        made.program("watch", ACCOUNTS, &[&milliseconds, &looks, &threads, reader])?
                    }
                };
                if let Some(last) = watched.samples.last() {
                    println!(
                        "xtask:   {:<11}{:>9} transfers in {:.1} s, {} and {} pages, {} dead versions",
                        store.name(),
                        last.transactions,
                        last.seconds,
                        last.table_pages,
                        last.index_pages,
                        watched.dead_versions
                    );
                }
                readers.push(BesideReader { store, is_held, watched });
            }
        }
        Ok(readers)
    }

    /// The disk alone, by one thread.
    fn fdatasync_per_second(&self) -> Result<f64> {
        let mut command = process::command(release("growth")?);
        let output = process::run(command.arg(&self.directory).arg("disk"))?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn report(&self, machine: &Machine, disk: [f64; 2], figures: Figures) -> Result<()> {
        let Arguments { output, seconds, rounds, reader_seconds, subjects, stores, .. } =
            self.arguments;
        let method = format!(
            "medians of {rounds} rounds of {seconds} s; tables of more than {ACCOUNTS} rows were made once; beside the reader one \
             run of {reader_seconds} s"
        );
        let own = [
            ("peer", format!("PostgreSQL {}", Installation::Debian15.version()?)),
            ("figures", method),
            ("fdatasync a second, before and after", format!("{:.0}, {:.0}", disk[0], disk[1])),
            ("accounts, where rows do not grow", ACCOUNTS.to_string()),
        ];
        // A build that is quicker to make is a slower one to measure.
        let lto = std::env::var("CARGO_PROFILE_RELEASE_LTO").ok();
        let lto = lto.map(|lto| ("link-time optimization, instead of fat", lto));
        let conditions = machine.rows().into_iter().chain(own).chain(lto);
        let conditions = conditions.map(|(name, value)| [name.to_owned(), value]).collect();
        let figures = Figures { conditions, ..figures };
        let has_all = |all: &[u32], some: &[u32]| all.iter().all(|one| some.contains(one));
        let is_whole = subjects.len() == Subject::ALL.len()
            && stores.len() == Store::ALL.len()
            && has_all(&IDLE, &self.arguments.sessions)
            && has_all(&ROWS, &self.arguments.rows);
        let output = is_whole.then_some(output.as_path());
        write_report("growth_report", &figures, &self.directory, output)
    }
}

/// Some parts of work at the same time: what each does, and in how many sessions.
type Work = Vec<(Workload, u32)>;

impl Made {
    /// Runs one work after the other beside idle sessions; how much a second of each part of each.
    fn run(
        &self,
        rows: u32,
        (idle, count): (Idle, u32),
        works: &[Work],
        seconds: f64,
    ) -> Result<Vec<Vec<f64>>> {
        match self {
            Made::Engine { .. } => {
                let milliseconds = (seconds * 1000.0).round().max(1.0).to_string();
                let of_work = |work: &Work| {
                    let parts = work
                        .iter()
                        .map(|(workload, sessions)| format!("{}={sessions}", workload.name()));
                    let own = [milliseconds.clone(), idle.name().to_owned(), count.to_string()];
                    let arguments: Vec<String> = own.into_iter().chain(parts).collect();
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    self.program("run", rows, &arguments)
                };
                works.iter().map(of_work).collect()
            }
            Made::Server(server) => {
                let sessions =
                    (count > 0).then(|| IdleSessions::start(server, idle, count)).transpose()?;
                let of_work = |work: &Work| {
                    server.cluster.psql("CHECKPOINT")?;
                    server.run_together(work, seconds)
                };
                let rates = works.iter().map(of_work).collect::<Result<_>>()?;
                server.check_sums()?;
                if let Some(sessions) = sessions {
                    sessions.end()?;
                    server.cluster.psql("VACUUM account")?;
                }
                Ok(rates)
            }
        }
    }

    /// Reads the files of tables and indexes, so that they are in the system's cache, whatever it has given up while others were measured.
    fn bring_into_memory(&self) -> Result<()> {
        let data_directory = match self {
            Made::Engine { directory, .. } => directory.clone(),
            Made::Server(server) => server.cluster.data_dir(),
        };
        let mut buffer = vec![0; 1 << 20];
        for database in fs::read_dir(data_directory.join("base"))? {
            for file in fs::read_dir(database?.path())? {
                let mut file = File::open(file?.path())?;
                while file.read(&mut buffer)? > 0 {}
            }
        }
        Ok(())
    }

    /// Runs the program on the engine's directory.
    fn program<T: DeserializeOwned>(&self, what: &str, rows: u32, more: &[&str]) -> Result<T> {
        let Made::Engine { store, directory } = self else { anyhow::bail!("it is a server") };
        let mut command = process::command(release("growth")?);
        command.arg(directory).args([what, store.name(), &rows.to_string()]);
        let output = process::run(command.args(more))?;
        let line = String::from_utf8(output.stdout)?;
        serde_json::from_str(&line).with_context(|| format!("not a measurement: {line}"))
    }
}
