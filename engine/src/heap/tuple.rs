//! Rows made tuples, and read from them again: `heap_form_tuple`, `heap_deform_tuple`.
//!
//! ```text
//! | header (23) | null bitmap, if any | padding to 8 | values, each aligned |
//! ```
//!
//! How values of variable width lie is told in [`varlena`](super::varlena).
//!
//! A null takes no room. A byte that is not 0 where a varlena may begin is a short header: padding is always 0,
//! and a long header that needs padding before it is never reached with another byte.
//!
//! Invariants: what is formed here is, byte for byte, what PostgreSQL forms of the same row before it compresses values or
//! moves them out of line ([`toast`](crate::toast)). What is read is not believed: [`FormError`] names the column.

use base::page::MAX_HEAP_TUPLE_SIZE;
use base::tuple::{MAX_TUPLE_COLUMNS, TUPLE_HEADER_SIZE, TupleError};
use base::{HeapTupleHeader, Infomask, Infomask2, TimestampTz, max_align};

use super::value::{ColumnType, Value};
use super::varlena::{LONG_HEADER, LONGEST_VALUE, Pointer, Varlena, is_stored, read_long_header};
use crate::toast::ToastError;

/// Why a row is no tuple, or a tuple no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not as many values as columns.
    #[error("{values} values for {columns} columns")]
    Count {
        /// Values given.
        values: usize,
        /// Columns of the table.
        columns: usize,
    },
    /// More columns than a tuple can have.
    #[error("{columns} columns are more than the {MAX_TUPLE_COLUMNS} that a tuple can have")]
    Columns {
        /// Columns of the table.
        columns: usize,
    },
    /// A value of another type than its column.
    #[error("column {column} is of type {wanted}, and the value is {got}")]
    Type {
        /// Number of the column, from 1.
        column: usize,
        /// Its type.
        wanted: &'static str,
        /// The value's.
        got: &'static str,
    },
    /// Text with a zero byte, which PostgreSQL does not store.
    #[error("the text of column {column} has a zero byte at {at}; text cannot, use bytea")]
    ZeroByte {
        /// Number of the column, from 1.
        column: usize,
        /// Where, in bytes.
        at: usize,
    },
    /// The row does not fit a page.
    #[error("row is too big: size {length}, maximum size {MAX_HEAP_TUPLE_SIZE}")]
    TooBig {
        /// Bytes of the tuple.
        length: usize,
    },
    /// Lengths in the header contradict each other.
    #[error(transparent)]
    Header(#[from] TupleError),
    /// A value goes on behind the tuple's end.
    #[error(
        "the value of column {column}, at byte {at} of the tuple, needs {wanted} bytes, and {got} are there"
    )]
    Short {
        /// Number of the column, from 1.
        column: usize,
        /// Where it begins, in bytes from the tuple's start.
        at: usize,
        /// Bytes it needs.
        wanted: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// A value that lies in a TOAST table, or is compressed, where the tuple alone is read.
    #[error(
        "the value of column {column}, at byte {at} of the tuple, is {how}: it can be read by its table, and not by itself"
    )]
    Toasted {
        /// Number of the column, from 1.
        column: usize,
        /// Where it begins, in bytes from the tuple's start.
        at: usize,
        /// `compressed` or `stored in a TOAST table`.
        how: &'static str,
    },
    /// A value that lies neither in the tuple nor in a TOAST table.
    #[error(
        "the value of column {column}, at byte {at} of the tuple, is out of line by the unknown tag {tag}"
    )]
    OutOfLine {
        /// Number of the column, from 1.
        column: usize,
        /// Where it begins, in bytes from the tuple's start.
        at: usize,
        /// What its header says.
        tag: u8,
    },
    /// A compressed value that cannot be decompressed.
    #[error("the value of column {column}, at byte {at} of the tuple: {error}")]
    Compressed {
        /// Number of the column, from 1.
        column: usize,
        /// Where it begins, in bytes from the tuple's start.
        at: usize,
        /// What is wrong with it.
        error: ToastError,
    },
    /// A value that no tuple can have, whatever is done with it.
    #[error(
        "the value of column {column} has {length} bytes, more than the {LONGEST_VALUE} that a value can have"
    )]
    TooLong {
        /// Number of the column, from 1.
        column: usize,
        /// Bytes of the value.
        length: usize,
    },
    /// A varlena whose length does not cover its own header.
    #[error(
        "the value of column {column}, at byte {at} of the tuple, has length {length}, less than its header"
    )]
    Length {
        /// Number of the column, from 1.
        column: usize,
        /// Where it begins, in bytes from the tuple's start.
        at: usize,
        /// The length, header included.
        length: usize,
    },
    /// Text that is not UTF-8.
    #[error("the text of column {column}, at byte {at} of the tuple, is not UTF-8")]
    NotUtf8 {
        /// Number of the column, from 1.
        column: usize,
        /// Where the first wrong byte is, in bytes from the tuple's start.
        at: usize,
    },
    /// A boolean that is neither 0 nor 1.
    #[error(
        "the boolean of column {column}, at byte {at} of the tuple, is {byte}, neither 0 nor 1"
    )]
    NotBoolean {
        /// Number of the column, from 1.
        column: usize,
        /// Where, in bytes from the tuple's start.
        at: usize,
        /// What is there.
        byte: u8,
    },
}

