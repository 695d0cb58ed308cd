//! Where a server's transaction ids begin.
//!
//! Ids are given out one by one, and a server takes no more of them than half of all that there are beyond the oldest
//! that is not frozen. So a cluster is brought to a high id in steps: pg_resetwal to an id a quarter further on, the page of
//! the commit log that this id lies on made by hand (as pg_resetwal's manual says), then everything frozen.

use std::fmt;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::server::{Cluster, Shutdown};

/// A point that ids begin at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Start {
    /// Those of a new cluster.
    First,
    /// Just below 2^31, where an id becomes negative as a signed number.
    #[value(name = "2^31")]
    Below2To31,
    /// Just below 2^32, where ids begin anew with the next epoch.
    #[value(name = "2^32")]
    Below2To32,
}

/// Ids from the start to the boundary.
const MARGIN: u64 = 6_000;
/// A quarter of all ids.
const STEP: u64 = 1 << 30;
/// Ids in a segment of the commit log, four a byte, and its size in bytes.
const IDS_IN_SEGMENT: u64 = 1 << 20;
const SEGMENT_SIZE: usize = 1 << 18;

impl Start {
    fn boundary(self) -> Option<u64> {
        match self {
            Self::First => None,
            Self::Below2To31 => Some(1 << 31),
            Self::Below2To32 => Some(1 << 32),
        }
    }

    /// Lets the ids of a cluster that does not run begin there.
    pub(super) fn prepare(self, cluster: &mut Cluster) -> Result<()> {
        let Some(boundary) = self.boundary() else { return Ok(()) };
        let target = boundary - MARGIN;
        let mut at = 0;
        while at < target {
            at = target.min(at + STEP);
            set_next_xid(cluster, at)?;
            if at < target {
                freeze(cluster)?;
            }
        }
        Ok(())
    }

    /// Whether the ids of a running server are past the boundary.
    pub(super) fn is_passed(self, cluster: &Cluster) -> Result<bool> {
        let Some(boundary) = self.boundary() else { return Ok(true) };
        let next = cluster.query_value("SELECT pg_snapshot_xmax(pg_current_snapshot())")?;
        Ok(next.parse::<u64>().context("an xid8")? > boundary)
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first ids",
            Self::Below2To31 => "ids across 2^31",
            Self::Below2To32 => "ids across 2^32",
        })
    }
}

fn set_next_xid(cluster: &Cluster, xid: u64) -> Result<()> {
    let (epoch, short) = (xid >> 32, xid & 0xFFFF_FFFF);
    let mut resetwal = cluster.command("pg_resetwal")?;
    resetwal.args([
        "--force",
        "--epoch",
        &epoch.to_string(),
        "--next-transaction-id",
        &short.to_string(),
    ]);
    process::run(resetwal.arg("--pgdata").arg(cluster.data_dir()))?;
    let segment = cluster.data_dir().join(format!("pg_xact/{:04X}", short / IDS_IN_SEGMENT));
    if !segment.exists() {
        // Owned by whoever runs this; a server that runs as somebody else must be able to write it.
        fs::write(&segment, vec![0; SEGMENT_SIZE])
            .with_context(|| format!("cannot write {}", segment.display()))?;
        cluster.give_to_server(&segment)?;
    }
    Ok(())
}

fn freeze(cluster: &mut Cluster) -> Result<()> {
    cluster.start()?;
    cluster.psql("UPDATE pg_database SET datallowconn = true WHERE datname = 'template0'")?;
    for database in ["template0", "template1", "postgres"] {
        cluster.psql_in(database, "VACUUM (FREEZE)")?;
    }
    let old = cluster.query_value("SELECT max(age(datfrozenxid)) FROM pg_database")?;
    ensure!(old.parse::<u64>()? < 1_000, "a database is not frozen: its oldest id is {old} old");
    cluster.stop(Shutdown::Fast)
}
