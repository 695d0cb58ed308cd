//! Logs made up in memory, for tests and fuzz targets: any records, laid over pages and segments as the
//! server lays them, with right headers, links and checksums; and ways to damage them.
//!
//! [`Draft`] is a record in the making, [`LogBuilder`] lays records into pages, [`MemoryLog`] is the log
//! that the reader reads. Pages that were never written read as zeroes, so that a segment of 1 GiB costs
//! only the pages that it uses.
//!
//! Invariants: what [`LogBuilder`] writes is a sound log; every damage is asked for by name on
//! [`MemoryLog`]. (The fuzz crate has this file as a module of its own.)

#![allow(dead_code, reason = "each of the crates that include this file uses a part of it")]

use std::collections::BTreeMap;
use std::io;

use base::disk::DiskFile;
use base::sync::Arc;
use base::{Lsn, PAGE_SIZE, RelFileLocator, Xid, max_align};
use wal::crc;
use wal::page::{self, LongHeader, PageHeader};
use wal::record::{
    BLOCK_HAS_DATA, BLOCK_HAS_IMAGE, BLOCK_SAME_REL, HEADER_SIZE, IMAGE_COMPRESSED, IMAGE_HAS_HOLE,
    RecordHeader,
};
use wal::segment::{SegmentNumber, SegmentSize, Timeline};
use wal::source::{Segments, SourceError};
use wal::version::Version;

/// System identifier of every log made here.
pub(crate) const SYSTEM_IDENTIFIER: u64 = 0x6E17_0BAD_5EED_0001;

const XLOG: u8 = 0;
const XLOG_SWITCH: u8 = 0x40;
const XLOG_OVERWRITE_CONTRECORD: u8 = 0xD0;

/// A full-page image in the making, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftImage {
    /// `bimg_info`, the `IMAGE_*` bits.
    pub(crate) info: u8,
    pub(crate) hole_offset: u16,
    /// Written only if there are a hole and compression.
    pub(crate) hole_length: u16,
    pub(crate) bytes: Vec<u8>,
}

/// A block reference in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DraftBlock {
    pub(crate) id: u8,
    /// Fork number and further `BLOCK_*` bits; those of image, data and relation are added.
    pub(crate) flags: u8,
    /// `None` for that of the reference before.
    pub(crate) locator: Option<RelFileLocator>,
    pub(crate) block: u32,
    pub(crate) image: Option<DraftImage>,
    pub(crate) data: Vec<u8>,
}

/// A record in the making.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) rmid: u8,
    pub(crate) info: u8,
    pub(crate) xid: Xid,
    pub(crate) blocks: Vec<DraftBlock>,
    pub(crate) origin: Option<u16>,
    pub(crate) toplevel_xid: Option<u32>,
    pub(crate) main: Vec<u8>,
    /// Whether the long header of main data is used where the short one would do.
    pub(crate) long_main: bool,
}

impl Draft {
    pub(crate) fn new(rmid: u8, info: u8, main: Vec<u8>) -> Draft {
        Draft { rmid, info, main, ..Draft::default() }
    }

    pub(crate) fn switch() -> Draft {
        Draft::new(XLOG, XLOG_SWITCH, Vec::new())
    }

    /// What stands behind the record's header.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut headers = Vec::new();
        let mut parts = Vec::new();
        for block in &self.blocks {
            let mut flags = block.flags;
            flags |= if block.image.is_some() { BLOCK_HAS_IMAGE } else { 0 };
            flags |= if block.data.is_empty() { 0 } else { BLOCK_HAS_DATA };
            flags |= if block.locator.is_none() { BLOCK_SAME_REL } else { 0 };
            headers.extend_from_slice(&[block.id, flags]);
            headers.extend_from_slice(&(block.data.len() as u16).to_le_bytes());
            if let Some(image) = &block.image {
                headers.extend_from_slice(&(image.bytes.len() as u16).to_le_bytes());
                headers.extend_from_slice(&image.hole_offset.to_le_bytes());
                headers.push(image.info);
                if image.info & IMAGE_HAS_HOLE != 0 && image.info & IMAGE_COMPRESSED != 0 {
                    headers.extend_from_slice(&image.hole_length.to_le_bytes());
                }
                parts.extend_from_slice(&image.bytes);
            }
            if let Some(locator) = block.locator {
                for number in [locator.tablespace, locator.database, locator.relation] {
                    headers.extend_from_slice(&number.to_le_bytes());
                }
            }
            headers.extend_from_slice(&block.block.to_le_bytes());
            parts.extend_from_slice(&block.data);
        }
        if let Some(origin) = self.origin {
            headers.push(253);
            headers.extend_from_slice(&origin.to_le_bytes());
        }
        if let Some(xid) = self.toplevel_xid {
            headers.push(252);
            headers.extend_from_slice(&xid.to_le_bytes());
        }
        match u8::try_from(self.main.len()) {
            Ok(0) => {}
            Ok(length) if !self.long_main => headers.extend_from_slice(&[255, length]),
            _ => {
                headers.push(254);
                headers.extend_from_slice(&(self.main.len() as u32).to_le_bytes());
            }
        }
        headers.extend_from_slice(&parts);
        headers.extend_from_slice(&self.main);
        headers
    }
}

