//! Redo of pages of pg_commit_ts made and cut off.
//!
//! Source: `commit_ts_redo`.

use wal::record::Record;
use wal::rmgr::commit_ts::CommitTs;

use super::clog::page_number;
use super::{Redo, RedoCause};

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &CommitTs,
) -> Result<(), RedoCause> {
    let storage = redo.storage;
    match *payload {
        CommitTs::ZeroPage { page } => storage.commit_ts.redo_zero_page(page_number(page)?)?,
        CommitTs::Truncate(truncate) => {
            redo.before_irreversible(record.end())?;
            let mut ids = storage.ids.lock();
            let oldest = &mut ids.oldest_commit_timestamp_xid;
            if !oldest.is_invalid() && oldest.precedes(truncate.oldest_xid) {
                *oldest = truncate.oldest_xid;
            }
            drop(ids);
            // The page that was made last is not known before one is made; nothing behind this one goes.
            storage.commit_ts.slru().lock().set_latest(page_number(truncate.page)?);
            storage.commit_ts.truncate(truncate.oldest_xid)?;
        }
    }
    Ok(())
}
