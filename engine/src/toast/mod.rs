//! TOAST: values that make a row too long, compressed or moved out of line.
//!
//! ```text
//! row of more than 2,032 bytes
//!   1   EXTENDED   the longest value compressed, and out of line if it alone is still too long; then the next one
//!   2   EXTENDED, EXTERNAL   the longest out of line; then the next one
//!   3   MAIN       the longest compressed; then the next one
//!   4   MAIN       the longest out of line, but only where the row does not fit a page
//!   until the row is short enough
//!
//! out of line     pg_toast_<table>:  chunk_id oid, chunk_seq int4, chunk_data bytea of 1,996 bytes, the last one of fewer
//!                 pg_toast_<table>_index:  unique on (chunk_id, chunk_seq)
//! ```
//!
//! | part | does |
//! |---|---|
//! | [`attributes`] | the four rounds over a row's values |
//! | [`compression`] | values compressed and decompressed |
//! | [`error`] | what can be wrong with a value's chunks |
//!
//! Here is what is decided by the values alone. Chunks are written, read and deleted by [`table`](crate::table).
//!
//! A value out of line belongs to the version that it came with, and to those after it that keep the value: they have the same
//! pointer. Chunks are rows of the transaction that writes or deletes them; whoever sees a version finds its chunks, and does
//! not judge them by a snapshot. Source: `heaptoast.c`, `toast_helper.c`, `toast_internals.c` of PostgreSQL 15.
//!
//! Invariants: a TOAST table's rows are never updated, and its values never compressed or moved. What is written here is, byte
//! for byte, what PostgreSQL writes of the same row.

pub(crate) mod attributes;
pub(crate) mod compression;
pub(crate) mod error;

use base::sync::{Arc, Weak};
use base::{Oid, max_align};

use crate::catalog::{Column, ColumnStorage, TableEntry};
use crate::db::Shared;
use crate::heap::ColumnType;
use crate::heap::tuple::data_start;
pub use error::ToastError;

/// The longest tuple of which so many fit a page (`MaximumBytesPerTuple`).
const fn longest_of(tuples: usize) -> usize {
    let headers = max_align((base::page::PAGE_HEADER_SIZE + tuples * 4) as u64) as usize;
    (base::PAGE_SIZE - headers) / tuples / 8 * 8
}

/// A row above this is shortened, and to this (`TOAST_TUPLE_THRESHOLD`, `TOAST_TUPLE_TARGET`).
pub(crate) const TARGET: usize = longest_of(4);
/// The same for what moves `MAIN` values out of line (`TOAST_TUPLE_TARGET_MAIN`).
pub(crate) const TARGET_MAIN: usize = longest_of(1);
/// Bytes of a chunk of a value (`TOAST_MAX_CHUNK_SIZE`).
pub(crate) const CHUNK: usize = TARGET - 24 - 4 - 4 - 4;

const _: () = assert!(TARGET == 2032 && TARGET_MAIN == 8160 && CHUNK == 1996);

/// What the names of TOAST tables begin with.
pub(crate) const NAME_PREFIX: &str = "pg_toast_";

/// A table's TOAST table, and the way to it for who has no transaction.
#[derive(Debug)]
pub(crate) struct Toast {
    pub(crate) table: Arc<TableEntry>,
    pub(crate) shared: Weak<Shared>,
}

/// The name of a table's TOAST table.
pub(crate) fn name_of(table: Oid) -> String {
    format!("{NAME_PREFIX}{table}")
}

/// The columns of a TOAST table.
pub(crate) fn columns() -> Vec<Column> {
    let columns = [
        ("chunk_id", ColumnType::Oid),
        ("chunk_seq", ColumnType::Int4),
        ("chunk_data", ColumnType::Bytea),
    ];
    columns.map(|(name, of)| Column::new(name, of).stored(ColumnStorage::Plain)).into()
}

/// Whether a table of these columns has a TOAST table: whether its rows can get too long by values that can go there
/// (`needs_toast_table`). Every type of variable width takes values of any length.
pub(crate) fn is_needed(columns: &[Column]) -> bool {
    columns.iter().any(Column::is_toastable)
}

/// Whether a tuple of these columns is to be shortened.
pub(crate) fn is_too_long(tuple: &[u8]) -> bool {
    tuple.len() > TARGET
}

/// How long the values of a tuple may be that is to have a length.
fn longest_data(target: usize, columns: usize, has_null: bool) -> usize {
    target.saturating_sub(data_start(columns, has_null))
}
