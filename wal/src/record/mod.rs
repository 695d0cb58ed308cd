//! A record: its header, its block references, its main data.
//!
//! ```text
//! offset  size  field           XLogRecord, 24 bytes
//!      0     4  xl_tot_len      of the whole record, header included
//!      4     4  xl_xid
//!      8     8  xl_prev         position of the record before
//!     16     1  xl_info         high half: the resource manager's; low half: flags
//!     17     1  xl_rmid
//!     18     2  (padding)
//!     20     4  xl_crc          CRC-32C of everything behind the header, then of bytes 0..20
//!     24        headers of the parts (block references in ascending order of id, origin, top-level
//!               xid, main data), then the parts in the same order: of each block image, then data
//! ```
//!
//! Source: `access/xlogrecord.h`, `DecodeXLogRecord`. Invariants: a [`RawRecord`] is complete, its header
//! and checksum are right, its inside is unknown; a [`Record`] comes from [`Decoder::decode`] alone and
//! its parts lie within its bytes, their lengths add up, its images fit a page, its forks exist.

mod decode;

use base::{BlockNumber, ForkNumber, Lsn, RelFileLocator, Xid};

use crate::version::Version;

pub use decode::Decoder;
pub(crate) use decode::{References, Seen, Wanted};

/// Size of a record's header in bytes.
pub const HEADER_SIZE: usize = 24;
/// The highest block id (`XLR_MAX_BLOCK_ID`).
pub const MAX_BLOCK_ID: u8 = 32;
/// The longest record that 16 and later write (`XLogRecordMaxSize`). 15 has no such limit of its own, but
/// can allocate no more than 1 GiB - 1 to read one.
pub const MAX_LENGTH: u32 = 1020 * 1024 * 1024;

/// `XLR_SPECIAL_REL_UPDATE`: changes relation files outside its block references.
pub const SPECIAL_REL_UPDATE: u8 = 0x01;
/// `XLR_CHECK_CONSISTENCY`: images are there to be compared after replay.
pub const CHECK_CONSISTENCY: u8 = 0x02;

/// `BKPBLOCK_HAS_IMAGE`
pub const BLOCK_HAS_IMAGE: u8 = 0x10;
/// `BKPBLOCK_HAS_DATA`
pub const BLOCK_HAS_DATA: u8 = 0x20;
/// `BKPBLOCK_WILL_INIT`: redo makes the page anew.
pub const BLOCK_WILL_INIT: u8 = 0x40;
/// `BKPBLOCK_SAME_REL`: the relation is the one of the reference before.
pub const BLOCK_SAME_REL: u8 = 0x80;
const BLOCK_FORK_MASK: u8 = 0x0F;

/// `BKPIMAGE_HAS_HOLE`
pub const IMAGE_HAS_HOLE: u8 = 0x01;
/// `BKPIMAGE_APPLY`: redo restores the image.
pub const IMAGE_APPLY: u8 = 0x02;
/// `BKPIMAGE_COMPRESS_PGLZ`
pub const IMAGE_PGLZ: u8 = 0x04;
/// `BKPIMAGE_COMPRESS_LZ4`
pub const IMAGE_LZ4: u8 = 0x08;
/// `BKPIMAGE_COMPRESS_ZSTD`
pub const IMAGE_ZSTD: u8 = 0x10;
/// `BKPIMAGE_COMPRESSED`
pub const IMAGE_COMPRESSED: u8 = IMAGE_PGLZ | IMAGE_LZ4 | IMAGE_ZSTD;

pub(crate) const ID_DATA_SHORT: u8 = 255;
pub(crate) const ID_DATA_LONG: u8 = 254;
pub(crate) const ID_ORIGIN: u8 = 253;
pub(crate) const ID_TOPLEVEL_XID: u8 = 252;

/// A record's header as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// `xl_tot_len`, in bytes
    pub total_length: u32,
    /// `xl_xid`
    pub xid: Xid,
    /// `xl_prev`
    pub previous: Lsn,
    /// `xl_info`
    pub info: u8,
    /// `xl_rmid`
    pub rmid: u8,
    /// `xl_crc`
    pub crc: u32,
}

impl RecordHeader {
    /// From its 24 bytes.
    #[inline]
    pub fn read(bytes: &[u8; HEADER_SIZE]) -> RecordHeader {
        let [l0, l1, l2, l3, x0, x1, x2, x3, p @ .., info, rmid, _, _, c0, c1, c2, c3] = *bytes;
        RecordHeader {
            total_length: u32::from_le_bytes([l0, l1, l2, l3]),
            xid: Xid(u32::from_le_bytes([x0, x1, x2, x3])),
            previous: Lsn(u64::from_le_bytes(p)),
            info,
            rmid,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        }
    }

    /// The header's bytes; padding is zero.
    pub fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0..4].copy_from_slice(&self.total_length.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.xid.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.previous.0.to_le_bytes());
        bytes[16] = self.info;
        bytes[17] = self.rmid;
        bytes[20..24].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }
}

/// A complete record whose header and checksum are right, and whose inside is unknown.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// The log's version.
    pub version: Version,
    /// Where it starts.
    pub start: Lsn,
    /// Where the next one starts or, at the end of a page, that page's end: PostgreSQL's `EndRecPtr`.
    pub end: Lsn,
    /// Its header, already read.
    pub header: RecordHeader,
    /// All of it; `header.total_length` bytes.
    pub bytes: &'a [u8],
}

