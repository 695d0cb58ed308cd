//! Whether an index is sound, and fits its table: what `bt_index_parent_check` of amcheck asks with `heapallindexed`, and
//! whether a unique one is that.
//!
//! | looked at | must |
//! |---|---|
//! | pages of the index | be a btree ([`crate::btree::verify`]) |
//! | row that an index has an entry for | have one, with its values, and no other; what the index computes is not worked out again |
//! | other entry | lead to a line pointer that no other row has got since |
//! | rows that are there | differ in the key of a unique index, nulls aside |
//!
//! Invariant: writers are kept out of the table until the transaction ends.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use base::sync::Arc;
use base::{Infomask2, Tid};

use super::Table;
use super::index::TableIndex;
use super::page::{page_of, read_header};
use crate::btree::form::{AsStored, EntryValues};
use crate::btree::{Index, IndexError, IndexTuple, Place, Verified};
use crate::catalog::{IndexEntry, TableEntry};
use crate::lock::{TableLockMode, WaitPolicy};
use crate::session::{Isolation, Session};
use crate::transaction::Transaction;
use crate::{Engine, Error};

/// What was found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedIndex {
    /// Levels, 1 for a root that is a leaf, 0 for an empty index.
    pub levels: u32,
    /// Pages of the tree.
    pub pages: u64,
    /// Splits that wait for the next who inserts to finish them.
    pub unfinished_splits: u64,
    /// Leaves that wait for the next vacuum to delete them.
    pub half_dead: u64,
    /// Entries of leaves, a posting list being one.
    pub entries: u64,
    /// Rows that must have an entry.
    pub rows: u64,
    /// Entries, those of posting lists counted one by one, for what nobody sees any more.
    pub dead: u64,
}

/// One index of a data directory, checked.
#[derive(Debug)]
pub struct IndexCheck {
    /// The index.
    pub index: String,
    /// Its table.
    pub table: String,
    /// What was found in order, or the first thing that is wrong.
    pub outcome: Result<CheckedIndex, Error>,
}

