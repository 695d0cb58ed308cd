//! What the engine was opened with, as the control file and the log say it.
//!
//! ```text
//! opened ──as the control file says──► nothing
//!        ──otherwise──► XLOG_PARAMETER_CHANGE, flushed ──► control file
//! ```
//!
//! A standby that replays the log must have room for as much as the engine had, and refuses if it has not. Source:
//! `XLogReportParameters`.
//!
//! Invariants: the control file does not say what the log does not. Nothing was logged in this life of the engine before
//! the parameters changed, but what ended recovery.

use wal::checkpoint::WalLevel;
use wal::control::ControlData;
use wal::rmgr::xlog::{PARAMETER_CHANGE, ParameterChange};
use wal::write::NewRecord;

use crate::Error;
use crate::storage::Storage;

const XLOG: u8 = 0;
/// `WAL_LEVEL_REPLICA`: what the engine logs.
const REPLICA: WalLevel = WalLevel(1);

/// What a server has room for that the engine itself does without. The control file and the log say so, for standbys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandbyParameters {
    /// `max_worker_processes`
    pub max_worker_processes: u32,
    /// `max_wal_senders`
    pub max_wal_senders: u32,
    /// `max_locks_per_transaction`; the engine's table of locks grows.
    pub max_locks_per_transaction: u32,
}

impl Default for StandbyParameters {
    /// PostgreSQL's defaults.
    fn default() -> StandbyParameters {
        StandbyParameters {
            max_worker_processes: 8,
            max_wal_senders: 10,
            max_locks_per_transaction: 64,
        }
    }
}

impl StandbyParameters {
    /// All that is said, with so many sessions and room for so many prepared transactions. Whether commit timestamps are kept
    /// is the data directory's.
    fn with(&self, sessions: u32, prepared: u32, before: &ControlData) -> ParameterChange {
        // What does not fit is more than there can be.
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        ParameterChange {
            max_connections: number(sessions),
            max_worker_processes: number(self.max_worker_processes),
            max_wal_senders: number(self.max_wal_senders),
            max_prepared_transactions: number(prepared),
            max_locks_per_transaction: number(self.max_locks_per_transaction),
            wal_level: REPLICA,
            wal_log_hints: false,
            track_commit_timestamp: before.track_commit_timestamp,
        }
    }
}

/// What the control file says.
fn of_control(data: &ControlData) -> ParameterChange {
    ParameterChange {
        max_connections: data.max_connections,
        max_worker_processes: data.max_worker_processes,
        max_wal_senders: data.max_wal_senders,
        max_prepared_transactions: data.max_prepared_transactions,
        max_locks_per_transaction: data.max_locks_per_transaction,
        wal_level: data.wal_level,
        wal_log_hints: data.wal_log_hints,
        track_commit_timestamp: data.track_commit_timestamp,
    }
}

/// Has the control file say it.
pub(crate) fn set(data: &mut ControlData, change: &ParameterChange) {
    data.max_connections = change.max_connections;
    data.max_worker_processes = change.max_worker_processes;
    data.max_wal_senders = change.max_wal_senders;
    data.max_prepared_transactions = change.max_prepared_transactions;
    data.max_locks_per_transaction = change.max_locks_per_transaction;
    data.wal_level = change.wal_level;
    data.wal_log_hints = change.wal_log_hints;
    data.track_commit_timestamp = change.track_commit_timestamp;
}

/// Logs what the engine was opened with, and writes it to the control file, where that is something else than before.
///
/// # Errors
/// Where the log or the control file cannot be written.
pub(crate) fn report(
    storage: &Storage,
    parameters: &StandbyParameters,
    (sessions, prepared): (u32, u32),
) -> Result<(), Error> {
    let (before, now, time) = {
        let control = storage.directory.control();
        let data = control.data();
        (of_control(data), parameters.with(sessions, prepared, data), data.time)
    };
    if before == now {
        return Ok(());
    }
    let payload = now.encode();
    let record = NewRecord { main: &[&payload], ..NewRecord::new(XLOG, PARAMETER_CHANGE) };
    let log = storage.log.log();
    let end = log.insert(&mut log.inserter(), &record)?.end;
    log.flush(end)?;
    storage.directory.control().update(time, |data| set(data, &now))
}
