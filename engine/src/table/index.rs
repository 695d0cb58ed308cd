//! Indexes of a table: maintained with its rows, and read.
//!
//! ```text
//! insert, or update that is not HOT     row in the heap ─► an entry in each index ─► unique: somebody else's key? wait, or error
//! scan                                  entry ─► the row's versions on its page ─► the one that the snapshot sees
//! ```
//!
//! Invariants: a row is in the heap before an index leads to it. An index leads to the line pointer that a chain of
//! heap-only versions hangs from; all of them have the same values in all indexed columns. No lock of a page is held while
//! anybody is waited for. Source: `ExecInsertIndexTuples`, `index_getnext_slot`.

use std::ops::Bound;

use base::sync::Arc;
use base::{Oid, Tid, Xid};
use snapshot::TupleStamp;
use snapshot::satisfies::{MvccSnapshot, Outcome, satisfies_dirty};

use super::chain::{Rows, walk};
use super::copied::CopiedRows;
use super::page::page_of;
use super::{DirtyRow, Row, RowRef, Table};
use crate::Error;
use crate::btree::form::AsStored;
use crate::btree::scan::{AllVisible, KeyBound, ScanRoom};
use crate::btree::unique::Inserted;
use crate::btree::{self, Direction, Heap, Index};
use crate::btree::{IndexError, KeyError};
use crate::catalog::{ComputedValues, IndexDefinition, IndexEntry, TableEntry};
use crate::heap::{TupleValues, Value};
use crate::lock::{TableLockMode, WaitPolicy};
use crate::session::{Isolation, Session};
use crate::transaction::Transaction;

/// Rows of a page that a scan reads at once, at most.
const MOST_AT_ONCE: usize = 64;

/// An index of a table. It can be kept: whether it is still there is looked at by each use.
#[derive(Debug, Clone)]
pub struct TableIndex(Arc<IndexEntry>);

impl TableIndex {
    pub(crate) fn new(entry: Arc<IndexEntry>) -> TableIndex {
        TableIndex(entry)
    }

    pub(crate) fn entry(&self) -> &Arc<IndexEntry> {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.definition.name
    }

    /// What it is.
    pub fn definition(&self) -> &IndexDefinition {
        &self.0.definition
    }

    /// Its number, which no other index or table ever has.
    pub fn oid(&self) -> base::Oid {
        self.0.oid
    }

    /// Its file.
    pub fn locator(&self) -> base::RelFileLocator {
        self.0.known.locator()
    }
}

/// A row that indexes get entries for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnteredRow<'a> {
    pub(crate) tuple: &'a [u8],
    /// The tuple of the version before it, where there is one.
    pub(crate) old: Option<&'a [u8]>,
    pub(crate) tid: Tid,
    /// What indexes have computed of it.
    pub(crate) computed: &'a ComputedValues<'a>,
    /// Unique indexes that may refuse it, by their numbers.
    pub(crate) arbiters: &'a [Oid],
}

/// Rows found by an index, in its order. Between two of them the transaction may do something else; it is done with when the
/// command ends in which it was begun.
#[derive(Debug)]
pub struct IndexScan<'e> {
    pub(super) table: Arc<TableEntry>,
    scan: btree::Scan<'e>,
    room: Box<IndexScanRoom>,
    /// How many are read at once: ever more, since who wants many goes on.
    at_once: usize,
}

/// Memory of an index scan, or for what is found by a key; the session's next one uses it again.
#[derive(Debug, Default)]
pub(crate) struct IndexScanRoom {
    /// Rows that were read along with the first of them, being on its page.
    pub(super) read: CopiedRows,
    /// Where they are to be read, while they are.
    pub(super) wanted: Vec<Tid>,
    /// The entries', until the next scan.
    found: ScanRoom,
}

/// What an index scan comes to.
pub(super) enum IndexFound {
    /// An entry of a row that everybody sees.
    Entry(Tid, Arc<[u8]>),
    /// A row, which [`IndexScan::current`] has.
    Row,
}

impl Table {
    /// Its indexes, in the order in which they were made: what the transaction's rows are put into.
    pub fn all_indexes(&self, transaction: &Transaction<'_, '_>) -> Vec<TableIndex> {
        let all = self.entry().indexes();
        let known = all.iter().filter(|index| transaction.knows(index));
        known.map(|index| TableIndex::new(Arc::clone(index))).collect()
    }

