//! Why reading stopped, told apart, and which valid records lie behind: the report of `strata verify`.
//!
//! PostgreSQL takes whatever it cannot read for the end of the log, so that damage in its middle makes
//! every later commit vanish without a word. The format forbids to mend that; but records behind the stop
//! that are whole, lie on pages which belong there, and follow each other can be found and named.
//!
//! Invariants: a log is sound only if it ends as an undamaged one does ([`Cause::OrdinaryEnd`],
//! [`Cause::RecycledSegment`]) and no valid record lies behind; what is reported as stranded has passed
//! every check that a record can pass without the one before it.

use std::ops::ControlFlow;

use base::sync::Arc;
use base::{Lsn, PAGE_SIZE};
use serde::Serialize;

use super::parallel::{self, Gather};
use super::{Position, RecordReader, Stop};
use crate::error::{PageFault, RecordError};
use crate::record::Record;
use crate::segment::{SegmentNumber, SegmentSize};
use crate::source::{Segments, SourceError};

const XLOG: u8 = 0;
const XLOG_OVERWRITE_CONTRECORD: u8 = 0xD0;
const XACT: u8 = 1;
const XACT_OPERATION: u8 = 0x70;
const XACT_COMMIT: u8 = 0x00;
const XACT_COMMIT_PREPARED: u8 = 0x30;

/// What made reading stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Zeroes where the next record would start, or nothing behind the last segment: so a log ends.
    OrdinaryEnd,
    /// The page still carries an older address: the segment was recycled, and this is as far as it has
    /// been written anew. So a log ends, too.
    RecycledSegment,
    /// A record's beginning is there and its continuation is not: the server stopped while writing it.
    TornRecord,
    /// A record's bytes do not fit its checksum.
    Checksum,
    /// A record does not follow the one before: stale bytes, or bytes from elsewhere.
    BrokenLink,
    /// A record's header or inside contradicts itself.
    MalformedRecord,
    /// A page header that is neither the right one nor an older one.
    MalformedPage,
    /// Zeroes, and valid records behind them: a page that was lost or wiped out.
    ZeroedPage,
    /// A page of another place of the log, and valid records behind it: an older page whose overwriting was
    /// lost, or another segment's file.
    MisplacedPage,
    /// A record's continuation is not on the page where it should be, and valid records lie behind it.
    LostContinuation,
    /// A segment is not there, and the log goes on: later ones are there, or the history says so.
    MissingSegment,
    /// A segment's file is shorter than a segment.
    ShortSegment,
    /// A segment of another system, or of another segment or block size.
    ForeignSegment,
    /// A file cannot be read.
    Unreadable,
    /// The end that was asked for.
    EndReached,
}

impl Cause {
    /// Whether an undamaged log can end so.
    pub fn is_ordinary(self) -> bool {
        matches!(self, Cause::OrdinaryEnd | Cause::RecycledSegment | Cause::EndReached)
    }

    /// In words, with what to make of it.
    pub fn explanation(self) -> &'static str {
        match self {
            Cause::OrdinaryEnd => "the log ends here",
            Cause::RecycledSegment => {
                "the log ends here; the rest of the segment is from before it was recycled"
            }
            Cause::TornRecord => {
                "the last record is incomplete, as when the server stopped while writing it, or where \
                 the rest is in a segment that is not here; crash recovery drops it"
            }
            Cause::Checksum => "a record's bytes have changed since it was written",
            Cause::BrokenLink => {
                "what follows does not belong behind the last record: stale or foreign bytes"
            }
            Cause::MalformedRecord => "the bytes here are no record",
            Cause::MalformedPage => "the bytes here are no page of this log",
            Cause::ZeroedPage => "zeroes lie here, and valid records behind them",
            Cause::MisplacedPage => {
                "a page of another place of the log lies here, and valid records behind it: an older \
                 page whose overwriting was lost, or another segment's file"
            }
            Cause::LostContinuation => {
                "a record's continuation is not where it should be, and valid records lie behind it"
            }
            Cause::MissingSegment => "a segment is missing, and the log goes on behind it",
            Cause::ShortSegment => "the segment's file ends before the log does",
            Cause::ForeignSegment => "the segment is of another database system",
            Cause::Unreadable => "the segment cannot be read",
            Cause::EndReached => "read up to the end that was asked for",
        }
    }
}

