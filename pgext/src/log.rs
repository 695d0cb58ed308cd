//! A write-ahead log as SQL reads it: the running server's own, or one in a directory.
//!
//! Invariants:
//! - of the server's own log nothing is read past what it has flushed (in recovery: replayed), whatever lies in the
//!   files behind;
//! - every segment must carry the server's system identifier and segment size;
//! - files are read, not mapped: the server takes old segments for new ones under our feet. What then cannot be read is an
//!   error that says so, never a wrong record;
//! - reading is called off within a record, or a read of 512 kB, after the query is cancelled.

use std::ops::ControlFlow;
use std::path::Path;

use base::Lsn;
use base::disk::RealDisk;
use base::sync::Arc;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::read::damage::{Cause, cause_of};
use wal::read::parallel::Gather;
use wal::read::{Position, RecordReader, Stop};
use wal::segment::Timeline;
use wal::source::{Log, Options, Segments, SourceError, SystemIdentifier, TimelineChoice};
use wal::{Record, Version};

use crate::error::SqlError;
use crate::foreign::check_may_read_files;
use crate::server;

/// A log, opened.
#[derive(Debug, Clone)]
pub(crate) struct OpenLog {
    log: Arc<Log>,
    /// Whether it is the running server's.
    is_servers: bool,
    /// Where it ends, if that is known; else where no next record is found.
    end: Option<Lsn>,
}

impl OpenLog {
    /// The running server's log: on its current timeline up to what is flushed, or on another one.
    pub(crate) fn of_server(timeline: Option<Timeline>) -> Result<OpenLog, SqlError> {
        let known = server::known_end();
        let timeline = timeline.unwrap_or(known.timeline);
        let log = open(
            &server::data_directory().join("pg_wal"),
            TimelineChoice::Exact(timeline),
            SystemIdentifier::Known(server::system_identifier()),
        )?;
        // Nobody writes to older timelines any more.
        let end = (timeline >= known.timeline).then_some(known.lsn);
        Ok(OpenLog { log: Arc::new(log), is_servers: true, end })
    }

    /// The log in a directory or archive, on its latest timeline or another one, up to where it ends. The caller checks
    /// who may.
    pub(crate) fn of_directory(
        path: &Path,
        timeline: Option<Timeline>,
    ) -> Result<OpenLog, SqlError> {
        let timeline = timeline.map_or(TimelineChoice::Latest, TimelineChoice::Exact);
        let log = open(path, timeline, SystemIdentifier::OfFirstSegment)?;
        Ok(OpenLog { log: Arc::new(log), is_servers: false, end: None })
    }

    /// The log in `directory`, which the caller's user must be allowed to read files of the server for, or the running
    /// server's without one.
    pub(crate) fn of_server_or_directory(
        directory: Option<&str>,
        timeline: Option<Timeline>,
    ) -> Result<OpenLog, SqlError> {
        let Some(directory) = directory else { return OpenLog::of_server(timeline) };
        check_may_read_files(server::current_user())?;
        let path = Path::new(directory);
        if !path.is_absolute() {
            return Err(SqlError::new(
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
                format!("\"{directory}\" is not an absolute path"),
            ));
        }
        OpenLog::of_directory(path, timeline)
    }

    /// The segments, which may be read on other threads.
    pub(crate) fn segments(&self) -> Arc<dyn Segments> {
        Arc::clone(&self.log) as Arc<dyn Segments>
    }

    /// The version whose log it is.
    pub(crate) fn version(&self) -> Version {
        self.log.version()
    }

    /// The files behind it.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Where the log ends, if that is known without reading it.
    pub(crate) fn end(&self) -> Option<Lsn> {
        self.end
    }

