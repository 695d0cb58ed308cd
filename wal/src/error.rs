//! What can be wrong with log pages and records, in PostgreSQL's own words.
//!
//! The texts are those of `xlogreader.c`, so that a message can be compared with `pg_waldump`'s; where the
//! wording changed with 16, the error knows which version's log it was found in. The checks that PostgreSQL
//! leaves out have texts of the same style and are marked so.

use std::fmt;

use base::Lsn;

use crate::version::Version;

/// A page header that does not belong where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageError {
    /// The version whose wording is used.
    pub version: Version,
    /// Name of the segment's file.
    pub segment: String,
    /// Where the page was expected to lie.
    pub page: Lsn,
    /// Its offset in the segment, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub fault: PageFault,
}

/// What is wrong with a page header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageFault {
    /// `xlp_magic` is not this version's.
    Magic(u16),
    /// `xlp_info` has unknown bits, or no long header where one must be.
    InfoBits(u16),
    /// `xlp_sysid` is another system's.
    SystemIdentifier {
        /// As on the page.
        page: u64,
        /// As expected.
        expected: u64,
    },
    /// `xlp_seg_size` is not the log's.
    SegmentSize,
    /// `xlp_xlog_blcksz` is not 8192.
    BlockSize,
    /// `xlp_pageaddr` is another page's: the ordinary look of a recycled segment.
    Address(Lsn),
    /// `xlp_tli` is lower than an earlier page's.
    Timeline {
        /// As on the page.
        page: u32,
        /// The earlier page's.
        after: u32,
    },
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            PageFault::Magic(magic) => write!(f, "invalid magic number {magic:04X}")?,
            PageFault::InfoBits(bits) => write!(f, "invalid info bits {bits:04X}")?,
            PageFault::SystemIdentifier { page, expected } => {
                return write!(
                    f,
                    "WAL file is from different database system: WAL file database system identifier \
                     is {page}, pg_control database system identifier is {expected}"
                );
            }
            PageFault::SegmentSize => {
                return f.write_str(
                    "WAL file is from different database system: incorrect segment size in page header",
                );
            }
            PageFault::BlockSize => {
                return f.write_str(
                    "WAL file is from different database system: incorrect XLOG_BLCKSZ in page header",
                );
            }
            PageFault::Address(lsn) => write!(f, "unexpected pageaddr {lsn}")?,
            PageFault::Timeline { page, after } => {
                write!(f, "out-of-sequence timeline ID {page} (after {after})")?;
            }
        }
        match self.version {
            Version::V15 => write!(f, " in log segment {}, offset {}", self.segment, self.offset),
            _ => write!(
                f,
                " in WAL segment {}, LSN {}, offset {}",
                self.segment, self.page, self.offset
            ),
        }
    }
}

impl std::error::Error for PageError {}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The position lies inside a page header.
    #[error("{}", offset_text(*.version, *.at, *.header_size, *.offset))]
    InvalidOffset {
        /// The version whose wording is used.
        version: Version,
        /// The position.
        at: Lsn,
        /// Size of the page's header, in bytes.
        header_size: usize,
        /// The position's offset in its page.
        offset: usize,
    },
    /// The position is the rest of a record that began on an earlier page.
    #[error("contrecord is requested by {at}")]
    ContrecordRequested {
        /// The position.
        at: Lsn,
    },
    /// `xl_tot_len` is smaller than a record's header. With `got` 0 this is how a log ordinarily ends.
    #[error("{}", length_text(*.version, *.at, *.got))]
    InvalidLength {
        /// The version whose wording is used.
        version: Version,
        /// Position of the record.
        at: Lsn,
        /// The length found.
        got: u32,
    },
    /// `xl_tot_len` is larger than any record may be. PostgreSQL 15 has no such check.
    #[error("record length {got} at {at} exceeds the maximum of {maximum}")]
    TooLong {
        /// Position of the record.
        at: Lsn,
        /// The length found.
        got: u32,
        /// The largest legal length.
        maximum: u32,
    },
    /// The record continues on a page that does not say so.
    #[error("there is no contrecord flag at {at}")]
    NoContrecordFlag {
        /// Position of the record.
        at: Lsn,
    },
    /// The page's remaining length does not fit the record's total length.
    #[error("invalid contrecord length {got} (expected {expected}) at {at}")]
    InvalidContrecordLength {
        /// Position of the record.
        at: Lsn,
        /// `xlp_rem_len`.
        got: u32,
        /// What the record's length asks for.
        expected: i64,
    },
    /// `xl_rmid` is neither built in nor custom.
    #[error("invalid resource manager ID {rmid} at {at}")]
    InvalidResourceManager {
        /// Position of the record.
        at: Lsn,
        /// The id found.
        rmid: u8,
    },
    /// `xl_prev` does not point to the record before.
    #[error("record with incorrect prev-link {previous} at {at}")]
    IncorrectPrevLink {
        /// Position of the record.
        at: Lsn,
        /// The link found.
        previous: Lsn,
    },
    /// `xl_crc` does not fit the record's bytes.
    #[error("incorrect resource manager data checksum in record at {at}")]
    IncorrectChecksum {
        /// Position of the record.
        at: Lsn,
    },
    /// A page header on the way is wrong.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The parts of a whole record contradict each other.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

