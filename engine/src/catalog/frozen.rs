//! How old what the rows of a table name may be: `relfrozenxid` and `relminmxid`, which PostgreSQL keeps in `pg_class`; and
//! the oldest of all tables, its `datfrozenxid` and `datminmxid` in `pg_database`.
//!
//! ```text
//! strata_frozen      base/5/9910   table_oid int8, relfrozenxid int8, relminmxid int8
//!                                  the row of the number 5 is the database's
//! ```
//!
//! Invariants: no row of a table names an unfrozen transaction or a set that is older than what is kept of it here. What
//! vacuum has found out holds whatever becomes of its transaction: values are overwritten in place, as PostgreSQL does, so
//! that no transaction id is needed. A table without a row, of a directory made by an earlier version, counts as being as old
//! as the oldest transaction of all.

use std::collections::BTreeMap;

use base::sync::{Mutex, MutexGuard, PoisonError};
use base::{ForkNumber, MultiXactId, Oid, RawPage, Tid, Xid};
use wal::write::Inserter;

use super::{Catalog, Column, TableEntry};
use crate::Error;
use crate::buffer::PageStore;
use crate::data_directory::DEFAULT_DATABASE;
use crate::heap::insert::{Insertion, insert as insert_tuple};
use crate::heap::{Change, ColumnType, Value, form_tuple, inplace};
use crate::session::Session;
use crate::slru::multixact::precedes;
use crate::storage::{PageImage, Storage};
use crate::table::Row;
use crate::table::page::{heap_error, log_change, log_page};
use crate::transaction::Transaction;

const FROZEN: Oid = 9910;

/// The oldest that rows may name unfrozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen {
    /// The oldest transaction (`relfrozenxid`).
    pub xid: Xid,
    /// The oldest set of transactions (`relminmxid`).
    pub multi: MultiXactId,
}

impl Frozen {
    /// The older of both, each for itself.
    pub(crate) fn min(self, other: Frozen) -> Frozen {
        let xid = if other.xid.precedes(self.xid) { other.xid } else { self.xid };
        let multi = if precedes(other.multi, self.multi) { other.multi } else { self.multi };
        Frozen { xid, multi }
    }

    /// The newer of both, each for itself.
    fn max(self, other: Frozen) -> Frozen {
        let xid = if self.xid.precedes(other.xid) { other.xid } else { self.xid };
        let multi = if precedes(self.multi, other.multi) { other.multi } else { self.multi };
        Frozen { xid, multi }
    }

    /// What the whole database is known to have.
    fn oldest(storage: &Storage) -> Frozen {
        let ids = storage.ids.lock();
        Frozen { xid: ids.oldest_xid, multi: ids.oldest_multi }
    }
}

/// What is kept of one table, or of the database, and where its row is.
#[derive(Debug)]
pub(crate) struct FrozenCell {
    oid: Oid,
    row: Mutex<(Option<Tid>, Frozen)>,
}

impl FrozenCell {
    /// Of the table of this number; filled when that is made, or read.
    pub(super) fn new(oid: Oid) -> FrozenCell {
        FrozenCell { oid, row: Mutex::new((None, Frozen { xid: Xid::FIRST_NORMAL, multi: 1 })) }
    }

    fn lock(&self) -> MutexGuard<'_, (Option<Tid>, Frozen)> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The oldest that rows may name unfrozen.
    pub(crate) fn get(&self) -> Frozen {
        self.lock().1
    }
}

pub(super) fn frozen() -> TableEntry {
    let columns = ["table_oid", "relfrozenxid", "relminmxid"];
    let columns = columns.map(|name| Column::new(name, ColumnType::Int8).not_null());
    TableEntry::new(FROZEN, "strata_frozen", FROZEN, columns.into())
}

/// The database's.
pub(super) fn of_database() -> FrozenCell {
    FrozenCell::new(DEFAULT_DATABASE)
}

fn row_of(oid: Oid, frozen: Frozen) -> [Value<'static>; 3] {
    [oid, frozen.xid.0, frozen.multi].map(|number| Value::Int8(i64::from(number)))
}

