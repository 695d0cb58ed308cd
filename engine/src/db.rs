//! The engine: a data directory opened, worked with and closed.
//!
//! ```text
//! open    lock ─► pg_control ─► recovery ─► log ─► transaction logs ─► process array ─► checkpoint, if recovery did
//!         anything ─► "in production" ─► catalog ─► checkpointer, background writer
//! close   sessions are gone ─► threads end ─► shutdown checkpoint ─► log closed ─► lock given back
//! ```
//!
//! Invariants: one engine works in a data directory. One that is dropped and not closed leaves what a crash leaves, and the
//! next open recovers. After a failure that leaves the disk in doubt, every call gives the first error, and nothing is
//! written.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base::disk::{Disk, RealDisk};
use base::sync::{Arc, Weak};
use base::{Lsn, UnixTime};
use snapshot::commit_ts::clock::WallClock;
use wal::rmgr::xlog::{RESTORE_POINT, RestorePoint};
use wal::write::{ArchiveStatus, LogOptions, LogStatistics, NewRecord};

use crate::background_writer::{BackgroundWriter, BackgroundWriterOptions, Round, Rounds};
use crate::btree::build::DEFAULT_MEMORY;
use crate::buffer::BufferError;
use crate::catalog::{Catalog, store};
use crate::checkpoint::{
    CheckpointKind, CheckpointOptions, CheckpointReport, Checkpointed, Checkpointer, Checkpoints,
};
use crate::data_directory::{DataDirectory, StandbyParameters, SystemProcesses, parameters};
use crate::heap::Compression;
use crate::prepared::detached::DetachedTransactions;
use crate::prepared::payload::TwoPhaseState;
use crate::prepared::{self, PreparedTransaction};
use crate::recovery::{
    self, ArchiveRecovery, OnDamage, Recovered, RecoveryOptions, RecoveryProgress,
};
use crate::session::{Isolation, Session};
use crate::storage::{LogHandle, RunningTransactions, Storage, StorageOptions, temporary};
use crate::vacuum::auto::{Autovacuum, AutovacuumOptions, AutovacuumStatus};
use crate::xact::exports;
use crate::xact::{Clock, SnapshotMode, Transactions};
use crate::{At, Error};

/// The resource manager XLOG.
const XLOG: u8 = 0;
/// `MAXFNAMELEN - 1`
const LONGEST_RESTORE_POINT: usize = 63;

/// How an engine works. The default is PostgreSQL's, where PostgreSQL has the parameter.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// How it decides who sees what.
    pub mode: SnapshotMode,
    /// Sessions at the same time (`max_connections`).
    pub sessions: u32,
    /// Transactions that are prepared at the same time (`max_prepared_transactions`); 0 for none, as with PostgreSQL.
    /// Those that were prepared before the engine opened are there whatever this is.
    pub prepared_transactions: u32,
    /// What a standby that replays the log must have room for, too.
    pub parameters: StandbyParameters,
    /// Pages of tables in memory, of 8 kB (`shared_buffers`).
    pub buffers: usize,
    /// Pages in memory of each log of transactions, of 8 kB.
    pub slru_buffers: usize,
    /// Bytes of memory that the making of an index sorts in; what does not fit goes to a temporary file
    /// (`maintenance_work_mem`).
    pub maintenance_memory: usize,
    /// Where the time comes from.
    pub clock: Clock,
    /// How long a session waits for a lock before it looks for a deadlock (`deadlock_timeout`).
    pub deadlock_timeout: Duration,
    /// How long values are compressed of columns that do not say it, until a session chooses otherwise
    /// (`default_toast_compression`).
    pub compression: Compression,
    /// How the log is written.
    pub log: LogOptions,
    /// When checkpoints are made. The engine's clock is taken for theirs.
    pub checkpoint: CheckpointOptions,
    /// How the background writer works.
    pub background_writer: BackgroundWriterOptions,
    /// When tables are vacuumed by themselves.
    pub autovacuum: AutovacuumOptions,
    /// Whether a checkpointer, a background writer and an autovacuum run. Without them checkpoints are made on demand alone, by who
    /// asks, and nothing happens that a test does not ask for.
    pub has_background_threads: bool,
    /// What recovery does where the log cannot be read on and records lie behind.
    pub on_damage: OnDamage,
    /// Threads that recover; what comes out is the same.
    pub recovery_threads: usize,
    /// Recovery from an archive or to a target, onto a new timeline; `None` for the end of the log. For the one open that
    /// is to do that.
    pub archive_recovery: Option<ArchiveRecovery>,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            mode: SnapshotMode::default(),
            sessions: 100,
            prepared_transactions: 0,
            parameters: StandbyParameters::default(),
            buffers: 16_384,
            slru_buffers: 32,
            maintenance_memory: DEFAULT_MEMORY,
            clock: Clock::default(),
            deadlock_timeout: Duration::from_secs(1),
            compression: Compression::default(),
            log: LogOptions::default(),
            checkpoint: CheckpointOptions::default(),
            background_writer: BackgroundWriterOptions::default(),
            autovacuum: AutovacuumOptions::default(),
            has_background_threads: true,
            on_damage: OnDamage::default(),
            recovery_threads: 1,
            archive_recovery: None,
        }
    }
}

