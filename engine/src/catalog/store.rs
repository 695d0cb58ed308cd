//! The catalog's own tables: made, read when the engine opens, changed with the tables that they tell of.
//!
//! Invariant: what is read here was committed; each table has a row in `strata_table`, one for each column in
//! `strata_column`, numbered from 1 without a gap, and at most one in `strata_definition`; each index has one in
//! `strata_index`.

use std::collections::{BTreeMap, BTreeSet};

use base::sync::{Arc, Weak};
use base::{ForkNumber, Oid, RelFileLocator, Xid};
use wal::write::{Inserter, NewRecord};

use super::{
    Catalog, Column, ColumnStorage, IndexDefinition, IndexEntry, Relation, TableEntry, frozen,
};
use crate::Error;
use crate::db::Shared;
use crate::heap::{ColumnType, Compression, Value};
use crate::storage::Storage;
use crate::table::{DirtyRow, Row};
use crate::toast::Toast;
use crate::transaction::Transaction;
use crate::xact::end::push_locator;

/// Numbers that PostgreSQL keeps free for who develops it (`FirstGenbkiObjectId` and below).
const TABLES: Oid = 9900;
const COLUMNS: Oid = 9901;
const DEFINITIONS: Oid = 9902;
const INDEXES: Oid = 9903;

const SMGR: u8 = 2;
const SMGR_CREATE: u8 = 0x10;

pub(super) fn tables() -> TableEntry {
    let columns = vec![
        Column::new("oid", ColumnType::Int8).not_null(),
        Column::new("name", ColumnType::Text).not_null(),
        Column::new("file", ColumnType::Int8).not_null(),
        Column::new("toast_oid", ColumnType::Int8),
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
        Column::new("storage", ColumnType::Text),
        Column::new("compression", ColumnType::Text),
    ];
    TableEntry::new(COLUMNS, "strata_column", COLUMNS, columns)
}

pub(super) fn definitions() -> TableEntry {
    let columns = vec![
        Column::new("table_oid", ColumnType::Int8).not_null(),
        Column::new("key_columns", ColumnType::Text).not_null(),
        Column::new("definition", ColumnType::Text).not_null(),
    ];
    TableEntry::new(DEFINITIONS, "strata_definition", DEFINITIONS, columns)
}

pub(super) fn indexes() -> TableEntry {
    let columns = vec![
        Column::new("oid", ColumnType::Int8).not_null(),
        Column::new("name", ColumnType::Text).not_null(),
        Column::new("table_oid", ColumnType::Int8).not_null(),
        Column::new("file", ColumnType::Int8).not_null(),
        Column::new("is_unique", ColumnType::Bool).not_null(),
        Column::new("is_primary", ColumnType::Bool).not_null(),
        Column::new("columns", ColumnType::Text).not_null(),
        Column::new("definition", ColumnType::Text).not_null(),
    ];
    TableEntry::new(INDEXES, "strata_index", INDEXES, columns)
}

/// Its oid in `pg_type`.
pub(super) fn type_oid(column_type: ColumnType) -> i32 {
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
        ColumnType::Date => 1082,
        ColumnType::Numeric => 1700,
        ColumnType::Bpchar => 1042,
        ColumnType::Oid => 26,
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
    for table in catalog.own() {
        let relation = table.locator;
        let relation_error = |action| move |error| Error::Relation { action, relation, error };
        let files = storage.pool.store();
        if !files.exists(relation, ForkNumber::Main).map_err(relation_error("look for"))? {
            files.create(relation, ForkNumber::Main).map_err(relation_error("create"))?;
            log_create(storage, inserter, relation)?;
        }
    }
    frozen::make_first_page(storage, catalog, inserter)
}