/// A reference to a block of a relation, with what the record carries for it. The lengths and positions
/// are within the record that it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Which file the block is in.
    pub locator: RelFileLocator,
    /// Number of the block.
    pub block: BlockNumber,
    /// Fork of the relation.
    pub fork: ForkNumber,
    /// The reference's id: 0 to 32, ascending within a record, not always without gaps.
    pub id: u8,
    /// `fork_flags`, the `BLOCK_*` bits among them.
    pub flags: u8,
    /// `bimg_info`, the `IMAGE_*` bits; 0 without an image.
    pub image_info: u8,
    /// Length of the image as stored, in bytes; 0 without one.
    pub image_length: u16,
    /// Where the hole begins in the page.
    pub hole_offset: u16,
    /// Length of the hole in bytes.
    pub hole_length: u16,
    /// Length of the block's data in bytes.
    pub data_length: u16,
    /// Where its image lies behind the headers of the record's parts; its data follows.
    parts_at: u32,
}

impl BlockRef {
    /// Whether a full-page image comes with it.
    #[inline]
    pub fn has_image(&self) -> bool {
        self.flags & BLOCK_HAS_IMAGE != 0
    }

    /// Whether redo restores the image, rather than only comparing it.
    #[inline]
    pub fn applies_image(&self) -> bool {
        self.image_info & IMAGE_APPLY != 0
    }

    /// Whether the image is compressed.
    #[inline]
    pub fn is_compressed(&self) -> bool {
        self.image_info & IMAGE_COMPRESSED != 0
    }
}

/// A record that has passed every check.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    raw: RawRecord<'a>,
    blocks: &'a [BlockRef],
    /// Where the parts themselves begin.
    parts_at: u32,
    main_length: u32,
    image_length: u32,
    /// Replication origin, 0 for none.
    origin: u16,
    toplevel_xid: Xid,
}

impl<'a> Record<'a> {
    /// The log's version.
    #[inline]
    pub fn version(&self) -> Version {
        self.raw.version
    }

    /// Where it starts.
    #[inline]
    pub fn start(&self) -> Lsn {
        self.raw.start
    }

    /// Where it ends (`EndRecPtr`): aligned to 8 bytes, at the segment's end behind a switch.
    #[inline]
    pub fn end(&self) -> Lsn {
        self.raw.end
    }

    /// Its header.
    #[inline]
    pub fn header(&self) -> &RecordHeader {
        &self.raw.header
    }

    /// Id of its resource manager.
    #[inline]
    pub fn rmid(&self) -> u8 {
        self.raw.header.rmid
    }

    /// The resource manager's half of the info byte: `xl_info & 0xF0`.
    #[inline]
    pub fn info(&self) -> u8 {
        self.raw.header.info & 0xF0
    }

    /// Its transaction, [`Xid::INVALID`] for none.
    #[inline]
    pub fn xid(&self) -> Xid {
        self.raw.header.xid
    }

    /// Position of the record before.
    #[inline]
    pub fn previous(&self) -> Lsn {
        self.raw.header.previous
    }

    /// All its bytes, header included.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.raw.bytes
    }

    /// Its block references, by ascending id. Look one up by id, never by its place here.
    #[inline]
    pub fn blocks(&self) -> &'a [BlockRef] {
        self.blocks
    }

    /// The block reference `id`.
    #[inline]
    pub fn block(&self, id: u8) -> Option<&'a BlockRef> {
        self.blocks.iter().find(|block| block.id == id)
    }

    /// What only the resource manager understands.
    #[inline]
    pub fn main_data(&self) -> &'a [u8] {
        // By convention the last part, to the end of the record.
        &self.raw.bytes[self.raw.bytes.len() - self.main_length as usize..]
    }

    /// The data of one of its block references; empty if it has none.
    #[inline]
    pub fn block_data(&self, block: &BlockRef) -> &'a [u8] {
        let at = self.parts_at + block.parts_at + u32::from(block.image_length);
        &self.raw.bytes[at as usize..][..usize::from(block.data_length)]
    }

    /// The image of one of its block references as stored; empty if it has none.
    #[inline]
    pub fn image_data(&self, block: &BlockRef) -> &'a [u8] {
        let at = self.parts_at + block.parts_at;
        &self.raw.bytes[at as usize..][..usize::from(block.image_length)]
    }

    /// The replication origin that it came from, if any (`xl_replorigin`).
    #[inline]
    pub fn origin(&self) -> Option<u16> {
        (self.origin != 0).then_some(self.origin)
    }

    /// The top-level transaction, where a subtransaction's record first names it.
    #[inline]
    pub fn toplevel_xid(&self) -> Option<Xid> {
        (!self.toplevel_xid.is_invalid()).then_some(self.toplevel_xid)
    }

    /// Length of all images as stored, in bytes.
    #[inline]
    pub fn image_length(&self) -> u32 {
        self.image_length
    }

    /// What is counted of it.
    #[inline]
    pub fn outline(&self) -> Outline {
        Outline {
            start: self.raw.start,
            end: self.raw.end,
            header: self.raw.header,
            image_length: self.image_length,
            main_data_length: self.main_length,
        }
    }
}

/// What is counted of a record that has passed every check; its parts were looked at and not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Where it starts.
    pub start: Lsn,
    /// Where it ends, as [`Record::end`] has it.
    pub end: Lsn,
    /// Its header.
    pub header: RecordHeader,
    /// Length of all its images as stored, in bytes.
    pub image_length: u32,
    /// Length of its main data in bytes.
    pub main_data_length: u32,
}
