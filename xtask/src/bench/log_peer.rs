//! Durable commits inside PostgreSQL 15: the peer of `cargo xtask bench log`.
//!
//! Each session is a backend that runs bench/peer/commit.c: transactions of three records of the same lengths as the
//! program's, begun and committed by the server's own code, without SQL, rows or a client between them. The settings
//! are PostgreSQL's own (fsync and synchronous_commit on, no commit_delay), unless a commit_delay is asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::bench::peer;
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::session::Session;

/// How long the sessions commit.
const TIME: Duration = Duration::from_secs(2);
/// From 1970 to 2000.
const EPOCH: Duration = Duration::from_secs(946_684_800);

/// A server in which sessions commit.
#[derive(Debug)]
pub(crate) struct Peer {
    cluster: Cluster,
}

impl Peer {
    /// A running server for up to so many sessions.
    pub(crate) fn start(sessions: u64) -> Result<Self> {
        let mut cluster = Cluster::create(
            Installation::Debian15,
            &[],
            &[
                ("fsync", "on"),
                ("autovacuum", "off"),
                ("max_connections", &(sessions + 10).to_string()),
                ("max_wal_size", "16GB"),
                ("checkpoint_timeout", "1h"),
            ],
        )?;
        let library = cluster.make_directory("peer")?.join("commit.so");
        peer::compile("commit.c", &library)?;
        cluster.start()?;
        cluster.psql(&format!(
            "CREATE PROCEDURE commit_between(int8, int8) LANGUAGE c AS '{0}';
             CREATE FUNCTION commits_done() RETURNS int8 LANGUAGE c AS '{0}';",
            library.display()
        ))?;
        Ok(Self { cluster })
    }

    /// Commits a second of so many sessions, all together, with this `commit_delay`.
    pub(crate) fn commits(&self, sessions: u64, delay: Duration) -> Result<f64> {
        let mut open = Vec::new();
        for _ in 0..sessions {
            let mut session = Session::open(&self.cluster, "postgres")?;
            // The library is loaded before the time begins.
            session.run(&format!(
                "SET commit_delay = {}; SELECT commits_done();",
                delay.as_micros()
            ))?;
            open.push(session);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)? - EPOCH;
        let starts = now + Duration::from_millis(200);
        let ends = starts + TIME;
        for session in &mut open {
            session.send(&format!(
                "CALL commit_between({}, {}); SELECT commits_done();",
                starts.as_micros(),
                ends.as_micros()
            ))?;
        }
        let mut total = 0.0;
        for session in &mut open {
            total += session.wait_for_number()?;
        }
        Ok(total / TIME.as_secs_f64())
    }

    /// Stops the server.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.cluster.stop(Shutdown::Immediate)
    }
}
