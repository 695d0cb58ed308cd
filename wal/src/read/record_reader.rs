//! Records one after the other, stitched over pages and checked: `XLogReadRecord`.
//!
//! Invariants: the checks are those of `XLogDecodeNextRecord`, in its order and with its words; a record
//! within one page is handed out where it lies, one over several pages is copied together; the copy grows
//! with the bytes that are really there, never by what a length claims.

use base::sync::Arc;
use base::{Lsn, PAGE_SIZE, max_align};

use super::pages::Pages;
use super::{Position, Stop};
use crate::crc;
use crate::error::{DecodeError, RecordError};
use crate::page::{PageHeader, SHORT_HEADER_SIZE};
use crate::record::{
    BlockRef, Decoder, HEADER_SIZE, MAX_LENGTH, Outline, RawRecord, Record, RecordHeader,
    References, Seen, Wanted,
};
use crate::rmgr;
use crate::source::Segments;
use crate::version::Version;

const XLOG: u8 = 0;
const XLOG_SWITCH: u8 = 0x40;

/// Reads a log's records in order.
#[derive(Debug)]
pub struct RecordReader {
    pages: Pages,
    position: Position,
    decoder: Decoder,
    /// A record that spans pages, put together.
    stitched: Vec<u8>,
    /// The record that was being put together when reading stopped.
    aborted: Option<Lsn>,
    /// The page that was wanted for it last.
    continued_on: Lsn,
    /// The last record found overwritten by the page after it.
    overwritten: Option<Lsn>,
}

/// Where a raw record's bytes are.
#[derive(Clone, Copy)]
struct Found {
    start: Lsn,
    end: Lsn,
    header: RecordHeader,
    /// Offset in the window; `None` for [`RecordReader::stitched`].
    in_window: Option<usize>,
}

impl RecordReader {
    /// A reader of `segments`, standing nowhere: position it with [`RecordReader::find_first`] or
    /// [`RecordReader::resume`].
    pub fn new(segments: Arc<dyn Segments>) -> RecordReader {
        RecordReader {
            pages: Pages::new(segments),
            position: Position::jump_to(Lsn::INVALID),
            decoder: Decoder::default(),
            stitched: Vec::new(),
            aborted: None,
            continued_on: Lsn::INVALID,
            overwritten: None,
        }
    }

    /// Nothing at or beyond `end` is read: what would need it stops with [`Stop::EndReached`].
    pub fn set_end(&mut self, end: Option<Lsn>) {
        self.pages.set_end(end);
    }

    /// Beyond `end` only what is needed is read, page by page.
    pub(super) fn set_read_ahead_end(&mut self, end: Option<Lsn>) {
        self.pages.set_read_ahead_end(end);
    }

    /// The segments that are read.
    pub fn segments(&self) -> &Arc<dyn Segments> {
        self.pages.segments()
    }

    /// Where reading stands.
    pub fn position(&self) -> Position {
        Position { timeline: self.pages.latest_timeline(), ..self.position }
    }

    /// The record that was being put together from several pages when reading stopped, if it was: the
    /// log may end with it.
    pub fn aborted_record(&self) -> Option<Lsn> {
        self.aborted
    }

    /// Start of the page on which that record's continuation was not found; a log that goes on behind such an end goes
    /// on there.
    pub fn missing_page(&self) -> Option<Lsn> {
        self.aborted.map(|_| self.continued_on)
    }

    /// The last record whose continuation was lost in a crash and overwritten, taken note of and passed
    /// over.
    pub fn overwritten_record(&self) -> Option<Lsn> {
        self.overwritten
    }

    /// Goes on from a position that another reader of the same log reached, or that is known to be a
    /// record's start.
    pub fn resume(&mut self, position: Position) {
        self.pages.jump(&position);
        self.position = position;
        self.aborted = None;
    }

    /// Forgets what is in memory, not the position: the log may have grown (`--follow`).
    pub fn refresh(&mut self) {
        self.pages.refresh();
        self.aborted = None;
    }

    /// Finds the first record that starts at or after `at`, and positions there (`XLogFindNextRecord`).
    ///
    /// # Errors
    /// Why there is none.
    pub fn find_first(&mut self, at: Lsn) -> Result<Lsn, Stop> {
        self.resume(Position::jump_to(at));
        self.position = Position::jump_to(self.first_start(at)?.0);
        loop {
            let found = self.next_record()?.start();
            if found >= at {
                self.position = Position::jump_to(found);
                return Ok(found);
            }
        }
    }

