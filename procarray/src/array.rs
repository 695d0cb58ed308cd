//! The process array: its slots, its one lock, its counters, and what may be read under that lock.
//!
//! Two locks, taken in this order: **the array's lock** (`ProcArrayLock`: shared to take a snapshot or a
//! horizon, exclusive to end a transaction or to move slots) and **the xid generator's** (`XidGenLock`:
//! to give out an id and show it in one step, and held with the other to move slots).
//!
//! The rules that snapshots stand on (PostgreSQL's `transam/README`):
//!
//! 1. Nobody leaves the set of the running while a snapshot is taken: an xid goes away with the array's
//!    lock held exclusively, and `latest_completed` moves in the same step. So if a snapshot sees a
//!    transaction, it sees whatever that transaction saw.
//! 2. An xid is in the array before the next one is given out. So every running xid at or below
//!    `latest_completed` is in the array whenever the lock is held.
//! 3. `completion_count` moves in the same step whenever a snapshot taken anew could differ: a transaction or a
//!    subtransaction ended, a transaction changed its slot by PREPARE (a snapshot leaves out its owner's
//!    xid), a slot with an xid was removed. While it stands, an old snapshot is as good as a new one.
//!
//! Invariants: `latest_completed` and `completion_count` never go back, and are written with the lock
//! held exclusively; they are atomics so that they can be read without it.

use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU32, AtomicU64};
use base::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore,
    TryLockError,
};
use base::{FullXid, Oid, TimestampTz, Xid};
use crossbeam_utils::CachePadded;

use crate::dense::{Dense, Members};
use crate::group::{Group, Seat, Semaphores};
use crate::proc::{Proc, ProcNumber, StatusFlags};
use crate::subxids::{self, SubxidState};

/// The most slots that an array can have, for sessions and prepared transactions together.
pub const MAX_SLOTS: u32 = 10_000;

/// Positions that a search looks at between two branches.
const SEARCHED_AT_ONCE: usize = 16;

/// What cannot be had from a process array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Every session's slot is taken.
    #[error("sorry, too many clients already: all {slots} slots for sessions are taken")]
    TooManySessions {
        /// How many there are.
        slots: u32,
    },
    /// Every prepared transaction's slot is taken.
    #[error(
        "maximum number of prepared transactions reached: all {slots} slots for them are taken"
    )]
    TooManyPrepared {
        /// How many there are.
        slots: u32,
    },
    /// An array of this size cannot be made.
    #[error("a process array has 1 to {MAX_SLOTS} slots, {slots} were asked for")]
    Size {
        /// How many were asked for.
        slots: u64,
    },
}

/// When ending transactions form a group.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum GroupClear {
    /// When the lock is not free at once: PostgreSQL's way.
    #[default]
    WhenContended,
    /// Always: to have groups in tests.
    Always,
    /// Never, each takes the lock for itself: to measure against.
    Never,
}

/// The size and the start of a process array.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Slots for sessions.
    pub sessions: u32,
    /// Slots for prepared transactions.
    pub prepared: u32,
    /// The first xid to give out; a special id stands for the first normal one after it.
    pub next_xid: FullXid,
    /// When ending transactions form a group.
    pub group_clear: GroupClear,
}

/// Slots that nobody has.
#[derive(Debug)]
struct Free {
    sessions: Vec<Seat>,
    prepared: Vec<Seat>,
}

/// Xmins that replication slots ask to be kept back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReplicationXmins {
    /// For rows of every table.
    pub data: Option<FullXid>,
    /// For rows of catalogs alone, which logical decoding reads.
    pub catalog: Option<FullXid>,
}

/// Who is running: the slots of all sessions and prepared transactions.
pub struct ProcArray {
    pub(crate) config: Config,
    pub(crate) procs: Box<[CachePadded<Proc>]>,
    pub(crate) dense: Dense,
    members: CachePadded<RwLock<Members>>,
    generator: CachePadded<Mutex<FullXid>>,
    /// What the generator holds, for who does not take its lock.
    next_xid: CachePadded<AtomicU64>,
    latest_completed: CachePadded<AtomicU64>,
    completion_count: CachePadded<AtomicU64>,
    exclusive_acquisitions: AtomicU64,
    replication_data_xmin: AtomicU64,
    replication_catalog_xmin: AtomicU64,
    free: Mutex<Free>,
    pub(crate) clear_group: Group<FullXid>,
}

/// The array's lock, held exclusively.
pub(crate) type Exclusive<'a> = RwLockWriteGuard<'a, Members>;

const BROKEN: &str = "the process array is broken: a thread died while it was changing it";

