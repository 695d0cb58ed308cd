//! `cargo xtask visibility`: on servers under load, what our visibility rules, snapshot, horizons and `procs()` say against
//! what the server's own functions and views say.
//!
//! ```text
//! pgbench, 10 sessions: HOT and other updates, key changes, locks, multixacts, subtransactions, more of them than a slot
//! |                     holds, aborts, prepared transactions, speculative insertions, catalog changes, VACUUM
//! two comparers: change rows of their own, take part in the others' locks, then judge every version of every table twice
//! ```
//!
//! Each server is asked three times, from three points on: its first transaction ids, ids that pass 2^31, and ids that pass
//! 2^32 while it is asked.
//!
//! Invariants: no disagreement passes; and each of a list of made-up faults must be noticed, or the comparison proves
//! nothing. The functions that call the server's own are in a library of their own build (feature `test-functions`), never in
//! what is installed.

mod xids;

use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::extension::{Extension, PgConfig};
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::{process, regress, workspace};
use xids::Start;

/// What `cargo xtask visibility` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// In the server of this major alone: 15, 17 or 18.
    #[arg(long)]
    major: Option<u32>,

    /// From this start alone.
    #[arg(long, value_enum)]
    start: Option<Start>,

    /// Cases (a version, judged by one rule) for each server and each of its three starts.
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
}

/// The short form's cases, for each server.
const FEW: u64 = 30_000;

/// What the servers are told.
const SETTINGS: [(&str, &str); 7] = [
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "4GB"),
    ("max_prepared_transactions", "30"),
    // A commit's hint is withheld while its record is not flushed: that is to happen, too.
    ("synchronous_commit", "off"),
    // Few pages, so that transactions' states are read from disk at times.
    ("shared_buffers", "4MB"),
    ("deadlock_timeout", "100ms"),
];

/// The load: a script of `pgext/tests/visibility`, and how often it is drawn.
const LOAD: [(&str, u32); 8] = [
    ("load_hot", 6),
    ("load_index", 3),
    ("load_keys", 3),
    ("load_locks", 6),
    ("load_subtransactions", 6),
    ("load_overflow", 2),
    ("load_prepared", 4),
    ("load_housekeeping", 1),
];

const COMPARERS: u32 = 2;

/// `cargo xtask visibility`
pub(crate) fn visibility(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::TESTS)?;
    let mut all = Tally::default();
    for installation in regress::INSTALLATIONS {
        if arguments.major.is_some_and(|major| major != installation.major()) {
            continue;
        }
        let extension = Comparable::build(installation)?;
        for start in Start::value_variants() {
            if arguments.start.is_some_and(|wanted| wanted != *start) {
                continue;
            }
            all.add(extension.compare(*start, arguments.cases)?);
        }
    }
    ensure!(all.cases() > 0, "the extension is compared in PostgreSQL 15, 17 and 18");
    println!("{}", all.table());
    println!("xtask: {} cases in all, {} disagreements", all.cases(), all.disagreements());
    Ok(())
}

/// The short form: one start for each server.
pub(crate) fn short() -> Result<()> {
    let starts = [Start::Below2To32, Start::Below2To31, Start::First];
    for (installation, start) in regress::INSTALLATIONS.into_iter().zip(starts) {
        Comparable::build(installation)?.compare(start, FEW)?;
    }
    Ok(())
}

/// An extension that can be asked for what the server's own functions say.
struct Comparable {
    installation: Installation,
    pg_config: PgConfig,
    extension: Extension,
}

impl Comparable {
    fn build(installation: Installation) -> Result<Self> {
        let pg_config = PgConfig::of(installation)?;
        let extension = Extension::build_with(&pg_config, &["test-functions"])?;
        Ok(Self { installation, pg_config, extension })
    }

