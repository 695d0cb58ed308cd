//! The visibility map: two bits for each page of a table, in a fork of its own.
//!
//! ```text
//! page     24 bytes of header | byte 0: blocks 0 to 3 | byte 1: blocks 4 to 7 | ...      32672 blocks a page
//! bits     of a block, from the lowest: all tuples visible to all, all frozen
//! ```
//!
//! ```text
//! set      under the page's lock: page flagged ─► bits set ─► VISIBLE logged, with both pages' positions
//! cleared  map's page pinned ─► table's page changed, its flag cleared ─► bits cleared ─► the change logged, which says so
//! ```
//!
//! Invariants: a bit that is set is true, and the table's page has the flag that says so; one that is clear says nothing. So
//! clearing is not logged by itself, and a page of the map that is damaged or missing may be taken for zeros. A page of the
//! map is locked after the table's page that it tells of, and read or made before that is locked for a change. Source:
//! `visibilitymap.c`.

use base::page::{PAGE_HEADER_SIZE, PageBytes, PageFlags};
use base::{BlockNumber, ForkNumber, PAGE_SIZE, RawPage, RelFileLocator, Xid};
use wal::rmgr::heap2::{Visible, VisibleFlags};
use wal::write::{ImageChoice, NewBlock, NewRecord};

use crate::Error;
use crate::buffer::{PageName, PageWrite};
use crate::db::Shared;
use crate::heap::change::RM_HEAP2;
use crate::session::Session;
use crate::storage::PageImage;
use crate::table::page::{PinnedPage, log_page};

const BLOCKS_PER_BYTE: u32 = 4;
const MAP_BYTES: u32 = (PAGE_SIZE - PAGE_HEADER_SIZE) as u32;
/// Blocks of a table that a page of the map tells of (`HEAPBLOCKS_PER_PAGE`).
pub(crate) const BLOCKS_PER_PAGE: u32 = MAP_BYTES * BLOCKS_PER_BYTE;
const _: () = assert!(BLOCKS_PER_PAGE == 32672);

/// `XLOG_HEAP2_VISIBLE`
const VISIBLE: u8 = 0x40;

/// The bit that says that all tuples are visible to all.
pub(crate) const ALL_VISIBLE: u8 = 1;
/// The bit that says that all tuples are frozen.
pub(crate) const ALL_FROZEN: u8 = 2;
/// Both bits of a block.
pub(crate) const BITS: u8 = 3;

/// Where a block's bits are: the page of the map, the byte in it, the shift.
pub(crate) fn place(heap_block: BlockNumber) -> (BlockNumber, usize, u32) {
    let within = heap_block % BLOCKS_PER_PAGE;
    let byte = PAGE_HEADER_SIZE + (within / BLOCKS_PER_BYTE) as usize;
    (heap_block / BLOCKS_PER_PAGE, byte, within % BLOCKS_PER_BYTE * 2)
}

/// The page of the map that has a heap block's bits.
pub(crate) fn page_of(locator: RelFileLocator, heap_block: BlockNumber) -> PageName {
    PageName { locator, fork: ForkNumber::VisibilityMap, block: place(heap_block).0 }
}

/// A page of a map, pinned.
#[derive(Debug)]
pub(crate) struct MapPage<'e>(PinnedPage<'e>);

