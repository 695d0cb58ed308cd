//! The same tables and workloads inside PostgreSQL 15: the peer of `cargo xtask bench engine`.
//!
//! Each session is a backend that runs a procedure in PL/pgSQL: a loop that ends at a given time, so that no client, no text
//! of SQL and no plan made anew costs anything. A commit within the loop is durable (fsync and synchronous_commit on,
//! fdatasync). Rows, keys and the choice of them are those of bench/src/engine.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};

use crate::bench::engine::{Loaded, Workload};
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::session::Session;

/// As bench/src/engine/mod.rs has them.
const TELLERS: u32 = 320;
const BRANCHES: u32 = 32;
const RANGE: u32 = 100;

/// Until all sessions of a run have begun.
const TO_BEGIN: Duration = Duration::from_millis(200);

/// Settings: the memory of the others, what a new data directory of the engine keeps, and no checkpoint or vacuum by itself,
/// which would be at work while another store is measured.
const SETTINGS: [(&str, &str); 8] = [
    ("autovacuum", "off"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("wal_sync_method", "fdatasync"),
    ("shared_buffers", "128MB"),
    ("track_commit_timestamp", "on"),
    ("max_wal_size", "1TB"),
    ("checkpoint_timeout", "1d"),
];

/// A server with the tables.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) cluster: Cluster,
}

/// Sessions that work.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Those of each part.
    pub(crate) parts: Vec<Vec<Session>>,
    /// When they begin, in seconds since 1970.
    pub(crate) at: f64,
}

impl Server {
    /// Makes a server for up to so many sessions, with these settings beside its own, and the tables in it.
    pub(crate) fn load(
        accounts: u32,
        sessions: u32,
        more: &[(&str, &str)],
    ) -> Result<(Server, Loaded)> {
        let connections = (sessions + 10).to_string();
        let connections = ("max_connections", connections.as_str());
        let settings: Vec<_> =
            SETTINGS.into_iter().chain([connections]).chain(more.iter().copied()).collect();
        let mut cluster =
            Cluster::create(Installation::Debian15, &["--data-checksums"], &settings)?;
        cluster.start()?;
        cluster.psql(&format!(
            "CREATE TABLE teller (id int4 PRIMARY KEY, balance int8 NOT NULL);
             CREATE TABLE branch (id int4 PRIMARY KEY, balance int8 NOT NULL);
             CREATE TABLE history (account int4 NOT NULL, teller int4 NOT NULL, branch int4 NOT NULL, amount int8 NOT NULL);
             INSERT INTO teller SELECT id, 0 FROM generate_series(0, {TELLERS} - 1) id;
             INSERT INTO branch SELECT id, 0 FROM generate_series(0, {BRANCHES} - 1) id;
             {}",
            procedures(accounts)
        ))?;
        let mut session = Session::open(&cluster, "postgres")?;
        let mut timed = |sql: &str| -> Result<f64> {
            let began = Instant::now();
            session.run(sql)?;
            Ok(began.elapsed().as_secs_f64())
        };
        let load = timed(&format!(
            "BEGIN;
             CREATE TABLE account (id int4 NOT NULL, code int4 NOT NULL, balance int8 NOT NULL, filler text NOT NULL);
             INSERT INTO account SELECT id, id::int8 * 7919 % 99999989, 0, repeat('x', 84)
               FROM generate_series(0, {accounts} - 1) id;
             ALTER TABLE account ADD PRIMARY KEY (id);
             COMMIT"
        ))?;
        let index = timed("CREATE INDEX account_code_idx ON account (code)")?;
        session.run("DROP INDEX account_code_idx; VACUUM ANALYZE; CHECKPOINT")?;
        Ok((Server { cluster }, Loaded { load, index: Some(index) }))
    }

    /// Runs a workload in so many sessions, and a fifth of the time before without counting; how much a second. The sums of
    /// the tables are equal afterwards.
    pub(crate) fn run(&self, workload: Workload, sessions: u32, seconds: f64) -> Result<f64> {
        let rates = self.run_together(&[(workload, sessions)], seconds)?;
        self.check_sums()?;
        Ok(rates.iter().sum())
    }

    /// As [`Server::run`], of several parts at the same time, and without the sums: how much a second of each.
    pub(crate) fn run_together(&self, parts: &[(Workload, u32)], seconds: f64) -> Result<Vec<f64>> {
        let mut begun = self.begin(parts, seconds / 5.0, seconds)?;
        let of_part = |part: &mut Vec<Session>| -> Result<f64> {
            let done = part.iter_mut().map(Session::wait_for_number).sum::<Result<f64>>()?;
            Ok(done / seconds)
        };
        begun.parts.iter_mut().map(of_part).collect()
    }