    /// Compares on a new server until so many cases have been judged, and then with every fault.
    fn compare(&self, start: Start, cases: u64) -> Result<Tally> {
        let began = Instant::now();
        let mut cluster = Cluster::create(self.installation, &["--data-checksums"], &SETTINGS)?;
        self.extension.stage_for(&self.pg_config, &mut cluster)?;
        start.prepare(&mut cluster)?;
        cluster.configure(&[("track_commit_timestamp", "on")])?;
        cluster.start()?;
        cluster.psql("CREATE DATABASE visibility")?;
        cluster.psql_in("visibility", &read("schema")?)?;
        let load = Load::start(&cluster)?;
        let tally = compare(&cluster, cases, start)?;
        find_faults(&cluster)?;
        load.stop()?;
        tally.check()?;
        without_commit_times(&mut cluster)?;
        println!(
            "xtask: visibility in {}, {start}: {} cases, {} disagreements, {} unsteady, every fault found; {:.1} s",
            self.installation.major(),
            tally.cases(),
            tally.disagreements(),
            tally.unsteady(),
            began.elapsed().as_secs_f64()
        );
        Ok(tally)
    }
}

fn read(script: &str) -> Result<String> {
    let path = workspace::directory().join(format!("pgext/tests/visibility/{script}.sql"));
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// An error that the server gives by itself, about once in ten million cases here: whether an updater conflicts with a lock
/// it asks the commit log, in which the updater may be aborted already, and whether it is to be kept in the new multixact it asks
/// the process array, which the updater may not have left yet. The session that meets it ends, the others go on.
const SERVERS_OWN_RACE: &str = "new multixact has more than one updating member";

/// pgbench, which loads a server until it is dropped.
struct Load {
    pgbench: Child,
}

impl Load {
    fn start(cluster: &Cluster) -> Result<Self> {
        let mut pgbench = cluster.client("pgbench")?;
        // What is only to be known would fill the pipe that errors come through.
        pgbench.env("PGOPTIONS", "-c client_min_messages=error");
        pgbench.args([
            "--no-vacuum",
            "--client=10",
            "--jobs=1",
            "--time=86400",
            "--random-seed=15",
        ]);
        pgbench.arg("--max-tries=0");
        let directory = workspace::directory().join("pgext/tests/visibility");
        for (script, weight) in LOAD {
            let path = directory.join(format!("{script}.sql"));
            pgbench.arg(format!("--file={}@{weight}", path.display()));
        }
        let pgbench = pgbench
            .arg("visibility")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run pgbench")?;
        Ok(Self { pgbench })
    }

    /// Fails if a session of it had ended by itself.
    fn stop(mut self) -> Result<()> {
        let ended = self.pgbench.try_wait()?;
        let _ = self.pgbench.kill();
        let mut said = String::new();
        if let Some(mut stderr) = self.pgbench.stderr.take() {
            let _ = std::io::Read::read_to_string(&mut stderr, &mut said);
        }
        let said = process::last_lines(&said, 10);
        if let Some(status) = ended {
            bail!("the load ended ({status}): {said}");
        }
        let is_ours = |line: &&str| line.contains("aborted") && !line.contains(SERVERS_OWN_RACE);
        ensure!(said.lines().find(is_ours).is_none(), "a session of the load ended: {said}");
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.pgbench.kill();
        let _ = self.pgbench.wait();
    }
}

/// Lets the comparers judge until there are enough cases and the ids are past the boundary.
fn compare(cluster: &Cluster, cases: u64, start: Start) -> Result<Tally> {
    let all = Mutex::new(Tally::default());
    let began = Instant::now();
    let is_enough = || -> Result<bool> {
        let (found, is_covered) =
            all.lock().map_or((0, false), |all| (all.cases(), all.missing().is_none()));
        ensure!(
            began.elapsed() < GIVE_UP,
            "so long, and what is to be compared has not all come up"
        );
        Ok(found >= cases && is_covered && start.is_passed(cluster)?)
    };
    std::thread::scope(|scope| {
        let comparers: Vec<_> = (0..COMPARERS)
            .map(|comparer| {
                let (all, is_enough) = (&all, &is_enough);
                scope.spawn(move || -> Result<()> {
                    let mut round = 0;
                    while !is_enough()? {
                        let tally = judge(cluster, &rounds(comparer, round, None))?;
                        if let Ok(mut all) = all.lock() {
                            all.add(tally);
                        }
                        round += ROUNDS;
                    }
                    Ok(())
                })
            })
            .collect();
        comparers.into_iter().try_for_each(|comparer| match comparer.join() {
            Ok(result) => result,
            Err(_) => bail!("a comparer panicked"),
        })
    })?;
    all.into_inner().map_err(|_| anyhow::anyhow!("a comparer panicked"))
}

/// Runs a comparer's SQL to its end.
fn judge(cluster: &Cluster, sql: &str) -> Result<Tally> {
    match cluster.psql_in("visibility", sql) {
        Ok(printed) => Tally::parse(&printed),
        Err(error) if format!("{error:#}").contains(SERVERS_OWN_RACE) => Ok(Tally::default()),
        Err(error) => Err(error),
    }
}

/// A server that keeps no commit times says so where they are asked for, and judges all the same where they are not.
fn without_commit_times(cluster: &mut Cluster) -> Result<()> {
    cluster.stop(Shutdown::Fast)?;
    cluster.configure(&[("track_commit_timestamp", "off")])?;
    cluster.start()?;
    let asked = [
        "SELECT * FROM strata.heap_as_of('strata_test.subject', now())",
        "SELECT * FROM strata.explain_block_visibility('strata_test.subject', 0, now())",
    ];
    for sql in asked {
        match cluster.psql_in("visibility", sql) {
            Err(error) if format!("{error:#}").contains("keeps no commit times") => {}
            Err(error) => return Err(error.context("without commit times, another error")),
            Ok(_) => bail!("without commit times this is answered: {sql}"),
        }
    }
    let explained = cluster.psql_in(
        "visibility",
        "SELECT count(*) > 0 FROM strata.explain_block_visibility('strata_test.subject', 0)",
    )?;
    ensure!(explained.trim() == "t", "without commit times nothing is explained");
    Ok(())
}

/// How long the comparers may take.
const GIVE_UP: Duration = Duration::from_secs(1200);

/// What must have come up: a row of the tally each.
const COVERED: [(&str, &str); 19] = [
    ("version", "multixact of lockers"),
    ("version", "multixact with an updater"),
    ("version", "HOT updated"),
    ("version", "heap only"),
    ("version", "without hints"),
    ("version", "own, combo command id"),
    ("version", "inserted by a subtransaction"),
    ("version", "ended or locked by a subtransaction"),
    ("snapshot", "running, overflowed"),
    ("snapshot", "running, with subtransactions"),
    ("procs: xid", "same"),
    ("procs: xmin", "same"),
    ("procs: prepared", "same"),
    ("dirty", "visible, N ends it"),
    ("dirty", "visible, N inserts it"),
    ("update", "self modified"),
    ("update", "being modified"),
    ("vacuum", "delete in progress"),
    ("vacuum", "recently dead"),
];

/// Faults that must be noticed, each with the rule by which it is looked for.
const FAULTS: [&str; 10] = [
    "own subtransactions",
    "nobody runs",
    "lockers update",
    "no members",
    "combo exchanged",
    "snapshot loses one",
    "snapshot loses subtransactions",
    "horizon too new",
    "horizon too old",
    "hints",
];
const PROCS_FAULTS: [&str; 3] = ["no xids", "xmin for xid", "another xid"];

/// How often a fault is looked for before it counts as not found.
const PATIENCE: u32 = 200;

/// Lets our side lie in one respect after the other.
fn find_faults(cluster: &Cluster) -> Result<()> {
    for fault in FAULTS.into_iter().chain(PROCS_FAULTS) {
        let is_procs = PROCS_FAULTS.contains(&fault);
        let mut found = false;
        for attempt in 0..PATIENCE {
            let sql = if is_procs {
                format!("SELECT * FROM strata_test.compare_procs('{fault}');")
            } else {
                rounds(COMPARERS, attempt * ROUNDS, Some(fault))
            };
            let tally = judge(cluster, &sql)?;
            found = tally.check().is_err();
            if found {
                break;
            }
        }
        ensure!(found, "with the fault \"{fault}\" nothing differs: the comparison proves nothing");
    }
    Ok(())
}

/// Transactions of one psql of a comparer.
const ROUNDS: u32 = 8;

/// What a comparer does in some rounds. Its own rows are those of ids from 10,000 on that nobody else touches.
fn rounds(comparer: u32, first_round: u32, fault: Option<&str>) -> String {
    let fault = fault.map_or_else(|| "NULL".to_owned(), |fault| format!("'{fault}'"));
    let first = 10_000 * (comparer + 1);
    let look = format!(
        "SELECT c.* FROM strata_test.tables() AS t, strata_test.compare_visibility(t, {fault}) AS c;\n\
         SELECT * FROM strata_test.compare_snapshot({fault});\nSELECT * FROM strata_test.compare_procs();\n"
    );
    let mut sql = format!(
        "SELECT setseed({});\nCREATE TEMPORARY TABLE own (id int4);\n",
        f64::from(first_round % 1000) / 1000.0
    );
    sql = sql.replace("SELECT setseed", "\\o /dev/null\nSELECT setseed") + "\\o\n";
    for round in first_round..first_round + ROUNDS {
        let isolation = if round % 3 == 2 { "REPEATABLE READ" } else { "READ COMMITTED" };
        sql += &format!("BEGIN ISOLATION LEVEL {isolation};\n");
        // In REPEATABLE READ the snapshot is taken here, and grows old.
        sql += "DO $$ BEGIN PERFORM count(*) FROM strata_test.subject; PERFORM pg_sleep(0.003); END $$;\n";
        sql += &format!(
            "DELETE FROM strata_test.subject WHERE id BETWEEN {first} AND {first} + 99;\n\
             INSERT INTO strata_test.subject SELECT n, 0, 'own', NULL FROM generate_series({first}, {first} + 9) AS n;\n\
             UPDATE strata_test.subject SET note = 'own, updated' WHERE id = {first} + 1;\n\
             SAVEPOINT gone;\n\
             UPDATE strata_test.subject SET note = 'gone' WHERE id IN ({first} + 2, {first} + 3);\n\
             DELETE FROM strata_test.subject WHERE id = {first} + 4;\n\
             INSERT INTO strata_test.subject VALUES ({first} + 10, 0, 'gone', repeat('gone', 800));\n\
             ROLLBACK TO SAVEPOINT gone;\n\
             SAVEPOINT kept;\n\
             UPDATE strata_test.subject SET tag = 1 WHERE id IN ({first} + 5, {first} + 6);\n\
             DELETE FROM strata_test.subject WHERE id = {first} + 7;\n\
             DO $$ BEGIN PERFORM FROM strata_test.subject WHERE id = {first} + 8 FOR SHARE; END $$;\n"
        );
        if round % 2 == 0 {
            sql += "RELEASE SAVEPOINT kept;\n";
        }
        if isolation == "READ COMMITTED" {
            sql += "CALL strata_test.take_part();\n";
        }
        sql += &look;
        match round % 4 {
            0 => {
                sql += &format!(
                    "SELECT c.* FROM strata_test.change_meanwhile({first}) AS t, \
                     strata_test.compare_visibility(t, {fault}) AS c;\n"
                );
            }
            1 => {
                sql += &format!(
                    "INSERT INTO own VALUES (1), (2); DELETE FROM own WHERE id = 2;\n\
                     SELECT * FROM strata_test.compare_visibility('own', {fault});\n"
                );
            }
            2 if round % 8 == 2 => {
                sql += &format!(
                    "SELECT * FROM strata_test.compare_visibility('pg_class', {fault});\n\
                     SELECT * FROM strata_test.compare_visibility('pg_database', {fault});\n"
                );
            }
            _ => {}
        }
        sql += if round % 5 == 4 { "ROLLBACK;\n" } else { "COMMIT;\n" };
        // Outside of a transaction of its own.
        sql += &look;
    }
    sql
}

/// Disagreements that are shown.
const SHOWN: usize = 10;

/// Cases, unsteady cases and disagreements, by what was compared and what both sides said.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<(String, String), [u64; 3]>,
    /// Disagreements, one of each answer that held some.
    examples: Vec<String>,
}

