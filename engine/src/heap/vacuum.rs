//! What VACUUM does to a page after pruning it: dead line pointers are freed once no index knows them
//! (`lazy_vacuum_heap_page`), and old tuples are frozen (`heap_execute_freeze_tuple`).
//!
//! Source: `vacuumlazy.c`, `heapam.c` of PostgreSQL 15. Invariants: only a dead line pointer without a tuple becomes
//! unused; tuples do not move.

use base::{HeapTupleHeader, OffsetNumber, PageMut, Xid};
use wal::rmgr::Array;
use wal::rmgr::heap2::prune::{Freeze, FreezeFlags, FreezeTuple};
use wal::rmgr::heap2::{FreezePage, Vacuum};

use super::change::{self, Change, HeapError, RM_HEAP2};

/// `XLOG_HEAP2_VACUUM`
const VACUUM: u8 = 0x20;
/// `XLOG_HEAP2_FREEZE_PAGE`
const FREEZE_PAGE: u8 = 0x30;

/// Frees dead line pointers that no index knows any more, and cuts those at the end off. Logged as `VACUUM`.
///
/// # Errors
/// Where one of them is not dead, or there are none; the page is then as before.
pub fn free_dead(
    page: &mut PageMut<'_>,
    offsets: &[OffsetNumber],
    change: &mut Change,
) -> Result<(), HeapError> {
    if offsets.is_empty() {
        return Err(HeapError::Nothing);
    }
    for &offset in offsets {
        let pointer = page.as_page().line_pointer(offset);
        if !pointer.is_some_and(|pointer| pointer.is_dead() && !pointer.has_storage()) {
            return Err(HeapError::LinePointer { offset });
        }
    }
    free(page, offsets.iter().copied());
    change.begin(RM_HEAP2, VACUUM, false);
    let bytes: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    let payload = Vacuum { count: offsets.len() as u16, unused: Array::of(&bytes) };
    payload.encode(&mut change.main, &mut change.block_data);
    Ok(())
}

pub(super) fn free(page: &mut PageMut<'_>, offsets: impl Iterator<Item = OffsetNumber>) {
    for offset in offsets {
        page.set_unused(offset);
    }
    page.truncate_line_pointers();
}

/// Freezes tuples: each gets the `xmax` and the bits that were decided for it. `cutoff` is the oldest transaction that is
/// not frozen. Logged as `FREEZE_PAGE`.
///
/// # Errors
/// Where one of them is no tuple, or there are none; the page is then as before.
pub fn freeze(
    page: &mut PageMut<'_>,
    cutoff: Xid,
    tuples: &[FreezeTuple],
    change: &mut Change,
) -> Result<(), HeapError> {
    if tuples.is_empty() {
        return Err(HeapError::Nothing);
    }
    for &FreezeTuple { offset, .. } in tuples {
        let tuple = page.as_page().item(offset).ok_or(HeapError::NoTuple { offset })?;
        change::header(tuple, offset)?;
    }
    let mut bytes = Vec::with_capacity(tuples.len() * 12);
    for tuple in tuples {
        freeze_one(page, tuple)?;
        tuple.encode(&mut bytes);
    }
    change.begin(RM_HEAP2, FREEZE_PAGE, false);
    let payload = FreezePage {
        snapshot_conflict_horizon: cutoff,
        count: tuples.len() as u16,
        is_catalog_relation: None,
        freeze: Array::of(&bytes).map(Freeze::Tuples),
    };
    payload.encode(&mut change.main, &mut change.block_data);
    Ok(())
}

pub(super) fn freeze_one(page: &mut PageMut<'_>, frozen: &FreezeTuple) -> Result<(), HeapError> {
    change::change_header(page, frozen.offset, |header: &mut HeapTupleHeader| {
        header.xmax = frozen.xmax;
        if frozen.flags.contains(FreezeFlags::FREEZE_XVAC) {
            header.field3 = Xid::FROZEN.0;
        }
        if frozen.flags.contains(FreezeFlags::INVALID_XVAC) {
            header.field3 = Xid::INVALID.0;
        }
        header.infomask = base::Infomask::from_bits_retain(frozen.infomask);
        header.infomask2 = base::Infomask2::from_bits_retain(frozen.infomask2);
    })
}
