//! What an index is ordered by: its columns, entries compared, and pivots cut to what tells two apart.
//!
//! | type | order |
//! |---|---|
//! | `bool`, integers, `timestamptz`, `date`, `oid` | by number |
//! | `float8` | by number; NaN is equal to itself and greater than all others, -0 equal to 0 |
//! | `text`, in the collation C; `bytea`, `uuid` | by bytes |
//! | `numeric` | by number; digits of zero behind the point count for nothing |
//! | `bpchar`, in the collation C | by bytes, blanks at the end aside |
//!
//! Entries that are equal in all key columns are ordered by the tid of their row. Nulls are equal, and come last or first;
//! a descending column turns values round, and not that. Included columns are carried along and order nothing. A value that is
//! compressed in its entry is compared as it is without that.
//!
//! Source: `_bt_compare`, `_bt_truncate`, `_bt_keep_natts` of PostgreSQL 15, `nbtcompare.c`. Invariants: a pivot has no
//! included column; one cut between two entries is greater than the left one and not greater than the right one, or,
//! with the left one's tid, equal to it.

use std::borrow::Cow;
use std::cmp::Ordering;

use base::page::{LINE_POINTER_SIZE, LinePointer, PageBytes};
use base::{OffsetNumber, Tid, max_align};

use super::form::{Keeping, unpacked};
use super::page::Node;
use super::tuple::{self, HAS_NULLS, HAS_VARIABLE, IndexTuple, MAX_COLUMNS, MAX_ITEM_SIZE, SIZE};
use crate::buffer::prefetch::fetch;
use crate::heap::varlena::Varlena;
use crate::heap::{ColumnType, Compression, FormError, TupleValues, Value, numeric};

/// A column that an index is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyColumn {
    /// Its type.
    pub column: ColumnType,
    /// `DESC`
    pub descending: bool,
    /// `NULLS FIRST`
    pub nulls_first: bool,
}

impl KeyColumn {
    /// `ASC NULLS LAST`
    pub const fn ascending(column: ColumnType) -> KeyColumn {
        KeyColumn { column, descending: false, nulls_first: false }
    }

    /// `DESC NULLS FIRST`
    pub const fn descending(column: ColumnType) -> KeyColumn {
        KeyColumn { column, descending: true, nulls_first: true }
    }
}

/// Why there can be no such index, or no such entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No column, or too many.
    #[error(
        "an index has 1 to {MAX_COLUMNS} columns, {key} of them its key; {columns} are asked for"
    )]
    Columns {
        /// Key columns.
        key: usize,
        /// Columns in all.
        columns: usize,
    },
    /// More values than columns.
    #[error("{values} values for {columns} columns of an index")]
    Values {
        /// Values given.
        values: usize,
        /// Columns there.
        columns: usize,
    },
    /// A value does not fit its column, or an entry is damaged.
    #[error(transparent)]
    Form(#[from] FormError),
    /// An entry is longer than its header can say.
    #[error("index row requires {length} bytes, maximum size is {SIZE}")]
    TooLong {
        /// Bytes of the entry.
        length: usize,
    },
    /// An entry is longer than a third of a page.
    #[error(
        "index row size {length} exceeds btree version 4 maximum {MAX_ITEM_SIZE}; values larger than 1/3 of a \
         buffer page cannot be indexed, consider an index on a hash of the value"
    )]
    TooBig {
        /// Bytes of the entry.
        length: usize,
    },
}

/// An index's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub(super) columns: Vec<ColumnType>,
    pub(super) key: Vec<KeyColumn>,
    /// How each column's long values are kept.
    pub(super) keeping: Vec<Keeping>,
}

/// Whether values of the type that are equal have the same bytes.
fn equal_image(column: ColumnType) -> bool {
    match column {
        ColumnType::Bool
        | ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::TimestampTz
        | ColumnType::Date
        | ColumnType::Oid
        | ColumnType::Uuid
        | ColumnType::Text
        | ColumnType::Bytea => true,
        // PostgreSQL says yes, and compares bytes before it shares: blanks at the end may differ where a column has no length.
        ColumnType::Bpchar => false,
        ColumnType::Float8 | ColumnType::Numeric => false,
    }
}

