//! The pages that a record is about: found, restored from images, compared by LSN, changed, stamped.
//!
//! Invariants: an image replaces the page whatever its LSN is, and the page is not read for that: it may be torn. A page
//! that redo makes anew is not read either. Every other one is changed only if its LSN is before the record's end, which
//! becomes its LSN. Source: `XLogReadBufferForRedoExtended`.

use std::io;

use base::page::PageBytes;
use base::{ForkNumber, Lsn, PageMut, RawPage};
use wal::image;
use wal::record::{BlockRef, Record};

use super::missing_pages::Missing;
use super::{Redo, RedoCause};
use crate::Error;
use crate::buffer::{BufferError, PageName};
use crate::slru::FlushLog;

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
        let name = PageName { locator: block.locator, fork: block.fork, block: block.block };
        let redone = if block.applies_image() {
            self.restore(record, block, name)?
        } else {
            self.change(record, name, wanted, change)?
        };
        let count = match redone {
            Redone::Restored => &mut self.counts.images,
            Redone::Changed => &mut self.counts.changed,
            Redone::Already => &mut self.counts.already,
            Redone::Missing => &mut self.counts.missing,
        };
        *count += 1;
        Ok(redone)
    }

    fn restore(
        &mut self,
        record: &Record<'_>,
        block: &BlockRef,
        name: PageName,
    ) -> Result<Redone, RedoCause> {
        self.make_room(name)?;
        let pinned = self.storage.pool.get_to_init(name).map_err(Error::from)?;
        let mut page = pinned.write();
        let bytes = page.bytes_mut();
        image::restore(record, block, bytes)?;
        // A page without a header has no place for an LSN.
        if RawPage::new(bytes).header().upper != 0 {
            PageMut::assume_valid(bytes).set_lsn(record.end());
        }
        Ok(Redone::Restored)
    }

    fn change(
        &mut self,
        record: &Record<'_>,
        name: PageName,
        wanted: Wanted,
        change: impl FnOnce(&mut PageBytes) -> Result<(), RedoCause>,
    ) -> Result<Redone, RedoCause> {
        let pool = &self.storage.pool;
        if wanted != Wanted::Existing {
            self.make_room(name)?;
        }
        let found = match wanted {
            Wanted::New => pool.get_to_init(name),
            Wanted::Existing => pool.get(name),
            Wanted::ExistingOrZero => match pool.get(name) {
                Err(BufferError::Damaged { .. }) => pool.get_to_init(name),
                found => found,
            },
        };
        let pinned = match found {
            Ok(pinned) => pinned,
            Err(BufferError::Read { error, .. }) if is_missing(&error) => {
                self.missing.note(name, Missing { record: record.start(), is_zero: false });
                return Ok(Redone::Missing);
            }
            Err(error) => return Err(Error::from(error).into()),
        };
        let mut page = pinned.write();
        let header = RawPage::new(&page).header();
        if wanted == Wanted::Existing && header.upper == 0 {
            self.missing.note(name, Missing { record: record.start(), is_zero: true });
            return Ok(Redone::Missing);
        }
        if wanted != Wanted::New {
            self.highest_page_lsn = self.highest_page_lsn.max(header.lsn);
            if record.end() <= header.lsn {
                return Ok(Redone::Already);
            }
        }
        let bytes = page.bytes_mut();
        change(bytes)?;
        PageMut::assume_valid(bytes).set_lsn(record.end());
        Ok(Redone::Changed)
    }

    /// What the record does cannot be taken back: whoever recovers again must come as far as this.
    pub(super) fn before_irreversible(&self, end: Lsn) -> Result<(), RedoCause> {
        Ok(FlushLog::flush(&*self.storage.log, end)?)
    }

    /// Sees to it that the fork has the page.
    pub(super) fn make_room(&self, name: PageName) -> Result<(), RedoCause> {
        let PageName { locator, fork, block } = name;
        let files = self.storage.pool.store();
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
}

/// Whether there is no such page, or no such file.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound)
}
