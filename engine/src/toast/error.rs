//! What can be wrong with a value that is compressed or out of line, in PostgreSQL's words.

use base::Oid;

/// What is wrong with such a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToastError {
    /// A chunk that is not the next one.
    #[error(
        "unexpected chunk number {number} (expected {expected}) for toast value {value} in {table}"
    )]
    Number {
        /// The chunk that was found.
        number: i32,
        /// The one that should be.
        expected: i32,
        /// The value.
        value: Oid,
        /// The TOAST table.
        table: String,
    },
    /// A chunk behind the value's last one.
    #[error(
        "unexpected chunk number {number} (out of range 0..{last}) for toast value {value} in {table}"
    )]
    Range {
        /// The chunk that was found.
        number: i32,
        /// The value's last.
        last: i32,
        /// The value.
        value: Oid,
        /// The TOAST table.
        table: String,
    },
    /// A chunk that is too long or too short.
    #[error(
        "unexpected chunk size {size} (expected {expected}) in chunk {number} of {chunks} for toast value {value} in \
         {table}"
    )]
    Size {
        /// Its bytes.
        size: usize,
        /// How many there should be.
        expected: usize,
        /// The chunk.
        number: i32,
        /// How many the value has.
        chunks: i32,
        /// The value.
        value: Oid,
        /// The TOAST table.
        table: String,
    },
    /// A chunk that is not there.
    #[error("missing chunk number {number} for toast value {value} in {table}")]
    Missing {
        /// The chunk.
        number: i32,
        /// The value.
        value: Oid,
        /// The TOAST table.
        table: String,
    },
    /// A chunk that is itself compressed or out of line, or lacks something.
    #[error("found toasted toast chunk for toast value {value} in {table}")]
    Toasted {
        /// The value.
        value: Oid,
        /// The TOAST table.
        table: String,
    },
    /// What is compressed cannot be decompressed to as many bytes as it should be.
    #[error("compressed {method} data is corrupt")]
    Corrupt {
        /// How it is compressed.
        method: &'static str,
    },
    /// It is compressed by no method that there is.
    #[error("invalid compression method id {0}")]
    Method(u32),
    /// A value is said to be in a table that is not its table's TOAST table.
    #[error(
        "toast value {value} is said to be in the relation {relation}, which is not the TOAST table of table \"{table}\""
    )]
    Relation {
        /// The value.
        value: Oid,
        /// Where it is said to be.
        relation: Oid,
        /// The table whose value it is.
        table: String,
    },
    /// The lengths that a pointer tells contradict each other.
    #[error("toast value {value} in {table} has {stored} bytes and is said to have {length}")]
    Length {
        /// The value.
        value: Oid,
        /// The TOAST table.
        table: String,
        /// Bytes of its chunks.
        stored: usize,
        /// Bytes of the value.
        length: usize,
    },
    /// The row was kept for longer than the engine it is of.
    #[error("toast value {value} of table \"{table}\" cannot be read: the engine is closed")]
    Closed {
        /// The value.
        value: Oid,
        /// The table.
        table: String,
    },
}