impl Shape {
    /// Ordered by these columns, with those included, which keep long values as their types do.
    ///
    /// # Errors
    /// [`KeyError::Columns`].
    pub fn new(key: &[KeyColumn], included: &[ColumnType]) -> Result<Shape, KeyError> {
        let columns = key.len() + included.len();
        if key.is_empty() || columns > MAX_COLUMNS {
            return Err(KeyError::Columns { key: key.len(), columns });
        }
        let columns = key.iter().map(|key| key.column).chain(included.iter().copied());
        let columns: Vec<ColumnType> = columns.collect();
        let keeping = columns.iter().map(|column| Keeping::of_type(*column)).collect();
        Ok(Shape { columns, key: key.to_vec(), keeping })
    }

    /// Its key's columns.
    pub fn key(&self) -> &[KeyColumn] {
        &self.key
    }

    /// All its columns.
    pub fn columns(&self) -> &[ColumnType] {
        &self.columns
    }

    /// Whether equal keys have the same bytes, so that entries can share them (`_bt_allequalimage`). An index with
    /// included columns has none to share.
    pub fn all_equal_image(&self) -> bool {
        self.columns.len() == self.key.len() && self.key.iter().all(|key| equal_image(key.column))
    }

    /// How many columns an entry has.
    fn stored(&self, tuple: IndexTuple<'_>) -> usize {
        tuple.pivot_columns().unwrap_or(self.columns.len())
    }

    /// The columns of an entry; those that a pivot lacks are not there. One that is compressed is given as an error.
    pub fn values<'a>(&'a self, tuple: IndexTuple<'a>) -> TupleValues<'a> {
        let stored = self.stored(tuple).min(self.columns.len());
        let (bytes, nulls) = (tuple.key_part(), tuple.null_bitmap());
        TupleValues::of_parts(&self.columns[..stored], bytes, nulls, tuple.data_start(), stored)
    }

