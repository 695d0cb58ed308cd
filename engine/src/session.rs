//! Sessions, and the transactions that they run one after the other.
//!
//! ```text
//! Engine ──session()──► Session ──begin()──► Transaction ──commit() or rollback(), or dropped: rolled back──► Session
//! ```
//!
//! Each statement of a read committed transaction has a snapshot of its own, each repeatable read transaction one for all.
//! What the first one holds back is held back until the transaction ends: no version that a row's tid was given out for
//! in this transaction is removed meanwhile.
//!
//! Invariants: a transaction has an id from its first change on, and not before. After an error that may have left a
//! statement half done, it can only be rolled back. One thread at a time works in a session; any may cancel what it does.

use std::collections::BTreeMap;
use std::fmt;

use base::sync::Arc;
use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::{BlockNumber, CommandId, ForkNumber, FullXid, Oid, RelFileLocator, Xid};
use procarray::Backend;
use wal::write::{Inserter, NewRecord};

use crate::Error;
use crate::catalog::{Column, Definition, TableEntry, store};
use crate::data_directory::DEFAULT_DATABASE;
use crate::db::Shared;
use crate::heap::Change;
use crate::heap::placement::Placement;
use crate::table::Table;
pub use crate::xact::end::Durability;
use crate::xact::end::Ending;
use crate::xact::mode::{ModeHorizon, ModeSnapshot};
use crate::xact::status::{ComboIds, LogStatus, SessionStatus};
use crate::xact::xids;

const XLOG: u8 = 0;
const NEXTOID: u8 = 0x30;
/// `NAMEDATALEN - 1`
const LONGEST_NAME: usize = 63;
/// `MaxHeapAttributeNumber`
const MOST_COLUMNS: usize = 1600;

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
    pub(crate) snapshot: Option<ModeSnapshot<'e>>,
    cancelled: Arc<AtomicBool>,
    /// The page of each table that rows went to last.
    pub(crate) targets: BTreeMap<Oid, Target>,
    /// Memory that is used again.
    pub(crate) tuple: Vec<u8>,
    pub(crate) change: Change,
    /// The horizon, with the number of transactions that had ended when it was taken.
    horizon: Option<(u64, ModeHorizon<'e>)>,
}

/// A page that a session puts rows into.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) block: BlockNumber,
    /// Bytes of room that it had last.
    pub(crate) room: usize,
    pub(crate) placement: Arc<Placement>,
}

/// Others may put rows there now.
impl Drop for Target {
    fn drop(&mut self) {
        self.placement.note(self.block, self.room);
    }
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
        self.shared.transactions.waits.wake(self.session);
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
            snapshot: None,
            cancelled: Arc::new(AtomicBool::new(false)),
            targets: BTreeMap::new(),
            tuple: Vec::new(),
            change: Change::default(),
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
        self.cancelled.store(false, Relaxed);
        self.combos.clear();
        Ok(Transaction {
            session: self,
            isolation,
            has_snapshot: false,
            command: 0,
            is_in_command: false,
            used: Vec::new(),
            claimed: Vec::new(),
            made: Vec::new(),
            dropped: Vec::new(),
            has_failed: false,
            is_over: false,
        })
    }

    /// Its number among the sessions of the engine.
    pub fn number(&self) -> usize {
        self.backend.number().0 as usize
    }

    pub(crate) fn own_xid(&self) -> Option<Xid> {
        self.backend.xid().map(FullXid::xid)
    }

    /// What became of transactions, as this session sees it.
    pub(crate) fn status(&self) -> SessionStatus<'_> {
        let shared = self.shared;
        SessionStatus {
            logs: LogStatus {
                storage: &shared.storage,
                array: &shared.transactions.array,
                own: self.own_xid(),
                xmin: self.backend.xmin().map(FullXid::xid),
                combos: &self.combos,
                cancelled: &self.cancelled,
            },
            table: shared.transactions.time.deciding_table(),
        }
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

    /// Waits for another transaction's end.
    pub(crate) fn wait_for(&mut self, waiter: Xid, holder: Xid) -> Result<(), Error> {
        let transactions = &self.shared.transactions;
        let is_running = || crate::xact::status::is_in_array(&transactions.array, holder);
        let session = self.number();
        transactions.waits.wait(session, waiter, holder, &self.cancelled, is_running)
    }

    /// Whether statements may go on.
    pub(crate) fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// A transaction. Dropped before it is committed, it is rolled back.
#[derive(Debug)]
pub struct Transaction<'s, 'e> {
    pub(crate) session: &'s mut Session<'e>,
    pub(crate) isolation: Isolation,
    has_snapshot: bool,
    pub(crate) command: CommandId,
    /// Whether a command of several parts runs.
    is_in_command: bool,
    /// Tables that others cannot drop until it ends.
    used: Vec<Arc<TableEntry>>,
    /// Names of tables that it makes or drops.
    claimed: Vec<String>,
    made: Vec<RelFileLocator>,
    dropped: Vec<Arc<TableEntry>>,
    has_failed: bool,
    is_over: bool,
}

