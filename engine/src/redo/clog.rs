//! Redo of pages of pg_xact made and cut off.
//!
//! Source: `clog_redo`.

use wal::record::Record;
use wal::rmgr::clog::Clog;

use super::{Redo, RedoCause};

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Clog,
) -> Result<(), RedoCause> {
    let storage = redo.storage;
    match *payload {
        Clog::ZeroPage { page } => storage.clog.redo_zero_page(page_number(page)?)?,
        Clog::Truncate(truncate) => {
            redo.before_irreversible(record.end())?;
            storage.clog.truncate(truncate.oldest_xid)?;
        }
    }
    Ok(())
}

/// The number of a page of a transaction log.
pub(super) fn page_number(page: i64) -> Result<u64, RedoCause> {
    u64::try_from(page).map_err(|_| RedoCause::OutOfRange(format!("page number {page}")))
}
