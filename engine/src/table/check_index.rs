//! Whether an index is sound, and fits its table: what `bt_index_parent_check` of amcheck asks with `heapallindexed`, and
//! whether a unique one is that.
//!
//! | looked at | must |
//! |---|---|
//! | pages of the index | be a btree ([`crate::btree::verify`]) |
//! | row that an index has an entry for | have one, with its values, and no other |
//! | other entry | lead to a line pointer that no other row has got since |
//! | rows that are there | differ in the key of a unique index, nulls aside |
//!
//! Invariant: writers are kept out of the table until the transaction ends.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base::sync::Arc;
use base::{Infomask2, Tid};

use super::index::TableIndex;
use super::page::{page_of, read_header};
use crate::Error;
use crate::btree::{Direction, Index, IndexTuple, Verified};
use crate::catalog::{IndexEntry, TableEntry};
use crate::lock::TableLockMode;
use crate::session::Session;
use crate::transaction::Transaction;

/// What was found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedIndex {
    /// Levels, 1 for a root that is a leaf, 0 for an empty index.
    pub levels: u32,
    /// Pages of the tree.
    pub pages: u64,
    /// Splits that wait for the next who inserts to finish them.
    pub unfinished_splits: u64,
    /// Entries of leaves, a posting list being one.
    pub entries: u64,
    /// Rows that must have an entry.
    pub rows: u64,
    /// Entries, those of posting lists counted one by one, for what nobody sees any more.
    pub dead: u64,
}

/// A row that must have an entry.
struct Wanted {
    entry: Vec<u8>,
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
        let index: &Arc<IndexEntry> = TableIndex::entry(&index);
        if !self.knows(index) {
            return Err(Error::NoIndex(name.to_owned()));
        }
        self.session.check_index(table.entry(), index)
    }
}

impl Session<'_> {
    fn check_index(
        &mut self,
        table: &Arc<TableEntry>,
        index: &IndexEntry,
    ) -> Result<CheckedIndex, Error> {
        let wrong = |tid: Tid, what: &'static str| Error::IndexMismatch {
            index: index.definition.name.clone(),
            tid,
            what,
        };
        let btree = Index::of(&self.shared.storage, &index.known);
        let Verified { levels, pages, unfinished, entries, .. } = btree.verify(false)?;
        let shape = btree.shape();
        let mut wanted = BTreeMap::new();
        self.indexable_rows(table, |row| {
            let entry = shape.form(&index.pick(&row.values), row.root);
            let entry = entry.map_err(crate::btree::IndexError::from)?;
            let row = (row.root, Wanted { entry, is_alive: row.is_alive });
            match wanted.insert(row.0, row.1) {
                Some(before) if before.is_alive => Err(wrong(row.0, "is that of two rows")),
                _ => Ok(()),
            }
        })?;
        let rows = wanted.len() as u64;
        let (mut seen, mut dead) = (BTreeSet::new(), 0);
        let mut before: Option<Vec<u8>> = None;
        for found in btree.scan(Bound::Unbounded, Bound::Unbounded, Direction::Forward)? {
            let found = found?;
            if !seen.insert(found.tid) {
                return Err(wrong(found.tid, "has two entries"));
            }
            let Some(row) = wanted.remove(&found.tid) else {
                dead += 1;
                if !self.is_root(table, found.tid)? {
                    return Err(wrong(
                        found.tid,
                        "has an entry, and is no row's that could have one",
                    ));
                }
                continue;
            };
            let broken = |_| wrong(found.tid, "has an entry that cannot be read");
            let (one, other) = (IndexTuple::read(&found.entry), IndexTuple::read(&row.entry));
            let (one, other) = (one.map_err(broken)?, other.map_err(broken)?);
            let is_same = one.null_bitmap() == other.null_bitmap()
                && one.key_part()[one.data_start()..] == other.key_part()[other.data_start()..];
            if !is_same {
                return Err(wrong(found.tid, "has an entry with other values"));
            }
            if !index.definition.is_unique || !row.is_alive || one.has_nulls() {
                continue;
            }
            if let Some(before) = before.replace(row.entry) {
                let before = IndexTuple::read(&before).map_err(broken)?;
                let key = shape.search_key(before, shape.key().len());
                let key = crate::btree::SearchKey {
                    tid: None,
                    ..key.map_err(crate::btree::IndexError::from)?
                };
                let order = shape.compare(&key, one).map_err(crate::btree::IndexError::from)?;
                if order == Ordering::Equal {
                    return Err(wrong(found.tid, "has the key of another row"));
                }
            }
        }
        match wanted.keys().next() {
            Some(tid) => Err(wrong(*tid, "has no entry")),
            None => Ok(CheckedIndex {
                levels,
                pages,
                unfinished_splits: unfinished,
                entries,
                rows,
                dead,
            }),
        }
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
