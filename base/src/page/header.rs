//! The 24 bytes at a page's beginning.
//!
//! ```text
//! offset  size  field                offset  size  field
//!      0     4  pd_lsn, high half        14     2  pd_upper
//!      4     4  pd_lsn, low half         16     2  pd_special
//!      8     2  pd_checksum              18     2  page size (high byte), layout version (low)
//!     10     2  pd_flags                 20     4  pd_prune_xid
//!     12     2  pd_lower                 24        line pointers
//! ```
//!
//! Little-endian but for the halves of `pd_lsn`. Source: `PageHeaderData` in `storage/bufpage.h`.
//!
//! Invariant: a [`PageHeader`] holds what was read, whatever it is, and writes the same bytes again;
//! [`PageHeader::check`] says whether it can be used.

use std::mem::{offset_of, size_of};

use super::verify::PageError;
use crate::{Lsn, OffsetNumber, PAGE_SIZE, Xid};

/// Bytes of a page's header (`SizeOfPageHeaderData`).
pub const PAGE_HEADER_SIZE: usize = 24;

/// `pd_pagesize_version` of 8.3 and all later releases: 8192 bytes, layout 4.
const SIZE_AND_VERSION: u16 = PAGE_SIZE as u16 | 4;

bitflags::bitflags! {
    /// `pd_flags`: the names are PostgreSQL's, without `PD_`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
    pub struct PageFlags: u16 {
        /// There may be unused line pointers before the last; a hint.
        const HAS_FREE_LINES = 0x0001;
        /// An update found no room here: pruning is worth a try; a hint.
        const PAGE_FULL = 0x0002;
        /// All tuples are visible to everyone.
        const ALL_VISIBLE = 0x0004;
        // The rest is invalid, and kept as read.
        const _ = !0;
    }
}

impl PageFlags {
    /// The bits that have a meaning (`PD_VALID_FLAG_BITS`).
    pub const VALID: PageFlags =
        PageFlags::HAS_FREE_LINES.union(PageFlags::PAGE_FULL).union(PageFlags::ALL_VISIBLE);
}

/// A page's header (`PageHeaderData`), as read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PageHeader {
    /// End of the last WAL record that changed the page: the log is flushed so far before the page is written.
    pub lsn: Lsn,
    /// See [`page_checksum`](crate::checksum::page_checksum); 0 where there are none.
    pub checksum: u16,
    /// Hints, and whether all is visible.
    pub flags: PageFlags,
    /// End of the line pointers: bytes from the page's beginning.
    pub lower: u16,
    /// Beginning of the items; between the two is free space.
    pub upper: u16,
    /// Beginning of what an index keeps at the end; [`PAGE_SIZE`] in a heap page.
    pub special: u16,
    /// Page size and layout version (`pd_pagesize_version`): their sum, since the size is a multiple of 256.
    pub size_and_version: u16,
    /// The oldest transaction that may have left something to prune; [`Xid::INVALID`] for none.
    pub prune_xid: Xid,
}

/// The header as it lies in a page; only its offsets are used.
#[repr(C)]
pub(super) struct OnDisk {
    lsn_high: u32,
    lsn_low: u32,
    checksum: u16,
    flags: u16,
    lower: u16,
    upper: u16,
    special: u16,
    size_and_version: u16,
    prune_xid: u32,
}

const _: () = {
    assert!(offset_of!(OnDisk, lsn_high) == 0);
    assert!(offset_of!(OnDisk, lsn_low) == 4);
    assert!(offset_of!(OnDisk, checksum) == 8);
    assert!(offset_of!(OnDisk, flags) == 10);
    assert!(offset_of!(OnDisk, lower) == 12);
    assert!(offset_of!(OnDisk, upper) == 14);
    assert!(offset_of!(OnDisk, special) == 16);
    assert!(offset_of!(OnDisk, size_and_version) == 18);
    assert!(offset_of!(OnDisk, prune_xid) == 20);
    assert!(size_of::<OnDisk>() == PAGE_HEADER_SIZE);
};

