//! Putting rows in.
//!
//! Invariant: a row is in the heap before indexes lead to it.

use base::{BlockNumber, ForkNumber, Oid, RelFileLocator, Tid};

use super::index::EnteredRow;
use super::page::{clear_map, heap_error, log_change, page_to_fill};
use crate::Error;
use crate::buffer::{PageName, PageStore};
use crate::catalog::changes::RowChange;
use crate::catalog::{ComputedValues, TableEntry};
use crate::db::Shared;
use crate::heap::Value;
use crate::heap::delete;
use crate::heap::insert::{self, Insertion};
use crate::heap::tuple::form_long_tuple;
use crate::transaction::Transaction;
use crate::visibility_map::MapPage;

/// Memory for a row that is kept for the next one, in bytes.
const MOST_KEPT: usize = 1 << 16;

/// What came of putting a row in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertOutcome {
    /// It is in, at this place.
    Inserted(Tid),
    /// Its key of this index, one of those that were named, is another row's, or may be: the row was taken back.
    Taken(Oid),
}

impl InsertOutcome {
    /// Where the row is that no index could refuse, none having been named.
    pub(super) fn place(self) -> Result<Tid, Error> {
        match self {
            InsertOutcome::Inserted(tid) => Ok(tid),
            InsertOutcome::Taken(index) => {
                Err(Error::Catalog(format!("index {index} took a row back unasked")))
            }
        }
    }
}

