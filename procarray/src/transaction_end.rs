//! How a transaction stops running: by its end, alone or as one of a group; a subtransaction by its abort;
//! or not by an end at all, when another slot has taken its xid over ([`crate::prepare`]).
//!
//! Commit and abort are the same here: what the commit log says was said before, and visibility changes
//! with this step. A transaction without an xid needs no lock, as no snapshot lists it; a horizon may
//! count its xmin a moment longer.
//!
//! Invariant: the xid goes, `latest_completed` and `completion_count` move, all under one hold of the
//! exclusive lock (rules 1 and 3 of [`crate::array`]).

use base::FullXid;
use base::sync::atomic::Ordering::Relaxed;

use crate::array::{GroupClear, ProcArray};
use crate::backend::Backend;
use crate::proc::{ProcNumber, StatusFlags};
use crate::subxids;

impl Backend {
    /// Ends the transaction (`ProcArrayEndTransaction`): from here on it is not running to anybody.
    pub fn end_transaction(&mut self) {
        let number = self.number();
        let latest = self.latest_xid.take();
        let (array, seat) = self.seat();
        let proc = array.proc(number);
        let (Some(_), Some(latest)) = (proc.xid(), latest) else {
            proc.set_xmin(None);
            if proc.status().any_of(StatusFlags::ENDS_WITH_TRANSACTION) {
                let _lock = array.exclusive();
                array.end_status(number);
            }
            return;
        };
        #[cfg(any(loom, shuttle))]
        if crate::variants::end_in_a_wrong_order(array, number, latest) {
            return;
        }
        let lock = match array.config.group_clear {
            GroupClear::WhenContended => array.try_exclusive(),
            GroupClear::Always => None,
            GroupClear::Never => Some(array.exclusive()),
        };
        match lock {
            Some(_lock) => array.clear_running(number, Some(latest)),
            None => array.group_clear(seat, latest),
        }
    }

    /// Ends subtransactions by their abort while the transaction goes on (`XidCacheRemoveRunningXids`).
    pub fn abort_subtransactions(&mut self, subxids: &[FullXid]) {
        let Some(&latest) = subxids.iter().max() else { return };
        let number = self.number();
        #[cfg(any(loom, shuttle))]
        if crate::variants::abort_in_a_wrong_order(self, number, subxids) {
            return;
        }
        let lock = self.array.exclusive();
        self.remove_subxids(number, subxids);
        self.array.maintain_latest_completed(latest);
        self.array.bump_completion_count();
        drop(lock);
    }

    pub(crate) fn remove_subxids(&self, number: ProcNumber, subxids: &[FullXid]) {
        subxids::remove(
            self.array.proc(number),
            &self.array.dense.subxid_states[self.position()],
            subxids.iter().rev().map(|subxid| subxid.xid()),
        );
    }
}

impl ProcArray {
    /// Takes a running transaction out of the slot and says that it, and whatever is not newer than
    /// `latest`, has ended. The lock is held exclusively; the slot can be another thread's.
    pub(crate) fn clear_running(&self, number: ProcNumber, latest: Option<FullXid>) {
        self.clear_slot(number);
        if let Some(latest) = latest {
            self.maintain_latest_completed(latest);
        }
        self.bump_completion_count();
    }

    /// The slot's part of it.
    pub(crate) fn clear_slot(&self, number: ProcNumber) {
        let proc = self.proc(number);
        let Some(position) = proc.offset() else {
            panic!("slot {number} runs a transaction outside of the process array")
        };
        let xid = proc.xid();
        assert!(xid.is_some(), "slot {number} runs a transaction that has not ended yet");
        // Loom goes by the newest access to each atomic: a look before the store would hide from it
        // that the store races with another's look.
        if cfg!(not(loom)) {
            assert_eq!(
                self.dense.xids[position].load(Relaxed),
                xid.map_or(0, |xid| xid.xid().0),
                "slot {number} and its mirror show the same xid"
            );
        }
        self.dense.xids[position].store(0, Relaxed);
        proc.set_xid(None);
        proc.set_xmin(None);
        self.end_status(number);
        subxids::clear(proc, &self.dense.subxid_states[position]);
    }

    /// Takes away the flags that end with a transaction. The lock is held exclusively.
    fn end_status(&self, number: ProcNumber) {
        let proc = self.proc(number);
        let status = proc.status();
        if status.any_of(StatusFlags::ENDS_WITH_TRANSACTION)
            && let Some(position) = proc.offset()
        {
            let status = status.without(StatusFlags::ENDS_WITH_TRANSACTION);
            proc.set_status(status);
            self.dense.statuses[position].store(status.0, Relaxed);
        }
    }
}