/// A data directory in which transactions run.
#[derive(Debug)]
pub struct Engine {
    // Threads end before what they work on.
    autovacuum: Option<Autovacuum>,
    checkpointer: Option<Checkpointer>,
    background_writer: Option<BackgroundWriter>,
    checkpoints: Arc<Checkpoints>,
    recovered: Recovered,
    shared: Arc<Shared>,
}

/// What sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Itself, for rows that are kept beside it.
    pub(crate) this: Weak<Shared>,
    pub(crate) storage: Storage,
    pub(crate) transactions: Transactions,
    pub(crate) catalog: Catalog,
    pub(crate) deadlock_timeout: Duration,
    /// Bytes of memory that an index is sorted in.
    pub(crate) maintenance_memory: usize,
    pub(crate) compression: Compression,
    /// How many transactions can be prepared at the same time.
    pub(crate) prepared_transactions: usize,
    pub(crate) prepared: DetachedTransactions,
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

    /// Has every later call fail, and nothing be written any more: what is on the disk is for recovery to find out.
    pub(crate) fn stop(&self, why: &Error) {
        // Only the first counts.
        let why = self.stopped.get_or_init(|| why.to_string());
        if let Some(log) = self.storage.log.get() {
            log.stop(why);
        }
    }
}

impl Checkpointed for Shared {
    fn storage(&self) -> &Storage {
        &self.storage
    }

    fn running(&self) -> &dyn RunningTransactions {
        &self.transactions
    }

    /// A page that cannot be written stays in memory, and can be written another time. A sync that failed cannot be made
    /// up for.
    fn failed(&self, error: &Error) -> bool {
        let goes_on = match error {
            _ if self.storage.directory.control().has_failed() => false,
            Error::Buffer(error) => matches!(error, BufferError::Write { .. }),
            Error::Io { action, .. } => *action != "sync",
            _ => false,
        };
        if !goes_on {
            self.stop(error);
        }
        goes_on
    }
}

impl Engine {
    /// Opens the data directory at this path. One that was not shut down is recovered first.
    ///
    /// # Errors
    /// As [`Engine::open_on`].
    pub fn open(path: &Path, options: EngineOptions) -> Result<Engine, Error> {
        let nobody = &mut |_: &RecoveryProgress| ControlFlow::Continue(());
        Engine::open_on(Arc::new(RealDisk), path, options, nobody)
    }