/// What a log looks like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) version: Version,
    pub(crate) segment_size: SegmentSize,
    /// The first page.
    pub(crate) start: Lsn,
    pub(crate) timeline: u32,
}

impl Shape {
    /// Segments of 1 MiB from the first one on.
    pub(crate) fn small(version: Version) -> Shape {
        let segment_size = SegmentSize::from_bytes(1 << 20).expect("legal");
        Shape { version, segment_size, start: segment_size.start_of(1), timeline: 1 }
    }
}

/// A record as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) start: Lsn,
    /// Where the next one starts, or the end of the page before it.
    pub(crate) end: Lsn,
    pub(crate) bytes: Vec<u8>,
}

impl Written {
    /// Whether the rest of the segment behind it is skipped.
    pub(crate) fn is_switch(&self) -> bool {
        self.bytes[17] == XLOG && self.bytes[16] & 0xF0 == XLOG_SWITCH
    }
}

/// Lays records into pages.
#[derive(Debug, Clone)]
pub(crate) struct LogBuilder {
    log: MemoryLog,
    timeline: u32,
    /// Where the next record goes: at a page's end its header is yet to be written.
    at: Lsn,
    /// The last record's start.
    last: Lsn,
    written: Vec<Written>,
    torn: Vec<Lsn>,
}

impl LogBuilder {
    pub(crate) fn new(shape: Shape) -> LogBuilder {
        assert_eq!(shape.start.page_offset(), 0);
        LogBuilder {
            log: MemoryLog {
                version: shape.version,
                segment_size: shape.segment_size,
                segments: BTreeMap::new(),
                switch_point: None,
            },
            timeline: shape.timeline,
            at: shape.start,
            last: Lsn::INVALID,
            written: Vec::new(),
            torn: Vec::new(),
        }
    }

    /// Where the next record goes, page header not yet counted.
    pub(crate) fn at(&self) -> Lsn {
        self.at
    }

    /// The records so far, those excepted that were torn.
    pub(crate) fn written(&self) -> &[Written] {
        &self.written
    }

    /// Where the records began that were torn.
    pub(crate) fn torn(&self) -> &[Lsn] {
        &self.torn
    }

    /// From the next page on, pages carry a higher timeline.
    pub(crate) fn raise_timeline(&mut self, timeline: u32) {
        self.timeline = self.timeline.max(timeline);
    }

    /// Writes a record.
    pub(crate) fn append(&mut self, draft: &Draft) -> &Written {
        self.append_body(draft.xid, draft.info, draft.rmid, &draft.body())
    }

    /// Writes a record of which only the header is right.
    pub(crate) fn append_body(&mut self, xid: Xid, info: u8, rmid: u8, body: &[u8]) -> &Written {
        let bytes = self.complete(xid, info, rmid, body);
        let start = self.begin_record();
        self.put(&bytes, usize::MAX);
        if rmid == XLOG && info & 0xF0 == XLOG_SWITCH {
            let size = self.log.segment_size;
            if size.offset_of(self.at) != 0 {
                self.at = size.start_of(size.number_of(self.at) + 1);
            }
        }
        self.last = start;
        self.written.push(Written { start, end: self.at, bytes });
        self.written.last().expect("just pushed")
    }

    /// Writes a record of which only the first `pages` pages arrive (all but the last at most), and what
    /// the server writes after such a crash. Nothing at all for a record that lies within its page.
    pub(crate) fn append_torn(&mut self, draft: &Draft, pages: usize) {
        let bytes = self.complete(draft.xid, draft.info, draft.rmid, &draft.body());
        let before = (self.at, self.log.clone());
        let start = self.begin_record();
        let complete = self.put(&bytes, pages.max(1));
        if complete {
            // Nothing was torn: as if it had not been.
            (self.at, self.log) = before;
            return;
        }
        self.torn.push(start);
        self.open_page(page::FIRST_IS_OVERWRITE_CONTRECORD, 0);
        let mut main = start.0.to_le_bytes().to_vec();
        main.extend_from_slice(&[0; 8]);
        self.append(&Draft::new(XLOG, XLOG_OVERWRITE_CONTRECORD, main));
    }

