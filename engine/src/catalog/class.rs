//! `pg_class`: the relations as a client of SQL is shown them, and may change what it is shown.
//!
//! ```text
//! pg_class   base/5/1259   oid int8, relname text, relnamespace int8, relam int8, relfilenode int8, reltablespace int8,
//!                          relpages int4, reltuples float8, relisshared bool, relpersistence text, relkind text,
//!                          relnatts int2, relispartition bool
//! ```
//!
//! Which relations have a row, and what it says, is the business of who makes them: the crate `sql`. The engine has the
//! table, and takes a relation's row away when that is dropped. Names, columns and their order are PostgreSQL's; what has no
//! meaning here is left out. Source: `pg_class.h`.
//!
//! Invariant: nothing is decided by these rows, whatever is written into them.

use base::Oid;

use super::{Column, TableEntry};
use crate::heap::ColumnType;

/// `RelationRelationId`: the number of `pg_class`.
pub const PG_CLASS: Oid = 1259;

pub(super) fn classes() -> TableEntry {
    let columns = [
        ("oid", ColumnType::Int8),
        ("relname", ColumnType::Text),
        ("relnamespace", ColumnType::Int8),
        ("relam", ColumnType::Int8),
        ("relfilenode", ColumnType::Int8),
        ("reltablespace", ColumnType::Int8),
        ("relpages", ColumnType::Int4),
        ("reltuples", ColumnType::Float8),
        ("relisshared", ColumnType::Bool),
        ("relpersistence", ColumnType::Text),
        ("relkind", ColumnType::Text),
        ("relnatts", ColumnType::Int2),
        ("relispartition", ColumnType::Bool),
    ];
    let columns = columns.map(|(name, of)| Column::new(name, of).not_null());
    TableEntry::new(PG_CLASS, "pg_class", PG_CLASS, columns.into())
}
