//! Names of WAL segments' files and back: `strata.walfile_name`, `walfile_name_offset`, `walfile_lsn`, `split_walfile_name`.
//!
//! As the server's functions, but for any timeline and segment size, and on a standby, too. At the very boundary between two
//! segments they agree with the server's own major: 15 and 16 name the segment that ends there, 17 and 18 the one that
//! begins.

use base::Lsn;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::segment::{SegmentNumber, SegmentSize, Timeline};

use crate::error::SqlError;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::row::{row, scalar};
use crate::ffi::value::Value;
use crate::server;

sql_functions!(walfile_name, walfile_name_offset, walfile_lsn, split_walfile_name);

/// Whether a boundary belongs to the segment that ends there.
const ENDS_BEFORE_BOUNDARY: bool = cfg!(any(feature = "pg15", feature = "pg16"));

/// `(lsn, timeline, segment_size)`
fn walfile_name(call: &Call) -> Outcome {
    let Some(lsn) = call.lsn(0) else { return Ok(scalar(call, Value::Null)) };
    let name = name_of(lsn, timeline(call, 1)?, segment_size(call, 2)?);
    Ok(scalar(call, Value::from(name.as_str())))
}

/// `(lsn, timeline, segment_size)`
fn walfile_name_offset(call: &Call) -> Outcome {
    let Some(lsn) = call.lsn(0) else { return Ok(row(call, &[Value::Null; 2])) };
    let size = segment_size(call, 2)?;
    let name = name_of(lsn, timeline(call, 1)?, size);
    // Below 1 GiB.
    let offset = Value::Int4(size.offset_of(lsn) as i32);
    Ok(row(call, &[Value::from(name.as_str()), offset]))
}

/// `(file_name, file_offset, segment_size)`
fn walfile_lsn(call: &Call) -> Outcome {
    let (Some(name), Some(offset)) = (call.text(0), call.int8(1)) else {
        return Ok(scalar(call, Value::Null));
    };
    let size = segment_size(call, 2)?;
    let (_, number) = parse(&name, size)?;
    let start = start_of(number, size).ok_or_else(|| {
        invalid(format!("WAL file name \"{name}\" lies beyond the log's last position"))
            .detail(format!("Segments are of {} bytes here.", size.bytes()))
    })?;
    let offset = u64::try_from(offset).ok().filter(|offset| *offset < size.bytes());
    let offset = offset.ok_or_else(|| {
        invalid("offset in a WAL file is out of range")
            .detail(format!("It is from 0 to {}.", size.bytes() - 1))
    })?;
    Ok(scalar(call, Value::Lsn(start + offset)))
}

/// `(file_name, segment_size)`: `segment_number`, `timeline_id`, `start_lsn`, `end_lsn`
fn split_walfile_name(call: &Call) -> Outcome {
    let Some(name) = call.text(0) else { return Ok(row(call, &[Value::Null; 4])) };
    let size = segment_size(call, 1)?;
    let (timeline, number) = parse(&name, size)?;
    let lsn = |lsn: Option<Lsn>| lsn.map_or(Value::Null, Value::Lsn);
    Ok(row(
        call,
        &[
            Value::Int8(number as i64),
            Value::Int8(i64::from(timeline.0)),
            lsn(start_of(number, size)),
            lsn(start_of(number + 1, size)),
        ],
    ))
}

fn name_of(lsn: Lsn, timeline: Timeline, size: SegmentSize) -> String {
    let within = if ENDS_BEFORE_BOUNDARY { Lsn(lsn.0.wrapping_sub(1)) } else { lsn };
    size.file_name(timeline, size.number_of(within))
}

/// As the server does, in upper or lower case.
pub(crate) fn parse(name: &str, size: SegmentSize) -> Result<(Timeline, SegmentNumber), SqlError> {
    size.parse_file_name(&name.to_ascii_uppercase()).ok_or_else(|| {
        invalid(format!("invalid WAL file name \"{name}\""))
            .hint("It is 24 hexadecimal digits: eight of the timeline, sixteen of the segment.")
    })
}

/// `None` beyond the last position.
fn start_of(number: SegmentNumber, size: SegmentSize) -> Option<Lsn> {
    number.checked_mul(size.bytes()).map(Lsn)
}

/// The timeline in an argument; the server's without one.
fn timeline(call: &Call, number: usize) -> Result<Timeline, SqlError> {
    Ok(given_timeline(call, number)?.unwrap_or_else(|| server::known_end().timeline))
}

/// The timeline in an argument.
pub(crate) fn given_timeline(call: &Call, number: usize) -> Result<Option<Timeline>, SqlError> {
    let Some(given) = call.int8(number) else { return Ok(None) };
    match u32::try_from(given) {
        Ok(timeline) if timeline > 0 => Ok(Some(Timeline(timeline))),
        _ => Err(invalid(format!("timeline {given} is out of range"))
            .detail("It is from 1 to 4294967295.")),
    }
}

/// The segment size in an argument; the server's without one.
fn segment_size(call: &Call, number: usize) -> Result<SegmentSize, SqlError> {
    let Some(given) = call.int8(number) else { return Ok(servers_segment_size()) };
    u64::try_from(given).ok().and_then(SegmentSize::from_bytes).ok_or_else(|| {
        invalid(format!("invalid WAL segment size {given}"))
            .detail("It is a power of two from 1048576 to 1073741824 bytes.")
    })
}

/// The size of the server's own segments.
pub(crate) fn servers_segment_size() -> SegmentSize {
    server::segment_size().unwrap_or(SegmentSize::DEFAULT)
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message)
}