impl Engine {
    /// Checks the indexes that are named, and all of the tables that are named; every one if nothing is. In the order of
    /// their tables' names, then as they were made. `see` is told of each, and ends it by `Break`. Of a table that a prepared
    /// transaction has locked the check does not wait for that one's end: it changes nothing more. Others must then leave the
    /// table alone meanwhile, or what they do may be told as something wrong.
    ///
    /// # Errors
    /// [`Error::NoIndex`] where a name is neither a table's nor an index's; as [`Engine::session`]. What is wrong with an
    /// index is told of it, and no error of the whole.
    pub fn check_indexes(
        &self,
        names: &[String],
        see: &mut dyn FnMut(IndexCheck) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut tables = self.table_names();
        tables.sort_unstable();
        let mut session = self.session()?;
        let mut chosen = Vec::new();
        let mut unknown: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        for table in tables {
            let mut transaction = session.begin(Isolation::ReadCommitted)?;
            let entry = Arc::clone(transaction.table(&table)?.entry());
            let mut is_named = |name: &String| {
                unknown.remove(&name[..]);
                names.contains(name)
            };
            let table_is_named = is_named(&table);
            let of_toast = entry.toast.as_ref().map(|toast| toast.table.indexes());
            for index in entry.indexes().iter().chain(of_toast.iter().flat_map(|own| own.iter())) {
                let name = index.definition.name.clone();
                let is_chosen = is_named(&name) || table_is_named || names.is_empty();
                if is_chosen {
                    chosen.push((name, table.clone()));
                }
            }
        }
        if let Some(name) = unknown.first() {
            return Err(Error::NoIndex((*name).to_owned()));
        }
        for (index, table) in chosen {
            let mut transaction = session.begin(Isolation::ReadCommitted)?;
            let outcome = transaction.check_index_beside_prepared(&index);
            drop(transaction);
            if see(IndexCheck { index, table, outcome }).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// A row that must have an entry.
struct Wanted {
    /// None where the index computes some of it.
    entry: Option<EntryValues>,
    is_alive: bool,
}

impl Transaction<'_, '_> {
    /// Checks an index.
    ///
    /// # Errors
    /// [`Error::Index`] and [`Error::IndexMismatch`], the first thing that is wrong, and where; as a lock of the table.
    pub fn check_index(&mut self, name: &str) -> Result<CheckedIndex, Error> {
        let (index, table) = self.index(name)?;
        self.use_table(table.entry(), TableLockMode::Share)?;
        self.check_locked(&index, &table)
    }

    /// The same, though prepared transactions keep the table from being locked against changes, who change it no more.
    fn check_index_beside_prepared(&mut self, name: &str) -> Result<CheckedIndex, Error> {
        let (index, table) = self.index(name)?;
        let policy = match self.session.shared.storage.two_phase.valid().is_empty() {
            true => WaitPolicy::Wait,
            false => WaitPolicy::NoWait,
        };
        match self.lock_entry(table.entry(), TableLockMode::Share, policy) {
            Err(Error::LockNotAvailable(_)) => {
                self.lock_entry(table.entry(), TableLockMode::AccessShare, WaitPolicy::NoWait)?;
            }
            locked => locked?,
        }
        self.check_locked(&index, &table)
    }

    /// The same, of a table that is locked.
    fn check_locked(&mut self, index: &TableIndex, table: &Table) -> Result<CheckedIndex, Error> {
        let name = index.name();
        let index: &Arc<IndexEntry> = TableIndex::entry(index);
        if !self.knows(index) {
            return Err(Error::NoIndex(name.to_owned()));
        }
        // Values out of line are there for who has a snapshot.
        self.begin_statement()?;
        self.session.check_index(table.entry(), index)
    }
}

impl Session<'_> {
    fn check_index(
        &mut self,
        table: &Arc<TableEntry>,
        index: &IndexEntry,
    ) -> Result<CheckedIndex, Error> {
        let wrong = |place: Option<Place>, tid: Tid, what: &'static str, expected: &'static str| {
            let index = index.definition.name.clone();
            Error::IndexMismatch { index, place, tid, what, expected }
        };
        let btree = Index::of(&self.shared.storage, &index.known);
        let (shape, default) = (btree.shape(), self.compression);
        let mut wanted = BTreeMap::new();
        self.indexable_rows(table, index)?.each(self, &mut |row| {
            let damaged = |error| Error::Row { table: table.name.clone(), error };
            let values = index.pick_stored(&table.types, row.tuple).map_err(damaged)?;
            let compressed = row.compressed_values(table, index)?;
            let stored = AsStored { default, compressed: &compressed };
            let entry = values.map(|values| shape.entry_values(&values, stored)).transpose();
            let entry = entry.map_err(IndexError::from)?;
            let row = (row.root, Wanted { entry, is_alive: row.is_alive });
            match wanted.insert(row.0, row.1) {
                Some(before) if before.is_alive => {
                    Err(wrong(None, row.0, "is there in two versions", "one that is not ended"))
                }
                _ => Ok(()),
            }
        })?;
        let rows = wanted.len() as u64;
        let (mut seen, mut dead) = (BTreeSet::new(), 0);
        let mut before: Option<Vec<u8>> = None;
        let verified = btree.verify_with(false, &mut |place, entry: IndexTuple<'_>| {
            let of_entry = |error| IndexError::Key(error);
            for tid in entry.tids() {
                let wrong = |what, expected| wrong(Some(place), tid, what, expected);
                if !seen.insert(tid) {
                    return Err(wrong("has two entries", "one"));
                }
                let Some(row) = wanted.remove(&tid) else {
                    dead += 1;
                    if !self.is_root(table, tid)? {
                        let what = "has an entry, and is none that could have one";
                        return Err(wrong(what, "a row, or a line pointer that is dead"));
                    }
                    continue;
                };
                let broken = |_| wrong("has an entry that cannot be read", "its values");
                let is_same = row.entry.as_ref().map(|expected| shape.has_values(entry, expected));
                if is_same.transpose().map_err(|error| of_entry(error.into()))? == Some(false) {
                    return Err(wrong("has an entry of other values", "its values"));
                }
                let is_unique = index.definition.is_unique && row.is_alive;
                if !is_unique || shape.has_null_key(entry).map_err(of_entry)? {
                    continue;
                }
                let last = before.replace(entry.bytes().to_vec());
                let (Some(last), Some(now)) = (&last, &before) else { continue };
                let (last, now) = (
                    IndexTuple::read(last).map_err(broken)?,
                    IndexTuple::read(now).map_err(broken)?,
                );
                if shape.same_key(last, now).map_err(of_entry)? {
                    return Err(wrong("has the key of another row", "a key of its own"));
                }
            }
            Ok::<_, Error>(())
        })?;
        if let Some(tid) = wanted.keys().next() {
            return Err(wrong(None, *tid, "has no entry", "one"));
        }
        let Verified { levels, pages, unfinished, half_dead, entries, .. } = verified;
        Ok(CheckedIndex {
            levels,
            pages,
            unfinished_splits: unfinished,
            half_dead,
            entries,
            rows,
            dead,
        })
    }

    /// Whether an index may lead to a line pointer: it is dead, or a chain hangs from it.
    fn is_root(&self, table: &TableEntry, tid: Tid) -> Result<bool, Error> {
        if tid.block >= table.blocks(self.shared)? {
            return Ok(false);
        }
        let name = table.page_name(tid.block);
        let pinned = self.shared.storage.pool.get(name)?;
        let guard = pinned.read();
        let Some(page) = page_of(name, &guard)? else { return Ok(false) };
        let Some(pointer) = page.line_pointer(tid.offset) else { return Ok(false) };
        Ok(match page.item(tid.offset) {
            Some(tuple) => {
                let header = read_header(name, tid.offset, tuple)?;
                !header.infomask2.contains(Infomask2::ONLY_TUPLE)
            }
            None => pointer.is_dead() || pointer.target().is_some(),
        })
    }
}
