//! The free space map: how much room each page of a relation has, as far as is known, in a fork of its own.
//!
//! ```text
//! category   0 | 1: 32 to 63 bytes | 2: 64 to 95 | ... | 254: 8128 to 8159 | 255: as much as the longest row needs
//! heap       the room of a page
//! btree      255 of a page that can be used again, 0 of any other
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`place`] | which page tells of a block, and where that is in the file |
//! | [`node_tree`] | one page: a binary tree over its slots |
//!
//! A page with room is found by one way down from the root. Who notes a page's room changes the lowest level alone; the levels
//! above are brought up to date by [vacuum](FreeSpaceMap::bring_up_to_date), and by whoever was led astray. Each search begins
//! where the last one ended, so that sessions come to different pages.
//!
//! Invariants: what the map says is advice: a page may have less room, which whoever comes to it notes. Nothing is logged but
//! images where checksums ask for them, so that after a crash the map may say anything; a page of it that is damaged or
//! missing is taken for zeros. A page of the map is locked after any other page, and alone. Source: `freespace.c`,
//! `indexfsm.c`.

mod node_tree;
mod place;

use std::ops::Range;

use base::page::{MAX_HEAP_TUPLE_SIZE, PAGE_HEADER_SIZE, PageBytes};
use base::{BlockNumber, ForkNumber, PAGE_SIZE, RawPage, RelFileLocator, Xid};
use wal::write::{Inserter, LogError};

use crate::Error;
use crate::btree::IndexError;
use crate::buffer::{BufferError, PageName, PageStore, PageWrite};
use crate::storage::{PageImage, Storage};
use crate::table::page::PinnedPage;
use node_tree::{Found, SLOTS};
use place::{Place, ROOT};

/// Bytes that one category stands for (`FSM_CAT_STEP`).
const STEP: usize = PAGE_SIZE / 256;
/// The room of a page that nothing was ever put on.
pub(crate) const NEW_PAGE: usize = PAGE_SIZE - PAGE_HEADER_SIZE;
/// What stands for a free page of an index, and what is asked for to find one.
const FREE_PAGE: usize = PAGE_SIZE - 1;
const ANY_FREE_PAGE: usize = PAGE_SIZE / 2;
/// How often a search begins anew before it gives up.
const RESTARTS: u32 = 10_000;

/// The category of a page with so much room.
fn category_of(room: usize) -> u8 {
    match room >= MAX_HEAP_TUPLE_SIZE {
        true => 255,
        false => (room / STEP).min(254) as u8,
    }
}

/// The lowest category that a page with so much room has for certain.
fn category_for(needed: usize) -> u8 {
    needed.div_ceil(STEP).clamp(1, 255) as u8
}

/// The room that a category says there is at least.
fn room_of(category: u8) -> usize {
    if category == 255 { MAX_HEAP_TUPLE_SIZE } else { usize::from(category) * STEP }
}

/// Why a map cannot be read or changed.
#[derive(Debug)]
pub(crate) enum MapError {
    /// A page cannot be had.
    Buffer(BufferError),
    /// The log is stopped.
    Log(LogError),
}

impl From<BufferError> for MapError {
    fn from(error: BufferError) -> MapError {
        MapError::Buffer(error)
    }
}

impl From<MapError> for Error {
    fn from(error: MapError) -> Error {
        match error {
            MapError::Buffer(error) => error.into(),
            MapError::Log(error) => error.into(),
        }
    }
}

impl From<MapError> for IndexError {
    fn from(error: MapError) -> IndexError {
        match error {
            MapError::Buffer(error) => error.into(),
            MapError::Log(error) => error.into(),
        }
    }
}

/// How changes of the map are guarded against a torn write of its page.
#[derive(Debug)]
pub(crate) enum Guard<'i> {
    /// By an image in the log, where there are checksums.
    Image(&'i mut Inserter, Xid),
    /// By nothing, while the log is redone: a torn page is taken for zeros.
    Nothing,
}

