//! Giving ids out.
//!
//! Invariants: an id counts as given out only when the logs of transactions have room for it, and the records that say so
//! come before all records with that id. No id is given out that comes so close to the oldest one in a row that the order
//! of ids would break. Source: `GetNewTransactionId`, `ExtendCLOG`, `ExtendCommitTs`.

use base::sync::atomic::Ordering::Relaxed;
use base::{FullXid, Xid};
use procarray::Backend;
use wal::write::{Inserter, NewRecord};

use super::Transactions;
use super::mode::Time;
use crate::Error;
use crate::storage::Storage;

/// Resource managers `CLOG` and `COMMIT_TS`, whose records of this kind have info 0.
const CLOG: u8 = 3;
const COMMIT_TS: u8 = 18;
const ZERO_PAGE: u8 = 0x00;

/// Ids that stay free between the newest and the oldest, for an administrator to repair with (`SetTransactionIdLimit`).
const KEPT_FREE: u64 = 3_000_000;

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
    let xid =
        backend.try_assign_xid(|xid| make_room(storage, &transactions.time, inserter, xid))?;
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
        make_room(storage, time, inserter, xid)?;
        // What can fail comes first: the next one who asks gets the same id.
        storage.subtrans.set_parent(xid.xid(), parent.xid())?;
        time.begin_child(xid, parent)
    })
}

/// Makes room for an id in all logs of transactions. One at a time: the generator's lock is held.
fn make_room(
    storage: &Storage,
    time: &Time,
    inserter: &mut Inserter,
    xid: FullXid,
) -> Result<(), Error> {
    check_age(xid, storage.ids.lock().oldest_xid)?;
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

fn check_age(next: FullXid, oldest: Xid) -> Result<(), Error> {
    let age = u64::from(next.xid().0.wrapping_sub(oldest.0));
    if age >= (1 << 31) - KEPT_FREE { Err(Error::XidsExhausted { next, oldest }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stop_before_the_oldest_would_come_after_the_newest() {
        let oldest = Xid(1000);
        let last = (1_u64 << 31) - KEPT_FREE + 1000;
        assert!(check_age(FullXid(1000), oldest).is_ok());
        assert!(check_age(FullXid(last - 1), oldest).is_ok());
        let error = check_age(FullXid(last), oldest).expect_err("too far");
        assert!(error.to_string().contains("freeze"), "{error}");
        assert!(check_age(FullXid((1 << 32) + 500), Xid(u32::MAX - 10)).is_ok());
    }
}
