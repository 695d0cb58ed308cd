//! The engine: a data directory opened, worked with and closed.
//!
//! ```text
//! open    lock ─► pg_control ─► recovery, unless it was shut down ─► log ─► transaction logs ─► process array ─► catalog
//! close   sessions are gone ─► shutdown checkpoint ─► log closed ─► lock given back
//! ```
//!
//! Invariants: one engine works in a data directory. One that is dropped and not closed leaves what a crash leaves, and the
//! next open recovers. After a failure that leaves the disk in doubt, every call gives the first error, and nothing is
//! written.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use base::UnixTime;
use base::disk::{Disk, RealDisk};
use base::sync::Arc;
use wal::control::{ClusterState, StateNumber};
use wal::write::{Log, LogOptions};

use crate::Error;
use crate::catalog::{Catalog, store};
use crate::data_directory::{DataDirectory, SystemProcesses};
use crate::session::{Isolation, Session};
use crate::shutdown;
use crate::storage::{LogHandle, Storage, StorageOptions};
use crate::xact::{Clock, SnapshotMode, Transactions};

/// How an engine works. The default is PostgreSQL's, where PostgreSQL has the parameter.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How it decides who sees what.
    pub mode: SnapshotMode,
    /// Sessions at the same time (`max_connections`).
    pub sessions: u32,
    /// Pages of tables in memory, of 8 kB (`shared_buffers`).
    pub buffers: usize,
    /// Pages in memory of each log of transactions, of 8 kB.
    pub slru_buffers: usize,
    /// Where the time comes from.
    pub clock: Clock,
    /// How the log is written.
    pub log: LogOptions,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            mode: SnapshotMode::default(),
            sessions: 100,
            buffers: 16_384,
            slru_buffers: 32,
            clock: Clock::default(),
            log: LogOptions::default(),
        }
    }
}

/// A data directory in which transactions run.
#[derive(Debug)]
pub struct Engine {
    shared: Shared,
}

/// What sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Storage,
    pub(crate) transactions: Transactions,
    pub(crate) catalog: Catalog,
    pub(crate) has_checksums: bool,
    stopped: OnceLock<String>,
}

impl Shared {
    /// Whether the engine goes on.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(why) = self.stopped.get() {
            return Err(Error::Stopped(why.clone()));
        }
        Ok(self.storage.log.log().check()?)
    }

    /// Has every later call fail: what is on the disk is for recovery to find out.
    pub(crate) fn stop(&self, why: &Error) {
        // Only the first counts.
        let _ = self.stopped.set(why.to_string());
    }
}

/// Now, in seconds.
fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(since.as_secs() as i64)
}

impl Engine {
    /// Opens the data directory at this path.
    ///
    /// # Errors
    /// As [`Engine::open_on`].
    pub fn open(path: &Path, options: EngineOptions) -> Result<Engine, Error> {
        Engine::open_on(Arc::new(RealDisk), path, options)
    }

    /// Opens a data directory on some disk.
    ///
    /// # Errors
    /// Where it is none, or in use, or damaged; where its log cannot be read or written.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: EngineOptions,
    ) -> Result<Engine, Error> {
        let directory = DataDirectory::open(disk, path, &SystemProcesses, now())?;
        let sizes = StorageOptions {
            buffers: options.buffers,
            slru_buffers: options.slru_buffers,
            committers: options.sessions as usize,
        };
        let storage = Storage::new(directory, sizes);
        let state = storage.directory.control().data().state;
        if state != StateNumber(ClusterState::ShutDown as u32) {
            return Err(Error::NotShutDown(storage.directory.path().display().to_string()));
        }
        let end = shutdown::end_of_log(&storage)?;
        let log = Log::open(storage.log_place(), options.log, end)?;
        storage.log.open(log);
        let ids = *storage.ids.lock();
        let next = ids.next_xid.xid();
        storage.clog.start(next)?;
        storage.subtrans.start(next, next)?;
        storage.multixact.start(ids.next_multi, ids.next_multi_offset)?;
        if storage.directory.control().data().track_commit_timestamp {
            storage.commit_ts.start(next)?;
        }
        let transactions =
            Transactions::start(&storage, options.mode, &options.clock, options.sessions)?;
        storage.directory.control().update(now(), |data| {
            data.state = StateNumber(ClusterState::InProduction as u32);
        })?;
        let has_checksums = storage.has_checksums();
        let catalog = Catalog::new();
        let stopped = OnceLock::new();
        let engine =
            Engine { shared: Shared { storage, transactions, catalog, has_checksums, stopped } };
        engine.load_catalog()?;
        Ok(engine)
    }

    fn load_catalog(&self) -> Result<(), Error> {
        let mut session = self.session()?;
        let catalog = &self.shared.catalog;
        store::make_missing(&self.shared.storage, catalog, &mut session.inserter)?;
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        store::load(&mut transaction, catalog)?;
        transaction.rollback()
    }

    /// A new session.
    ///
    /// # Errors
    /// Where there are as many as there can be, or the engine has stopped.
    pub fn session(&self) -> Result<Session<'_>, Error> {
        self.shared.check()?;
        Session::new(&self.shared)
    }

    /// The names of all tables.
    pub fn table_names(&self) -> Vec<String> {
        self.shared.catalog.names()
    }

    /// How many sessions wait for another's transaction to end.
    pub fn waiting(&self) -> usize {
        self.shared.transactions.waits.waiting()
    }

    /// Closes the data directory: with all that was done on the disk, so that the next open has nothing to recover.
    ///
    /// # Errors
    /// Where something cannot be written; the data directory is then as after a crash.
    pub fn close(self) -> Result<(), Error> {
        self.shared.check()?;
        shutdown::checkpoint(&self.shared.storage)?;
        let Storage { pool, clog, commit_ts, subtrans, multixact, log, directory, .. } =
            self.shared.storage;
        // All that shares the log.
        drop((pool, clog, commit_ts, subtrans, multixact));
        if let Some(log) = Arc::into_inner(log).and_then(LogHandle::into_log) {
            log.close()?;
        }
        directory.close()
    }
}
