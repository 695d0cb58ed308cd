//! The range of the running server's log that a function is asked about: two arguments, `start_lsn` and `end_lsn`.
//!
//! Without a start it begins with the oldest segment that is there without a gap behind it; without an end, or with one
//! that lies in the future, it goes as far as the log is flushed or, in recovery, replayed. Its records are those from the
//! first that starts at or behind the start to the last that ends at or before the end.

use base::Lsn;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::{Record, Version};

use crate::error::SqlError;
use crate::ffi::function::Call;
use crate::log::OpenLog;
use crate::server;

/// A range of the server's log.
#[derive(Debug)]
pub(crate) struct Range {
    log: OpenLog,
    pub(crate) start: Lsn,
    pub(crate) end: Lsn,
}

impl Range {
    /// From the first two arguments, either of which may be NULL.
    pub(crate) fn of(call: &Call) -> Result<Range, SqlError> {
        let known = server::known_end().lsn;
        let (start, end) = (call.lsn(0), call.lsn(1));
        check(start, end, Some(known))?;
        let log = OpenLog::of_server(None)?;
        let oldest = || {
            log.oldest().ok_or_else(|| {
                SqlError::new(
                    PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
                    "there are no WAL segments of this server's timeline",
                )
            })
        };
        let start = start.map_or_else(oldest, Ok)?;
        let end = end.map_or(known, |end| end.min(known));
        Ok(Range { log, start, end })
    }

    /// The version whose log it is.
    pub(crate) fn version(&self) -> Version {
        self.log.segments().version()
    }

    /// Shows all records, in order.
    pub(crate) fn for_each(
        &self,
        mut see: impl FnMut(&Record<'_>) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        if self.start >= self.end {
            return Ok(());
        }
        let mut records = self.log.records(self.start)?;
        loop {
            let goes_on = records.next(|record| match record.end() <= self.end {
                true => see(record).map(|()| true),
                false => Ok(false),
            })?;
            if !goes_on.transpose()?.unwrap_or(false) {
                return Ok(());
            }
        }
    }
}

/// An error if `start` lies behind `end`, or behind the end of a log that is known up to `known`.
pub(crate) fn check(
    start: Option<Lsn>,
    end: Option<Lsn>,
    known: Option<Lsn>,
) -> Result<(), SqlError> {
    let Some(start) = start else { return Ok(()) };
    if let Some(known) = known
        && start > known
    {
        return Err(SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("WAL start LSN {start} lies in the future"),
        )
        .detail(format!("The log is flushed, or replayed, up to {known}."))
        .hint("pg_current_wal_flush_lsn() and pg_last_wal_replay_lsn() tell how far."));
    }
    if let Some(end) = end
        && start > end
    {
        return Err(SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "WAL start LSN must not be greater than end LSN",
        )
        .detail(format!("The start is {start}, the end {end}.")));
    }
    Ok(())
}
