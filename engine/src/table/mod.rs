//! Tables: rows put in, read, changed and deleted by transactions.
//!
//! ```text
//! insert    page with room (the session's last, one that is known to have room, a new one) ─► heap::insert ─► log
//! scan      page by page, in a ring ─► the rows that the snapshot sees ─► hints set, garbage removed on the way
//! change    row's version ─► satisfies_update ─► someone else's? wait for his end ─► changed since? follow to the newest
//!           version ─► the caller says what becomes of it ─► heap::update or heap::delete ─► log ─► indexes, unless HOT
//! ```
//!
//! Invariants: at most two pages are locked at once, in the order of their numbers, and none while another transaction's
//! end is waited for or the caller's code runs; a reader by commit timestamp may wait with a page for a commit that is
//! under way, which waits for no page. A change goes ahead only if the version is, under the lock, what the caller was
//! shown.

mod attempt;
mod chain;
mod check_index;
mod chunks;
mod copied;
mod detoast;
mod dirty;
mod find;
mod index;
mod index_only;
pub(crate) mod index_rows;
mod insert;
mod lock;
mod modify;
pub(crate) mod page;
pub(crate) mod prune;
pub(crate) mod room;
mod row_xmax;
mod scan;
mod stored;
mod toast;

use std::sync::OnceLock;

use base::sync::Arc;
use base::{Oid, Tid};

use crate::Error;
use crate::catalog::{Column, ComputedValues, TableEntry};
use crate::heap::varlena::{LONG_HEADER, SHORT_MAX, Varlena, read_compressed_header};
use crate::heap::{Compression, RowLock, TupleValues, Value};
use crate::lock::{TableLockMode, WaitPolicy};
use crate::planted::{self, Bug};
use crate::transaction::Transaction;
use crate::visibility_map::all_visible_blocks;
pub use check_index::{CheckedIndex, IndexCheck};
pub use copied::RowRef;
pub use dirty::DirtyRow;
pub(crate) use index::IndexScanRoom;
pub use index::{IndexScan, TableIndex};
pub use index_only::{IndexOnlyScan, IndexedRow};
pub use insert::InsertOutcome;
use insert::blocks_of;
pub use lock::RowLocked;
use modify::{Modified, NewRow};
pub use scan::{PageScan, Scan};

/// A table, to be used in transactions. It can be kept: whether the table is still there is looked at by each use.
#[derive(Debug, Clone)]
pub struct Table(Arc<TableEntry>);

/// A row, as a transaction saw it.
#[derive(Debug, Clone)]
pub struct Row {
    tid: Tid,
    root: Tid,
    tuple: Box<[u8]>,
    /// The same with all of its values in it, none of them compressed; once that was asked for, and if it is another.
    flat: OnceLock<Box<[u8]>>,
    table: Arc<TableEntry>,
}

/// What came of changing a version that a command had seen.
#[derive(Debug, Clone)]
pub enum VersionChange {
    /// It is changed.
    Changed {
        /// The row's root, as [`Row::root`].
        root: Tid,
        /// Where the new version is, as [`Row::tid`]; of a row that was deleted, the one that has ended.
        tid: Tid,
    },
    /// Somebody has given the row other values, and committed: nothing was changed. Whether the command still wants the
    /// row is to be looked at again.
    Newer(Row),
    /// Somebody has deleted the row, or the command itself has changed it.
    Gone,
}

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredValue {
    /// Bytes of it, a header in the row included; of one that is out of line those of its chunks (`pg_column_size`).
    pub size: usize,
    /// How it is compressed, if it is.
    pub compression: Option<Compression>,
}

impl Row {
    pub(crate) fn new(tid: Tid, tuple: &[u8], table: &Arc<TableEntry>) -> Row {
        let (tuple, table) = (tuple.into(), Arc::clone(table));
        Row { tid, root: tid, tuple, flat: OnceLock::new(), table }
    }

    pub(crate) fn with_root(self, root: Tid) -> Row {
        Row { root, ..self }
    }

