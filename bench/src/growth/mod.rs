//! What a piece of work costs where something else grows: idle sessions, rows, the age of the oldest reader. The engine in
//! both snapshot modes, for the program `growth`, which `cargo xtask bench growth` runs beside a server.
//!
//! Tables and work are those of [`crate::engine`]. Invariants: a run begins behind a checkpoint; after one that changes rows
//! the sums of the tables are equal, and a reader that was held sees at the end what it saw at the beginning.

mod reader;
pub mod report;

use std::path::Path;
use std::time::Duration;

use ::engine::{Isolation, SnapshotMode};
use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use reader::{Sample, Watched, beside_reader};

use crate::engine::{Measured, Part, Workload, check, own, run_together};
use own::{How, Own};

/// How the engine decides who sees what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// By the list of who was running.
    Classic,
    /// By commit timestamp.
    CommitTs,
}

impl From<Mode> for SnapshotMode {
    fn from(mode: Mode) -> SnapshotMode {
        match mode {
            Mode::Classic => SnapshotMode::Classic,
            Mode::CommitTs => SnapshotMode::CommitTs,
        }
    }
}

/// What a session does that does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// It is there.
    Connected,
    /// It has begun a transaction, which has an id and no snapshot in use.
    InTransaction,
}

/// Makes the tables in a new directory, in this mode, with so many accounts.
///
/// # Errors
/// As the engine says.
pub fn load(directory: &Path, mode: Mode, rows: u32) -> Result<Measured> {
    let (load, index) = own::load(directory, rows, mode.into())?;
    Ok(Measured::Loaded {
        load_seconds: load.as_secs_f64(),
        index_seconds: index.map(|time| time.as_secs_f64()),
    })
}

/// Some parts of work at the same time, beside so many idle sessions; how much a second of each. The table of accounts is
/// vacuumed after a run beside others, which may have kept versions from being removed.
///
/// # Errors
/// As the engine says; where the sums of the tables differ.
pub fn beside_idle(
    directory: &Path,
    mode: Mode,
    rows: u32,
    (idle, count): (Idle, u32),
    parts: &[Part],
    time: Duration,
) -> Result<Vec<f64>> {
    let how = How { mode: mode.into(), idle: count, ..How::default() };
    let own = own::open(directory, how)?;
    let rates = {
        let sessions = (0..count).map(|_| own.engine.session());
        let mut sessions = sessions.collect::<Result<Vec<_>, _>>()?;
        let mut transactions = Vec::new();
        if idle == Idle::InTransaction {
            for session in &mut sessions {
                let mut transaction = session.begin(Isolation::ReadCommitted)?;
                transaction.assigned_xid()?;
                transactions.push(transaction);
            }
        }
        run_together(&own, parts, time, rows)?
    };
    if parts.iter().any(|(workload, _)| matches!(workload, Workload::Transfer | Workload::Tpcb)) {
        check(&own)?;
    }
    if count > 0 {
        own::vacuum(&mut own.engine.session()?, Some("account"))?;
    }
    close(own)?;
    Ok(rates)
}

fn close(own: Own) -> Result<()> {
    Ok(own.engine.close()?)
}
