//! Reading records: pages to bytes, bytes to checked records, in order or on several threads at once.
//!
//! [`pages`] brings log pages into memory and checks their headers; [`record_reader`] stitches them into
//! records, one after the other; [`parallel`] reads stretches of the log on several threads and joins them
//! so that the result is that of reading in order; [`damage`] tells why reading stopped, and what lies
//! behind.
//!
//! Invariant: whatever the bytes and the number of threads, the records handed out and the reason for
//! stopping are those of `xlogreader.c` reading from the same position.

pub mod damage;
mod pages;
pub mod parallel;
mod record_reader;

use base::Lsn;
pub use record_reader::RecordReader;

use crate::error::{DecodeError, PageError, RecordError};
use crate::source::SourceError;

/// Why reading stopped. `Display` gives PostgreSQL's message.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// What was asked for next lies beyond the end that the caller set.
    #[error("the end that was asked for is reached")]
    EndReached,
    /// The bytes there are no record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A segment cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A segment's file ends before the page that is needed.
    #[error("could not read from file {segment}, offset {offset}: read {got} of {wanted}")]
    ShortSegment {
        /// Name of the segment's file.
        segment: String,
        /// Where in it, in bytes.
        offset: u64,
        /// Bytes that are there.
        got: usize,
        /// Bytes that were asked for.
        wanted: usize,
    },
}

impl From<PageError> for Stop {
    fn from(error: PageError) -> Stop {
        Stop::Record(RecordError::Page(error))
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Stop {
        Stop::Record(RecordError::Decode(error))
    }
}

/// Where reading stands between two records: all that the next record's checks depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Where the next record starts, or the page's end before it.
    pub next: Lsn,
    /// Start of the record before, which the next one's prev-link must name; `None` after a jump, when the
    /// link need only point backwards.
    pub last: Option<Lsn>,
    /// The highest timeline seen on a page so far.
    pub timeline: u32,
}

impl Position {
    /// At a position from elsewhere, where nothing is known of what came before.
    pub fn jump_to(next: Lsn) -> Position {
        Position { next, last: None, timeline: 0 }
    }
}
