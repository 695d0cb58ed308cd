//! `cargo xtask bench ext`: the extension `pgstrata` against pg_walinspect, over the same log, in one server, in one run.
//!
//! The page cache is warm, the two take turns (so that a slow moment of the machine meets both), each query has a session
//! of its own, and where both give the same answer the answers are first compared. Time is the client's, from sending a
//! query to having its answer; processor time and memory are the kernel's account of the backend, its threads included.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bench::ext_report;
use crate::bench::machine::Machine;
use crate::bench::measure::{Run, Runs};
use crate::bench::wal_input::{self, Facts, SETTINGS};
use crate::extension::{Extension, PgConfig};
use crate::installation::Installation;
use crate::server::Cluster;
use crate::session::Session;
use crate::setup::{self, Needs};
use crate::workspace;

/// What `cargo xtask bench ext` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Runs of each query.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,

    /// Where the report goes.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/ext.md")]
    output: PathBuf,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// So many times as fast as pg_walinspect.
    Times(f64),
    /// In so many milliseconds.
    Milliseconds(f64),
}

/// One question, asked of both.
#[derive(Debug)]
pub(crate) struct Case {
    /// What it is, for the report.
    pub(crate) name: &'static str,
    /// In SQL; `{start}`, `{end}` and `{relation}`, a filenode, are filled in.
    pub(crate) ours: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) goal: Option<Goal>,
    /// Whether both must give the same rows; else they are the same by another case, and nothing is printed.
    is_compared: bool,
}

macro_rules! statistics {
    ($schema:literal) => {
        concat!(
            "SELECT \"resource_manager/record_type\", count, record_size, fpi_size, combined_size FROM ",
            $schema,
            ".pg_get_wal_stats('{start}', '{end}', true) ORDER BY 1"
        )
    };
}

/// Every column of every record goes through an aggregate; the texts by their length in bytes, since counting their
/// characters would be the server's work.
macro_rules! all_columns {
    ($from:literal) => {
        concat!(
            "SELECT count(start_lsn), max(end_lsn), count(prev_lsn), count(xid), count(resource_manager), \
             count(record_type), sum(record_length), sum(main_data_length), sum(fpi_length), \
             sum(octet_length(description)), sum(octet_length(block_ref)) FROM ",
            $from
        )
    };
}

/// Everything that is measured; the names go into the report.
const CASES: [Case; 8] = [
    Case {
        name: "statistics by record type (`pg_get_wal_stats`)",
        ours: statistics!("strata"),
        peer: statistics!("public"),
        goal: Some(Goal::Times(4.0)),
        is_compared: true,
    },
    Case {
        name: "counting all records",
        ours: "SELECT count(*) FROM strata.wal WHERE start_lsn >= '{start}' AND end_lsn <= '{end}'",
        peer: "SELECT count(*) FROM pg_get_wal_records_info('{start}', '{end}')",
        goal: Some(Goal::Times(15.0)),
        is_compared: true,
    },
    Case {
        name: "all columns of all records, each in an aggregate",
        ours: all_columns!("strata.wal WHERE start_lsn >= '{start}' AND end_lsn <= '{end}'"),
        peer: all_columns!("pg_get_wal_records_info('{start}', '{end}')"),
        goal: Some(Goal::Times(3.0)),
        is_compared: true,
    },
    Case {
        name: "all columns of all records, rows thrown away (`MOVE ALL` of a cursor)",
        ours: "BEGIN; DECLARE rows NO SCROLL CURSOR FOR SELECT * FROM strata.wal \
               WHERE start_lsn >= '{start}' AND end_lsn <= '{end}'; MOVE ALL FROM rows; COMMIT",
        peer: "BEGIN; DECLARE rows NO SCROLL CURSOR FOR SELECT * FROM pg_get_wal_records_info('{start}', '{end}'); \
               MOVE ALL FROM rows; COMMIT",
        goal: Some(Goal::Times(3.0)),
        is_compared: false,
    },
    Case {
        name: "all columns of all records as text (`COPY ... TO '/dev/null'`)",
        ours: "COPY (SELECT * FROM strata.wal WHERE start_lsn >= '{start}' AND end_lsn <= '{end}') TO '/dev/null'",
        peer: "COPY (SELECT * FROM pg_get_wal_records_info('{start}', '{end}')) TO '/dev/null'",
        goal: None,
        is_compared: false,
    },
    Case {
        name: "one relation's records, by their block references (`pgbench_branches`)",
        ours: "SELECT count(*), min(start_lsn), max(start_lsn), sum(record_length) FROM (SELECT DISTINCT ON (start_lsn) \
               start_lsn, record_length FROM strata.wal_block WHERE start_lsn >= '{start}' AND end_lsn <= '{end}' \
               AND relfilenode = {relation}) AS records",
        peer: "SELECT count(*), min(start_lsn), max(start_lsn), sum(record_length) \
               FROM pg_get_wal_records_info('{start}', '{end}') WHERE block_ref LIKE '%/{relation} fork %'",
        goal: Some(Goal::Times(20.0)),
        is_compared: true,
    },
    Case {
        name: "the first ten records (`LIMIT 10`)",
        ours: "SELECT * FROM strata.wal WHERE start_lsn >= '{start}' LIMIT 10",
        peer: "SELECT * FROM pg_get_wal_records_info('{start}', '{end}') LIMIT 10",
        goal: Some(Goal::Milliseconds(20.0)),
        is_compared: true,
    },
    Case {
        name: "the same, with no condition at all",
        ours: "SELECT * FROM strata.wal LIMIT 10",
        peer: "SELECT * FROM pg_get_wal_records_info('{start}', '{end}') LIMIT 10",
        goal: Some(Goal::Milliseconds(20.0)),
        is_compared: false,
    },
];