    /// How long the main data of a record without anything else must be so that the record ends `left`
    /// bytes before a page's end, at least `least` bytes of main data being there. Long form.
    pub(crate) fn main_length_to(&self, left: usize, least: usize) -> usize {
        let headers = HEADER_SIZE + 5;
        let mut room = PAGE_SIZE - self.at.page_offset();
        if room == PAGE_SIZE {
            room -= self.header_size(self.at);
        }
        let mut page = self.at.page_start();
        while room < headers + least + left {
            page = page + PAGE_SIZE as u64;
            room += PAGE_SIZE - self.header_size(page);
        }
        room - left - headers
    }

    /// The log as it stands.
    pub(crate) fn finish(self) -> (MemoryLog, Vec<Written>) {
        (self.log, self.written)
    }

    fn header_size(&self, page: Lsn) -> usize {
        if self.log.segment_size.offset_of(page) == 0 {
            page::LONG_HEADER_SIZE
        } else {
            page::SHORT_HEADER_SIZE
        }
    }

    fn complete(&self, xid: Xid, info: u8, rmid: u8, body: &[u8]) -> Vec<u8> {
        let total_length = (HEADER_SIZE + body.len()) as u32;
        let header = RecordHeader { total_length, xid, previous: self.last, info, rmid, crc: 0 };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(body);
        repair_crc(&mut bytes);
        bytes
    }

    fn begin_record(&mut self) -> Lsn {
        if self.at.page_offset() == 0 {
            self.open_page(0, 0);
        }
        self.at
    }

    /// Writes over at most `pages` pages; whether all was written.
    fn put(&mut self, bytes: &[u8], pages: usize) -> bool {
        let mut rest = bytes;
        let mut left = pages;
        loop {
            let part = rest.len().min(PAGE_SIZE - self.at.page_offset());
            self.log.write(self.at, &rest[..part]);
            self.at = self.at + part as u64;
            rest = &rest[part..];
            left -= 1;
            if rest.is_empty() {
                self.at = Lsn(max_align(self.at.0));
                return true;
            }
            if left == 0 {
                return false;
            }
            self.open_page(page::FIRST_IS_CONTRECORD, rest.len() as u32);
        }
    }

    fn open_page(&mut self, flags: u16, remaining: u32) {
        let size = self.log.segment_size;
        let first = size.start_of(size.number_of(self.at));
        if self.log.segments.contains_key(&size.number_of(self.at)) || first == self.at {
            self.write_header(self.at, flags, remaining);
        } else {
            // The log starts within a segment, whose first page must be there.
            self.write_header(first, 0, 0);
            self.write_header(self.at, flags, remaining);
        }
        self.at = self.at + self.header_size(self.at) as u64;
    }

    fn write_header(&mut self, page: Lsn, flags: u16, remaining: u32) {
        let size = self.log.segment_size;
        let long = (size.offset_of(page) == 0).then_some(LongHeader {
            system_identifier: SYSTEM_IDENTIFIER,
            segment_size: size.bytes() as u32,
            block_size: PAGE_SIZE as u32,
        });
        let header = PageHeader {
            magic: self.log.version.page_magic(),
            info: flags | if long.is_some() { page::HAS_LONG_HEADER } else { 0 },
            timeline: self.timeline,
            address: page,
            remaining,
            long,
        };
        self.log.write(page, &header.encode());
    }
}

/// Makes the checksum of a record of at least a header's length right.
pub(crate) fn repair_crc(record: &mut [u8]) {
    let (header, body) = record.split_at_mut(HEADER_SIZE);
    let sum = crc::append(crc::crc32c(body), &header[..HEADER_SIZE - 4]);
    header[HEADER_SIZE - 4..].copy_from_slice(&sum.to_le_bytes());
}

/// A segment's bytes: the pages that were written.
#[derive(Debug, Clone, Default)]
struct MemorySegment {
    pages: BTreeMap<u64, Arc<[u8; PAGE_SIZE]>>,
    length: u64,
}

impl DiskFile for MemorySegment {
    fn length(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = (buffer.len() as u64).min(self.length.saturating_sub(offset)) as usize;
        let mut done = 0;
        while done < count {
            let at = offset + done as u64;
            let within = (at % PAGE_SIZE as u64) as usize;
            let part = (count - done).min(PAGE_SIZE - within);
            let target = &mut buffer[done..done + part];
            match self.pages.get(&(at / PAGE_SIZE as u64)) {
                Some(page) => target.copy_from_slice(&page[within..within + part]),
                None => target.fill(0),
            }
            done += part;
        }
        Ok(count)
    }
}

