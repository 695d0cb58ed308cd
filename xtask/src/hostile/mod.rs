//! Hostile use of the extension: every function and table that the catalog has in the schema `strata`, called with NULLs,
//! extremes and what is there but not meant, stopped by time-outs, cancels, LIMIT and errors in the middle, by roles that
//! may and roles that may not.
//!
//! What must hold: no session dies; no error is an internal one (XX000: a panic is one); who has no privilege is refused;
//! and after 1,000 calls a backend's memory is what it was after the 1,000 before.
//!
//! The functions are read from `pg_proc`, so one that is added later is called, too. That the driver notices what it is to
//! notice is shown in every run: it is given a function that kills its backend, one with an internal error, one that keeps
//! memory, and one that anybody may call.

mod values;

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;

use crate::server::Cluster;
use crate::session::Session;

/// Calls after which a backend's memory is looked at.
const CALLS_FOR_MEMORY: u64 = 1000;
/// By how much it may differ, in bytes: 1 kB a call.
const MEMORY_SLACK: u64 = 1024 * CALLS_FOR_MEMORY;
/// Different calls among them.
const CALLS_TO_REPEAT: u64 = 125;

/// A function, or a table.
#[derive(Debug, Clone)]
struct Target {
    name: String,
    /// Types of its arguments; `None` for a table.
    arguments: Option<Vec<String>>,
}

/// Where and with what random numbers.
#[derive(Debug)]
struct Driver<'a> {
    cluster: &'a Cluster,
    targets: Vec<Target>,
    random: Rng,
    session: Session,
}

/// Makes `calls` random calls in a running cluster whose server finds the extension, and measures memory.
pub(crate) fn run(cluster: &Cluster, calls: u64, seed: u64) -> Result<()> {
    cluster.psql("CREATE DATABASE hostile")?;
    cluster.psql_in("hostile", PREPARATION)?;
    // Its temporary table is another session's for the one that calls.
    let mut other = Session::open(cluster, "hostile")?;
    other.run("CREATE TEMP TABLE theirs AS SELECT 1 AS i; INSERT INTO hostile.of_others SELECT 'theirs'::regclass::oid")?;
    let mut driver = Driver::new(cluster, seed)?;
    let functions = driver.targets.iter().filter(|target| target.arguments.is_some()).count();
    for _ in 0..calls {
        driver.call()?;
    }
    let growth = driver.memory_growth()?;
    println!(
        "xtask:   {calls} hostile calls of {functions} functions and {} tables; memory {growth:+} kB after {CALLS_FOR_MEMORY} more",
        driver.targets.len() - functions
    );
    prove(cluster, seed)?;
    drop(other);
    cluster.psql("DROP DATABASE hostile WITH (FORCE)")?;
    cluster.psql("DROP ROLE hostile_nobody")?;
    Ok(())
}

