//! The record of who runs (`XLOG_RUNNING_XACTS`): what a standby, and logical decoding, begin with.
//!
//! Invariant: it does not count as something that happened: an engine that does nothing makes no checkpoints.
//! Source: `LogStandbySnapshot`.

use base::Lsn;
use wal::checkpoint::WalLevel;
use wal::rmgr::standby;
use wal::write::{Inserter, NewRecord};

use crate::Error;
use crate::storage::{Running, RunningTransactions, Storage};

const STANDBY: u8 = 8;

/// Whether such records are written (`XLogStandbyInfoActive`).
pub(crate) fn running_xacts_are_logged(storage: &Storage) -> bool {
    storage.directory.control().data().wal_level.0 >= REPLICA.0
}

/// `WAL_LEVEL_REPLICA`
const REPLICA: WalLevel = WalLevel(1);

/// Logs who runs, if the log's level asks for it. Gives the record's end.
///
/// # Errors
/// If the log is stopped.
pub fn log_running_xacts(
    storage: &Storage,
    running: &dyn RunningTransactions,
    inserter: &mut Inserter,
) -> Result<Option<Lsn>, Error> {
    if !running_xacts_are_logged(storage) {
        return Ok(None);
    }
    let Running { next_xid, latest_completed, oldest_running, xids, subxids, subxid_overflow } =
        running.running();
    let mut main = Vec::new();
    standby::encode_running_xacts(
        next_xid.xid(),
        oldest_running,
        latest_completed,
        &xids,
        &subxids,
        subxid_overflow,
        &mut main,
    );
    let record = NewRecord {
        main: &[&main],
        is_important: false,
        ..NewRecord::new(STANDBY, standby::RUNNING_XACTS)
    };
    Ok(Some(storage.log.log().insert(inserter, &record)?.end))
}

/// At the end of recovery, and in a directory that no engine has open, nobody runs.
#[derive(Debug)]
pub struct NobodyRuns<'s>(pub &'s Storage);

impl RunningTransactions for NobodyRuns<'_> {
    fn running(&self) -> Running {
        let next_xid = self.0.ids.lock().next_xid;
        let latest_completed = next_xid.previous().xid();
        let oldest_running = next_xid.xid();
        Running { next_xid, latest_completed, oldest_running, ..Running::default() }
    }
}
