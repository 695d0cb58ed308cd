//! Values put out of line, and taken away with the versions that they belong to.
//!
//! ```text
//! insert, update    the tuple with all values ─► those that make it too long compressed, or their chunks put in ─► the tuple
//!                   as it is stored; a value that the version before has out of line, and that is the same, keeps its place
//! update, delete    the chunks of values that the new version lacks deleted, under the same transaction
//! taken back        the chunks of a row that was put in in vain taken back with it
//! ```
//!
//! Source: `toast_save_datum`, `toast_delete_datum`. Invariants: a value's number is not that of any other value whose chunks,
//! dead or not, the index still has. Chunks are put in before a version leads to them, and deleted after the version was ended.

use base::sync::Arc;
use base::{HeapTupleHeader, Oid, Tid};
use wal::rmgr::xlog::NEXTOID;
use wal::write::NewRecord;

use super::Row;
use super::chunks::{each_chunk, is_used};
use super::index::EnteredRow;
use crate::Error;
use crate::catalog::TableEntry;
use crate::catalog::changes::RowChange;
use crate::heap::tuple::{check_length, form_long_tuple};
use crate::heap::varlena::{Pointer, Varlena, read_compressed_header};
use crate::heap::{TupleValues, Value};
use crate::lock::TableLockMode;
use crate::toast::attributes::Attributes;
use crate::toast::{CHUNK, Toast, is_too_long};
use crate::transaction::Transaction;

/// A tuple as it is stored, of which values are compressed or out of line.
#[derive(Debug, Default)]
pub(super) struct Shortened {
    pub(super) tuple: Vec<u8>,
    /// Values that were put out of line for it.
    pub(super) saved: Vec<Pointer>,
    /// Values out of line that the version before has, and this one lacks.
    pub(super) dropped: Vec<Pointer>,
}

