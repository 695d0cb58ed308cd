//! Headers of new log pages: always those of PostgreSQL 15.

use base::{Lsn, PAGE_SIZE};

use super::layout::Layout;
use crate::page::{BACKUP_REMOVABLE, HAS_LONG_HEADER, LONG_HEADER_SIZE};
use crate::version::Version;

/// What all headers of a log have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageHeaders {
    layout: Layout,
    timeline: u32,
    system_identifier: u64,
}

impl PageHeaders {
    pub(super) const fn new(layout: Layout, timeline: u32, system_identifier: u64) -> PageHeaders {
        PageHeaders { layout, timeline, system_identifier }
    }

    /// The header of the page at `page`, on which `left` bytes of a record remain, and its size; the byte map
    /// is that of [`crate::page`].
    pub(super) fn of(&self, page: Lsn, flags: u16, left: u64) -> ([u8; LONG_HEADER_SIZE], usize) {
        let mut bytes = [0; LONG_HEADER_SIZE];
        let size = self.layout.header_size(page) as usize;
        let is_long = size == LONG_HEADER_SIZE;
        // As the server says outside of a backup that is being taken.
        let info = flags | BACKUP_REMOVABLE | if is_long { HAS_LONG_HEADER } else { 0 };
        bytes[0..2].copy_from_slice(&Version::V15.page_magic().to_le_bytes());
        bytes[2..4].copy_from_slice(&info.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.timeline.to_le_bytes());
        bytes[8..16].copy_from_slice(&page.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&(left as u32).to_le_bytes());
        if is_long {
            bytes[24..32].copy_from_slice(&self.system_identifier.to_le_bytes());
            bytes[32..36].copy_from_slice(&(self.layout.segment() as u32).to_le_bytes());
            bytes[36..40].copy_from_slice(&(PAGE_SIZE as u32).to_le_bytes());
        }
        (bytes, size)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::page::{FIRST_IS_CONTRECORD, LongHeader, PageHeader};

    #[test]
    fn headers_are_those_that_are_read() {
        let headers = PageHeaders::new(Layout::new(1 << 24), 3, 77);
        for (page, flags, left) in
            [(Lsn(0x100_0000), 0, 0), (Lsn(0x100_2000), FIRST_IS_CONTRECORD, 99)]
        {
            let (bytes, size) = headers.of(page, flags, left);
            let long = page.0.is_multiple_of(1 << 24).then_some(LongHeader {
                system_identifier: 77,
                segment_size: 1 << 24,
                block_size: 8192,
            });
            let header = PageHeader {
                magic: 0xD110,
                info: flags | BACKUP_REMOVABLE | if long.is_some() { HAS_LONG_HEADER } else { 0 },
                timeline: 3,
                address: page,
                remaining: left as u32,
                long,
            };
            assert_eq!(PageHeader::read(&bytes[..size]), Some(header));
            assert_eq!(bytes[..size], header.encode());
        }
    }
}