    /// What an entry is searched by: so many of its key columns, and its tid if all are and it has one.
    ///
    /// # Errors
    /// Where the entry is damaged.
    pub fn search_key<'a>(
        &'a self,
        tuple: IndexTuple<'a>,
        columns: usize,
    ) -> Result<SearchKey<'a>, KeyError> {
        let count = self.stored(tuple).min(columns).min(self.key.len());
        let tid = tuple.heap_tid().filter(|_| count == self.key.len());
        self.search_key_of(self.values(tuple), count, tid)
    }

    /// The same of the first of these values.
    pub(super) fn search_key_of<'a>(
        &'a self,
        mut values: TupleValues<'a>,
        count: usize,
        tid: Option<Tid>,
    ) -> Result<SearchKey<'a>, KeyError> {
        let mut key = Vec::with_capacity(count);
        for _ in 0..count {
            let value = values.next_stored().transpose()?.flatten();
            key.push(value.map(|value| unpacked(&values, value)).transpose()?);
        }
        let number = self.key[0].number(key.first().and_then(Option::as_deref));
        Ok(SearchKey { values: key, number, tid, next_key: false, is_pivot: false })
    }

    /// What a key of one whole number is searched by, whose bytes are put into `room`: no entry is formed for it. `None` of
    /// other keys and of values that are not the column's.
    pub(super) fn number_key<'k>(
        &self,
        values: &[Value<'_>],
        room: &'k mut [u8; 8],
    ) -> Option<SearchKey<'k>> {
        let ([value], column) = (values, &self.key[0]) else { return None };
        let number = match (column.column, value) {
            (ColumnType::Int2, Value::Int2(value)) => i64::from(*value),
            (ColumnType::Int4, Value::Int4(value)) => i64::from(*value),
            (ColumnType::Int8, Value::Int8(value)) => *value,
            (ColumnType::Oid, Value::Oid(value)) => i64::from(*value),
            (ColumnType::Date, Value::Date(value)) => i64::from(*value),
            (ColumnType::TimestampTz, Value::TimestampTz(value)) => value.0,
            _ => return None,
        };
        *room = number.to_le_bytes();
        let value = &room[..column.column.length()?];
        let (number, values) = (column.number(Some(value)), vec![Some(Cow::Borrowed(value))]);
        Some(SearchKey { values, number, tid: None, next_key: false, is_pivot: false })
    }

    /// The first column of an entry as a number, as [`SearchKey::number`] is. Of its bytes nothing is known; what a damaged
    /// entry gives is some number or none.
    #[inline]
    pub(super) fn number(&self, entry: &[u8]) -> Option<i64> {
        self.key[0].number(tuple::first_column(entry))
    }

    /// The same of the entries of a page.
    #[inline]
    pub(super) fn numbers<'p>(&self, node: &Node<'p>) -> Numbers<'p> {
        Numbers { bytes: node.page().bytes(), pointers: node.pointers(), column: self.key[0] }
    }

    /// Where a search key stands to an entry (`_bt_compare`, the first entry above the leaves aside).
    ///
    /// # Errors
    /// Where the entry is damaged.
    pub fn compare(
        &self,
        key: &SearchKey<'_>,
        tuple: IndexTuple<'_>,
    ) -> Result<Ordering, KeyError> {
        // Mostly the first column's number decides.
        if let (Some(one), Some(other)) = (key.number, self.number(tuple.bytes())) {
            if one != other {
                return Ok(one.cmp(&other));
            }
            if key.is_its_number() && !tuple.is_pivot() {
                return Ok(Ordering::Equal);
            }
        }
        let stored = self.stored(tuple);
        let mut values = self.values(tuple);
        for (column, one) in self.key.iter().zip(&key.values).take(stored) {
            let Some(other) = values.next_stored().transpose()? else { break };
            let order = match other {
                None => column.compare(one.as_deref(), None),
                Some(Varlena::Plain(other)) => column.compare(one.as_deref(), Some(other)),
                Some(other) => column.compare(one.as_deref(), Some(&unpacked(&values, other)?)),
            };
            if order.is_ne() {
                return Ok(order);
            }
        }
        // What a pivot lacks is minus infinity.
        if key.values.len() > stored {
            return Ok(Ordering::Greater);
        }
        let least = tuple.heap_tid();
        let (Some(tid), Some(least)) = (key.tid, least) else {
            let is_behind = least.is_none()
                && (key.tid.is_some() || !key.is_pivot && key.values.len() == stored);
            return Ok(if is_behind { Ordering::Greater } else { Ordering::Equal });
        };
        // Within a posting list is equal.
        let greatest = tuple.max_heap_tid().unwrap_or(least);
        Ok(if tid < least {
            Ordering::Less
        } else if tid > greatest {
            Ordering::Greater
        } else {
            Ordering::Equal
        })
    }

    /// How many key columns it takes to tell two entries apart, the first that differs included: one more than there
    /// are if only tids do (`_bt_keep_natts`).
    ///
    /// # Errors
    /// Where one is damaged.
    pub fn columns_to_keep(
        &self,
        left: IndexTuple<'_>,
        right: IndexTuple<'_>,
    ) -> Result<usize, KeyError> {
        let (mut lefts, mut rights) = (self.values(left), self.values(right));
        for (index, column) in self.key.iter().enumerate() {
            if column.compare_next(&mut lefts, &mut rights)?.is_ne() {
                return Ok(index + 1);
            }
        }
        Ok(self.key.len() + 1)
    }

    /// Whether two entries have the same key, nulls being alike.
    ///
    /// # Errors
    /// Where one is damaged.
    pub fn same_key(&self, one: IndexTuple<'_>, other: IndexTuple<'_>) -> Result<bool, KeyError> {
        Ok(self.columns_to_keep(one, other)? > self.key.len())
    }

    /// Whether a key column of an entry is null, so that its key is never another's.
    ///
    /// # Errors
    /// Where it is damaged.
    pub fn has_null_key(&self, entry: IndexTuple<'_>) -> Result<bool, KeyError> {
        let mut values = self.values(entry);
        for _ in &self.key {
            if values.next_stored().transpose()?.flatten().is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where an entry of a leaf stands to another: by key, then by tid.
    ///
    /// # Errors
    /// Where one is damaged.
    pub fn order(&self, one: IndexTuple<'_>, other: IndexTuple<'_>) -> Result<Ordering, KeyError> {
        let (mut ones, mut others) = (self.values(one), self.values(other));
        for column in &self.key {
            let order = column.compare_next(&mut ones, &mut others)?;
            if order.is_ne() {
                return Ok(order);
            }
        }
        Ok(one.heap_tid().cmp(&other.heap_tid()))
    }

    /// The high key between two neighbours on a leaf: as few of the right one's columns as tell them apart, and where
    /// none does, all of them and the left one's tid (`_bt_truncate`). `default` is how values are compressed in columns that
    /// do not say it.
    ///
    /// # Errors
    /// Where one is damaged.
    pub fn truncate(
        &self,
        left: IndexTuple<'_>,
        right: IndexTuple<'_>,
        default: Compression,
    ) -> Result<Vec<u8>, KeyError> {
        let keep = self.columns_to_keep(left, right)?;
        let columns = keep.min(self.key.len());
        let mut pivot = if columns < self.columns.len() {
            self.cut(right, columns, default)?
        } else {
            let mut whole = right.key_part().to_vec();
            let bits = u16::from_le_bytes([whole[6], whole[7]]) & (HAS_NULLS | HAS_VARIABLE);
            let size = whole.len() as u16;
            whole[6..8].copy_from_slice(&(bits | size).to_le_bytes());
            whole
        };
        let has_tid = keep > self.key.len();
        if has_tid {
            let tid = left.max_heap_tid().unwrap_or_default();
            let size = pivot.len() + 8;
            pivot.resize(size, 0);
            pivot[size - Tid::SIZE..].copy_from_slice(&tid.to_bytes());
            let bits = u16::from_le_bytes([pivot[6], pivot[7]]) & !SIZE;
            pivot[6..8].copy_from_slice(&(bits | size as u16).to_le_bytes());
        }
        tuple::set_pivot(&mut pivot, columns, has_tid);
        Ok(pivot)
    }
}

impl KeyColumn {
    /// Whether its values are whole numbers, as [`KeyColumn::number`] gives them.
    pub(super) fn is_whole_number(&self) -> bool {
        self.number(Some(&[0; 8])).is_some()
    }

    /// A value of eight bytes or less as a number that stands to others as the value does in this column; `None` of nulls and of
    /// types that are no whole numbers.
    #[inline]
    pub(super) fn number(&self, value: Option<&[u8]>) -> Option<i64> {
        let value = value?;
        let number = match self.column {
            ColumnType::Int2 => i16::from_le_bytes(*value.first_chunk()?).into(),
            ColumnType::Int4 | ColumnType::Date => i32::from_le_bytes(*value.first_chunk()?).into(),
            ColumnType::Oid => u32::from_le_bytes(*value.first_chunk()?).into(),
            ColumnType::Int8 | ColumnType::TimestampTz => i64::from_le_bytes(*value.first_chunk()?),
            _ => return None,
        };
        Some(if self.descending { !number } else { number })
    }

    /// Where the next value of an entry stands to that of another.
    pub(super) fn compare_next(
        &self,
        ones: &mut TupleValues<'_>,
        others: &mut TupleValues<'_>,
    ) -> Result<Ordering, FormError> {
        let one = ones.next_stored().transpose()?.flatten();
        let other = others.next_stored().transpose()?.flatten();
        Ok(match (one, other) {
            (Some(Varlena::Plain(one)), Some(Varlena::Plain(other))) => {
                self.compare(Some(one), Some(other))
            }
            (Some(Varlena::Compressed(one)), Some(Varlena::Compressed(other))) if one == other => {
                Ordering::Equal
            }
            (one, other) => {
                let one = one.map(|one| unpacked(ones, one)).transpose()?;
                let other = other.map(|other| unpacked(others, other)).transpose()?;
                self.compare(one.as_deref(), other.as_deref())
            }
        })
    }

    /// Where a value stands to another, `None` being null.
    fn compare(&self, one: Option<&[u8]>, other: Option<&[u8]>) -> Ordering {
        let null_is = if self.nulls_first { Ordering::Less } else { Ordering::Greater };
        match (one, other) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => null_is,
            (Some(_), None) => null_is.reverse(),
            (Some(one), Some(other)) => {
                let order = compare_values(self.column, one, other);
                if self.descending { order.reverse() } else { order }
            }
        }
    }
}