impl Transaction<'_, '_> {
    /// The tuple to be stored, of one that has all values in it, and of the version before; `None` if it can stay as it is, and
    /// all that the version before has out of line is dropped.
    pub(super) fn shortened(
        &mut self,
        table: &TableEntry,
        flat: &[u8],
        old: Option<&Row>,
    ) -> Result<Option<Shortened>, Error> {
        let was_shortened = match old {
            Some(old) => table.is_shortened(old.tuple(), table.types.len())?,
            None => false,
        };
        if !is_too_long(flat) && !was_shortened {
            return Ok(None);
        }
        let old = old.map(|old| table.stored_values(old.tuple())).transpose()?.unwrap_or_default();
        let of_row = |error| Error::Row { table: table.name.clone(), error };
        let mut attributes = Attributes::new(&table.columns);
        let mut shortened = Shortened::default();
        let mut values = TupleValues::of(&table.types, flat).map_err(of_row)?;
        let mut olds = old.into_iter();
        while let Some(value) = values.next_stored() {
            let mut value = value.map_err(of_row)?;
            let old = olds.next().flatten();
            let is_kept = match (old, value) {
                (
                    Some(old @ (Varlena::Compressed(_) | Varlena::External(_))),
                    Some(Varlena::Plain(new)),
                ) => table.is_same_value(old, new)?,
                _ => false,
            };
            match old {
                Some(_) if is_kept => value = old,
                Some(Varlena::External(pointer)) => shortened.dropped.push(pointer),
                _ => {}
            }
            attributes.push(value);
        }
        let default = self.session.compression;
        match &table.toast {
            Some(toast) => {
                let saved = &mut shortened.saved;
                let mut save = |value: Varlena<'_>| {
                    let pointer = self.save(toast, value)?;
                    saved.push(pointer);
                    Ok::<_, Error>(pointer)
                };
                attributes.shorten(default, Some(&mut save))?;
            }
            None => attributes.shorten::<Error>(default, None)?,
        }
        if !attributes.form(&mut shortened.tuple) {
            shortened.tuple.extend_from_slice(flat);
        }
        check_length(&shortened.tuple).map_err(of_row)?;
        Ok(Some(shortened))
    }

    /// Puts a value out of line.
    fn save(&mut self, toast: &Toast, value: Varlena<'_>) -> Result<Pointer, Error> {
        let table = &toast.table;
        let (bytes, length, method) = match value {
            Varlena::Plain(bytes) => (bytes, bytes.len(), None),
            Varlena::Compressed(bytes) => {
                let header = bytes.first_chunk().copied().unwrap_or_default();
                let (length, method) = read_compressed_header(header);
                (bytes, length, method)
            }
            Varlena::External(pointer) => return Ok(pointer),
        };
        self.use_table(table, TableLockMode::RowExclusive)?;
        self.assign_xid()?;
        let number = self.new_value(table)?;
        let indexes = table.indexes();
        let mut tuple = Vec::new();
        for (at, chunk) in bytes.chunks(CHUNK).enumerate() {
            self.session.check_cancelled()?;
            let row = [Value::Oid(number), Value::Int4(at as i32), Value::Bytea(chunk)];
            form_long_tuple(&table.types, |_| false, &row, &mut tuple)
                .map_err(|error| Error::Row { table: table.name.clone(), error })?;
            let tid = self.insert_tuple(table, &mut tuple)?;
            self.session.changes.count(&table.changes, RowChange::Insert, 1);
            let (computed, arbiters) = (&[][..], &[][..]);
            let entered = EnteredRow { tuple: &tuple, old: None, tid, computed, arbiters };
            self.insert_entries(table, &indexes, &entered)?;
        }
        Ok(Pointer::new(length, bytes.len(), method, (table.oid, number)))
    }

    /// A number that no value of a TOAST table has (`GetNewOidWithIndex`).
    fn new_value(&mut self, toast: &Arc<TableEntry>) -> Result<Oid, Error> {
        loop {
            self.session.check_cancelled()?;
            let number = self.session.new_oid()?;
            if !is_used(self.session.shared, toast, number)? {
                return Ok(number);
            }
        }
    }

    /// The TOAST table that values of a table are in, locked to change them; `None` if there are none.
    fn toast_to_change(
        &mut self,
        table: &TableEntry,
        pointers: &[Pointer],
    ) -> Result<Option<Arc<TableEntry>>, Error> {
        let mut found = None;
        for pointer in pointers {
            found = Some(&table.toast_of(*pointer)?.table);
        }
        let Some(toast) = found else { return Ok(None) };
        self.use_table(toast, TableLockMode::RowExclusive)?;
        Ok(Some(Arc::clone(toast)))
    }

    /// Where the chunks of a value are, with their headers.
    fn chunks_of(
        &self,
        toast: &TableEntry,
        pointer: &Pointer,
    ) -> Result<Vec<(Tid, HeapTupleHeader)>, Error> {
        let mut chunks = Vec::new();
        each_chunk(self.session.shared, toast, pointer.value, |chunk| {
            chunks.push((chunk.tid, chunk.header));
            Ok(())
        })?;
        Ok(chunks)
    }

    /// Deletes values of a table that are out of line, with the version that this transaction has just ended.
    pub(super) fn delete_values(
        &mut self,
        table: &TableEntry,
        pointers: &[Pointer],
    ) -> Result<(), Error> {
        let Some(toast) = self.toast_to_change(table, pointers)? else { return Ok(()) };
        let xid = self.assign_xid()?;
        for pointer in pointers {
            let chunks = self.chunks_of(&toast, pointer)?;
            let count = chunks.len() as u64;
            for (tid, mut header) in chunks {
                self.session.check_cancelled()?;
                let pool = &self.session.shared.storage.pool;
                let pinned = pool.get(toast.page_name(tid.block))?;
                // Nobody else deletes them; what may change meanwhile is that who tried before is known to have failed.
                while !self.try_end(&pinned, tid, &header, xid)? {
                    self.session.check_cancelled()?;
                    let Some((_, version)) = self.session.version(&toast, tid)? else { break };
                    header = version.header;
                }
            }
            self.session.changes.count(&toast.changes, RowChange::Delete, count);
        }
        Ok(())
    }

    /// Takes values back that this command has put out of line for a version that did not come to be.
    pub(super) fn take_back_values(
        &mut self,
        table: &TableEntry,
        pointers: &[Pointer],
    ) -> Result<(), Error> {
        let Some(toast) = self.toast_to_change(table, pointers)? else { return Ok(()) };
        for pointer in pointers {
            for (tid, _) in self.chunks_of(&toast, pointer)? {
                self.take_back(&toast, tid)?;
            }
        }
        Ok(())
    }
}

impl crate::session::Session<'_> {
    /// A number for a relation or a value out of line, that none was given since the numbers began anew.
    pub(crate) fn new_oid(&mut self) -> Result<Oid, Error> {
        /// The resource manager XLOG.
        const XLOG: u8 = 0;
        let storage = &self.shared.storage;
        let (log, inserter) = (storage.log.log(), &mut self.inserter);
        Ok(storage.ids.lock().new_oid(|upto| {
            let main = upto.to_le_bytes();
            let record = NewRecord { main: &[&main], ..NewRecord::new(XLOG, NEXTOID) };
            log.insert(inserter, &record).map(drop)
        })?)
    }
}
