//! Rows as they are if everybody who still runs commits: what whoever keeps a key unique must know.
//!
//! Invariant: a row that is not told of was not there for anybody when its page was read. Source: `SnapshotDirty`.

use base::sync::Arc;
use base::{Tid, Xid};
use snapshot::TupleStamp;
use snapshot::satisfies::{DirtyVerdict, satisfies_dirty};

use super::Row;
use super::page::{page_of, read_header};
use crate::Error;
use crate::buffer::Ring;
use crate::catalog::TableEntry;
use crate::session::Session;

/// A version of a row, with who is at work on it.
#[derive(Debug, Clone)]
pub struct DirtyRow {
    /// The version.
    pub row: Row,
    /// Another transaction that inserts it and still runs.
    pub inserting: Option<Xid>,
    /// Another transaction that updates or deletes it and still runs.
    pub ending: Option<Xid>,
}

impl DirtyRow {
    pub(super) fn new(row: Row, verdict: &DirtyVerdict) -> DirtyRow {
        let some = |xid: Xid| xid.is_normal().then_some(xid);
        DirtyRow { row, inserting: some(verdict.xmin), ending: some(verdict.xmax) }
    }
}

impl Session<'_> {
    pub(crate) fn scan_dirty(&self, table: &Arc<TableEntry>) -> Result<Vec<DirtyRow>, Error> {
        let mut ring = Ring::default();
        let mut rows = Vec::new();
        for block in 0..table.blocks(self.shared)? {
            self.check_cancelled()?;
            let name = table.page_name(block);
            let pinned = self.shared.storage.pool.get_in_ring(name, &mut ring)?;
            let status = self.status();
            let guard = pinned.read();
            let Some(page) = page_of(name, &guard)? else { continue };
            for (offset, _) in page.line_pointers() {
                let Some(tuple) = page.item(offset) else { continue };
                let tid = Tid { block, offset };
                let stamp = TupleStamp::new(&read_header(name, offset, tuple)?, tid);
                let dirty = satisfies_dirty(&stamp, &status)?.verdict;
                if dirty.visible {
                    rows.push(DirtyRow::new(Row::new(tid, tuple, table), &dirty));
                }
            }
        }
        Ok(rows)
    }
}
