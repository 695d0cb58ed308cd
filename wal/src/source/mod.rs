//! Where a log's bytes come from: a data directory, its `pg_wal`, single segments, archives.
//!
//! [`Log::open`] looks at a path once ([`catalog`], by the names of files, [`name`], and of archives'
//! members, [`archive`]), takes version and sizes from a first page ([`header`]) and the timelines from a
//! history file ([`history`]). Segments that are compressed, or lie in compressed archives, are read as
//! streams ([`compression`], [`inflated`]), shared by those who read them ([`cache`]), or copied first
//! ([`spool`]).
//!
//! Invariant: a reader asks for segments by number alone, through [`Segments`]; which file, timeline,
//! compression or archive stands behind a number is settled here.

mod archive;
mod cache;
mod catalog;
mod compression;
mod header;
mod history;
mod inflated;
mod log;
mod name;
mod spool;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use base::Lsn;
use base::disk::DiskFile;
use serde::Serialize;

pub use self::header::FirstPageFault;
pub use self::history::{Branch, History, HistoryFault};
pub use self::log::{Log, Options, SystemIdentifier, TimelineChoice};
pub use self::name::Compression;
use crate::segment::{SegmentNumber, SegmentSize, Timeline};
use crate::version::Version;

/// The segments of one log, along one history of timelines.
pub trait Segments: Debug + Send + Sync {
    /// The log's version.
    fn version(&self) -> Version;

    /// The size of its segments.
    fn segment_size(&self) -> SegmentSize;

    /// The identifier that every segment must carry, where it is known beforehand.
    fn system_identifier(&self) -> Option<u64>;

    /// The timeline that segment `number` is read from.
    fn timeline_of(&self, number: SegmentNumber) -> Timeline;

    /// Where the history leaves the timeline that segment `number` is read from, if that is inside the
    /// segment, and the timeline that it goes on with: what the file holds from there on belongs to another
    /// history and is not read. This happens only where the younger timeline's own copy of the segment is missing.
    fn switch_point(&self, number: SegmentNumber) -> Option<(Lsn, Timeline)> {
        let _ = number;
        None
    }

    /// The lowest segment above `number` that may be there; `None` if there is none. Logs have gaps, and an
    /// attacker's have gaps of a trillion segments.
    fn next_after(&self, number: SegmentNumber) -> Option<SegmentNumber> {
        number.checked_add(1)
    }

    /// How many bytes apart from each other readers may stand at once and still be served quickly; `None`
    /// where any distance is as good. What is decompressed can be read anywhere, but only this much of it
    /// is in reach without decompressing it again.
    fn read_span(&self) -> Option<u64> {
        None
    }

    /// Opens segment `number`. The file may be shorter than a segment.
    ///
    /// # Errors
    /// [`SourceError::Missing`] if there is none; otherwise what went wrong with the file.
    fn open(&self, number: SegmentNumber) -> Result<Arc<dyn DiskFile>, SourceError>;
}

/// A segment that is there, and the file that it is read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentFile {
    /// Its timeline.
    pub timeline: Timeline,
    /// Its number.
    pub number: SegmentNumber,
    /// The name that it has in `pg_wal`.
    pub name: String,
    /// What kind of file holds it.
    pub kind: Kind,
    /// Length as stored, in bytes: of a compressed one, compressed.
    pub stored_length: u64,
    /// The file, or the archive and its member.
    pub path: String,
    /// Whether the history that is followed reads this timeline's segment of the number.
    pub is_read: bool,
}

/// What kind of file holds a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Kind {
    /// Whether it is a `.partial` one.
    pub partial: bool,
    /// How it is compressed itself.
    pub compression: Option<Compression>,
    /// Whether it is a member of a tar archive.
    pub archived: bool,
    /// Whether that archive is compressed.
    pub archive_is_compressed: bool,
}

/// How far the look through a compressed archive has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The archive.
    pub path: &'a str,
    /// Bytes of it that have been looked at, as stored.
    pub done: u64,
    /// Its length in bytes, as stored.
    pub total: u64,
}

/// Why a source, or a segment of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No file holds the segment.
    #[error("could not find file \"{name}\": No such file or directory")]
    Missing {
        /// The segment's file name.
        name: String,
    },
    /// The operating system's word on a file.
    #[error("could not read file \"{path}\": {error}")]
    Io {
        /// The file, or the archive and its member.
        path: String,
        /// What it said.
        #[source]
        error: io::Error,
    },
    /// Nothing under the path is a segment.
    #[error(
        "no WAL segments in \"{path}\": give a data directory, a pg_wal or archive directory, a \
         segment's file, or a tar archive of one of these"
    )]
    NoSegments {
        /// The path.
        path: String,
    },
    /// An archive holds no segments before the place where it is damaged.
    #[error("no WAL segments could be read in \"{path}\": {complaint}")]
    NothingLeft {
        /// The path.
        path: String,
        /// What is wrong with the archive.
        complaint: String,
    },
    /// No segment's first page says what log this is; this is the first one that was tried.
    #[error("file \"{path}\" is no WAL segment: {fault}")]
    NotASegment {
        /// The file, or the member of an archive.
        path: String,
        /// What is wrong with its first page.
        #[source]
        fault: FirstPageFault,
    },
    /// A history file is malformed.
    #[error("{path}:{line}: {fault}")]
    History {
        /// The file.
        path: String,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        fault: HistoryFault,
    },
    /// Nothing of the wanted timeline is there.
    #[error("timeline {wanted} has no segments here: there are {}", joined(.present))]
    NoTimeline {
        /// The wanted timeline.
        wanted: Timeline,
        /// Those that are there.
        present: Vec<Timeline>,
    },
    /// The caller wanted no more of it.
    #[error("cancelled")]
    Cancelled,
}

fn joined(timelines: &[Timeline]) -> String {
    timelines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
