//! Transactions: their ids, their ends, what they see of each other and how they wait for each other.
//!
//! | part | does |
//! |---|---|
//! | [`mode`] | takes snapshots, by list, by commit timestamp or both; says whose end lies before all of them |
//! | [`status`] | answers what became of a transaction, for the rules of the `snapshot` crate |
//! | [`own_ids`] | which ids are a session's own |
//! | [`multixact`] | sets of transactions that hold a row together |
//! | [`xids`] | gives ids out, to transactions and to subtransactions, and makes room for them in the logs of transactions |
//! | [`burn`] | gives out many at once, to nobody |
//! | [`limits`] | says how near ids are to running out |
//! | [`end`] | commits and aborts |
//! | [`wait`] | waits for others' ends |
//! | [`exports`] | whose snapshots others may read by |
//!
//! # The order of a commit
//!
//! ```text
//! commit gate entered ─► timestamp drawn ─► commit record inserted ─► flushed ─► pg_xact ─► pg_commit_ts
//!     ─► gate left ─► timestamp published ─► out of the process array ─► locks given back
//! ```
//!
//! Invariants: nobody sees a commit that is not durable, asynchronous ones aside; whoever finds a transaction not running
//! finds how it ended in `pg_xact`. What waits holds no page.

mod burn;
pub(crate) mod end;
pub(crate) mod exports;
pub(crate) mod limits;
pub(crate) mod mode;
pub(crate) mod multixact;
pub(crate) mod own_ids;
pub(crate) mod status;
pub(crate) mod wait;
pub(crate) mod xids;

use std::fmt;

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, Mutex};
use base::{MultiXactId, TimestampTz, Xid};
use procarray::{Backend, ClogGroup, Config, GroupClear, ProcArray, ProcNumber};

use crate::Error;
use crate::lock::LockManager;
use crate::prepared::payload::TwoPhaseState;
use crate::slru::multixact::precedes;
use crate::storage::{Running, RunningTransactions, Storage};
use exports::Exporters;
use limits::VacuumWanted;
use mode::Time;
pub use mode::{Clock, SnapshotMode};

/// All transactions of an engine.
pub(crate) struct Transactions {
    pub(crate) array: Arc<ProcArray>,
    pub(crate) clog_group: ClogGroup,
    pub(crate) time: Time,
    pub(crate) locks: LockManager,
    /// Who hands snapshots to others.
    pub(crate) exports: Exporters,
    /// Held while a set of transactions gets its id.
    pub(crate) multixact_generator: Mutex<()>,
    /// Held while the logs of transactions are cut off (`WrapLimitsVacuumLock`).
    pub(crate) truncation: Mutex<()>,
    /// Wakes the autovacuum.
    pub(crate) vacuum_wanted: VacuumWanted,
    /// How many have an id, for the commit delay.
    pub(crate) writers: AtomicU32,
    /// Of each slot, the oldest set that its transaction may be a member of; 0 for none (`OldestMemberMXactId`).
    oldest_members: Box<[AtomicU32]>,
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Transactions");
        shown.field("mode", &self.time.mode).field("running", &self.running()).finish()
    }
}

impl Transactions {
    /// With the ids that recovery found, so many sessions and prepared transactions, and these of the latter.
    ///
    /// # Errors
    /// Where there can be no process array of this size, or a transaction log cannot be read.
    pub(crate) fn start(
        storage: &Storage,
        mode: SnapshotMode,
        clock: &Clock,
        last: Option<TimestampTz>,
        sessions: u32,
        prepared: u32,
        states: &[TwoPhaseState],
    ) -> Result<Transactions, Error> {
        let next_xid = storage.ids.lock().next_xid;
        let group_clear = GroupClear::WhenContended;
        let array = ProcArray::new(Config { sessions, prepared, next_xid, group_clear })?;
        let array = Arc::new(array);
        Ok(Transactions {
            clog_group: ClogGroup::new(&array),
            time: Time::start(storage, mode, clock, last, sessions, next_xid, states)?,
            locks: LockManager::new((sessions + prepared) as usize),
            exports: Exporters::default(),
            multixact_generator: Mutex::new(()),
            truncation: Mutex::new(()),
            vacuum_wanted: VacuumWanted::default(),
            writers: AtomicU32::new(0),
            oldest_members: (0..sessions + prepared).map(|_| AtomicU32::new(0)).collect(),
            array,
        })
    }
}

impl Transactions {
    /// A transaction gets its id: sets that it is a member of come later than those that there are. Done before anybody can
    /// come upon the id.
    pub(crate) fn member_from_now_on(&self, storage: &Storage, slot: ProcNumber) {
        // The lock's hold orders this with who looks for the oldest.
        let ids = storage.ids.lock();
        self.oldest_members[slot.0 as usize].store(ids.next_multi.max(1), Relaxed);
    }