/// Logs that a relation's file was made (`log_smgrcreate`).
///
/// # Errors
/// Where the log is stopped.
pub(crate) fn log_create(
    storage: &Storage,
    inserter: &mut Inserter,
    relation: RelFileLocator,
) -> Result<(), Error> {
    let mut main = Vec::with_capacity(16);
    push_locator(relation, &mut main);
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
    let toast = table.toast.as_ref();
    let toast = toast.map_or(Value::Null, |toast| Value::Int8(i64::from(toast.table.oid)));
    let file = Value::Int8(i64::from(table.locator.relation));
    let row = [oid, Value::Text(&table.name), file, toast];
    transaction.insert_row(&catalog.tables, &row)?;
    for (at, column) in table.columns.iter().enumerate() {
        let row = [
            oid,
            Value::Int2(at as i16 + 1),
            Value::Text(&column.name),
            Value::Int4(type_oid(column.column_type)),
            Value::Bool(column.not_null),
            match column.storage == ColumnStorage::of_type(column.column_type) {
                true => Value::Null,
                false => Value::Text(column.storage.name()),
            },
            column.compression.map_or(Value::Null, |method| Value::Text(method.name())),
        ];
        transaction.insert_row(&catalog.columns, &row)?;
    }
    if let Some(definition) = &table.definition {
        let row = [oid, Value::Text(""), Value::Text(definition)];
        transaction.insert_row(&catalog.definitions, &row)?;
    }
    frozen::insert(transaction, catalog, table)?;
    transaction.next_command();
    Ok(())
}

/// Writes the row that tells of a new index.
///
/// # Errors
/// As an insertion.
pub(crate) fn insert_index(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    index: &IndexEntry,
) -> Result<(), Error> {
    let IndexDefinition { name, is_unique, is_primary, text, .. } = &index.definition;
    let number = |oid: Oid| Value::Int8(i64::from(oid));
    let row = [
        number(index.oid),
        Value::Text(name),
        number(index.table),
        number(index.known.locator().relation),
        Value::Bool(*is_unique),
        Value::Bool(*is_primary),
        Value::Text(&index.definition.columns_text()),
        Value::Text(text),
    ];
    transaction.insert_row(&catalog.indexes, &row)?;
    transaction.next_command();
    Ok(())
}

/// Deletes the rows that tell of relations, whatever the transaction's snapshot shows: who drops a relation sees it as it is, and
/// its name is claimed.
///
/// # Errors
/// As a deletion.
pub(crate) fn delete(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    oids: &[Oid],
) -> Result<(), Error> {
    for table in catalog.own() {
        for DirtyRow { row, inserting, .. } in transaction.session.scan_dirty(table)? {
            let Some(Value::Int8(number)) = row.value(0)? else { continue };
            // What another transaction makes of the row, of `pg_class`, is come to from the version before it.
            if inserting.is_none() && oids.iter().any(|oid| i64::from(*oid) == number) {
                transaction.delete_newest(table, row.tid())?;
            }
        }
    }
    transaction.next_command();
    Ok(())
}

/// Reads which tables there are.
///
/// # Errors
/// As a scan; where rows contradict each other.
pub(crate) fn load(transaction: &mut Transaction<'_, '_>, catalog: &Catalog) -> Result<(), Error> {
    let mut rows = |table| transaction.scan(table)?.collect::<Result<Vec<Row>, Error>>();
    let [tables, columns, definitions] =
        [rows(&catalog.tables)?, rows(&catalog.columns)?, rows(&catalog.definitions)?];
    let indexes = rows(&catalog.indexes)?;
    let shared = &transaction.session.shared.this;
    let tables = tables_in(&tables, &columns, &definitions, shared)?;
    let by_oid: BTreeMap<Oid, _> = tables.iter().map(|table| (table.oid, table)).collect();
    let table_of = |oid: Oid| by_oid.get(&oid).map(|table| Arc::clone(table));
    let indexes = indexes_in(&indexes, &table_of)?;
    for table in &tables {
        catalog.add(Relation::Table(Arc::clone(table)))?;
    }
    for relation in indexes {
        if let Relation::Index { index, table } = &relation {
            table.add_index(index);
        }
        catalog.add(relation)?;
    }
    catalog.publish_all();
    frozen::load(transaction, catalog)
}

/// What transactions that have not ended make of the catalog.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Tables before their indexes.
    pub(crate) made: Vec<Relation>,
    /// Names.
    pub(crate) dropped: Vec<String>,
}

