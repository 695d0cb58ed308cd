//! Rows of a page, copied one behind the other, and lent from there: a scan copies many with few allocations, and none of its
//! rows costs one.

use std::sync::OnceLock;

use base::Tid;
use base::sync::Arc;

use super::{Row, stored};
use crate::Error;
use crate::catalog::TableEntry;
use crate::heap::Value;

/// Rows of a table, the one that is lent among them.
#[derive(Debug, Default)]
pub(super) struct CopiedRows {
    bytes: Vec<u8>,
    rows: Vec<Copied>,
    /// How many were lent so far, the current one among them.
    lent: usize,
    /// Of the one that is lent, as [`RowRef::flat`].
    flat: OnceLock<Box<[u8]>>,
}

#[derive(Debug)]
struct Copied {
    tid: Tid,
    root: Tid,
    /// Where its bytes end; they begin where those before end.
    end: usize,
}

/// A row, as a transaction saw it, lent by the scan that found it.
#[derive(Debug, Clone, Copy)]
pub struct RowRef<'r> {
    pub(super) tid: Tid,
    pub(super) root: Tid,
    pub(super) tuple: &'r [u8],
    /// The same with all of its values in it, none of them compressed; once that was asked for, and if it is another.
    pub(super) flat: &'r OnceLock<Box<[u8]>>,
    pub(super) table: &'r Arc<TableEntry>,
}

impl CopiedRows {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.lent = 0;
    }

    /// One more.
    pub(super) fn push(&mut self, tid: Tid, root: Tid, tuple: &[u8]) {
        self.bytes.extend_from_slice(tuple);
        self.rows.push(Copied { tid, root, end: self.bytes.len() });
    }

    /// Goes on to the next; whether there is one.
    pub(super) fn advance(&mut self) -> bool {
        if self.lent == self.rows.len() {
            return false;
        }
        self.lent += 1;
        self.flat.take();
        true
    }

    /// The first, where one row was wanted.
    pub(super) fn only<'r>(&'r mut self, table: &'r Arc<TableEntry>) -> Option<RowRef<'r>> {
        self.advance();
        self.current(table)
    }

    /// The one that was gone on to last; `None` before the first.
    pub(super) fn current<'r>(&'r self, table: &'r Arc<TableEntry>) -> Option<RowRef<'r>> {
        let at = self.lent.checked_sub(1)?;
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before].end);
        let Copied { tid, root, end } = self.rows[at];
        Some(RowRef { tid, root, tuple: &self.bytes[start..end], flat: &self.flat, table })
    }
}

impl<'r> RowRef<'r> {
    /// As [`Row::tid`].
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// As [`Row::root`].
    pub fn root(&self) -> Tid {
        self.root
    }

    /// As [`Row::values`].
    ///
    /// # Errors
    /// As [`Row::values`].
    pub fn values(&self) -> Result<Vec<Value<'r>>, Error> {
        stored::values(self)
    }

    /// As [`Row::value`].
    ///
    /// # Errors
    /// As [`Row::values`].
    pub fn value(&self, column: usize) -> Result<Option<Value<'r>>, Error> {
        stored::value(self, column)
    }

    /// The whole tuple as it is stored, its header included.
    pub fn tuple(&self) -> &'r [u8] {
        self.tuple
    }

    /// The row, to be kept.
    pub fn to_row(&self) -> Row {
        Row { flat: self.flat.clone(), ..Row::new(self.tid, self.tuple, self.table) }
            .with_root(self.root)
    }
}