    /// Has so many sessions of each part begin at one moment, count after some seconds, and end so many later.
    pub(crate) fn begin(&self, parts: &[(Workload, u32)], counts: f64, ends: f64) -> Result<Begun> {
        let open = |sessions: u32| {
            (0..sessions).map(|_| Session::open(&self.cluster, "postgres")).collect::<Result<_>>()
        };
        let mut begun = Begun { parts: Vec::new(), at: 0.0 };
        for (_, sessions) in parts {
            begun.parts.push(open(*sessions)?);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)? + TO_BEGIN;
        begun.at = now.as_secs_f64();
        let (begins, counts) = (begun.at, begun.at + counts);
        let ends = counts + ends;
        for ((workload, _), sessions) in parts.iter().zip(&mut begun.parts) {
            for session in sessions {
                session.send(&format!(
                    "CALL bench_{}(NULL, to_timestamp({begins:.6}), to_timestamp({counts:.6}), to_timestamp({ends:.6}))",
                    workload.name()
                ))?;
            }
        }
        Ok(begun)
    }

    /// Holds the sums of the tables against each other.
    pub(crate) fn check_sums(&self) -> Result<()> {
        let sums = self.cluster.query_value(
            "SELECT count(DISTINCT sum) FROM (
               SELECT sum(balance) FROM account UNION ALL SELECT sum(balance) FROM teller
               UNION ALL SELECT sum(balance) FROM branch UNION ALL SELECT coalesce(sum(amount), 0) FROM history) sums",
        )?;
        ensure!(sums.trim() == "1", "the sums of the server's tables differ");
        Ok(())
    }

    /// Stops the server.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.cluster.stop(Shutdown::Immediate)
    }
}

/// A procedure for each workload.
fn procedures(accounts: u32) -> String {
    let procedure = |name: &str, declared: &str, step: &str| {
        format!(
            "CREATE PROCEDURE bench_{name}(INOUT done int8, begins timestamptz, counts timestamptz, ends timestamptz)
             LANGUAGE plpgsql AS $$
             DECLARE
               now timestamptz;
               amount int8;
               {declared}
             BEGIN
               done := 0;
               PERFORM pg_sleep(extract(epoch FROM begins - clock_timestamp()));
               LOOP
                 now := clock_timestamp();
                 EXIT WHEN now >= ends;
                 amount := floor(random() * 5000)::int8 + 1;
                 {step}
                 IF now >= counts THEN done := done + 1; END IF;
               END LOOP;
             END $$;\n"
        )
    };
    let transfer = procedure(
        "transfer",
        "one int4; other int4;",
        &format!(
            "one := floor(random() * {accounts})::int4;
             other := (one + 1 + floor(random() * ({accounts} - 1))::int4) % {accounts};
             UPDATE account SET balance = balance - amount WHERE id = least(one, other);
             UPDATE account SET balance = balance + amount WHERE id = greatest(one, other);
             COMMIT;"
        ),
    );
    let tpcb = procedure(
        "tpcb",
        "a int4; t int4; b int4;",
        &format!(
            "a := floor(random() * {accounts})::int4;
             t := floor(random() * {TELLERS})::int4;
             b := floor(random() * {BRANCHES})::int4;
             UPDATE account SET balance = balance + amount WHERE id = a;
             UPDATE teller SET balance = balance + amount WHERE id = t;
             UPDATE branch SET balance = balance + amount WHERE id = b;
             INSERT INTO history VALUES (a, t, b, amount);
             COMMIT;"
        ),
    );
    let read = procedure(
        "read",
        "one int4; found int8;",
        &format!(
            "one := floor(random() * {accounts})::int4;
             SELECT balance INTO STRICT found FROM account WHERE id = one;"
        ),
    );
    let range = procedure(
        "range",
        "one int4; found int8; rows int8;",
        &format!(
            "one := floor(random() * ({accounts} - {RANGE} + 1))::int4;
             SELECT sum(balance), count(*) INTO found, rows FROM account WHERE id BETWEEN one AND one + {RANGE} - 1;
             ASSERT rows = {RANGE};"
        ),
    );
    [transfer, tpcb, read, range].concat()
}