impl<'e> MapPage<'e> {
    /// The page that has a block's bits; `None` if the map has not come so far.
    ///
    /// # Errors
    /// As the pool says.
    pub(crate) fn existing(
        shared: &'e Shared,
        locator: RelFileLocator,
        heap_block: BlockNumber,
    ) -> Result<Option<MapPage<'e>>, Error> {
        let page = shared.storage.map_page(page_of(locator, heap_block))?;
        Ok(page.map(MapPage))
    }

    /// The page that has a block's bits, made with all before it if need be.
    ///
    /// # Errors
    /// As the disk says.
    pub(crate) fn made(
        shared: &'e Shared,
        locator: RelFileLocator,
        heap_block: BlockNumber,
    ) -> Result<MapPage<'e>, Error> {
        Ok(MapPage(shared.storage.made_map_page(page_of(locator, heap_block))?))
    }

    /// The page whose bits a change of a table's page clears, if that is said to be all-visible.
    ///
    /// # Errors
    /// As [`MapPage::existing`].
    pub(crate) fn to_clear(
        shared: &'e Shared,
        heap: PageName,
        page: &PageWrite<'_>,
    ) -> Result<Option<MapPage<'e>>, Error> {
        if !RawPage::new(page).header().flags.contains(PageFlags::ALL_VISIBLE) {
            return Ok(None);
        }
        MapPage::existing(shared, heap.locator, heap.block)
    }

    /// Whether it has a block's bits.
    pub(crate) fn covers(&self, heap_block: BlockNumber) -> bool {
        self.0.name().block == place(heap_block).0
    }

    /// A block's bits.
    pub(crate) fn status(&self, heap_block: BlockNumber) -> u8 {
        debug_assert!(self.covers(heap_block));
        status_in(&self.0.read(), heap_block)
    }

    /// Clears bits of a block, whose page the caller has locked to change it; whether one was set.
    pub(crate) fn clear(&self, heap_block: BlockNumber, bits: u8) -> bool {
        debug_assert!(self.covers(heap_block));
        let (_, byte, shift) = place(heap_block);
        let mut map = self.0.write();
        let was_set = map[byte] & bits << shift != 0;
        if was_set {
            map.bytes_mut()[byte] &= !(bits << shift);
        }
        was_set
    }

    /// Sets bits of a block, whose page the caller has locked, and which has its flag. Standbys cancel who may not see
    /// `newest`, the newest transaction on the page. Logged as `VISIBLE`.
    ///
    /// # Errors
    /// Where the log is stopped.
    pub(crate) fn set(
        &self,
        session: &mut Session<'_>,
        heap: PageName,
        page: &mut PageWrite<'_>,
        newest: Xid,
        bits: u8,
    ) -> Result<(), Error> {
        debug_assert!(self.covers(heap.block));
        let shared = session.shared;
        let (_, byte, shift) = place(heap.block);
        let mut map = self.0.write();
        if RawPage::new(&map).header().upper == 0 {
            map.init(0);
        }
        if status_in(&map, heap.block) & bits == bits {
            return Ok(());
        }
        map.bytes_mut()[byte] |= bits << shift;
        let mut main = Vec::with_capacity(5);
        let flags = VisibleFlags::from_bits_retain(bits);
        Visible { snapshot_conflict_horizon: newest, flags }.encode(&mut main);
        let block = |id, name: PageName, page, is_standard, image| NewBlock {
            image,
            is_standard,
            page: Some(page),
            ..NewBlock::new(id, name.locator, name.fork, name.block)
        };
        // With checksums a torn write of the table's page, which changes in a flag alone, would be noticed.
        let has_checksums = shared.storage.has_checksums();
        let end = {
            let image = if has_checksums { ImageChoice::IfOlder } else { ImageChoice::Never };
            let of_map = block(0, self.0.name(), &*map, false, ImageChoice::IfOlder);
            let blocks = [of_map, block(1, heap, &**page, true, image)];
            let record =
                NewRecord { main: &[&main], blocks: &blocks, ..NewRecord::new(RM_HEAP2, VISIBLE) };
            shared.storage.log.log().insert(&mut session.inserter, &record)?.end
        };
        map.set_lsn(end);
        if has_checksums {
            page.set_lsn(end);
        }
        Ok(())
    }
}

impl MapPage<'_> {
    /// Clears what a map says of blocks from this one on, on the last page that stays: whoever makes the table longer again relies
    /// on it. Gives how many pages stay; `None` if the map is no longer than that.
    ///
    /// # Errors
    /// As the disk says, and where the log is stopped.
    pub(crate) fn prepare_cut(
        session: &mut Session<'_>,
        locator: RelFileLocator,
        heap_blocks: BlockNumber,
    ) -> Result<Option<BlockNumber>, Error> {
        let shared = session.shared;
        let stay = pages_for(heap_blocks);
        if !heap_blocks.is_multiple_of(BLOCKS_PER_PAGE) {
            let Some(page) = MapPage::existing(shared, locator, heap_blocks)? else {
                return Ok(None);
            };
            let mut map = page.0.write();
            clear_from(&mut map, heap_blocks);
            if shared.storage.has_checksums() {
                let (xid, name) = (Xid::INVALID, page.0.name());
                let image = PageImage { xid, name, is_standard: false };
                log_page(&shared.storage, &mut session.inserter, image, &mut map)?;
            }
        }
        let pages = shared.storage.map_pages(locator, ForkNumber::VisibilityMap)?;
        Ok((pages > stay).then_some(stay))
    }
}

/// How many of the first blocks of a relation, so many, are said to be all-visible.
///
/// # Errors
/// As [`MapPage::existing`].
pub(crate) fn all_visible_blocks(
    shared: &Shared,
    locator: RelFileLocator,
    blocks: BlockNumber,
) -> Result<BlockNumber, Error> {
    let mut count = 0;
    for first in (0..blocks).step_by(BLOCKS_PER_PAGE as usize) {
        // Where the map ends, nothing behind it is told of.
        let Some(page) = MapPage::existing(shared, locator, first)? else { break };
        let end = first.saturating_add(BLOCKS_PER_PAGE).min(blocks);
        let map = page.0.read();
        count += (first..end).filter(|block| status_in(&map, *block) & ALL_VISIBLE != 0).count();
    }
    Ok(count as BlockNumber)
}

/// How many pages of the map tell of so many blocks.
pub(crate) fn pages_for(heap_blocks: BlockNumber) -> BlockNumber {
    heap_blocks.div_ceil(BLOCKS_PER_PAGE)
}

/// Clears the bits of a block and all behind it that the page tells of.
pub(crate) fn clear_bits_from(map: &mut PageBytes, heap_block: BlockNumber) {
    let (_, byte, shift) = place(heap_block);
    map[byte] &= (1 << shift) - 1;
    map[byte + 1..].fill(0);
}

fn clear_from(map: &mut PageWrite<'_>, heap_block: BlockNumber) {
    if RawPage::new(map).header().upper == 0 {
        map.init(0);
    }
    clear_bits_from(map.bytes_mut(), heap_block);
}

fn status_in(map: &PageBytes, heap_block: BlockNumber) -> u8 {
    let (_, byte, shift) = place(heap_block);
    map[byte] >> shift & BITS
}