/// Tells the causes apart. `torn` says whether a record was being put together from several pages;
/// `last` is the highest segment that exists, so that a missing one behind it is the log's end; one that is not
/// behind it exists of another timeline only.
pub fn cause_of(stop: &Stop, torn: bool, size: SegmentSize, last: SegmentNumber) -> Cause {
    match stop {
        Stop::EndReached => Cause::EndReached,
        Stop::ShortSegment { .. } => Cause::ShortSegment,
        Stop::Source(SourceError::Missing { name })
            if size.parse_file_name(name).is_some_and(|(_, number)| number <= last) =>
        {
            Cause::MissingSegment
        }
        Stop::Source(SourceError::Missing { .. }) if torn => Cause::TornRecord,
        Stop::Source(SourceError::Missing { .. }) => Cause::OrdinaryEnd,
        Stop::Source(_) => Cause::Unreadable,
        Stop::Record(error) => match error {
            RecordError::InvalidLength { got: 0, .. } => Cause::OrdinaryEnd,
            RecordError::IncorrectChecksum { .. } => Cause::Checksum,
            RecordError::IncorrectPrevLink { .. } => Cause::BrokenLink,
            RecordError::NoContrecordFlag { .. } | RecordError::InvalidContrecordLength { .. } => {
                Cause::TornRecord
            }
            RecordError::Page(page) => match page.fault {
                PageFault::SystemIdentifier { .. }
                | PageFault::SegmentSize
                | PageFault::BlockSize => Cause::ForeignSegment,
                PageFault::Magic(0) | PageFault::Address(_) if torn => Cause::TornRecord,
                PageFault::Magic(0) => Cause::OrdinaryEnd,
                PageFault::Address(found) if found < page.page => Cause::RecycledSegment,
                _ => Cause::MalformedPage,
            },
            _ => Cause::MalformedRecord,
        },
    }
}

/// The cause, once valid records were found behind: then this is no end, and no last record.
fn cause_before_records(cause: Cause, stop: &Stop) -> Cause {
    if !matches!(cause, Cause::OrdinaryEnd | Cause::RecycledSegment | Cause::TornRecord) {
        return cause;
    }
    match stop {
        Stop::Record(RecordError::Page(page)) => match page.fault {
            PageFault::Address(_) => Cause::MisplacedPage,
            _ => Cause::ZeroedPage,
        },
        Stop::Record(RecordError::InvalidLength { .. }) => Cause::ZeroedPage,
        Stop::Record(_) => Cause::LostContinuation,
        _ => cause,
    }
}

/// A run of records that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Start of the first record.
    pub first: Lsn,
    /// Start of the last record.
    pub last: Lsn,
    /// End of the last record.
    pub end: Lsn,
    /// How many records.
    pub records: u64,
    /// How many of them commit a transaction.
    pub commits: u64,
}

/// A stop, and the valid records behind it up to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// Where the next record should have started.
    pub at: Lsn,
    /// The segment's file that this lies in.
    pub segment: String,
    /// Offset there, in bytes.
    pub offset: u64,
    /// What made reading stop.
    pub cause: Cause,
    /// PostgreSQL's message.
    pub message: String,
    /// The record that was being put together from several pages, if one was.
    pub torn_record: Option<Lsn>,
    /// Valid records that were found behind: to PostgreSQL they do not exist.
    pub stranded: Option<Run>,
}

/// What there is to say of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The records from the start to the first stop; `None` if there is not one.
    pub verified: Option<Run>,
    /// Records whose continuation was lost in a crash and overwritten on restart, as the log itself says.
    pub overwritten: Vec<Lsn>,
    /// The stops in order: the last one is where nothing valid was found behind.
    pub breaks: Vec<Break>,
}

impl Report {
    /// Whether the log ends as an undamaged one does, and nothing valid lies behind.
    pub fn is_sound(&self) -> bool {
        matches!(&self.breaks[..], [only] if only.cause.is_ordinary())
    }

    fn goes_on_behind(&mut self, stop: &Stop) {
        if let Some(last) = self.breaks.last_mut() {
            last.cause = cause_before_records(last.cause, stop);
        }
    }

    /// Valid records that PostgreSQL would not see.
    pub fn stranded_records(&self) -> u64 {
        self.breaks.iter().filter_map(|stop| stop.stranded).map(|run| run.records).sum()
    }

    /// Commits that PostgreSQL would not see.
    pub fn stranded_commits(&self) -> u64 {
        self.breaks.iter().filter_map(|stop| stop.stranded).map(|run| run.commits).sum()
    }
}

#[derive(Default)]
struct Counter {
    run: Option<Run>,
    overwritten: Vec<Lsn>,
}

impl Counter {
    /// Takes in what follows.
    fn append(&mut self, later: &Counter) {
        self.overwritten.extend_from_slice(&later.overwritten);
        match (&mut self.run, later.run) {
            (Some(run), Some(more)) => {
                run.last = more.last;
                run.end = more.end;
                run.records += more.records;
                run.commits += more.commits;
            }
            (run @ None, more) => *run = more,
            (Some(_), None) => {}
        }
    }
}

impl Gather for Counter {
    fn record(&mut self, record: &Record<'_>) {
        let run = self.run.get_or_insert(Run {
            first: record.start(),
            last: record.start(),
            end: record.end(),
            records: 0,
            commits: 0,
        });
        run.last = record.start();
        run.end = record.end();
        run.records += 1;
        let operation = record.info() & XACT_OPERATION;
        if record.rmid() == XACT && matches!(operation, XACT_COMMIT | XACT_COMMIT_PREPARED) {
            run.commits += 1;
        }
        if record.rmid() == XLOG
            && record.info() == XLOG_OVERWRITE_CONTRECORD
            && let Some(lost) = record.main_data().first_chunk()
        {
            self.overwritten.push(Lsn(u64::from_le_bytes(*lost)));
        }
    }

