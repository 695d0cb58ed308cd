//! What a checkpoint did.
//!
//! Its text is that of PostgreSQL's log with `log_checkpoints`, and a second line with what PostgreSQL does not say.

use std::fmt;
use std::time::Duration;

use base::{Lsn, Xid};
use wal::checkpoint::CheckPoint;
use wal::write::{LogError, Removal};

use crate::buffer::{DirtyPicture, FileSyncs};

/// Why a checkpoint is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckpointCause {
    /// It was time.
    Time,
    /// So much was logged since the last one.
    Volume,
    /// Somebody asked for one.
    Demand,
    /// The engine stops.
    Shutdown,
    /// Recovery ends.
    EndOfRecovery,
}

impl CheckpointCause {
    /// As PostgreSQL's log says it.
    pub const fn name(self) -> &'static str {
        match self {
            CheckpointCause::Time => "time",
            CheckpointCause::Volume => "wal",
            CheckpointCause::Demand => "force",
            CheckpointCause::Shutdown => "shutdown",
            CheckpointCause::EndOfRecovery => "end-of-recovery",
        }
    }
}

/// What a checkpoint did.
#[derive(Debug, Clone)]
pub struct CheckpointReport {
    /// Why it was made.
    pub cause: CheckpointCause,
    /// Where its record starts.
    pub lsn: Lsn,
    /// What the record says: redo point, counters, oldest transactions.
    pub checkpoint: CheckPoint,
    /// What was in the buffer pool when it began, and what of it was dirty.
    pub picture: DirtyPicture,
    /// Pages of relations that it wrote.
    pub buffers_written: usize,
    /// Pages of transaction logs that it wrote.
    pub slru_written: usize,
    /// Segments of the log that were made ahead.
    pub segments_added: u64,
    /// What became of old segments.
    pub removal: Removal,
    /// Files that were synced.
    pub syncs: FileSyncs,
    /// How long writing took, waits included.
    pub write: Duration,
    /// How long syncing took.
    pub sync: Duration,
    /// How long all of it took.
    pub total: Duration,
    /// Bytes of log from the last redo point to this one.
    pub distance: u64,
    /// How many are expected until the next one.
    pub estimate: u64,
    /// Why old segments could not be removed, if they could not: the checkpoint stands.
    pub housekeeping: Option<LogError>,
}

impl CheckpointReport {
    /// The oldest transaction that ran when it began; invalid where nothing could run.
    pub fn oldest_active_xid(&self) -> Xid {
        self.checkpoint.oldest_active_xid
    }
}

/// As PostgreSQL prints times there: seconds with three decimals.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        write!(f, "{}.{:03} s", millis / 1000, millis % 1000)
    }
}

impl fmt::Display for CheckpointReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DirtyPicture { frames, used, dirty, ref forks } = self.picture;
        let percent = self.buffers_written as f64 * 100.0 / frames.max(1) as f64;
        let average = self.syncs.total.checked_div(self.syncs.files as u32).unwrap_or_default();
        write!(
            f,
            "checkpoint complete: wrote {} buffers ({percent:.1}%); {} WAL file(s) added, {} removed, {} recycled; \
             write={}, sync={}, total={}; sync files={}, longest={}, average={}; distance={} kB, estimate={} kB",
            self.buffers_written,
            self.segments_added,
            self.removal.removed,
            self.removal.recycled,
            Seconds(self.write),
            Seconds(self.sync),
            Seconds(self.total),
            self.syncs.files,
            Seconds(self.syncs.longest),
            Seconds(average),
            self.distance / 1024,
            self.estimate / 1024,
        )?;
        let CheckPoint { redo, oldest_xid, oldest_active_xid, .. } = self.checkpoint;
        write!(
            f,
            "\n{}: lsn={}, redo lsn={redo}; oldest xid={oldest_xid}, oldest running={oldest_active_xid}; at its start \
             {dirty} dirty of {used} used of {frames} buffers",
            self.cause.name(),
            self.lsn,
        )?;
        for (position, (locator, fork, count)) in forks.iter().take(3).enumerate() {
            let before = if position == 0 { ": " } else { ", " };
            write!(f, "{before}{count} of {locator} ({fork})")?;
        }
        match &self.housekeeping {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}