    /// Its indexes that the transaction may read by, in the order in which they were made.
    ///
    /// # Errors
    /// As a lock of the table; where a transaction's fate cannot be read.
    pub fn indexes(&self, transaction: &mut Transaction<'_, '_>) -> Result<Vec<TableIndex>, Error> {
        transaction.begin_statement()?;
        transaction.use_table(self.entry(), TableLockMode::AccessShare)?;
        let mut usable = Vec::new();
        for index in self.entry().indexes().iter() {
            if transaction.may_use(index)? {
                usable.push(TableIndex::new(Arc::clone(index)));
            }
        }
        Ok(usable)
    }

    /// The rows between two bounds that the transaction sees. Each bound is of values of the first columns of the index.
    ///
    /// # Errors
    /// Where the index is gone, or is of another table, or lacks what the transaction's snapshot may see; where values do
    /// not fit its columns.
    pub fn scan_index<'e>(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        index: &TableIndex,
        lower: KeyBound<'_>,
        upper: KeyBound<'_>,
        direction: Direction,
    ) -> Result<IndexScan<'e>, Error> {
        let entry = self.begin_index_read(transaction, index)?;
        let storage = &transaction.session.shared.storage;
        let scan = Index::of(storage, &entry.known).scan(lower, upper, direction)?;
        let mut room = transaction.session.index_scan.take().unwrap_or_default();
        let scan = scan.with_room(std::mem::take(&mut room.found));
        Ok(IndexScan { table: Arc::clone(self.entry()), scan, room, at_once: 1 })
    }

    /// Begins a statement that reads by an index of the table.
    pub(super) fn begin_index_read<'i>(
        &self,
        transaction: &mut Transaction<'_, '_>,
        index: &'i TableIndex,
    ) -> Result<&'i IndexEntry, Error> {
        transaction.begin_statement()?;
        transaction.use_table(self.entry(), TableLockMode::AccessShare)?;
        let entry = index.entry();
        match entry.table == self.oid() && transaction.may_use(entry)? {
            true => Ok(entry),
            false => Err(Error::NoIndex(index.name().to_owned())),
        }
    }

    /// The rows with this key that are there if everybody who still runs commits, with who is at work on them: what
    /// [`Table::scan_dirty`] gives of the whole table. Of an index that computes something, rows of other keys may be among
    /// them: the caller computes it of each.
    ///
    /// # Errors
    /// As [`Table::scan_index`].
    pub fn find_dirty(
        &self,
        transaction: &mut Transaction<'_, '_>,
        index: &TableIndex,
        key: &[Value<'_>],
    ) -> Result<Vec<DirtyRow>, Error> {
        // With a snapshot, so that no page is used again that the search has a link to.
        transaction.begin_statement()?;
        transaction.use_table(self.entry(), TableLockMode::AccessShare)?;
        let entry = index.entry();
        if entry.table != self.oid() || !transaction.knows(entry) {
            return Err(Error::NoIndex(index.name().to_owned()));
        }
        let session = &*transaction.session;
        let bound = Bound::Included(key);
        let index = Index::of(&session.shared.storage, &entry.known);
        let mut rows = Vec::new();
        for found in index.scan(bound, bound, Direction::Forward)? {
            // Vacuum may have given the place to another row since the entry was read.
            let Some(found) = session.dirty_row(self.entry(), found?)? else { continue };
            let has_key = match entry.pick(&found.row.values()?, &[]) {
                Some(values) => index.has_key(&values, key)?,
                None => true,
            };
            if has_key {
                rows.push(found);
            }
        }
        Ok(rows)
    }
}

impl<'e> IndexScan<'e> {
    /// The same scan, which gives entries of rows that everybody sees.
    pub(super) fn with_entries(self, all_visible: impl AllVisible + 'e) -> IndexScan<'e> {
        IndexScan { scan: self.scan.with_entries(all_visible), ..self }
    }

    /// The next row that the transaction sees, which is the one that the scan was begun in; `None` after the last.
    ///
    /// # Errors
    /// Where a page cannot be read; that ends the scan.
    pub fn next_row(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.next_ref(transaction)?.map(|row| row.to_row()))
    }

    /// The same, lent until the next one is asked for: for who needs no row longer.
    ///
    /// # Errors
    /// As [`IndexScan::next_row`].
    pub fn next_ref(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<Option<RowRef<'_>>, Error> {
        match self.next_found(transaction)? {
            Some(IndexFound::Row) => Ok(self.current()),
            Some(IndexFound::Entry(..)) => {
                unreachable!("a scan with entries is an IndexOnlyScan's")
            }
            None => Ok(None),
        }
    }

