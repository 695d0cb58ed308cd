//! What shows that the log was durable further than it can be read.
//!
//! A log that cannot be read on may have ended so: the last writes before a power failure reach the disk in any order, and
//! leave valid records behind a gap. Nobody was told of their transactions, and dropping them is right. Or it was durable
//! there, and has been damaged: then transactions are lost that were acknowledged. These tell the two apart:
//!
//! | evidence | why |
//! |---|---|
//! | a page's LSN | a page is written after the log was flushed up to it |
//! | records in a later segment than reading came to | a segment is made durable before the next one is written |
//! | a marker among the records behind | it says how far the log had been flushed when it was made |
//!
//! A marker is a record `XLOG_NOOP` whose payload is a position: redo, PostgreSQL's too, passes over it. The background
//! writer inserts them while the log grows, so that what cannot be told apart is what was written since the last one.
//! PostgreSQL takes every unreadable place for the end.

use std::fmt;

use base::Lsn;
use wal::record::Record;
use wal::rmgr::Payload;
use wal::rmgr::xlog::{self, Xlog};
use wal::write::NewRecord;

/// What shows that the log was durable beyond the place where it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// A data page has this LSN.
    PageLsn(Lsn),
    /// Valid records lie in a later segment, the first of them here.
    LaterSegment(Lsn),
    /// A record at this position says that the log had been flushed up to that one.
    Marker {
        /// The record.
        at: Lsn,
        /// What it says.
        flushed: Lsn,
    },
    /// None; the caller wants to know of every record behind.
    None,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log had been durable further: ")?;
        match self {
            Evidence::PageLsn(lsn) => write!(f, "a data page carries the position {lsn}"),
            Evidence::LaterSegment(at) => {
                write!(f, "records of the next segments are there, the first at {at}")
            }
            Evidence::Marker { at, flushed } => {
                write!(f, "the record at {at} says that it had been flushed up to {flushed}")
            }
            Evidence::None => f.write_str("valid records lie behind"),
        }
    }
}

/// The payload of a marker which says that the log has been flushed up to here.
pub fn durability_marker(flushed: Lsn) -> [u8; 8] {
    flushed.0.to_le_bytes()
}

/// The record of a marker; `payload` is the marker's.
pub(crate) fn marker_record<'a>(payload: &'a [&'a [u8]]) -> NewRecord<'a> {
    NewRecord { main: payload, is_important: false, ..NewRecord::new(0, xlog::NOOP) }
}

/// What a record says about how far the log had been flushed, if it is a marker.
pub(super) fn flushed_by_marker(record: &Record<'_>) -> Option<Lsn> {
    if record.rmid() != 0 || !matches!(record.payload(), Ok(Payload::Xlog(Xlog::Noop {}))) {
        return None;
    }
    let bytes: [u8; 8] = record.main_data().try_into().ok()?;
    let flushed = Lsn(u64::from_le_bytes(bytes));
    // What was flushed lies before it.
    (flushed <= record.start()).then_some(flushed)
}