/// A relation's map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FreeSpaceMap<'s> {
    storage: &'s Storage,
    locator: RelFileLocator,
}

impl<'s> FreeSpaceMap<'s> {
    /// That of a relation; it need not be there.
    pub(crate) fn of(storage: &'s Storage, locator: RelFileLocator) -> FreeSpaceMap<'s> {
        FreeSpaceMap { storage, locator }
    }

    /// A page that should have so many bytes of room; `None` if nothing is known of any.
    pub(crate) fn search(
        &self,
        needed: usize,
        guard: &mut Guard<'_>,
    ) -> Result<Option<BlockNumber>, MapError> {
        let at_least = category_for(needed);
        let (mut place, mut restarts) = (ROOT, 0);
        while restarts <= RESTARTS {
            let Some(page) = self.existing(place)? else {
                if place == ROOT {
                    return Ok(None);
                }
                self.mend_above(place, 0, guard)?;
                (place, restarts) = (ROOT, restarts + 1);
                continue;
            };
            let (found, highest) = {
                let mut held = page.write();
                let found = self.search_in(&page, &mut held, place, at_least, guard)?;
                (found, node_tree::highest(&held))
            };
            match found {
                Some(slot) if place.level > 0 => match place.below(slot) {
                    Some(below) => place = below,
                    // There can be no such page.
                    None => {
                        self.clear(&page, slot, guard)?;
                        (place, restarts) = (ROOT, restarts + 1);
                    }
                },
                Some(slot) => match place.heap_block(slot) {
                    Some(block) if self.has_block(block)? => return Ok(Some(block)),
                    // The map reached the disk before a crash, and the page that was added did not.
                    _ => {
                        self.clear(&page, slot, guard)?;
                        (place, restarts) = (ROOT, restarts + 1);
                    }
                },
                None if place == ROOT => return Ok(None),
                None => {
                    self.mend_above(place, highest, guard)?;
                    (place, restarts) = (ROOT, restarts + 1);
                }
            }
        }
        Ok(None)
    }

    /// Notes the room of a page that was tried in vain, and gives another one that should have what is needed, nearby if
    /// there is one.
    pub(crate) fn note_and_search(
        &self,
        tried: BlockNumber,
        room: usize,
        needed: usize,
        guard: &mut Guard<'_>,
    ) -> Result<Option<BlockNumber>, MapError> {
        let (place, slot) = Place::of(tried);
        let page = self.made(place)?;
        let found = {
            let mut held = page.write();
            self.set(&page, &mut held, slot, category_of(room), guard)?;
            self.search_in(&page, &mut held, place, category_for(needed), guard)?
        };
        let block = found.and_then(|slot| place.heap_block(slot));
        match block {
            Some(block) if self.has_block(block)? => Ok(Some(block)),
            _ => self.search(needed, guard),
        }
    }

    /// Notes that a page has so many bytes of room. More than before may be found only after the levels above were brought up to
    /// date.
    pub(crate) fn note(
        &self,
        block: BlockNumber,
        room: usize,
        guard: &mut Guard<'_>,
    ) -> Result<(), MapError> {
        let (place, slot) = Place::of(block);
        let page = self.made(place)?;
        let mut held = page.write();
        self.set(&page, &mut held, slot, category_of(room), guard)
    }

    /// What is noted of a page's room, rounded down.
    pub(crate) fn noted(&self, block: BlockNumber) -> Result<usize, MapError> {
        let (place, slot) = Place::of(block);
        let page = self.existing(place)?;
        Ok(page.map_or(0, |page| room_of(node_tree::slots(&page.read())[slot])))
    }

    /// A page of an index that should be free; it counts as used from here on (`GetFreeIndexPage`).
    pub(crate) fn take_free_page(
        &self,
        guard: &mut Guard<'_>,
    ) -> Result<Option<BlockNumber>, MapError> {
        let found = self.search(ANY_FREE_PAGE, guard)?;
        if let Some(block) = found {
            self.note(block, 0, guard)?;
        }
        Ok(found)
    }

    /// Notes that a page of an index can be used again (`RecordFreeIndexPage`).
    pub(crate) fn note_free_page(
        &self,
        block: BlockNumber,
        guard: &mut Guard<'_>,
    ) -> Result<(), MapError> {
        self.note(block, FREE_PAGE, guard)
    }

    /// Brings the levels above up to date of what was noted of these blocks, and has searches begin with the first pages again,
    /// so that the last ones come to be empty (`FreeSpaceMapVacuumRange`). `look` is called now and then, with no page
    /// locked.
    pub(crate) fn bring_up_to_date<E: From<MapError>>(
        &self,
        blocks: Range<BlockNumber>,
        guard: &mut Guard<'_>,
        look: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(last) = blocks.end.checked_sub(1).filter(|last| blocks.start <= *last) else {
            return Ok(());
        };
        self.update_below(ROOT, (blocks.start, last), guard, look).map(drop)
    }

    /// The highest slot of a page, once those of its slots are right that tell of these blocks; `None` where the map has ended.
    fn update_below<E: From<MapError>>(
        &self,
        place: Place,
        (first, last): (BlockNumber, BlockNumber),
        guard: &mut Guard<'_>,
        look: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<Option<u8>, E> {
        let Some(page) = self.existing(place)? else { return Ok(None) };
        if place.level > 0 {
            let slot_of = |block: BlockNumber, otherwise: usize| {
                let (mut at, mut slot) = Place::of(block);
                while at.level < place.level {
                    (at, slot) = at.above();
                }
                if at == place { slot } else { otherwise }
            };
            let mut has_ended = false;
            for slot in slot_of(first, 0)..=slot_of(last, SLOTS - 1) {
                look()?;
                let below = place.below(slot).filter(|_| !has_ended);
                let highest = match below {
                    Some(below) => self.update_below(below, (first, last), guard, look)?,
                    None => None,
                };
                // Nothing lies behind a page that is not there.
                has_ended |= highest.is_none();
                let highest = highest.unwrap_or(0);
                if node_tree::slots(&page.read())[slot] != highest {
                    self.set(&page, &mut page.write(), slot, highest, guard)?;
                }
            }
        }
        let mut held = page.write();
        if node_tree::next_slot(&held) != 0 {
            node_tree::set_next_slot(held.bytes_for_hint(), 0);
        }
        Ok(Some(node_tree::highest(&held)))
    }

    /// Forgets what it has of blocks from this one on, on the last page that stays. Gives how many pages stay; `None` if the map is
    /// no longer than that.
    pub(crate) fn prepare_cut(
        &self,
        blocks: BlockNumber,
        guard: &mut Guard<'_>,
    ) -> Result<Option<BlockNumber>, MapError> {
        let (place, slot) = Place::of(blocks);
        let stay = place.block() + u32::from(slot > 0);
        if slot > 0 {
            let Some(page) = self.existing(place)? else { return Ok(None) };
            let mut held = page.write();
            if node_tree::cut_off(self.ready(&mut held), slot) {
                self.guard_change(&page, &mut held, guard)?;
            }
        }
        let pages = self.storage.map_pages(self.locator, ForkNumber::FreeSpaceMap)?;
        Ok((pages > stay).then_some(stay))
    }

    /// Sets a slot of a page.
    fn set(
        &self,
        page: &PinnedPage<'_>,
        held: &mut PageWrite<'_>,
        slot: usize,
        category: u8,
        guard: &mut Guard<'_>,
    ) -> Result<(), MapError> {
        if node_tree::is_set(held, slot, category) {
            return Ok(());
        }
        node_tree::set(self.ready(held), slot, category);
        self.guard_change(page, held, guard)
    }

    /// Sets a slot to 0 that leads nowhere.
    fn clear(
        &self,
        page: &PinnedPage<'_>,
        slot: usize,
        guard: &mut Guard<'_>,
    ) -> Result<(), MapError> {
        self.set(page, &mut page.write(), slot, 0, guard)
    }

    /// Notes in the page above what the highest slot of a page really is.
    fn mend_above(&self, place: Place, highest: u8, guard: &mut Guard<'_>) -> Result<(), MapError> {
        let (above, slot) = place.above();
        let page = self.made(above)?;
        self.set(&page, &mut page.write(), slot, highest, guard)
    }

    /// Looks for a slot on a page, which is mended if it is torn. The next search begins behind it where slots are blocks.
    fn search_in(
        &self,
        page: &PinnedPage<'_>,
        held: &mut PageWrite<'_>,
        place: Place,
        at_least: u8,
        guard: &mut Guard<'_>,
    ) -> Result<Option<usize>, MapError> {
        let mut found = node_tree::search(held, at_least);
        if found == Found::Torn {
            node_tree::rebuild(self.ready(held));
            self.guard_change(page, held, guard)?;
            found = node_tree::search(held, at_least);
        }
        let Found::Slot(slot) = found else { return Ok(None) };
        let next = slot + usize::from(place.level == 0);
        if node_tree::next_slot(held) != next {
            node_tree::set_next_slot(held.bytes_for_hint(), next);
        }
        Ok(Some(slot))
    }

    /// A page's bytes, to be changed.
    fn ready<'p>(&self, held: &'p mut PageWrite<'_>) -> &'p mut PageBytes {
        if RawPage::new(held).header().upper == 0 {
            held.init(0);
        }
        held.bytes_mut()
    }

    /// Has a torn write of a changed page do no harm.
    fn guard_change(
        &self,
        page: &PinnedPage<'_>,
        held: &mut PageWrite<'_>,
        guard: &mut Guard<'_>,
    ) -> Result<(), MapError> {
        let Guard::Image(inserter, xid) = guard else { return Ok(()) };
        let image = PageImage { xid: *xid, name: page.name(), is_standard: false };
        let logged = self.storage.log_hint(inserter, image, held).map_err(MapError::Log)?;
        if let Some(end) = logged {
            held.set_lsn(end);
        }
        Ok(())
    }

    fn name(&self, block: BlockNumber) -> PageName {
        PageName { locator: self.locator, fork: ForkNumber::FreeSpaceMap, block }
    }

    /// Whether the relation has a block.
    fn has_block(&self, block: BlockNumber) -> Result<bool, MapError> {
        let blocks = self.storage.pool.store().blocks(self.locator, ForkNumber::Main);
        let name = PageName { fork: ForkNumber::Main, ..self.name(block) };
        blocks
            .map(|blocks| block < blocks)
            .map_err(|error| BufferError::Read { name, error }.into())
    }

    /// A page of the map, if it has come so far.
    fn existing(&self, place: Place) -> Result<Option<PinnedPage<'s>>, MapError> {
        Ok(self.storage.map_page(self.name(place.block()))?)
    }

    /// A page of the map, made with all before it if need be.
    fn made(&self, place: Place) -> Result<PinnedPage<'s>, MapError> {
        Ok(self.storage.made_map_page(self.name(place.block()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_suffices_for_what_is_asked_for() {
        for room in 0..PAGE_SIZE {
            let category = category_of(room);
            assert!(room_of(category) <= room, "{room}");
            assert_eq!(category_of(room_of(category)), category);
        }
        for needed in 1..=MAX_HEAP_TUPLE_SIZE {
            assert!(room_of(category_for(needed)) >= needed, "{needed}");
            // Who finds less than he needs, and notes that, does not find the same page again.
            assert!(category_of(needed - 1) < category_for(needed), "{needed}");
        }
        assert_eq!((category_of(NEW_PAGE), category_of(FREE_PAGE)), (255, 255));
    }
}
