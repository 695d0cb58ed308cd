//! The second phase: a prepared transaction commits or is rolled back, by whatever session.
//!
//! Invariants: one session at a time ends a transaction. An error before the outcome's record leaves it prepared. The record
//! of a rollback is flushed before `pg_xact` says so, and a checkpoint whose redo point lies behind it waits for that:
//! else a crash could find the state's file and nothing that says how it ended. Source: `FinishPreparedTransaction`.

use base::RelFileLocator;

use super::detached::Detached;
use super::payload::TwoPhaseState;
use super::states::Taken;
use super::{PreparedError, files};
use crate::Error;
use crate::data_directory::DEFAULT_DATABASE;
use crate::session::{Durability, Session};
use crate::transaction::{relations_ended, remove_files};
use crate::xact::end::{AsPrepared, Ending};

impl Session<'_> {
    /// Commits a prepared transaction (`COMMIT PREPARED`), durably.
    ///
    /// # Errors
    /// [`Error::Prepared`] where there is none of this identifier, or another session is about to end it. Where the log
    /// cannot be written, the engine has stopped, and recovery finds out whether it has committed.
    pub fn commit_prepared(&mut self, gid: &str) -> Result<(), Error> {
        self.finish_prepared(gid, true)
    }

    /// Rolls a prepared transaction back (`ROLLBACK PREPARED`), durably.
    ///
    /// # Errors
    /// As [`Session::commit_prepared`].
    pub fn rollback_prepared(&mut self, gid: &str) -> Result<(), Error> {
        self.finish_prepared(gid, false)
    }

    fn finish_prepared(&mut self, gid: &str, commits: bool) -> Result<(), Error> {
        let shared = self.shared;
        shared.check()?;
        let (storage, transactions) = (&shared.storage, &shared.transactions);
        let taken = storage.two_phase.take(gid, DEFAULT_DATABASE)?;
        let xid = taken.xid;
        let state = self.state_of(&taken)?;
        let Some(detached) = shared.prepared.lock().remove(&xid) else {
            return Err(PreparedError::Missing(gid.to_owned()).into());
        };
        let owner = detached.owner();
        let Detached { running, locks, names, made, dropped, mut changes } = detached;
        let (xid, children) = state.full_ids(transactions.array.next_xid());
        let gone: &[RelFileLocator] = if commits { &state.dropped } else { &state.made };
        let ending = Ending {
            storage,
            transactions,
            backend: &mut self.backend,
            inserter: &mut self.inserter,
            xid,
            children: &children,
            prepared: Some(AsPrepared { gid: taken.gid(), running: Some(running) }),
        };
        let ended = match commits {
            true => ending.commit(gone, Durability::Synchronous, &mut |_| false),
            false => ending.abort(gone),
        };
        if let Err(error) = &ended {
            // Whether it counts is for recovery to say.
            shared.stop(error);
        } else {
            gone.iter().for_each(|relation| remove_files(shared, *relation));
        }
        let has_committed = commits && ended.is_ok();
        changes.settle(has_committed);
        names.iter().for_each(|name| shared.catalog.settle(name, owner, has_committed));
        relations_ended(&made, &dropped, has_committed);
        transactions.locks.release(owner, locks);
        if ended.is_ok() && taken.ended() {
            // One that stays behind is known to be over by the next start.
            let _ = files::remove(storage, xid.xid());
        }
        ended
    }

    fn state_of(&self, taken: &Taken<'_>) -> Result<TwoPhaseState, Error> {
        loop {
            let place = taken.place();
            match files::read(&self.shared.storage, taken.xid, &place) {
                Ok(bytes) => return Ok(TwoPhaseState::read(taken.xid, &bytes)?),
                // A checkpoint has moved it into a file, and its part of the log may be gone.
                Err(_) if taken.place() != place => {}
                Err(error) => return Err(error),
            }
        }
    }
}
