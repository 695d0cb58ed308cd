//! Which indexes a table has.
//!
//! Invariants: the list of a table's indexes changes under a lock of the table that keeps writers out, so whoever writes
//! rows maintains all of them; one that was made by a transaction that still runs is shown to nobody else. What an index
//! computes of a row is counted as columns behind the table's. The columns are written down as `2,1df,+4;25:1/3`: key
//! columns, `d` for descending, `f` for nulls first, with `+` those that are included, and behind each semicolon one that
//! is computed: its type's oid, and the columns that it reads.

use std::fmt::Write as _;
use std::ops::Range;

use base::sync::Arc;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicBool, AtomicUsize};
use base::{Oid, Xid};

use super::store::type_oid;
use super::{Column, ColumnStorage, TableEntry, locator};
use crate::btree::index::Known;
use crate::btree::{KeyColumn, KeyError, Shape};
use crate::heap::{ColumnType, FormError, TupleValues, Value};

/// A column of an index's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IndexColumn {
    /// The table's column, counted from 0. What the index computes has the numbers behind the table's last column.
    pub column: usize,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`
    pub nulls_first: bool,
}

impl IndexColumn {
    /// `ASC NULLS LAST`
    pub const fn ascending(column: usize) -> IndexColumn {
        IndexColumn { column, descending: false, nulls_first: false }
    }

    /// `DESC NULLS FIRST`
    pub const fn descending(column: usize) -> IndexColumn {
        IndexColumn { column, descending: true, nulls_first: true }
    }
}

/// What an index has of a row that is no column of it: whoever puts rows in works it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// The type of its values.
    pub of: ColumnType,
    /// The table's columns that decide its value, counted from 0: a row that keeps all of them keeps its value.
    pub reads: Vec<usize>,
}

/// What indexes compute of one row, by the indexes' numbers. Those that compute nothing need not be there.
pub type ComputedValues<'v> = [(Oid, Vec<Value<'v>>)];

/// What an index is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexDefinition {
    /// Its name; no table or other index has it.
    pub name: String,
    /// What it is ordered by.
    pub key: Vec<IndexColumn>,
    /// The table's columns that it carries along, counted from 0.
    pub included: Vec<usize>,
    /// Whether no two rows have the same key, keys with nulls aside.
    pub is_unique: bool,
    /// Whether it is the table's primary key.
    pub is_primary: bool,
    /// What it computes, in the order of the numbers that [`IndexDefinition::key`] has for it.
    pub computed: Vec<Computed>,
    /// What its maker knows of it besides, such as expressions. The engine does not look into it.
    pub text: String,
}

impl IndexDefinition {
    /// An index on these columns, ascending.
    pub fn new(name: impl Into<String>, columns: &[usize]) -> IndexDefinition {
        let key = columns.iter().copied().map(IndexColumn::ascending).collect();
        IndexDefinition { name: name.into(), key, ..IndexDefinition::default() }
    }

    /// The same, unique.
    pub fn unique(self) -> IndexDefinition {
        IndexDefinition { is_unique: true, ..self }
    }

    /// All its columns in its order.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.key.iter().map(|key| key.column).chain(self.included.iter().copied())
    }

    /// Its columns' types and order; `None` where the table has no such column.
    pub(crate) fn shape(&self, columns: &[Column]) -> Option<Result<Shape, KeyError>> {
        let computed = |column: usize| self.computed.get(column - columns.len());
        let of = |column: usize| match columns.get(column) {
            Some(column) => Some(column.column_type),
            None => computed(column).map(|computed| computed.of),
        };
        let mut read = self.computed.iter().flat_map(|computed| &computed.reads);
        if read.any(|column| *column >= columns.len()) {
            return None;
        }
        let key = |key: &IndexColumn| {
            let IndexColumn { column, descending, nulls_first } = *key;
            Some(KeyColumn { column: of(column)?, descending, nulls_first })
        };
        let keys = self.key.iter().map(key).collect::<Option<Vec<KeyColumn>>>()?;
        let included = self.included.iter().map(|column| of(*column));
        let included = included.collect::<Option<Vec<ColumnType>>>()?;
        // What is computed is kept as its type is.
        let keeping = |column: usize| match columns.get(column) {
            Some(column) => Some((column.storage, column.compression)),
            None => of(column).map(|of| (ColumnStorage::of_type(of), None)),
        };
        let keeping = self.columns().map(keeping).collect::<Option<Vec<_>>>()?;
        Some(Shape::new(&keys, &included).map(|shape| shape.keeping(keeping.into_iter())))
    }

    /// Its columns as the catalog has them.
    pub(super) fn columns_text(&self) -> String {
        let mut text = String::new();
        for (at, key) in self.key.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let descending = if key.descending { "d" } else { "" };
            let first = if key.nulls_first { "f" } else { "" };
            let _ = write!(text, "{comma}{}{descending}{first}", key.column + 1);
        }
        for column in &self.included {
            let _ = write!(text, ",+{}", column + 1);
        }
        for Computed { of, reads } in &self.computed {
            let reads: Vec<String> = reads.iter().map(|column| (column + 1).to_string()).collect();
            let _ = write!(text, ";{}:{}", type_oid(*of), reads.join("/"));
        }
        text
    }

    /// Reads what [`IndexDefinition::columns_text`] wrote.
    pub(super) fn read_columns(text: &str) -> Option<IndexDefinition> {
        let number = |text: &str| text.parse::<usize>().ok()?.checked_sub(1);
        let (mut key, mut included, mut computed) = (Vec::new(), Vec::new(), Vec::new());
        let mut parts = text.split(';');
        let columns = parts.next()?;
        for part in parts {
            let (oid, reads) = part.split_once(':')?;
            let oid: i32 = oid.parse().ok()?;
            let of = ColumnType::ALL.into_iter().find(|column| type_oid(*column) == oid)?;
            let reads = reads.split('/').filter(|read| !read.is_empty()).map(number);
            computed.push(Computed { of, reads: reads.collect::<Option<_>>()? });
        }
        for part in columns.split(',') {
            if let Some(part) = part.strip_prefix('+') {
                included.push(number(part)?);
                continue;
            }
            let digits = part.trim_end_matches(['d', 'f']);
            let (descending, nulls_first) = match &part[digits.len()..] {
                "" => (false, false),
                "d" => (true, false),
                "f" => (false, true),
                "df" => (true, true),
                _ => return None,
            };
            key.push(IndexColumn { column: number(digits)?, descending, nulls_first });
        }
        Some(IndexDefinition { key, included, computed, ..IndexDefinition::default() })
    }
}

/// An index, as all sessions share it.
#[derive(Debug)]
pub(crate) struct IndexEntry {
    pub(crate) oid: Oid,
    /// The table's.
    pub(crate) table: Oid,
    pub(crate) definition: IndexDefinition,
    /// The table's columns that its entries depend on, each once.
    pub(crate) reads: Vec<usize>,
    pub(crate) known: Arc<Known>,
    /// The session whose transaction made it and has not ended, plus 1; 0 for none.
    maker: AtomicUsize,
    /// Who made it, if versions are missing from it that a snapshot from before may see (`indcheckxmin`).
    lacks_before: std::sync::OnceLock<Xid>,
    /// Set and read under a lock of the table.
    is_gone: AtomicBool,
}

impl IndexEntry {
    /// One that was there when the engine was opened, of a table with so many columns.
    pub(crate) fn new(
        oid: Oid,
        (table, columns): (Oid, usize),
        file: Oid,
        definition: IndexDefinition,
        shape: Shape,
    ) -> IndexEntry {
        let read = definition.computed.iter().flat_map(|computed| computed.reads.iter().copied());
        let stored = definition.columns().filter(|column| *column < columns);
        let mut reads: Vec<usize> = stored.chain(read).collect();
        reads.sort_unstable();
        reads.dedup();
        IndexEntry {
            oid,
            table,
            reads,
            known: Arc::new(Known::new(locator(file), shape, definition.is_unique)),
            definition,
            maker: AtomicUsize::new(0),
            lacks_before: std::sync::OnceLock::new(),
            is_gone: AtomicBool::new(false),
        }
    }

    /// The same, made by a session.
    pub(crate) fn made_by(self, session: usize) -> IndexEntry {
        self.maker.store(session + 1, Relaxed);
        self
    }

    /// Its maker goes on under another number.
    pub(crate) fn hand_over(&self, to: usize) {
        self.maker.store(to + 1, Relaxed);
    }

    /// Its maker has committed.
    pub(crate) fn settle(&self) {
        self.maker.store(0, Relaxed);
    }

    /// Whether two rows of the table have the same key (`index_unchanged_by_update`, by values instead of by the columns that
    /// a statement names). A value that is not there differs from every other.
    pub(crate) fn has_same_key(&self, one: &[Option<Value<'_>>], other: &[Value<'_>]) -> bool {
        let key = self.definition.key.iter().map(|key| key.column);
        let read =
            self.definition.computed.iter().flat_map(|computed| computed.reads.iter().copied());
        key.chain(read).all(|column| one.get(column).and_then(Option::as_ref) == other.get(column))
    }

    /// Whether a session knows of it.
    pub(crate) fn is_known_to(&self, session: usize) -> bool {
        let maker = self.maker.load(Relaxed);
        maker == 0 || maker == session + 1
    }

    /// Whether a session is making it.
    pub(crate) fn is_made_by(&self, session: usize) -> bool {
        self.maker.load(Relaxed) == session + 1
    }

    /// Versions that a snapshot from before this transaction's end may see are missing from it.
    pub(crate) fn set_lacks_before(&self, maker: Xid) {
        let _ = self.lacks_before.set(maker);
    }

    /// Whose end a snapshot must have seen to use it.
    pub(crate) fn lacks_before(&self) -> Option<Xid> {
        self.lacks_before.get().copied()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }

    pub(crate) fn set_gone(&self) {
        self.is_gone.store(true, Relaxed);
    }

    /// How many of a table's first columns it takes to have all that the index reads of a row: all where it computes
    /// something, since what does that gets the whole row.
    pub(crate) fn columns_read(&self, table: &TableEntry) -> usize {
        match self.definition.computed.is_empty() {
            true => self.reads.last().map_or(0, |last| last + 1),
            false => table.types.len(),
        }
    }

    /// Where the value of the first column lies in the table's tuples that have no nulls: so far behind their header, so many
    /// bytes. `None` where that differs from row to row, or the index computes it.
    pub(crate) fn first_value(&self, table: &TableEntry) -> Option<Range<usize>> {
        let first = self.definition.columns().next()?;
        let begin = *table.fixed_places.get(first)?;
        Some(begin..begin + table.types.get(first)?.length()?)
    }

    /// Its columns' values among those of a row; `None` where it computes some that are not among these.
    pub(crate) fn pick<'v>(
        &self,
        row: &[Value<'v>],
        computed: &ComputedValues<'v>,
    ) -> Option<Vec<Value<'v>>> {
        let computed: &[Value<'v>] = match computed.iter().find(|(oid, _)| *oid == self.oid) {
            Some((_, values)) => values,
            None => &[],
        };
        let value = |column: usize| match row.get(column) {
            Some(value) => Some(*value),
            None => computed.get(column - row.len()).copied(),
        };
        self.definition.columns().map(value).collect()
    }

    /// The same of a stored tuple of a table of these columns, of which no more is read than that takes.
    ///
    /// # Errors
    /// Where the tuple does not fit the columns.
    pub(crate) fn pick_stored<'v>(
        &self,
        types: &'v [ColumnType],
        tuple: &'v [u8],
    ) -> Result<Option<Vec<Value<'v>>>, FormError> {
        let mut stored = TupleValues::of(types, tuple)?;
        let mut picked = Vec::with_capacity(self.definition.columns().count());
        let mut next = 0;
        for column in self.definition.columns() {
            if column >= types.len() {
                return Ok(None);
            }
            if column < next {
                (stored, next) = (TupleValues::of(types, tuple)?, 0);
            }
            stored.pass(column - next)?;
            picked.extend(stored.next().transpose()?);
            next = column + 1;
        }
        Ok(Some(picked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_as_they_were_written() {
        let last = IndexColumn { column: 2, descending: true, nulls_first: false };
        let first = IndexColumn { column: 3, descending: false, nulls_first: true };
        let key = vec![IndexColumn::ascending(11), IndexColumn::descending(0), last, first];
        let mut index = IndexDefinition { key, included: vec![4, 1], ..IndexDefinition::default() };
        assert_eq!(index.columns_text(), "12,1df,3d,4f,+5,+2");
        assert_eq!(IndexDefinition::read_columns(&index.columns_text()).as_ref(), Some(&index));
        index.computed = vec![
            Computed { of: ColumnType::Text, reads: vec![0, 2] },
            Computed { of: ColumnType::Int4, reads: Vec::new() },
        ];
        assert_eq!(index.columns_text(), "12,1df,3d,4f,+5,+2;25:1/3;23:");
        assert_eq!(IndexDefinition::read_columns(&index.columns_text()).as_ref(), Some(&index));
        for damaged in
            ["", "0", "1fd", "d", "1,", "+", "+0", "1x", "-1", "1;", "1;25", "1;7:1", "1;25:0"]
        {
            assert_eq!(IndexDefinition::read_columns(damaged), None, "{damaged:?}");
        }
    }
}
