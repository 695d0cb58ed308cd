//! How a transaction ends, as far as its session and the catalog go; [`crate::xact::end`] does the rest.
//!
//! Invariant: files of relations go when the end is durable, and never before.

use base::RelFileLocator;

use super::Transaction;
use super::savepoint::{Claimed, own_lock};
use super::tables::{relations_ended, remove_files};
use crate::Error;
use crate::catalog::Relation;
use crate::session::{Durability, ToEnd};
use crate::xact::end::Ending;

impl Transaction<'_, '_> {
    /// Commits, durably.
    ///
    /// # Errors
    /// [`Error::TransactionFailed`] if it can only be rolled back, which is then done. Where the log cannot be written, the
    /// engine has stopped, and recovery finds out whether the transaction counts.
    pub fn commit(self) -> Result<(), Error> {
        self.commit_with(Durability::Synchronous)
    }

    /// Commits.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub fn commit_with(mut self, durability: Durability) -> Result<(), Error> {
        if self.has_failed {
            self.end_if_running(false, durability)?;
            return Err(Error::TransactionFailed);
        }
        self.session.shared.check()?;
        self.end(true, durability)
    }

    /// Rolls back.
    ///
    /// # Errors
    /// Where the log is stopped. The transaction is rolled back all the same.
    pub fn rollback(mut self) -> Result<(), Error> {
        self.end_if_running(false, Durability::default())
    }

    /// One that was given up is over already.
    pub(crate) fn end_if_running(
        &mut self,
        commits: bool,
        durability: Durability,
    ) -> Result<(), Error> {
        if self.is_over { Ok(()) } else { self.end(commits, durability) }
    }

    pub(super) fn end(&mut self, commits: bool, durability: Durability) -> Result<(), Error> {
        self.is_over = true;
        self.end_exports();
        let session = &mut *self.session;
        let shared = session.shared;
        let gone = if commits { &self.dropped } else { &self.made };
        let gone: Vec<RelFileLocator> = gone.iter().map(Relation::locator).collect();
        let ended = match session.ids.top {
            None => {
                shared.transactions.time.release(&session.backend);
                session.backend.end_transaction();
                Ok(())
            }
            Some(xid) => {
                let (storage, transactions) = (&shared.storage, &shared.transactions);
                let mut horizon = session.to_prune.is_wanted().then(|| session.horizon());
                let (ToEnd { backend, inserter, children, to_prune }, mut pruner) = session.split();
                let prepared = None;
                let ending =
                    Ending { storage, transactions, backend, inserter, xid, children, prepared };
                let ended = match commits {
                    true => ending.commit(&gone, durability, &mut |inserter| {
                        // Where there is nothing to prune, there is nothing later on either.
                        horizon = horizon
                            .filter(|horizon| pruner.prune_noted(*horizon, inserter, to_prune));
                        horizon.is_some()
                    }),
                    false => ending.abort(&gone),
                };
                if commits && ended.is_ok() {
                    session.to_prune.committed(xid.xid());
                }
                ended
            }
        };
        if commits && let Err(error) = &ended {
            shared.stop(error);
        }
        let has_committed = commits && ended.is_ok();
        session.changes.settle(has_committed);
        if ended.is_ok() {
            gone.iter().for_each(|relation| remove_files(shared, *relation));
        }
        for Claimed { name, .. } in self.claimed.drain(..) {
            shared.catalog.settle(&name, session.number(), has_committed);
        }
        relations_ended(&self.made, &self.dropped, has_committed);
        // A subtransaction that was released has given its own back.
        let own =
            session.ids.top.into_iter().chain(self.levels.iter().filter_map(|level| level.xid));
        let own: Vec<_> = own.map(own_lock).collect();
        let taken = session.transaction_over();
        session.release(own.into_iter().chain(taken));
        ended
    }
}

impl Drop for Transaction<'_, '_> {
    fn drop(&mut self) {
        if !self.is_over {
            // A stopped log is found by whoever comes next.
            let _ = self.end(false, Durability::default());
        }
    }
}
