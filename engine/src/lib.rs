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

#[cfg(not(any(loom, shuttle)))]
pub mod background_writer;
#[cfg(not(any(loom, shuttle)))]
pub mod btree;
pub mod buffer;
#[cfg(not(any(loom, shuttle)))]
mod catalog;
#[cfg(not(any(loom, shuttle)))]
pub mod checkpoint;
#[cfg(not(any(loom, shuttle)))]
pub mod copy_text;
#[cfg(not(any(loom, shuttle)))]
pub mod data_directory;
#[cfg(not(any(loom, shuttle)))]
mod db;
#[cfg(not(any(loom, shuttle)))]
pub mod dump;
#[cfg(not(any(loom, shuttle)))]
mod error;
#[cfg(not(any(loom, shuttle)))]
mod free_space_map;
#[cfg(not(any(loom, shuttle)))]
pub mod heap;
#[cfg(not(any(loom, shuttle)))]
mod lock;
#[cfg(all(feature = "planted", not(any(loom, shuttle))))]
pub mod planted;
#[cfg(not(any(feature = "planted", loom, shuttle)))]
mod planted;
#[cfg(not(any(loom, shuttle)))]
mod prepared;
#[cfg(not(any(loom, shuttle)))]
pub mod recovery;
#[cfg(not(any(loom, shuttle)))]
pub mod redo;
#[cfg(not(any(loom, shuttle)))]
mod session;
#[cfg(not(any(loom, shuttle)))]
pub mod slru;
#[cfg(not(any(loom, shuttle)))]
pub mod storage;
#[cfg(not(any(loom, shuttle)))]
mod table;
#[cfg(not(any(loom, shuttle)))]
mod toast;
#[cfg(not(any(loom, shuttle)))]
mod transaction;
#[cfg(not(any(loom, shuttle)))]
pub mod vacuum;
#[cfg(not(any(loom, shuttle)))]
mod visibility_map;
#[cfg(not(any(loom, shuttle)))]
pub mod workload;
#[cfg(not(any(loom, shuttle)))]
mod xact;

#[cfg(not(any(loom, shuttle)))]
pub use catalog::{
    Column, ColumnStorage, Computed, ComputedValues, Definition, IndexColumn, IndexDefinition,
    PG_CLASS,
};
#[cfg(not(any(loom, shuttle)))]
pub use db::{Engine, EngineOptions};
#[cfg(not(any(loom, shuttle)))]
pub use error::{At, Error};
#[cfg(not(any(loom, shuttle)))]
pub use heap::RowLock;
#[cfg(not(any(loom, shuttle)))]
pub use lock::{AdvisoryKey, DeadlockLink, LockTag, TableLockMode, WaitPolicy};
#[cfg(not(any(loom, shuttle)))]
pub use prepared::{PreparedError, PreparedTransaction};
#[cfg(not(any(loom, shuttle)))]
pub use session::{Cancel, Durability, Isolation, Session};
#[cfg(not(any(loom, shuttle)))]
pub use snapshot::{ExportError, ImportError, SnapshotId};
#[cfg(not(any(loom, shuttle)))]
pub use table::{
    CheckedIndex, DirtyRow, IndexCheck, IndexOnlyScan, IndexScan, IndexedRow, InsertOutcome,
    PageScan, Row, RowLocked, Scan, StoredValue, Table, TableIndex, VersionChange,
};
#[cfg(not(any(loom, shuttle)))]
pub use toast::ToastError;
#[cfg(not(any(loom, shuttle)))]
pub use transaction::{AdvisoryMode, Compute, OuterCommand, SavepointId, Transaction};
#[cfg(not(any(loom, shuttle)))]
pub use xact::limits::LimitWarning;
#[cfg(not(any(loom, shuttle)))]
pub use xact::{Clock, SnapshotMode};
