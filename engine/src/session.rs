//! Sessions: what runs transactions, one after the other.
//!
//! ```text
//! Engine ──session()──► Session ──begin()──► Transaction ──commit() or rollback(), or dropped: rolled back──► Session
//! ```
//!
//! Invariant: one thread at a time works in a session; any may cancel what it does.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use base::sync::Arc;
use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::{FullXid, Oid, Xid};
use procarray::Backend;
use wal::write::Inserter;

use crate::Error;
use crate::btree::RootCopies;
use crate::catalog::changes::OwnChanges;
use crate::data_directory::DEFAULT_DATABASE;
use crate::db::Shared;
use crate::heap::{Change, Compression};
use crate::lock::{HeldLocks, Interrupts, LockTag, TableLockMode};
use crate::table::IndexScanRoom;
use crate::table::prune::{Pruner, ToPrune};
use crate::table::room::Target;
use crate::transaction::Transaction;
pub use crate::xact::end::Durability;
use crate::xact::mode::{ModeHorizon, ModeSnapshot};
use crate::xact::multixact::MadeSets;
use crate::xact::own_ids::OwnIds;
use crate::xact::status::{ComboIds, LogStatus, SessionStatus};

/// What a transaction sees of others that commit while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// What had committed when the statement began; a row that another transaction has changed is changed as that left
    /// it.
    #[default]
    ReadCommitted,
    /// What had committed before its first statement; a row that another transaction has changed since is an error
    /// ([`Error::Serialization`]).
    RepeatableRead,
}

/// A session of an engine. It has a slot among those who may run.
pub struct Session<'e> {
    pub(crate) shared: &'e Shared,
    pub(crate) backend: Backend,
    pub(crate) inserter: Inserter,
    pub(crate) combos: ComboIds,
    /// The running transaction's.
    pub(crate) ids: OwnIds,
    pub(crate) made_sets: MadeSets,
    pub(crate) snapshot: Option<ModeSnapshot<'e>>,
    cancelled: Arc<AtomicBool>,
    pub(crate) locks: HeldLocks,
    pub(crate) timeouts: Timeouts,
    /// When the running statement has run for as long as it may.
    pub(crate) statement_end: Option<Instant>,
    /// The page of each table that rows went to last.
    pub(crate) targets: BTreeMap<Oid, Target>,
    /// What the running transaction has done to tables.
    pub(crate) changes: OwnChanges,
    /// How values are compressed of columns that do not say it.
    pub(crate) compression: Compression,
    /// Memory that is used again.
    pub(crate) tuple: Vec<u8>,
    pub(crate) change: Change,
    pub(crate) index_scan: Option<Box<IndexScanRoom>>,
    pub(crate) roots: RootCopies,
    /// Pages to be pruned while it waits for the log.
    pub(crate) to_prune: ToPrune,
    /// The horizon, with the number of transactions that had ended when it was taken.
    horizon: Option<(u64, ModeHorizon<'e>)>,
}

/// What of a session ends its transaction.
pub(crate) struct ToEnd<'s> {
    pub(crate) backend: &'s mut Backend,
    pub(crate) inserter: &'s mut Inserter,
    pub(crate) children: &'s [FullXid],
    pub(crate) to_prune: &'s mut ToPrune,
}

/// How long a session waits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timeouts {
    pub(crate) lock: Option<Duration>,
    pub(crate) statement: Option<Duration>,
    pub(crate) deadlock: Duration,
}

/// Cancels what a session does, from another thread.
#[derive(Debug, Clone)]
pub struct Cancel<'e> {
    shared: &'e Shared,
    session: usize,
    cancelled: Arc<AtomicBool>,
}

impl Cancel<'_> {
    /// Has the statements of the session's transaction, the running one and all later ones, end with
    /// [`Error::Cancelled`], whatever they wait for.
    pub fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
        self.shared.transactions.locks.interrupt(self.session);
        self.shared.transactions.time.wake_waiting();
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Session");
        shown.field("number", &self.number()).field("xid", &self.own_xid()).finish_non_exhaustive()
    }
}

impl<'e> Session<'e> {
    pub(crate) fn new(shared: &'e Shared) -> Result<Session<'e>, Error> {
        Ok(Session {
            backend: Backend::connect(&shared.transactions.array, DEFAULT_DATABASE)?,
            inserter: shared.storage.log.log().inserter(),
            combos: ComboIds::default(),
            ids: OwnIds::default(),
            made_sets: MadeSets::default(),
            snapshot: None,
            cancelled: Arc::new(AtomicBool::new(false)),
            locks: HeldLocks::default(),
            timeouts: Timeouts { deadlock: shared.deadlock_timeout, ..Timeouts::default() },
            statement_end: None,
            targets: BTreeMap::new(),
            changes: OwnChanges::default(),
            compression: shared.compression,
            tuple: Vec::new(),
            change: Change::default(),
            index_scan: None,
            roots: RootCopies::default(),
            to_prune: ToPrune::default(),
            horizon: None,
            shared,
        })
    }

    /// What cancels this session's statements.
    pub fn cancel_handle(&self) -> Cancel<'e> {
        let cancelled = Arc::clone(&self.cancelled);
        Cancel { shared: self.shared, session: self.number(), cancelled }
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Where the engine has stopped.
    pub fn begin(&mut self, isolation: Isolation) -> Result<Transaction<'_, 'e>, Error> {
        self.shared.check()?;
        self.forget_cancel();
        Ok(Transaction::new(self, isolation))
    }

    /// What it was cancelled in is over.
    pub(crate) fn forget_cancel(&self) {
        self.cancelled.store(false, Relaxed);
    }

    /// Its number among the sessions of the engine.
    pub fn number(&self) -> usize {
        self.backend.number().0 as usize
    }

    /// The id of the transaction, or of the subtransaction in which it is, if it has one.
    pub(crate) fn own_xid(&self) -> Option<Xid> {
        self.ids.current.map(FullXid::xid)
    }

    /// What became of transactions, as this session sees it.
    pub(crate) fn status(&self) -> SessionStatus<'_> {
        let Session { shared, backend, combos, ids, cancelled, .. } = self;
        status(shared, backend, ids, combos, cancelled)
    }