/// Queries that are cancelled while they run; with threads and without.
const CANCELLED: [&str; 4] = [
    "SELECT max(description) FROM strata.wal",
    "SET max_parallel_workers_per_gather = 0; SELECT max(description) FROM strata.wal",
    "SELECT count(*) FROM strata.wal_block WHERE block_fpi_data IS NULL",
    "SET max_parallel_workers_per_gather = 0; SELECT * FROM strata.pg_get_wal_stats('{start}', '{end}')",
];

/// How long a query ran on after it was cancelled.
#[derive(Debug)]
pub(crate) struct Cancelled {
    /// The query.
    pub(crate) query: &'static str,
    /// From sending the cancel to having the error, in each run.
    pub(crate) waits: Vec<Duration>,
}

impl Cancelled {
    /// The longest wait, in seconds.
    pub(crate) fn longest(&self) -> f64 {
        self.waits.iter().max().map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// What one case took.
#[derive(Debug)]
pub(crate) struct Measured {
    /// What was measured.
    pub(crate) case: &'static Case,
    /// pg_walinspect.
    pub(crate) peer: Runs,
    /// pgstrata with `max_parallel_workers_per_gather = 0`: in the backend's own thread.
    pub(crate) one_thread: Runs,
    /// pgstrata as it is.
    pub(crate) ours: Runs,
}

/// Writes the log, measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::EXTENSION)?;
    // Looked at before the build and the making of the log, which load the machine themselves.
    let machine = Machine::before_measuring();
    let installation = Installation::Debian15;
    let pg_config = PgConfig::of(installation)?;
    let extension = Extension::build(&pg_config)?;
    let mut cluster = Cluster::create(installation, &[], &SETTINGS)?;
    extension.stage_for(&pg_config, &mut cluster)?;
    cluster.start()?;
    println!("xtask: writing more than 1.5 GB of WAL; this takes a minute or two");
    let facts = wal_input::write_into(&cluster, &installation.version()?)?;
    cluster.psql("CREATE EXTENSION pgstrata; CREATE EXTENSION pg_walinspect;")?;
    let bench = Bench {
        relation: cluster.query_value("SELECT pg_relation_filenode('pgbench_branches')")?,
        cluster,
        facts,
    };
    let mut all = Vec::new();
    for case in &CASES {
        println!("xtask: {}", case.name);
        let measured = bench.measure(case, arguments.runs)?;
        println!(
            "xtask:   pg_walinspect {:.3} s, pgstrata {:.3} s, on one thread {:.3} s",
            measured.peer.median(),
            measured.ours.median(),
            measured.one_thread.median(),
        );
        all.push(measured);
    }
    println!("xtask: cancelling");
    let cancelled: Result<Vec<Cancelled>> =
        CANCELLED.iter().map(|query| bench.cancel(query, arguments.runs)).collect();
    let peer = installation.version()?;
    let text = ext_report::write(&machine, &peer, &bench.facts, arguments.runs, &all, &cancelled?);
    let output = workspace::directory().join(&arguments.output);
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&output, text).with_context(|| format!("cannot write {}", output.display()))?;
    println!("xtask: wrote {}", output.display());
    Ok(())
}