impl<'e> Transaction<'_, 'e> {
    /// Its id, if it has changed anything.
    pub fn xid(&self) -> Option<FullXid> {
        self.session.backend.xid()
    }

    /// A table.
    ///
    /// # Errors
    /// Where there is none of this name, or another transaction drops it.
    pub fn table(&mut self, name: &str) -> Result<Table, Error> {
        self.check()?;
        let found = self.session.shared.catalog.find(name, self.session.number());
        let entry = found.ok_or_else(|| Error::NoTable(name.to_owned()))?;
        self.use_table(&entry)?;
        Ok(Table::new(entry))
    }

    /// Makes a table. Others see it when the transaction has committed.
    ///
    /// # Errors
    /// Where there is one of this name, or another transaction makes or drops one; where names or columns cannot be
    /// had; and as the disk says.
    pub fn create_table(&mut self, name: &str, columns: &[Column]) -> Result<Table, Error> {
        self.create_defined_table(name, columns, None)
    }

    /// Makes a table, and keeps with it what its maker writes down of it.
    ///
    /// # Errors
    /// As [`Transaction::create_table`]; where the text does not fit a page.
    pub fn create_defined_table(
        &mut self,
        name: &str,
        columns: &[Column],
        definition: Option<&Definition>,
    ) -> Result<Table, Error> {
        self.check()?;
        check_definition(name, columns)?;
        let entry =
            self.all_or_nothing(|transaction| transaction.make_table(name, columns, definition))?;
        Ok(Table::new(entry))
    }

    /// The tables that the transaction knows, in the order of their names.
    pub fn tables(&self) -> Vec<Table> {
        let catalog = &self.session.shared.catalog;
        catalog.tables_of(self.session.number()).into_iter().map(Table::new).collect()
    }

    fn make_table(
        &mut self,
        name: &str,
        columns: &[Column],
        definition: Option<&Definition>,
    ) -> Result<Arc<TableEntry>, Error> {
        let shared = self.session.shared;
        let session = self.session.number();
        if shared.catalog.find(name, session).is_some() {
            return Err(Error::TableExists(name.to_owned()));
        }
        self.assign_xid()?;
        let (files, log) = (shared.storage.pool.store(), shared.storage.log.log());
        let inserter = &mut self.session.inserter;
        let oid = loop {
            let oid = shared.storage.ids.lock().new_oid(|upto| {
                let main = upto.to_le_bytes();
                let record = NewRecord { main: &[&main], ..NewRecord::new(XLOG, NEXTOID) };
                log.insert(inserter, &record).map(drop)
            })?;
            let relation = crate::catalog::locator(oid);
            match files.create(relation, ForkNumber::Main) {
                Ok(()) => break oid,
                // Left by a crash before its record was durable.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::Relation { action: "create", relation, error }),
            }
        };
        let entry = TableEntry::new(oid, name, oid, columns.to_vec()).defined(definition.cloned());
        let entry = Arc::new(entry);
        self.made.push(entry.locator);
        store::log_create(&shared.storage, &mut self.session.inserter, &entry)?;
        shared.catalog.claim(name, session, Some(Arc::clone(&entry)))?;
        self.claimed.push(name.to_owned());
        self.use_table(&entry)?;
        store::insert(self, &shared.catalog, &entry)?;
        self.next_command();
        Ok(entry)
    }

    /// Drops a table. Others see that when the transaction has committed.
    ///
    /// # Errors
    /// Where there is none of this name, or another transaction uses it.
    pub fn drop_table(&mut self, name: &str) -> Result<(), Error> {
        let table = self.table(name)?;
        let entry = Arc::clone(table.entry());
        let shared = self.session.shared;
        if shared.catalog.own().iter().any(|own| own.oid == entry.oid) {
            let reason = "it is the engine's own and cannot be dropped".to_owned();
            return Err(Error::TableDefinition { table: name.to_owned(), reason });
        }
        entry.begin_drop()?;
        if let Err(error) = shared.catalog.claim(name, self.session.number(), None) {
            entry.undo_drop();
            return Err(error);
        }
        self.claimed.push(name.to_owned());
        self.dropped.push(Arc::clone(&entry));
        self.all_or_nothing(|transaction| {
            store::delete(transaction, &shared.catalog, entry.oid)?;
            transaction.next_command();
            Ok(())
        })
    }

    /// Has others wait with dropping the table until this transaction ends.
    pub(crate) fn use_table(&mut self, entry: &Arc<TableEntry>) -> Result<(), Error> {
        if self.used.iter().any(|used| Arc::ptr_eq(used, entry)) {
            if self.dropped.iter().any(|dropped| Arc::ptr_eq(dropped, entry)) {
                return Err(Error::NoTable(entry.name.clone()));
            }
            return Ok(());
        }
        entry.begin_use()?;
        self.used.push(Arc::clone(entry));
        Ok(())
    }

    /// Whether statements can go on.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.session.shared.check()?;
        if self.has_failed { Err(Error::TransactionFailed) } else { Ok(()) }
    }

    /// Begins a statement: nothing failed before, and there is a snapshot at this command.
    pub(crate) fn begin_statement(&mut self) -> Result<(), Error> {
        self.check()?;
        let session = &mut *self.session;
        session.check_cancelled()?;
        if self.is_in_command {
            return Ok(());
        }
        let keeps = self.has_snapshot && self.isolation == Isolation::RepeatableRead;
        match &mut session.snapshot {
            Some(snapshot) if keeps => snapshot.set_curcid(self.command),
            snapshot => {
                let time = &session.shared.transactions.time;
                time.take(&mut session.backend, snapshot, self.command);
                self.has_snapshot = true;
            }
        }
        Ok(())
    }

    /// The statement is done: the next one sees what it changed.
    pub(crate) fn next_command(&mut self) {
        if !self.is_in_command {
            self.command += 1;
        }
    }

    /// Begins a command of several parts, as an SQL statement is: up to [`Transaction::end_command`] everything is read
    /// by one snapshot, and nothing sees what another part of the command has changed.
    ///
    /// # Errors
    /// After an error, when the session is cancelled, and where the engine has stopped.
    pub fn begin_command(&mut self) -> Result<(), Error> {
        self.is_in_command = false;
        self.begin_statement()?;
        self.is_in_command = true;
        Ok(())
    }

    /// Ends the command: the next one sees what it changed.
    pub fn end_command(&mut self) {
        self.is_in_command = false;
        self.next_command();
    }

    /// Chooses what it sees of others, as long as it has seen nothing; whether that was in time.
    pub fn set_isolation(&mut self, isolation: Isolation) -> bool {
        if self.has_snapshot && isolation != self.isolation {
            return false;
        }
        self.isolation = isolation;
        true
    }

    /// Runs what changes things; after an error the transaction can only be rolled back.
    pub(crate) fn all_or_nothing<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let changed = change(self);
        self.has_failed |= changed.is_err();
        changed
    }

    /// The transaction's id, given now if it has none.
    pub(crate) fn assign_xid(&mut self) -> Result<Xid, Error> {
        if let Some(xid) = self.session.own_xid() {
            return Ok(xid);
        }
        let Session { shared, backend, inserter, .. } = &mut *self.session;
        let xid = xids::assign(&shared.storage, &shared.transactions, backend, inserter)?;
        Ok(xid.xid())
    }

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
            self.end(false, durability)?;
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
        self.end(false, Durability::default())
    }

    fn end(&mut self, commits: bool, durability: Durability) -> Result<(), Error> {
        self.is_over = true;
        let session = &mut *self.session;
        let shared = session.shared;
        let dropped: Vec<_> = self.dropped.iter().map(|table| table.locator).collect();
        let gone = if commits { &dropped } else { &self.made };
        let ended = match session.backend.xid() {
            None => {
                shared.transactions.time.release(&session.backend);
                session.backend.end_transaction();
                Ok(())
            }
            Some(xid) => {
                let (storage, transactions) = (&shared.storage, &shared.transactions);
                let Session { backend, inserter, .. } = &mut *session;
                let ending = Ending { storage, transactions, backend, inserter, xid };
                if commits { ending.commit(gone, durability) } else { ending.abort(gone) }
            }
        };
        if commits && let Err(error) = &ended {
            shared.stop(error);
        }
        let has_committed = commits && ended.is_ok();
        if has_committed || !commits && ended.is_ok() {
            gone.iter().for_each(|relation| remove_files(shared, *relation));
        }
        for name in self.claimed.drain(..) {
            shared.catalog.settle(&name, session.number(), has_committed);
        }
        for table in self.dropped.drain(..).filter(|_| !has_committed) {
            table.undo_drop();
        }
        self.used.drain(..).for_each(|table| table.end_use());
        session.combos.clear();
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

/// Removes a relation's files, which nobody uses any more. What cannot be removed stays behind, and does no harm: its
/// number is not given out again.
fn remove_files(shared: &Shared, relation: RelFileLocator) {
    let pool = &shared.storage.pool;
    // A writer that is about to write one of its pages lets it go soon.
    while pool.forget(relation, ForkNumber::Main, 0).is_err() {
        base::sync::thread::yield_now();
    }
    let _ = pool.store().remove(relation, ForkNumber::Main);
}

fn check_definition(name: &str, columns: &[Column]) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::TableDefinition { table: name.to_owned(), reason });
    let is_name = |name: &str| (1..=LONGEST_NAME).contains(&name.len()) && !name.contains('\0');
    if !is_name(name) {
        return refuse(format!("a name has 1 to {LONGEST_NAME} bytes, none of them zero"));
    }
    if columns.len() > MOST_COLUMNS {
        return refuse(format!("{} columns are more than {MOST_COLUMNS}", columns.len()));
    }
    for (at, column) in columns.iter().enumerate() {
        if !is_name(&column.name) {
            return refuse(format!("column {} needs a name of 1 to {LONGEST_NAME} bytes", at + 1));
        }
        if columns[..at].iter().any(|before| before.name == column.name) {
            return refuse(format!("there are two columns \"{}\"", column.name));
        }
    }
    Ok(())
}
