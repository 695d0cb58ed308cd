//! PREPARE: a running transaction moves from its session's slot to a dummy slot of its own, and goes on
//! running there without a session.
//!
//! The order: the dummy slot is filled (xid, subtransactions, database, prepare time), then added to the
//! array, then the session's slot is cleared. In between the xid is in the array twice, which does no
//! harm; the other way round a snapshot would miss it and take it for ended. The session's clearing is no
//! end: `latest_completed` stays. But `completion_count` moves, since a snapshot leaves out its owner's xid:
//! the session's old one lacks the xid that a new one must list.
//!
//! Invariant: from its assignment to its end a prepared transaction's xid is in at least one position
//! whenever the lock is held, and a position whose slot is a prepared transaction's shows its time.

use std::fmt;

use base::sync::Arc;
use base::{FullXid, Oid, TimestampTz, variant};

use crate::array::{Error, ProcArray};
use crate::backend::Backend;
use crate::group::Seat;
use crate::proc::{Proc, ProcNumber, StatusFlags};
use crate::subxids;

/// A slot kept for a transaction that is about to be prepared: nothing can fail for want of one later.
pub struct ReservedSlot {
    array: Arc<ProcArray>,
    seat: Option<Seat>,
}

impl ReservedSlot {
    /// Takes a slot, out of the array still.
    pub fn take(array: &Arc<ProcArray>) -> Result<ReservedSlot, Error> {
        let seat = array.take_prepared_seat()?;
        Ok(ReservedSlot { array: Arc::clone(array), seat: Some(seat) })
    }

    /// Shows a transaction here that was prepared in an earlier life of the engine, with its subtransactions. Nothing
    /// runs yet (`RecoverPreparedTransactions`).
    pub fn restore(
        mut self,
        xid: FullXid,
        subxids: &[FullXid],
        database: Oid,
        prepared_at: TimestampTz,
    ) -> Prepared {
        let Some(seat) = self.seat.take() else {
            unreachable!("a reserved slot has its seat until it is used")
        };
        let number = ProcNumber(seat.number());
        let dummy = self.array.proc(number);
        fill(dummy, xid, database, prepared_at);
        subxids::fill(dummy, subxids.iter().map(|subxid| subxid.xid()));
        self.array.add(number);
        let latest_xid = subxids.iter().copied().fold(xid, FullXid::max);
        Prepared { array: Arc::clone(&self.array), seat, xid, latest_xid }
    }
}

/// Fills a slot that nobody sees yet, but for its subtransactions.
fn fill(dummy: &Proc, xid: FullXid, database: Oid, prepared_at: TimestampTz) {
    dummy.set_database(database);
    dummy.set_status(StatusFlags::default());
    dummy.set_xmin(None);
    dummy.set_xid(Some(xid));
    if !variant!("prepare.time-after-insert") {
        dummy.set_prepared_at(Some(prepared_at));
    }
}

impl Drop for ReservedSlot {
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.array.give_back(seat);
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Prepared");
        shown.field("number", &self.number()).field("xid", &self.xid).finish_non_exhaustive()
    }
}

/// A prepared transaction in its dummy slot. Dropping it leaves the transaction running: it ends by
/// [`finish`](Prepared::finish) alone, as it would outlive a crash.
#[must_use = "a prepared transaction runs until it is finished"]
pub struct Prepared {
    array: Arc<ProcArray>,
    seat: Seat,
    xid: FullXid,
    latest_xid: FullXid,
}

impl Prepared {
    /// The transaction.
    pub fn xid(&self) -> FullXid {
        self.xid
    }

    /// Its slot.
    pub fn number(&self) -> ProcNumber {
        ProcNumber(self.seat.number())
    }

    /// Ends it, committed or aborted, and gives the slot back (`ProcArrayRemove` of a dummy).
    pub fn finish(self) {
        let number = self.number();
        let mut members = self.array.exclusive();
        self.array.clear_running(number, Some(self.latest_xid));
        self.array.remove(&mut members, number);
        drop(members);
        self.array.give_back(self.seat);
    }
}

impl Backend {
    /// Shows the running transaction in `reserved` as well (`MarkAsPrepared`);
    /// [`leave_to`](Self::leave_to) completes the hand-over.
    ///
    /// # Panics
    ///
    /// If the transaction has no xid, or the slot is of another array.
    pub fn enter_prepared(
        &mut self,
        mut reserved: ReservedSlot,
        prepared_at: TimestampTz,
    ) -> Prepared {
        assert!(Arc::ptr_eq(&self.array, &reserved.array), "one array's slots");
        let (Some(xid), Some(latest_xid)) = (self.xid(), self.latest_xid) else {
            panic!("the transaction of slot {} has an xid", self.number());
        };
        let Some(seat) = reserved.seat.take() else {
            unreachable!("a reserved slot has its seat until it is used")
        };
        let number = ProcNumber(seat.number());
        let from = self.array.proc(self.number());
        let dummy = self.array.proc(number);
        fill(dummy, xid, from.database(), prepared_at);
        subxids::copy(from, dummy);
        self.array.add(number);
        if variant!("prepare.time-after-insert") {
            dummy.set_prepared_at(Some(prepared_at));
        }
        Prepared { array: Arc::clone(&self.array), seat, xid, latest_xid }
    }

    /// Clears the session's slot of a transaction that is in its dummy slot
    /// (`ProcArrayClearTransaction`).
    ///
    /// # Panics
    ///
    /// If it is not this session's transaction.
    pub fn leave_to(&mut self, prepared: &Prepared) {
        assert_eq!(self.xid(), Some(prepared.xid), "the transaction that was prepared");
        self.clear_without_end();
    }

    /// Hands the running transaction over in one go.
    pub fn prepare(&mut self, reserved: ReservedSlot, prepared_at: TimestampTz) -> Prepared {
        #[cfg(any(loom, shuttle))]
        if variant!("prepare.own-entry-first") {
            return crate::variants::prepare_own_entry_first(self, reserved, prepared_at);
        }
        let prepared = self.enter_prepared(reserved, prepared_at);
        self.leave_to(&prepared);
        prepared
    }

    pub(crate) fn clear_without_end(&mut self) {
        let lock = self.array.exclusive();
        self.array.clear_slot(self.number());
        if !variant!("prepare.count-stands") {
            self.array.bump_completion_count();
        }
        drop(lock);
        self.latest_xid = None;
    }
}