/// Makes the first page where there is none, with rows of the catalog's own tables and of the database: nobody's, frozen from
/// the beginning, and logged as an image.
///
/// # Errors
/// As the disk says, and where the log is stopped.
pub(super) fn make_first_page(
    storage: &Storage,
    catalog: &Catalog,
    inserter: &mut Inserter,
) -> Result<(), Error> {
    let oldest = Frozen::oldest(storage);
    let relation = catalog.frozen.locator;
    let blocks = storage.pool.store().blocks(relation, ForkNumber::Main);
    let failed = |error| Error::Relation { action: "read the length of", relation, error };
    // A crash may have lost the image, and not the file.
    let pinned = match blocks.map_err(failed)? {
        0 => storage.pool.extend(relation, ForkNumber::Main)?,
        _ => storage.pool.get(catalog.frozen.page_name(0))?,
    };
    if RawPage::new(&pinned.read()).header().upper != 0 {
        return Ok(());
    }
    let name = pinned.name();
    let mut guard = pinned.write();
    let mut page = guard.init(0);
    let how = Insertion { freeze: true, ..Insertion::new(name.block, Xid::FROZEN, 0) };
    let (mut tuple, mut change) = (Vec::new(), Change::default());
    let own = catalog.own().map(|table| table.oid);
    for oid in own.into_iter().chain([DEFAULT_DATABASE]) {
        let row = row_of(oid, oldest);
        form_tuple(&catalog.frozen.types, &row, &mut tuple)
            .map_err(|error| Error::Row { table: catalog.frozen.name.clone(), error })?;
        insert_tuple(&mut page, &how, &mut tuple, &mut change).map_err(heap_error(name))?;
    }
    let image = PageImage { xid: Xid::INVALID, name, is_standard: true };
    log_page(storage, inserter, image, &mut guard)
}

/// Writes the row of a new table. Its rows come from transactions that run now, or later ones.
///
/// # Errors
/// As an insertion.
pub(super) fn insert(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    table: &TableEntry,
) -> Result<(), Error> {
    let shared = transaction.session.shared;
    let frozen = Frozen {
        xid: shared.transactions.array.horizons(None, None).oldest_considered_running.xid.xid(),
        multi: shared.transactions.oldest_multixact(&shared.storage),
    };
    let tid = transaction.insert_row(&catalog.frozen, &row_of(table.oid, frozen))?;
    *table.frozen.lock() = (Some(tid), frozen);
    Ok(())
}

/// Reads what is kept of all tables that the catalog knows.
///
/// # Errors
/// As a scan.
pub(super) fn load(transaction: &mut Transaction<'_, '_>, catalog: &Catalog) -> Result<(), Error> {
    let storage = &transaction.session.shared.storage;
    let oldest = Frozen::oldest(storage);
    let tables = catalog.all_present();
    let cells = || tables.iter().map(|table| &table.frozen).chain([&catalog.database]);
    cells().for_each(|cell| *cell.lock() = (None, oldest));
    let rows = transaction.scan(&catalog.frozen)?.collect::<Result<Vec<Row>, Error>>()?;
    take_in(&rows, cells())
}

/// Takes in what rows say of those tables that are asked about.
///
/// # Errors
/// Where a row lacks something.
pub(super) fn take_in<'c>(
    rows: &[Row],
    cells: impl Iterator<Item = &'c FrozenCell>,
) -> Result<(), Error> {
    let cells: BTreeMap<Oid, &FrozenCell> = cells.map(|cell| (cell.oid, cell)).collect();
    for row in rows {
        let values = row.values()?;
        let number = |value: &Value<'_>| match value {
            Value::Int8(number) => u32::try_from(*number).ok(),
            _ => None,
        };
        let numbers: Option<Vec<u32>> = values.iter().map(number).collect();
        let Some(&[oid, xid, multi]) = numbers.as_deref() else {
            return Err(Error::Catalog(format!("row {} of strata_frozen has no ids", row.tid())));
        };
        if let Some(cell) = cells.get(&oid) {
            *cell.lock() = (Some(row.tid()), Frozen { xid: Xid(xid), multi });
        }
    }
    Ok(())
}

/// Notes that nothing older is left in a table. What was known stays known: only what is newer is written. A row that is
/// missing is put in by the transaction.
///
/// # Errors
/// As the pool says, and where the log is stopped.
pub(crate) fn advance(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    cell: &FrozenCell,
    found: Frozen,
) -> Result<(), Error> {
    let (place, known) = *cell.lock();
    let frozen = known.max(found);
    let Some(tid) = place else {
        let tid = transaction.insert_row(&catalog.frozen, &row_of(cell.oid, frozen))?;
        *cell.lock() = (Some(tid), frozen);
        return Ok(());
    };
    if frozen == known {
        return Ok(());
    }
    let Session { shared, inserter, change, .. } = &mut *transaction.session;
    let name = catalog.frozen.page_name(tid.block);
    let pinned = shared.storage.pool.get(name)?;
    let mut guard = pinned.write();
    let numbers = [cell.oid, frozen.xid.0, frozen.multi];
    let values: Vec<u8> = numbers.iter().flat_map(|n| i64::from(*n).to_le_bytes()).collect();
    let mut page = guard.page_mut().map_err(|error| Error::Page { name, error })?;
    inplace::overwrite(&mut page, tid.offset, &values, change).map_err(heap_error(name))?;
    log_change(shared, inserter, Xid::INVALID, change, &mut [(name, &mut guard)])?;
    *cell.lock() = (Some(tid), frozen);
    Ok(())
}
