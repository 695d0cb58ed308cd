//! What a log is opened with.

use std::path::PathBuf;
use std::time::Duration;

use base::disk::Disk;
use base::sync::Arc;
use base::{Lsn, TimestampTz};

use super::archive::ArchiveTo;
use super::builder::PageWrites;
use super::image::ImageCompression;
use super::sync_method::SyncMethod;
use crate::segment::{SegmentSize, Timeline};

/// How a log is written. The default is PostgreSQL's, where PostgreSQL has the parameter.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Pages of 8 kB in the buffers (`wal_buffers`), at least 4; rounded up to a power of two.
    pub buffer_pages: u64,
    /// How many threads can insert at the same moment; others wait for a few instructions.
    pub insertion_slots: usize,
    /// How files are made durable (`wal_sync_method`, and `fsync`).
    pub sync_method: SyncMethod,
    /// How full-page images are compressed (`wal_compression`).
    pub compression: ImageCompression,
    /// How long the leader of a group of commits waits for others before it flushes (`commit_delay`).
    pub commit_delay: Duration,
    /// Only with at least so many other active transactions does it wait (`commit_siblings`).
    pub commit_siblings: u32,
    /// Whether sessions that wait for a flush of less than half a millisecond keep their processors awake, and commit sooner for it. If
    /// several wait, each gives its processor to whoever wants it again and again, and of three or more on one processor one moves to
    /// where at least two fewer are. For one that commits alone (no other transaction has an id) a thread of the lowest priority (`SCHED_IDLE`) spins on
    /// its processor, where a flush takes 20 µs at least; the scheduler knows that priority among the threads of one control group, or session of
    /// processes, alone. Processors are those of the thread that opens the log; if it may use one alone, no thread spins.
    pub waits_awake: bool,
    /// How often the WAL writer looks (`wal_writer_delay`); `None` for no WAL writer, with which asynchronous
    /// commits are flushed only along with synchronous ones.
    pub wal_writer_delay: Option<Duration>,
    /// From so many unflushed bytes on it flushes before the delay is over (`wal_writer_flush_after`).
    pub wal_writer_flush_after: u64,
    /// Bytes of old segments that are kept in any case (`wal_keep_size`).
    pub keep_size: u64,
    /// Old segments are used again, rather than removed, up to this size of the log (`min_wal_size`).
    pub minimum_size: u64,
    /// Where full segments are archived.
    pub archive: Option<ArchiveTo>,
    /// Whether a thread archives them. Without it they are archived on demand
    /// ([`Log::archive_ready`](super::Log::archive_ready)) and when the log is closed.
    pub archives_by_itself: bool,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            buffer_pages: 2048,
            insertion_slots: 32,
            sync_method: SyncMethod::default(),
            compression: ImageCompression::default(),
            commit_delay: Duration::ZERO,
            commit_siblings: 5,
            waits_awake: true,
            wal_writer_delay: Some(Duration::from_millis(200)),
            wal_writer_flush_after: 1 << 20,
            keep_size: 0,
            minimum_size: 80 << 20,
            archive: None,
            archives_by_itself: true,
        }
    }
}

/// Which log it is, and where its files are.
#[derive(Debug, Clone)]
pub struct LogPlace {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The directory `pg_wal`, which exists.
    pub directory: PathBuf,
    /// Size of a segment.
    pub segment_size: SegmentSize,
    /// The system identifier of `pg_control`.
    pub system_identifier: u64,
    /// The timeline that is written.
    pub timeline: Timeline,
}

/// Where a log ends that is to be gone on with, as recovery found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndOfLog {
    /// Where the last record ends.
    pub end: Lsn,
    /// Where the last record starts.
    pub last_record: Lsn,
    /// Start of a record behind `end` of which only the beginning arrived, if the log has one over several
    /// pages, and the page on which the rest is missing: the log goes on there, and says so.
    pub cut_off: Option<CutOff>,
    /// The redo point of the last checkpoint, and whether images are taken.
    pub writes: PageWrites,
}

/// A record over several pages of which a crash left only the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// Where it starts.
    pub record: Lsn,
    /// Start of the first page that should continue it and does not.
    pub missing_page: Lsn,
    /// The time that is logged with it.
    pub noticed_at: TimestampTz,
}
