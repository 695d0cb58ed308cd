//! The engine and what people would use instead, under the same work: what the program `stores` runs for
//! `cargo xtask bench engine`.
//!
//! ```text
//! account   id, code, balance, filler of 84 bytes      as many as asked for; looked up by id
//! teller    id, balance                                 320
//! branch    id, balance                                 32, as many as the most threads
//! history   account, teller, branch, amount             one for each transaction of TPC-B
//! ```
//!
//! Each store keeps these in its own way, and does each work in the way that is best with it. Invariants: a transaction that
//! was counted is durable; reads see what was committed when they began; the sums of all four tables are equal, which is
//! checked after each run ([`check`]).

mod drive;
#[cfg(feature = "peers")]
mod fjall;
pub(crate) mod own;
#[cfg(feature = "peers")]
mod record;
#[cfg(feature = "peers")]
mod redb;
pub mod report;
#[cfg(feature = "peers")]
mod sqlite;

use std::path::Path;
use std::time::{Duration, Instant};

use ::engine::SnapshotMode;
use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use drive::{Next, Part, run, run_together, watch};

/// Rows of `teller` and `branch`.
pub const TELLERS: u32 = 320;
/// As many as the most threads, so that they do not all wait for one.
pub const BRANCHES: u32 = 32;
/// Rows that a range read adds up.
pub const RANGE: u32 = 100;
/// Bytes of the filler.
pub const FILLER: usize = 84;
/// Bytes that each store may keep in memory.
pub const CACHE: usize = 128 << 20;

/// What is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// A durable transaction: two accounts are changed, found by their keys.
    Transfer,
    /// A durable transaction: an account, a teller and a branch are changed by one amount, and a row is put into the history.
    Tpcb,
    /// An account's balance is read by its key.
    Read,
    /// The balances of accounts with successive keys are added up.
    Range,
}

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// This engine, by its own interface.
    Engine,
    /// The same, in which sessions that wait for the log sleep at once.
    EngineAsleep,
    /// SQLite, by rusqlite.
    Sqlite,
    /// redb.
    Redb,
    /// fjall.
    Fjall,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Measured {
    /// The tables were made.
    Loaded {
        /// Rows put in with the index on their key, until durable, in seconds.
        load_seconds: f64,
        /// An index made on another column, until durable, in seconds; `None` of a store that has no indexes.
        index_seconds: Option<f64>,
    },
    /// A workload was run.
    Ran {
        /// What was done a second, by all threads together.
        per_second: f64,
    },
    /// The disk alone.
    Disk {
        /// Calls of `fdatasync` a second behind writes of 8 kB, by one thread.
        fdatasync_per_second: f64,
    },
}

/// A store with the tables.
pub trait Store: Sync {
    /// What one thread works with.
    ///
    /// # Errors
    /// As the store says.
    fn worker(&self) -> Result<Box<dyn Worker + '_>>;

    /// Sums of account, teller and branch balances, and of the amounts in the history.
    ///
    /// # Errors
    /// As the store says.
    fn sums(&self) -> Result<[i64; 4]>;

    /// Ends it as its users would.
    ///
    /// # Errors
    /// As the store says.
    fn close(self: Box<Self>) -> Result<()>;
}

/// One thread's hold on a store.
pub trait Worker {
    /// Does this work as long as [`Next::goes_on`] says.
    ///
    /// # Errors
    /// As the store says.
    fn work(&mut self, workload: Workload, next: &mut Next<'_>) -> Result<()>;
}

/// The code of an account: in no order of the ids, and each once.
pub fn code(id: u32) -> u32 {
    // No order, and each once as long as there are not more than the prime.
    (u64::from(id) * 7919 % 99_999_989) as u32
}

/// The filler of all accounts.
pub fn filler() -> String {
    "x".repeat(FILLER)
}

/// Makes the tables of a store, with so many accounts.
///
/// # Errors
/// As the store says; where the program was built without it.
pub fn load(peer: Peer, directory: &Path, accounts: u32) -> Result<Measured> {
    ensure!(accounts >= RANGE, "at least {RANGE} accounts are needed");
    let (load, index) = match peer {
        Peer::Engine | Peer::EngineAsleep => {
            own::load(directory, accounts, SnapshotMode::default())
        }
        #[cfg(feature = "peers")]
        Peer::Sqlite => sqlite::load(directory, accounts),
        #[cfg(feature = "peers")]
        Peer::Redb => redb::load(directory, accounts),
        #[cfg(feature = "peers")]
        Peer::Fjall => fjall::load(directory, accounts),
        #[cfg(not(feature = "peers"))]
        _ => bail!("built without peers: `cargo build --features peers`"),
    }?;
    Ok(Measured::Loaded {
        load_seconds: load.as_secs_f64(),
        index_seconds: index.map(|time| time.as_secs_f64()),
    })
}

/// Opens a store whose tables were made.
///
/// # Errors
/// As the store says; where the program was built without it.
pub fn open(peer: Peer, directory: &Path) -> Result<Box<dyn Store>> {
    match peer {
        Peer::Engine => Ok(Box::new(own::open(directory, own::How::default())?)),
        Peer::EngineAsleep => {
            let how = own::How { waits_asleep: true, ..own::How::default() };
            Ok(Box::new(own::open(directory, how)?))
        }
        #[cfg(feature = "peers")]
        Peer::Sqlite => sqlite::open(directory),
        #[cfg(feature = "peers")]
        Peer::Redb => redb::open(directory),
        #[cfg(feature = "peers")]
        Peer::Fjall => fjall::open(directory),
        #[cfg(not(feature = "peers"))]
        _ => bail!("built without peers: `cargo build --features peers`"),
    }
}

/// Holds the sums of a store against each other.
///
/// # Errors
/// Where they differ.
pub fn check(store: &dyn Store) -> Result<()> {
    let sums = store.sums()?;
    if sums.iter().any(|sum| *sum != sums[3]) {
        bail!("the sums of accounts, tellers, branches and the history differ: {sums:?}");
    }
    Ok(())
}

/// How long something takes.
fn timed<T>(does: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let began = Instant::now();
    let done = does()?;
    Ok((done, began.elapsed()))
}
