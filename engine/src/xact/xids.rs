//! Giving ids out.
//!
//! Invariants: an id counts as given out only when the logs of transactions have room for it, and the records that say so
//! come before all records with that id. No id is given out that comes so close to the oldest one in a row that the order
//! of ids would break. Source: `GetNewTransactionId`, `ExtendCLOG`, `ExtendCommitTs`.

use base::FullXid;
use base::sync::atomic::Ordering::Relaxed;
use procarray::Backend;
use wal::write::{Inserter, NewRecord};

use super::Transactions;
use super::limits;
use crate::Error;
use crate::storage::Storage;

/// Resource managers `CLOG` and `COMMIT_TS`, whose records of this kind have info 0.
const CLOG: u8 = 3;
const COMMIT_TS: u8 = 18;
const ZERO_PAGE: u8 = 0x00;

/// Gives the session's transaction an id.
///
/// # Errors
/// Where a page of a log cannot be written to make room, the log is stopped, or ids have run out.
pub(crate) fn assign(
    storage: &Storage,
    transactions: &Transactions,
    backend: &mut Backend,
    inserter: &mut Inserter,
) -> Result<FullXid, Error> {
    let slot = backend.number();
    let xid = backend.try_assign_xid(|xid| {
        make_room(storage, transactions, inserter, xid)?;
        transactions.member_from_now_on(storage, slot);
        Ok::<(), Error>(())
    })?;
    transactions.writers.fetch_add(1, Relaxed);
    Ok(xid)
}

/// Gives a subtransaction an id. Its parent, which has one, is noted before anybody can come upon the child.
///
/// # Errors
/// As [`assign`], and where the page of `pg_subtrans` cannot be had.
pub(crate) fn assign_child(
    storage: &Storage,
    transactions: &Transactions,
    backend: &mut Backend,
    inserter: &mut Inserter,
    parent: FullXid,
) -> Result<FullXid, Error> {
    let time = &transactions.time;
    backend.try_assign_subxid(|xid| {
        make_room(storage, transactions, inserter, xid)?;
        // What can fail comes first: the next one who asks gets the same id.
        storage.subtrans.set_parent(xid.xid(), parent.xid())?;
        time.begin_child(xid, parent)
    })
}

/// Makes room for an id in all logs of transactions. One at a time: the generator's lock is held.
pub(super) fn make_room(
    storage: &Storage,
    transactions: &Transactions,
    inserter: &mut Inserter,
    xid: FullXid,
) -> Result<(), Error> {
    let (oldest, time) = (storage.ids.lock().oldest_xid, &transactions.time);
    limits::check_xid(xid.xid(), oldest)?;
    transactions.vacuum_wanted.xid_given(xid.xid(), oldest);
    if time.check(xid).is_err() {
        time.truncate(xid);
        time.check(xid)?;
    }
    if let Some(page) = storage.clog.extend(xid.xid())? {
        log_zero_page(storage, inserter, CLOG, page)?;
    }
    if time.is_logged
        && let Some(page) = storage.commit_ts.extend(xid.xid())?
    {
        log_zero_page(storage, inserter, COMMIT_TS, page)?;
    }
    storage.subtrans.extend(xid.xid())?;
    storage.ids.lock().next_xid = xid.next();
    Ok(())
}

fn log_zero_page(
    storage: &Storage,
    inserter: &mut Inserter,
    rmid: u8,
    page: u64,
) -> Result<(), Error> {
    let main = (page as u32).to_le_bytes();
    let record = NewRecord { main: &[&main], ..NewRecord::new(rmid, ZERO_PAGE) };
    storage.log.log().insert(inserter, &record)?;
    Ok(())
}