/// The objects that arguments name, and `answer`, which tells how a call ends and ends none itself.
const PREPARATION: &str = "
    CREATE EXTENSION pgstrata;
    CREATE ROLE hostile_nobody;
    CREATE SCHEMA hostile;
    GRANT USAGE ON SCHEMA strata, hostile TO hostile_nobody;
    CREATE TABLE hostile.dropped (oid oid);
    CREATE TABLE hostile.of_others (oid oid);
    GRANT SELECT ON hostile.dropped, hostile.of_others TO PUBLIC;
    CREATE TABLE hostile.plain (i int PRIMARY KEY, t text);
    INSERT INTO hostile.plain SELECT i, repeat(md5(i::text), 1 + i % 200) FROM generate_series(1, 2000) AS i;
    UPDATE hostile.plain SET i = -i WHERE i % 3 = 0;
    DELETE FROM hostile.plain WHERE i % 5 = 0;
    CREATE VIEW hostile.view AS SELECT 1 AS i;
    CREATE MATERIALIZED VIEW hostile.materialized AS SELECT 1 AS i;
    CREATE SEQUENCE hostile.sequence;
    CREATE UNLOGGED TABLE hostile.unlogged AS SELECT 1 AS i;
    CREATE TABLE hostile.partitioned (i int) PARTITION BY RANGE (i);
    CREATE TYPE hostile.composite AS (i int);
    CREATE TABLE hostile.gone (i int);
    INSERT INTO hostile.dropped SELECT 'hostile.gone'::regclass::oid;
    DROP TABLE hostile.gone;
    CREATE FUNCTION hostile.near_end() RETURNS pg_lsn LANGUAGE sql AS
        'SELECT pg_current_wal_flush_lsn() - 20000::numeric';
    CREATE FUNCTION hostile.answer(query text, role text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE found text;
    BEGIN
        EXECUTE format('SET LOCAL ROLE %I', role);
        EXECUTE query INTO found;
        RESET ROLE;
        RETURN 'rows ' || coalesce(found, 'NULL');
    EXCEPTION WHEN query_canceled OR OTHERS THEN
        RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, E'\\\\s+', ' ', 'g');
    END $$;
    CREATE FUNCTION hostile.repeat(queries text[], times int) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE query text;
    BEGIN
        FOR i IN 1..times LOOP
            FOREACH query IN ARRAY queries LOOP
                PERFORM hostile.answer(query, 'postgres');
            END LOOP;
        END LOOP;
    END $$;";

/// Functions and tables of the schema.
const TARGETS: &str = "
    SELECT p.oid::regproc::text, (SELECT coalesce(string_agg(format_type(t, NULL), ',' ORDER BY n), '')
        FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n))
    FROM pg_proc AS p WHERE p.pronamespace = 'strata'::regnamespace
    UNION ALL
    SELECT oid::regclass::text, 'table' FROM pg_class WHERE relnamespace = 'strata'::regnamespace AND relkind IN ('f', 'r', 'v')
    ORDER BY 1, 2";

impl<'a> Driver<'a> {
    fn new(cluster: &'a Cluster, seed: u64) -> Result<Self> {
        let rows = cluster.psql_in("hostile", TARGETS)?;
        let mut targets = Vec::new();
        for line in rows.lines() {
            let (name, arguments) = line.split_once('\t').context("a row of two columns")?;
            let split = || arguments.split(',').filter(|one| !one.is_empty()).map(str::to_owned);
            let arguments = (arguments != "table").then(|| split().collect());
            targets.push(Target { name: name.to_owned(), arguments });
        }
        ensure!(targets.len() > 3, "there is next to nothing in the schema strata");
        let session = Session::open(cluster, "hostile")?;
        Ok(Self { cluster, targets, random: Rng::with_seed(seed), session })
    }

    fn source(&mut self, is_cheap: bool) -> String {
        let target = self.random.usize(..self.targets.len());
        let Target { name, arguments } = self.targets[target].clone();
        let Some(types) = arguments else { return self.table(&name, is_cheap) };
        let values: Vec<String> = types
            .iter()
            .enumerate()
            .map(|(place, sql_type)| match is_cheap {
                true => values::cheap(sql_type, place, &mut self.random),
                false => values::hostile(sql_type, &mut self.random),
            })
            .collect();
        format!("{name}({})", values.join(", "))
    }

    fn table(&mut self, name: &str, is_cheap: bool) -> String {
        const OPERATORS: [&str; 6] = ["<", "<=", "=", ">=", ">", "<>"];
        let random = &mut self.random;
        let operator = |random: &mut Rng| OPERATORS[random.usize(..6)];
        let mut conditions = Vec::new();
        if is_cheap {
            conditions.push("start_lsn >= hostile.near_end()".to_owned());
        }
        for _ in 0..random.u64(..4) {
            let column =
                ["start_lsn", "end_lsn", "xid", "record_length", "resource_manager", "description"]
                    [random.usize(..6)];
            conditions.push(match column {
                "xid" => format!("xid = {}", values::hostile("xid", random)),
                "record_length" => {
                    format!(
                        "record_length {} {}",
                        operator(random),
                        values::hostile("bigint", random)
                    )
                }
                "resource_manager" | "description" => {
                    format!("{column} {} {}", operator(random), values::hostile("text", random))
                }
                column => {
                    format!("{column} {} {}", operator(random), values::hostile("pg_lsn", random))
                }
            });
        }
        let place = if conditions.is_empty() { "" } else { " WHERE " };
        format!("(SELECT * FROM {name}{place}{}) AS t", conditions.join(" AND "))
    }