impl PageHeader {
    /// The header of a page without items whose last `special` bytes are an index's (`PageInit`).
    ///
    /// # Panics
    /// If `special`, rounded up to a multiple of 8, leaves no room for the header.
    pub fn empty(special: usize) -> PageHeader {
        let special = crate::max_align(special as u64) as usize;
        assert!(special <= PAGE_SIZE - PAGE_HEADER_SIZE, "{special} special bytes fit a page");
        PageHeader {
            lsn: Lsn::INVALID,
            checksum: 0,
            flags: PageFlags::empty(),
            lower: PAGE_HEADER_SIZE as u16,
            upper: (PAGE_SIZE - special) as u16,
            special: (PAGE_SIZE - special) as u16,
            size_and_version: SIZE_AND_VERSION,
            prune_xid: Xid::INVALID,
        }
    }

    /// From the bytes at a page's beginning. Every bit pattern is taken as it is.
    #[inline]
    pub const fn from_bytes(bytes: &[u8; PAGE_HEADER_SIZE]) -> PageHeader {
        let b = bytes;
        let high = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as u64;
        let low = u32::from_le_bytes([b[4], b[5], b[6], b[7]]) as u64;
        PageHeader {
            lsn: Lsn(high << 32 | low),
            checksum: u16::from_le_bytes([b[8], b[9]]),
            flags: PageFlags::from_bits_retain(u16::from_le_bytes([b[10], b[11]])),
            lower: u16::from_le_bytes([b[12], b[13]]),
            upper: u16::from_le_bytes([b[14], b[15]]),
            special: u16::from_le_bytes([b[16], b[17]]),
            size_and_version: u16::from_le_bytes([b[18], b[19]]),
            prune_xid: Xid(u32::from_le_bytes([b[20], b[21], b[22], b[23]])),
        }
    }

    /// The bytes that [`PageHeader::from_bytes`] reads.
    #[inline]
    pub const fn to_bytes(&self) -> [u8; PAGE_HEADER_SIZE] {
        let [h0, h1, h2, h3] = ((self.lsn.0 >> 32) as u32).to_le_bytes();
        let [l0, l1, l2, l3] = (self.lsn.0 as u32).to_le_bytes();
        let [c0, c1] = self.checksum.to_le_bytes();
        let [f0, f1] = self.flags.bits().to_le_bytes();
        let [lower0, lower1] = self.lower.to_le_bytes();
        let [upper0, upper1] = self.upper.to_le_bytes();
        let [s0, s1] = self.special.to_le_bytes();
        let [v0, v1] = self.size_and_version.to_le_bytes();
        let [x0, x1, x2, x3] = self.prune_xid.0.to_le_bytes();
        [
            h0, h1, h2, h3, l0, l1, l2, l3, c0, c1, f0, f1, lower0, lower1, upper0, upper1, s0, s1,
            v0, v1, x0, x1, x2, x3,
        ]
    }

    /// The page size that the header claims, in bytes.
    pub const fn page_size(&self) -> u16 {
        self.size_and_version & 0xFF00
    }

    /// The layout version that the header claims.
    pub const fn layout_version(&self) -> u8 {
        self.size_and_version as u8
    }

    /// How many line pointers fit between the header and `lower` (`PageGetMaxOffsetNumber`); 0 where `lower`
    /// is not behind the header, and no more than a page can hold.
    #[inline]
    pub const fn line_pointers(&self) -> OffsetNumber {
        let lower = if self.lower as usize > PAGE_SIZE { PAGE_SIZE } else { self.lower as usize };
        (lower.saturating_sub(PAGE_HEADER_SIZE) / super::LINE_POINTER_SIZE) as OffsetNumber
    }

    /// The checks that `PageIsVerified` makes of a header, and those of size and version.
    ///
    /// # Errors
    /// The first that does not hold.
    #[inline]
    pub fn check(&self) -> Result<(), PageError> {
        let PageHeader { lower, upper, special, .. } = *self;
        if self.size_and_version != SIZE_AND_VERSION {
            let (size, version) = (self.page_size(), self.layout_version());
            return Err(PageError::SizeOrVersion { size, version });
        }
        if !PageFlags::VALID.contains(self.flags) {
            return Err(PageError::Flags { flags: self.flags.bits() });
        }
        let in_order = (PAGE_HEADER_SIZE as u16) <= lower
            && lower <= upper
            && upper <= special
            && usize::from(special) <= PAGE_SIZE;
        if !in_order || special % 8 != 0 {
            return Err(PageError::Bounds { lower, upper, special });
        }
        Ok(())
    }
}
