//! Values that are compressed or out of line, read.
//!
//! Invariants: what is read is not believed: the chunks are those of the value, each with its number and its length, and what
//! they hold is as long as the pointer says. No page but those of chunks is locked by what is done here. Source: `detoast.c`,
//! `heap_fetch_toast_slice`.

use std::borrow::Cow;

use base::{HeapTupleHeader, Infomask};

use super::chunks::{Chunk, each_chunk};
use crate::Error;
use crate::catalog::{IndexEntry, TableEntry};
use crate::db::Shared;
use crate::heap::varlena::{Pointer, Varlena, read_compressed_header};
use crate::heap::{FormError, TupleValues, Value};
use crate::toast::compression::decompress;
use crate::toast::{CHUNK, ToastError};

impl TableEntry {
    fn row_error(&self) -> impl Fn(FormError) -> Error {
        |error| Error::Row { table: self.name.clone(), error }
    }

    /// How each value of a tuple lies, of those columns that it has.
    pub(super) fn stored_values<'t>(
        &'t self,
        tuple: &'t [u8],
    ) -> Result<Vec<Option<Varlena<'t>>>, Error> {
        self.collected(tuple, TupleValues::next_stored)
    }

    /// What is read of each column of a tuple.
    fn collected<'t, T>(
        &'t self,
        tuple: &'t [u8],
        mut next: impl FnMut(&mut TupleValues<'t>) -> Option<Result<T, FormError>>,
    ) -> Result<Vec<T>, Error> {
        let mut values = TupleValues::of(&self.types, tuple).map_err(self.row_error())?;
        let mut collected = Vec::with_capacity(self.types.len());
        while let Some(value) = next(&mut values) {
            collected.push(value.map_err(self.row_error())?);
        }
        Ok(collected)
    }

    /// Whether a value of a tuple's first columns is compressed or out of line.
    pub(super) fn is_shortened(&self, tuple: &[u8], columns: usize) -> Result<bool, Error> {
        let columns = self.types.get(..columns).unwrap_or(&self.types);
        if columns.iter().all(|column| column.length().is_some()) {
            return Ok(false);
        }
        let infomask = infomask(tuple);
        if !infomask.contains(Infomask::HASVARWIDTH) {
            return Ok(false);
        }
        if infomask.contains(Infomask::HASEXTERNAL) && columns.len() == self.types.len() {
            return Ok(true);
        }
        let mut values = TupleValues::of(columns, tuple).map_err(self.row_error())?;
        while let Some(value) = values.next_stored() {
            let value = value.map_err(self.row_error())?;
            if matches!(value, Some(Varlena::Compressed(_) | Varlena::External(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The tuple with all of its values in it, none of them compressed; `None` if those of the first columns are so already.
    pub(crate) fn flat(&self, tuple: &[u8], columns: usize) -> Result<Option<Box<[u8]>>, Error> {
        if !self.is_shortened(tuple, columns)? {
            return Ok(None);
        }
        let (mut header, parts) = HeapTupleHeader::read(tuple)
            .map_err(|error| self.row_error()(FormError::Header(error)))?;
        let values = self.stored_values(tuple)?;
        header.infomask.remove(Infomask::HASEXTERNAL);
        let mut flat = tuple[..parts.data.start].to_vec();
        flat[..base::tuple::TUPLE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
        for (column, value) in self.columns.iter().zip(values) {
            let Some(value) = value else { continue };
            match (column.column_type.length(), value) {
                (Some(_), Varlena::Plain(bytes)) => {
                    let alignment = column.column_type.alignment();
                    flat.resize(flat.len().next_multiple_of(alignment), 0);
                    flat.extend_from_slice(bytes);
                }
                (_, value) => {
                    Varlena::Plain(&self.unpacked(value)?).push(column.packs(), &mut flat);
                }
            }
        }
        Ok(Some(flat.into()))
    }

    /// A value's bytes, wherever they are.
    pub(super) fn unpacked<'v>(&self, value: Varlena<'v>) -> Result<Cow<'v, [u8]>, Error> {
        Ok(match value {
            Varlena::Plain(bytes) => Cow::Borrowed(bytes),
            Varlena::Compressed(bytes) => Cow::Owned(decompress(bytes)?),
            Varlena::External(pointer) => Cow::Owned(self.fetched(pointer)?),
        })
    }

    /// Whether a value is these bytes. What is of another length is not fetched.
    pub(super) fn is_same_value(&self, value: Varlena<'_>, bytes: &[u8]) -> Result<bool, Error> {
        let length = match value {
            Varlena::Plain(value) => value.len(),
            Varlena::Compressed(value) => {
                value.first_chunk().map_or(0, |header| read_compressed_header(*header).0)
            }
            Varlena::External(pointer) => pointer.length(),
        };
        Ok(length == bytes.len() && self.unpacked(value)?[..] == *bytes)
    }

    /// Of an index's columns the values that a tuple has compressed, in line or out of it; nothing if it has none. With `new`,
    /// those alone that are the same in the version that comes after it, whose values these are.
    pub(crate) fn compressed_values<'t>(
        &'t self,
        index: &IndexEntry,
        tuple: &'t [u8],
        new: Option<&[Value<'_>]>,
    ) -> Result<Vec<Option<Cow<'t, [u8]>>>, Error> {
        if !self.is_shortened(tuple, index.columns_read(self))? {
            return Ok(Vec::new());
        }
        let stored = self.stored_values(tuple)?;
        let compressed = |column: usize| {
            let Some(Some(value)) = stored.get(column).copied() else { return Ok(None) };
            let is_compressed = match value {
                Varlena::Plain(_) => false,
                Varlena::Compressed(_) => true,
                Varlena::External(pointer) => pointer.is_compressed(),
            };
            if !is_compressed {
                return Ok(None);
            }
            if let Some(new) = new {
                let new = new.get(column).and_then(Value::variable_bytes);
                if !new.map_or(Ok(false), |new| self.is_same_value(value, new))? {
                    return Ok(None);
                }
            }
            Ok(match value {
                Varlena::Plain(_) => None,
                Varlena::Compressed(bytes) => Some(Cow::Borrowed(bytes)),
                Varlena::External(pointer) => Some(Cow::Owned(self.chunks_of_value(pointer)?)),
            })
        };
        index.definition.columns().map(compressed).collect()
    }

    /// Whether two tuples differ in one of the columns up to `last` that are asked about. The new one has all values in it.
    pub(super) fn differ(
        &self,
        old: &[u8],
        new: &[u8],
        last: usize,
        is_asked: impl Fn(usize) -> bool,
    ) -> Result<bool, Error> {
        let mut olds = TupleValues::of(&self.types, old).map_err(self.row_error())?;
        let mut news = TupleValues::of(&self.types, new).map_err(self.row_error())?;
        for column in 0..=last {
            let old = olds.next_stored().transpose().map_err(self.row_error())?.flatten();
            let new = news.next_stored().transpose().map_err(self.row_error())?.flatten();
            if old == new || !is_asked(column) {
                continue;
            }
            match (old, new) {
                (Some(old), Some(Varlena::Plain(new))) if self.is_same_value(old, new)? => {}
                _ => return Ok(true),
            }
        }
        Ok(false)
    }

    /// A row's values, but for those that are compressed or out of line.
    pub(super) fn values_in_line<'t>(
        &'t self,
        tuple: &'t [u8],
    ) -> Result<Vec<Option<Value<'t>>>, Error> {
        self.collected(tuple, TupleValues::next_in_line)
    }

    /// Where the values of a tuple are that are out of line.
    pub(super) fn pointers(&self, tuple: &[u8]) -> Result<Vec<Pointer>, Error> {
        if !infomask(tuple).contains(Infomask::HASEXTERNAL) {
            return Ok(Vec::new());
        }
        let pointer = |value| match value {
            Some(Varlena::External(pointer)) => Some(pointer),
            _ => None,
        };
        Ok(self.stored_values(tuple)?.into_iter().filter_map(pointer).collect())
    }

    /// The TOAST table, which a pointer says that its value is in.
    pub(super) fn toast_of(&self, pointer: Pointer) -> Result<&crate::toast::Toast, Error> {
        let Pointer { value, relation, .. } = pointer;
        let toast = self.toast.as_ref().filter(|toast| toast.table.oid == relation);
        let other = || ToastError::Relation { value, relation, table: self.name.clone() };
        Ok(toast.ok_or_else(other)?)
    }

    /// What the chunks of a value out of line hold.
    fn chunks_of_value(&self, pointer: Pointer) -> Result<Vec<u8>, Error> {
        let toast = self.toast_of(pointer)?;
        let closed = || ToastError::Closed { value: pointer.value, table: self.name.clone() };
        let shared = toast.shared.upgrade().ok_or_else(closed)?;
        stored_bytes(&shared, &toast.table, pointer)
    }

    /// A value out of line.
    fn fetched(&self, pointer: Pointer) -> Result<Vec<u8>, Error> {
        let toast = self.toast_of(pointer)?;
        let stored = self.chunks_of_value(pointer)?;
        let value = match pointer.is_compressed() {
            true => decompress(&stored)?,
            false => stored,
        };
        if value.len() != pointer.length() {
            let (table, stored) = (toast.table.name.clone(), value.len());
            let (value, length) = (pointer.value, pointer.length());
            return Err(ToastError::Length { value, table, stored, length }.into());
        }
        Ok(value)
    }
}