impl TableEntry {
    /// Whether a row can be stored, but for its size.
    pub(crate) fn check_row(&self, values: &[Value<'_>]) -> Result<(), Error> {
        let refuses = self
            .columns
            .iter()
            .zip(values)
            .find(|(column, value)| column.not_null && matches!(value, Value::Null));
        match refuses {
            Some((column, _)) => {
                Err(Error::NotNull { table: self.name.clone(), column: column.name.clone() })
            }
            None => Ok(()),
        }
    }

    /// Makes a tuple of a row, with all values in it, however long that is.
    pub(crate) fn form(&self, values: &[Value<'_>], tuple: &mut Vec<u8>) -> Result<(), Error> {
        self.check_row(values)?;
        form_long_tuple(&self.types, |column| self.columns[column].packs(), values, tuple)
            .map_err(|error| Error::Row { table: self.name.clone(), error })
    }

    pub(crate) fn page_name(&self, block: BlockNumber) -> PageName {
        PageName { locator: self.locator, fork: ForkNumber::Main, block }
    }

    /// Whether a page is there. The caller has a lock of the table.
    #[inline]
    pub(crate) fn has_block(&self, shared: &Shared, block: BlockNumber) -> Result<bool, Error> {
        if self.extension.has(block) {
            return Ok(true);
        }
        let blocks = self.blocks(shared)?;
        self.extension.saw(blocks);
        Ok(block < blocks)
    }

    /// How many pages it has.
    pub(crate) fn blocks(&self, shared: &Shared) -> Result<BlockNumber, Error> {
        blocks_of(shared, self.locator)
    }
}

/// How many pages a table or an index has.
pub(super) fn blocks_of(shared: &Shared, relation: RelFileLocator) -> Result<BlockNumber, Error> {
    let blocks = shared.storage.pool.store().blocks(relation, ForkNumber::Main);
    blocks.map_err(|error| Error::Relation { action: "read the length of", relation, error })
}

impl Transaction<'_, '_> {
    /// Puts a row in that indexes compute nothing of.
    pub(crate) fn insert_row(
        &mut self,
        table: &TableEntry,
        values: &[Value<'_>],
    ) -> Result<Tid, Error> {
        self.insert_unless(table, values, &[], &[])?.place()
    }

    /// Puts a row in, of which indexes have computed this, unless somebody has its key of one of the indexes `arbiters`, or
    /// may be about to have it.
    pub(crate) fn insert_unless(
        &mut self,
        table: &TableEntry,
        values: &[Value<'_>],
        computed: &ComputedValues<'_>,
        arbiters: &[Oid],
    ) -> Result<InsertOutcome, Error> {
        let mut tuple = std::mem::take(&mut self.session.tuple);
        let formed = table.form(values, &mut tuple);
        let inserted =
            formed.and_then(|()| self.insert_formed(table, &mut tuple, computed, arbiters));
        if tuple.capacity() <= MOST_KEPT {
            self.session.tuple = tuple;
        }
        inserted
    }

    /// The same, of a tuple that has all values in it.
    fn insert_formed(
        &mut self,
        table: &TableEntry,
        tuple: &mut [u8],
        computed: &ComputedValues<'_>,
        arbiters: &[Oid],
    ) -> Result<InsertOutcome, Error> {
        let mut shortened = self.shortened(table, tuple, None)?;
        let stored = shortened.as_mut().map_or(&mut *tuple, |shortened| &mut shortened.tuple[..]);
        let tid = self.insert_tuple(table, stored)?;
        self.session.changes.count(&table.changes, RowChange::Insert, 1);
        let entered = EnteredRow { tuple, old: None, tid, computed, arbiters };
        let Some(index) = self.insert_entries(table, &table.indexes(), &entered)? else {
            return Ok(InsertOutcome::Inserted(tid));
        };
        self.take_back(table, tid)?;
        if let Some(shortened) = &shortened {
            self.take_back_values(table, &shortened.saved)?;
        }
        Ok(InsertOutcome::Taken(index))
    }

    /// Takes a row back that this command has just put in, at once and for everybody (`heap_abort_speculative`).
    pub(super) fn take_back(&mut self, table: &TableEntry, tid: Tid) -> Result<(), Error> {
        let xid = self.assign_xid()?;
        let session = &mut *self.session;
        let name = table.page_name(tid.block);
        let pinned = session.shared.storage.pool.get(name)?;
        let mut guard = pinned.write();
        let mut page = page_to_fill(name, &mut guard)?;
        let change = &mut session.change;
        delete::take_back(&mut page, tid, xid, change).map_err(heap_error(name))?;
        log_change(session.shared, &mut session.inserter, xid, change, &mut [(name, &mut guard)])?;
        session.changes.count(&table.changes, RowChange::Delete, 1);
        Ok(())
    }

    /// Puts a tuple in that fits a page.
    pub(super) fn insert_tuple(
        &mut self,
        table: &TableEntry,
        tuple: &mut [u8],
    ) -> Result<Tid, Error> {
        let (xid, command) = (self.assign_xid()?, self.command);
        let mut change = std::mem::take(&mut self.session.change);
        let inserted =
            self.session.with_room(table, tuple.len(), |shared, inserter, name, page| {
                let how = Insertion::new(name.block, xid, command);
                let map = MapPage::to_clear(shared, name, page)?;
                let mut filled = page_to_fill(name, page)?;
                let offset = insert::insert(&mut filled, &how, tuple, &mut change)
                    .map_err(heap_error(name))?;
                clear_map(map.as_ref(), name);
                log_change(shared, inserter, xid, &change, &mut [(name, page)])?;
                Ok(Tid { block: name.block, offset })
            });
        self.session.change = change;
        inserted
    }

    /// Puts many rows in.
    pub(crate) fn insert_rows(
        &mut self,
        table: &TableEntry,
        rows: &[Vec<Value<'_>>],
    ) -> Result<Vec<Tid>, Error> {
        let mut tuples = Vec::with_capacity(rows.len());
        // Of tuples that were shortened, all values for the indexes.
        let mut flats: Vec<Option<Vec<u8>>> = Vec::with_capacity(rows.len());
        let has_index = !table.indexes().is_empty();
        for row in rows {
            let mut tuple = Vec::new();
            table.form(row, &mut tuple)?;
            let mut flat = None;
            if let Some(shortened) = self.shortened(table, &tuple, None)? {
                flat = has_index.then_some(std::mem::replace(&mut tuple, shortened.tuple));
            }
            tuples.push(tuple);
            flats.push(flat);
        }
        if tuples.is_empty() {
            return Ok(Vec::new());
        }
        let (xid, command) = (self.assign_xid()?, self.command);
        let mut change = std::mem::take(&mut self.session.change);
        let mut tids = Vec::with_capacity(rows.len());
        let mut rest = &mut tuples[..];
        while let Some(first) = rest.first() {
            let done =
                self.session.with_room(table, first.len(), |shared, inserter, name, page| {
                    let how = Insertion::new(name.block, xid, command);
                    let map = MapPage::to_clear(shared, name, page)?;
                    let mut filled = page_to_fill(name, page)?;
                    let offsets = insert::multi_insert(&mut filled, &how, rest, 0, &mut change)
                        .map_err(heap_error(name))?;
                    clear_map(map.as_ref(), name);
                    log_change(shared, inserter, xid, &change, &mut [(name, page)])?;
                    Ok(offsets
                        .into_iter()
                        .map(|offset| Tid { block: name.block, offset })
                        .collect())
                });
            let done: Vec<Tid> = match done {
                Ok(done) => done,
                Err(error) => {
                    self.session.change = change;
                    return Err(error);
                }
            };
            rest = &mut rest[done.len()..];
            tids.extend(done);
        }
        self.session.change = change;
        self.session.changes.count(&table.changes, RowChange::Insert, tids.len() as u64);
        let indexes = table.indexes();
        for ((tuple, flat), tid) in tuples.iter().zip(&flats).zip(&tids) {
            let tuple = flat.as_ref().unwrap_or(tuple);
            let (computed, arbiters) = (&[][..], &[][..]);
            let entered = EnteredRow { tuple, old: None, tid: *tid, computed, arbiters };
            self.insert_entries(table, &indexes, &entered)?;
        }
        Ok(tids)
    }
}
