//! Types of SQL, values of them, and the text that a client gets.
//!
//! Invariants: a value is of the type that its expression was given when the statement was analyzed, or null. `char(n)` has
//! its blanks; they count in its text, and in no comparison. Sources: `pg_type.dat`, `format_type.c` and the output
//! functions of the types.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use base::{Tid, TimestampTz};
use engine::copy_text;
use engine::heap::{ColumnType, Value, numeric};

use crate::error::{Result, SqlError};
use crate::numeric::Numeric;

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    /// A string literal or null whose place has not given it a type yet.
    Unknown,
    /// What a function gives that gives nothing; its text is empty.
    Void,
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
    /// `numeric`
    Numeric,
    /// `text`
    Text,
    /// `character varying`
    Varchar,
    /// `character(n)`
    Bpchar,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `timestamp with time zone`
    TimestampTz,
    /// `timestamp without time zone`
    Timestamp,
    /// `uuid`
    Uuid,
    /// `tid`, of the column `ctid`
    Tid,
    /// `oid`, of the column `tableoid`
    Oid,
    /// `regclass`
    Regclass,
    /// `xid`, of the columns `xmin` and `xmax`
    Xid,
    /// `xid8`
    Xid8,
    /// `pg_snapshot`
    PgSnapshot,
    /// A row.
    Record,
}

impl Type {
    /// As error messages have it (`format_type_be`).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Type::Unknown => "unknown",
            Type::Void => "void",
            Type::Bool => "boolean",
            Type::Int2 => "smallint",
            Type::Int4 => "integer",
            Type::Int8 => "bigint",
            Type::Float8 => "double precision",
            Type::Numeric => "numeric",
            Type::Text => "text",
            Type::Varchar => "character varying",
            Type::Bpchar => "character",
            Type::Bytea => "bytea",
            Type::Date => "date",
            Type::TimestampTz => "timestamp with time zone",
            Type::Timestamp => "timestamp without time zone",
            Type::Uuid => "uuid",
            Type::Tid => "tid",
            Type::Oid => "oid",
            Type::Regclass => "regclass",
            Type::Xid => "xid",
            Type::Xid8 => "xid8",
            Type::PgSnapshot => "pg_snapshot",
            Type::Record => "record",
        }
    }

    /// The name of a column that a cast to it makes (`FigureColname`).
    pub(crate) fn internal_name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int2 => "int2",
            Type::Int4 => "int4",
            Type::Int8 => "int8",
            Type::Float8 => "float8",
            Type::Varchar => "varchar",
            Type::Bpchar => "bpchar",
            Type::TimestampTz => "timestamptz",
            Type::Timestamp => "timestamp",
            other => other.name(),
        }
    }

    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Type::Int2 | Type::Int4 | Type::Int8)
    }

    pub(crate) fn is_number(self) -> bool {
        self.is_integer() || matches!(self, Type::Numeric | Type::Float8)
    }

    /// Whether it is what others of its kind become where nothing else decides (`typispreferred`).
    pub(crate) fn is_preferred(self) -> bool {
        matches!(self, Type::Float8 | Type::Text | Type::Bool | Type::TimestampTz | Type::Oid)
    }

    pub(crate) fn is_string(self) -> bool {
        matches!(self, Type::Text | Type::Varchar | Type::Bpchar)
    }

    /// How the engine keeps a column of it; `None` if it does not.
    pub(crate) fn stored(self) -> Option<ColumnType> {
        Some(match self {
            Type::Bool => ColumnType::Bool,
            Type::Int2 => ColumnType::Int2,
            Type::Int4 => ColumnType::Int4,
            Type::Int8 => ColumnType::Int8,
            Type::Float8 => ColumnType::Float8,
            Type::Numeric => ColumnType::Numeric,
            Type::Text | Type::Varchar => ColumnType::Text,
            Type::Bpchar => ColumnType::Bpchar,
            Type::Bytea => ColumnType::Bytea,
            Type::Date => ColumnType::Date,
            // Both are microseconds since the same moment; the zone is UTC.
            Type::TimestampTz | Type::Timestamp => ColumnType::TimestampTz,
            Type::Uuid => ColumnType::Uuid,
            // So that they are in order as whole numbers.
            Type::Oid | Type::Regclass => ColumnType::Int8,
            _ => return None,
        })
    }

    /// What a column that was made without SQL is.
    pub(crate) fn of_stored(column: ColumnType) -> Type {
        match column {
            ColumnType::Bool => Type::Bool,
            ColumnType::Int2 => Type::Int2,
            ColumnType::Int4 => Type::Int4,
            ColumnType::Int8 => Type::Int8,
            ColumnType::Float8 => Type::Float8,
            ColumnType::Text => Type::Text,
            ColumnType::Bytea => Type::Bytea,
            ColumnType::TimestampTz => Type::TimestampTz,
            ColumnType::Uuid => Type::Uuid,
            ColumnType::Date => Type::Date,
            ColumnType::Numeric => Type::Numeric,
            ColumnType::Bpchar => Type::Bpchar,
            ColumnType::Oid => Type::Oid,
        }
    }
}