/// What those transactions that `is_meant` names, and that run still, make of the catalog.
///
/// # Errors
/// As a scan; where rows contradict each other.
pub(crate) fn changes_of(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    is_meant: &dyn Fn(Xid) -> bool,
) -> Result<Changes, Error> {
    let is_their_own = |xid: Option<Xid>| xid.is_some_and(is_meant);
    let mut dropped = Vec::new();
    let mut inserted = |table: &Arc<TableEntry>| {
        let mut rows = Vec::new();
        for DirtyRow { row, inserting, ending } in transaction.session.scan_dirty(table)? {
            match (is_their_own(inserting), is_their_own(ending)) {
                (true, false) => rows.push(row),
                (false, true) if table.oid == TABLES || table.oid == INDEXES => {
                    if let Some(Value::Text(name)) = row.values()?.get(1) {
                        dropped.push((*name).to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok::<_, Error>(rows)
    };
    let [tables, columns, definitions] =
        [inserted(&catalog.tables)?, inserted(&catalog.columns)?, inserted(&catalog.definitions)?];
    let (indexes, frozen) = (inserted(&catalog.indexes)?, inserted(&catalog.frozen)?);
    let shared = &transaction.session.shared.this;
    let made = tables_in(&tables, &columns, &definitions, shared)?;
    frozen::take_in(&frozen, made.iter().map(|table| &table.frozen))?;
    let known = catalog.all_present();
    let table_of =
        |oid: Oid| made.iter().chain(&known).find(|table| table.oid == oid).map(Arc::clone);
    let indexes = indexes_in(&indexes, &table_of)?;
    let made = made.iter().map(|table| Relation::Table(Arc::clone(table))).chain(indexes).collect();
    Ok(Changes { made, dropped })
}

/// The tables that rows of the catalog tell of.
fn tables_in(
    table_rows: &[Row],
    column_rows: &[Row],
    definition_rows: &[Row],
    shared: &Weak<Shared>,
) -> Result<Vec<Arc<TableEntry>>, Error> {
    let damaged = |what: String| Error::Catalog(what);
    let mut columns: BTreeMap<i64, BTreeMap<i16, Column>> = BTreeMap::new();
    for row in column_rows {
        let values = row.values()?;
        let [
            Value::Int8(table),
            Value::Int2(number),
            Value::Text(name),
            Value::Int4(oid),
            Value::Bool(not_null),
            storage @ (Value::Null | Value::Text(_)),
            compression @ (Value::Null | Value::Text(_)),
        ] = values[..]
        else {
            return Err(damaged(format!("row {} of strata_column has nulls", row.tid())));
        };
        let is_meant = |column_type: &ColumnType| type_oid(*column_type) == oid;
        let column_type = ColumnType::ALL.into_iter().find(is_meant).ok_or_else(|| {
            damaged(format!("column \"{name}\" of table {table} has the unknown type {oid}"))
        })?;
        let unknown = |what: &str, value: &str| {
            damaged(format!(
                "column \"{name}\" of table {table} has the unknown {what} \"{value}\""
            ))
        };
        let storage = match storage {
            Value::Text(storage) => {
                ColumnStorage::of_name(storage).ok_or_else(|| unknown("storage", storage))?
            }
            _ => ColumnStorage::of_type(column_type),
        };
        let compression = match compression {
            Value::Text(method) => {
                Some(Compression::of_name(method).ok_or_else(|| unknown("compression", method))?)
            }
            _ => None,
        };
        let column = Column { name: name.to_owned(), column_type, not_null, storage, compression };
        if columns.entry(table).or_default().insert(number, column).is_some() {
            return Err(damaged(format!("table {table} has two columns {number}")));
        }
    }
    let mut definitions: BTreeMap<i64, String> = BTreeMap::new();
    for row in definition_rows {
        let values = row.values()?;
        let [Value::Int8(table), Value::Text(_), Value::Text(definition)] = values[..] else {
            return Err(damaged(format!("row {} of strata_definition has nulls", row.tid())));
        };
        if definitions.insert(table, definition.to_owned()).is_some() {
            return Err(damaged(format!("table {table} has two definitions")));
        }
    }
    let mut entries = Vec::with_capacity(table_rows.len());
    let mut toast_oids = BTreeSet::new();
    for row in table_rows {
        let values = row.values()?;
        let [
            Value::Int8(oid),
            Value::Text(name),
            Value::Int8(file),
            toast @ (Value::Null | Value::Int8(_)),
        ] = values[..]
        else {
            return Err(damaged(format!("row {} of strata_table has nulls", row.tid())));
        };
        let columns = columns.remove(&oid).unwrap_or_default();
        if !columns.keys().copied().eq(1..=columns.len() as i16) {
            return Err(damaged(format!("table \"{name}\" lacks columns")));
        }
        let columns = columns.into_values().collect();
        let table = TableEntry::new(number(name, oid)?, name, number(name, file)?, columns);
        let toast = match toast {
            Value::Int8(toast) => Some(number(name, toast)?),
            _ => None,
        };
        toast_oids.extend(toast);
        entries.push((table.defined(definitions.remove(&oid).as_deref()), toast));
    }
    let (toasts, others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(table, _)| toast_oids.contains(&table.oid));
    let mut tables: Vec<Arc<TableEntry>> =
        toasts.into_iter().map(|(table, _)| Arc::new(table.of_toast())).collect();
    let toasts: BTreeMap<Oid, Arc<TableEntry>> =
        tables.iter().map(|table| (table.oid, Arc::clone(table))).collect();
    for (table, toast) in others {
        let of = |oid: Oid| {
            let lacks = || damaged(format!("table \"{}\" lacks its TOAST table {oid}", table.name));
            let table = toasts.get(&oid).map(Arc::clone).ok_or_else(lacks)?;
            Ok::<_, Error>(Toast { table, shared: Weak::clone(shared) })
        };
        let toast = toast.map(of).transpose()?;
        tables.push(Arc::new(table.with_toast(toast)));
    }
    if let Some(table) = definitions.keys().next() {
        let reason = format!("there is a definition of a table {table}, which is not there");
        return Err(damaged(reason));
    }
    match columns.keys().next() {
        Some(table) => {
            Err(damaged(format!("there are columns of a table {table}, which is not there")))
        }
        None => Ok(tables),
    }
}

/// A number of the catalog's.
fn number(name: &str, number: i64) -> Result<Oid, Error> {
    Oid::try_from(number)
        .map_err(|_| Error::Catalog(format!("relation \"{name}\" has the number {number}")))
}

/// The indexes that rows of the catalog tell of, with their tables, in the order in which they were made.
fn indexes_in(
    rows: &[Row],
    table_of: &dyn Fn(Oid) -> Option<Arc<TableEntry>>,
) -> Result<Vec<Relation>, Error> {
    let mut indexes = BTreeMap::new();
    for row in rows {
        let values = row.values()?;
        let [
            Value::Int8(oid),
            Value::Text(name),
            Value::Int8(table),
            Value::Int8(file),
            Value::Bool(is_unique),
            Value::Bool(is_primary),
            Value::Text(columns),
            Value::Text(text),
        ] = values[..]
        else {
            let reason = format!("row {} of strata_index has nulls", row.tid());
            return Err(Error::Catalog(reason));
        };
        let damaged = |what: &str| Error::Catalog(format!("index \"{name}\" {what}"));
        let table = Oid::try_from(table).ok().and_then(table_of);
        let table = table.ok_or_else(|| damaged("is of a table that is not there"))?;
        let definition = IndexDefinition::read_columns(columns)
            .ok_or_else(|| damaged(&format!("has the columns \"{columns}\"")))?;
        let (name, text) = (name.to_owned(), text.to_owned());
        let definition = IndexDefinition { name, text, is_unique, is_primary, ..definition };
        let shape = definition.shape(&table.columns);
        let shape = shape.ok_or_else(|| damaged("has columns that its table lacks"))?;
        let shape = shape.map_err(|error| damaged(&format!("cannot be: {error}")))?;
        let (oid, file) = (number(&definition.name, oid)?, number(&definition.name, file)?);
        let index = Arc::new(IndexEntry::new(
            oid,
            (table.oid, table.columns.len()),
            file,
            definition,
            shape,
        ));
        indexes.insert(oid, Relation::Index { index, table });
    }
    Ok(indexes.into_values().collect())
}
