//! A row found by its key: one search in an index, one page of the table, and memory of the session.
//!
//! Source and invariants: as of [`IndexScan`](super::IndexScan).

use base::Xid;
use base::sync::Arc;

use super::index::IndexScanRoom;
use super::{RowRef, Table, TableIndex};
use crate::Error;
use crate::btree::{Index, KeyRoom};
use crate::catalog::{IndexEntry, TableEntry};
use crate::heap::Value;
use crate::transaction::Transaction;

impl Table {
    /// The row that the transaction sees with this key, values of the first columns of the index; of several rows, the first in
    /// the index's order. It is lent until the transaction does something else: for more than one row, and for a row that is
    /// kept, there is [`Table::scan_index`].
    ///
    /// # Errors
    /// As [`Table::scan_index`], and where a page cannot be read.
    pub fn find<'t>(
        &'t self,
        transaction: &'t mut Transaction<'_, '_>,
        index: &TableIndex,
        key: &[Value<'_>],
    ) -> Result<Option<RowRef<'t>>, Error> {
        let index = self.begin_index_read(transaction, index)?;
        let mut room = transaction.session.index_scan.take().unwrap_or_default();
        let found = transaction.find_into(self.entry(), index, key, &mut room);
        let room = transaction.session.index_scan.insert(room);
        Ok(if found? { room.read.only(self.entry()) } else { None })
    }
}

impl Transaction<'_, '_> {
    /// Copies the first row with this key that the transaction sees; whether there is one.
    fn find_into(
        &mut self,
        table: &Arc<TableEntry>,
        index: &IndexEntry,
        key: &[Value<'_>],
        room: &mut IndexScanRoom,
    ) -> Result<bool, Error> {
        let IndexScanRoom { read, wanted, .. } = room;
        let btree = Index::of(&self.session.shared.storage, &index.known);
        let mut key_room = KeyRoom::default();
        let mut rows = btree.find(key, &mut key_room, &mut self.session.roots)?;
        read.clear();
        loop {
            wanted.clear();
            let Some(mut killed) = rows.next_leaf(wanted)? else { return Ok(false) };
            let mut is_found = false;
            for &tid in &*wanted {
                self.session.check_cancelled()?;
                let copied =
                    self.see_row(table, tid, |place, tuple| read.push(place, tid, tuple))?;
                if copied.is_some() {
                    is_found = true;
                    break;
                }
                if self.session.is_dead(table, tid)? {
                    killed.rows.insert(tid);
                }
            }
            if !killed.rows.is_empty() {
                let session = &mut *self.session;
                let xid = session.own_xid().unwrap_or(Xid::INVALID);
                btree.writer(&mut session.inserter, xid).kill(&killed)?;
            }
            if is_found {
                return Ok(true);
            }
        }
    }
}
