//! Rows made entries: which of their values are compressed, and how.
//!
//! ```text
//! as the row has it                                                        in the entry
//! compressed, in line or in chunks                                         as it stands
//! plain, of more than 506 bytes, and the column is EXTENDED or MAIN        compressed, where that makes it shorter
//! other                                                                    plain
//! ```
//!
//! A pivot is formed anew where it loses columns, and so are its values. What is searched for is in no entry: it stays as it is,
//! however long.
//!
//! Source: `index_form_tuple`, `index_truncate_tuple` of PostgreSQL 15. Invariants: an entry's length is judged as it is once
//! its values are compressed; no value in it is out of line.

use std::borrow::Cow;

use base::page::MAX_HEAP_TUPLE_SIZE;
use base::{Tid, max_align};

use super::key::{KeyError, SearchKey, Shape};
use super::tuple::{
    self, HAS_NULLS, HAS_VARIABLE, HEADER_SIZE, IndexTuple, MAX_ITEM_SIZE, NULL_BITMAP_SIZE, SIZE,
};
use crate::catalog::ColumnStorage;
use crate::heap::tuple::push_value;
use crate::heap::varlena::{LONG_HEADER, Varlena};
use crate::heap::{ColumnType, Compression, FormError, TupleValues, Value};
use crate::toast::compression::{compress, decompress};

/// A plain value is compressed that has more bytes, its header among them (`TOAST_INDEX_TARGET`).
const TARGET: usize = MAX_HEAP_TUPLE_SIZE / 16;
const _: () = assert!(TARGET == 510);

/// How a column's long values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keeping {
    storage: ColumnStorage,
    compression: Option<Compression>,
}

impl Keeping {
    /// As a type's columns keep them if nothing is said.
    pub(super) fn of_type(column: ColumnType) -> Keeping {
        Keeping { storage: ColumnStorage::of_type(column), compression: None }
    }

    fn packs(self) -> bool {
        self.storage != ColumnStorage::Plain
    }

    fn compresses(self) -> bool {
        matches!(self.storage, ColumnStorage::Extended | ColumnStorage::Main)
    }
}

/// How a row that gets an entry has its values.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AsStored<'v> {
    /// How columns compress values that do not say it themselves.
    pub(crate) default: Compression,
    /// Of the index's columns the values that the row has compressed; `None` of others. May end before the last column.
    pub(crate) compressed: &'v [Option<Cow<'v, [u8]>>],
}

impl From<Compression> for AsStored<'_> {
    fn from(default: Compression) -> Self {
        AsStored { default, compressed: &[] }
    }
}

/// What an entry has behind its header, however long it is: the values of an index's first columns.
#[derive(Debug, Clone)]
pub struct EntryValues {
    /// As an entry, but that the header says nothing of the length.
    tuple: Vec<u8>,
    columns: usize,
    bits: u16,
}

/// A value's bytes, of which `values` has just come by; decompressed if need be.
pub(super) fn unpacked<'v>(
    values: &TupleValues<'_>,
    value: Varlena<'v>,
) -> Result<Cow<'v, [u8]>, FormError> {
    match value {
        Varlena::Plain(bytes) => Ok(Cow::Borrowed(bytes)),
        Varlena::Compressed(bytes) => {
            let (column, at) = values.place(bytes.len() + LONG_HEADER);
            let damaged = |error| FormError::Compressed { column, at, error };
            decompress(bytes).map(Cow::Owned).map_err(damaged)
        }
        Varlena::External(_) => Err(values.out_of_line()),
    }
}

impl Shape {
    /// The same, with columns that keep long values so.
    pub(crate) fn keeping(
        self,
        columns: impl Iterator<Item = (ColumnStorage, Option<Compression>)>,
    ) -> Shape {
        let keeping = columns.map(|(storage, compression)| Keeping { storage, compression });
        Shape { keeping: keeping.collect(), ..self }
    }

