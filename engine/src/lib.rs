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

pub mod buffer;

cfg_if::cfg_if! {
    // Models run the buffer pool without its files; loom's `Arc` cannot hold a disk behind a trait.
    if #[cfg(not(loom))] {
        pub mod background_writer;
        pub mod btree;
        mod catalog;
        pub mod checkpoint;
        pub mod copy_text;
        pub mod data_directory;
        mod db;
        pub mod dump;
        mod error;
        mod free_space_map;
        pub mod heap;
        mod lock;
        #[cfg(feature = "planted")]
        pub mod planted;
        #[cfg(not(feature = "planted"))]
        mod planted;
        mod prepared;
        pub mod recovery;
        pub mod redo;
        mod session;
        pub mod slru;
        pub mod storage;
        mod table;
        mod toast;
        mod transaction;
        pub mod vacuum;
        mod visibility_map;
        pub mod workload;
        mod xact;

        pub use catalog::{
            Column, ColumnStorage, Computed, ComputedValues, IndexColumn, IndexDefinition, PG_CLASS,
        };
        pub use db::{Engine, EngineOptions};
        pub use error::{At, Error};
        pub use heap::RowLock;
        pub use lock::{AdvisoryKey, DeadlockLink, LockTag, TableLockMode, WaitPolicy};
        pub use prepared::{PreparedError, PreparedTransaction};
        pub use session::{Cancel, Durability, Isolation, Session};
        pub use snapshot::{ExportError, ImportError, SnapshotId};
        pub use table::{
            CheckedIndex, DirtyRow, IndexCheck, IndexOnlyScan, IndexScan, IndexedRow, InsertOutcome,
            PageScan, Row, RowLocked, RowRef, Scan, StoredValue, Table, TableIndex, VersionChange,
        };
        pub use toast::ToastError;
        pub use transaction::{AdvisoryMode, Compute, OuterCommand, SavepointId, Transaction};
        pub use xact::limits::LimitWarning;
        pub use xact::{Clock, SnapshotMode};
    }
}