/// What the header of a tuple says of its values.
fn infomask(tuple: &[u8]) -> Infomask {
    let header = tuple.first_chunk().map(HeapTupleHeader::from_bytes);
    header.map_or(Infomask::empty(), |header| header.infomask)
}

/// What the chunks of a value hold.
fn stored_bytes(shared: &Shared, toast: &TableEntry, pointer: Pointer) -> Result<Vec<u8>, Error> {
    let (value, length) = (pointer.value, pointer.stored_length());
    let chunks = length.div_ceil(CHUNK) as i32;
    let table = || toast.name.clone();
    let mut stored = Vec::new();
    let mut expected = 0;
    each_chunk(shared, toast, value, |Chunk { number, data, .. }| {
        let number = *number;
        if number != expected {
            return Err(ToastError::Number { number, expected, value, table: table() }.into());
        }
        if number >= chunks {
            return Err(
                ToastError::Range { number, last: chunks - 1, value, table: table() }.into()
            );
        }
        let wanted = CHUNK.min(length - stored.len());
        if data.len() != wanted {
            let (size, expected, table) = (data.len(), wanted, table());
            return Err(ToastError::Size { size, expected, number, chunks, value, table }.into());
        }
        if stored.is_empty() {
            stored.reserve_exact(length.min(1 << 20));
        }
        stored.extend_from_slice(data);
        expected += 1;
        Ok(())
    })?;
    if expected != chunks {
        return Err(ToastError::Missing { number: expected, value, table: table() }.into());
    }
    Ok(stored)
}
