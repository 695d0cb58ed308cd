//! What `cargo xtask heap` wrote down of the server: tables as pageinspect and SELECT show them.

use std::path::PathBuf;

use base::page::PageBytes;
use base::{PAGE_SIZE, TimestampTz};
use engine::heap::{ColumnType, Value};

/// The place that a variable names.
pub(crate) fn place(variable: &str) -> PathBuf {
    PathBuf::from(text(variable))
}

/// A variable that `cargo xtask heap` sets.
pub(crate) fn text(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask heap`, which sets it"))
}

/// A file of the evidence.
pub(crate) fn content(file: &str) -> String {
    let path = place("PGSTRATA_HEAP_EVIDENCE").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a file of the evidence, each split at its tabs.
pub(crate) fn rows(file: &str) -> Vec<Vec<String>> {
    content(file).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn page(hex: &str) -> Box<PageBytes> {
    let bytes: [u8; PAGE_SIZE] = bytes(hex).try_into().expect("a page");
    Box::new(bytes)
}

/// The columns of the tables of this letter (`xtask/heap/workload.sql`).
pub(crate) fn columns(table: &str) -> &'static [ColumnType] {
    use ColumnType::{Bool, Bytea, Float8, Int2, Int4, Int8, Text, TimestampTz, Uuid};
    match table.as_bytes().last() {
        Some(b'a') => &[Bool, Int2, Int4, Int8, Float8, TimestampTz, Uuid, Text, Bytea],
        Some(b'b') => {
            &[Text, Bool, Bytea, Int8, Bool, Int2, Text, Int4, Uuid, Float8, Bool, TimestampTz]
        }
        Some(b'd') => &[Float8, TimestampTz, Text],
        _ => &[Bool, Int8, Bool, Text, Int2, Text, Int2, Bytea, Float8, Bool, Int4, Bool, Uuid],
    }
}

/// The values of a row that was sent.
pub(crate) fn values<'r>(
    columns: &[ColumnType],
    received: &'r [Option<Vec<u8>>],
) -> Vec<Value<'r>> {
    columns.iter().zip(received).map(|(column, sent)| value(*column, sent.as_deref())).collect()
}

/// A value from what a binary client gets of it; `None` is null.
fn value(column: ColumnType, sent: Option<&[u8]>) -> Value<'_> {
    let Some(sent) = sent else { return Value::Null };
    fn array<const N: usize>(sent: &[u8]) -> [u8; N] {
        sent.try_into().expect("as many bytes as the type has")
    }
    match column {
        ColumnType::Bool => Value::Bool(sent == [1]),
        ColumnType::Int2 => Value::Int2(i16::from_be_bytes(array(sent))),
        ColumnType::Int4 => Value::Int4(i32::from_be_bytes(array(sent))),
        ColumnType::Int8 => Value::Int8(i64::from_be_bytes(array(sent))),
        ColumnType::Float8 => Value::Float8(f64::from_be_bytes(array(sent))),
        ColumnType::TimestampTz => Value::TimestampTz(TimestampTz(i64::from_be_bytes(array(sent)))),
        ColumnType::Uuid => Value::Uuid(array(sent)),
        ColumnType::Text => Value::Text(std::str::from_utf8(sent).expect("UTF-8")),
        ColumnType::Bytea => Value::Bytea(sent),
        ColumnType::Date | ColumnType::Numeric | ColumnType::Bpchar | ColumnType::Oid => {
            panic!("no table of the workload has a column of type {}", column.name())
        }
    }
}

/// What a binary client gets of a row's values; `None` is null.
pub(crate) fn received(row: &[String]) -> Vec<Option<Vec<u8>>> {
    row.iter().map(|sent| (sent != "-").then(|| bytes(sent))).collect()
}

/// The reverse, in hexadecimal; `-` of a null.
pub(crate) fn sent(value: &Value<'_>) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(value) => hex(&[u8::from(*value)]),
        Value::Int2(value) => hex(&value.to_be_bytes()),
        Value::Int4(value) => hex(&value.to_be_bytes()),
        Value::Int8(value) => hex(&value.to_be_bytes()),
        Value::Float8(value) => hex(&value.to_be_bytes()),
        Value::TimestampTz(value) => hex(&value.0.to_be_bytes()),
        Value::Uuid(value) => hex(value),
        Value::Text(value) => hex(value.as_bytes()),
        Value::Bytea(value) => hex(value),
        Value::Date(_) | Value::Numeric(_) | Value::Bpchar(_) | Value::Oid(_) => {
            panic!("no table of the workload has a value like {value:?}")
        }
    }
}
