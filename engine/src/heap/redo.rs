//! Changes made again from their records: `heap_redo`, `heap2_redo` of PostgreSQL 15.
//!
//! [`redo`] changes the page of one block reference; a record about two pages is redone page by page, in any order. What
//! the record carries of hints and command ids is less than what the change wrote: both are equal once
//! [masked](super::mask).
//!
//! Invariants: the caller has compared the page's LSN with the record's end, has restored the page from its image if
//! redo is to take that, and stamps the page with the record's end afterwards. A record that does not fit the
//! page is an error, the page is then not to be used: the log or the page is damaged. Only the log of 15 is redone:
//! the engine writes no other.

use base::page::{AddError, PageError, PageFlags, Placement};
use base::tuple::{HeapTupleHeader, Infomask, Infomask2, TUPLE_HEADER_SIZE};
use base::{BlockNumber, OffsetNumber, PageMut, Tid, Xid};
use wal::record::Record;
use wal::rmgr::heap::{
    Delete, DeleteFlags, Heap, Inplace, Insert, InsertFlags, Lock, NewTuple, Tuple, Update,
    UpdateFlags,
};
use wal::rmgr::heap2::prune::Freeze;
use wal::rmgr::heap2::{Heap2, MultiInsert};
use wal::rmgr::{Payload, PayloadError};

use super::change::{self, CommandStamp, HeapError, INIT_PAGE, NewXmax};
use super::{prune, vacuum};

/// `XLOG_HEAP_HOT_UPDATE`, and the bits of an operation.
const HOT_UPDATE: u8 = 0x40;
const OPERATION: u8 = 0x70;

/// Why a record cannot be redone on a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedoError {
    /// The page is none that could be changed.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The record's payload is too short.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The page has no such tuple.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// Not a change of a heap page that 15 logs.
    #[error("no change of a heap page that PostgreSQL 15 logs")]
    NotHeap,
    /// The record does not carry the tuple.
    #[error("the record lacks the tuple that redo puts in")]
    NoTuple,
    /// A tuple in the record has lengths that contradict each other or the old tuple.
    #[error("the record's tuple for line pointer {offset} contradicts itself or the old tuple")]
    BadTuple {
        /// The line pointer.
        offset: OffsetNumber,
    },
    /// The record has another number of line pointers than of tuples.
    #[error("the record has {count} tuples and other line pointers")]
    Count {
        /// Tuples, as the record says.
        count: u16,
    },
}

impl From<AddError> for RedoError {
    fn from(error: AddError) -> RedoError {
        RedoError::Heap(HeapError::Add(error))
    }
}

/// Whether redo makes this block's page anew, so that it is to be called with a page of any bytes.
pub fn makes_page(record: &Record<'_>, id: u8) -> bool {
    id == 0
        && record.info() & INIT_PAGE != 0
        && matches!(record.rmid(), change::RM_HEAP | change::RM_HEAP2)
}

/// Makes the record's change of the page of block reference `id` again, the visibility map's aside.
///
/// # Errors
/// [`RedoError`]; the page is then not to be used.
pub fn redo(
    record: &Record<'_>,
    id: u8,
    bytes: &mut base::page::PageBytes,
) -> Result<(), RedoError> {
    let mut page = match makes_page(record, id) {
        true => PageMut::init(bytes, 0),
        false => PageMut::validate(bytes)?,
    };
    redo_on(record, id, &mut page, &mut Scratch::default())
}

/// Memory for tuples that are put together, kept from one record to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    new: Vec<u8>,
    old: Vec<u8>,
}

