//! Why a directory cannot be recovered: where, why, what to do.

use base::Lsn;
use wal::read::Stop;
use wal::segment::Timeline;
use wal::source::SourceError;

use super::evidence::Evidence;
use crate::buffer::PageName;
use crate::redo::RedoError;

/// Why recovery cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// Nothing can be read of the log.
    #[error("could not read the log: {0}")]
    Source(#[from] SourceError),
    /// The checkpoint that recovery starts from is not in the log.
    #[error(
        "could not locate a valid checkpoint record at {at}: {reason} (the log is damaged or its files are missing: put \
         them back, or restore a backup)"
    )]
    NoCheckpoint {
        /// Where pg_control says that it is.
        at: Lsn,
        /// What is there.
        reason: String,
    },
    /// The first record to redo is not in the log.
    #[error(
        "could not find the redo location {redo} of the checkpoint at {checkpoint}: {stop} (the log's files are missing \
         or damaged: put them back, or restore a backup)"
    )]
    NoRedoPoint {
        /// Where redo should begin.
        redo: Lsn,
        /// The checkpoint.
        checkpoint: Lsn,
        /// What is there.
        #[source]
        stop: Stop,
    },
    /// A record cannot be redone.
    #[error(transparent)]
    Redo(#[from] RedoError),
    /// The log cannot be read on, and had been durable further.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// A file of the log cannot be read: nothing is known of what is in it.
    #[error("could not read the log at {at}: {stop} (see to the disk, then recover again)")]
    Unreadable {
        /// Where.
        at: Lsn,
        /// What the disk says.
        #[source]
        stop: Stop,
    },
    /// The log ends before the data can be consistent.
    #[error(
        "the log ends at {end}, before the consistent recovery point {needed} (the rest of the log is missing: put its \
         files back, or restore a backup)"
    )]
    NotConsistent {
        /// Where it ends.
        end: Lsn,
        /// How far it must go.
        needed: Lsn,
    },
    /// The target lies before the point from which on the data is consistent.
    #[error(
        "the recovery target stops at {end}, before the consistent recovery point {needed} (choose a later target, or \
         an older copy of the data directory)"
    )]
    TargetTooEarly {
        /// Where it stops.
        end: Lsn,
        /// How far it must go.
        needed: Lsn,
    },
    /// The log ended before the target.
    #[error(
        "recovery ended at {end} before the configured recovery target was reached (add the log that is missing to the \
         archive, or choose another target)"
    )]
    TargetNotReached {
        /// Where the log ended.
        end: Lsn,
    },
    /// An earlier recovery from an archive did not come to its end.
    #[error(
        "an earlier recovery to a target was interrupted (name the archive and the target again)"
    )]
    InArchiveRecovery,
    /// A base backup of a server.
    #[error(
        "the data directory is a base backup, with a backup_label (start PostgreSQL 15 on it: the engine does not \
         recover base backups)"
    )]
    BaseBackup,
    /// A record goes over to a timeline that does not follow.
    #[error(
        "unexpected timeline {found} after {before} at {at} (the log is damaged: restore a backup)"
    )]
    Timeline {
        /// The record.
        at: Lsn,
        /// The timeline that it begins.
        found: Timeline,
        /// The one that was replayed.
        before: Timeline,
    },
    /// Pages that the log changes are not there, and no record says that they should not be.
    #[error(
        "the log changes {count} page(s) that do not exist; the first is {page}, by the record at {record} (a data file \
         is missing or cut off: restore a backup)"
    )]
    MissingPages {
        /// How many.
        count: usize,
        /// The first.
        page: PageName,
        /// The first record about it.
        record: Lsn,
    },
    /// A record says that another one was cut off than the one that was.
    #[error(
        "mismatching overwritten LSN {said} -> {found} at {at} (the log is damaged: restore a backup)"
    )]
    Overwritten {
        /// The record that says so.
        at: Lsn,
        /// The one that it says.
        said: Lsn,
        /// The one that was passed over.
        found: Lsn,
    },
    /// The caller wanted no more of it. Recovery can be begun again.
    #[error("recovery was cancelled at {at}")]
    Cancelled {
        /// How far it had come.
        at: Lsn,
    },
}

/// What is known of damage in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log cannot be read at {at} (file {segment}, offset {offset}): {message}; {evidence}. Behind it {} would be lost. \
     Put an undamaged copy of the file in its place, or recover with the option that ends the log there",
    lost(.records, .commits)
)]
pub struct Damage {
    /// Where the next record should start.
    pub at: Lsn,
    /// The file that this lies in.
    pub segment: String,
    /// Offset there, in bytes.
    pub offset: u64,
    /// Why it cannot be read, in PostgreSQL's words.
    pub message: String,
    /// What shows that the log had been durable further.
    pub evidence: Evidence,
    /// Valid records behind it.
    pub records: u64,
    /// Those of them that commit a transaction.
    pub commits: u64,
}

fn lost(records: &u64, commits: &u64) -> String {
    match records {
        0 => "what followed, of which nothing can be read,".to_owned(),
        _ => format!("{records} valid records, among them {commits} commits,"),
    }
}
