//! Recovery: a log that the engine wrote and one that PostgreSQL 15 wrote, each recovered by both.
//!
//! The load is TPC-B, without indexes, which the engine has not: each session knows where its rows are. The engine's runs
//! in the program `recovery` of the crate `bench`, the server's in a procedure. Neither is closed, and the only
//! checkpoint lies before the load. What they leave is copied for each round, and brought to the log's end by either
//! program: buffers, settings and the file system are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::bench::machine;
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::session::Session;
use crate::{process, workspace};

/// Units of 10,000 accounts, and sessions.
const SCALE: u64 = 100;
const SESSIONS: u64 = 2;
/// Pages in memory: 128 MB, PostgreSQL's default.
const BUFFERS: &str = "16384";
/// Rounds with the files in the kernel's memory, and rounds without.
const WARM_ROUNDS: usize = 3;
const COLD_ROUNDS: usize = 1;

/// Settings of every server here: those of a new data directory of the engine, and nothing in the way.
const SETTINGS: [(&str, &str); 7] = [
    ("shared_buffers", "128MB"),
    ("track_commit_timestamp", "on"),
    ("autovacuum", "off"),
    ("max_wal_size", "1TB"),
    ("checkpoint_timeout", "1d"),
    ("synchronous_commit", "off"),
    ("max_logical_replication_workers", "0"),
];

/// How long a recovery took, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// From the first record to the last.
    pub(crate) redo: f64,
    /// From the start of the program until transactions could run: the checkpoint that ends recovery is made.
    pub(crate) all: f64,
}

/// One log, recovered by both.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// Who wrote it.
    pub(crate) writer: &'static str,
    /// Whether the files are in the kernel's memory.
    pub(crate) is_warm: bool,
    /// Bytes of log that were redone.
    pub(crate) log_bytes: f64,
    /// Records.
    pub(crate) records: u64,
    /// Pages restored from images.
    pub(crate) images: u64,
    /// Threads of the engine.
    pub(crate) threads: usize,
    /// The engine with so many threads.
    pub(crate) engine: Times,
    /// The engine with one.
    pub(crate) one_thread: Times,
    /// PostgreSQL.
    pub(crate) peer: Times,
}

impl Recovery {
    /// How many times faster than PostgreSQL the engine redoes this log.
    pub(crate) fn ratio(&self) -> f64 {
        self.peer.redo / self.engine.redo
    }
}

/// What the program prints of a recovery; bench/src/recovery.rs has these fields.
#[derive(Debug, Deserialize)]
struct Recovered {
    log_bytes: f64,
    records: u64,
    images: u64,
    redo_seconds: f64,
    seconds: f64,
}

/// Makes both logs, of so many megabytes, and measures.
pub(crate) fn measure(directory: &Path, megabytes: u64) -> Result<Vec<Recovery>> {
    let place = directory.join("recovery");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(&place)?;
    println!("xtask: the engine writes {megabytes} MB of log");
    let own = place.join("engine");
    let arguments = ["load", &SCALE.to_string(), &megabytes.to_string(), &SESSIONS.to_string()];
    program(&own, &arguments)?;
    let _ = fs::remove_file(own.join("postmaster.pid"));
    println!("xtask: PostgreSQL writes {megabytes} MB of log");
    let server = loaded_server(megabytes)?;
    let logs = [("engine", own), ("PostgreSQL", server.data_dir())];
    let mut all = Vec::new();
    for (writer, data) in &logs {
        for (is_warm, rounds) in [(true, WARM_ROUNDS), (false, COLD_ROUNDS)] {
            let cache = if is_warm { "warm" } else { "cold" };
            println!("xtask: recovering the log of {writer}, {cache} files");
            let rounds: Vec<Recovery> = (0..rounds)
                .map(|_| round(writer, data, &place.join("copy"), is_warm))
                .collect::<Result<_>>()?;
            all.push(median(rounds)?);
        }
    }
    drop(server);
    fs::remove_dir_all(&place)?;
    Ok(all)
}

/// The round with the median ratio.
fn median(mut rounds: Vec<Recovery>) -> Result<Recovery> {
    rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle).context("nothing was measured")
}

/// The engine with all threads, PostgreSQL, the engine with one thread.
fn round(writer: &'static str, data: &Path, copy: &Path, is_warm: bool) -> Result<Recovery> {
    let threads = machine::cores();
    let found = by_engine(data, copy, is_warm, threads)?;
    let peer = by_server(data, is_warm)?;
    let one_thread = by_engine(data, copy, is_warm, 1)?;
    ensure!(found.records == one_thread.records, "threads redo other records");
    let times = |found: &Recovered| Times { redo: found.redo_seconds, all: found.seconds };
    Ok(Recovery {
        writer,
        is_warm,
        log_bytes: found.log_bytes,
        records: found.records,
        images: found.images,
        threads,
        engine: times(&found),
        one_thread: times(&one_thread),
        peer,
    })
}

