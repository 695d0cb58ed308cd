//! The oldest of all tables, and the logs of transactions cut off behind it.
//!
//! ```text
//! every table's oldest ids ─► the database's, in place ─► pg_xact, pg_commit_ts, pg_multixact: logged, flushed, cut off
//!     ─► the limits of ids, which the next checkpoint puts into pg_control
//! ```
//!
//! Invariants: what is cut off is logged and durable before a file goes, and so is what made it possible: rows that were
//! frozen, and the oldest ids of their tables. One at a time does this. Source: `vac_update_datfrozenxid`,
//! `vac_truncate_clog`, `TruncateCLOG`, `TruncateCommitTs`, `TruncateMultiXact`.

use base::sync::PoisonError;
use wal::write::NewRecord;

use super::cutoffs::oldest_ids;
use crate::Error;
use crate::catalog::frozen::{self, Frozen};
use crate::data_directory::DEFAULT_DATABASE;
use crate::session::{Isolation, Session};
use crate::slru::multixact::precedes;
use crate::slru::{clog, commit_ts};

const CLOG: u8 = 3;
const COMMIT_TS: u8 = 18;
/// `CLOG_TRUNCATE`, `COMMIT_TS_TRUNCATE`
const TRUNCATE: u8 = 0x10;
const MULTIXACT: u8 = 6;
/// `XLOG_MULTIXACT_TRUNCATE_ID`
const TRUNCATE_ID: u8 = 0x30;

/// Finds out what the oldest ids of the database are by now, and cuts the logs of transactions off behind them.
///
/// # Errors
/// As the pool and the disk say, and where the log is stopped.
pub(super) fn advance(session: &mut Session<'_>) -> Result<(), Error> {
    let shared = session.shared;
    let one_at_a_time = &shared.transactions.truncation;
    let _one_at_a_time = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
    // What tables have that nobody sees yet comes from those who run.
    let mut oldest = oldest_ids(session);
    for table in shared.catalog.all_present() {
        oldest = oldest.min(table.frozen.get());
    }
    let mut transaction = session.begin(Isolation::ReadCommitted)?;
    frozen::advance(&mut transaction, &shared.catalog, &shared.catalog.database, oldest)?;
    transaction.commit()?;
    cut_off(session, shared.catalog.database.get())
}

fn cut_off(session: &mut Session<'_>, oldest: Frozen) -> Result<(), Error> {
    let storage = &session.shared.storage;
    let is_newer = storage.ids.lock().oldest_xid.precedes(oldest.xid);
    if is_newer {
        let mut ids = storage.ids.lock();
        let first = &mut ids.oldest_commit_timestamp_xid;
        if !first.is_invalid() && first.precedes(oldest.xid) {
            *first = oldest.xid;
        }
        drop(ids);
        cut_off_clog(session, oldest)?;
        if session.shared.transactions.time.is_logged {
            cut_off_commit_ts(session, oldest)?;
        }
        let mut ids = storage.ids.lock();
        (ids.oldest_xid, ids.oldest_xid_database) = (oldest.xid, DEFAULT_DATABASE);
    }
    let is_newer = precedes(storage.ids.lock().oldest_multi, oldest.multi);
    if is_newer {
        cut_off_multixact(session, oldest)?;
    }
    Ok(())
}

/// Logs, and comes back when that is durable.
fn log(session: &mut Session<'_>, rmid: u8, info: u8, words: &[u32]) -> Result<(), Error> {
    let main: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let record = NewRecord { main: &[&main], ..NewRecord::new(rmid, info) };
    let log = session.shared.storage.log.log();
    let end = log.insert(&mut session.inserter, &record)?.end;
    Ok(log.flush(end)?)
}

fn cut_off_clog(session: &mut Session<'_>, oldest: Frozen) -> Result<(), Error> {
    let clog = &session.shared.storage.clog;
    let page = clog::page_of(oldest.xid);
    if clog.slru().has_before(page)? {
        log(session, CLOG, TRUNCATE, &[page as u32, oldest.xid.0, DEFAULT_DATABASE])?;
        clog.truncate(oldest.xid)?;
    }
    Ok(())
}

fn cut_off_commit_ts(session: &mut Session<'_>, oldest: Frozen) -> Result<(), Error> {
    let commit_ts = &session.shared.storage.commit_ts;
    let page = commit_ts::page_of(oldest.xid);
    if commit_ts.slru().has_before(page)? {
        log(session, COMMIT_TS, TRUNCATE, &[page as u32, oldest.xid.0])?;
        commit_ts.truncate(oldest.xid)?;
    }
    Ok(())
}

fn cut_off_multixact(session: &mut Session<'_>, oldest: Frozen) -> Result<(), Error> {
    let storage = &session.shared.storage;
    let (before, next) = {
        let ids = storage.ids.lock();
        (ids.oldest_multi, (ids.next_multi.max(1), ids.next_multi_offset))
    };
    // The next one begins where the next member goes.
    let start = |multi| match multi == next.0 {
        true => Ok(Some(next.1)),
        false => storage.multixact.start_of(multi),
    };
    // Of a set that was never written, as by `pg_resetwal`, nothing is cut off before it is.
    if let (Some(first), Some(end)) = (start(before)?, start(oldest.multi)?) {
        let _in_gate = storage.commit_gate.enter(session.number());
        let words = [DEFAULT_DATABASE, before, oldest.multi, first, end];
        log(session, MULTIXACT, TRUNCATE_ID, &words)?;
        let mut ids = storage.ids.lock();
        (ids.oldest_multi, ids.oldest_multi_database) = (oldest.multi, DEFAULT_DATABASE);
        ids.oldest_multi_offset = Some(end);
        drop(ids);
        storage.multixact.truncate(oldest.multi, first, end)?;
    } else {
        let mut ids = storage.ids.lock();
        (ids.oldest_multi, ids.oldest_multi_database) = (oldest.multi, DEFAULT_DATABASE);
        drop(ids);
        storage.find_oldest_member()?;
    }
    Ok(())
}
