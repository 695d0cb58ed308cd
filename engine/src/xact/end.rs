//! How transactions end: commit and abort, their records, and the order of what follows.
//!
//! ```text
//! xl_xact_commit, xl_xact_abort    time (8)  [ xinfo (4)
//!     [ database (4)  tablespace (4) ]
//!     [ number of subtransactions (4)  4 bytes for each ]  [ number of relations (4)  12 bytes for each ]
//!     [ xid of a prepared transaction (4)  [ its identifier, closed by 0 ] ] ]
//! ```
//!
//! Database and identifier are there where the log is for logical decoding.
//!
//! A subtransaction that is rolled back writes the record of an abort, with its own id. One that is released writes
//! nothing: it ends with its parent.
//!
//! Invariants: those of [the module above](super). A commit that fails once its record is in the log stops the engine:
//! whether it counts is for recovery to say. Source: `RecordTransactionCommit`, `RecordTransactionAbort`.

use base::sync::atomic::Ordering::Relaxed;
use base::{FullXid, Lsn, RelFileLocator, TimestampTz, Xid};
use procarray::{Backend, Prepared, XidStatus};
use snapshot::commit_ts::clock::WallClock;
use snapshot::commit_ts::format::CommitTimestampEntry;
use wal::checkpoint::WalLevel;
use wal::record::SPECIAL_REL_UPDATE;
use wal::rmgr::xact::{ABORT_PREPARED, COMMIT_PREPARED, CompletionFlags};
use wal::write::{Inserter, NewRecord};

use super::Transactions;
use crate::Error;
use crate::catalog::DEFAULT_TABLESPACE;
use crate::data_directory::DEFAULT_DATABASE;
use crate::planted::{self, Bug};
use crate::storage::Storage;

/// The resource manager of both records.
const XACT: u8 = 1;
const COMMIT: u8 = 0x00;
const ABORT: u8 = 0x20;
/// `XLOG_XACT_HAS_INFO`
const HAS_INFO: u8 = 0x80;
/// `WAL_LEVEL_LOGICAL`
const LOGICAL: WalLevel = WalLevel(2);

/// When a commit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// When it is durable (`synchronous_commit = local`).
    #[default]
    Synchronous,
    /// At once. A crash may lose it, and with it all that came after it; never in part (`synchronous_commit = off`).
    Asynchronous,
}

/// A transaction that ends, with what its session lends it.
pub(crate) struct Ending<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) transactions: &'a Transactions,
    pub(crate) backend: &'a mut Backend,
    pub(crate) inserter: &'a mut Inserter,
    pub(crate) xid: FullXid,
    /// Its subtransactions that were not rolled back, in ascending order; of a subtransaction that is, those under it.
    pub(crate) children: &'a [FullXid],
    /// Where it was prepared: it is not the session's own.
    pub(crate) prepared: Option<AsPrepared<'a>>,
}

/// A prepared transaction that ends.
#[derive(Debug)]
pub(crate) struct AsPrepared<'a> {
    /// Its identifier.
    pub(crate) gid: &'a [u8],
    /// Its slot, until it has ended.
    pub(crate) running: Option<Prepared>,
}

