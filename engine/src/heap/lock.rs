//! Marking a tuple locked: the page's part of `heap_lock_tuple` and `heap_lock_updated_tuple`.
//!
//! Source: `heapam.c` of PostgreSQL 15. Invariant: who may lock, and what a second locker makes of `xmax`, is the lock
//! manager's business; a lock that is no update leaves no way to a next version.

use base::{Infomask2, PageMut, Tid};
use wal::rmgr::heap::{Lock, LockFlags};

use super::change::{self, Change, HeapError, NewXmax, RM_HEAP, RM_HEAP2};

/// `XLOG_HEAP_LOCK`
const LOCK: u8 = 0x60;
/// `XLOG_HEAP2_LOCK_UPDATED`
const LOCK_UPDATED: u8 = 0x60;

/// Locks the tuple, as the version that the locker sees. Logged as `LOCK`. `all_frozen_cleared` says that the caller
/// has cleared the page's bit in the visibility map, since its tuples now have an `xmax`.
///
/// # Errors
/// Where there is no tuple.
pub fn lock(
    page: &mut PageMut<'_>,
    tid: Tid,
    new: NewXmax,
    all_frozen_cleared: bool,
    change: &mut Change,
) -> Result<(), HeapError> {
    change::change_header(page, tid.offset, |header| {
        change::set_xmax(header, new);
        if header.infomask.xmax_locked_only() {
            header.infomask2.remove(Infomask2::HOT_UPDATED);
            header.ctid = tid;
        }
    })?;
    change.begin(RM_HEAP, LOCK, false);
    payload(tid, new, all_frozen_cleared).encode(&mut change.main);
    Ok(())
}

/// Locks a later version of a row whose earlier one was locked. Its way to the next version stays. Logged as
/// `LOCK_UPDATED`.
///
/// # Errors
/// Where there is no tuple.
pub fn lock_updated(
    page: &mut PageMut<'_>,
    tid: Tid,
    new: NewXmax,
    all_frozen_cleared: bool,
    change: &mut Change,
) -> Result<(), HeapError> {
    change::change_header(page, tid.offset, |header| change::set_xmax(header, new))?;
    change.begin(RM_HEAP2, LOCK_UPDATED, false);
    payload(tid, new, all_frozen_cleared).encode(&mut change.main);
    Ok(())
}

fn payload(tid: Tid, new: NewXmax, all_frozen_cleared: bool) -> Lock {
    let mut flags = LockFlags::empty();
    flags.set(LockFlags::ALL_FROZEN_CLEARED, all_frozen_cleared);
    Lock { xmax: new.xmax, offset: tid.offset, info_bits: new.bits, flags }
}
