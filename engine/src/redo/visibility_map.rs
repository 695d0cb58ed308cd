//! The visibility map's bits, as redo sets and clears them.
//!
//! Invariant: a page of the map that is damaged or missing may be taken for zeros: clearing bits is not logged with an image,
//! and a crash may tear the page. Source: `visibilitymap.c`.

use base::{BlockNumber, ForkNumber, RawPage, RelFileLocator};

use super::pages::{HeldPage, OnePage};
use super::{Redo, RedoCause};
use crate::buffer::{PageName, PageStore};
use crate::visibility_map::{BITS, BLOCKS_PER_PAGE, clear_bits_from, pages_for, place};

/// Sees to it that the page has a header.
fn initialise(page: &mut HeldPage<'_>) {
    if RawPage::new(page).header().upper == 0 {
        page.init(0);
    }
}

/// Clears bits of a heap block on its page of the map.
pub(super) fn clear(page: &mut HeldPage<'_>, heap_block: BlockNumber, bits: u8) {
    let (_, byte, shift) = place(heap_block);
    initialise(page);
    let mask = bits << shift;
    if page[byte] & mask != 0 {
        page.bytes_mut()[byte] &= !mask;
    }
}

/// Sets bits of a heap block on its page of the map.
pub(super) fn set(page: &mut HeldPage<'_>, heap_block: BlockNumber, bits: u8) {
    let (_, byte, shift) = place(heap_block);
    initialise(page);
    page.bytes_mut()[byte] |= (bits & BITS) << shift;
}

/// Clears what the map says of heap blocks from this one on, on the last page that stays. Gives the number of pages that
/// stay; `None` if none goes.
pub(super) fn prepare_cut(
    redo: &Redo<'_>,
    locator: RelFileLocator,
    heap_blocks: BlockNumber,
) -> Result<Option<BlockNumber>, RedoCause> {
    let fork = ForkNumber::VisibilityMap;
    let failed = |error| RedoCause::file("read", locator, fork, error);
    let files = redo.storage.pool.store();
    if !files.exists(locator, fork).map_err(failed)? {
        return Ok(None);
    }
    let there = files.blocks(locator, fork).map_err(failed)?;
    let (block, ..) = place(heap_blocks);
    let is_within = !heap_blocks.is_multiple_of(BLOCKS_PER_PAGE);
    if is_within && there > block {
        let mut page = OnePage::new(redo.storage, PageName { locator, fork, block });
        page.change_unlogged(|page| {
            initialise(page);
            clear_bits_from(page.bytes_mut(), heap_blocks);
        })?;
    }
    let stay = pages_for(heap_blocks);
    Ok((there > stay).then_some(stay))
}
