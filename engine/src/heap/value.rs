//! Values of columns, and how each type lies in a tuple.
//!
//! | type | bytes | aligned to | as |
//! |---|---:|---:|---|
//! | `bool` | 1 | 1 | 0 or 1 |
//! | `int2`, `int4`, `int8` | 2, 4, 8 | the same | two's complement, little-endian |
//! | `float8` | 8 | 8 | IEEE 754, little-endian |
//! | `timestamptz` | 8 | 8 | microseconds since 2000-01-01 UTC |
//! | `uuid` | 16 | 1 | its bytes |
//! | `text`, `bytea` | 1 or 4 and the bytes | 1 or 4 | a varlena, see [`varlena`](super::varlena) |
//! | `date` | 4 | 4 | days since 2000-01-01, two's complement, little-endian |
//! | `oid` | 4 | 4 | a number, little-endian |
//! | `numeric` | 1 or 4 and the bytes | 1 or 4 | a varlena, its bytes those of [`numeric`](super::numeric) |
//! | `bpchar` | 1 or 4 and the bytes | 1 or 4 | a varlena, padded with blanks by who makes it |
//!
//! Source: `pg_type.dat`.

use base::TimestampTz;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `double precision`
    Float8,
    /// `text`, in UTF-8
    Text,
    /// `bytea`
    Bytea,
    /// `timestamp with time zone`
    TimestampTz,
    /// `uuid`
    Uuid,
    /// `date`
    Date,
    /// `numeric`
    Numeric,
    /// `character(n)`, in UTF-8
    Bpchar,
    /// `oid`
    Oid,
}

impl ColumnType {
    /// Every type, in the order of the table above.
    pub const ALL: [ColumnType; 13] = [
        ColumnType::Bool,
        ColumnType::Int2,
        ColumnType::Int4,
        ColumnType::Int8,
        ColumnType::Float8,
        ColumnType::TimestampTz,
        ColumnType::Uuid,
        ColumnType::Text,
        ColumnType::Bytea,
        ColumnType::Date,
        ColumnType::Numeric,
        ColumnType::Bpchar,
        ColumnType::Oid,
    ];

    /// Bytes of a value; `None` where that differs from value to value (`typlen`).
    #[inline]
    pub const fn length(self) -> Option<usize> {
        Some(match self {
            ColumnType::Bool => 1,
            ColumnType::Int2 => 2,
            ColumnType::Int4 | ColumnType::Date | ColumnType::Oid => 4,
            ColumnType::Int8 | ColumnType::Float8 | ColumnType::TimestampTz => 8,
            ColumnType::Uuid => 16,
            ColumnType::Text | ColumnType::Bytea | ColumnType::Numeric | ColumnType::Bpchar => {
                return None;
            }
        })
    }

    /// What a value's offset within the tuple's data is a multiple of, in bytes (`typalign`). A varlena with a
    /// short header is not aligned.
    #[inline]
    pub const fn alignment(self) -> usize {
        match self {
            ColumnType::Bool | ColumnType::Uuid => 1,
            ColumnType::Int2 => 2,
            ColumnType::Int4
            | ColumnType::Date
            | ColumnType::Oid
            | ColumnType::Text
            | ColumnType::Bytea
            | ColumnType::Numeric
            | ColumnType::Bpchar => 4,
            ColumnType::Int8 | ColumnType::Float8 | ColumnType::TimestampTz => 8,
        }
    }

    /// Its name in SQL, as `pg_type.typname` has it.
    pub const fn name(self) -> &'static str {
        match self {
            ColumnType::Bool => "bool",
            ColumnType::Int2 => "int2",
            ColumnType::Int4 => "int4",
            ColumnType::Int8 => "int8",
            ColumnType::Float8 => "float8",
            ColumnType::Text => "text",
            ColumnType::Bytea => "bytea",
            ColumnType::TimestampTz => "timestamptz",
            ColumnType::Uuid => "uuid",
            ColumnType::Date => "date",
            ColumnType::Numeric => "numeric",
            ColumnType::Bpchar => "bpchar",
            ColumnType::Oid => "oid",
        }
    }
}

/// A column's value in a row. Text and bytes are borrowed from the row or the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// No value, of whichever type.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    Int2(i16),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `double precision`; every bit pattern is kept.
    Float8(f64),
    /// `text`
    Text(&'a str),
    /// `bytea`
    Bytea(&'a [u8]),
    /// `timestamp with time zone`
    TimestampTz(TimestampTz),
    /// `uuid`
    Uuid([u8; 16]),
    /// `date`, in days since 2000-01-01
    Date(i32),
    /// `numeric`, as [`numeric`](super::numeric) has it
    Numeric(&'a [u8]),
    /// `character(n)`, with the blanks behind it
    Bpchar(&'a str),
    /// `oid`
    Oid(u32),
}

impl Value<'_> {
    /// Its type; `None` of a null.
    pub const fn column_type(&self) -> Option<ColumnType> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(_) => ColumnType::Bool,
            Value::Int2(_) => ColumnType::Int2,
            Value::Int4(_) => ColumnType::Int4,
            Value::Int8(_) => ColumnType::Int8,
            Value::Float8(_) => ColumnType::Float8,
            Value::Text(_) => ColumnType::Text,
            Value::Bytea(_) => ColumnType::Bytea,
            Value::TimestampTz(_) => ColumnType::TimestampTz,
            Value::Uuid(_) => ColumnType::Uuid,
            Value::Date(_) => ColumnType::Date,
            Value::Numeric(_) => ColumnType::Numeric,
            Value::Bpchar(_) => ColumnType::Bpchar,
            Value::Oid(_) => ColumnType::Oid,
        })
    }

    /// The bytes of a value of variable width.
    pub(crate) fn variable_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) | Value::Bpchar(text) => Some(text.as_bytes()),
            Value::Bytea(bytes) | Value::Numeric(bytes) => Some(bytes),
            _ => None,
        }
    }
}