    /// Where this version of the row is. The line pointer is the version's own: when nobody can see it any more, another
    /// row's may get it.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// The line pointer that the row's versions on this page hang from, which is what an index would know
    /// (`heap_get_root_tuples`). It leads to the row, whoever changes it, until a version of it on another page is all that
    /// is left.
    pub fn root(&self) -> Tid {
        self.root
    }

    /// Its values, in the order of the columns. Those that are out of line are fetched by the first call: the transaction that
    /// the row was read by must go on until then, and under read committed the command. They may be gone otherwise.
    ///
    /// # Errors
    /// Where the stored row does not fit the table's columns; [`Error::Toast`], where a value out of line cannot be had, or is
    /// damaged.
    pub fn values(&self) -> Result<Vec<Value<'_>>, Error> {
        self.by_ref().values()
    }

    /// One of them, by the number of its column from 0; `None` where there is no such column. Others are not fetched, unless it
    /// is compressed or out of line itself.
    ///
    /// # Errors
    /// As [`Row::values`].
    pub fn value(&self, column: usize) -> Result<Option<Value<'_>>, Error> {
        self.by_ref().value(column)
    }

    /// The same row, lent.
    pub fn by_ref(&self) -> RowRef<'_> {
        let Row { tid, root, tuple, flat, table } = self;
        RowRef { tid: *tid, root: *root, tuple, flat, table }
    }

    /// How one of its values is stored, by the number of its column from 0; `None` of a null. Nothing is fetched.
    ///
    /// # Errors
    /// Where the stored row does not fit the table's columns.
    pub fn stored_value(&self, column: usize) -> Result<Option<StoredValue>, Error> {
        let damaged = |error| Error::Row { table: self.table.name.clone(), error };
        let mut values = TupleValues::of(&self.table.types, &self.tuple).map_err(damaged)?;
        for _ in 0..column {
            values.next_stored().transpose().map_err(damaged)?;
        }
        let value = values.next_stored().transpose().map_err(damaged)?.flatten();
        Ok(value.zip(self.table.columns.get(column)).map(|(value, column)| {
            let (size, compression) = match value {
                Varlena::Plain(bytes) if column.column_type.length().is_some() => {
                    (bytes.len(), None)
                }
                Varlena::Plain(bytes) if column.packs() && bytes.len() <= SHORT_MAX => {
                    (bytes.len() + 1, None)
                }
                Varlena::Plain(bytes) => (bytes.len() + LONG_HEADER, None),
                Varlena::Compressed(bytes) => {
                    let header = bytes.first_chunk().copied().unwrap_or_default();
                    (bytes.len() + LONG_HEADER, read_compressed_header(header).1)
                }
                Varlena::External(pointer) => (pointer.stored_length(), pointer.compression()),
            };
            StoredValue { size, compression }
        }))
    }

    /// The whole tuple as it is stored, its header included.
    pub fn tuple(&self) -> &[u8] {
        &self.tuple
    }
}

impl Table {
    pub(crate) fn new(entry: Arc<TableEntry>) -> Table {
        Table(entry)
    }

    pub(crate) fn entry(&self) -> &Arc<TableEntry> {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column] {
        &self.0.columns
    }

    /// Its number, which no other table ever has.
    pub fn oid(&self) -> base::Oid {
        self.0.oid
    }

    /// The TOAST table that its long values go to, if it has one. It can be read as any other.
    pub fn toast_table(&self) -> Option<Table> {
        self.0.toast.as_ref().map(|toast| Table(Arc::clone(&toast.table)))
    }

    /// What its maker wrote down of it.
    pub fn definition(&self) -> Option<&str> {
        self.0.definition.as_deref()
    }

    /// Its file.
    pub fn locator(&self) -> base::RelFileLocator {
        self.0.locator
    }