/// What a type is told besides: `numeric(13,2)`, `varchar(10)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Modifier {
    #[default]
    None,
    /// Characters.
    Length(usize),
    /// Digits in all, and behind the point.
    Digits { precision: u32, scale: i32 },
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum {
    Null,
    Void,
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Float8(f64),
    Numeric(Numeric),
    /// Of `text`, `varchar`, `char(n)`, an untyped literal, and of types that are shown as their text alone.
    Text(String),
    Bytea(Vec<u8>),
    /// Days since 2000-01-01.
    Date(i32),
    TimestampTz(i64),
    Timestamp(i64),
    Uuid([u8; 16]),
    Tid(Tid),
    /// Of `oid`, `regclass` and `xid`; a class is shown by its name.
    Oid(u32),
    Record(Vec<Datum>),
}

impl Datum {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// A truth value: true, false, or null.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Datum::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn of_truth(value: Option<bool>) -> Datum {
        value.map_or(Datum::Null, Datum::Bool)
    }

    /// A whole number of any width.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Datum::Int2(value) => Some(i64::from(*value)),
            Datum::Int4(value) => Some(i64::from(*value)),
            Datum::Int8(value) => Some(*value),
            Datum::Oid(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// From a stored row.
    pub(crate) fn of_stored(value: &Value<'_>) -> Result<Datum> {
        Ok(match *value {
            Value::Null => Datum::Null,
            Value::Bool(value) => Datum::Bool(value),
            Value::Int2(value) => Datum::Int2(value),
            Value::Int4(value) => Datum::Int4(value),
            Value::Int8(value) => Datum::Int8(value),
            Value::Float8(value) => Datum::Float8(value),
            Value::Text(value) | Value::Bpchar(value) => Datum::Text(value.to_owned()),
            Value::Bytea(value) => Datum::Bytea(value.to_vec()),
            Value::TimestampTz(value) => Datum::TimestampTz(value.0),
            Value::Uuid(value) => Datum::Uuid(value),
            Value::Date(value) => Datum::Date(value),
            Value::Oid(value) => Datum::Oid(value),
            Value::Numeric(value) => numeric::to_text(value)
                .and_then(|text| Numeric::parse(&text))
                .map(Datum::Numeric)
                .ok_or_else(|| SqlError::new("XX001", "a stored number is damaged"))?,
        })
    }

    /// From a stored row's column of a type.
    pub(crate) fn of_column(value: &Value<'_>, of: Type) -> Result<Datum> {
        Ok(match Datum::of_stored(value)? {
            Datum::TimestampTz(micros) if of == Type::Timestamp => Datum::Timestamp(micros),
            Datum::Int8(number) if matches!(of, Type::Oid | Type::Regclass) => {
                Datum::Oid(u32::try_from(number).map_err(|_| {
                    SqlError::new("XX001", format!("a stored {} is damaged", of.name()))
                })?)
            }
            value => value,
        })
    }

    /// The text that a client gets; `None` of a null.
    pub(crate) fn text(&self) -> Option<String> {
        let copied = |value: Value<'_>| {
            let mut out = Vec::new();
            copy_text::push_value(&value, &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        Some(match self {
            Datum::Null => return None,
            Datum::Void => String::new(),
            Datum::Bool(value) => if *value { "t" } else { "f" }.to_owned(),
            Datum::Int2(value) => value.to_string(),
            Datum::Int4(value) => value.to_string(),
            Datum::Int8(value) => value.to_string(),
            Datum::Oid(value) => value.to_string(),
            Datum::Float8(value) => copied(Value::Float8(*value)),
            Datum::Numeric(value) => value.to_string(),
            Datum::Text(value) => value.clone(),
            Datum::Bytea(value) => {
                value.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
            }
            Datum::Date(value) => copied(Value::Date(*value)),
            Datum::TimestampTz(value) => copied(Value::TimestampTz(TimestampTz(*value))),
            Datum::Timestamp(value) => {
                let text = copied(Value::TimestampTz(TimestampTz(*value)));
                text.replacen("+00", "", 1)
            }
            Datum::Uuid(value) => copied(Value::Uuid(*value)),
            Datum::Tid(value) => format!("({},{})", value.block, value.offset),
            Datum::Record(fields) => record_text(fields),
        })
    }

    /// The order of two values of one type; `None` if one is null. Rows are compared field by field, nulls last.
    pub(crate) fn compare(&self, other: &Datum, of: Type) -> Option<Ordering> {
        if self.is_null() || other.is_null() {
            return None;
        }
        Some(match (self, other) {
            (Datum::Bool(one), Datum::Bool(other)) => one.cmp(other),
            (Datum::Float8(one), Datum::Float8(other)) => compare_floats(*one, *other),
            (Datum::Numeric(one), Datum::Numeric(other)) => one.cmp(other),
            (Datum::Text(one), Datum::Text(other)) if of == Type::Bpchar => {
                one.trim_end_matches(' ').cmp(other.trim_end_matches(' '))
            }
            (Datum::Text(one), Datum::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Datum::Bytea(one), Datum::Bytea(other)) => one.cmp(other),
            (Datum::Date(one), Datum::Date(other)) => one.cmp(other),
            (Datum::TimestampTz(one), Datum::TimestampTz(other)) => one.cmp(other),
            (Datum::Timestamp(one), Datum::Timestamp(other)) => one.cmp(other),
            (Datum::Uuid(one), Datum::Uuid(other)) => one.cmp(other),
            (Datum::Tid(one), Datum::Tid(other)) => {
                (one.block, one.offset).cmp(&(other.block, other.offset))
            }
            (Datum::Record(one), Datum::Record(other)) => {
                let fields = one.iter().zip(other);
                let orders = fields.map(|(one, other)| one.sort_order(other, of));
                orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            }
            (Datum::Void, Datum::Void) => Ordering::Equal,
            _ => self.int()?.cmp(&other.int()?),
        })
    }

    /// Adds to a hash what values have in common that are equal in a type.
    pub(crate) fn hash(&self, of: Type, state: &mut impl Hasher) {
        match self {
            Datum::Bool(value) => value.hash(state),
            // As `hashfloat8`: one zero, one NaN.
            Datum::Float8(0.0) => 0_u64.hash(state),
            Datum::Float8(value) if value.is_nan() => f64::NAN.to_bits().hash(state),
            Datum::Float8(value) => value.to_bits().hash(state),
            Datum::Numeric(value) => value.hash(state),
            Datum::Text(value) if of == Type::Bpchar => value.trim_end_matches(' ').hash(state),
            Datum::Text(value) => value.hash(state),
            Datum::Bytea(value) => value.hash(state),
            Datum::Date(value) => value.hash(state),
            Datum::TimestampTz(value) | Datum::Timestamp(value) => value.hash(state),
            Datum::Uuid(value) => value.hash(state),
            Datum::Tid(tid) => (tid.block, tid.offset).hash(state),
            Datum::Int2(_) | Datum::Int4(_) | Datum::Int8(_) | Datum::Oid(_) => {
                self.int().hash(state);
            }
            // Fields are compared, each in its own way; whoever looks for equal ones has to.
            Datum::Null | Datum::Void | Datum::Record(_) => {}
        }
    }

    /// As [`Datum::compare`], with a place for nulls: behind all others.
    pub(crate) fn sort_order(&self, other: &Datum, of: Type) -> Ordering {
        self.compare(other, of).unwrap_or_else(|| self.is_null().cmp(&other.is_null()))
    }
}

/// As `float8_cmp_internal`: NaN equals itself and is above all others.
fn compare_floats(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or_else(|| one.is_nan().cmp(&other.is_nan()))
}

/// `record_out`
fn record_text(fields: &[Datum]) -> String {
    let field = |field: &Datum| {
        let Some(text) = field.text() else { return String::new() };
        let is_special = |c: char| "\"\\(),".contains(c) || c.is_ascii_whitespace();
        if text.is_empty() || text.contains(is_special) {
            return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""));
        }
        text
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("({})", fields.join(","))
}