    /// The row that [`IndexScan::next_found`] has come to.
    pub(super) fn current(&self) -> Option<RowRef<'_>> {
        self.room.read.current(&self.table)
    }

    /// The next row, or an entry where the scan gives entries.
    pub(super) fn next_found(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<Option<IndexFound>, Error> {
        loop {
            if self.room.read.advance() {
                return Ok(Some(IndexFound::Row));
            }
            let found = self.scan.next_found();
            if let Some(killed) = self.scan.take_killed() {
                let session = &mut *transaction.session;
                let xid = session.own_xid().unwrap_or(Xid::INVALID);
                self.scan.index().writer(&mut session.inserter, xid).kill(&killed)?;
            }
            let Some(found) = found else {
                self.leave_room(transaction.session);
                return Ok(None);
            };
            transaction.session.check_cancelled()?;
            let (tid, entry) = found?;
            if let Some(entry) = entry {
                return Ok(Some(IndexFound::Entry(tid, entry)));
            }
            self.room.wanted.clear();
            self.room.wanted.push(tid);
            while self.room.wanted.len() < self.at_once
                && let Some(more) = self.scan.next_on(tid.block)
            {
                self.room.wanted.push(more);
            }
            self.at_once = (8 * self.at_once).min(MOST_AT_ONCE);
            self.room.read.clear();
            if let Err(error) =
                transaction.get_rows(&self.table, &mut self.room.wanted, &mut self.room.read)
            {
                // Nothing is left out without a word: the scan ends.
                self.room.read.clear();
                self.scan.end();
                return Err(error);
            }
            for at in 0..self.room.wanted.len() {
                self.kill_if_dead(transaction, self.room.wanted[at])?;
            }
        }
    }

    /// At its end it leaves its memory to the session's next one.
    fn leave_room(&mut self, session: &mut Session<'_>) {
        self.room.read.clear();
        self.room.wanted.clear();
        self.room.found = self.scan.take_room();
        session.index_scan = Some(std::mem::take(&mut self.room));
    }

    fn kill_if_dead(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
        tid: Tid,
    ) -> Result<(), Error> {
        if transaction.session.is_dead(&self.table, tid)? {
            self.scan.kill(tid);
        }
        Ok(())
    }
}

impl Transaction<'_, '_> {
    /// Whether an index is one that this transaction knows of and has not dropped.
    pub(crate) fn knows(&self, index: &Arc<IndexEntry>) -> bool {
        index.is_known_to(self.session.number()) && !index.is_gone() && !self.has_dropped(index)
    }

    /// Whether it may read by an index: one whose making left versions out serves only who sees that it was made.
    pub(crate) fn may_use(&self, index: &Arc<IndexEntry>) -> Result<bool, Error> {
        if !self.knows(index) {
            return Ok(false);
        }
        let Some(maker) = index.lacks_before() else { return Ok(true) };
        if index.is_made_by(self.session.number()) {
            return Ok(self.isolation == Isolation::ReadCommitted);
        }
        let Some(snapshot) = &self.session.snapshot else { return Ok(false) };
        Ok(snapshot.outcome(maker, false, &self.session.status())? == Outcome::Committed)
    }

    /// Puts entries for a row into all indexes of its table, which are these. Ends with the first of its arbiters in which
    /// another row has its key, or may be about to have it; in others that is waited for, and an error.
    pub(crate) fn insert_entries(
        &mut self,
        table: &TableEntry,
        indexes: &[Arc<IndexEntry>],
        entered: &EnteredRow<'_>,
    ) -> Result<Option<Oid>, Error> {
        let EnteredRow { tuple, old, tid, computed, arbiters } = *entered;
        if indexes.is_empty() {
            return Ok(None);
        }
        let row = table.values(tuple)?;
        let old_tuple = old;
        let old = old.map(|old| table.values_in_line(old)).transpose()?;
        let default = self.session.compression;
        for index in indexes {
            if self.has_dropped(index) {
                continue;
            }
            let values = index.pick(&row, computed).ok_or_else(|| Error::NotComputed {
                index: index.definition.name.clone(),
                table: table.name.clone(),
            })?;
            let is_unchanged = old.as_ref().is_some_and(|old| index.has_same_key(old, &row));
            let compressed = match old_tuple {
                Some(old) => table.compressed_values(index, old, Some(&row))?,
                None => Vec::new(),
            };
            let stored = AsStored { default, compressed: &compressed };
            loop {
                match self.put_entry(table, index, (&values, stored), is_unchanged, tid)? {
                    Inserted::Done => break,
                    Inserted::Wait(_) | Inserted::Conflict(_) if arbiters.contains(&index.oid) => {
                        return Ok(Some(index.oid));
                    }
                    Inserted::Wait(xid) => {
                        self.session.wait_for(xid, WaitPolicy::Wait)?;
                    }
                    Inserted::Conflict(with) => {
                        let index = index.definition.name.clone();
                        return Err(Error::Unique { index, tid: with });
                    }
                }
            }
        }
        Ok(None)
    }