impl ProcArray {
    /// An array without sessions.
    pub fn new(config: Config) -> Result<ProcArray, Error> {
        let slots = u64::from(config.sessions) + u64::from(config.prepared);
        if config.sessions == 0 || slots > u64::from(MAX_SLOTS) {
            return Err(Error::Size { slots });
        }
        let slots = slots as usize;
        let semaphores: Semaphores = Arc::new((0..slots).map(|_| Semaphore::new()).collect());
        // Taken from the end: the lowest number first.
        let mut seats = Seat::all(slots as u32);
        let mut prepared = seats.split_off(config.sessions as usize);
        seats.reverse();
        prepared.reverse();
        let next = first_normal(config.next_xid);
        Ok(ProcArray {
            config,
            procs: (0..slots).map(|_| CachePadded::new(Proc::new())).collect(),
            dense: Dense::new(slots),
            members: CachePadded::new(RwLock::new(Members { numbers: Vec::with_capacity(slots) })),
            generator: CachePadded::new(Mutex::new(next)),
            next_xid: CachePadded::new(AtomicU64::new(next.0)),
            latest_completed: CachePadded::new(AtomicU64::new(next.previous().0)),
            completion_count: CachePadded::new(AtomicU64::new(1)),
            exclusive_acquisitions: AtomicU64::new(0),
            replication_data_xmin: AtomicU64::new(0),
            replication_catalog_xmin: AtomicU64::new(0),
            free: Mutex::new(Free { sessions: seats, prepared }),
            clear_group: Group::new(semaphores),
        })
    }

