//! A session's hold on its slot: what the owner alone may do.
//!
//! Invariants: there is one `Backend` a slot, and every method that changes the slot takes it `&mut`: what
//! [`crate::proc`] calls the owner is whoever has that. A session that goes while its transaction is
//! running ends it, as an abort: without a word in the commit log, that is what it is.

use base::sync::{Arc, Semaphore};
use base::{FullXid, Oid};

use crate::array::{Error, ProcArray};
use crate::group::Seat;
use crate::proc::{ProcNumber, StatusFlags};
use crate::subxids;

/// A session in the process array.
pub struct Backend {
    pub(crate) array: Arc<ProcArray>,
    /// `None` only while it is being dropped.
    seat: Option<Seat>,
    number: ProcNumber,
    /// The newest id of the running transaction and its subtransactions: the slot may have lost it.
    pub(crate) latest_xid: Option<FullXid>,
}

impl Backend {
    /// Takes a slot for a session of this database and puts it into the array.
    pub fn connect(array: &Arc<ProcArray>, database: Oid) -> Result<Backend, Error> {
        let seat = array.take_session_seat()?;
        let number = ProcNumber(seat.number());
        let proc = array.proc(number);
        debug_assert_eq!(proc.xid(), None, "a free slot has no xid");
        proc.set_database(database);
        proc.set_prepared_at(None);
        proc.set_status(StatusFlags::default());
        proc.set_xmin(None);
        array.add(number);
        Ok(Backend { array: Arc::clone(array), seat: Some(seat), number, latest_xid: None })
    }

    /// The array that the session is in.
    pub fn array(&self) -> &Arc<ProcArray> {
        &self.array
    }

    /// The session's slot.
    pub fn number(&self) -> ProcNumber {
        self.number
    }

    /// The running transaction's xid, if it has one.
    #[inline]
    pub fn xid(&self) -> Option<FullXid> {
        self.array.proc(self.number).xid()
    }

    /// The xmin that the session shows.
    #[inline]
    pub fn xmin(&self) -> Option<FullXid> {
        self.array.proc(self.number).xmin()
    }

    /// The session's database.
    pub fn database(&self) -> Oid {
        self.array.proc(self.number).database()
    }

    /// What the session is doing.
    pub fn status(&self) -> StatusFlags {
        self.array.proc(self.number).status()
    }

    /// What the session sleeps on, in a group or elsewhere. A post can be left over from a group: look at
    /// the own condition after each wait, and post again what was meant for another.
    pub fn semaphore(&self) -> &Semaphore {
        &self.array.clear_group.semaphores()[self.number.index()]
    }

    /// Gives the transaction an xid and shows it, in one step (`GetNewTransactionId`).
    pub fn assign_xid(&mut self) -> FullXid {
        match self.try_assign_xid(|_| Ok::<(), std::convert::Infallible>(())) {
            Ok(xid) => xid,
            Err(never) => match never {},
        }
    }

    /// The same; before the id counts as given out, `extend` makes room for it in the logs by xid. If that
    /// fails, the next caller gets the same id. It runs under the generator's lock and must not wait for
    /// the array's.
    ///
    /// # Panics
    ///
    /// If the transaction has an xid.
    pub fn try_assign_xid<E>(
        &mut self,
        extend: impl FnOnce(FullXid) -> Result<(), E>,
    ) -> Result<FullXid, E> {
        let proc = self.array.proc(self.number);
        assert_eq!(proc.xid(), None, "the transaction of slot {} has an xid", self.number);
        let mut next = self.array.generator();
        let xid = *next;
        extend(xid)?;
        self.array.advance_generator(&mut next);
        proc.set_xid(Some(xid));
        let position = self.position();
        self.array.dense.xids[position].store(xid.xid().0, base::sync::atomic::Ordering::Relaxed);
        self.latest_xid = Some(xid);
        Ok(xid)
    }

    /// Gives a subtransaction an xid and shows it.
    pub fn assign_subxid(&mut self) -> FullXid {
        match self.try_assign_subxid(|_| Ok::<(), std::convert::Infallible>(())) {
            Ok(xid) => xid,
            Err(never) => match never {},
        }
    }

    /// The same; `extend` as in [`try_assign_xid`](Self::try_assign_xid).
    ///
    /// # Panics
    ///
    /// If the transaction has no xid: a parent's is older than its child's.
    pub fn try_assign_subxid<E>(
        &mut self,
        extend: impl FnOnce(FullXid) -> Result<(), E>,
    ) -> Result<FullXid, E> {
        let proc = self.array.proc(self.number);
        assert!(proc.xid().is_some(), "the transaction of slot {} has an xid", self.number);
        let mut next = self.array.generator();
        let xid = *next;
        extend(xid)?;
        self.array.advance_generator(&mut next);
        subxids::add(proc, &self.array.dense.subxid_states[self.position()], xid.xid());
        self.latest_xid = Some(xid);
        Ok(xid)
    }

    /// Says what the session is doing.
    pub fn set_status(&mut self, status: StatusFlags) {
        let _lock = self.array.exclusive();
        self.array.proc(self.number).set_status(status);
        self.array.dense.statuses[self.position()]
            .store(status.0, base::sync::atomic::Ordering::Relaxed);
    }

    /// Shows the xmin that a standby asks for, in every database's horizons, until it asks for another. The
    /// session is a sender of the log and takes no snapshots.
    pub fn set_feedback_xmin(&mut self, xmin: Option<FullXid>) {
        if !self.status().any_of(StatusFlags::AFFECTS_ALL_HORIZONS) {
            self.set_status(self.status().with(StatusFlags::AFFECTS_ALL_HORIZONS));
        }
        self.array.proc(self.number).set_xmin(xmin);
    }

    /// Where the slot stands; one of the two locks is held.
    pub(crate) fn position(&self) -> usize {
        match self.array.proc(self.number).offset() {
            Some(position) => position,
            None => panic!("slot {} of a session is not in the process array", self.number),
        }
    }

    pub(crate) fn seat(&mut self) -> (&Arc<ProcArray>, &mut Seat) {
        match &mut self.seat {
            Some(seat) => (&self.array, seat),
            None => unreachable!("a session has its seat until it is dropped"),
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(any(loom, shuttle)) && base::sync::thread::panicking() {
            return;
        }
        // What a thread died over is not touched any more: the slot is lost with the array.
        let Some(mut members) = self.array.exclusive_if_whole() else { return };
        if self.xid().is_some() {
            self.array.clear_running(self.number, self.latest_xid);
        }
        self.array.proc(self.number).set_xmin(None);
        self.array.remove(&mut members, self.number);
        drop(members);
        if let Some(seat) = self.seat.take() {
            self.array.give_back(seat);
        }
    }
}
