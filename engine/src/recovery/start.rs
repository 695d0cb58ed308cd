//! What follows when recovery has found the log's end: the log is opened there, and the transaction logs are set up.
//!
//! Invariant: nothing runs yet. The caller makes the checkpoint that ends recovery, if one is due, before anything does.

use wal::write::{Log, LogOptions, LogPlace};

use super::driver::Recovered;
use crate::Error;
use crate::prepared;
use crate::storage::Storage;

/// Opens the log and sets up pg_xact, pg_subtrans, pg_commit_ts and pg_multixact (`TrimCLOG` and its kin).
///
/// # Errors
/// Where the log cannot be opened, or a page of those cannot be read.
///
/// # Panics
/// If the storage's log is open.
pub fn start(storage: &Storage, recovered: &Recovered, options: LogOptions) -> Result<(), Error> {
    let place = LogPlace { timeline: recovered.timeline, ..storage.log_place() };
    storage.log.open(Log::open(place, options, recovered.end)?);
    let ids = *storage.ids.lock();
    let next = ids.next_xid.xid();
    storage.clog.start(next)?;
    prepared::restore::start_subtransactions(storage)?;
    if storage.directory.control().data().track_commit_timestamp {
        storage.commit_ts.start(next)?;
    }
    storage.multixact.start(ids.next_multi, ids.next_multi_offset)
}
