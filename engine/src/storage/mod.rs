//! What transactions, checkpoints and recovery share: one data directory with its log, its pages, its transaction logs
//! and its counters.
//!
//! ```text
//!            ┌── DataDirectory: lock, pg_control
//!            ├── LogHandle ──► wal::write::Log, once recovery knows where the log ends
//! Storage ───┼── Pool ──flushes──► LogHandle
//!            ├── clog, commit_ts, subtrans, multixact ──flush──► LogHandle
//!            ├── Ids: what is given out next
//!            ├── CommitGate: who commits just now
//!            └── TwoPhaseStates: who is prepared, and where its state lies
//! ```
//!
//! Invariants: nothing here starts a thread or decides anything. What is lent out (pool, logs) flushes the log through
//! the one [`LogHandle`], so that no page is on the disk before its log.

mod commit_gate;
mod hint_image;
mod ids;
mod log_handle;
mod maps;
mod member_space;
pub(crate) mod temporary;

use base::sync::Arc;
use base::sync::atomic::AtomicU64;
use base::{FullXid, Xid};
use wal::write::LogPlace;

pub use commit_gate::{CommitGate, Committing};
pub(crate) use hint_image::PageImage;
pub use ids::{IdState, Ids, OIDS_LOGGED_AHEAD};
pub use log_handle::LogHandle;
pub use temporary::TemporaryFileError;

use crate::buffer::{BufferPool, RelationFiles};
use crate::data_directory::DataDirectory;
use crate::prepared::TwoPhaseStates;
use crate::slru::{Clog, CommitTsLog, FlushLog, MultiXactLog, Subtrans};

/// Pages of relations in memory.
pub type Pool = BufferPool<RelationFiles, Arc<LogHandle>>;

/// How much of everything is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageOptions {
    /// Frames of the buffer pool, of 8 kB (`shared_buffers`).
    pub buffers: usize,
    /// Pages of each of the transaction logs, of 8 kB.
    pub slru_buffers: usize,
    /// Places in the [`CommitGate`]: one for each slot of the process array.
    pub committers: usize,
}

/// One data directory, open.
#[derive(Debug)]
pub struct Storage {
    /// Pages of relations. Before the log, so that nothing holds the log when that is closed.
    pub pool: Pool,
    /// Who committed.
    pub clog: Clog,
    /// And when.
    pub commit_ts: CommitTsLog,
    /// Parents of subtransactions.
    pub subtrans: Subtrans,
    /// Sets of transactions that hold a row together.
    pub multixact: MultiXactLog,
    /// The log.
    pub log: Arc<LogHandle>,
    /// What is given out next.
    pub ids: Ids,
    /// Who commits just now.
    pub commit_gate: CommitGate,
    /// Who is prepared.
    pub(crate) two_phase: TwoPhaseStates,
    /// The number of the next temporary file.
    next_temporary_file: AtomicU64,
    /// The directory, its lock and its control file.
    pub directory: DataDirectory,
}

impl Storage {
    /// Over a data directory that is locked. The log is not open yet; ids are those of the last checkpoint in the
    /// control file.
    ///
    /// # Panics
    /// Without a buffer, or with fewer than two pages of each transaction log.
    pub fn new(directory: DataDirectory, options: StorageOptions) -> Storage {
        let (checkpoint, checksums) = {
            let control = directory.control();
            (control.data().checkpoint_copy, control.data().data_checksum_version != 0)
        };
        let (disk, path) = (Arc::clone(directory.disk()), directory.path().to_owned());
        let log = Arc::new(LogHandle::new());
        let flushes = || Arc::clone(&log) as Arc<dyn FlushLog>;
        let files = RelationFiles::new(Arc::clone(&disk), &path);
        let pages = options.slru_buffers;
        Storage {
            pool: BufferPool::new(options.buffers, files, Arc::clone(&log), checksums),
            clog: Clog::new(Arc::clone(&disk), &path, pages, flushes()),
            commit_ts: CommitTsLog::new(Arc::clone(&disk), &path, pages, flushes()),
            subtrans: Subtrans::new(Arc::clone(&disk), &path, pages, flushes()),
            multixact: MultiXactLog::new(disk, &path, pages, flushes()),
            ids: Ids::new(&checkpoint),
            commit_gate: CommitGate::new(options.committers),
            two_phase: TwoPhaseStates::default(),
            next_temporary_file: AtomicU64::new(0),
            log,
            directory,
        }
    }

    /// Where its log is, on the timeline of the control file's last checkpoint.
    pub fn log_place(&self) -> LogPlace {
        let control = self.directory.control();
        let data = control.data();
        LogPlace {
            disk: Arc::clone(self.directory.disk()),
            directory: self.directory.path().join("pg_wal"),
            segment_size: wal::segment::SegmentSize::from_bytes(u64::from(data.wal_segment_size))
                .expect("checked when the control file was read"),
            system_identifier: data.system_identifier,
            timeline: data.checkpoint_copy.timeline,
        }
    }

    /// Whether pages carry checksums, and so hint bits are logged.
    pub fn has_checksums(&self) -> bool {
        self.directory.control().data().data_checksum_version != 0
    }
}

/// Who runs, as a checkpoint logs it (`RunningTransactionsData`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Running {
    /// The next id.
    pub next_xid: FullXid,
    /// The newest transaction that ended.
    pub latest_completed: Xid,
    /// The oldest one that runs, or else the next.
    pub oldest_running: Xid,
    /// Running top-level transactions.
    pub xids: Vec<Xid>,
    /// Running subtransactions, as far as they are kept.
    pub subxids: Vec<Xid>,
    /// Whether not all of those are.
    pub subxid_overflow: bool,
}

/// Who can say who runs: the process array, or at the end of recovery nobody.
pub trait RunningTransactions: std::fmt::Debug + Send + Sync {
    /// All who run at one moment.
    fn running(&self) -> Running;

    /// The oldest transaction id whose parent anybody can still ask for; `None` where that is not known, and pages of
    /// `pg_subtrans` are then kept.
    fn oldest_considered_running(&self) -> Option<Xid> {
        None
    }
}
