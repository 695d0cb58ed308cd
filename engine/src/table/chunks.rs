//! Chunks of a value out of line, found by the index of the TOAST table.
//!
//! Invariants: chunks come in the order of their numbers. Of a value nothing is judged by a snapshot: a chunk counts unless it
//! is known that its transaction was rolled back, or it was taken back at once (`SnapshotToast`). A place that vacuum has given to
//! another chunk since the index was read is passed by. Source: `heap_fetch_toast_slice`, `HeapTupleSatisfiesToast`.

use std::ops::Bound;

use base::{HeapTupleHeader, Tid};

use super::page::{PinnedPage, page_of, read_header};
use crate::Error;
use crate::btree::{Direction, Index, Scan};
use crate::catalog::TableEntry;
use crate::db::Shared;
use crate::heap::varlena::Varlena;
use crate::heap::{TupleValues, Value};
use crate::toast::ToastError;

/// A chunk on its page, which is locked as long as one looks at it.
pub(super) struct Chunk<'p> {
    pub(super) tid: Tid,
    pub(super) header: HeapTupleHeader,
    pub(super) number: i32,
    pub(super) data: &'p [u8],
}

/// What the index has of a value, dead or not.
fn entries<'e>(
    shared: &'e Shared,
    toast: &TableEntry,
    value: base::Oid,
) -> Result<Scan<'e>, Error> {
    let indexes = toast.indexes();
    let index = indexes.first().ok_or_else(|| {
        Error::Catalog(format!("the TOAST table \"{}\" lacks its index", toast.name))
    })?;
    let key = [Value::Oid(value)];
    let bound = Bound::Included(&key[..]);
    Ok(Index::of(&shared.storage, &index.known).scan(bound, bound, Direction::Forward)?)
}

/// Whether there is anything of a value, dead or not.
pub(super) fn is_used(
    shared: &Shared,
    toast: &TableEntry,
    value: base::Oid,
) -> Result<bool, Error> {
    Ok(entries(shared, toast, value)?.next().transpose()?.is_some())
}

/// Shows the chunks of a value.
pub(super) fn each_chunk(
    shared: &Shared,
    toast: &TableEntry,
    value: base::Oid,
    mut see: impl FnMut(&Chunk<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut page: Option<PinnedPage<'_>> = None;
    for tid in entries(shared, toast, value)? {
        let tid = tid?;
        let pinned = match page.take_if(|page| page.name().block == tid.block) {
            Some(pinned) => pinned,
            None => match pinned(shared, toast, tid)? {
                Some(pinned) => pinned,
                None => continue,
            },
        };
        show(toast, value, tid, &pinned, &mut see)?;
        page = Some(pinned);
    }
    Ok(())
}

/// The page of a place; `None` where vacuum has cut it off.
fn pinned<'e>(
    shared: &'e Shared,
    toast: &TableEntry,
    tid: Tid,
) -> Result<Option<PinnedPage<'e>>, Error> {
    if tid.block >= toast.blocks(shared)? {
        return Ok(None);
    }
    match shared.storage.pool.get(toast.page_name(tid.block)) {
        Ok(pinned) => Ok(Some(pinned)),
        Err(_) if tid.block >= toast.blocks(shared)? => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Shows the chunk at a place, if it is one of the value.
fn show(
    toast: &TableEntry,
    value: base::Oid,
    tid: Tid,
    pinned: &PinnedPage<'_>,
    see: &mut impl FnMut(&Chunk<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let name = pinned.name();
    let guard = pinned.read();
    let Some(page) = page_of(name, &guard)? else { return Ok(()) };
    let Some(tuple) = page.item(tid.offset) else { return Ok(()) };
    let header = read_header(name, tid.offset, tuple)?;
    let bits = header.infomask;
    if bits.xmin_aborted() || header.xmin.is_invalid() && !bits.xmin_committed() {
        return Ok(());
    }
    let of_table = |error| Error::Row { table: toast.name.clone(), error };
    let mut values = TupleValues::of(&toast.types, tuple).map_err(of_table)?;
    let mut next = || values.next_stored().transpose().map(Option::flatten).map_err(of_table);
    let word = |value: Option<Varlena<'_>>| match value {
        Some(Varlena::Plain(bytes)) => bytes.first_chunk().copied().map(u32::from_le_bytes),
        _ => None,
    };
    if word(next()?) != Some(value) {
        return Ok(());
    }
    let damaged = || ToastError::Toasted { value, table: toast.name.clone() };
    let number = word(next()?).ok_or_else(damaged)? as i32;
    let Some(Varlena::Plain(data)) = next()? else { return Err(damaged().into()) };
    see(&Chunk { tid, header, number, data })
}