    /// Opens a data directory on some disk. `progress` is called now and then during recovery; `Break` ends it with an
    /// error, and the next open begins it again.
    ///
    /// # Errors
    /// Where it is none, or in use, or damaged; where its log cannot be read or written.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        options: EngineOptions,
        progress: &mut dyn FnMut(&RecoveryProgress) -> ControlFlow<()>,
    ) -> Result<Engine, Error> {
        let now = UnixTime(options.clock.now().unix_seconds());
        let directory = DataDirectory::open(disk, path, &SystemProcesses, now)?;
        let sizes = StorageOptions {
            buffers: options.buffers,
            slru_buffers: options.slru_buffers,
            committers: options.sessions as usize,
        };
        let storage = Storage::new(directory, sizes);
        let recovery = RecoveryOptions {
            on_damage: options.on_damage,
            archive: options.archive_recovery,
            threads: options.recovery_threads,
            clock: Arc::clone(&options.clock.0),
            ..RecoveryOptions::default()
        };
        let recovered = recovery::recover(&storage, &recovery, progress)?;
        recovery::start(&storage, &recovered, options.log)?;
        let clock = Arc::clone(&options.clock.0);
        let checkpoints = Checkpoints::new(CheckpointOptions { clock, ..options.checkpoint });
        if recovered.checkpoint_is_due {
            checkpoints.end_recovery(&storage, &recovered)?;
        }
        let (mode, last, sessions) = (options.mode, recovered.time, options.sessions);
        let states = prepared::restore::states(&storage)?;
        let slots = options.prepared_transactions.max(states.len() as u32);
        let clock = &options.clock;
        let transactions =
            Transactions::start(&storage, mode, clock, last, sessions, slots, &states)?;
        let prepared = prepared::restore::detach(&states, &storage, &transactions)?;
        storage.find_oldest_member()?;
        exports::remove_all(&storage)?;
        temporary::remove_all(&storage)?;
        transactions.vacuum_wanted.set_max_age(options.autovacuum.vacuum.ages.xid_max);
        parameters::report(&storage, &options.parameters, (sessions, slots))?;
        checkpoints.in_production(&storage)?;
        let catalog = Catalog::new();
        let stopped = OnceLock::new();
        let deadlock_timeout = options.deadlock_timeout;
        let shared = Arc::new_cyclic(|this| Shared {
            this: Weak::clone(this),
            storage,
            transactions,
            catalog,
            deadlock_timeout,
            maintenance_memory: options.maintenance_memory,
            compression: options.compression,
            prepared_transactions: options.prepared_transactions as usize,
            prepared,
            stopped,
        });
        let mut engine = Engine {
            autovacuum: None,
            checkpointer: None,
            background_writer: None,
            checkpoints: Arc::new(checkpoints),
            recovered,
            shared,
        };
        engine.load_catalog(&states)?;
        if options.has_background_threads {
            let of = || Arc::clone(&engine.shared) as Arc<dyn Checkpointed>;
            let writer = BackgroundWriter::start(of(), options.background_writer);
            let checkpointer = Checkpointer::start(of(), Arc::clone(&engine.checkpoints));
            engine.background_writer = Some(writer);
            engine.checkpointer = Some(checkpointer);
            let shared = Arc::clone(&engine.shared);
            engine.autovacuum = Some(Autovacuum::start(shared, options.autovacuum));
        }
        Ok(engine)
    }

    fn load_catalog(&self, states: &[TwoPhaseState]) -> Result<(), Error> {
        let mut session = self.session()?;
        let catalog = &self.shared.catalog;
        store::make_missing(&self.shared.storage, catalog, &mut session.inserter)?;
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        store::load(&mut transaction, catalog)?;
        let detached = &self.shared.prepared;
        prepared::restore::claim_names(&mut transaction, catalog, detached, states)?;
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

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The names of all tables.
    pub fn table_names(&self) -> Vec<String> {
        self.shared.catalog.names()
    }

    /// The transactions that are prepared and have not ended, in the order of their identifiers (`pg_prepared_xacts`).
    pub fn prepared(&self) -> Vec<PreparedTransaction> {
        self.shared.storage.two_phase.valid()
    }

    /// The sessions that keep a session waiting, by their numbers: who holds what it wants, and who waits for that ahead of
    /// it (`pg_blocking_pids`). A prepared transaction has a number behind those of all sessions.
    pub fn blocked_by(&self, session: usize) -> Vec<usize> {
        self.shared.transactions.locks.blockers(session)
    }

    /// How many sessions wait for a lock, or for another's transaction to end.
    pub fn waiting(&self) -> usize {
        self.shared.transactions.locks.waiting()
    }

    /// What recovery came to when the engine was opened.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Where the log ends: where the next record starts, a page header apart.
    pub fn log_end(&self) -> Lsn {
        self.shared.storage.log.log().end()
    }

    /// What the log has done since the engine was opened.
    pub fn log_statistics(&self) -> LogStatistics {
        self.shared.storage.log.log().statistics()
    }

    /// Ends the running segment of the log, so that it can be archived (`pg_switch_wal`). Gives where the record of that
    /// ends.
    ///
    /// # Errors
    /// Where the log cannot be written.
    pub fn switch_log(&self) -> Result<Lsn, Error> {
        self.shared.check()?;
        let log = self.shared.storage.log.log();
        Ok(log.switch(&mut log.inserter())?)
    }

    /// Logs a point by this name, which recovery can be asked to stop at (`pg_create_restore_point`). Gives where its
    /// record ends, which is durable.
    ///
    /// # Errors
    /// Where the name is empty or longer than 63 bytes; where the log cannot be written.
    pub fn restore_point(&self, name: &str) -> Result<Lsn, Error> {
        self.shared.check()?;
        if name.is_empty() || name.len() > LONGEST_RESTORE_POINT || name.contains('\0') {
            return Err(Error::RestorePointName(name.to_owned()));
        }
        let point =
            RestorePoint { time: self.shared.transactions.time.clock.now(), name: name.as_bytes() };
        let main = point.encode();
        let record = NewRecord { main: &[&main], ..NewRecord::new(XLOG, RESTORE_POINT) };
        let log = self.shared.storage.log.log();
        let end = log.insert(&mut log.inserter(), &record)?.end;
        log.flush(end)?;
        Ok(end)
    }

    /// What the archiver has done; `None` if nothing is archived.
    pub fn archive_status(&self) -> Option<ArchiveStatus> {
        self.shared.storage.log.log().archive_status()
    }

    /// What the autovacuum has done; `None` if it does not run.
    pub fn autovacuum_status(&self) -> Option<AutovacuumStatus> {
        self.autovacuum.as_ref().map(Autovacuum::status)
    }

    /// What the checkpointer's last checkpoint did; `None` if it has made none, or does not run.
    pub fn last_checkpoint(&self) -> Option<CheckpointReport> {
        self.checkpointer.as_ref().and_then(Checkpointer::last)
    }

    /// Makes a checkpoint, and comes back when it is made.
    ///
    /// # Errors
    /// Where something cannot be written; the checkpoint before then holds. After a failed sync the engine has stopped.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.shared.check()?;
        if let Some(checkpointer) = &self.checkpointer {
            return checkpointer.wait(checkpointer.request());
        }
        let shared = &*self.shared;
        let kind = CheckpointKind::Online;
        let made = self.checkpoints.at_once(&shared.storage, &shared.transactions, kind);
        if let Err(error) = &made {
            shared.failed(error);
        }
        made.map(drop)
    }

    /// Archives the full segments that are not archived yet, on this thread; how many. For an engine whose archiver has no
    /// thread of its own ([`LogOptions::archives_by_itself`]).
    ///
    /// # Errors
    /// What the first attempt says that fails; the engine goes on, and the segment is tried again by the next call.
    pub fn archive_log(&self) -> Result<u64, Error> {
        let storage = &self.shared.storage;
        storage.log.log().archive_ready().at("archive the log of", storage.directory.path())
    }

    /// The state of a background writer whose rounds are made by hand: [`Engine::background_round`].
    pub fn background_rounds(&self, options: BackgroundWriterOptions) -> Rounds {
        Rounds::new(&self.shared.storage, options)
    }

    /// A round of the background writer, as if it were this time; for an engine without background threads.
    ///
    /// # Errors
    /// Where a page cannot be written, which can be tried again; or if the log is stopped.
    pub fn background_round(&self, rounds: &mut Rounds, now: Instant) -> Result<Round, Error> {
        self.shared.check()?;
        let made = rounds.round(&self.shared.storage, &self.shared.transactions, now);
        if let Err(error) = &made {
            self.shared.failed(error);
        }
        made
    }

    /// Closes the data directory: with all that was done on the disk, so that the next open has nothing to recover, and
    /// archived, if there is an archive that takes it.
    ///
    /// # Errors
    /// Where something cannot be written; the data directory is then as after a crash.
    pub fn close(self) -> Result<(), Error> {
        let Engine { autovacuum, checkpointer, background_writer, checkpoints, shared, .. } = self;
        drop((autovacuum, checkpointer, background_writer));
        shared.check()?;
        let (storage, kind) = (&shared.storage, CheckpointKind::Shutdown);
        let log = storage.log.log();
        if log.archive_status().is_some() {
            // So that all but the checkpoint is archived.
            log.switch(&mut log.inserter())?;
        }
        checkpoints.at_once(storage, &shared.transactions, kind)?;
        // The threads have ended and sessions borrow the engine: nobody else has it, but for a moment who reads a value out of
        // line of a row that was kept.
        let Shared { storage, .. } = sole(shared);
        let Storage { pool, clog, commit_ts, subtrans, multixact, log, directory, .. } = storage;
        // All that shares the log.
        drop((pool, clog, commit_ts, subtrans, multixact));
        if let Some(log) = Arc::into_inner(log).and_then(LogHandle::into_log) {
            log.close()?;
        }
        directory.close()
    }
}

/// What is in it, when nobody else has it any more.
fn sole<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(own) => return own,
            Err(others) => shared = others,
        }
        base::sync::thread::yield_now();
    }
}