    /// A query around it, with one value as its answer: all rows, some, an error at one of them, again and again.
    fn query(&mut self, is_cheap: bool) -> String {
        let source = self.source(is_cheap);
        let rows = 1 + self.random.u64(..40);
        match self.random.u64(..if is_cheap { 2 } else { 4 }) {
            0 => format!("SELECT count(x) FROM (SELECT * FROM {source}) AS x"),
            1 => format!("SELECT count(x) FROM (SELECT * FROM {source} LIMIT {rows}) AS x"),
            2 => format!(
                "SELECT sum(1 / (k - {rows})) FROM (SELECT row_number() OVER () AS k FROM {source}) AS x"
            ),
            _ => format!(
                "SELECT count(x) FROM generate_series(1, 3) AS i, LATERAL (SELECT i, * FROM {source} OFFSET 0) AS x"
            ),
        }
    }

    fn call(&mut self) -> Result<()> {
        const TIMEOUTS: [u64; 5] = [1, 3, 10, 50, 100];
        let query = self.query(false);
        let role = if self.random.u64(..8) == 0 { "hostile_nobody" } else { "postgres" };
        let timeout = TIMEOUTS[self.random.usize(..5)];
        let statement = format!(
            "SET statement_timeout = {timeout}; SELECT hostile.answer($h${query}$h$, '{role}')"
        );
        let is_cancelled = self.random.u64(..40) == 0;
        let answer = match is_cancelled {
            true => self.cancelled(&statement),
            false => self.session.run(&statement),
        };
        match answer {
            Ok(answer) => check(&answer, role).with_context(|| format!("{role}: {query}")),
            // The time was up, or the cancel came, outside of what catches it.
            Err(error) if is_stopped(&error) => {
                self.session = Session::open(self.cluster, "hostile")?;
                Ok(())
            }
            Err(error) => Err(error.context(format!(
                "a session died of {query}\nthe server's log:\n{}",
                self.cluster.log_tail()
            ))),
        }
    }

    /// Runs a statement, and has another session cancel it meanwhile.
    fn cancelled(&mut self, statement: &str) -> Result<String> {
        let pid = self.session.run("SET statement_timeout = 0; SELECT pg_backend_pid()")?;
        self.session.send(statement)?;
        self.cluster.psql_in("hostile", &format!("SELECT pg_cancel_backend({})", pid.trim()))?;
        self.session.wait()
    }

    /// By how many kB a backend's memory grows in 1,000 calls, after as many before.
    fn memory_growth(&mut self) -> Result<i64> {
        let queries: Vec<String> = (0..CALLS_TO_REPEAT).map(|_| self.query(true)).collect();
        growth(self.cluster, &queries)
    }
}

fn is_stopped(error: &anyhow::Error) -> bool {
    let said = format!("{error:#}");
    said.contains("canceling statement due to") && !said.contains("connection")
}

/// Whether a call ended as it may.
fn check(answer: &str, role: &str) -> Result<()> {
    let answer = answer.trim();
    // What pg_walinspect says with this code up to 17, in the functions that are its own.
    let is_walinspects = ["could not read WAL at", "could not find a valid record after"]
        .iter()
        .any(|words| answer.contains(words));
    ensure!(!answer.starts_with("XX000") || is_walinspects, "an internal error: {answer}");
    if role != "postgres" {
        // What is wrong with a query of its own comes first: the arguments are looked at before the privilege is.
        let was_called = answer.starts_with("rows");
        ensure!(!was_called, "somebody without privileges got an answer: {answer}");
    }
    Ok(())
}