/// A row to be stored, which borrows what is not of fixed length.
pub(crate) struct StoredRow<'a> {
    /// The bytes of numbers, for the columns that have one.
    numbers: Vec<Option<Vec<u8>>>,
    row: &'a [Datum],
    types: &'a [Type],
}

impl<'a> StoredRow<'a> {
    pub(crate) fn new(row: &'a [Datum], types: &'a [Type]) -> StoredRow<'a> {
        let number = |datum: &Datum| match datum {
            Datum::Numeric(number) => numeric::from_text(&number.to_string()),
            _ => None,
        };
        StoredRow { numbers: row.iter().map(number).collect(), row, types }
    }

    pub(crate) fn values(&self) -> Result<Vec<Value<'_>>> {
        let mut values = Vec::with_capacity(self.types.len());
        for ((datum, number), of) in self.row.iter().zip(&self.numbers).zip(self.types) {
            values.push(match datum {
                Datum::Null => Value::Null,
                Datum::Bool(value) => Value::Bool(*value),
                Datum::Int2(value) => Value::Int2(*value),
                Datum::Int4(value) => Value::Int4(*value),
                Datum::Int8(value) => Value::Int8(*value),
                Datum::Float8(value) => Value::Float8(*value),
                Datum::Text(value) if *of == Type::Bpchar => Value::Bpchar(value),
                Datum::Text(value) => Value::Text(value),
                Datum::Bytea(value) => Value::Bytea(value),
                Datum::Date(value) => Value::Date(*value),
                Datum::TimestampTz(value) | Datum::Timestamp(value) => {
                    Value::TimestampTz(TimestampTz(*value))
                }
                Datum::Uuid(value) => Value::Uuid(*value),
                Datum::Oid(value) if matches!(of, Type::Oid | Type::Regclass) => {
                    Value::Int8(i64::from(*value))
                }
                Datum::Numeric(_) => match number {
                    Some(number) => Value::Numeric(number),
                    None => return Err(SqlError::new("22003", "value overflows numeric format")),
                },
                Datum::Void | Datum::Tid(_) | Datum::Oid(_) | Datum::Record(_) => {
                    let what = format!("a column of type {}", of.name());
                    return Err(SqlError::not_supported(what));
                }
            });
        }
        Ok(values)
    }
}
