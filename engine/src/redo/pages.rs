//! The pages that a record is about: found, restored from images, compared by LSN, changed, stamped.
//!
//! Invariants: an image replaces the page whatever its LSN is, and the page is not read for that: it may be torn. A page
//! that redo makes anew is not read either. Every other one is changed only if its LSN is before the record's end, which
//! becomes its LSN. A page with half a change is given up, so that it never reaches the disk. Source:
//! `XLogReadBufferForRedoExtended`.

use std::io;

use base::page::PageBytes;
use base::sync::Arc;
use base::{BlockNumber, ForkNumber, Lsn, Page, PageMut, RawPage, RelFileLocator};
use wal::image;
use wal::record::{BlockRef, Decoder, Record};

use super::missing_pages::{Missing, MissingPages};
use super::round::{PageChange, Round};
use super::{Redo, RedoCause, RedoError, visibility_map};
use crate::Error;
use crate::btree::redo as btree_page;
use crate::buffer::{BufferError, PageName, PinnedWrite, RelationFiles};
use crate::free_space_map::{FreeSpaceMap, Guard};
use crate::heap::redo as heap_page;
use crate::slru::FlushLog;
use crate::storage::{LogHandle, Storage};

/// All forks, the main one first.
pub(super) const FORKS: [ForkNumber; 4] =
    [ForkNumber::Main, ForkNumber::FreeSpaceMap, ForkNumber::VisibilityMap, ForkNumber::Init];

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redone {
    /// It was restored from the record's image, which is of after the change.
    Restored,
    /// It was changed.
    Changed,
    /// It had the change already.
    Already,
    /// It is not there.
    Missing,
}

/// How a page is had that the record has no image of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// As it is, for a change.
    Existing,
    /// The change makes it anew.
    New,
    /// As it is, or zeros where it is not there or damaged.
    ExistingOrZero,
}

/// What was done to pages, and found out on the way.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) changed: u64,
    pub(super) images: u64,
    pub(super) already: u64,
    pub(super) missing_pages: u64,
    /// Pages that were not there.
    pub(super) missing: MissingPages,
    /// The highest LSN that was found on a page.
    pub(super) highest_page_lsn: Lsn,
    /// How much room the round's pages of tables have at its end.
    pub(super) rooms: Vec<Room>,
}

/// How much room a page of a table has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) locator: RelFileLocator,
    pub(super) block: BlockNumber,
    pub(super) room: usize,
}

impl Tally {
    fn count(&mut self, redone: Redone) {
        let count = match redone {
            Redone::Restored => &mut self.images,
            Redone::Changed => &mut self.changed,
            Redone::Already => &mut self.already,
            Redone::Missing => &mut self.missing_pages,
        };
        *count += 1;
    }

    /// What another thread did to other pages, or was done to these before.
    pub(super) fn add(&mut self, other: Tally) {
        self.changed += other.changed;
        self.images += other.images;
        self.already += other.already;
        self.missing_pages += other.missing_pages;
        self.missing.add(other.missing);
        self.highest_page_lsn = self.highest_page_lsn.max(other.highest_page_lsn);
        self.rooms.extend(other.rooms);
    }
}

/// A page that is changed.
pub(super) type HeldPage<'s> = PinnedWrite<'s, RelationFiles, Arc<LogHandle>>;

/// One page for as many changes as there are: it is pinned with the first that finds it.
#[derive(Debug)]
pub(super) struct OnePage<'s> {
    storage: &'s Storage,
    name: PageName,
    held: Option<HeldPage<'s>>,
}