struct Bench {
    cluster: Cluster,
    facts: Facts,
    relation: String,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Peer,
    OneThread,
    Ours,
}

impl Bench {
    fn measure(&self, case: &'static Case, runs: u32) -> Result<Measured> {
        if case.is_compared {
            let answer = self.ask(case, Who::Peer)?.0;
            ensure!(!answer.is_empty(), "{} has no answer", case.name);
            for who in [Who::OneThread, Who::Ours] {
                let ours = self.ask(case, who)?.0;
                ensure!(
                    ours == answer,
                    "{}: the answers differ:\n{answer}\nand\n{ours}",
                    case.name
                );
            }
        }
        let mut measured = Measured {
            case,
            peer: Runs::default(),
            one_thread: Runs::default(),
            ours: Runs::default(),
        };
        for _ in 0..runs {
            measured.peer.add(self.ask(case, Who::Peer)?.1);
            measured.one_thread.add(self.ask(case, Who::OneThread)?.1);
            measured.ours.add(self.ask(case, Who::Ours)?.1);
        }
        Ok(measured)
    }

    /// Lets a query run for a while, cancels it, and waits for its error.
    fn cancel(&self, query: &'static str, runs: u32) -> Result<Cancelled> {
        const RUNNING: Duration = Duration::from_millis(150);
        let mut canceller = Session::open(&self.cluster, "postgres")?;
        let mut waits = Vec::new();
        for _ in 0..runs {
            let mut session = Session::open(&self.cluster, "postgres")?;
            let pid = session.run("SELECT pg_backend_pid()")?;
            session.send(&self.filled_in(query))?;
            std::thread::sleep(RUNNING);
            canceller.send(&format!("SELECT pg_cancel_backend({})", pid.trim()))?;
            let began = Instant::now();
            let end = session.wait();
            waits.push(began.elapsed());
            canceller.wait()?;
            let error = end.err().with_context(|| format!("it ended uncancelled: {query}"))?;
            ensure!(format!("{error:#}").contains("canceling statement"), "{query}: {error:#}");
        }
        Ok(Cancelled { query, waits })
    }

    fn query(&self, case: &Case, who: Who) -> String {
        self.filled_in(if who == Who::Peer { case.peer } else { case.ours })
    }

    fn filled_in(&self, query: &str) -> String {
        query
            .replace("{start}", &self.facts.start)
            .replace("{end}", &self.facts.end)
            .replace("{relation}", &self.relation)
    }

    /// Asks in a session of its own; returns the answer, and what it took.
    fn ask(&self, case: &Case, who: Who) -> Result<(String, Run)> {
        let mut session = Session::open(&self.cluster, "postgres")?;
        if who == Who::OneThread {
            session.run("SET max_parallel_workers_per_gather = 0")?;
        }
        let pid = session.run("SELECT pg_backend_pid()")?;
        let pid: u32 = pid.trim().parse().context("a process id that is no number")?;
        let query = self.query(case, who);
        let before = processor_time(pid)?;
        let began = Instant::now();
        let answer = session.run(&query)?;
        let wall = began.elapsed();
        let run = Run {
            wall,
            processor: processor_time(pid)?.saturating_sub(before),
            peak_resident: peak_resident(pid)?,
        };
        Ok((answer, run))
    }
}

/// User and system time of a process and its threads, those that have ended included.
fn processor_time(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = ticks(&text).with_context(|| format!("/proc/{pid}/stat has no times"))?;
    Ok(Duration::from_millis(ticks * 1000 / ticks_per_second()))
}

/// Fields 14 and 15 of /proc/PID/stat; the name before them may have spaces.
fn ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[expect(unsafe_code)]
fn ticks_per_second() -> u64 {
    // SAFETY: it takes any number and touches no memory of ours.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).unwrap_or(100)
}

/// The peak of resident memory in bytes: shared memory and the mapped program included.
fn peak_resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("/proc/{pid}/status has no VmHWM"))? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_behind_the_name() {
        let stat = "4711 (postgres: a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("4711 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let pid = std::process::id();
        assert!(peak_resident(pid).expect("a peak") > 1 << 20);
        processor_time(pid).expect("times");
    }
}