    /// Takes the lock to read who is running.
    pub fn shared(&self) -> Shared<'_> {
        Shared { array: self, members: self.members.read().expect(BROKEN) }
    }

    /// The highest xid that has ended. Without the lock, a lower bound of it by the time it is used.
    #[inline]
    pub fn latest_completed(&self) -> FullXid {
        FullXid(self.latest_completed.load(Relaxed))
    }

    /// How often the set of the running changed in a way that snapshots can see, from 1 on. Says
    /// something about a snapshot only under the lock, or as
    /// [`advertise_unlocked`](crate::Backend::advertise_unlocked) does it.
    #[inline]
    pub fn completion_count(&self) -> u64 {
        self.completion_count.load(Relaxed)
    }

    /// The xid to be given out next: every one that the caller has heard of is older.
    #[inline]
    pub fn next_xid(&self) -> FullXid {
        FullXid(self.next_xid.load(Relaxed))
    }

    /// How often the array's lock was taken exclusively so far.
    pub fn exclusive_acquisitions(&self) -> u64 {
        self.exclusive_acquisitions.load(Relaxed)
    }

    /// Wakes whoever sleeps on this slot's semaphore; a hint, to look at its own condition.
    ///
    /// # Panics
    ///
    /// If there is no such slot.
    pub fn wake(&self, number: ProcNumber) {
        self.clear_group.semaphores()[number.index()].post();
    }

    /// Says what replication slots ask to be kept back (`ProcArraySetReplicationSlotXmin`).
    pub fn set_replication_xmins(&self, xmins: ReplicationXmins) {
        let _lock = self.exclusive();
        self.replication_data_xmin.store(xmins.data.map_or(0, |xid| xid.0), Relaxed);
        self.replication_catalog_xmin.store(xmins.catalog.map_or(0, |xid| xid.0), Relaxed);
    }

    /// Every slot in the array, as it stands now.
    pub fn list(&self) -> Vec<ProcInfo> {
        let shared = self.shared();
        (0..shared.len()).map(|position| shared.info(position)).collect()
    }

    /// The prepared transactions, each with its time (`pg_prepared_xacts`).
    pub fn prepared(&self) -> Vec<ProcInfo> {
        let mut slots = self.list();
        slots.retain(|slot| slot.prepared_at.is_some());
        slots
    }

    /// Checks that the dense arrays and the slots agree.
    ///
    /// # Panics
    ///
    /// If they do not.
    pub fn check(&self) {
        let members = self.exclusive();
        let _generator = self.generator();
        self.dense.check(&members, |number| self.proc(number));
    }

    #[inline]
    pub(crate) fn proc(&self, number: ProcNumber) -> &Proc {
        &self.procs[number.index()]
    }

    pub(crate) fn exclusive(&self) -> Exclusive<'_> {
        let members = self.members.write().expect(BROKEN);
        self.count_acquisition();
        members
    }

    /// The lock, if it is free at once.
    pub(crate) fn try_exclusive(&self) -> Option<Exclusive<'_>> {
        match self.members.try_write() {
            Ok(members) => {
                self.count_acquisition();
                Some(members)
            }
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => panic!("{BROKEN}"),
        }
    }

    /// The lock, unless a thread died under it.
    pub(crate) fn exclusive_if_whole(&self) -> Option<Exclusive<'_>> {
        self.members.write().ok()
    }

    /// Under the exclusive lock: no read-modify-write is needed.
    fn count_acquisition(&self) {
        self.exclusive_acquisitions.store(self.exclusive_acquisitions.load(Relaxed) + 1, Relaxed);
    }

    /// What fails while an id is given out (no room on disk, say) leaves the generator as it was.
    pub(crate) fn generator(&self) -> MutexGuard<'_, FullXid> {
        self.generator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that an id was given out.
    pub(crate) fn advance_generator(&self, generator: &mut FullXid) {
        *generator = generator.next();
        self.next_xid.store(generator.0, Relaxed);
    }

    /// Gives so many ids out, one after the other, to transactions that are over at once; the last of them. `extend` is as
    /// with [`Backend::try_assign_xid`](crate::Backend::try_assign_xid); where it fails, those before are over.
    ///
    /// # Errors
    /// Those of `extend`.
    pub fn try_burn_xids<E>(
        &self,
        count: u64,
        mut extend: impl FnMut(FullXid) -> Result<(), E>,
    ) -> Result<FullXid, E> {
        let _members = self.exclusive();
        let mut next = self.generator();
        let extended = (0..count).try_for_each(|_| {
            extend(*next)?;
            self.advance_generator(&mut next);
            Ok(())
        });
        let last = next.previous();
        drop(next);
        self.maintain_latest_completed(last);
        self.bump_completion_count();
        extended.map(|()| last)
    }

    /// Puts a filled slot into the array.
    pub(crate) fn add(&self, number: ProcNumber) {
        let mut members = self.exclusive();
        let _generator = self.generator();
        self.dense.insert(&mut members, number, |number| self.proc(number));
    }

    /// Takes a slot out of the array; it has no xid any more.
    pub(crate) fn remove(&self, members: &mut Members, number: ProcNumber) {
        let _generator = self.generator();
        self.dense.remove(members, number, |number| self.proc(number));
    }

    /// Moves `latest_completed` on; the lock is held exclusively.
    #[inline]
    pub(crate) fn maintain_latest_completed(&self, latest: FullXid) {
        if self.latest_completed() < latest {
            self.latest_completed.store(latest.0, Relaxed);
        }
    }

    /// Moves `completion_count` on; the lock is held exclusively.
    #[inline]
    pub(crate) fn bump_completion_count(&self) {
        self.completion_count.store(self.completion_count() + 1, Relaxed);
    }

    pub(crate) fn take_session_seat(&self) -> Result<Seat, Error> {
        let seat = self.free().sessions.pop();
        seat.ok_or(Error::TooManySessions { slots: self.config.sessions })
    }

    pub(crate) fn take_prepared_seat(&self) -> Result<Seat, Error> {
        let seat = self.free().prepared.pop();
        seat.ok_or(Error::TooManyPrepared { slots: self.config.prepared })
    }

    pub(crate) fn give_back(&self, seat: Seat) {
        let mut free = self.free();
        if seat.number() < self.config.sessions {
            free.sessions.push(seat);
        } else {
            free.prepared.push(seat);
        }
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn first_normal(xid: FullXid) -> FullXid {
    if xid.xid().is_normal() { xid } else { FullXid::new(xid.epoch(), Xid::FIRST_NORMAL) }
}

/// The array under its lock, shared: nobody ends, comes or goes meanwhile.
pub struct Shared<'a> {
    pub(crate) array: &'a ProcArray,
    members: RwLockReadGuard<'a, Members>,
}

