//! Redo of btrees: pages by [`crate::btree::redo`].
//!
//! Invariant: a page that is used again (`REUSE_PAGE`) asks for nothing: it is made anew by a later record. Source:
//! `btree_redo`.

use wal::record::Record;
use wal::rmgr::btree::Btree;

use super::round::PageChange;
use super::{Redo, RedoCause};
use crate::buffer::PageName;

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Btree<'_>,
) -> Result<(), RedoCause> {
    if matches!(payload, Btree::ReusePage(_)) {
        return Ok(());
    }
    for block in record.blocks() {
        redo.later(record, PageName::of(block), PageChange::Btree(block.id));
    }
    Ok(())
}
