//! Redo of heap and heap2: which pages a record changes, and the visibility map's bits.
//!
//! Invariant: bits of the map are cleared whatever the heap page's LSN is: the map's page has another LSN, or none. Source: `heap_redo`, `heap2_redo`.

use wal::record::{BlockRef, Record};
use wal::rmgr::heap::{DeleteFlags, Heap, InsertFlags, LockFlags, UpdateFlags};
use wal::rmgr::heap2::Heap2;

use super::round::PageChange;
use super::{Redo, RedoCause};
use crate::buffer::PageName;
use crate::visibility_map;

pub(super) fn redo_heap(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Heap<'_>,
) -> Result<(), RedoCause> {
    match payload {
        Heap::Insert(insert) => {
            let clears = insert.flags.contains(InsertFlags::ALL_VISIBLE_CLEARED);
            clear(redo, record, 0, clears, visibility_map::BITS)?;
        }
        Heap::Delete(delete) => {
            let clears = delete.flags.contains(DeleteFlags::ALL_VISIBLE_CLEARED);
            clear(redo, record, 0, clears, visibility_map::BITS)?;
        }
        Heap::Update(update) => {
            // The old version is on block 1, or with the new one on block 0.
            let old = if record.block(1).is_some() { 1 } else { 0 };
            let clears = update.flags.contains(UpdateFlags::OLD_ALL_VISIBLE_CLEARED);
            clear(redo, record, old, clears, visibility_map::BITS)?;
            let clears = update.flags.contains(UpdateFlags::NEW_ALL_VISIBLE_CLEARED);
            clear(redo, record, 0, clears, visibility_map::BITS)?;
        }
        Heap::Lock(lock) => {
            let clears = lock.flags.contains(LockFlags::ALL_FROZEN_CLEARED);
            clear(redo, record, 0, clears, visibility_map::ALL_FROZEN)?;
        }
        Heap::Truncate(_) => return Ok(()),
        Heap::Confirm(_) | Heap::Inplace(_) => {}
    }
    pages(redo, record);
    Ok(())
}

pub(super) fn redo_heap2(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Heap2<'_>,
) -> Result<(), RedoCause> {
    match payload {
        Heap2::MultiInsert(insert) => {
            let clears = insert.flags.contains(InsertFlags::ALL_VISIBLE_CLEARED);
            clear(redo, record, 0, clears, visibility_map::BITS)?;
        }
        Heap2::LockUpdated(lock) => {
            let clears = lock.flags.contains(LockFlags::ALL_FROZEN_CLEARED);
            clear(redo, record, 0, clears, visibility_map::ALL_FROZEN)?;
        }
        Heap2::Visible(visible) => {
            let (map, heap) = (block(record, 0)?, block(record, 1)?);
            let name = PageName::of(map);
            if name != visibility_map::page_of(map.locator, heap.block) {
                let reason = format!(
                    "block {}, whose bits are not on page {} of the map,",
                    heap.block, map.block
                );
                return Err(RedoCause::OutOfRange(reason));
            }
            redo.later(record, PageName::of(heap), PageChange::Heap(heap.id));
            let bits = visible.flags.bits();
            let change = PageChange::SetMap { heap_block: heap.block, bits };
            redo.later(record, name, change);
            return Ok(());
        }
        Heap2::Rewrite(_) => return Err(RedoCause::UnknownType),
        // Read by logical decoding alone.
        Heap2::NewCid(_) => return Ok(()),
        Heap2::Prune(_) | Heap2::Vacuum(_) | Heap2::FreezePage(_) | Heap2::PruneFreeze(_) => {}
    }
    pages(redo, record);
    Ok(())
}

fn block<'a>(record: &Record<'a>, id: u8) -> Result<&'a BlockRef, RedoCause> {
    record
        .block(id)
        .ok_or_else(|| RedoCause::OutOfRange(format!("block reference {id}, which is missing,")))
}

/// Clears bits of the heap page that block reference `id` is.
fn clear(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    id: u8,
    is_due: bool,
    bits: u8,
) -> Result<(), RedoCause> {
    if !is_due {
        return Ok(());
    }
    let heap = block(record, id)?;
    let name = visibility_map::page_of(heap.locator, heap.block);
    redo.later(record, name, PageChange::ClearMap { heap_block: heap.block, bits });
    Ok(())
}

fn pages(redo: &mut Redo<'_>, record: &Record<'_>) {
    for block in record.blocks() {
        redo.later(record, PageName::of(block), PageChange::Heap(block.id));
    }
}