    /// The first place at or after the page of `at` where a record can start, by what the page headers
    /// say of continuations; and the header of the first page that was looked at.
    pub(super) fn first_start(&mut self, at: Lsn) -> Result<(Lsn, PageHeader), Stop> {
        let first = self.pages.require(at.page_start(), at.page_offset())?;
        let mut at = at;
        loop {
            let page = at.page_start();
            let header = self.pages.require(page, at.page_offset())?;
            let rest = max_align(u64::from(header.remaining));
            if !header.continues_record() {
                return Ok((page + header.size() as u64, first));
            }
            if rest < (PAGE_SIZE - header.size()) as u64 {
                return Ok((page + header.size() as u64 + rest, first));
            }
            at = page + PAGE_SIZE as u64;
        }
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// Why there is none; the position stays where it was.
    #[inline(always)] // part of the loop over all records; measured
    pub fn next_record(&mut self) -> Result<Record<'_>, Stop> {
        let found = match self.find_within_page() {
            Some(found) => found,
            None => self.find_next()?,
        };
        let reported = self.reported(found.start);
        let raw = raw_record(&self.pages, &self.stitched, found);
        let record = self.decoder.decode(raw, reported)?;
        self.position.next = found.end;
        self.position.last = Some(found.start);
        Ok(record)
    }

    /// Reads one record, and as many as lie behind it on the page that it starts on, with the same checks, for
    /// those who only count. Gives the prev-link of the first.
    ///
    /// # Errors
    /// As [`RecordReader::next_record`], of the first record: what is wrong with another one is told when
    /// it is asked for as the first.
    pub fn next_outlines(&mut self, mut take: impl FnMut(&Outline)) -> Result<Lsn, Stop> {
        self.next_of_page(Seen::default, |outline, _, _| take(outline))
    }

    /// As [`RecordReader::next_outlines`], for those who choose records by their block references: `wants` is asked
    /// of each reference, and `take` gets with the outline how many it wanted, and the record's bytes.
    ///
    /// # Errors
    /// As [`RecordReader::next_outlines`].
    pub fn next_choices(
        &mut self,
        wants: impl Fn(&BlockRef) -> bool,
        mut take: impl FnMut(&Outline, usize, &[u8]),
    ) -> Result<Lsn, Stop> {
        self.next_of_page(
            || Wanted::by(&wants),
            |outline, wanted, bytes| take(outline, wanted.count, bytes),
        )
    }

    /// Reads on as far as [`RecordReader::next_outlines`] does; what `begin` gives sees a record's block references.
    #[inline(always)] // part of the loop over all records; measured
    fn next_of_page<R: References>(
        &mut self,
        begin: impl Fn() -> R,
        mut take: impl FnMut(&Outline, &R, &[u8]),
    ) -> Result<Lsn, Stop> {
        let found = match self.find_within_page() {
            Some(found) => found,
            None => self.find_next()?,
        };
        let raw = raw_record(&self.pages, &self.stitched, found);
        let mut blocks = begin();
        let first = Outline::of(raw, &mut blocks).map_err(|fault| DecodeError {
            record: found.start,
            reported: self.reported(found.start),
            fault,
        })?;
        take(&first, &blocks, raw.bytes);
        let (next, last) = match found.in_window {
            Some(_) => self.rest_of_page(found, begin, take),
            None => (found.end, found.start),
        };
        self.position.next = next;
        self.position.last = Some(last);
        Ok(first.header.previous)
    }

    /// Goes on behind `found` for as long as the common case lasts. Gives where reading stands then, and the
    /// start of the last record read.
    #[inline(always)] // part of the loop over all records; measured
    fn rest_of_page<R: References>(
        &self,
        found: Found,
        begin: impl Fn() -> R,
        mut take: impl FnMut(&Outline, &R, &[u8]),
    ) -> (Lsn, Lsn) {
        let version = self.pages.expected().version;
        let Found { start: mut last, end: mut at, .. } = found;
        let Some((_, mut rest)) = self.pages.rest_of_page(at) else { return (at, last) };
        while let Some((header, bytes)) = record_within(rest, Some(last)) {
            if is_switch(&header) {
                break;
            }
            let length = max_align(u64::from(header.total_length));
            let raw = RawRecord { version, start: at, end: at + length, header, bytes };
            let mut blocks = begin();
            let Ok(outline) = Outline::of(raw, &mut blocks) else { break };
            take(&outline, &blocks, bytes);
            last = at;
            at = at + length;
            rest = rest.get(length as usize..).unwrap_or_default();
        }
        (at, last)
    }

