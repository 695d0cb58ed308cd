//! Wrong orders that models must notice; under loom and shuttle alone. Each is the right code's steps in another order.

use base::sync::atomic::Ordering::Relaxed;
use base::{FullXid, TimestampTz, variant};

use crate::array::ProcArray;
use crate::backend::Backend;
use crate::prepare::{Prepared, ReservedSlot};
use crate::proc::ProcNumber;

/// Ends a transaction wrongly, if a model asks for it.
pub(crate) fn end_in_a_wrong_order(array: &ProcArray, number: ProcNumber, latest: FullXid) -> bool {
    if variant!("end.clear-outside-lock") {
        array.clear_running(number, Some(latest));
    } else if variant!("end.latest-first") {
        array.maintain_latest_completed(latest);
        let _lock = array.exclusive();
        array.clear_running(number, None);
    } else if variant!("end.latest-after-lock") {
        let lock = array.exclusive();
        array.clear_running(number, None);
        drop(lock);
        array.maintain_latest_completed(latest);
    } else if variant!("end.count-after-lock") {
        let lock = array.exclusive();
        array.clear_slot(number);
        array.maintain_latest_completed(latest);
        drop(lock);
        array.bump_completion_count();
    } else {
        return false;
    }
    true
}

/// Aborts subtransactions wrongly, if a model asks for it.
pub(crate) fn abort_in_a_wrong_order(
    backend: &Backend,
    number: ProcNumber,
    subxids: &[FullXid],
) -> bool {
    if !variant!("subabort.count-stands") {
        return false;
    }
    let _lock = backend.array.exclusive();
    backend.remove_subxids(number, subxids);
    if let Some(&latest) = subxids.iter().max() {
        backend.array.maintain_latest_completed(latest);
    }
    true
}

/// Clears the session's slot before the dummy slot is in the array.
pub(crate) fn prepare_own_entry_first(
    backend: &mut Backend,
    reserved: ReservedSlot,
    prepared_at: TimestampTz,
) -> Prepared {
    let proc = backend.array.proc(backend.number());
    let (xid, latest_xid) = (proc.xid(), backend.latest_xid);
    let subxid_state = proc.subxid_state.load(Relaxed);
    backend.clear_without_end();
    backend.array.proc(backend.number()).set_xid(xid);
    backend.array.proc(backend.number()).subxid_state.store(subxid_state, Relaxed);
    backend.latest_xid = latest_xid;
    let prepared = backend.enter_prepared(reserved, prepared_at);
    backend.array.proc(backend.number()).set_xid(None);
    backend.array.proc(backend.number()).subxid_state.store(0, Relaxed);
    backend.latest_xid = None;
    prepared
}