impl Shared<'_> {
    /// How many slots are in the array: positions `0..len` can be asked for.
    #[inline]
    pub fn len(&self) -> usize {
        self.members.numbers.len()
    }

    /// Whether no slot is in the array.
    pub fn is_empty(&self) -> bool {
        self.members.numbers.is_empty()
    }

    /// The highest xid that has ended: a snapshot's xmax is the next one.
    #[inline]
    pub fn latest_completed(&self) -> FullXid {
        self.array.latest_completed()
    }

    /// The count that tells whether a snapshot is still as good as a new one.
    #[inline]
    pub fn completion_count(&self) -> u64 {
        self.array.completion_count()
    }

    /// The slot at a position.
    #[inline]
    pub fn number(&self, position: usize) -> ProcNumber {
        self.members.numbers[position]
    }

    /// The xid at a position, or [`Xid::INVALID`]. An id above `latest_completed` can come up between two
    /// reads: read it once.
    #[inline]
    pub fn xid(&self, position: usize) -> Xid {
        Xid(self.array.dense.xids[position].load(Relaxed))
    }

    /// The status flags at a position.
    #[inline]
    pub fn status(&self, position: usize) -> StatusFlags {
        StatusFlags(self.array.dense.statuses[position].load(Relaxed))
    }

    /// Appends the subtransaction ids of a position, unless it overflowed, and tells which it was.
    #[inline]
    pub fn subxids(&self, position: usize, into: &mut Vec<Xid>) -> SubxidState {
        let proc = self.array.proc(self.number(position));
        subxids::read(proc, &self.array.dense.subxid_states[position], into)
    }

    /// Whether this transaction or subtransaction runs, as far as the slots tell. `overflowed` gets the transactions before it
    /// whose slots do not hold all subtransactions: it may be one of theirs if this gives `false`.
    pub fn search(&self, xid: Xid, overflowed: &mut Vec<Xid>) -> bool {
        if self.latest_completed().xid().precedes(xid) {
            return true;
        }
        // Who asks holds a page, and a thousand may run: the slots themselves are looked at only where there is a reason.
        // Whoever has ended by now has nothing to do with it, and nobody ends between the two passes.
        let dense = &self.array.dense;
        let is_here = |xids: &[AtomicU32]| {
            xids.iter().fold(false, |is_here, top| is_here | (top.load(Relaxed) == xid.0))
        };
        if dense.xids[..self.len()].chunks(SEARCHED_AT_ONCE).any(is_here) {
            return true;
        }
        let mut subxids = Vec::new();
        for (position, state) in dense.subxid_states[..self.len()].iter().enumerate() {
            // A subtransaction that is asked about has changed something that the asker has seen, and was counted before.
            if state.load(Relaxed) == 0 {
                continue;
            }
            let top = self.xid(position);
            // A subtransaction's id is after its transaction's.
            if top.is_invalid() || xid.precedes(top) {
                continue;
            }
            subxids.clear();
            if self.subxids(position, &mut subxids).overflowed {
                overflowed.push(top);
            } else if subxids.contains(&xid) {
                return true;
            }
        }
        false
    }

    /// The oldest xid that a slot's snapshots may still see as running.
    #[inline]
    pub fn xmin(&self, position: usize) -> Option<FullXid> {
        self.array.proc(self.number(position)).xmin()
    }

    /// The slot's database.
    #[inline]
    pub fn database(&self, position: usize) -> Oid {
        self.array.proc(self.number(position)).database()
    }

    /// When the transaction at a position was prepared; `None` for a session.
    #[inline]
    pub fn prepared_at(&self, position: usize) -> Option<TimestampTz> {
        self.array.proc(self.number(position)).prepared_at()
    }

    /// What replication slots ask to be kept back.
    pub fn replication_xmins(&self) -> ReplicationXmins {
        let some = |xid: u64| (xid != 0).then_some(FullXid(xid));
        ReplicationXmins {
            data: some(self.array.replication_data_xmin.load(Relaxed)),
            catalog: some(self.array.replication_catalog_xmin.load(Relaxed)),
        }
    }

    /// All there is to say about a position.
    pub fn info(&self, position: usize) -> ProcInfo {
        let number = self.number(position);
        let xid = self.xid(position);
        let mut subxids = Vec::new();
        let state = self.subxids(position, &mut subxids);
        ProcInfo {
            number,
            position,
            xid: xid.is_normal().then(|| self.latest_completed().nearest(xid)),
            xmin: self.xmin(position),
            subxids,
            subxid_state: state,
            status: self.status(position),
            database: self.database(position),
            prepared_at: self.prepared_at(position),
            waits_in_clear_group: self.array.clear_group.is_waiting(number.0),
        }
    }
}

/// One slot as it was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcInfo {
    /// The slot (`pgprocno`).
    pub number: ProcNumber,
    /// Where it stands in the dense arrays (`pgxactoff`).
    pub position: usize,
    /// The running transaction.
    pub xid: Option<FullXid>,
    /// The oldest xid that its snapshots may still see as running.
    pub xmin: Option<FullXid>,
    /// Its subtransactions, none if they overflowed.
    pub subxids: Vec<Xid>,
    /// How many it holds, and whether they overflowed.
    pub subxid_state: SubxidState,
    /// What it is doing.
    pub status: StatusFlags,
    /// Its database.
    pub database: Oid,
    /// When it was prepared; `None` for a session.
    pub prepared_at: Option<TimestampTz>,
    /// Whether it waits for a group's leader to end it.
    pub waits_in_clear_group: bool,
}