/// [`redo`] of a page that is valid, or that was just made anew where the record [makes it](makes_page).
///
/// # Errors
/// As [`redo`].
pub fn redo_on(
    record: &Record<'_>,
    id: u8,
    page: &mut PageMut<'_>,
    scratch: &mut Scratch,
) -> Result<(), RedoError> {
    let Some(block) = record.block(id) else { return Err(RedoError::NotHeap) };
    let (block, xid) = (block.block, record.xid());
    match (record.payload()?, id) {
        (Payload::Heap(Heap::Insert(insert)), 0) => redo_insert(page, block, xid, &insert, scratch),
        (Payload::Heap(Heap::Delete(delete)), 0) => redo_delete(page, block, xid, &delete),
        (Payload::Heap(Heap::Update(update)), 0 | 1) => {
            let new_block = record.block(0).map_or(block, |block| block.block);
            let old_block = record.block(1).map_or(new_block, |block| block.block);
            let is_hot = record.info() & OPERATION == HOT_UPDATE;
            let new = Tid { block: new_block, offset: update.new_offset };
            scratch.old.clear();
            if block == old_block {
                redo_old(page, xid, &update, is_hot, new, scratch)?;
            }
            if id == 0 { redo_new(page, xid, &update, new, scratch) } else { Ok(()) }
        }
        (Payload::Heap(Heap::Confirm(confirm)), 0) => {
            let offset = confirm.offset;
            Ok(change::change_header(page, offset, |header| header.ctid = Tid { block, offset })?)
        }
        (Payload::Heap(Heap::Lock(lock)), 0) => redo_lock(page, block, &lock),
        (Payload::Heap(Heap::Inplace(inplace)), 0) => redo_inplace(page, &inplace),
        (Payload::Heap2(Heap2::LockUpdated(lock)), 0) => {
            let new = NewXmax { xmax: lock.xmax, bits: lock.info_bits };
            let set = |header: &mut HeapTupleHeader| change::set_xmax(header, new);
            Ok(change::change_header(page, lock.offset, set)?)
        }
        (Payload::Heap2(Heap2::MultiInsert(insert)), 0) => {
            redo_multi_insert(page, block, xid, &insert, scratch)
        }
        (Payload::Heap2(Heap2::Prune(prune)), 0) => {
            let items = prune.items.ok_or(RedoError::NoTuple)?;
            let pairs: Vec<_> = items.redirected.iter().map(|pair| (pair.from, pair.to)).collect();
            let dead: Vec<_> = items.dead.iter().collect();
            let unused: Vec<_> = items.unused.iter().collect();
            prune::execute(page, &pairs, &dead, &unused);
            Ok(())
        }
        (Payload::Heap2(Heap2::Vacuum(vacuum)), 0) => {
            vacuum::free(page, vacuum.unused.ok_or(RedoError::NoTuple)?.iter());
            Ok(())
        }
        (Payload::Heap2(Heap2::FreezePage(freeze)), 0) => match freeze.freeze {
            Some(Freeze::Tuples(tuples)) => {
                Ok(tuples.iter().try_for_each(|tuple| vacuum::freeze_one(page, &tuple))?)
            }
            Some(Freeze::Plans(_)) => Err(RedoError::NotHeap),
            None => Err(RedoError::NoTuple),
        },
        (Payload::Heap2(Heap2::Visible(_)), 1) => {
            page.set_flags(PageFlags::ALL_VISIBLE, true);
            Ok(())
        }
        _ => Err(RedoError::NotHeap),
    }
}

/// Puts the bytes of a whole tuple together: the header's fixed part, then the pieces of what follows.
fn whole<'b>(
    bytes: &'b mut Vec<u8>,
    tuple: &Tuple<'_>,
    data: &[&[u8]],
    xid: Xid,
    xmax: Xid,
    ctid: Tid,
) -> Result<&'b [u8], RedoError> {
    let header = HeapTupleHeader {
        xmin: xid,
        xmax,
        field3: 0,
        ctid,
        infomask2: Infomask2::from_bits_retain(tuple.header.infomask2),
        infomask: Infomask::from_bits_retain(tuple.header.infomask) - Infomask::COMBOCID,
        hoff: tuple.header.header_size,
    };
    bytes.clear();
    bytes.extend_from_slice(&header.to_bytes());
    data.iter().for_each(|piece| bytes.extend_from_slice(piece));
    let hoff = usize::from(header.hoff);
    if !(TUPLE_HEADER_SIZE..=bytes.len()).contains(&hoff) {
        return Err(RedoError::BadTuple { offset: ctid.offset });
    }
    Ok(bytes)
}

fn redo_insert(
    page: &mut PageMut<'_>,
    block: BlockNumber,
    xid: Xid,
    insert: &Insert<'_>,
    scratch: &mut Scratch,
) -> Result<(), RedoError> {
    let tuple = insert.tuple.as_ref().ok_or(RedoError::NoTuple)?;
    let ctid = Tid { block, offset: insert.offset };
    let bytes = whole(&mut scratch.new, tuple, &[tuple.data], xid, Xid::INVALID, ctid)?;
    page.add_heap_tuple(bytes, Placement::At(insert.offset))?;
    if insert.flags.contains(InsertFlags::ALL_VISIBLE_CLEARED) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
    }
    Ok(())
}

fn redo_multi_insert(
    page: &mut PageMut<'_>,
    block: BlockNumber,
    xid: Xid,
    insert: &MultiInsert<'_>,
    scratch: &mut Scratch,
) -> Result<(), RedoError> {
    let tuples = insert.tuples().ok_or(RedoError::NoTuple)?;
    for (index, tuple) in (0..insert.count).zip(tuples) {
        let tuple = tuple?;
        let offset = match &insert.offsets {
            Some(offsets) => offsets.get(usize::from(index)),
            None => index.checked_add(1),
        };
        let offset = offset.ok_or(RedoError::Count { count: insert.count })?;
        let ctid = Tid { block, offset };
        let bytes = whole(&mut scratch.new, &tuple, &[tuple.data], xid, Xid::INVALID, ctid)?;
        page.add_heap_tuple(bytes, Placement::At(offset))?;
    }
    if insert.flags.contains(InsertFlags::ALL_VISIBLE_CLEARED) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
    }
    if insert.flags.contains(InsertFlags::ALL_FROZEN_SET) {
        page.set_flags(PageFlags::ALL_VISIBLE, true);
    }
    Ok(())
}