impl Tally {
    fn parse(printed: &str) -> Result<Self> {
        let mut tally = Self::default();
        for line in printed.lines().filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [rule, verdict, cases, unsteady, disagreements, example] = fields[..] else {
                bail!("a comparer printed {line:?}");
            };
            let counts = tally.counts.entry((rule.to_owned(), verdict.to_owned())).or_default();
            for (count, text) in counts.iter_mut().zip([cases, unsteady, disagreements]) {
                *count += text.parse::<u64>().with_context(|| format!("in {line:?}"))?;
            }
            if !example.is_empty() {
                tally.examples.push(example.to_owned());
            }
        }
        Ok(tally)
    }

    fn add(&mut self, other: Self) {
        for (what, counts) in other.counts {
            let mine = self.counts.entry(what).or_default();
            mine.iter_mut().zip(counts).for_each(|(mine, count)| *mine += count);
        }
        self.examples.extend(other.examples);
    }

    fn sum(&self, place: usize) -> u64 {
        self.counts.values().map(|counts| counts[place]).sum()
    }

    /// Versions judged by a rule: not what is compared beside them.
    fn cases(&self) -> u64 {
        let beside = |rule: &str| {
            rule.starts_with("procs") || ["snapshot", "horizon", "version"].contains(&rule)
        };
        self.counts.iter().filter(|((rule, _), _)| !beside(rule)).map(|(_, counts)| counts[0]).sum()
    }

    fn unsteady(&self) -> u64 {
        self.sum(1)
    }

    fn disagreements(&self) -> u64 {
        self.sum(2)
    }

    fn count(&self, rule: &str, verdict: &str) -> u64 {
        self.counts.get(&(rule.to_owned(), verdict.to_owned())).map_or(0, |counts| counts[0])
    }

    /// Fails at a disagreement, and where too much could not be compared.
    fn check(&self) -> Result<()> {
        if !self.examples.is_empty() {
            let examples = &self.examples[..self.examples.len().min(SHOWN)];
            bail!("{} disagreements, such as\n{}", self.disagreements(), examples.join("\n"));
        }
        ensure!(self.disagreements() == 0, "{} disagreements", self.disagreements());
        for (rule, times) in [
            ("procs: xid", 10),
            ("procs: xmin", 1),
            ("procs: prepared", 2),
            ("procs: database", 10),
            ("procs: role", 10),
        ] {
            let (same, unsteady) = (self.count(rule, "same"), self.count(rule, "unsteady"));
            ensure!(
                same >= times * unsteady,
                "{rule}: {same} the same and {unsteady} that came or went meanwhile"
            );
        }
        Ok(())
    }

    /// Something that has not come up yet.
    fn missing(&self) -> Option<(&'static str, &'static str)> {
        COVERED.into_iter().find(|(rule, verdict)| self.count(rule, verdict) == 0)
    }

    fn table(&self) -> String {
        let mut text = String::from(
            "what             both say                                        cases  unsteady\n",
        );
        for ((rule, verdict), [cases, unsteady, _]) in &self.counts {
            text += &format!("{rule:<16} {verdict:<44} {cases:>9} {unsteady:>9}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "mvcc\tvisible\t10\t0\t0\t\nmvcc\tdifferent\t1\t0\t1\tours a; theirs b\n";

    #[test]
    fn a_disagreement_does_not_pass() {
        let tally = Tally::parse(PRINTED).expect("two rows");
        assert_eq!((tally.cases(), tally.disagreements()), (11, 1));
        let error = tally.check().expect_err("a disagreement");
        assert!(error.to_string().contains("ours a; theirs b"), "{error}");
    }

    #[test]
    fn what_nobody_can_compare_is_not_agreement() {
        let tally = Tally::parse("procs: xid\tsame\t10\t0\t0\t\nprocs: xid\tunsteady\t2\t2\t0\t\n")
            .expect("two rows");
        assert!(tally.check().is_err());
    }

    #[test]
    fn what_is_not_a_row_is_an_error() {
        assert!(Tally::parse("NOTICE\n").is_err());
    }
}