/// Where a value's bytes stand to another's of the same type; those of variable width without their headers.
fn compare_values(column: ColumnType, one: &[u8], other: &[u8]) -> Ordering {
    fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
        bytes.first_chunk().copied().unwrap_or([0; N])
    }
    match column {
        ColumnType::Int2 => i16::from_le_bytes(number(one)).cmp(&i16::from_le_bytes(number(other))),
        ColumnType::Int4 | ColumnType::Date => {
            i32::from_le_bytes(number(one)).cmp(&i32::from_le_bytes(number(other)))
        }
        ColumnType::Oid => u32::from_le_bytes(number(one)).cmp(&u32::from_le_bytes(number(other))),
        ColumnType::Int8 | ColumnType::TimestampTz => {
            i64::from_le_bytes(number(one)).cmp(&i64::from_le_bytes(number(other)))
        }
        ColumnType::Float8 => {
            let (one, other) = (f64::from_le_bytes(number(one)), f64::from_le_bytes(number(other)));
            let of_nan = one.is_nan().cmp(&other.is_nan());
            one.partial_cmp(&other).unwrap_or(of_nan)
        }
        ColumnType::Bool | ColumnType::Uuid | ColumnType::Text | ColumnType::Bytea => {
            one.cmp(other)
        }
        ColumnType::Numeric => numeric::compare(one, other),
        ColumnType::Bpchar => without_blanks(one).cmp(without_blanks(other)),
    }
}