impl Ending<'_> {
    /// Commits; the files of these relations are then the caller's to remove. While it waits for others to make the log durable,
    /// `meanwhile` does something, a little at a time, and says whether there was something to do.
    ///
    /// # Errors
    /// Where the log cannot be written or a page of a transaction log not be read. The engine must then stop: it is not
    /// known whether the commit counts.
    pub(crate) fn commit(
        mut self,
        dropped: &[RelFileLocator],
        durability: Durability,
        meanwhile: &mut dyn FnMut(&mut Inserter) -> bool,
    ) -> Result<(), Error> {
        let time = &self.transactions.time;
        let committing = time.committing();
        let timestamp = time.draw(self.xid);
        if planted::has(Bug::EndsBeforeItIsLogged) {
            self.end_in_memory();
            (0..20).for_each(|_| base::sync::thread::yield_now());
            return self.log_commit(timestamp, dropped, durability, meanwhile);
        }
        let logged = self.log_commit(timestamp, dropped, durability, meanwhile);
        match &logged {
            Ok(()) => time.publish(self.xid, self.children, timestamp),
            // Readers that wait for it go on, to find that the engine has stopped.
            Err(_) => time.abort(self.xid, self.children),
        }
        self.end_in_memory();
        drop(committing);
        logged
    }

    fn log_commit(
        &mut self,
        timestamp: TimestampTz,
        dropped: &[RelFileLocator],
        durability: Durability,
        meanwhile: &mut dyn FnMut(&mut Inserter) -> bool,
    ) -> Result<(), Error> {
        let (storage, xid, children) = (self.storage, self.xid.xid(), self.child_xids());
        let committing = storage.commit_gate.enter(self.backend.number().0 as usize);
        let end = self.insert(COMMIT, timestamp, dropped)?;
        let log = storage.log.log();
        // What is removed from the disk must be committed there.
        let is_synchronous = durability == Durability::Synchronous || !dropped.is_empty();
        let lsn = if self.prepared.is_some() {
            log.flush(end)?;
            None
        } else if is_synchronous {
            let writers = self.transactions.writers.load(Relaxed);
            let inserter = &mut *self.inserter;
            log.flush_commit(end, writers.saturating_sub(1), &mut || meanwhile(inserter))?;
            None
        } else {
            log.flush_soon(end);
            Some(end)
        };
        let group = Some((&self.transactions.clog_group, &mut *self.backend));
        storage.clog.set_tree(group, xid, &children, XidStatus::Committed, lsn)?;
        if self.transactions.time.is_logged {
            let entry = CommitTimestampEntry { time: timestamp, origin: 0 };
            storage.commit_ts.set_tree(xid, &children, entry)?;
            let mut ids = storage.ids.lock();
            [xid].iter().chain(children.last()).for_each(|xid| ids.commit_timestamp_set(*xid));
        }
        drop(committing);
        Ok(())
    }

    /// Aborts; the files of these relations, which the transaction made, are then the caller's to remove.
    ///
    /// # Errors
    /// Where the log is stopped, or a page of `pg_xact` cannot be read. The transaction has aborted all the same.
    pub(crate) fn abort(mut self, made: &[RelFileLocator]) -> Result<(), Error> {
        let logged = if self.prepared.is_some() {
            self.log_abort_of_prepared(made)
        } else {
            self.log_abort(made).map(|end| self.storage.log.log().flush_soon(end))
        };
        self.transactions.time.abort(self.xid, self.children);
        self.end_in_memory();
        logged
    }

    /// Aborts a subtransaction alone; the files of these relations, which it made, are then the caller's to remove.
    ///
    /// # Errors
    /// As [`Ending::abort`]. The subtransaction has aborted all the same.
    pub(crate) fn abort_alone(mut self, made: &[RelFileLocator]) -> Result<(), Error> {
        let logged = self.log_abort(made);
        self.transactions.time.abort(self.xid, self.children);
        let all: Vec<FullXid> = [self.xid].iter().chain(self.children).copied().collect();
        self.backend.abort_subtransactions(&all);
        logged.map(drop)
    }

    fn log_abort(&mut self, made: &[RelFileLocator]) -> Result<Lsn, Error> {
        let end = self.insert(ABORT, self.transactions.time.clock.now(), made)?;
        let (xid, children) = (self.xid.xid(), self.child_xids());
        self.storage.clog.set_tree(None, xid, &children, XidStatus::Aborted, None)?;
        Ok(end)
    }

    /// Nothing but this record says that the transaction is not prepared any more.
    fn log_abort_of_prepared(&mut self, made: &[RelFileLocator]) -> Result<(), Error> {
        let storage = self.storage;
        let ending = storage.commit_gate.enter(self.backend.number().0 as usize);
        let end = self.insert(ABORT, self.transactions.time.clock.now(), made)?;
        storage.log.log().flush(end)?;
        let (xid, children) = (self.xid.xid(), self.child_xids());
        storage.clog.set_tree(None, xid, &children, XidStatus::Aborted, None)?;
        drop(ending);
        Ok(())
    }

    fn child_xids(&self) -> Vec<Xid> {
        self.children.iter().map(|child| child.xid()).collect()
    }

    fn insert(
        &mut self,
        info: u8,
        time: TimestampTz,
        relations: &[RelFileLocator],
    ) -> Result<Lsn, Error> {
        let mut main = time.0.to_le_bytes().to_vec();
        let mut info = info;
        let mut has = CompletionFlags::empty();
        has.set(CompletionFlags::HAS_SUBXACTS, !self.children.is_empty());
        has.set(CompletionFlags::HAS_RELFILELOCATORS, !relations.is_empty());
        if self.prepared.is_some() {
            info = if info == COMMIT { COMMIT_PREPARED } else { ABORT_PREPARED };
            // Whether it did have such locks is not known any more.
            has |= CompletionFlags::HAS_TWOPHASE | CompletionFlags::HAS_AE_LOCKS;
            if self.storage.directory.control().data().wal_level.0 >= LOGICAL.0 {
                has |= CompletionFlags::HAS_GID | CompletionFlags::HAS_DBINFO;
            }
        }
        if !relations.is_empty() {
            info |= SPECIAL_REL_UPDATE;
        }
        if !has.is_empty() {
            info |= HAS_INFO;
            main.extend_from_slice(&has.bits().to_le_bytes());
        }
        if has.contains(CompletionFlags::HAS_DBINFO) {
            main.extend_from_slice(&DEFAULT_DATABASE.to_le_bytes());
            main.extend_from_slice(&DEFAULT_TABLESPACE.to_le_bytes());
        }
        if has.contains(CompletionFlags::HAS_SUBXACTS) {
            main.extend_from_slice(&(self.children.len() as u32).to_le_bytes());
            let xids = self.children.iter().flat_map(|child| child.xid().0.to_le_bytes());
            main.extend(xids);
        }
        if has.contains(CompletionFlags::HAS_RELFILELOCATORS) {
            main.extend_from_slice(&(relations.len() as u32).to_le_bytes());
            relations.iter().for_each(|relation| push_locator(*relation, &mut main));
        }
        let mut xid = self.xid.xid();
        if let Some(AsPrepared { gid, .. }) = &self.prepared {
            main.extend_from_slice(&xid.0.to_le_bytes());
            if has.contains(CompletionFlags::HAS_GID) {
                main.extend_from_slice(gid);
                main.push(0);
            }
            xid = Xid::INVALID;
        }
        let main: &[&[u8]] = &[&main];
        let record = NewRecord { xid, main, ..NewRecord::new(XACT, info) };
        Ok(self.storage.log.log().insert(self.inserter, &record)?.end)
    }

    fn end_in_memory(&mut self) {
        if let Some(prepared) = &mut self.prepared {
            if let Some(running) = prepared.running.take() {
                self.transactions.member_no_more(running.number());
                running.finish();
            }
            return;
        }
        self.transactions.time.release(self.backend);
        self.transactions.member_no_more(self.backend.number());
        self.backend.end_transaction();
        self.transactions.writers.fetch_sub(1, Relaxed);
    }
}

/// A `RelFileNode` as records have it.
pub(crate) fn push_locator(relation: RelFileLocator, into: &mut Vec<u8>) {
    for part in [relation.tablespace, relation.database, relation.relation] {
        into.extend_from_slice(&part.to_le_bytes());
    }
}