fn offset_text(version: Version, at: Lsn, header_size: usize, offset: usize) -> String {
    match version {
        Version::V15 => format!("invalid record offset at {at}"),
        _ => {
            format!("invalid record offset at {at}: expected at least {header_size}, got {offset}")
        }
    }
}

fn length_text(version: Version, at: Lsn, got: u32) -> String {
    match version {
        Version::V15 => format!("invalid record length at {at}: wanted 24, got {got}"),
        _ => format!("invalid record length at {at}: expected at least 24, got {got}"),
    }
}

/// A contradiction within a record whose checksum is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// Position of the record.
    pub record: Lsn,
    /// The position that PostgreSQL's text names: the record's, or that of the last one read before.
    pub reported: Lsn,
    /// What is wrong.
    pub fault: DecodeFault,
}

/// What contradicts what in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeFault {
    /// A block id is not above the one before.
    OutOfOrderBlockId(u8),
    /// A block claims data of length 0.
    HasDataWithoutData,
    /// A block claims no data, with a length.
    DataWithoutHasData(u16),
    /// The image's hole flag does not fit its numbers.
    HasHole {
        /// `hole_offset`.
        offset: u16,
        /// `hole_length`.
        length: u16,
        /// Length of the image as stored.
        image: u16,
    },
    /// The image has no hole flag, but a hole.
    NoHole {
        /// `hole_offset`.
        offset: u16,
        /// `hole_length`.
        length: u16,
    },
    /// A compressed image is as long as a page.
    CompressedFullLength(u16),
    /// An image with neither hole nor compression is shorter than a page. As in PostgreSQL, the text
    /// gives the length of the block's data.
    PlainShort(u16),
    /// A block says "same relation" and is the first.
    NoPreviousRelation,
    /// An id between the last block id and the special ones.
    InvalidBlockId(u8),
    /// The parts' lengths do not add up to the record's.
    InvalidLength,
    /// An image is longer than a page. PostgreSQL leaves this check out.
    ImageTooLong(u16),
    /// A hole reaches beyond the page. PostgreSQL leaves this check out.
    HoleBeyondPage {
        /// `hole_offset`.
        offset: u16,
        /// `hole_length`.
        length: u16,
    },
    /// The sum of the parts' lengths overflows. PostgreSQL leaves this check out.
    LengthOverflow,
    /// A fork number that no version uses. PostgreSQL leaves this check out.
    InvalidFork(u8),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use DecodeFault as Fault;
        let at = self.reported;
        match self.fault {
            Fault::OutOfOrderBlockId(id) => write!(f, "out-of-order block_id {id} at {at}"),
            Fault::HasDataWithoutData => {
                write!(f, "BKPBLOCK_HAS_DATA set, but no data included at {at}")
            }
            Fault::DataWithoutHasData(length) => {
                write!(f, "BKPBLOCK_HAS_DATA not set, but data length is {length} at {at}")
            }
            Fault::HasHole { offset, length, image } => write!(
                f,
                "BKPIMAGE_HAS_HOLE set, but hole offset {offset} length {length} block image length \
                 {image} at {at}"
            ),
            Fault::NoHole { offset, length } => write!(
                f,
                "BKPIMAGE_HAS_HOLE not set, but hole offset {offset} length {length} at {at}"
            ),
            Fault::CompressedFullLength(length) => {
                write!(f, "BKPIMAGE_COMPRESSED set, but block image length {length} at {at}")
            }
            Fault::PlainShort(length) => write!(
                f,
                "neither BKPIMAGE_HAS_HOLE nor BKPIMAGE_COMPRESSED set, but block image length is \
                 {length} at {at}"
            ),
            Fault::NoPreviousRelation => {
                write!(f, "BKPBLOCK_SAME_REL set but no previous rel at {at}")
            }
            Fault::InvalidBlockId(id) => write!(f, "invalid block_id {id} at {at}"),
            Fault::InvalidLength => write!(f, "record with invalid length at {at}"),
            Fault::ImageTooLong(length) => {
                write!(f, "block image length {length} exceeds the block size at {}", self.record)
            }
            Fault::HoleBeyondPage { offset, length } => write!(
                f,
                "hole offset {offset} length {length} reaches beyond the block at {}",
                self.record
            ),
            Fault::LengthOverflow => {
                write!(f, "lengths of the parts of the record overflow at {}", self.record)
            }
            Fault::InvalidFork(fork) => write!(f, "invalid fork number {fork} at {}", self.record),
        }
    }
}

impl std::error::Error for DecodeError {}
