//! Headers of log pages.
//!
//! ```text
//! offset  size  field             short header: 20 bytes, padded to 24
//!      0     2  xlp_magic         version of the log's format
//!      2     2  xlp_info          flags, see below
//!      4     4  xlp_tli           timeline of the first record on the page
//!      8     8  xlp_pageaddr      position of the page
//!     16     4  xlp_rem_len       bytes left of a record from the page before
//!     20     4  (padding)
//!     24     8  xlp_sysid         long header, first page of a segment: 40 bytes
//!     32     4  xlp_seg_size
//!     36     4  xlp_xlog_blcksz
//! ```
//!
//! All integers are little-endian. Source: `access/xlog_internal.h`. Invariant: a [`PageHeader`] has been
//! read, not checked; [`PageHeader::check`] compares it with the place where it stands.

use base::{Lsn, PAGE_SIZE};

use crate::error::PageFault;
use crate::segment::SegmentSize;
use crate::version::Version;

/// Size of a short page header in bytes, padding included.
pub const SHORT_HEADER_SIZE: usize = 24;
/// Size of a long page header in bytes.
pub const LONG_HEADER_SIZE: usize = 40;

/// `XLP_FIRST_IS_CONTRECORD`: the page begins with the rest of a record.
pub const FIRST_IS_CONTRECORD: u16 = 0x0001;
/// `XLP_LONG_HEADER`: the header is a long one.
pub const HAS_LONG_HEADER: u16 = 0x0002;
/// `XLP_BKP_REMOVABLE`: images may be left out by an archiver.
pub const BACKUP_REMOVABLE: u16 = 0x0004;
/// `XLP_FIRST_IS_OVERWRITE_CONTRECORD`: the rest of a record should be here and was lost in a crash.
pub const FIRST_IS_OVERWRITE_CONTRECORD: u16 = 0x0008;
const ALL_FLAGS: u16 = 0x000F;

/// A page header as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    /// `xlp_magic`
    pub magic: u16,
    /// `xlp_info`
    pub info: u16,
    /// `xlp_tli`
    pub timeline: u32,
    /// `xlp_pageaddr`
    pub address: Lsn,
    /// `xlp_rem_len`, in bytes
    pub remaining: u32,
    /// The long header's fields, where the flag says that it is one.
    pub long: Option<LongHeader>,
}

/// What only the first page of a segment carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongHeader {
    /// `xlp_sysid`
    pub system_identifier: u64,
    /// `xlp_seg_size`, in bytes
    pub segment_size: u32,
    /// `xlp_xlog_blcksz`, in bytes
    pub block_size: u32,
}

/// What a page header is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The log's version.
    pub version: Version,
    /// The log's segment size.
    pub segment_size: SegmentSize,
    /// The system's identifier, where it is known.
    pub system_identifier: Option<u64>,
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

impl PageHeader {
    /// Reads the header at the start of `page`; `None` if the bytes do not suffice for it.
    #[inline]
    pub fn read(page: &[u8]) -> Option<PageHeader> {
        let short: &[u8; SHORT_HEADER_SIZE] = page.first_chunk()?;
        let info = u16::from_le_bytes(field(short, 2)?);
        let long = if info & HAS_LONG_HEADER != 0 {
            let long: &[u8; LONG_HEADER_SIZE] = page.first_chunk()?;
            Some(LongHeader {
                system_identifier: u64::from_le_bytes(field(long, 24)?),
                segment_size: u32::from_le_bytes(field(long, 32)?),
                block_size: u32::from_le_bytes(field(long, 36)?),
            })
        } else {
            None
        };
        Some(PageHeader {
            magic: u16::from_le_bytes(field(short, 0)?),
            info,
            timeline: u32::from_le_bytes(field(short, 4)?),
            address: Lsn(u64::from_le_bytes(field(short, 8)?)),
            remaining: u32::from_le_bytes(field(short, 16)?),
            long,
        })
    }

    /// The bytes of the header; padding is zero.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LONG_HEADER_SIZE);
        bytes.extend_from_slice(&self.magic.to_le_bytes());
        bytes.extend_from_slice(&self.info.to_le_bytes());
        bytes.extend_from_slice(&self.timeline.to_le_bytes());
        bytes.extend_from_slice(&self.address.0.to_le_bytes());
        bytes.extend_from_slice(&self.remaining.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        if let Some(long) = self.long {
            bytes.extend_from_slice(&long.system_identifier.to_le_bytes());
            bytes.extend_from_slice(&long.segment_size.to_le_bytes());
            bytes.extend_from_slice(&long.block_size.to_le_bytes());
        }
        bytes
    }

    /// Size of the header in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        if self.info & HAS_LONG_HEADER != 0 { LONG_HEADER_SIZE } else { SHORT_HEADER_SIZE }
    }

    /// Whether the page begins with the rest of a record.
    #[inline]
    pub fn continues_record(&self) -> bool {
        self.info & FIRST_IS_CONTRECORD != 0
    }

    /// Whether the page stands where the rest of a lost record would have stood.
    #[inline]
    pub fn overwrites_record(&self) -> bool {
        self.info & FIRST_IS_OVERWRITE_CONTRECORD != 0
    }

    /// Checks that this is the header of the page at `at`, in PostgreSQL's order of checks
    /// (`XLogReaderValidatePageHeader`); the order of timelines is the reader's to check.
    ///
    /// # Errors
    /// The first check that fails.
    #[inline]
    pub fn check(&self, at: Lsn, expected: &Expected) -> Result<(), PageFault> {
        debug_assert_eq!(at.page_offset(), 0);
        if self.magic != expected.version.page_magic() {
            return Err(PageFault::Magic(self.magic));
        }
        if self.info & !ALL_FLAGS != 0 {
            return Err(PageFault::InfoBits(self.info));
        }
        if let Some(long) = &self.long {
            if let Some(identifier) = expected.system_identifier
                && identifier != long.system_identifier
            {
                return Err(PageFault::SystemIdentifier {
                    page: long.system_identifier,
                    expected: identifier,
                });
            }
            if u64::from(long.segment_size) != expected.segment_size.bytes() {
                return Err(PageFault::SegmentSize);
            }
            if long.block_size as usize != PAGE_SIZE {
                return Err(PageFault::BlockSize);
            }
        } else if expected.segment_size.offset_of(at) == 0 {
            return Err(PageFault::InfoBits(self.info));
        }
        if self.address != at {
            return Err(PageFault::Address(self.address));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_round_trips(
            magic: u16, info: u16, timeline: u32, address: u64, remaining: u32, sysid: u64,
        ) {
            let long = (info & HAS_LONG_HEADER != 0).then_some(LongHeader {
                system_identifier: sysid, segment_size: 1 << 24, block_size: 8192,
            });
            let header =
                PageHeader { magic, info, timeline, address: Lsn(address), remaining, long };
            let bytes = header.encode();
            prop_assert_eq!(bytes.len(), header.size());
            prop_assert_eq!(PageHeader::read(&bytes), Some(header));
            prop_assert_eq!(PageHeader::read(&bytes[..bytes.len() - 1]), None);
        }
    }
}
