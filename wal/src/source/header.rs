//! The first page of a segment, which tells what log the segment is of.
//!
//! Invariant: a [`FirstPage`] is of a version that is known here, and its sizes are legal; whether its
//! address is the right one is the reader's to check.

use std::path::Path;

use base::disk::DiskFile;
use base::{Lsn, PAGE_SIZE};

use super::SourceError;
use super::catalog::io_error;
use super::name::Compression;
use crate::page::{LONG_HEADER_SIZE, PageHeader};
use crate::segment::{SegmentFileName, SegmentSize, Timeline};
use crate::version::Version;

/// What the first page of a segment says of the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstPage {
    pub(super) version: Version,
    pub(super) segment_size: SegmentSize,
    pub(super) system_identifier: u64,
    timeline: Timeline,
    address: Lsn,
}

/// Why a file is no segment that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirstPageFault {
    /// Fewer bytes than a page header.
    #[error("it holds {0} bytes, less than a page header")]
    Short(usize),
    /// No page, or one of a version that is not known.
    #[error("page magic {0:04X} is of none of PostgreSQL 15 to 18")]
    Magic(u16),
    /// The first page does not say what only first pages do.
    #[error("its first page has no long header")]
    NoLongHeader,
    /// Not a power of two from 1 MB to 1 GB.
    #[error(
        "its header specifies a WAL segment size of {0} bytes, which is no power of two between \
         1 MB and 1 GB"
    )]
    SegmentSize(u32),
    /// Built with other pages.
    #[error("its header specifies a WAL block size of {0} bytes, and only 8192 is read")]
    BlockSize(u32),
}

impl FirstPage {
    /// Reads it from a segment's file.
    pub(super) fn read(file: &dyn DiskFile, path: &Path) -> Result<FirstPage, SourceError> {
        let mut bytes = [0; LONG_HEADER_SIZE];
        let got = file.read_at(&mut bytes, 0).map_err(|error| io_error(path, error))?;
        FirstPage::parse(&bytes[..got])
            .map_err(|fault| SourceError::NotASegment { path: path.display().to_string(), fault })
    }

    fn parse(bytes: &[u8]) -> Result<FirstPage, FirstPageFault> {
        let header = PageHeader::read(bytes).ok_or(FirstPageFault::Short(bytes.len()))?;
        let version = Version::from_page_magic(header.magic);
        let version = version.ok_or(FirstPageFault::Magic(header.magic))?;
        let long = header.long.ok_or(FirstPageFault::NoLongHeader)?;
        let size = SegmentSize::from_bytes(u64::from(long.segment_size));
        let segment_size = size.ok_or(FirstPageFault::SegmentSize(long.segment_size))?;
        if long.block_size as usize != PAGE_SIZE {
            return Err(FirstPageFault::BlockSize(long.block_size));
        }
        Ok(FirstPage {
            version,
            segment_size,
            system_identifier: long.system_identifier,
            timeline: Timeline(header.timeline),
            address: header.address,
        })
    }

    /// The name that a file with this first page has.
    pub(super) fn file_name(&self) -> SegmentFileName {
        SegmentFileName {
            timeline: self.timeline,
            log_id: (self.address.0 >> 32) as u32,
            segment: self.segment_size.number_of(Lsn(u64::from(self.address.0 as u32))) as u32,
        }
    }
}

/// How a file that has a plain segment's name is compressed all the same, as Barman keeps them.
pub(super) fn hidden_compression(file: &dyn DiskFile) -> Option<Compression> {
    let mut magic = [0; 4];
    // An error here comes again when the file is read.
    match file.read_at(&mut magic, 0) {
        Ok(4) => Compression::of_magic(magic),
        _ => None,
    }
}
