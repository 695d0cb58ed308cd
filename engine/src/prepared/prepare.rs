//! The first phase: a session's transaction is prepared, and goes on without the session.
//!
//! Invariants: until its record is durable it is the session's, and can be rolled back. Whoever waits for one of its locks
//! goes on waiting, for the same holder under another number; whoever looks finds it running all the while. Source:
//! `PrepareTransaction`.

use base::sync::atomic::Ordering::Relaxed;
use base::{FullXid, Lsn, TimestampTz};
use procarray::ReservedSlot;
use snapshot::commit_ts::clock::WallClock;
use wal::rmgr::xact::PREPARE;
use wal::write::NewRecord;

use super::detached::Detached;
use super::payload::TwoPhaseState;
use super::states::{Reserved, Taken};
use super::{PreparedError, files};
use crate::Error;
use crate::catalog::Relation;
use crate::data_directory::DEFAULT_DATABASE;
use crate::session::{Durability, Session};
use crate::transaction::{Forgotten, Transaction, own_lock};

/// The resource manager `Transaction`.
const XACT: u8 = 1;

impl Transaction<'_, '_> {
    /// Prepares the transaction for a commit that cannot fail any more, by this or another session, in this life of the
    /// engine or another (`PREPARE TRANSACTION`). Open savepoints are released.
    ///
    /// # Errors
    /// [`Error::Prepared`], and [`Error::TransactionFailed`] if it can only be rolled back: it is then rolled back. Where
    /// the log cannot be written, the engine has stopped, and recovery finds out whether it is prepared.
    pub fn prepare(mut self, gid: &str) -> Result<(), Error> {
        if self.has_failed() {
            self.end_if_running(false, Durability::default())?;
            return Err(Error::TransactionFailed);
        }
        self.session.shared.check()?;
        let reached = self.reach_prepared(gid);
        if let Err(error) = reached {
            self.end_if_running(false, Durability::default())?;
            return Err(error);
        }
        Ok(())
    }

    fn reach_prepared(&mut self, gid: &str) -> Result<(), Error> {
        let shared = self.session.shared;
        let (storage, transactions) = (&shared.storage, &shared.transactions);
        if self.has_exported() {
            return Err(PreparedError::ExportedSnapshots.into());
        }
        self.release_all();
        if self.session.locks.are_of_both_kinds() {
            return Err(PreparedError::LocksOfBothKinds.into());
        }
        let xid = self.assigned_xid()?;
        let prepared_at = transactions.time.clock.now();
        let most = shared.prepared_transactions;
        let database = DEFAULT_DATABASE;
        let reserved = storage.two_phase.reserve(gid, xid.xid(), database, prepared_at, most)?;
        let slot = ReservedSlot::take(&transactions.array)
            .map_err(|_| Error::from(PreparedError::TooMany))?;

        let state = self.two_phase_state(gid, xid, prepared_at);
        let bytes = state.encode();
        files::check_length(&bytes)?;
        let taken = match self.session.log_prepared(xid, &bytes, reserved) {
            Ok(taken) => taken,
            Err(error) => {
                // It may be in the log.
                shared.stop(&error);
                return Err(error);
            }
        };

        let session = &mut *self.session;
        let running = session.backend.enter_prepared(slot, prepared_at);
        let owner = running.number().0 as usize;
        transactions.time.prepare(xid, prepared_at);
        if let Some(oldest) = state.oldest_member {
            transactions.member_in(storage, running.number(), oldest);
        }
        transactions.member_no_more(session.backend.number());
        transactions.locks.hand_over(session.number(), owner, &state.locks);
        transactions.time.release(&session.backend);
        session.backend.leave_to(&running);
        transactions.writers.fetch_sub(1, Relaxed);
        let own = session.number();
        let Forgotten { made, dropped, names, changes } = self.forget();
        names.iter().for_each(|name| shared.catalog.hand_over(name, own, owner));
        made.iter().for_each(|relation| relation.hand_over(owner));
        let locks = state.locks;
        let detached = Detached { running, locks, names, made, dropped, changes };
        shared.prepared.lock().insert(xid.xid(), detached);
        drop(taken);
        Ok(())
    }

    fn two_phase_state(&self, gid: &str, xid: FullXid, at: TimestampTz) -> TwoPhaseState {
        let session = &*self.session;
        let (made, dropped) = self.relations_in_doubt();
        TwoPhaseState {
            xid: xid.xid(),
            database: DEFAULT_DATABASE,
            prepared_at: at,
            gid: gid.as_bytes().to_vec(),
            children: session.ids.children.iter().map(|child| child.xid()).collect(),
            dropped: dropped.iter().map(Relation::locator).collect(),
            made: made.iter().map(Relation::locator).collect(),
            locks: std::iter::once(own_lock(xid))
                .chain(session.locks.taken().iter().copied())
                .collect(),
            oldest_member: session.shared.transactions.oldest_member(session.backend.number()),
        }
    }
}

impl Session<'_> {
    /// Logs a state, durably. A checkpoint whose redo point lies behind the record waits until the state counts.
    fn log_prepared<'r>(
        &mut self,
        xid: FullXid,
        state: &[u8],
        reserved: Reserved<'r>,
    ) -> Result<Taken<'r>, Error> {
        let storage = &self.shared.storage;
        let log = storage.log.log();
        let in_gate = storage.commit_gate.enter(self.number());
        let record = NewRecord { xid: xid.xid(), main: &[state], ..NewRecord::new(XACT, PREPARE) };
        let placed = log.insert(&mut self.inserter, &record)?;
        log.flush(placed.end)?;
        let (start, end): (Lsn, Lsn) = (placed.start, placed.end);
        let taken = reserved.logged(start, end);
        drop(in_gate);
        Ok(taken)
    }
}
