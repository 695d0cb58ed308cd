//! The engine as its users see it: tables, rows, transactions, in every snapshot mode.

mod bank;
mod check_index;
mod churn;
mod computed_indexes;
mod conflicts;
mod cut_index;
mod dumped;
mod exported;
mod exported_server;
mod failures;
mod index_only;
mod index_threads;
mod indexes;
mod locks;
mod moved;
mod prepared;
mod prepared_server;
mod recovered;
mod references;
mod row_locks;
mod rows;
mod savepoints;
pub(crate) mod tools;

use std::ops::ControlFlow;
use std::time::Duration;

use base::Tid;
use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::sync::Arc;
use base::sync::atomic::{AtomicBool, Ordering};
use engine::heap::{ColumnType, Value};
use engine::recovery::RecoveryProgress;
use engine::{
    Column, ColumnStorage, Engine, EngineOptions, IndexDefinition, Isolation, Row, SnapshotMode,
    Table, Transaction,
};
use wal::write::LogOptions;

use super::*;

/// Says that something is over when it goes, by a panic, too: who looks on until then would never end.
struct Ends<'f>(&'f AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) const MODES: [SnapshotMode; 3] =
    [SnapshotMode::Classic, SnapshotMode::CommitTs, SnapshotMode::Mirror];

/// A small engine.
pub(crate) fn options(mode: SnapshotMode) -> EngineOptions {
    let log = LogOptions { buffer_pages: 64, ..LogOptions::default() };
    EngineOptions {
        mode,
        sessions: 20,
        prepared_transactions: 5,
        buffers: 128,
        slru_buffers: 8,
        log,
        deadlock_timeout: Duration::from_millis(10),
        ..Default::default()
    }
}

/// An engine in a new data directory on a disk in memory.
pub(crate) fn engine(mode: SnapshotMode) -> (Engine, FaultyDisk) {
    let (disk, _) = initialized();
    (open(&disk, mode), disk)
}

pub(crate) fn open(disk: &FaultyDisk, mode: SnapshotMode) -> Engine {
    open_with(disk, options(mode))
}

pub(crate) fn open_with(disk: &FaultyDisk, options: EngineOptions) -> Engine {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let nobody = &mut |_: &RecoveryProgress| ControlFlow::Continue(());
    Engine::open_on(disk, Path::new(DATA), options, nobody).expect("opened")
}

/// `id int4 not null, amount int8, note text`; a note stays in its row, however long it is.
pub(crate) fn account_columns() -> [Column; 3] {
    [
        Column::new("id", ColumnType::Int4).not_null(),
        Column::new("amount", ColumnType::Int8),
        Column::new("note", ColumnType::Text).stored(ColumnStorage::Plain),
    ]
}

pub(crate) fn account(id: i32, amount: i64) -> [Value<'static>; 3] {
    [Value::Int4(id), Value::Int8(amount), Value::Null]
}

/// Makes a table of accounts, of which each has this amount; and says where they are.
pub(crate) fn with_accounts(engine: &Engine, count: i32, amount: i64) -> (Table, Vec<Tid>) {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.create_table("account", &account_columns()).expect("made");
    let rows: Vec<_> = (0..count).map(|id| account(id, amount).to_vec()).collect();
    let tids = table.insert_many(&mut transaction, &rows).expect("inserted");
    transaction.commit().expect("committed");
    (table, tids)
}

/// Has identifiers of a new table of accounts be a key.
pub(crate) fn make_key(table: &Table, transaction: &mut Transaction<'_, '_>) {
    let definition = IndexDefinition::new(format!("{}_key", table.name()), &[0]).unique();
    transaction.create_index(table, &definition).expect("made");
}

/// Identifier and amount of a row.
pub(crate) fn read(row: &Row) -> (i32, i64) {
    match row.values().expect("a row")[..] {
        [Value::Int4(id), Value::Int8(amount), _] => (id, amount),
        ref other => panic!("an account: {other:?}"),
    }
}

/// All accounts that a transaction sees, by identifier.
pub(crate) fn accounts(table: &Table, transaction: &mut Transaction<'_, '_>) -> Vec<(i32, i64)> {
    let rows = table.scan(transaction).expect("a scan");
    let mut rows: Vec<_> = rows.map(|row| read(&row.expect("a row"))).collect();
    rows.sort_unstable();
    rows
}

/// What a new transaction sees.
pub(crate) fn committed(engine: &Engine) -> Vec<(i32, i64)> {
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let table = transaction.table("account").expect("there");
    accounts(&table, &mut transaction)
}