fn by_engine(data: &Path, copy: &Path, is_warm: bool, threads: usize) -> Result<Recovered> {
    let _ = fs::remove_dir_all(copy);
    let mut cp = process::command("cp");
    process::run(cp.args(["--recursive", "--preserve=mode"]).arg(data).arg(copy))?;
    settle(copy, is_warm)?;
    let printed = program(copy, &["redo", BUFFERS, &threads.to_string()])?;
    serde_json::from_str(&printed).with_context(|| format!("not a measurement: {printed}"))
}

fn by_server(data: &Path, is_warm: bool) -> Result<Times> {
    let settings: Vec<_> = SETTINGS.into_iter().chain([("fsync", "on")]).collect();
    let mut server = Cluster::over_copy_of(Installation::Debian15, data, &settings)?;
    settle(&server.data_dir(), is_warm)?;
    let began = Instant::now();
    server.start()?;
    let all = began.elapsed().as_secs_f64();
    let log = server.log_tail();
    server.stop(Shutdown::Fast)?;
    let line = log.lines().find(|line| line.contains("redo done at"));
    let elapsed = line.and_then(|line| line.rsplit_once("elapsed: "));
    let seconds = elapsed.and_then(|(_, text)| text.trim_end_matches(" s").parse().ok());
    match seconds {
        Some(redo) => Ok(Times { redo, all }),
        None => bail!("PostgreSQL does not say how long redo took:\n{log}"),
    }
}

/// What was copied is written to the disk, and stays in the kernel's memory or not.
fn settle(directory: &Path, is_warm: bool) -> Result<()> {
    process::run(&mut process::command("sync"))?;
    if !is_warm {
        program(directory, &["forget"])?;
    }
    Ok(())
}

fn program(directory: &Path, arguments: &[&str]) -> Result<String> {
    let program: PathBuf = workspace::target_directory()?.join("release/recovery");
    let output = process::run(process::command(program).arg(directory).args(arguments))?;
    Ok(String::from_utf8(output.stdout)?)
}

/// A server that crashed under the load.
fn loaded_server(megabytes: u64) -> Result<Cluster> {
    let mut server = Cluster::create(Installation::Debian15, &["--data-checksums"], &SETTINGS)?;
    server.start()?;
    server.psql(&tables())?;
    let end = server.query_value(&format!(
        "CHECKPOINT; SELECT pg_current_wal_insert_lsn() + {megabytes} * 1000000::numeric"
    ))?;
    let mut sessions = Vec::new();
    for number in 0..SESSIONS {
        let mut session = Session::open(&server, "postgres")?;
        session.send(&format!("CALL load({number}, {SESSIONS}, '{}')", end.trim()))?;
        sessions.push(session);
    }
    sessions.iter_mut().try_for_each(|session| session.wait().map(drop))?;
    drop(sessions);
    // So that all of the log is in its files.
    server.psql("SELECT pg_switch_wal()")?;
    server.crash()?;
    Ok(server)
}

/// The tables, and the load as a procedure.
fn tables() -> String {
    let table = |name, rows: u64| {
        format!(
            "CREATE TABLE {name} AS SELECT g::int4 AS id, 0::int8 AS balance FROM generate_series(0, {}) g;\n",
            rows - 1
        )
    };
    let tables = [("account", 10_000), ("teller", 10), ("branch", 1)];
    let tables: String = tables.iter().map(|(name, rows)| table(name, rows * SCALE)).collect();
    format!("{tables}{LOAD}")
}

/// Rows are changed by where they are, since there is no index; so each session has rows of its own.
const LOAD: &str = "
CREATE TABLE history (session int4, number int8, first int4, second int4, third int4, amount int8);
CREATE PROCEDURE load(who int, sessions int, upto pg_lsn) LANGUAGE plpgsql AS $$
DECLARE
  accounts tid[] := ARRAY(SELECT ctid FROM account WHERE id % sessions = who);
  tellers tid[] := ARRAY(SELECT ctid FROM teller WHERE id % sessions = who);
  branches tid[] := ARRAY(SELECT ctid FROM branch WHERE id % sessions = who);
  a int; t int; b int; n int8 := 0; x int8; at tid;
BEGIN
  LOOP
    n := n + 1;
    a := 1 + floor(random() * cardinality(accounts));
    t := 1 + floor(random() * cardinality(tellers));
    b := 1 + floor(random() * cardinality(branches));
    x := 1 + floor(random() * 99);
    UPDATE account SET balance = balance + x WHERE ctid = accounts[a] RETURNING ctid INTO STRICT at;
    accounts[a] := at;
    UPDATE teller SET balance = balance + x WHERE ctid = tellers[t] RETURNING ctid INTO STRICT at;
    tellers[t] := at;
    UPDATE branch SET balance = balance + x WHERE ctid = branches[b] RETURNING ctid INTO STRICT at;
    branches[b] := at;
    INSERT INTO history VALUES (who, n, a, t, b, x);
    COMMIT;
    EXIT WHEN n % 1000 = 0 AND pg_current_wal_insert_lsn() >= upto;
  END LOOP;
END $$;";