    /// A plain entry with the first columns' values, for this row; long ones are compressed by pglz.
    ///
    /// # Errors
    /// [`KeyError::Values`], [`KeyError::Form`]; [`KeyError::TooBig`] and [`KeyError::TooLong`], of more than a leaf or an entry
    /// may hold.
    pub fn form(&self, values: &[Value<'_>], tid: Tid) -> Result<Vec<u8>, KeyError> {
        self.form_stored(values, AsStored::default(), tid)
    }

    /// The same of a row that has its values so (`index_form_tuple`).
    ///
    /// # Errors
    /// As [`Shape::form`].
    pub(crate) fn form_stored(
        &self,
        values: &[Value<'_>],
        stored: AsStored<'_>,
        tid: Tid,
    ) -> Result<Vec<u8>, KeyError> {
        let EntryValues { mut tuple, bits, .. } = self.put_together(values, Some(stored))?;
        let length = max_align(tuple.len() as u64) as usize;
        if length > usize::from(SIZE) {
            return Err(KeyError::TooLong { length });
        }
        if length > MAX_ITEM_SIZE {
            return Err(KeyError::TooBig { length });
        }
        tuple.resize(length, 0);
        tuple[6..8].copy_from_slice(&(bits | length as u16).to_le_bytes());
        tuple::put_tid(&mut tuple, tid);
        Ok(tuple)
    }

    /// The first columns' values, none of them compressed: for a search, or as they are read.
    ///
    /// # Errors
    /// [`KeyError::Values`], [`KeyError::Form`].
    pub(crate) fn plain(&self, values: &[Value<'_>]) -> Result<EntryValues, KeyError> {
        self.put_together(values, None)
    }

    /// The values of an entry for a row that has them so.
    ///
    /// # Errors
    /// [`KeyError::Values`], [`KeyError::Form`].
    pub(crate) fn entry_values(
        &self,
        values: &[Value<'_>],
        stored: AsStored<'_>,
    ) -> Result<EntryValues, KeyError> {
        self.put_together(values, Some(stored))
    }

    fn put_together(
        &self,
        values: &[Value<'_>],
        stored: Option<AsStored<'_>>,
    ) -> Result<EntryValues, KeyError> {
        if values.len() > self.columns.len() {
            let (values, columns) = (values.len(), self.columns.len());
            return Err(KeyError::Values { values, columns });
        }
        let has_nulls = values.contains(&Value::Null);
        /// Bytes of a short entry.
        const SHORT: usize = 64;
        let mut tuple = Vec::with_capacity(SHORT);
        tuple.resize(if has_nulls { HEADER_SIZE + 8 } else { HEADER_SIZE }, 0);
        let mut bits = if has_nulls { HAS_NULLS } else { 0 };
        for (index, (column, value)) in self.columns.iter().zip(values).enumerate() {
            let Some(got) = value.column_type() else { continue };
            if got != *column {
                let (wanted, got) = (column.name(), got.name());
                return Err(FormError::Type { column: index + 1, wanted, got }.into());
            }
            if has_nulls {
                tuple[HEADER_SIZE + index / 8] |= 1 << (index % 8);
            }
            let compressed = stored.and_then(|stored| stored.compressed.get(index)?.as_deref());
            if let Some(compressed) = compressed {
                bits |= HAS_VARIABLE;
                Varlena::Compressed(compressed).push(true, &mut tuple);
                continue;
            }
            let start = tuple.len();
            if push_value(&mut tuple, *column, self.keeping[index].packs(), index, value)? {
                bits |= HAS_VARIABLE;
                if let Some(AsStored { default, .. }) = stored {
                    self.compress_last(&mut tuple, index, start, default);
                }
            }
        }
        Ok(EntryValues { tuple, columns: values.len(), bits })
    }

    /// Compresses the last value of a tuple, which begins at `start`, padding first, if its column has that and it gets shorter.
    #[inline]
    fn compress_last(&self, tuple: &mut Vec<u8>, index: usize, start: usize, default: Compression) {
        if tuple.len() - start <= TARGET || !self.keeping[index].compresses() {
            return;
        }
        let begin = start.next_multiple_of(LONG_HEADER) + LONG_HEADER;
        let Some(value) = tuple.get(begin..).filter(|value| value.len() + LONG_HEADER > TARGET)
        else {
            return;
        };
        let method = self.keeping[index].compression.unwrap_or(default);
        if let Some(compressed) = compress(value, method) {
            tuple.truncate(start);
            Varlena::Compressed(&compressed).push(true, tuple);
        }
    }

    /// An entry's first columns, with its tid in front (`index_truncate_tuple`).
    pub(super) fn cut(
        &self,
        from: IndexTuple<'_>,
        columns: usize,
        default: Compression,
    ) -> Result<Vec<u8>, KeyError> {
        let mut read = self.values(from);
        let mut values = Vec::with_capacity(columns);
        for _ in 0..columns {
            values.push(read.next_stored().transpose()?.flatten());
        }
        let has_nulls = values.iter().any(Option::is_none);
        let mut tuple = vec![0; if has_nulls { HEADER_SIZE + 8 } else { HEADER_SIZE }];
        let mut bits = if has_nulls { HAS_NULLS } else { 0 };
        for (index, (column, value)) in self.columns.iter().zip(&values).enumerate() {
            let Some(value) = value else { continue };
            if has_nulls {
                tuple[HEADER_SIZE..HEADER_SIZE + NULL_BITMAP_SIZE][index / 8] |= 1 << (index % 8);
            }
            match (column.length(), value) {
                (Some(_), Varlena::Plain(raw)) => {
                    tuple.resize(tuple.len().next_multiple_of(column.alignment()), 0);
                    tuple.extend_from_slice(raw);
                }
                (_, Varlena::External(_)) => return Err(read.out_of_line().into()),
                (_, value) => {
                    bits |= HAS_VARIABLE;
                    let start = tuple.len();
                    value.push(self.keeping[index].packs(), &mut tuple);
                    if matches!(value, Varlena::Plain(_)) {
                        self.compress_last(&mut tuple, index, start, default);
                    }
                }
            }
        }
        let length = max_align(tuple.len() as u64) as usize;
        tuple.resize(length, 0);
        tuple[6..8].copy_from_slice(&(bits | length as u16).to_le_bytes());
        tuple[..Tid::SIZE].copy_from_slice(&from.bytes()[..Tid::SIZE]);
        Ok(tuple)
    }

    /// The values of an entry, none of them compressed.
    ///
    /// # Errors
    /// Where the entry is damaged.
    pub fn decompressed(&self, entry: IndexTuple<'_>) -> Result<EntryValues, FormError> {
        let mut values = self.values(entry);
        let mut tuple = entry.bytes()[..entry.data_start()].to_vec();
        let mut columns = 0;
        while let Some(value) = values.next_stored().transpose()? {
            let column = self.columns[columns];
            columns += 1;
            match (value, column.length()) {
                (None, _) => {}
                (Some(Varlena::Plain(raw)), Some(_)) => {
                    tuple.resize(tuple.len().next_multiple_of(column.alignment()), 0);
                    tuple.extend_from_slice(raw);
                }
                (Some(value), _) => {
                    Varlena::Plain(&unpacked(&values, value)?).push(true, &mut tuple);
                }
            }
        }
        let bits = if entry.has_nulls() { HAS_NULLS } else { 0 };
        Ok(EntryValues { tuple, columns, bits })
    }

    /// What lies in an entry's place, value by value.
    pub fn values_in<'a>(&'a self, values: &'a EntryValues) -> TupleValues<'a> {
        let EntryValues { tuple, columns, bits } = values;
        let has_nulls = bits & HAS_NULLS != 0;
        let start = if has_nulls { HEADER_SIZE + 8 } else { HEADER_SIZE };
        let nulls = if has_nulls { HEADER_SIZE..HEADER_SIZE + NULL_BITMAP_SIZE } else { 0..0 };
        TupleValues::of_parts(&self.columns[..*columns], tuple, &tuple[nulls], start, *columns)
    }

    /// What is searched for: these values of key columns, and no row's tid.
    ///
    /// # Errors
    /// [`KeyError::Form`], if not all of them are plain.
    pub(super) fn search_for<'a>(
        &'a self,
        values: &'a EntryValues,
    ) -> Result<SearchKey<'a>, KeyError> {
        let count = values.columns.min(self.key.len());
        self.search_key_of(self.values_in(values), count, None)
    }

    /// Whether the values of an entry begin with those of a key, in the index's order.
    ///
    /// # Errors
    /// [`KeyError::Form`], if not all of them are plain.
    pub(super) fn begins_with(
        &self,
        entry: &EntryValues,
        key: &EntryValues,
    ) -> Result<bool, KeyError> {
        let (mut ones, mut others) = (self.values_in(entry), self.values_in(key));
        for column in self.key.iter().take(key.columns) {
            if column.compare_next(&mut ones, &mut others)?.is_ne() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an entry has these values, each byte by byte once it is decompressed.
    ///
    /// # Errors
    /// Where one is damaged.
    pub(crate) fn has_values(
        &self,
        entry: IndexTuple<'_>,
        wanted: &EntryValues,
    ) -> Result<bool, FormError> {
        let (mut ones, mut others) = (self.values(entry), self.values_in(wanted));
        loop {
            let (one, other) = (ones.next_stored().transpose()?, others.next_stored().transpose()?);
            let is_same = match (one, other) {
                (None, None) => return Ok(true),
                (Some(Some(one)), Some(Some(other))) => {
                    one == other || unpacked(&ones, one)? == unpacked(&others, other)?
                }
                (one, other) => one == other,
            };
            if !is_same {
                return Ok(false);
            }
        }
    }
}
