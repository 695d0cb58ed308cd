//! The segments in the server's `pg_wal`: `strata.wal_segments`. Of what lies behind the end of the log nothing is shown but
//! which segment it once was.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

use base::Lsn;
use base::disk::{Disk, RealDisk};
use wal::page::Expected;
use wal::segment::SegmentSize;
use wal::segment_use::SegmentUse;
use wal::source::SegmentFile;

use crate::error::{SqlError, code_of_io};
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::log::OpenLog;
use crate::server::{self, KnownEnd};

sql_functions!(wal_segments);

/// What a segment is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Another timeline's, which the current one does not come from, or whose segment a later timeline has as well.
    OtherTimeline,
    /// Behind the end: prepared for use.
    Future,
    /// The log's end lies in it.
    Current,
    /// A crash recovery would read it.
    Recovery,
    /// From before the redo point.
    Past,
}

impl State {
    fn of(file: &SegmentFile, size: SegmentSize, known: KnownEnd, redo: Lsn) -> State {
        let current = size.number_of(known.lsn);
        if file.number > current && file.timeline >= known.timeline {
            State::Future
        } else if !file.is_read {
            State::OtherTimeline
        } else if file.number == current {
            State::Current
        } else if file.number >= size.number_of(redo) {
            State::Recovery
        } else {
            State::Past
        }
    }

    fn name(self) -> &'static str {
        match self {
            State::OtherTimeline => "other timeline",
            State::Future => "future",
            State::Current => "current",
            State::Recovery => "needed for recovery",
            State::Past => "past",
        }
    }
}

/// A row a segment, in the log's order.
fn wal_segments(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let log = OpenLog::of_server(None)?;
    let known = server::known_end();
    let redo = wal::control::load(&RealDisk, &server::data_directory())?.data.checkpoint_copy.redo;
    let size = log.segments().segment_size();
    let expected = Expected {
        version: log.version(),
        segment_size: size,
        system_identifier: Some(server::system_identifier()),
    };
    let archived = ArchiveStatus::read(&server::data_directory().join("pg_wal/archive_status"))?;
    for file in log.log().segments() {
        server::check_for_interrupts();
        // A server removes and renames them all the time.
        let Some(found) = look(&file, &expected)? else { continue };
        let state = State::of(&file, size, known, redo);
        let bytes_used = match state {
            State::Future => 0,
            State::Current => size.offset_of(known.lsn),
            _ => found.bytes_used,
        };
        let start = size.start_of(file.number);
        let end = file.number.checked_add(1).map(|next| size.start_of(next));
        let recycled_from =
            found.recycled_from.map(|(timeline, number)| size.file_name(timeline, number));
        rows.put(&[
            Value::from(file.name.as_str()),
            Value::Int8(i64::from(file.timeline.0)),
            Value::Int8(file.number as i64),
            Value::Lsn(start),
            end.filter(|end| *end > start).map_or(Value::Null, Value::Lsn),
            Value::from(state.name()),
            Value::Int8(bytes_used as i64),
            Value::Int8(file.stored_length as i64),
            Value::Bool(recycled_from.is_some()),
            recycled_from.as_deref().map_or(Value::Null, Value::from),
            archived.of(&file.name).map_or(Value::Null, Value::from),
        ]);
    }
    Ok(rows.end())
}

/// `None` if the file is gone, or is compressed or an archive's, which the server does not make.
fn look(file: &SegmentFile, expected: &Expected) -> Result<Option<SegmentUse>, SqlError> {
    if file.kind.compression.is_some() || file.kind.archived {
        return Ok(None);
    }
    let looked = RealDisk
        .open(Path::new(&file.path))
        .and_then(|open| SegmentUse::of(&*open, file.number, expected));
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&file.path, &error)),
    }
}

fn unreadable(path: &str, error: &io::Error) -> SqlError {
    SqlError::new(code_of_io(error), format!("could not read file \"{path}\": {error}"))
}

/// Which segments wait for the archiver, and which it is done with.
#[derive(Debug, Default)]
struct ArchiveStatus {
    files: HashSet<String>,
}

impl ArchiveStatus {
    fn read(directory: &Path) -> Result<ArchiveStatus, SqlError> {
        match RealDisk.list(directory) {
            Ok(entries) => {
                let name = |name: &OsStr| name.to_str().map(str::to_owned);
                Ok(ArchiveStatus {
                    files: entries.iter().filter_map(|entry| name(&entry.name)).collect(),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ArchiveStatus::default()),
            Err(error) => Err(unreadable(&directory.display().to_string(), &error)),
        }
    }

    fn of(&self, name: &str) -> Option<&'static str> {
        ["ready", "done"]
            .into_iter()
            .find(|status| self.files.contains(&format!("{name}.{status}")))
    }
}