    /// Puts a row in, and says where.
    ///
    /// # Errors
    /// Where a value is null that must not be, or the table a TOAST table, which leaves the transaction as it was; where the
    /// values do not fit the columns, or the row not a page, whatever is compressed or moved out of line; where the disk is
    /// full or the log stopped.
    pub fn insert(
        &self,
        transaction: &mut Transaction<'_, '_>,
        values: &[Value<'_>],
    ) -> Result<Tid, Error> {
        self.insert_unless(transaction, values, &[], &[])?.place()
    }

    /// Puts a row in, of which indexes have computed this, and says where, unless somebody has its key of one of the unique
    /// indexes `arbiters`, by their numbers, or may be about to have it: then nothing is there of it. A key of another
    /// index is waited for.
    ///
    /// # Errors
    /// As [`Table::insert`]; [`Error::Unique`] where another row has its key of an index that is no arbiter;
    /// [`Error::NotComputed`] where an index computes what is not given.
    pub fn insert_unless(
        &self,
        transaction: &mut Transaction<'_, '_>,
        values: &[Value<'_>],
        computed: &ComputedValues<'_>,
        arbiters: &[Oid],
    ) -> Result<InsertOutcome, Error> {
        self.begin_change(transaction)?;
        self.0.check_row(values)?;
        let put = transaction.all_or_nothing(|transaction| {
            transaction.insert_unless(&self.0, values, computed, arbiters)
        })?;
        transaction.next_command();
        Ok(put)
    }

    /// Puts many rows in, as many a page as it has room for, and says where.
    ///
    /// # Errors
    /// As [`Table::insert`].
    pub fn insert_many(
        &self,
        transaction: &mut Transaction<'_, '_>,
        rows: &[Vec<Value<'_>>],
    ) -> Result<Vec<Tid>, Error> {
        self.begin_change(transaction)?;
        rows.iter().try_for_each(|row| self.0.check_row(row))?;
        let tids =
            transaction.all_or_nothing(|transaction| transaction.insert_rows(&self.0, rows))?;
        transaction.next_command();
        Ok(tids)
    }

    /// The row at this place, or the newer version of it on the same page that the transaction sees; `None` if it sees
    /// none.
    ///
    /// # Errors
    /// Where the page cannot be read.
    pub fn get(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
    ) -> Result<Option<Row>, Error> {
        transaction.begin_statement()?;
        transaction.use_table(&self.0, TableLockMode::AccessShare)?;
        transaction.get_row(&self.0, tid)
    }

    /// All rows that the transaction sees.
    ///
    /// # Errors
    /// Where the table's length cannot be found out; errors of pages come with the rows.
    pub fn scan<'t, 's, 'e>(
        &self,
        transaction: &'t mut Transaction<'s, 'e>,
    ) -> Result<Scan<'t, 's, 'e>, Error> {
        transaction.use_table(&self.0, TableLockMode::AccessShare)?;
        transaction.scan(&self.0)
    }

    /// The same, a page at a time.
    ///
    /// # Errors
    /// Where the table's length cannot be found out.
    pub fn scan_pages(&self, transaction: &mut Transaction<'_, '_>) -> Result<PageScan, Error> {
        transaction.use_table(&self.0, TableLockMode::AccessShare)?;
        transaction.scan_pages(&self.0)
    }

    /// How many pages it has.
    ///
    /// # Errors
    /// As a lock of the table; where its length cannot be found out.
    pub fn pages(&self, transaction: &mut Transaction<'_, '_>) -> Result<u32, Error> {
        transaction.use_table(&self.0, TableLockMode::AccessShare)?;
        self.0.blocks(transaction.session.shared)
    }

    /// How many of its pages the visibility map says that everybody sees alike.
    ///
    /// # Errors
    /// As [`Table::pages`]; where the map cannot be read.
    pub fn all_visible_pages(&self, transaction: &mut Transaction<'_, '_>) -> Result<u32, Error> {
        let pages = self.pages(transaction)?;
        all_visible_blocks(transaction.session.shared, self.locator(), pages)
    }

    /// How many pages one of its indexes has.
    ///
    /// # Errors
    /// As [`Table::pages`].
    pub fn index_pages(
        &self,
        transaction: &mut Transaction<'_, '_>,
        index: &TableIndex,
    ) -> Result<u32, Error> {
        transaction.use_table(&self.0, TableLockMode::AccessShare)?;
        blocks_of(transaction.session.shared, index.locator())
    }

    /// Gives the version of a row at this place other values, of which indexes have computed this, if it is still the
    /// newest.
    ///
    /// # Errors
    /// As [`Table::update_with`]; [`Error::NotComputed`] where an index computes what is not given.
    pub fn update_version(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        values: &[Value<'_>],
        computed: &ComputedValues<'_>,
    ) -> Result<VersionChange, Error> {
        let mut tuple = Vec::new();
        self.0.form(values, &mut tuple)?;
        let update = |into: &mut Vec<u8>| {
            into.clone_from(&tuple);
            NewRow::Update
        };
        self.change_version(transaction, tid, update, computed)
    }

    /// Deletes a row by its version at this place, if that is still the newest.
    ///
    /// # Errors
    /// As [`Table::update_with`].
    pub fn delete_version(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
    ) -> Result<VersionChange, Error> {
        self.change_version(transaction, tid, |_| NewRow::Delete, &[])
    }

    /// The same for a row that an update takes to another partition, where the caller puts it in anew: whoever finds it
    /// gone is told so ([`Error::Moved`]).
    ///
    /// # Errors
    /// As [`Table::update_with`].
    pub fn move_version(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
    ) -> Result<VersionChange, Error> {
        self.change_version(transaction, tid, |_| NewRow::Move, &[])
    }

    fn change_version(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        mut change: impl FnMut(&mut Vec<u8>) -> NewRow,
        computed: &ComputedValues<'_>,
    ) -> Result<VersionChange, Error> {
        let mut newer = None;
        let decide = |row: &Row, into: &mut Vec<u8>| {
            if row.tid() == tid || planted::has(Bug::NoRecheck) {
                return Ok(change(into));
            }
            newer = Some(row.clone());
            Ok(NewRow::Keep)
        };
        let changed = self.modify(transaction, tid, decide, computed)?;
        Ok(match (changed, newer) {
            (Some(Modified { root, tid }), _) => VersionChange::Changed { root, tid },
            (None, Some(newer)) => VersionChange::Newer(newer),
            (None, None) => VersionChange::Gone,
        })
    }

    /// Gives a row other values, whatever it holds by now. Gives the row's root, as [`Row::root`], which is another one if
    /// the new version went to another page; or `None` if the row is gone.
    ///
    /// # Errors
    /// As [`Table::update_with`].
    pub fn update(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        values: &[Value<'_>],
    ) -> Result<Option<Tid>, Error> {
        let mut tuple = Vec::new();
        self.0.form(values, &mut tuple)?;
        let update = |_: &Row, into: &mut Vec<u8>| {
            into.clone_from(&tuple);
            Ok(NewRow::Update)
        };
        let modified = self.modify(transaction, tid, update, &[])?;
        Ok(modified.map(|modified| modified.root))
    }

    /// Gives a row values that depend on those that it has: `change` is shown the newest version, and gives the new
    /// values or `None` to leave the row alone. While somebody else changes the row it may be asked several times, of older
    /// versions too, and what it says of the newest counts. Gives the row's root, as [`Table::update`] does, or `None` if the
    /// row is gone or was left alone.
    ///
    /// # Errors
    /// Where the values do not fit; [`Error::Serialization`] under repeatable read where another transaction has changed
    /// the row; [`Error::Moved`] under read committed where it has taken the row to another partition;
    /// [`Error::Deadlock`], [`Error::Cancelled`] while it waits; where the disk is full or the log stopped. The transaction
    /// can then only be rolled back.
    pub fn update_with(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        mut change: impl for<'r> FnMut(&[Value<'r>]) -> Option<Vec<Value<'r>>>,
    ) -> Result<Option<Tid>, Error> {
        let update = |row: &Row, into: &mut Vec<u8>| {
            let values = row.values()?;
            let Some(values) = change(&values) else { return Ok(NewRow::Keep) };
            self.0.form(&values, into)?;
            Ok(NewRow::Update)
        };
        let modified = self.modify(transaction, tid, update, &[])?;
        Ok(modified.map(|modified| modified.root))
    }

    /// Deletes a row; whether there was one.
    ///
    /// # Errors
    /// As [`Table::update_with`].
    pub fn delete(&self, transaction: &mut Transaction<'_, '_>, tid: Tid) -> Result<bool, Error> {
        self.delete_where(transaction, tid, |_| Ok(true))
    }

    /// Deletes a row if its newest version is as `condition` wants it; whether it did.
    ///
    /// # Errors
    /// As [`Table::update_with`].
    pub fn delete_if(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        mut condition: impl FnMut(&[Value<'_>]) -> bool,
    ) -> Result<bool, Error> {
        self.delete_where(transaction, tid, |row| Ok(condition(&row.values()?)))
    }

    fn delete_where(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        condition: impl FnMut(&Row) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        self.begin_change(transaction)?;
        let deleted = transaction
            .all_or_nothing(|transaction| transaction.delete_row(&self.0, tid, condition))?;
        transaction.next_command();
        Ok(deleted)
    }

    /// Locks a row until the transaction ends, or is rolled back to a savepoint before.
    ///
    /// # Errors
    /// [`Error::RowLockNotAvailable`] if somebody holds it and it was not to be waited for; [`Error::Serialization`] under
    /// repeatable read where another transaction has changed the row; [`Error::Deadlock`], [`Error::Cancelled`] and its like
    /// while it waits; where the log is stopped. The transaction can then only be rolled back.
    pub fn lock_row(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        strength: RowLock,
        policy: WaitPolicy,
    ) -> Result<RowLocked, Error> {
        self.check_changeable()?;
        transaction.begin_statement()?;
        transaction.use_table(&self.0, TableLockMode::RowShare)?;
        let locked = transaction
            .all_or_nothing(|transaction| transaction.lock_row(&self.0, tid, strength, policy))?;
        transaction.next_command();
        Ok(locked)
    }

    /// All rows that are there if everybody who still runs commits, with who is at work on them (`SnapshotDirty`).
    ///
    /// # Errors
    /// Where a page or a transaction's fate cannot be read.
    pub fn scan_dirty(
        &self,
        transaction: &mut Transaction<'_, '_>,
    ) -> Result<Vec<DirtyRow>, Error> {
        transaction.check()?;
        transaction.use_table(&self.0, TableLockMode::AccessShare)?;
        transaction.session.scan_dirty(&self.0)
    }

    /// Begins a statement that changes rows.
    fn begin_change(&self, transaction: &mut Transaction<'_, '_>) -> Result<(), Error> {
        self.check_changeable()?;
        transaction.begin_statement()?;
        transaction.use_table(&self.0, TableLockMode::RowExclusive)
    }

    /// Refuses a TOAST table, whose rows are changed with those of its table alone.
    pub(crate) fn check_changeable(&self) -> Result<(), Error> {
        if self.0.is_toast { Err(Error::ToastTable(self.0.name.clone())) } else { Ok(()) }
    }

    fn modify(
        &self,
        transaction: &mut Transaction<'_, '_>,
        tid: Tid,
        decide: impl FnMut(&Row, &mut Vec<u8>) -> Result<NewRow, Error>,
        computed: &ComputedValues<'_>,
    ) -> Result<Option<Modified>, Error> {
        self.begin_change(transaction)?;
        let changed = transaction
            .all_or_nothing(|transaction| transaction.modify_row(&self.0, tid, decide, computed))?;
        transaction.next_command();
        Ok(changed)
    }
}
