//! Rows read from an index alone, where the visibility map says that everybody sees them.
//!
//! ```text
//! leaf locked ─► entries copied ─► the map asked of each row's page ─► lock given back
//!     everybody sees all on the page: the entry has the row's values
//!     else: the row is looked for in the table
//! ```
//!
//! Invariants: the map is asked while the leaf is locked. The entry of a dead row is on its leaf until vacuum takes it off,
//! and its page is not said to be all-visible before that; so what the map says is of the row that the entry was made for.
//! Who changes a row clears the map's bit before the index gets an entry of it and before the change can be seen to have
//! been made: a bit that is found set is true of the snapshot, which was taken before. A page of the map is not kept in
//! memory between two leaves. Source: `IndexOnlyNext`, whose pin of the leaf serves the same purpose.

use std::sync::OnceLock;

use base::sync::Arc;
use base::{RelFileLocator, Tid};

use super::index::{IndexFound, IndexScan, TableIndex};
use super::{Row, Table};
use crate::Error;
use crate::btree::form::EntryValues;
use crate::btree::scan::{AllVisible, KeyBound};
use crate::btree::{Direction, IndexTuple};
use crate::catalog::{IndexEntry, TableEntry};
use crate::db::Shared;
use crate::heap::{FormError, Value};
use crate::transaction::Transaction;
use crate::visibility_map::{ALL_VISIBLE, MapPage};

/// Rows found by an index, of which only what the index has is wanted; as [`IndexScan`].
#[derive(Debug)]
pub struct IndexOnlyScan<'e> {
    scan: IndexScan<'e>,
    index: Arc<IndexEntry>,
    heap_fetches: u64,
}

/// What an index has of a row.
#[derive(Debug, Clone)]
pub struct IndexedRow {
    table: Arc<TableEntry>,
    index: Arc<IndexEntry>,
    from: Source,
    /// The entry's values once they have been asked for, if some of them are compressed.
    decompressed: OnceLock<EntryValues>,
}

#[derive(Debug, Clone)]
enum Source {
    Entry(Tid, Arc<[u8]>),
    Row(Row),
}

impl IndexedRow {
    /// The line pointer that the index leads to.
    pub fn root(&self) -> Tid {
        match &self.from {
            Source::Entry(tid, _) => *tid,
            Source::Row(row) => row.root(),
        }
    }

    /// The values of the table's columns; `None` of those that the index does not have.
    ///
    /// # Errors
    /// Where the entry or the row is damaged.
    pub fn values(&self) -> Result<Vec<Option<Value<'_>>>, Error> {
        let mut columns = vec![None; self.table.types.len()];
        match &self.from {
            Source::Row(row) => {
                for column in self.index.definition.columns() {
                    // Behind the table's columns are those that the index computes.
                    if let Some(value) = row.value(column)? {
                        columns[column] = Some(value);
                    }
                }
            }
            Source::Entry(_, bytes) => {
                let damaged = |error| Error::Row { table: self.table.name.clone(), error };
                let entry = IndexTuple::read(bytes).expect("read on its leaf");
                let shape = self.index.known.shape();
                let mut values = match self.decompressed.get() {
                    Some(values) => shape.values_in(values),
                    None => shape.values(entry),
                };
                for column in self.index.definition.columns() {
                    let value = match values.next().transpose() {
                        Err(FormError::Toasted { .. }) if self.decompressed.get().is_none() => {
                            let values = shape.decompressed(entry).map_err(damaged)?;
                            let _ = self.decompressed.set(values);
                            return self.values();
                        }
                        value => value.map_err(damaged)?,
                    };
                    if let Some(place) = columns.get_mut(column) {
                        *place = Some(value.expect("an entry of a leaf has all columns"));
                    }
                }
            }
        }
        Ok(columns)
    }
}

/// A table's visibility map, asked under the lock of an index's leaf.
#[derive(Debug)]
struct MapOf<'e> {
    shared: &'e Shared,
    table: RelFileLocator,
}

impl AllVisible for MapOf<'_> {
    /// Where the map cannot be read, of none: the table will tell.
    fn of(&self, rows: &[Tid]) -> Vec<bool> {
        let mut map: Option<MapPage<'_>> = None;
        let mut last = None;
        let mut of_block = |block| {
            if let Some((asked, answer)) = last
                && asked == block
            {
                return answer;
            }
            if map.as_ref().is_none_or(|map| !map.covers(block)) {
                map = MapPage::existing(self.shared, self.table, block).ok().flatten();
            }
            let answer = map.as_ref().is_some_and(|map| map.status(block) & ALL_VISIBLE != 0);
            last = Some((block, answer));
            answer
        };
        rows.iter().map(|row| of_block(row.block)).collect()
    }
}

impl Table {
    /// The rows between two bounds that the transaction sees, as [`Table::scan_index`] finds them, of each only what the
    /// index has: pages of the table are read only where the visibility map does not say that everybody sees all on them.
    ///
    /// # Errors
    /// As [`Table::scan_index`].
    pub fn scan_index_only<'e>(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        index: &TableIndex,
        lower: KeyBound<'_>,
        upper: KeyBound<'_>,
        direction: Direction,
    ) -> Result<IndexOnlyScan<'e>, Error> {
        let scan = self.scan_index(transaction, index, lower, upper, direction)?;
        let map = MapOf { shared: transaction.session.shared, table: scan.table.locator };
        let scan = scan.with_entries(map);
        Ok(IndexOnlyScan { scan, index: Arc::clone(index.entry()), heap_fetches: 0 })
    }
}

impl<'e> IndexOnlyScan<'e> {
    /// The next row that the transaction sees, which is the one that the scan was begun in; `None` after the last.
    ///
    /// # Errors
    /// As [`IndexScan::next_row`].
    pub fn next_row(
        &mut self,
        transaction: &mut Transaction<'_, 'e>,
    ) -> Result<Option<IndexedRow>, Error> {
        let from = match self.scan.next_found(transaction)? {
            None => return Ok(None),
            Some(IndexFound::Entry(tid, entry)) => Source::Entry(tid, entry),
            Some(IndexFound::Row) => {
                let Some(row) = self.scan.current() else { return Ok(None) };
                self.heap_fetches += 1;
                Source::Row(row.to_row())
            }
        };
        let (table, index) = (Arc::clone(&self.scan.table), Arc::clone(&self.index));
        Ok(Some(IndexedRow { table, index, from, decompressed: OnceLock::new() }))
    }

    /// How many of its rows had to be read from the table.
    pub fn heap_fetches(&self) -> u64 {
        self.heap_fetches
    }
}
