//! Ending a tuple: `heap_delete`, and `heap_abort_speculative`.
//!
//! Source: `heapam.c` of PostgreSQL 15. Invariant: the caller has seen that the version may be ended, has waited for
//! whoever held it, and has worked out the new `xmax`.

use base::page::PageFlags;
use base::tuple::MOVED_PARTITIONS;
use base::{Infomask, Infomask2, PageMut, Tid, Xid};
use wal::rmgr::heap::{Delete, DeleteFlags, InfoBits};

use super::change::{self, Change, CommandStamp, HeapError, NewXmax, RM_HEAP};

/// `XLOG_HEAP_DELETE`
const DELETE: u8 = 0x10;

/// Ends the tuple at this line pointer. `xid` is the transaction that ends it: `xmax` may be a multixact that it
/// is one of. Logged as `DELETE`, with `flags`: by [`DeleteFlags::IS_PARTITION_MOVE`] the tuple tells whoever comes by it
/// later that an UPDATE has taken the row to another partition.
///
/// # Errors
/// Where there is no tuple.
pub fn delete(
    page: &mut PageMut<'_>,
    tid: Tid,
    xid: Xid,
    new: NewXmax,
    command: CommandStamp,
    mut flags: DeleteFlags,
    change: &mut Change,
) -> Result<(), HeapError> {
    let offset = tid.offset;
    let next = match flags.contains(DeleteFlags::IS_PARTITION_MOVE) {
        true => MOVED_PARTITIONS,
        false => tid,
    };
    change::change_header(page, offset, |header| {
        change::set_xmax(header, new);
        header.infomask2.remove(Infomask2::HOT_UPDATED);
        change::set_cmax(header, command);
        header.ctid = next;
    })?;
    page.set_prunable(xid);
    if page.header().flags.contains(PageFlags::ALL_VISIBLE) {
        page.set_flags(PageFlags::ALL_VISIBLE, false);
        flags |= DeleteFlags::ALL_VISIBLE_CLEARED;
    }
    change.begin(RM_HEAP, DELETE, false);
    let payload = Delete { xmax: new.xmax, offset, info_bits: new.bits, flags, old_tuple: None };
    payload.encode(&mut change.main);
    Ok(())
}

/// Takes a tuple back that the transaction itself has just put in: it is dead for everybody at once. Logged as `DELETE`.
///
/// Source: `heap_abort_speculative`.
///
/// # Errors
/// Where there is no tuple.
pub fn take_back(
    page: &mut PageMut<'_>,
    tid: Tid,
    xid: Xid,
    change: &mut Change,
) -> Result<(), HeapError> {
    let offset = tid.offset;
    change::change_header(page, offset, |header| {
        change::put_xmax_bits(&mut header.infomask, &mut header.infomask2, InfoBits::empty());
        header.infomask.remove(Infomask::MOVED);
        header.xmin = Xid::INVALID;
        header.ctid = tid;
    })?;
    page.set_prunable(xid);
    change.begin(RM_HEAP, DELETE, false);
    let (info_bits, flags) = (InfoBits::empty(), DeleteFlags::IS_SUPER);
    let payload = Delete { xmax: xid, offset, info_bits, flags, old_tuple: None };
    payload.encode(&mut change.main);
    Ok(())
}