/// Makes a tuple of a row, in place of what `tuple` held: the whole of it, with a header that says how many columns
/// there are and where the values begin, and whose other fields are 0 (`heap_form_tuple`).
///
/// # Errors
/// [`FormError`]; `tuple` then holds nothing of use.
pub fn form_tuple(
    columns: &[ColumnType],
    values: &[Value<'_>],
    tuple: &mut Vec<u8>,
) -> Result<(), FormError> {
    form_long_tuple(columns, |_| true, values, tuple)?;
    check_length(tuple)
}

/// Refuses a tuple that does not fit a page.
pub(crate) fn check_length(tuple: &[u8]) -> Result<(), FormError> {
    match tuple.len() {
        length if length > MAX_HEAP_TUPLE_SIZE => Err(FormError::TooBig { length }),
        _ => Ok(()),
    }
}

/// The same, however long it gets; `packs` says of a column, counted from 0, whether its values get short headers where
/// they can.
pub(crate) fn form_long_tuple(
    columns: &[ColumnType],
    packs: impl Fn(usize) -> bool,
    values: &[Value<'_>],
    tuple: &mut Vec<u8>,
) -> Result<(), FormError> {
    if values.len() != columns.len() {
        return Err(FormError::Count { values: values.len(), columns: columns.len() });
    }
    if columns.len() > usize::from(MAX_TUPLE_COLUMNS) {
        return Err(FormError::Columns { columns: columns.len() });
    }
    let has_null = values.iter().any(|value| matches!(value, Value::Null));
    let mut infomask = if has_null { Infomask::HASNULL } else { Infomask::empty() };
    tuple.clear();
    tuple.resize(data_start(columns.len(), has_null), 0);
    for (index, (column, value)) in columns.iter().zip(values).enumerate() {
        let Some(got) = value.column_type() else { continue };
        if got != *column {
            let (wanted, got) = (column.name(), got.name());
            return Err(FormError::Type { column: index + 1, wanted, got });
        }
        if has_null {
            tuple[TUPLE_HEADER_SIZE + index / 8] |= 1 << (index % 8);
        }
        if push_value(tuple, *column, packs(index), index, value)? {
            infomask |= Infomask::HASVARWIDTH;
        }
    }
    put_new_header(columns.len(), infomask, tuple);
    Ok(())
}

/// Where the values of a tuple of so many columns begin.
pub(crate) fn data_start(columns: usize, has_null: bool) -> usize {
    let bitmap_size = if has_null { columns.div_ceil(8) } else { 0 };
    max_align((TUPLE_HEADER_SIZE + bitmap_size) as u64) as usize
}

/// Writes the header of a tuple of so many columns that nobody has stored yet.
pub(crate) fn put_new_header(columns: usize, infomask: Infomask, tuple: &mut [u8]) {
    let header = HeapTupleHeader {
        infomask2: Infomask2::from_bits_retain(columns as u16),
        infomask,
        hoff: data_start(columns, infomask.contains(Infomask::HASNULL)) as u8,
        ..HeapTupleHeader::default()
    };
    tuple[..TUPLE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
}

/// Appends a value of a column, counted from 0, that is not null; `tuple` has begun at a multiple of 8. Whether it is of
/// variable width.
pub(crate) fn push_value(
    tuple: &mut Vec<u8>,
    column: ColumnType,
    packs: bool,
    index: usize,
    value: &Value<'_>,
) -> Result<bool, FormError> {
    let bytes = match value {
        Value::Text(text) | Value::Bpchar(text) => {
            if let Some(at) = text.bytes().position(|byte| byte == 0) {
                return Err(FormError::ZeroByte { column: index + 1, at });
            }
            text.as_bytes()
        }
        Value::Bytea(bytes) | Value::Numeric(bytes) => bytes,
        fixed => {
            // The data begins at a multiple of 8, so that offsets within the tuple are aligned alike.
            tuple.resize(tuple.len().next_multiple_of(column.alignment()), 0);
            push_fixed(tuple, fixed);
            return Ok(false);
        }
    };
    if bytes.len() > LONGEST_VALUE {
        return Err(FormError::TooLong { column: index + 1, length: bytes.len() });
    }
    Varlena::Plain(bytes).push(packs, tuple);
    Ok(true)
}

fn push_fixed(tuple: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Bool(value) => tuple.push(u8::from(*value)),
        Value::Int2(value) => tuple.extend_from_slice(&value.to_le_bytes()),
        Value::Int4(value) => tuple.extend_from_slice(&value.to_le_bytes()),
        Value::Int8(value) => tuple.extend_from_slice(&value.to_le_bytes()),
        Value::Float8(value) => tuple.extend_from_slice(&value.to_le_bytes()),
        Value::TimestampTz(value) => tuple.extend_from_slice(&value.0.to_le_bytes()),
        Value::Uuid(value) => tuple.extend_from_slice(value),
        Value::Date(value) => tuple.extend_from_slice(&value.to_le_bytes()),
        Value::Oid(value) => tuple.extend_from_slice(&value.to_le_bytes()),
        Value::Null | Value::Text(_) | Value::Bytea(_) | Value::Numeric(_) | Value::Bpchar(_) => {}
    }
}

/// How far behind the header of a tuple without nulls the values of these columns lie, up to the first of variable width, from
/// which on that differs from row to row (`attcacheoff`).
pub(crate) fn fixed_places(columns: &[ColumnType]) -> Box<[usize]> {
    let mut end = 0_usize;
    let places = columns.iter().map_while(|column| {
        let length = column.length()?;
        let place = end.next_multiple_of(column.alignment());
        end = place + length;
        Some(place)
    });
    places.collect()
}

/// The values of a tuple, column by column (`heap_deform_tuple`). A column that the tuple does not have yet, since it
/// was added to the table later, is null.
#[derive(Debug, Clone)]
pub struct TupleValues<'a> {
    tuple: &'a [u8],
    null_bitmap: &'a [u8],
    columns: &'a [ColumnType],
    /// How many the tuple has.
    stored: usize,
    next: usize,
    at: usize,
}

impl<'a> TupleValues<'a> {
    /// Of a whole tuple, header and all.
    ///
    /// # Errors
    /// Where lengths in the header contradict each other.
    pub fn of(columns: &'a [ColumnType], tuple: &'a [u8]) -> Result<TupleValues<'a>, FormError> {
        let (header, parts) = HeapTupleHeader::read(tuple)?;
        Ok(TupleValues {
            tuple,
            null_bitmap: &tuple[parts.null_bitmap],
            columns,
            stored: usize::from(header.infomask2.columns()),
            next: 0,
            at: parts.data.start,
        })
    }

    /// Of a tuple of another kind, an index's: where its columns begin is known, and how many it has.
    pub(crate) fn of_parts(
        columns: &'a [ColumnType],
        tuple: &'a [u8],
        null_bitmap: &'a [u8],
        data_start: usize,
        stored: usize,
    ) -> TupleValues<'a> {
        TupleValues { tuple, null_bitmap, columns, stored, next: 0, at: data_start }
    }

    /// How the next value lies; `None` of a null.
    pub(crate) fn next_stored(&mut self) -> Option<Result<Option<Varlena<'a>>, FormError>> {
        self.next_by(None, |values, column| values.stored(column).map(Some))
    }

    /// What `read` makes of the next value; `null` of a null.
    fn next_by<T>(
        &mut self,
        null: T,
        read: impl FnOnce(&mut Self, ColumnType) -> Result<T, FormError>,
    ) -> Option<Result<T, FormError>> {
        let index = self.next;
        let column = *self.columns.get(index)?;
        self.next += 1;
        Some(if self.is_null(index) { Ok(null) } else { read(self, column) })
    }

    /// The next value; `None` of one that is compressed or out of line.
    pub(crate) fn next_in_line(&mut self) -> Option<Result<Option<Value<'a>>, FormError>> {
        self.next_by(Some(Value::Null), |values, column| match values.stored(column)? {
            Varlena::Plain(bytes) => values.value(column, bytes).map(Some),
            Varlena::Compressed(_) | Varlena::External(_) => Ok(None),
        })
    }

    /// Goes from the first column to this one, by the columns' [`fixed_places`] if its place is among them.
    pub(crate) fn go_to(&mut self, column: usize, places: &[usize]) -> Result<(), FormError> {
        match places.get(column).filter(|_| self.null_bitmap.is_empty()) {
            Some(place) => (self.next, self.at) = (column, self.at + place),
            None => self.pass(column)?,
        }
        Ok(())
    }

    /// Goes on behind so many columns, without looking at those of fixed width.
    pub(crate) fn pass(&mut self, columns: usize) -> Result<(), FormError> {
        let wanted = (self.next + columns).min(self.columns.len());
        while self.next < wanted {
            let index = self.next;
            self.next += 1;
            if self.is_null(index) {
                continue;
            }
            let column = self.columns[index];
            match column.length() {
                Some(length) => self.at = self.at.next_multiple_of(column.alignment()) + length,
                None => drop(self.varlena()?),
            }
        }
        Ok(())
    }

    /// The column that was passed last, from 1, and where its value begins, which has so many bytes with its header.
    pub(crate) fn place(&self, length: usize) -> (usize, usize) {
        (self.next, self.at - length)
    }

    /// What there is to say of the value that was passed last, if it is out of line and must not be.
    pub(crate) fn out_of_line(&self) -> FormError {
        let (column, at) = self.place(Pointer::SIZE);
        FormError::Toasted { column, at, how: "stored in a TOAST table" }
    }

    fn is_null(&self, index: usize) -> bool {
        let bit = self.null_bitmap.get(index / 8).map(|byte| byte >> (index % 8) & 1);
        index >= self.stored || bit == Some(0)
    }

    /// The next `wanted` bytes.
    fn take(&mut self, wanted: usize) -> Result<&'a [u8], FormError> {
        let (at, column) = (self.at, self.next);
        let got = self.tuple.len().saturating_sub(at);
        if wanted > got {
            return Err(FormError::Short { column, at, wanted, got });
        }
        self.at += wanted;
        Ok(&self.tuple[at..at + wanted])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn varlena(&mut self) -> Result<Varlena<'a>, FormError> {
        let column = self.next;
        if self.tuple.get(self.at).is_none_or(|byte| *byte == 0) {
            self.at = self.at.next_multiple_of(4);
        }
        let at = self.at;
        let first = self.take(1)?[0];
        if first == 1 {
            let [tag] = self.array()?;
            if !is_stored(tag) {
                return Err(FormError::OutOfLine { column, at, tag });
            }
            return Ok(Varlena::External(Pointer::from_bytes(&self.array()?)));
        }
        if first & 1 == 1 {
            return self.take(usize::from(first >> 1) - 1).map(Varlena::Plain);
        }
        let rest: [u8; 3] = self.array()?;
        let header = u32::from_le_bytes([first, rest[0], rest[1], rest[2]]);
        let (is_compressed, bytes) = read_long_header(header);
        let length = (header >> 2) as usize;
        let bytes = self.take(bytes.ok_or(FormError::Length { column, at, length })?)?;
        Ok(if is_compressed { Varlena::Compressed(bytes) } else { Varlena::Plain(bytes) })
    }

    /// How a value lies that is not null.
    fn stored(&mut self, column: ColumnType) -> Result<Varlena<'a>, FormError> {
        match column.length() {
            Some(length) => {
                self.at = self.at.next_multiple_of(column.alignment());
                self.take(length).map(Varlena::Plain)
            }
            None => self.varlena(),
        }
    }

    /// The bytes of a value that is not null.
    fn raw(&mut self, column: ColumnType) -> Result<&'a [u8], FormError> {
        match self.stored(column)? {
            Varlena::Plain(bytes) => Ok(bytes),
            Varlena::Compressed(bytes) => {
                let (column, at) = self.place(bytes.len() + LONG_HEADER);
                Err(FormError::Toasted { column, at, how: "compressed" })
            }
            Varlena::External(_) => Err(self.out_of_line()),
        }
    }

    /// The value of the column before the next one, which has just been passed over, by its bytes.
    fn value(&self, column: ColumnType, bytes: &'a [u8]) -> Result<Value<'a>, FormError> {
        Ok(match column {
            ColumnType::Bool => match array::<1>(bytes) {
                [byte @ (0 | 1)] => Value::Bool(byte == 1),
                [byte] => {
                    return Err(FormError::NotBoolean { column: self.next, at: self.at - 1, byte });
                }
            },
            ColumnType::Int2 => Value::Int2(i16::from_le_bytes(array(bytes))),
            ColumnType::Int4 => Value::Int4(i32::from_le_bytes(array(bytes))),
            ColumnType::Int8 => Value::Int8(i64::from_le_bytes(array(bytes))),
            ColumnType::Float8 => Value::Float8(f64::from_le_bytes(array(bytes))),
            ColumnType::TimestampTz => {
                Value::TimestampTz(TimestampTz(i64::from_le_bytes(array(bytes))))
            }
            ColumnType::Uuid => Value::Uuid(array(bytes)),
            ColumnType::Date => Value::Date(i32::from_le_bytes(array(bytes))),
            ColumnType::Oid => Value::Oid(u32::from_le_bytes(array(bytes))),
            ColumnType::Bytea => Value::Bytea(bytes),
            ColumnType::Numeric => Value::Numeric(bytes),
            ColumnType::Text => Value::Text(self.text(bytes)?),
            ColumnType::Bpchar => Value::Bpchar(self.text(bytes)?),
        })
    }

    fn text(&self, bytes: &'a [u8]) -> Result<&'a str, FormError> {
        let start = self.at - bytes.len();
        std::str::from_utf8(bytes).map_err(|error| FormError::NotUtf8 {
            column: self.next,
            at: start + error.valid_up_to(),
        })
    }
}

/// The bytes of a value of fixed width.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many as the column's type has")
}

/// Ends with the first error.
impl<'a> Iterator for TupleValues<'a> {
    type Item = Result<Value<'a>, FormError>;

    fn next(&mut self) -> Option<Result<Value<'a>, FormError>> {
        let value = self.next_by(Value::Null, |values, column| {
            let bytes = values.raw(column)?;
            values.value(column, bytes)
        });
        if matches!(value, Some(Err(_))) {
            self.next = self.columns.len();
        }
        value
    }
}

#[cfg(test)]
mod tests;
