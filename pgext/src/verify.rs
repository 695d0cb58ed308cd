//! Whether a log is whole: `strata.wal_verify`, over the report of `wal::read::damage`.
//!
//! A row is a run of valid records that follow each other, and what stopped reading behind it. Of the server's own log all up
//! to what is flushed must be there: anything but that end is damage. It reads on the backend's own thread.

use std::ops::ControlFlow;

use base::Lsn;
use wal::read::damage::{Break, Cause, Run, verify_to};

use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::log::OpenLog;
use crate::{range, server, walfile};

sql_functions!(wal_verify);

/// `(start_lsn, end_lsn, directory, timeline)`
fn wal_verify(call: &Call) -> Outcome {
    let (start, end) = (call.lsn(0), call.lsn(1));
    let mut rows = Rows::begin(call);
    let directory = call.text(2);
    let timeline = walfile::given_timeline(call, 3)?;
    let log = OpenLog::of_server_or_directory(directory.as_deref(), timeline)?;
    range::check(start, end, log.end())?;
    let segments = log.segments();
    let size = segments.segment_size();
    let end = match (end, log.end()) {
        (Some(end), Some(known)) => Some(end.min(known)),
        (end, known) => end.or(known),
    };
    let Some(first) = log.log().first_segment() else { return Ok(rows.end()) };
    let start = start.unwrap_or_else(|| size.start_of(first));
    if end.is_some_and(|end| start >= end) {
        return Ok(rows.end());
    }
    let last_there = log.log().last_segment().unwrap_or(first);
    let last = end.map_or(last_there, |end| size.number_of(Lsn(end.0 - 1)));
    let report = verify_to(&segments, start, last, end, 1, |_| {
        if server::is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    server::check_for_interrupts();
    report.breaks.iter().try_for_each(|stop| log.check_not_removed(stop.at))?;
    // The server's log goes on to what is flushed.
    let must_reach_end = log.end().is_some();
    let is_sound = report.is_sound()
        && (!must_reach_end || report.breaks.iter().all(|stop| stop.cause == Cause::EndReached));
    let mut run = report.verified;
    for (index, stop) in report.breaks.iter().enumerate() {
        put(&mut rows, is_sound, index == 0, run, stop, must_reach_end);
        run = stop.stranded;
    }
    Ok(rows.end())
}

fn put(
    rows: &mut Rows,
    is_sound: bool,
    is_first: bool,
    run: Option<Run>,
    stop: &Break,
    must_reach_end: bool,
) {
    let lsn = |get: fn(&Run) -> Lsn| run.as_ref().map_or(Value::Null, |run| Value::Lsn(get(run)));
    let explanation = match stop.cause {
        Cause::OrdinaryEnd | Cause::RecycledSegment if must_reach_end => {
            "nothing more can be read here, though the server has flushed more of the log"
        }
        Cause::EndReached if must_reach_end => {
            "read up to what is flushed, or to the end that was asked for"
        }
        cause => cause.explanation(),
    };
    let cause = cause_name(stop.cause);
    rows.put(&[
        Value::Bool(is_sound),
        Value::from(if is_first { "verified" } else { "stranded" }),
        lsn(|run| run.first),
        lsn(|run| run.last),
        lsn(|run| run.end),
        Value::Int8(run.map_or(0, |run| run.records) as i64),
        Value::Int8(run.map_or(0, |run| run.commits) as i64),
        Value::Lsn(stop.at),
        Value::from(stop.segment.as_str()),
        Value::Int8(stop.offset as i64),
        Value::from(cause),
        Value::from(explanation),
        Value::from(stop.message.as_str()),
        stop.torn_record.map_or(Value::Null, Value::Lsn),
    ]);
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::OrdinaryEnd => "ordinary end",
        Cause::RecycledSegment => "recycled segment",
        Cause::TornRecord => "torn record",
        Cause::Checksum => "checksum",
        Cause::BrokenLink => "broken link",
        Cause::MalformedRecord => "malformed record",
        Cause::MalformedPage => "malformed page",
        Cause::ZeroedPage => "zeroed page",
        Cause::MisplacedPage => "misplaced page",
        Cause::LostContinuation => "lost continuation",
        Cause::MissingSegment => "missing segment",
        Cause::ShortSegment => "short segment",
        Cause::ForeignSegment => "foreign segment",
        Cause::Unreadable => "unreadable",
        Cause::EndReached => "end reached",
    }
}