fn redo_delete(
    page: &mut PageMut<'_>,
    block: BlockNumber,
    xid: Xid,
    delete: &Delete<'_>,
) -> Result<(), RedoError> {
    let new = NewXmax { xmax: delete.xmax, bits: delete.info_bits };
    let offset = delete.offset;
    change::change_header(page, offset, |header| {
        let xmax_before = header.xmax;
        change::set_xmax(header, new);
        header.infomask2.remove(Infomask2::HOT_UPDATED);
        if delete.flags.contains(DeleteFlags::IS_SUPER) {
            header.xmax = xmax_before;
            header.xmin = Xid::INVALID;
        }
        change::set_cmax(header, CommandStamp::default());
        header.ctid = match delete.flags.contains(DeleteFlags::IS_PARTITION_MOVE) {
            true => base::tuple::MOVED_PARTITIONS,
            false => Tid { block, offset },
        };
    })?;
    page.set_prunable(xid);
    if delete.flags.contains(DeleteFlags::ALL_VISIBLE_CLEARED) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
    }
    Ok(())
}

fn redo_lock(page: &mut PageMut<'_>, block: BlockNumber, lock: &Lock) -> Result<(), RedoError> {
    let new = NewXmax { xmax: lock.xmax, bits: lock.info_bits };
    let offset = lock.offset;
    change::change_header(page, offset, |header| {
        change::set_xmax(header, new);
        if header.infomask.xmax_locked_only() {
            header.infomask2.remove(Infomask2::HOT_UPDATED);
            header.ctid = Tid { block, offset };
        }
        change::set_cmax(header, CommandStamp::default());
    })?;
    Ok(())
}

fn redo_inplace(page: &mut PageMut<'_>, inplace: &Inplace<'_>) -> Result<(), RedoError> {
    let offset = inplace.offset;
    let columns = inplace.columns.ok_or(RedoError::NoTuple)?;
    let tuple = page.item_mut(offset).ok_or(HeapError::NoTuple { offset })?;
    let start = usize::from(change::header(tuple, offset)?.hoff);
    match tuple.get_mut(start..) {
        Some(data) if data.len() == columns.len() => data.copy_from_slice(columns),
        _ => return Err(RedoError::BadTuple { offset }),
    }
    Ok(())
}

/// Ends the old version, and keeps it as it is then: the new one may lack what both have in common.
fn redo_old(
    page: &mut PageMut<'_>,
    xid: Xid,
    update: &Update<'_>,
    is_hot: bool,
    new: Tid,
    scratch: &mut Scratch,
) -> Result<(), RedoError> {
    let new_xmax = NewXmax { xmax: update.old_xmax, bits: update.old_info_bits };
    change::change_header(page, update.old_offset, |header| {
        change::set_xmax(header, new_xmax);
        header.infomask2.set(Infomask2::HOT_UPDATED, is_hot);
        change::set_cmax(header, CommandStamp::default());
        header.ctid = new;
    })?;
    page.set_prunable(xid);
    if update.flags.contains(UpdateFlags::OLD_ALL_VISIBLE_CLEARED) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
    }
    scratch.old.extend_from_slice(page.as_page().item(update.old_offset).unwrap_or_default());
    Ok(())
}

fn redo_new(
    page: &mut PageMut<'_>,
    xid: Xid,
    update: &Update<'_>,
    new: Tid,
    Scratch { new: bytes, old }: &mut Scratch,
) -> Result<(), RedoError> {
    let NewTuple { prefix_length, suffix_length, tuple } =
        update.new_tuple.as_ref().ok_or(RedoError::NoTuple)?;
    let bad = RedoError::BadTuple { offset: new.offset };
    let (prefix, suffix) = (usize::from(*prefix_length), usize::from(*suffix_length));
    let (xmax, whole_data) = (update.new_xmax, prefix == 0 && suffix == 0);
    let bytes = if whole_data {
        whole(bytes, tuple, &[tuple.data], xid, xmax, new)?
    } else {
        if old.is_empty() {
            return Err(bad);
        }
        let old_data = &old[usize::from(change::header(old, update.old_offset)?.hoff)..];
        let bitmap = usize::from(tuple.header.header_size).checked_sub(TUPLE_HEADER_SIZE);
        let split = bitmap.and_then(|length| tuple.data.split_at_checked(length));
        let (bitmap, rest) = split.ok_or_else(|| bad.clone())?;
        let start = old_data.get(..prefix).ok_or_else(|| bad.clone())?;
        let end = old_data.len().checked_sub(suffix).map(|at| &old_data[at..]);
        whole(bytes, tuple, &[bitmap, start, rest, end.ok_or(bad)?], xid, xmax, new)?
    };
    page.add_heap_tuple(bytes, Placement::At(new.offset))?;
    if update.flags.contains(UpdateFlags::NEW_ALL_VISIBLE_CLEARED) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
    }
    Ok(())
}