    /// The oldest set that the transaction of a slot may be a member of.
    pub(crate) fn oldest_member(&self, slot: ProcNumber) -> Option<MultiXactId> {
        Some(self.oldest_members[slot.0 as usize].load(Relaxed)).filter(|multi| *multi != 0)
    }

    /// A transaction goes on in a slot, with the sets that it may be a member of.
    pub(crate) fn member_in(&self, storage: &Storage, slot: ProcNumber, oldest: MultiXactId) {
        let _nobody_looks = storage.ids.lock();
        self.oldest_members[slot.0 as usize].store(oldest, Relaxed);
    }

    /// Slots of sessions and of prepared transactions.
    pub(crate) fn slots(&self) -> usize {
        self.oldest_members.len()
    }

    /// The transaction of a slot has ended.
    pub(crate) fn member_no_more(&self, slot: ProcNumber) {
        self.oldest_members[slot.0 as usize].store(0, Relaxed);
    }

    /// The id before which everybody has ended, for all who look (`GetOldestNonRemovableTransactionId`).
    pub(crate) fn oldest_xmin(&self, backend: &Backend) -> Xid {
        // Read first: who comes later is newer.
        let next = self.array.next_xid();
        self.time.oldest_xmin(backend, next)
    }

    /// The oldest set of which a member may run (`GetOldestMultiXactId`).
    pub(crate) fn oldest_multixact(&self, storage: &Storage) -> MultiXactId {
        let ids = storage.ids.lock();
        let of_slots = self.oldest_members.iter().map(|slot| slot.load(Relaxed));
        of_slots.filter(|multi| *multi != 0).fold(ids.next_multi.max(1), |oldest, multi| {
            if precedes(multi, oldest) { multi } else { oldest }
        })
    }
}

/// All who run at one moment.
fn running(array: &ProcArray) -> Running {
    let shared = array.shared();
    let latest_completed = shared.latest_completed();
    let next_xid = array.next_xid();
    let mut running = Running {
        next_xid,
        latest_completed: latest_completed.xid(),
        oldest_running: next_xid.xid(),
        ..Running::default()
    };
    // Ids that were given out after `next_xid` was read are not counted.
    let is_counted = |xid: &Xid| xid.is_normal() && xid.precedes(next_xid.xid());
    for position in 0..shared.len() {
        running.xids.extend(Some(shared.xid(position)).filter(is_counted));
        running.subxid_overflow |= shared.subxids(position, &mut running.subxids).overflowed;
    }
    if running.subxid_overflow {
        running.subxids.clear();
    }
    running.subxids.retain(is_counted);
    // The newest may be on its way into the array: it counts as given out first, and only when it is in does the next
    // one. It has not ended if nothing so new has. A subtransaction that is taken for a transaction here does no harm: who
    // reads the record treats both alike.
    let newest = next_xid.previous();
    let is_listed = running.xids.iter().chain(&running.subxids).any(|xid| *xid == newest.xid());
    if latest_completed < newest && !is_listed {
        running.xids.push(newest.xid());
    }
    for &xid in &running.xids {
        if xid.precedes(running.oldest_running) {
            running.oldest_running = xid;
        }
    }
    running
}

impl RunningTransactions for Transactions {
    fn running(&self) -> Running {
        running(&self.array)
    }

    fn oldest_considered_running(&self) -> Option<Xid> {
        Some(self.array.horizons(None, None).oldest_considered_running.xid.xid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::FullXid;

    /// Without logs.
    fn array(next: u64) -> Arc<ProcArray> {
        let (next_xid, group_clear) = (FullXid(next), GroupClear::WhenContended);
        let config = Config { sessions: 4, prepared: 0, next_xid, group_clear };
        Arc::new(ProcArray::new(config).expect("an array"))
    }

    #[test]
    fn who_runs_is_listed_with_the_newest() {
        let array = array(700);
        let running = running(&array);
        assert_eq!((running.next_xid, running.oldest_running), (FullXid(700), Xid(700)));
        assert_eq!((running.latest_completed, running.xids), (Xid(699), vec![]));
        let mut backends = [(); 3].map(|()| Backend::connect(&array, 5).expect("a slot"));
        for backend in &mut backends {
            backend.assign_xid();
        }
        backends[1].end_transaction();
        let running = super::running(&array);
        assert_eq!((running.next_xid, running.oldest_running), (FullXid(703), Xid(700)));
        assert_eq!((running.latest_completed, running.xids), (Xid(701), vec![Xid(700), Xid(702)]));
    }
}