    /// Its door to the log, and what became of transactions.
    pub(crate) fn log_and_status(&mut self) -> (&mut Inserter, SessionStatus<'_>) {
        let Session { shared, backend, inserter, combos, ids, cancelled, .. } = self;
        (inserter, status(shared, backend, ids, combos, cancelled))
    }

    /// What ends its transaction, and what prunes while that waits, or before.
    pub(crate) fn split(&mut self) -> (ToEnd<'_>, Pruner<'_>) {
        let Session { shared, backend, inserter, combos, ids, cancelled, change, to_prune, .. } =
            self;
        let status = status(shared, backend, ids, combos, cancelled);
        let children = &ids.children;
        (ToEnd { backend, inserter, children, to_prune }, Pruner { shared, status, change })
    }

    /// Before whose end all snapshots in use were taken.
    pub(crate) fn horizon(&mut self) -> ModeHorizon<'e> {
        let transactions = &self.shared.transactions;
        let ended = transactions.array.completion_count();
        match self.horizon {
            Some((at, horizon)) if at == ended => horizon,
            _ => {
                let horizon = transactions.time.horizon(&self.backend);
                self.horizon = Some((ended, horizon));
                horizon
            }
        }
    }

    /// How values are compressed from now on of columns that do not say it (`default_toast_compression`).
    pub fn set_compression(&mut self, compression: Compression) {
        self.compression = compression;
    }

    /// How they are compressed now.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// How long the session's statements wait for a lock at most (`lock_timeout`); `None` for as long as it takes.
    pub fn set_lock_timeout(&mut self, timeout: Option<Duration>) {
        self.timeouts.lock = timeout;
    }

    /// How long its statements run at most (`statement_timeout`); `None` for as long as it takes. It counts from the next
    /// statement on.
    pub fn set_statement_timeout(&mut self, timeout: Option<Duration>) {
        self.timeouts.statement = timeout;
    }

    /// How long it waits for a lock before it looks for a deadlock (`deadlock_timeout`).
    pub fn set_deadlock_timeout(&mut self, timeout: Duration) {
        self.timeouts.deadlock = timeout;
    }

    /// What ends the running statement.
    pub(crate) fn interrupts(&self) -> Interrupts<'_> {
        interrupts(&self.cancelled, self.statement_end, &self.timeouts)
    }

    /// Its door to the log, what ends the running statement, and its place among the sessions.
    pub(crate) fn log_interrupts_and_place(&mut self) -> (&mut Inserter, Interrupts<'_>, &Backend) {
        let Session { inserter, backend, cancelled, statement_end, timeouts, .. } = self;
        (inserter, interrupts(cancelled, *statement_end, timeouts), backend)
    }

    /// A statement begins.
    pub(crate) fn statement_begins(&mut self) {
        self.statement_end = self.end_of_statement();
    }

    /// When a statement has taken too long that begins now.
    pub(crate) fn end_of_statement(&self) -> Option<Instant> {
        self.timeouts.statement.and_then(|timeout| Instant::now().checked_add(timeout))
    }

    /// Its transaction is over, or goes on without it: forgets what it knew of that. The locks that it had, the last first.
    pub(crate) fn transaction_over(&mut self) -> Vec<(LockTag, TableLockMode)> {
        self.ids.clear();
        self.combos.clear();
        self.made_sets.clear();
        self.to_prune.forget_current();
        self.statement_end = None;
        self.locks.cut(0)
    }

    /// Whether statements may go on.
    pub(crate) fn check_cancelled(&self) -> Result<(), Error> {
        self.interrupts().check()
    }
}

fn status<'s>(
    shared: &'s Shared,
    backend: &Backend,
    own: &'s OwnIds,
    combos: &'s ComboIds,
    cancelled: &'s AtomicBool,
) -> SessionStatus<'s> {
    let xmin = backend.xmin().map(FullXid::xid);
    let (storage, array) = (&shared.storage, &shared.transactions.array);
    let logs = LogStatus { storage, array, own, xmin, combos, cancelled };
    SessionStatus { logs, table: shared.transactions.time.deciding_table() }
}

fn interrupts<'s>(
    cancelled: &'s AtomicBool,
    statement_end: Option<Instant>,
    timeouts: &Timeouts,
) -> Interrupts<'s> {
    let (lock_timeout, deadlock_timeout) = (timeouts.lock, timeouts.deadlock);
    Interrupts { cancelled, statement_end, lock_timeout, deadlock_timeout }
}
