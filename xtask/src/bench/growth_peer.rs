//! PostgreSQL's side of `cargo xtask bench growth`: its idle sessions, and transfers that are looked at while they run.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::bench::engine::Workload;
use crate::bench::engine_peer::Server;
use crate::bench::growth::{Idle, Sample, Watched};
use crate::process;
use crate::session::Session;

/// How long sessions may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every account, and a sum that hardly any transfer leaves as it is.
const DIGEST: &str = "SELECT count(*), sum(id::numeric * balance) FROM account";

/// Sessions that do nothing until this is dropped: pgbench with a script that sleeps.
pub(crate) struct IdleSessions<'s> {
    server: &'s Server,
    pgbench: Child,
}

impl<'s> IdleSessions<'s> {
    /// Has so many sessions be idle; they are when this returns.
    pub(crate) fn start(server: &'s Server, idle: Idle, count: u32) -> Result<Self> {
        let (script, are_idle) = match idle {
            Idle::Connected => ("\\sleep 86400 s\n", "true"),
            Idle::InTransaction => (
                "BEGIN;\nSELECT pg_current_xact_id();\n\\sleep 86400 s\n",
                "backend_xid IS NOT NULL AND state = 'idle in transaction'",
            ),
        };
        let file = server.cluster.socket_directory().join("idle.sql");
        fs::write(&file, script)?;
        let pgbench = server.cluster.client("pgbench")?;
        // A file for each session: as many as the shell may have.
        let mut command = process::command("sh");
        command.args(["-c", "ulimit -n $(ulimit -H -n); exec \"$@\"", "sh"]);
        command.arg(pgbench.get_program());
        for (name, value) in pgbench.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(["--no-vacuum", "--jobs=1", "--transactions=1"]);
        command.arg(format!("--client={count}")).arg(format!("--file={}", file.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let pgbench = command.env("PGAPPNAME", "idle").spawn().context("cannot run pgbench")?;
        let mut sessions = Self { server, pgbench };
        sessions.wait_for(are_idle, count)?;
        Ok(sessions)
    }

    /// Until there are so many of which this is true.
    fn wait_for(&mut self, what: &str, count: u32) -> Result<()> {
        let query = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'idle' AND {what}"
        );
        let began = Instant::now();
        while self.server.cluster.query_value(&query)? != count.to_string() {
            ensure!(began.elapsed() < PATIENCE, "there are not {count} idle sessions");
            if let (Some(status), true) = (self.pgbench.try_wait()?, count > 0) {
                bail!("the idle sessions ended ({status})");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends them, and waits until they are gone.
    pub(crate) fn end(mut self) -> Result<()> {
        self.kill();
        self.wait_for("true", 0)
    }

    fn kill(&mut self) {
        let _ = self.pgbench.kill();
        let _ = self.pgbench.wait();
    }
}

impl Drop for IdleSessions<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Transfers by so many sessions, looked at now and then; beside a reader that has read all accounts before, if it is held.
pub(crate) fn watch(
    server: &Server,
    sessions: u32,
    (seconds, looks): (f64, u32),
    is_held: bool,
) -> Result<Watched> {
    server.cluster.psql("CREATE EXTENSION pgstattuple; CHECKPOINT")?;
    let open = || Session::open(&server.cluster, "postgres");
    let mut reader = open()?;
    let mut seen = None;
    if is_held {
        reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ")?;
        seen = Some(reader.run(DIGEST)?);
    }
    let mut looking = open()?;
    // A transfer has one transaction id, and nothing else here has any.
    let mut look = || -> Result<(f64, u64, [u64; 2])> {
        let printed = looking.run(
            "SELECT extract(epoch FROM clock_timestamp()), pg_snapshot_xmax(pg_current_snapshot()),
               pg_relation_size('account') / 8192, pg_relation_size('account_pkey') / 8192",
        )?;
        let fields: Vec<_> = printed.trim().split('\t').collect();
        let [at, xid, table, index] = fields[..] else { bail!("not a sample: {printed}") };
        Ok((at.parse()?, xid.parse()?, [table.parse()?, index.parse()?]))
    };
    let mut begun = server.begin(&[(Workload::Transfer, sessions)], 0.0, seconds)?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut first = None;
    for at in 0..=looks {
        let due = begun.at + seconds * f64::from(at) / f64::from(looks);
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        thread::sleep(Duration::from_secs_f64((due - now).max(0.0)));
        let (now, xid, [table_pages, index_pages]) = look()?;
        let (began, first) = *first.get_or_insert((now, xid));
        let (seconds, transactions) = (now - began, xid - first);
        samples.push(Sample { seconds, transactions, table_pages, index_pages });
    }
    for session in begun.parts.iter_mut().flatten() {
        session.wait()?;
    }
    let dead = server.cluster.query_value("SELECT dead_tuple_count FROM pgstattuple('account')")?;
    if let Some(seen) = seen {
        let sees = reader.run(DIGEST)?;
        ensure!(sees == seen, "the reader saw {seen} and now sees {sees}");
    }
    server.check_sums()?;
    Ok(Watched { samples, dead_versions: dead.trim().parse()? })
}
