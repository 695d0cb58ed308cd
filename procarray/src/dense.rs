//! The dense arrays: xid, subtransaction state and status flags of every slot in the array, without
//! gaps, so that a snapshot reads a few cache lines and no slot (`ProcGlobal->xids` and its two
//! companions).
//!
//! Who may touch what, when: position `n` belongs to the slot whose `offset` is `n`. Its owner writes
//! `xids[n]` and `subxid_states[n]` under the xid generator's lock when it is given an id; everything
//! else is written with the array's lock held exclusively. Moving needs both locks, so that either one
//! holds an offset still. Anyone reads under the array's lock; a word is read once, as it may be written
//! meanwhile by an owner that is being given an id.
//!
//! Every access to a word is relaxed: an id that a snapshot must see was given before an id at or below
//! `latest_completed` was, hence under the generator's lock before it, and `latest_completed` reached
//! the snapshot through the array's lock.
//!
//! Invariants: positions `0..numbers.len()` are in use, in the order of slot numbers; the rest is 0.
//! Xids are 32-bit here, as a position is read a thousand times for each time that it is written; they
//! are within 2^31 of `latest_completed`, which gives the other half ([`base::FullXid::nearest`]).

use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU8, AtomicU32};

use crate::proc::{Proc, ProcNumber};
use crate::scan::STEP;

/// Which slots are in the array: what the array's lock protects.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// The slot at each position, ascending.
    pub(crate) numbers: Vec<ProcNumber>,
}

#[derive(Debug)]
pub(crate) struct Dense {
    pub(crate) xids: Box<[AtomicU32]>,
    pub(crate) subxid_states: Box<[AtomicU32]>,
    pub(crate) statuses: Box<[AtomicU8]>,
}

impl Dense {
    /// With room for `size` slots at least: whole steps of [`crate::scan`].
    pub(crate) fn new(size: usize) -> Dense {
        let size = size.next_multiple_of(STEP);
        Dense {
            xids: (0..size).map(|_| AtomicU32::new(0)).collect(),
            subxid_states: (0..size).map(|_| AtomicU32::new(0)).collect(),
            statuses: (0..size).map(|_| AtomicU8::new(0)).collect(),
        }
    }

    /// Adds a slot, with what it holds, at its place in the order. Both locks are held.
    pub(crate) fn insert<'p>(
        &self,
        members: &mut Members,
        number: ProcNumber,
        proc_of: impl Fn(ProcNumber) -> &'p Proc,
    ) {
        let Err(place) = members.numbers.binary_search(&number) else {
            panic!("slot {number} is in the process array already")
        };
        assert!(members.numbers.len() < self.xids.len(), "the process array has no room left");
        for position in (place..members.numbers.len()).rev() {
            self.move_one(position, position + 1);
            proc_of(members.numbers[position]).set_offset(Some(position + 1));
        }
        members.numbers.insert(place, number);
        let proc = proc_of(number);
        proc.set_offset(Some(place));
        self.xids[place].store(proc.xid().map_or(0, |xid| xid.xid().0), Relaxed);
        self.subxid_states[place].store(proc.subxid_state.load(Relaxed), Relaxed);
        self.statuses[place].store(proc.status().0, Relaxed);
    }

    /// Takes a slot out and closes the gap. Both locks are held.
    pub(crate) fn remove<'p>(
        &self,
        members: &mut Members,
        number: ProcNumber,
        proc_of: impl Fn(ProcNumber) -> &'p Proc,
    ) {
        let place = members
            .numbers
            .binary_search(&number)
            .unwrap_or_else(|_| panic!("slot {number} is not in the process array"));
        assert_eq!(proc_of(number).offset(), Some(place), "slot {number} knows its position");
        members.numbers.remove(place);
        for position in place..members.numbers.len() {
            self.move_one(position + 1, position);
            proc_of(members.numbers[position]).set_offset(Some(position));
        }
        let last = members.numbers.len();
        self.xids[last].store(0, Relaxed);
        self.subxid_states[last].store(0, Relaxed);
        self.statuses[last].store(0, Relaxed);
        proc_of(number).set_offset(None);
    }

    fn move_one(&self, from: usize, to: usize) {
        self.xids[to].store(self.xids[from].load(Relaxed), Relaxed);
        self.subxid_states[to].store(self.subxid_states[from].load(Relaxed), Relaxed);
        self.statuses[to].store(self.statuses[from].load(Relaxed), Relaxed);
    }

    /// That both copies agree and the order holds: for tests and for whoever doubts.
    pub(crate) fn check<'p>(&self, members: &Members, proc_of: impl Fn(ProcNumber) -> &'p Proc) {
        assert!(members.numbers.is_sorted(), "slots stand in order");
        for (position, &number) in members.numbers.iter().enumerate() {
            let proc = proc_of(number);
            assert_eq!(proc.offset(), Some(position), "slot {number}: position");
            assert_eq!(
                self.subxid_states[position].load(Relaxed),
                proc.subxid_state.load(Relaxed),
                "slot {number}: subtransactions"
            );
            assert_eq!(
                self.statuses[position].load(Relaxed),
                proc.status().0,
                "slot {number}: status"
            );
            assert_eq!(
                self.xids[position].load(Relaxed),
                proc.xid().map_or(0, |xid| xid.xid().0),
                "slot {number}: xid"
            );
        }
        for position in members.numbers.len()..self.xids.len() {
            assert_eq!(self.xids[position].load(Relaxed), 0, "position {position} is free");
        }
    }
}