    /// The position that is named where the record at `start` contradicts itself: its own with 15.20, that
    /// of the one before with earlier minor versions and up to 17.11 and 18.6.
    #[inline]
    fn reported(&self, start: Lsn) -> Lsn {
        match self.pages.expected().version {
            Version::V15 => start,
            _ => self.position.last.unwrap_or(Lsn::INVALID),
        }
    }

    /// The next record in the common case, that it lies within the current page and all is right with it.
    /// `None` for every other, which [`RecordReader::find_next`] then finds the reason of.
    #[inline(always)] // part of the loop over all records; measured
    fn find_within_page(&mut self) -> Option<Found> {
        let at = self.position.next;
        let (in_window, rest) = self.pages.rest_of_page(at)?;
        let (header, _) = record_within(rest, self.position.last)?;
        let end = at + max_align(u64::from(header.total_length));
        Some(self.found(at, end, header, Some(in_window)))
    }

    /// The log's version.
    pub fn version(&self) -> Version {
        self.pages.expected().version
    }

    /// The next record, with all checks in PostgreSQL's order.
    #[cold]
    fn find_next(&mut self) -> Result<Found, Stop> {
        let found = self.find_by_pages();
        if found.is_err() {
            self.pages.forget_page();
        }
        found
    }

    fn find_by_pages(&mut self) -> Result<Found, Stop> {
        self.aborted = None;
        let mut at = self.position.next;
        loop {
            let page = at.page_start();
            let mut offset = at.page_offset();
            let header = self.pages.require(page, (offset + HEADER_SIZE).min(PAGE_SIZE))?;
            let header_size = header.size();
            if offset == 0 {
                at = page + header_size as u64;
                offset = header_size;
            } else if offset < header_size {
                let version = self.version();
                return Err(RecordError::InvalidOffset { version, at, header_size, offset }.into());
            }
            if offset == header_size && header.continues_record() {
                return Err(RecordError::ContrecordRequested { at }.into());
            }
            let bytes = &self.pages.page()[offset..];
            let complete = match bytes.first_chunk::<HEADER_SIZE>() {
                Some(chunk) => {
                    let record = RecordHeader::read(chunk);
                    self.check_header(at, &record)?;
                    (record.total_length as usize <= bytes.len()).then_some(record)
                }
                None => None,
            };
            let Some(record) = complete else {
                match self.stitch(at)? {
                    Some(found) => return Ok(found),
                    None => {
                        // The continuation was lost and overwritten; read on from there.
                        at = self.position.next;
                        continue;
                    }
                }
            };
            let length = record.total_length as usize;
            self.pages.require(page, offset + length)?;
            if crc::of_record(&self.pages.page()[offset..offset + length]) != record.crc {
                return Err(RecordError::IncorrectChecksum { at }.into());
            }
            let end = at + max_align(length as u64);
            let in_window = self.pages.page_at() + offset;
            return Ok(self.found(at, end, record, Some(in_window)));
        }
    }

    #[inline(always)] // part of the loop over all records; measured
    fn found(&self, start: Lsn, end: Lsn, header: RecordHeader, in_window: Option<usize>) -> Found {
        let mut end = end;
        if is_switch(&header) {
            // The rest of the segment is left empty.
            let size = self.pages.expected().segment_size;
            if size.offset_of(end) != 0 {
                end = size.start_of(size.number_of(end) + 1);
            }
        }
        Found { start, end, header, in_window }
    }

    /// `ValidXLogRecordHeader`
    #[inline]
    fn check_header(&self, at: Lsn, header: &RecordHeader) -> Result<(), RecordError> {
        if (header.total_length as usize) < HEADER_SIZE {
            return Err(self.invalid_length(at, header.total_length));
        }
        if !rmgr::is_valid_id(header.rmid) {
            return Err(RecordError::InvalidResourceManager { at, rmid: header.rmid });
        }
        let linked = match self.position.last {
            Some(last) => header.previous == last,
            None => header.previous < at,
        };
        if !linked {
            return Err(RecordError::IncorrectPrevLink { at, previous: header.previous });
        }
        Ok(())
    }