fn growth(cluster: &Cluster, queries: &[String]) -> Result<i64> {
    let mut session = Session::open(cluster, "hostile")?;
    let pid = session.run("SELECT pg_backend_pid()")?;
    let list: Vec<String> = queries.iter().map(|query| format!("$h${query}$h$")).collect();
    let times = CALLS_FOR_MEMORY / queries.len() as u64;
    let round = format!("SELECT hostile.repeat(ARRAY[{}], {times})", list.join(",\n"));
    let mut before = 0;
    for _ in 0..2 {
        session.run(&round)?;
        let after = anonymous_memory(pid.trim())?;
        if before == 0 {
            before = after;
            continue;
        }
        ensure!(
            after <= before + MEMORY_SLACK,
            "a backend's memory grew from {} kB to {} kB in {CALLS_FOR_MEMORY} calls",
            before / 1024,
            after / 1024
        );
        return Ok((after.cast_signed() - before.cast_signed()) / 1024);
    }
    bail!("two rounds are three")
}

/// Resident memory of a process that is its own, in bytes.
fn anonymous_memory(pid: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.context("no RssAnon")? * 1024)
}

/// Functions with the faults that the driver must notice.
const FAULTS: [(&str, &str); 3] = [
    (
        "a session died",
        "CREATE FUNCTION strata.faulty() RETURNS int LANGUAGE plpgsql AS $$
         BEGIN
             EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -KILL ' || pg_backend_pid());
             RETURN 1;
         END $$",
    ),
    (
        "an internal error",
        "CREATE FUNCTION strata.faulty() RETURNS int LANGUAGE plpgsql AS $$
         BEGIN RAISE EXCEPTION 'index out of bounds' USING ERRCODE = 'XX000'; END $$",
    ),
    (
        "somebody without privileges got an answer",
        "CREATE FUNCTION strata.faulty() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
];

/// Keeps 10 kB a call as long as the session lives.
const LEAK: &str = "CREATE FUNCTION strata.faulty() RETURNS int LANGUAGE plpgsql AS $$
     BEGIN
         PERFORM set_config('leak.a' || nextval('hostile.sequence'), repeat('x', 10000), false);
         RETURN 1;
     END $$";

/// Shows that each fault is noticed.
fn prove(cluster: &Cluster, seed: u64) -> Result<()> {
    const ENOUGH: u64 = 400;
    for (words, function) in FAULTS {
        cluster.psql_in("hostile", function)?;
        let mut driver = Driver::new(cluster, seed)?;
        driver.targets.retain(|target| target.name == "strata.faulty");
        let found = (0..ENOUGH).find_map(|_| driver.call().err());
        let found = found.with_context(|| format!("hostile calls do not notice: {words}"))?;
        ensure!(format!("{found:#}").contains(words), "instead of \"{words}\": {found:#}");
        drop(driver);
        drop_faulty(cluster)?;
    }
    cluster.psql_in("hostile", LEAK)?;
    let grown = growth(cluster, &["SELECT strata.faulty()".to_owned()]);
    ensure!(grown.is_err(), "hostile calls do not notice memory that is kept");
    drop_faulty(cluster)
}

/// The server may be starting again.
fn drop_faulty(cluster: &Cluster) -> Result<()> {
    for _ in 0..600 {
        if cluster.psql_in("hostile", "DROP FUNCTION strata.faulty()").is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    bail!("the server does not come back:\n{}", cluster.log_tail())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        assert!(check("rows 3", "postgres").is_ok());
        assert!(check("22023 no such thing", "postgres").is_ok());
        assert!(check("XX000 index out of bounds", "postgres").is_err());
        assert!(check("XX000 could not read WAL at LSN 0/0", "postgres").is_ok());
        assert!(check("rows 0", "hostile_nobody").is_err());
        assert!(check("42501 permission denied", "hostile_nobody").is_ok());
    }
}
