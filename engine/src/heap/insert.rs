//! Putting tuples into a page: `heap_insert`, `heap_multi_insert`.
//!
//! Source: `heapam.c` of PostgreSQL 15. Invariants: a tuple's `ctid` is itself until it is updated; the record says
//! that redo makes the page anew if its tuples are all there is on the page.

use base::page::{PageFlags, Placement};
use base::{BlockNumber, CommandId, Infomask, OffsetNumber, PageMut, Tid, Xid};
use wal::rmgr::heap::{Insert, InsertFlags};

use super::change::{self, Change, HeapError, RM_HEAP, RM_HEAP2};

/// `XLOG_HEAP_INSERT`
const INSERT: u8 = 0x00;
/// `XLOG_HEAP2_MULTI_INSERT`
const MULTI_INSERT: u8 = 0x50;

/// Who inserts, and how.
#[derive(Debug, Clone, Copy)]
pub struct Insertion {
    /// The block of the page.
    pub block: BlockNumber,
    /// The inserting transaction.
    pub xid: Xid,
    /// Its command.
    pub command: CommandId,
    /// Whether the tuples are frozen at once (`COPY FREEZE`, only of many, into a table that this transaction made).
    pub freeze: bool,
    /// Whether these are the last of what one statement inserts at once (`XLH_INSERT_LAST_IN_MULTI`).
    pub is_last: bool,
}

impl Insertion {
    /// Of ordinary tuples.
    pub const fn new(block: BlockNumber, xid: Xid, command: CommandId) -> Insertion {
        Insertion { block, xid, command, freeze: false, is_last: true }
    }

    /// Adds the tuple, and gives its number.
    fn put(&self, page: &mut PageMut<'_>, tuple: &mut [u8]) -> Result<OffsetNumber, HeapError> {
        let mut header = change::header(tuple, 0)?;
        change::stamp_new(&mut header, self.xid, self.command);
        if self.freeze {
            header.infomask |= Infomask::XMIN_FROZEN;
        }
        change::put_header(tuple, &header);
        let offset = page.add_heap_tuple(tuple, Placement::Free)?;
        header.ctid = Tid { block: self.block, offset };
        change::put_header(tuple, &header);
        if let Some(item) = page.item_mut(offset) {
            change::put_header(item, &header);
        }
        Ok(offset)
    }
}

/// Inserts a tuple that [`form_tuple`](super::form_tuple) made, and gives its line pointer. The caller's tuple becomes
/// the one on the page, header included. Logged as `INSERT`.
///
/// # Errors
/// Where the page has no room ([`HeapError::Add`]), or the bytes are no tuple.
pub fn insert(
    page: &mut PageMut<'_>,
    how: &Insertion,
    tuple: &mut [u8],
    change: &mut Change,
) -> Result<OffsetNumber, HeapError> {
    let offset = how.put(page, tuple)?;
    let header = change::header(tuple, offset)?;
    let mut flags = InsertFlags::empty();
    if page.header().flags.contains(PageFlags::ALL_VISIBLE) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
        flags |= InsertFlags::ALL_VISIBLE_CLEARED;
    }
    change.begin(RM_HEAP, INSERT, offset == 1 && page.as_page().last_offset() == 1);
    let tuple = Some(change::logged_tuple(&header, tuple));
    Insert { offset, flags, tuple }.encode(&mut change.main, &mut change.block_data);
    Ok(offset)
}

/// Inserts as many of the tuples, from the first, as the page has room for with `reserve` bytes left free (the fill
/// factor's), and gives their line pointers. Logged as `MULTI_INSERT`.
///
/// # Errors
/// As [`insert`], where not even the first fits; it is put in however much is to be left free.
pub fn multi_insert(
    page: &mut PageMut<'_>,
    how: &Insertion,
    tuples: &mut [Vec<u8>],
    reserve: usize,
    change: &mut Change,
) -> Result<Vec<OffsetNumber>, HeapError> {
    let (first, others) = tuples.split_first_mut().ok_or(HeapError::Nothing)?;
    let was_empty = page.as_page().last_offset() == 0;
    let mut offsets = vec![how.put(page, first)?];
    for tuple in others {
        let aligned = base::max_align(tuple.len() as u64) as usize;
        if page.as_page().heap_free_space() < aligned + reserve {
            break;
        }
        offsets.push(how.put(page, tuple)?);
    }
    let mut flags = InsertFlags::empty();
    if page.header().flags.contains(PageFlags::ALL_VISIBLE) && !how.freeze {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
        flags |= InsertFlags::ALL_VISIBLE_CLEARED;
    }
    if how.freeze && was_empty {
        page.set_flags(PageFlags::ALL_VISIBLE, true);
        flags |= InsertFlags::ALL_FROZEN_SET;
    }
    flags.set(InsertFlags::LAST_IN_MULTI, how.is_last && offsets.len() == tuples.len());
    let will_init = was_empty && offsets[0] == 1;
    change.begin(RM_HEAP2, MULTI_INSERT, will_init);
    change.main.extend_from_slice(&[flags.bits(), 0]);
    change.main.extend_from_slice(&(offsets.len() as u16).to_le_bytes());
    if !will_init {
        for offset in &offsets {
            change.main.extend_from_slice(&offset.to_le_bytes());
        }
    }
    for (tuple, &offset) in tuples.iter().zip(&offsets) {
        let header = change::header(tuple, offset)?;
        let logged = change::logged_tuple(&header, tuple);
        logged.encode_for_multi_insert(&mut change.block_data);
    }
    Ok(offsets)
}