    fn invalid_length(&self, at: Lsn, got: u32) -> RecordError {
        RecordError::InvalidLength { version: self.version(), at, got }
    }

    /// Puts a record together that goes beyond its page. `None`, with the position moved to the later
    /// page, where its continuation was lost and overwritten.
    fn stitch(&mut self, start: Lsn) -> Result<Option<Found>, Stop> {
        let first = &self.pages.page()[start.page_offset()..];
        let total = first.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
        if (total as usize) < HEADER_SIZE {
            return Err(self.invalid_length(start, total).into());
        }
        self.stitched.clear();
        self.stitched.extend_from_slice(first);
        let mut header_checked = first.len() >= HEADER_SIZE;
        self.aborted = Some(start);
        let mut page = start.page_start();
        loop {
            page = page + PAGE_SIZE as u64;
            self.continued_on = page;
            let header = self.pages.require(page, SHORT_HEADER_SIZE)?;
            if header.overwrites_record() {
                self.aborted = None;
                self.overwritten = Some(start);
                self.position.next = page;
                return Ok(None);
            }
            if !header.continues_record() {
                return Err(RecordError::NoContrecordFlag { at: start }.into());
            }
            let got = self.stitched.len() as u64;
            if header.remaining == 0 || u64::from(total) != u64::from(header.remaining) + got {
                return Err(RecordError::InvalidContrecordLength {
                    at: start,
                    got: header.remaining,
                    expected: i64::from(total) - got as i64,
                }
                .into());
            }
            let missing = header.remaining as usize;
            self.pages.require(page, (missing + SHORT_HEADER_SIZE).min(PAGE_SIZE))?;
            let header_size = header.size();
            let part = missing.min(PAGE_SIZE - header_size);
            self.pages.require(page, header_size + part)?;
            self.stitched.extend_from_slice(&self.pages.page()[header_size..header_size + part]);
            if !header_checked && let Some(chunk) = self.stitched.first_chunk() {
                self.check_header(start, &RecordHeader::read(chunk))?;
                header_checked = true;
            }
            if total > MAX_LENGTH {
                let maximum = MAX_LENGTH;
                return Err(RecordError::TooLong { at: start, got: total, maximum }.into());
            }
            if part == missing {
                let end = page + header_size as u64 + max_align(part as u64);
                return self.stitched_record(start, end).map(Some);
            }
        }
    }

    fn stitched_record(&mut self, start: Lsn, end: Lsn) -> Result<Found, Stop> {
        let chunk = self.stitched.first_chunk().expect("longer than a header");
        let header = RecordHeader::read(chunk);
        if crc::of_record(&self.stitched) != header.crc {
            return Err(RecordError::IncorrectChecksum { at: start }.into());
        }
        self.aborted = None;
        Ok(self.found(start, end, header, None))
    }
}

/// The record at the beginning of `rest`, which is what there is of its page: `None` unless it lies within
/// and its header, its link to the record that starts at `last` and its sum are right.
#[inline(always)] // part of the loop over all records; measured
fn record_within(rest: &[u8], last: Option<Lsn>) -> Option<(RecordHeader, &[u8])> {
    let header = RecordHeader::read(rest.first_chunk()?);
    let length = header.total_length as usize;
    if length < HEADER_SIZE || last != Some(header.previous) || !rmgr::is_valid_id(header.rmid) {
        return None;
    }
    let bytes = rest.get(..length)?;
    (crc::of_record(bytes) == header.crc).then_some((header, bytes))
}

#[inline(always)] // part of the loop over all records; measured
fn raw_record<'a>(pages: &'a Pages, stitched: &'a [u8], found: Found) -> RawRecord<'a> {
    let Found { start, end, header, in_window } = found;
    let bytes = match in_window {
        Some(at) => &pages.window()[at..at + header.total_length as usize],
        None => stitched,
    };
    RawRecord { version: pages.expected().version, start, end, header, bytes }
}

/// Whether the rest of the segment behind the record is left empty.
#[inline]
fn is_switch(header: &RecordHeader) -> bool {
    header.rmid == XLOG && header.info & 0xF0 == XLOG_SWITCH
}