impl<'s> OnePage<'s> {
    pub(super) fn new(storage: &'s Storage, name: PageName) -> OnePage<'s> {
        OnePage { storage, name, held: None }
    }

    /// Replaces the page by the record's image.
    pub(super) fn restore(
        &mut self,
        tally: &mut Tally,
        record: &Record<'_>,
        block: &BlockRef,
    ) -> Result<Redone, RedoCause> {
        let mut page = match self.held.take() {
            Some(page) => page,
            None => {
                make_room(self.storage, self.name)?;
                let pinned = self.storage.pool.get_to_init(self.name).map_err(Error::from)?;
                pinned.into_write()
            }
        };
        let bytes = page.bytes_mut();
        if let Err(error) = image::restore(record, block, bytes) {
            page.discard();
            return Err(error.into());
        }
        // A page without a header has no place for an LSN.
        if RawPage::new(bytes).header().upper != 0 {
            PageMut::assume_valid(bytes).set_lsn(record.end());
        }
        self.held = Some(page);
        tally.count(Redone::Restored);
        Ok(Redone::Restored)
    }

    /// Has `change` change the page, if it is older than the record, which starts and ends there.
    pub(super) fn change(
        &mut self,
        tally: &mut Tally,
        (start, end): (Lsn, Lsn),
        wanted: Wanted,
        change: impl FnOnce(&mut HeldPage<'s>) -> Result<(), RedoCause>,
    ) -> Result<Redone, RedoCause> {
        let redone = match self.find(wanted)? {
            None => {
                tally.missing.note(self.name, Missing { record: start, is_zero: false });
                Redone::Missing
            }
            Some(mut page) => {
                let header = RawPage::new(&page).header();
                let redone = if wanted == Wanted::Existing && header.upper == 0 {
                    tally.missing.note(self.name, Missing { record: start, is_zero: true });
                    Redone::Missing
                } else {
                    if wanted != Wanted::New {
                        tally.highest_page_lsn = tally.highest_page_lsn.max(header.lsn);
                    }
                    if wanted != Wanted::New && end <= header.lsn {
                        Redone::Already
                    } else {
                        if let Err(cause) = change(&mut page) {
                            page.discard();
                            return Err(cause);
                        }
                        page.set_lsn(end);
                        Redone::Changed
                    }
                };
                self.held = Some(page);
                redone
            }
        };
        tally.count(redone);
        Ok(redone)
    }

    /// Has `change` change the page, made if it is not there, whatever its LSN is, which stays.
    pub(super) fn change_unlogged(
        &mut self,
        change: impl FnOnce(&mut HeldPage<'s>),
    ) -> Result<(), RedoCause> {
        if let Some(mut page) = self.find(Wanted::ExistingOrZero)? {
            change(&mut page);
            self.held = Some(page);
        }
        Ok(())
    }

    /// The page; `None` if there is none. The caller puts it back.
    fn find(&mut self, wanted: Wanted) -> Result<Option<HeldPage<'s>>, RedoCause> {
        if let Some(page) = self.held.take() {
            return Ok(Some(page));
        }
        let (pool, name) = (&self.storage.pool, self.name);
        if wanted != Wanted::Existing {
            make_room(self.storage, name)?;
        }
        let found = match wanted {
            Wanted::New => pool.get_to_init(name),
            Wanted::Existing => pool.get(name),
            Wanted::ExistingOrZero => match pool.get(name) {
                Err(BufferError::Damaged { .. }) => pool.get_to_init(name),
                found => found,
            },
        };
        match found {
            Ok(pinned) => Ok(Some(pinned.into_write())),
            Err(BufferError::Read { error, .. }) if is_missing(&error) => Ok(None),
            Err(error) => Err(Error::from(error).into()),
        }
    }
}

/// Makes the changes of a round's pages; what it keeps is memory.
#[derive(Debug, Default)]
pub(super) struct PageRedo {
    decoder: Decoder,
    scratch: heap_page::Scratch,
}

impl PageRedo {
    /// Makes all changes of one page.
    ///
    /// # Errors
    /// The first, with the position of its record.
    pub(super) fn redo(
        &mut self,
        storage: &Storage,
        round: &Round,
        page: usize,
        tally: &mut Tally,
    ) -> Result<(), (Lsn, RedoError)> {
        let (name, changes) = (round.name(page), round.changes(page));
        let mut page = OnePage::new(storage, name);
        let mut is_of_table = false;
        for (raw, change) in changes {
            // It was decoded before it came into the round.
            let record =
                self.decoder.decode(raw, raw.start).expect("a record that has been decoded");
            let made = make(&mut page, name, tally, &record, change, &mut self.scratch);
            made.map_err(|cause| (raw.start, RedoError::new(&record, cause)))?;
            is_of_table |= matches!(change, PageChange::Heap(_));
        }
        if let Some(held) = page.held.as_ref().filter(|_| is_of_table)
            && RawPage::new(held).header().upper != 0
        {
            let room = Page::assume_valid(held).heap_free_space();
            tally.rooms.push(Room { locator: name.locator, block: name.block, room });
        }
        Ok(())
    }
}

impl PageRedo {
    /// Has the free space maps say how much room a round's pages have, whose changes are all made. In the order of pages, so that
    /// what comes out does not depend on threads.
    ///
    /// # Errors
    /// As the disk says, with the round's last record.
    pub(super) fn note_rooms(
        &mut self,
        storage: &Storage,
        round: &Round,
        tally: &mut Tally,
    ) -> Result<(), RedoError> {
        tally.rooms.sort_unstable_by_key(|room| (room.locator, room.block));
        for Room { locator, block, room } in tally.rooms.drain(..) {
            let map = FreeSpaceMap::of(storage, locator);
            if let Err(error) = map.note(block, room, &mut Guard::Nothing) {
                let raw = round.last().expect("a page is of a record");
                let record = self.decoder.decode(raw, raw.start);
                let record = record.expect("a record that has been decoded");
                return Err(RedoError::new(&record, Error::from(error).into()));
            }
        }
        Ok(())
    }
}

/// Makes one change.
fn make(
    page: &mut OnePage<'_>,
    name: PageName,
    tally: &mut Tally,
    record: &Record<'_>,
    change: PageChange,
    scratch: &mut heap_page::Scratch,
) -> Result<(), RedoCause> {
    let place = (record.start(), record.end());
    let block = |id: u8| {
        record.block(id).ok_or_else(|| RedoCause::OutOfRange(format!("block reference {id}")))
    };
    match change {
        PageChange::Image(id) => {
            page.restore(tally, record, block(id)?)?;
        }
        PageChange::Heap(id) => {
            let block = block(id)?;
            if block.applies_image() {
                page.restore(tally, record, block)?;
                return Ok(());
            }
            let is_new = heap_page::makes_page(record, id);
            let wanted = if is_new { Wanted::New } else { Wanted::Existing };
            page.change(tally, place, wanted, |held| {
                let page = match is_new {
                    true => Ok(held.init(0)),
                    false => held.page_mut().map_err(heap_page::RedoError::from),
                };
                page.and_then(|mut page| heap_page::redo_on(record, id, &mut page, scratch))
                    .map_err(|error| RedoCause::Heap { page: name, error })
            })?;
        }
        PageChange::Btree(id) => {
            let block = block(id)?;
            if block.applies_image() {
                page.restore(tally, record, block)?;
                return Ok(());
            }
            let is_new = btree_page::makes_page(record, id);
            let wanted = if is_new { Wanted::New } else { Wanted::Existing };
            page.change(tally, place, wanted, |held| {
                btree_page::redo(record, id, held.bytes_mut())
                    .map_err(|error| RedoCause::Btree { page: name, error })
            })?;
        }
        PageChange::ClearMap { heap_block, bits } => {
            page.change_unlogged(|held| visibility_map::clear(held, heap_block, bits))?;
        }
        PageChange::SetMap { heap_block, bits } => {
            let block = block(0)?;
            if block.applies_image() {
                page.restore(tally, record, block)?;
                return Ok(());
            }
            page.change(tally, place, Wanted::ExistingOrZero, |held| {
                visibility_map::set(held, heap_block, bits);
                Ok(())
            })?;
        }
    }
    Ok(())
}

impl Redo<'_> {
    /// Redoes what the record says of a block: restores its image, or has `change` change the page.
    ///
    /// # Errors
    /// Those of `change`; where the image or the page is damaged; and as the disk says.
    pub fn page(
        &mut self,
        record: &Record<'_>,
        block: &BlockRef,
        wanted: Wanted,
        change: impl FnOnce(&mut PageBytes) -> Result<(), RedoCause>,
    ) -> Result<Redone, RedoCause> {
        let name = PageName::of(block);
        let mut page = OnePage::new(self.storage, name);
        if block.applies_image() {
            return page.restore(&mut self.tally, record, block);
        }
        let place = (record.start(), record.end());
        page.change(&mut self.tally, place, wanted, |held| change(held.bytes_mut()))
    }

    /// What the record does cannot be taken back: whoever recovers again must come as far as this.
    pub(super) fn before_irreversible(&self, end: Lsn) -> Result<(), RedoCause> {
        Ok(FlushLog::flush(&*self.storage.log, end)?)
    }
}

/// Sees to it that the fork has the page.
fn make_room(storage: &Storage, name: PageName) -> Result<(), RedoCause> {
    let PageName { locator, fork, block } = name;
    let files = storage.pool.store();
    let blocks = block
        .checked_add(1)
        .ok_or_else(|| RedoCause::OutOfRange(format!("block number {block}")))?;
    let has_room = match files.known_blocks(locator, fork) {
        Some(there) => there >= blocks,
        None => {
            files
                .create_if_missing(locator, fork)
                .map_err(|error| RedoCause::file("create", locator, fork, error))?;
            false
        }
    };
    if has_room {
        return Ok(());
    }
    files
        .extend_to(locator, fork, blocks)
        .map_err(|error| RedoCause::file("extend", locator, fork, error))
}

/// Whether there is no such page, or no such file.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound)
}
