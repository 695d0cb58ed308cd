//! How many rows are read of each table, and by which way: what tells whether an index serves.
//!
//! Invariant: what a statement has read is counted when it is over, whatever became of it. Source: `pg_stat_user_tables`.

use std::collections::HashMap;

use base::Oid;
use engine::Table;

/// What was read of a table since the [`Database`](crate::Database) was made, in `pg_stat_user_tables`' terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableReads {
    /// Scans of the whole table.
    pub seq_scan: u64,
    /// Rows that they gave.
    pub seq_tup_read: u64,
    /// Scans of one of its indexes.
    pub idx_scan: u64,
    /// Rows that they gave.
    pub idx_tup_fetch: u64,
}

/// What is read of tables, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Reads(HashMap<Oid, TableReads>);

impl Reads {
    fn of(&mut self, table: &Table) -> &mut TableReads {
        self.0.entry(table.oid()).or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A scan of all of a table has begun.
    pub(crate) fn scan_begins(&mut self, table: &Table) {
        self.of(table).seq_scan += 1;
    }

    /// It gave so many rows more.
    pub(crate) fn scanned(&mut self, table: &Table, rows: usize) {
        self.of(table).seq_tup_read += rows as u64;
    }

    /// A scan of an index has begun.
    pub(crate) fn index_scan_begins(&mut self, table: &Table) {
        self.of(table).idx_scan += 1;
    }

    /// It gave so many rows more.
    pub(crate) fn fetched(&mut self, table: &Table, rows: usize) {
        self.of(table).idx_tup_fetch += rows as u64;
    }

    /// Adds what was counted elsewhere, where nothing is left of it.
    pub(crate) fn take(&mut self, other: &mut Reads) {
        for (table, reads) in other.0.drain() {
            let sum = self.0.entry(table).or_default();
            sum.seq_scan += reads.seq_scan;
            sum.seq_tup_read += reads.seq_tup_read;
            sum.idx_scan += reads.idx_scan;
            sum.idx_tup_fetch += reads.idx_tup_fetch;
        }
    }

    /// What was read of a table.
    pub(crate) fn get(&self, table: Oid) -> TableReads {
        self.0.get(&table).copied().unwrap_or_default()
    }
}