    /// The first position of the oldest segment from which on the log is there without a gap; `None` if nothing is.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        let size = self.log.segment_size();
        let last = self.end.map(|end| size.number_of(Lsn(end.0.saturating_sub(1))));
        let mut number = self.log.first_segment()?;
        let mut oldest = number;
        while let Some(next) = self.log.next_after(number)
            && last.is_none_or(|last| next <= last)
        {
            if next != number + 1 {
                oldest = next;
            }
            number = next;
        }
        Some(size.start_of(oldest))
    }

    /// The records from the first that starts at or behind `start` on.
    pub(crate) fn records(&self, start: Lsn) -> Result<Records, SqlError> {
        let mut reader = RecordReader::new(self.segments());
        reader.set_end(self.end);
        let mut records = Records { log: self.clone(), reader, has_ended: false };
        server::check_for_interrupts();
        if let Err(stop) = records.reader.find_first(start) {
            if !self.is_end(&stop, records.reader.aborted_record().is_some()) {
                return Err(self.error(&stop, start));
            }
            records.has_ended = true;
        }
        Ok(records)
    }

    /// Whether an undamaged log ends so. `torn` says whether a record was being put together from several pages.
    pub(crate) fn is_end(&self, stop: &Stop, torn: bool) -> bool {
        if self.end.is_some() {
            // All before the end has been flushed, and must be there.
            return matches!(stop, Stop::EndReached);
        }
        let last = self.log.last_segment().unwrap_or(0);
        let cause = cause_of(stop, torn, self.log.segment_size(), last);
        cause.is_ordinary() || cause == Cause::TornRecord
    }

    /// Whether it is the running server's, which has removed the segment of this position.
    fn was_removed(&self, at: Lsn) -> bool {
        self.is_servers && self.log.segment_size().number_of(at) <= server::last_removed_segment()
    }

    /// An error if the running server has removed the segment of this position.
    pub(crate) fn check_not_removed(&self, at: Lsn) -> Result<(), SqlError> {
        if !self.was_removed(at) {
            return Ok(());
        }
        let number = self.log.segment_size().number_of(at);
        Err(removed(&self.log.segment_size().file_name(self.log.timeline_of(number), number), at))
    }

    /// Why reading stopped at `at`, as an error.
    pub(crate) fn error(&self, stop: &Stop, at: Lsn) -> SqlError {
        let number = self.log.segment_size().number_of(at);
        let name = self.log.segment_size().file_name(self.log.timeline_of(number), number);
        if self.was_removed(at) {
            return removed(&name, at);
        }
        if let Stop::Source(SourceError::Missing { name }) = stop {
            return if self.is_servers {
                removed(name, at)
            } else {
                SqlError::new(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
                    format!("WAL segment {name} is missing"),
                )
                .detail(format!("The record at {at} begins or goes on in it."))
                .hint("Put it there, or begin behind the gap.")
            };
        }
        let code = match stop {
            Stop::Source(error) => crate::error::code_of_source(error),
            _ => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        };
        let stop = stop.to_string();
        let stop = crate::error::without_number(&stop);
        SqlError::new(code, format!("could not read WAL at {at}: {stop}"))
            .detail(format!("The position is in WAL segment {name}."))
            .hint("`strata verify` tells what is wrong with a log and which records lie behind.")
    }
}

fn removed(name: &str, at: Lsn) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
        format!("WAL segment {name} has been removed"),
    )
    .detail(format!(
        "The record at {at} begins or goes on in it. The server removes segments, or uses them again, at checkpoints."
    ))
    .hint("Begin at a later position. A replication slot or \"wal_keep_size\" keeps segments.")
}

fn open(
    path: &Path,
    timeline: TimelineChoice,
    system_identifier: SystemIdentifier,
) -> Result<Log, SqlError> {
    let mut watch = |_: wal::source::Progress<'_>| {
        if server::is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = Options { timeline, system_identifier, start: None, progress: Some(&mut watch) };
    let log = Log::open(Arc::new(RealDisk), path, options);
    server::check_for_interrupts();
    Ok(log?)
}

/// The records of a log, one after the other.
#[derive(Debug)]
pub(crate) struct Records {
    log: OpenLog,
    reader: RecordReader,
    has_ended: bool,
}

impl Records {
    /// Shows the next record to `see` and returns what that makes of it; `None` at the end of the log. Raises an error if
    /// the query is cancelled.
    #[inline]
    pub(crate) fn next<T>(
        &mut self,
        see: impl FnOnce(&Record<'_>) -> T,
    ) -> Result<Option<T>, SqlError> {
        self.read(|reader| reader.next_record().map(|record| see(&record)))
    }

    /// Has the next record or more gathered; false at the end of the log. Raises an error if the query is cancelled.
    #[inline]
    pub(crate) fn gather(&mut self, gathered: &mut impl Gather) -> Result<bool, SqlError> {
        Ok(self.read(|reader| gathered.read_from(reader))?.is_some())
    }

    #[inline]
    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut RecordReader) -> Result<T, Stop>,
    ) -> Result<Option<T>, SqlError> {
        server::check_for_interrupts();
        if self.has_ended {
            return Ok(None);
        }
        let at = self.reader.position().next;
        match read(&mut self.reader) {
            Ok(found) => Ok(Some(found)),
            Err(stop) => {
                let torn = self.reader.aborted_record().is_some();
                self.has_ended = self.log.is_end(&stop, torn);
                if self.has_ended { Ok(None) } else { Err(self.log.error(&stop, at)) }
            }
        }
    }

    /// Where the next record starts, or the page's end before it.
    pub(crate) fn position(&self) -> Position {
        self.reader.position()
    }

    /// Whether the end of the log was found.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }
}