/// A log in memory. Clones are cheap and share what neither changes.
#[derive(Debug, Clone)]
pub(crate) struct MemoryLog {
    version: Version,
    segment_size: SegmentSize,
    segments: BTreeMap<SegmentNumber, Arc<MemorySegment>>,
    /// Where the history leaves the timeline that all segments are of.
    switch_point: Option<(Lsn, Timeline)>,
}

impl MemoryLog {
    pub(crate) fn shared(&self) -> Arc<dyn Segments> {
        Arc::new(self.clone())
    }

    pub(crate) fn size(&self) -> SegmentSize {
        self.segment_size
    }

    /// The segments that are there.
    pub(crate) fn numbers(&self) -> Vec<SegmentNumber> {
        self.segments.keys().copied().collect()
    }

    /// Overwrites bytes within a page; the segment comes into being if it was not there.
    pub(crate) fn write(&mut self, at: Lsn, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let size = self.segment_size;
        let segment = self.segments.entry(size.number_of(at)).or_insert_with(|| {
            Arc::new(MemorySegment { length: size.bytes(), ..MemorySegment::default() })
        });
        let index = size.offset_of(at) / PAGE_SIZE as u64;
        let page =
            Arc::make_mut(segment).pages.entry(index).or_insert_with(|| Arc::new([0; PAGE_SIZE]));
        let offset = at.page_offset();
        Arc::make_mut(page)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// The page that `at` lies in; zeroes where nothing is.
    pub(crate) fn page(&self, at: Lsn) -> [u8; PAGE_SIZE] {
        let index = self.segment_size.offset_of(at) / PAGE_SIZE as u64;
        let segment = self.segments.get(&self.segment_size.number_of(at));
        segment.and_then(|segment| segment.pages.get(&index)).map_or([0; PAGE_SIZE], |page| **page)
    }

    /// Flips bits of the byte at `at`.
    pub(crate) fn flip(&mut self, at: Lsn, bits: u8) {
        let byte = self.page(at)[at.page_offset()] ^ bits;
        self.write(at, &[byte]);
    }

    /// Makes a page all zeroes.
    pub(crate) fn zero_page(&mut self, at: Lsn) {
        self.write(at.page_start(), &[0; PAGE_SIZE]);
    }

    /// Exchanges two pages.
    pub(crate) fn swap_pages(&mut self, one: Lsn, other: Lsn) {
        let (first, second) = (self.page(one), self.page(other));
        self.write(one.page_start(), &second);
        self.write(other.page_start(), &first);
    }

    /// Adds the segments of another log.
    pub(crate) fn adopt(&mut self, other: MemoryLog) {
        self.segments.extend(other.segments);
    }

    /// Lets the history go on with another timeline, whose segments are not there.
    pub(crate) fn leave_timeline(&mut self, switch_point: Lsn, next: Timeline) {
        self.switch_point = Some((switch_point, next));
    }

    /// Takes a segment away.
    pub(crate) fn remove_segment(&mut self, number: SegmentNumber) {
        self.segments.remove(&number);
    }

    /// Cuts a segment's file short.
    pub(crate) fn truncate_segment(&mut self, number: SegmentNumber, length: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            let segment = Arc::make_mut(segment);
            segment.length = segment.length.min(length);
        }
    }
}

impl Segments for MemoryLog {
    fn version(&self) -> Version {
        self.version
    }

    fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    fn system_identifier(&self) -> Option<u64> {
        Some(SYSTEM_IDENTIFIER)
    }

    fn timeline_of(&self, _: SegmentNumber) -> Timeline {
        Timeline(1)
    }

    fn switch_point(&self, number: SegmentNumber) -> Option<(Lsn, Timeline)> {
        self.switch_point.filter(|(at, _)| self.segment_size.number_of(*at) == number)
    }

    fn next_after(&self, number: SegmentNumber) -> Option<SegmentNumber> {
        self.segments.range(number.checked_add(1)?..).next().map(|(number, _)| *number)
    }

    fn open(&self, number: SegmentNumber) -> Result<Arc<dyn DiskFile>, SourceError> {
        match self.segments.get(&number) {
            Some(segment) => Ok(Arc::<MemorySegment>::clone(segment)),
            None => Err(SourceError::Missing {
                name: self.segment_size.file_name(self.timeline_of(number), number),
            }),
        }
    }
}
