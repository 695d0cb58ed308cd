//! Sources: whatever form a log is stored in, the bytes of its segments come out the same, or it is said
//! what is wrong and where.
//!
//! The logs are synthetic (page headers are right, and between them is filler that compresses about as
//! well as a log does), on a disk in memory that can be told to fail.

mod damage;
mod faults;
mod forms;
mod large;
mod memory_disk;
mod timelines;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use base::{Lsn, PAGE_SIZE};
use memory_disk::MemoryDisk;
use wal::Version;
use wal::page::{FIRST_IS_CONTRECORD, HAS_LONG_HEADER, LongHeader, PageHeader};
use wal::segment::{SegmentNumber, SegmentSize, Timeline};
use wal::source::{Log, Options, Segments, SourceError};

/// The smallest segments, so that tests are quick.
const SIZE: SegmentSize = match SegmentSize::from_bytes(1 << 20) {
    Some(size) => size,
    None => unreachable!(),
};
const SYSTEM: u64 = 7_123_456_789_012_345_678;

/// What a segment is made from.
#[derive(Clone, Copy)]
struct Recipe {
    version: Version,
    size: SegmentSize,
    timeline: u32,
    number: SegmentNumber,
}

impl Recipe {
    fn new(timeline: u32, number: SegmentNumber) -> Recipe {
        Recipe { version: Version::V15, size: SIZE, timeline, number }
    }

    fn name(self) -> String {
        self.size.file_name(Timeline(self.timeline), self.number)
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size.bytes() as usize);
        let mut filler = Filler(self.number * 1000 + u64::from(self.timeline));
        while (bytes.len() as u64) < self.size.bytes() {
            let address = self.size.start_of(self.number) + bytes.len() as u64;
            let is_first = bytes.is_empty();
            let header = PageHeader {
                magic: self.version.page_magic(),
                info: FIRST_IS_CONTRECORD | if is_first { HAS_LONG_HEADER } else { 0 },
                timeline: self.timeline,
                address,
                remaining: 1 << 20,
                long: is_first.then_some(LongHeader {
                    system_identifier: SYSTEM,
                    segment_size: self.size.bytes() as u32,
                    block_size: PAGE_SIZE as u32,
                }),
            };
            let page_end = bytes.len() + PAGE_SIZE;
            bytes.extend_from_slice(&header.encode());
            while bytes.len() < page_end {
                bytes.extend_from_slice(&filler.piece());
            }
            bytes.truncate(page_end);
        }
        bytes
    }
}

/// Half of it zeroes, half of it not to be guessed.
struct Filler(u64);

impl Filler {
    fn piece(&mut self) -> [u8; 16] {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut piece = [0; 16];
        piece[..8].copy_from_slice(&(self.0 ^ self.0 >> 29).to_le_bytes());
        piece
    }
}

fn segment(timeline: u32, number: SegmentNumber) -> Vec<u8> {
    Recipe::new(timeline, number).bytes()
}

fn name(timeline: u32, number: SegmentNumber) -> String {
    Recipe::new(timeline, number).name()
}

/// The compressions, by the ends of names.
const COMPRESSIONS: [&str; 3] = [".gz", ".lz4", ".zst"];

fn compressed(bytes: &[u8], suffix: &str) -> Vec<u8> {
    let write = |bytes: &[u8]| -> std::io::Result<Vec<u8>> {
        match suffix {
            "" => Ok(bytes.to_vec()),
            ".gz" | ".tgz" => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            ".lz4" => {
                let blocks = lz4_flex::frame::BlockSize::Max64KB;
                let info = lz4_flex::frame::FrameInfo::new().block_size(blocks);
                let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(bytes)?;
                Ok(encoder.finish()?)
            }
            ".zst" => zstd::encode_all(bytes, 1),
            _ => panic!("no such compression: {suffix}"),
        }
    };
    write(bytes).expect("compress")
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, path, *bytes).expect("append");
    }
    builder.into_inner().expect("finish")
}

fn open(disk: &Arc<MemoryDisk>, path: &str) -> Result<Log, SourceError> {
    open_with(disk, path, Options::default())
}

fn open_with(disk: &Arc<MemoryDisk>, path: &str, options: Options<'_>) -> Result<Log, SourceError> {
    Log::open(Arc::clone(disk) as _, Path::new(path), options)
}

/// The error that reading gives.
#[track_caller]
fn read_error(log: &Log, number: SegmentNumber) -> String {
    match read_all(log, number) {
        Ok(bytes) => panic!("{} bytes and no error", bytes.len()),
        Err(error) => error,
    }
}

/// Reads as the log's reader does, half a megabyte at a time, until nothing comes any more.
fn read_all(log: &impl Segments, number: SegmentNumber) -> Result<Vec<u8>, String> {
    let file = log.open(number).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0xEE; 512 * 1024];
    loop {
        let wanted = buffer.len().min(log.segment_size().bytes() as usize - bytes.len());
        match file.read_at(&mut buffer[..wanted], bytes.len() as u64) {
            Ok(0) => return Ok(bytes),
            Ok(got) => bytes.extend_from_slice(&buffer[..got]),
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Whether the log's segments are these. Comparing megabytes with `assert_eq` would print them.
#[track_caller]
fn assert_segments(log: &Log, expected: &[(u32, SegmentNumber)]) {
    for &(timeline, number) in expected {
        let read = read_all(log, number);
        let read = read.unwrap_or_else(|error| panic!("segment {number}: {error}"));
        assert!(read == segment(timeline, number), "segment {number} is not that of {timeline}");
        assert_eq!(log.timeline_of(number), Timeline(timeline));
    }
}

#[track_caller]
fn assert_missing(log: &Log, number: SegmentNumber) {
    match log.open(number) {
        Err(SourceError::Missing { name }) => {
            assert_eq!(name, log.segment_size().file_name(log.timeline_of(number), number));
        }
        other => panic!("{other:?}"),
    }
}

fn lsn(number: SegmentNumber, offset: u64) -> Lsn {
    SIZE.start_of(number) + offset
}
