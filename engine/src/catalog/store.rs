//! The catalog's own tables: made, read when the engine opens, changed with the tables that they tell of.
//!
//! Invariant: what is read here was committed; each table has a row in `strata_table`, and one for each column in
//! `strata_column`, numbered from 1 without a gap.

use std::collections::BTreeMap;

use base::{ForkNumber, Oid};
use wal::write::{Inserter, NewRecord};

use super::{Catalog, Column, TableEntry};
use crate::Error;
use crate::heap::{ColumnType, Value};
use crate::session::Transaction;
use crate::storage::Storage;
use crate::table::Row;
use crate::xact::end::push_locator;

/// Numbers that PostgreSQL keeps free for who develops it (`FirstGenbkiObjectId` and below).
const TABLES: Oid = 9900;
const COLUMNS: Oid = 9901;

const SMGR: u8 = 2;
const SMGR_CREATE: u8 = 0x10;

pub(super) fn tables() -> TableEntry {
    let columns = vec![
        Column::new("oid", ColumnType::Int8).not_null(),
        Column::new("name", ColumnType::Text).not_null(),
        Column::new("file", ColumnType::Int8).not_null(),
    ];
    TableEntry::new(TABLES, "strata_table", TABLES, columns)
}

pub(super) fn columns() -> TableEntry {
    let columns = vec![
        Column::new("table_oid", ColumnType::Int8).not_null(),
        Column::new("number", ColumnType::Int2).not_null(),
        Column::new("name", ColumnType::Text).not_null(),
        Column::new("type", ColumnType::Int4).not_null(),
        Column::new("not_null", ColumnType::Bool).not_null(),
    ];
    TableEntry::new(COLUMNS, "strata_column", COLUMNS, columns)
}

/// Its oid in `pg_type`.
fn type_oid(column_type: ColumnType) -> i32 {
    match column_type {
        ColumnType::Bool => 16,
        ColumnType::Bytea => 17,
        ColumnType::Int8 => 20,
        ColumnType::Int2 => 21,
        ColumnType::Int4 => 23,
        ColumnType::Text => 25,
        ColumnType::Float8 => 701,
        ColumnType::TimestampTz => 1184,
        ColumnType::Uuid => 2950,
    }
}

/// Makes the files of the catalog's tables that are missing: all of them where the data directory is new.
///
/// # Errors
/// As the disk says, and where the log is stopped.
pub(crate) fn make_missing(
    storage: &Storage,
    catalog: &Catalog,
    inserter: &mut Inserter,
) -> Result<(), Error> {
    for table in [&catalog.tables, &catalog.columns] {
        let relation = table.locator;
        let relation_error = |action| move |error| Error::Relation { action, relation, error };
        let files = storage.pool.store();
        if !files.exists(relation, ForkNumber::Main).map_err(relation_error("look for"))? {
            files.create(relation, ForkNumber::Main).map_err(relation_error("create"))?;
            log_create(storage, inserter, table)?;
        }
    }
    Ok(())
}

/// Logs that a table's file was made (`log_smgrcreate`).
///
/// # Errors
/// Where the log is stopped.
pub(crate) fn log_create(
    storage: &Storage,
    inserter: &mut Inserter,
    table: &TableEntry,
) -> Result<(), Error> {
    let mut main = Vec::with_capacity(16);
    push_locator(table.locator, &mut main);
    main.extend_from_slice(&(ForkNumber::Main as u32).to_le_bytes());
    let record = NewRecord { main: &[&main], ..NewRecord::new(SMGR, SMGR_CREATE) };
    storage.log.log().insert(inserter, &record)?;
    Ok(())
}

/// Writes the rows that tell of a new table.
///
/// # Errors
/// As an insertion.
pub(crate) fn insert(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    table: &TableEntry,
) -> Result<(), Error> {
    let oid = Value::Int8(i64::from(table.oid));
    let row = [oid, Value::Text(&table.name), Value::Int8(i64::from(table.locator.relation))];
    transaction.insert_row(&catalog.tables, &row)?;
    for (at, column) in table.columns.iter().enumerate() {
        let row = [
            oid,
            Value::Int2(at as i16 + 1),
            Value::Text(&column.name),
            Value::Int4(type_oid(column.column_type)),
            Value::Bool(column.not_null),
        ];
        transaction.insert_row(&catalog.columns, &row)?;
    }
    transaction.next_command();
    Ok(())
}

/// Deletes the rows that tell of a table.
///
/// # Errors
/// As a scan and a deletion.
pub(crate) fn delete(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    oid: Oid,
) -> Result<(), Error> {
    for table in [&catalog.tables, &catalog.columns] {
        let rows: Vec<Row> = transaction.scan(table)?.collect::<Result<_, _>>()?;
        for row in rows {
            if row.values()?.first() == Some(&Value::Int8(i64::from(oid))) {
                transaction.delete_row(table, row.tid(), |_| true)?;
            }
        }
    }
    Ok(())
}

/// Reads which tables there are.
///
/// # Errors
/// As a scan; where rows contradict each other.
pub(crate) fn load(transaction: &mut Transaction<'_, '_>, catalog: &Catalog) -> Result<(), Error> {
    let damaged = |what: String| Error::Catalog(what);
    let mut columns: BTreeMap<i64, BTreeMap<i16, Column>> = BTreeMap::new();
    for row in transaction.scan(&catalog.columns)? {
        let row = row?;
        let values = row.values()?;
        let [
            Value::Int8(table),
            Value::Int2(number),
            Value::Text(name),
            Value::Int4(oid),
            Value::Bool(not_null),
        ] = values[..]
        else {
            return Err(damaged(format!("row {} of strata_column has nulls", row.tid())));
        };
        let is_meant = |column_type: &ColumnType| type_oid(*column_type) == oid;
        let column_type = ColumnType::ALL.into_iter().find(is_meant).ok_or_else(|| {
            damaged(format!("column \"{name}\" of table {table} has the unknown type {oid}"))
        })?;
        let column = Column { name: name.to_owned(), column_type, not_null };
        if columns.entry(table).or_default().insert(number, column).is_some() {
            return Err(damaged(format!("table {table} has two columns {number}")));
        }
    }
    for row in transaction.scan(&catalog.tables)? {
        let row = row?;
        let values = row.values()?;
        let [Value::Int8(oid), Value::Text(name), Value::Int8(file)] = values[..] else {
            return Err(damaged(format!("row {} of strata_table has nulls", row.tid())));
        };
        let columns = columns.remove(&oid).unwrap_or_default();
        if !columns.keys().copied().eq(1..=columns.len() as i16) {
            return Err(damaged(format!("table \"{name}\" lacks columns")));
        }
        let number = |number: i64| {
            Oid::try_from(number)
                .map_err(|_| damaged(format!("table \"{name}\" has the number {number}")))
        };
        let columns = columns.into_values().collect();
        catalog.add(TableEntry::new(number(oid)?, name, number(file)?, columns))?;
    }
    match columns.keys().next() {
        Some(table) => {
            Err(damaged(format!("there are columns of a table {table}, which is not there")))
        }
        None => Ok(()),
    }
}