    fn clear(&mut self) {
        *self = Counter::default();
    }
}

/// Reads the log from the page of `from` on, through every stop, up to the end of the last segment.
///
/// `last` is the highest segment that exists. `progress` is told how far reading has come, and may end it.
pub fn verify(
    segments: &Arc<dyn Segments>,
    from: Lsn,
    last: SegmentNumber,
    threads: usize,
    progress: impl FnMut(Lsn) -> ControlFlow<()>,
) -> Report {
    verify_to(segments, from, last, None, threads, progress)
}

/// As [`verify`], of a log that a server is writing: nothing at or beyond `end` is read, if there is one.
pub fn verify_to(
    segments: &Arc<dyn Segments>,
    from: Lsn,
    last: SegmentNumber,
    end: Option<Lsn>,
    threads: usize,
    mut progress: impl FnMut(Lsn) -> ControlFlow<()>,
) -> Report {
    let mut report = Report { verified: None, overwritten: Vec::new(), breaks: Vec::new() };
    let mut reader = RecordReader::new(Arc::clone(segments));
    reader.set_end(end);
    reader.resume(Position::jump_to(from));
    let mut start = match reader.find_first(from) {
        Ok(first) => Position::jump_to(first),
        Err(stop) => {
            let (at, torn) = (reader.position().next, reader.aborted_record());
            report.breaks.push(break_at(segments, at, &stop, torn, last));
            match next_valid(&mut reader, at, last, &mut progress) {
                Some(first) => {
                    report.goes_on_behind(&stop);
                    Position::jump_to(first)
                }
                None => return report,
            }
        }
    };
    loop {
        let mut counter = Counter::default();
        let scan = parallel::scan(segments, start, end, threads, Counter::default, |gathered| {
            counter.append(gathered);
            progress(gathered.run.map_or(start.next, |run| run.end))
        });
        report.overwritten.append(&mut counter.overwritten);
        match report.breaks.last_mut() {
            Some(stop) => stop.stranded = counter.run,
            None => report.verified = counter.run,
        }
        let Some(stop) = scan.stop else { return report };
        let at = scan.position.next;
        report.breaks.push(break_at(segments, at, &stop, scan.aborted_record, last));
        match next_valid(&mut reader, at, last, &mut progress) {
            Some(first) => {
                report.goes_on_behind(&stop);
                start = Position::jump_to(first);
            }
            None => return report,
        }
    }
}

fn break_at(
    segments: &Arc<dyn Segments>,
    at: Lsn,
    stop: &Stop,
    torn_record: Option<Lsn>,
    last: SegmentNumber,
) -> Break {
    let size = segments.segment_size();
    let number = size.number_of(at);
    Break {
        at,
        segment: size.file_name(segments.timeline_of(number), number),
        offset: size.offset_of(at),
        cause: cause_of(stop, torn_record.is_some(), size, last),
        message: stop.to_string(),
        torn_record,
        stranded: None,
    }
}

/// The first valid record behind `stop`: on its page at each position that a record can have, on later
/// pages from where their headers say that one starts. The end of the address space ends the search, and so does
/// `progress`.
fn next_valid(
    reader: &mut RecordReader,
    stop: Lsn,
    last: SegmentNumber,
    progress: &mut impl FnMut(Lsn) -> ControlFlow<()>,
) -> Option<Lsn> {
    let size = reader.segments().segment_size();
    let page_size = PAGE_SIZE as u64;
    if stop.is_invalid() {
        return None; // a record that ends with the address space
    }
    let mut at = Lsn(stop.0 | 7).checked_add(1)?;
    if at.page_offset() != 0 {
        if let Some(found) = first_on_page(reader, at) {
            return Some(found);
        }
        at = at.page_start().checked_add(page_size)?;
    }
    while size.number_of(at) <= last {
        if progress(at).is_break() {
            return None;
        }
        reader.resume(Position::jump_to(at));
        match reader.first_start(at) {
            Ok((first, _)) if first < at => return None,
            Ok((first, _)) if first.page_start() == at => {
                if let Some(found) = first_on_page(reader, first) {
                    return Some(found);
                }
                at = at.checked_add(page_size)?;
            }
            Ok((first, _)) => at = first.page_start(),
            Err(Stop::Source(_)) => {
                let next = reader.segments().next_after(size.number_of(at))?;
                if next > last {
                    return None;
                }
                at = size.start_of(next);
            }
            Err(_) => at = at.checked_add(page_size)?,
        }
    }
    None
}

/// The first valid record from `at` to its page's end.
fn first_on_page(reader: &mut RecordReader, at: Lsn) -> Option<Lsn> {
    let rest = PAGE_SIZE - at.page_offset();
    (0..rest as u64).step_by(8).map(|offset| at + offset).find(|at| is_record(reader, *at))
}

fn is_record(reader: &mut RecordReader, at: Lsn) -> bool {
    reader.resume(Position::jump_to(at));
    reader.next_record().is_ok_and(|record| record.start() == at)
}
