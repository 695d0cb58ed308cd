//! Images of pages, logged for their own sake: of one that has changed in hints alone (`MarkBufferDirtyHint`), and of one
//! that the log does not know yet (`log_newpage_buffer`).
//!
//! With checksums, a page that has changed in hints and was not logged since the redo point is logged with its image: a torn
//! write would otherwise break the checksum. Invariant: the caller has the page locked to change it, and stamps it.

use base::page::PageBytes;
use base::{Lsn, RawPage, Xid};
use wal::write::{ImageChoice, Inserter, LogError, NewBlock, NewRecord};

use super::Storage;
use crate::buffer::PageName;

const XLOG: u8 = 0;
/// `XLOG_FPI`
const IMAGE: u8 = 0xB0;
/// `XLOG_FPI_FOR_HINT`
const IMAGE_FOR_HINT: u8 = 0xA0;

/// Of which page an image is to be logged, and for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageImage {
    /// The transaction's, if it has one.
    pub(crate) xid: Xid,
    /// The page.
    pub(crate) name: PageName,
    /// Whether there is nothing between the header's `lower` and `upper`.
    pub(crate) is_standard: bool,
}

impl Storage {
    /// Whether a record that changes a page of this LSN would take its image.
    pub(crate) fn needs_image(&self, lsn: Lsn) -> bool {
        let writes = self.log.log().page_writes();
        writes.are_on && lsn <= writes.redo
    }

    /// Logs the image where that is needed; what the page is to be stamped with then.
    ///
    /// # Errors
    /// Where the log is stopped.
    pub(crate) fn log_hint(
        &self,
        inserter: &mut Inserter,
        image: PageImage,
        page: &PageBytes,
    ) -> Result<Option<Lsn>, LogError> {
        let lsn = RawPage::new(page).header().lsn;
        if !self.needs_image(lsn) || !self.has_checksums() {
            return Ok(None);
        }
        self.log_image(inserter, image, page, (ImageChoice::IfOlder, IMAGE_FOR_HINT)).map(Some)
    }

    /// Logs a page as a whole; what it is to be stamped with then.
    ///
    /// # Errors
    /// Where the log is stopped.
    pub(crate) fn log_page(
        &self,
        inserter: &mut Inserter,
        image: PageImage,
        page: &PageBytes,
    ) -> Result<Lsn, LogError> {
        self.log_image(inserter, image, page, (ImageChoice::Always, IMAGE))
    }

    fn log_image(
        &self,
        inserter: &mut Inserter,
        PageImage { xid, name, is_standard }: PageImage,
        page: &PageBytes,
        (image, info): (ImageChoice, u8),
    ) -> Result<Lsn, LogError> {
        let block = NewBlock {
            image,
            is_standard,
            page: Some(page),
            ..NewBlock::new(0, name.locator, name.fork, name.block)
        };
        let blocks = [block];
        let record = NewRecord { xid, blocks: &blocks, ..NewRecord::new(XLOG, info) };
        Ok(self.log.log().insert(inserter, &record)?.end)
    }
}