/// Bytes without the blanks at their end.
pub(super) fn without_blanks(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    &bytes[..end]
}

impl SearchKey<'_> {
    /// Whether nothing but its number is searched for: an entry of a row that has the same is equal.
    #[inline]
    pub(super) fn is_its_number(&self) -> bool {
        self.values.len() == 1 && self.tid.is_none()
    }
}

/// The first columns of a page's entries as numbers, see [`SearchKey::number`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers<'p> {
    bytes: &'p PageBytes,
    pointers: &'p [[u8; LINE_POINTER_SIZE]],
    column: KeyColumn,
}

impl Numbers<'_> {
    /// Of a line pointer's entry; `None` also where there is none.
    #[inline]
    pub(super) fn at(&self, offset: OffsetNumber) -> Option<i64> {
        let pointer = self.pointers.get(usize::from(offset).checked_sub(1)?)?;
        let pointer = LinePointer::from_bytes(*pointer);
        let entry = self.bytes.get(usize::from(pointer.offset())..)?;
        self.column.number(tuple::first_column(entry).filter(|_| pointer.has_storage()))
    }

    /// Has the processor fetch the entry of line pointer `to` while it fetches the line pointer, if entries lie as in a page
    /// that was filled in order with entries of one size: from that of `from` on, the later ones before the earlier ones.
    #[inline]
    pub(super) fn fetch_if_in_order(&self, from: OffsetNumber, to: OffsetNumber) {
        if let Some(pointer) = self.pointers.get(usize::from(from).wrapping_sub(1)) {
            let pointer = LinePointer::from_bytes(*pointer);
            let size = max_align(pointer.length().into()) as usize;
            let between = usize::from(to.saturating_sub(from)) * size;
            fetch(self.bytes, usize::from(pointer.offset()).saturating_sub(between));
        }
    }
}

/// What is searched for (`BTScanInsert`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchKey<'a> {
    /// Values of the first key columns, none of them compressed; `None` of nulls.
    pub values: Vec<Option<Cow<'a, [u8]>>>,
    /// The first of them as a number that orders as its column does, where that is one of whole numbers: two that differ are
    /// as far as anybody needs to look.
    pub(super) number: Option<i64>,
    /// The row's tid, where one entry is meant among equal ones.
    pub tid: Option<Tid>,
    /// Whether the first entry behind equal ones is looked for, and not the first of them.
    pub next_key: bool,
    /// Whether pages that end in an equal pivot are looked for, too (`pivotsearch`).
    pub is_pivot: bool,
}
