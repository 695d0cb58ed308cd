//! Storage and transactions, in PostgreSQL 15's own on-disk format.
//!
//! `data_directory` is what `strata init` makes and what keeps a second process out; `slru` is the logs of what became
//! of transactions. [`buffer`] keeps pages in memory; `heap` is rows in pages: forming them, changing pages, the log
//! records of those changes. `btree` is indexes in pages. `redo` redoes every record that the engine writes; `recovery` brings a directory to where
//! its log ends; `checkpoint` says from where it will begin, and `background_writer` goes before it. `storage` holds these
//! together, for who runs transactions, for checkpoints and for recovery. `xact`, `catalog` and `table` are transactions,
//! tables and rows, `toast` what becomes of their long values; `vacuum` removes what nobody sees any more; `db` opens and closes it all, `session` is who works with it,
//! and `transaction` what it does; `prepared` is transactions that wait for the second phase of their commit. `workload` is loads
//! to run it under, each with an invariant.
//!
//! # Example
//!
//! A table, two transactions that change the same row, and the data directory closed and opened again:
//!
//! ```
//! use base::disk::RealDisk;
//! use engine::data_directory::{Birth, InitOptions, init};
//! use engine::heap::{ColumnType, Value};
//! use engine::{Column, Engine, EngineOptions, Isolation, SnapshotMode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let place = tempfile::tempdir()?;
//! let data = place.path().join("data");
//! init(&RealDisk, &data, &InitOptions::default(), &Birth::now()?)?;
//!
//! let options = EngineOptions { mode: SnapshotMode::CommitTs, ..EngineOptions::default() };
//! let engine = Engine::open(&data, options)?;
//! let mut session = engine.session()?;
//!
//! let mut transaction = session.begin(Isolation::ReadCommitted)?;
//! let columns = [
//!     Column::new("id", ColumnType::Int4).not_null(),
//!     Column::new("balance", ColumnType::Int8),
//! ];
//! let accounts = transaction.create_table("accounts", &columns)?;
//! let tid = accounts.insert(&mut transaction, &[Value::Int4(1), Value::Int8(100)])?;
//! transaction.commit()?;
//!
//! let mut other_session = engine.session()?;
//! let mut reader = other_session.begin(Isolation::RepeatableRead)?;
//! let balance = |row: engine::Row| Ok::<_, engine::Error>(format!("{:?}", row.values()?[1]));
//! let seen = accounts.get(&mut reader, tid)?.map(balance).transpose()?;
//! assert_eq!(seen.as_deref(), Some("Int8(100)"));
//!
//! let mut transaction = session.begin(Isolation::ReadCommitted)?;
//! accounts.update(&mut transaction, tid, &[Value::Int4(1), Value::Int8(70)])?;
//! transaction.commit()?;
//!
//! // The reader's snapshot is older, and what it sees it cannot change any more.
//! let seen = accounts.get(&mut reader, tid)?.map(balance).transpose()?;
//! assert_eq!(seen.as_deref(), Some("Int8(100)"));
//! assert!(accounts.delete(&mut reader, tid).is_err());
//! drop(reader);
//! drop((session, other_session));
//! engine.close()?;
//!
//! let engine = Engine::open(&data, EngineOptions::default())?;
//! let mut session = engine.session()?;
//! let mut transaction = session.begin(Isolation::ReadCommitted)?;
//! let accounts = transaction.table("accounts")?;
//! let rows: Vec<_> = accounts.scan(&mut transaction)?.collect::<Result<_, _>>()?;
//! assert_eq!(rows[0].values()?, [Value::Int4(1), Value::Int8(70)]);
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: every file is touched through `base::disk`; what is said to be done is durable; a sync that
//! failed is never tried again.

#[cfg(not(loom))]
pub mod background_writer;
#[cfg(not(loom))]
pub mod btree;
pub mod buffer;
#[cfg(not(loom))]
mod catalog;
#[cfg(not(loom))]
pub mod checkpoint;
#[cfg(not(loom))]
pub mod copy_text;
#[cfg(not(loom))]
pub mod data_directory;
#[cfg(not(loom))]
mod db;
#[cfg(not(loom))]
pub mod dump;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod free_space_map;
#[cfg(not(loom))]
pub mod heap;
#[cfg(not(loom))]
mod lock;
#[cfg(all(feature = "planted", not(loom)))]
pub mod planted;
#[cfg(not(any(feature = "planted", loom)))]
mod planted;
#[cfg(not(loom))]
mod prepared;
#[cfg(not(loom))]
pub mod recovery;
#[cfg(not(loom))]
pub mod redo;
#[cfg(not(loom))]
mod session;
#[cfg(not(loom))]
pub mod slru;
#[cfg(not(loom))]
pub mod storage;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
mod toast;
#[cfg(not(loom))]
mod transaction;
#[cfg(not(loom))]
pub mod vacuum;
#[cfg(not(loom))]
mod visibility_map;
#[cfg(not(loom))]
pub mod workload;
#[cfg(not(loom))]
mod xact;

#[cfg(not(loom))]
pub use catalog::{
    Column, ColumnStorage, Computed, ComputedValues, Definition, IndexColumn, IndexDefinition,
    PG_CLASS,
};
#[cfg(not(loom))]
pub use db::{Engine, EngineOptions};
#[cfg(not(loom))]
pub use error::{At, Error};
#[cfg(not(loom))]
pub use heap::RowLock;
#[cfg(not(loom))]
pub use lock::{AdvisoryKey, DeadlockLink, LockTag, TableLockMode, WaitPolicy};
#[cfg(not(loom))]
pub use prepared::{PreparedError, PreparedTransaction};
#[cfg(not(loom))]
pub use session::{Cancel, Durability, Isolation, Session};
#[cfg(not(loom))]
pub use snapshot::{ExportError, ImportError, SnapshotId};
#[cfg(not(loom))]
pub use table::{
    CheckedIndex, DirtyRow, IndexCheck, IndexOnlyScan, IndexScan, IndexedRow, InsertOutcome,
    PageScan, Row, RowLocked, RowRef, Scan, StoredValue, Table, TableIndex, VersionChange,
};
#[cfg(not(loom))]
pub use toast::ToastError;
#[cfg(not(loom))]
pub use transaction::{AdvisoryMode, Compute, OuterCommand, SavepointId, Transaction};
#[cfg(not(loom))]
pub use xact::limits::LimitWarning;
#[cfg(not(loom))]
pub use xact::{Clock, SnapshotMode};