    fn put_entry(
        &mut self,
        table: &TableEntry,
        index: &IndexEntry,
        (values, stored): (&[Value<'_>], AsStored<'_>),
        is_unchanged: bool,
        tid: Tid,
    ) -> Result<Inserted, Error> {
        let xid = self.assign_xid()?;
        let session = &mut *self.session;
        let (shared, horizon) = (session.shared, session.horizon());
        let (inserter, status) = session.log_and_status();
        let mut rows = Rows { shared, table, status, horizon };
        let btree = Index::of(&shared.storage, &index.known);
        let mut writer = btree.writer(inserter, xid).of_stored(stored);
        let inserted = if index.definition.is_unique {
            writer.insert_unique(values, tid, is_unchanged, &mut rows)
        } else {
            writer.insert_with(values, tid, is_unchanged, &mut rows).map(|_| Inserted::Done)
        };
        inserted.map_err(|error| index.refused(table, tid, error))
    }
}

impl IndexEntry {
    /// The error of an entry for a row of this place that is too long.
    pub(crate) fn refused(&self, table: &TableEntry, tid: Tid, error: Error) -> Error {
        match error {
            Error::Index(IndexError::Key(KeyError::TooBig { length })) => Error::IndexRow {
                index: self.definition.name.clone(),
                table: table.name.clone(),
                tid,
                length,
            },
            error => error,
        }
    }
}

impl TableEntry {
    /// The values of one of its rows, all of which are in it.
    pub(crate) fn values<'t>(&'t self, tuple: &'t [u8]) -> Result<Vec<Value<'t>>, Error> {
        let values = TupleValues::of(&self.types, tuple).and_then(Iterator::collect);
        values.map_err(|error| Error::Row { table: self.name.clone(), error })
    }

    /// Whether two tuples differ in a column of an index (`HeapDetermineColumnsInfo`). The new one has all values in it.
    pub(super) fn changes_indexed(
        &self,
        indexes: &[Arc<IndexEntry>],
        old: &[u8],
        new: &[u8],
    ) -> Result<bool, Error> {
        let last = indexes.iter().filter_map(|index| index.reads.last().copied()).max();
        let Some(last) = last else { return Ok(false) };
        self.differ(old, new, last, |column| {
            indexes.iter().any(|index| index.reads.binary_search(&column).is_ok())
        })
    }
}

impl Session<'_> {
    /// Whether nobody sees what hangs from a line pointer, nor will.
    pub(super) fn is_dead(&mut self, table: &TableEntry, tid: Tid) -> Result<bool, Error> {
        if !table.has_block(self.shared, tid.block)? {
            return Ok(false);
        }
        let (shared, horizon) = (self.shared, self.horizon());
        let mut rows = Rows { shared, table, status: self.status(), horizon };
        let mut dead = Vec::new();
        rows.find_dead(&[(tid, false)], &mut Xid::INVALID.clone(), &mut dead)?;
        Ok(!dead.is_empty())
    }

    /// The version of a row that is there if everybody who still runs commits.
    pub(crate) fn dirty_row(
        &self,
        table: &Arc<TableEntry>,
        tid: Tid,
    ) -> Result<Option<DirtyRow>, Error> {
        let name = table.page_name(tid.block);
        let pinned = self.shared.storage.pool.get(name)?;
        let status = self.status();
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else { return Ok(None) };
        walk(name, &page, tid.offset, &status, |version| {
            let stamp: &TupleStamp = &version.stamp;
            let dirty = satisfies_dirty(stamp, &status)?.verdict;
            if !dirty.visible {
                return Ok(None);
            }
            let place = Tid { block: tid.block, offset: version.offset };
            Ok(Some(DirtyRow::new(Row::new(place, version.tuple, table).with_root(tid), &dirty)))
        })
    }
}
