//! An engine under a workload, and the transactions of it, which tell the oracle what they do.
//!
//! Invariants: a change is noted when the engine has made it, and a commit before the engine is asked for it, so that one
//! that fails half-way may count or not. Text follows from number and value, so that what belongs to another version of a
//! row is noticed.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use base::Tid;
use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use base::sync::Arc;
use base::{FullXid, TimestampTz};
use engine::heap::{ColumnType, Value};
use engine::recovery::RecoveryProgress;
use engine::vacuum::VacuumOptions;
use engine::{
    Clock, Column, ColumnStorage, Durability, Engine, EngineOptions, Error, IndexCheck,
    IndexDefinition, Isolation, RowLock, SavepointId, Session, SnapshotMode, Table, Transaction,
    WaitPolicy,
};
use snapshot::commit_ts::clock::TestClock;
use wal::write::LogOptions;

use super::oracle::{Change, Oracle, Rows, State, table_of};
use crate::DATA;

/// The time never changes, so that the same calls write the same bytes.
const NOW: TimestampTz = TimestampTz(848_484_173_000_000);

/// A small engine that does nothing by itself.
pub(super) fn options(mode: SnapshotMode) -> EngineOptions {
    EngineOptions {
        mode,
        sessions: 8,
        prepared_transactions: 4,
        buffers: 24,
        slru_buffers: 2,
        clock: Clock(Arc::new(TestClock::new(NOW))),
        log: LogOptions {
            buffer_pages: 16,
            insertion_slots: 4,
            wal_writer_delay: None,
            commit_delay: Duration::ZERO,
            minimum_size: 0,
            archives_by_itself: false,
            ..LogOptions::default()
        },
        has_background_threads: false,
        ..EngineOptions::default()
    }
}

/// Opens the data directory on a disk.
pub(super) fn open(disk: &FaultyDisk, options: EngineOptions) -> Result<Engine, Error> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let nobody = &mut |_: &RecoveryProgress| ControlFlow::Continue(());
    Engine::open_on(disk, Path::new(DATA), options, nobody)
}

/// The text of a row: so many letters, which number and value decide.
fn text(id: i32, value: i64, length: usize) -> String {
    let first = (i64::from(id) * 7 + value).rem_euclid(26) as u8;
    (0..length).map(|at| char::from(b'a' + (first + (at % 26) as u8) % 26)).collect()
}

/// An engine, and what it has acknowledged.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) disk: FaultyDisk,
    options: EngineOptions,
    engine: Option<Engine>,
    oracle: RefCell<Oracle>,
}

impl Run {
    /// Over a data directory that nobody has open, and that holds this.
    pub(super) fn new(disk: FaultyDisk, options: EngineOptions, base: State) -> Run {
        Run::over(disk, options, Oracle::new(base))
    }

    /// The same, where this much must be there.
    pub(super) fn over(disk: FaultyDisk, options: EngineOptions, oracle: Oracle) -> Run {
        Run { disk, options, engine: None, oracle: RefCell::new(oracle) }
    }

    /// Whether the engine is open.
    pub(super) fn is_open(&self) -> bool {
        self.engine.is_some()
    }

    /// The engine.
    ///
    /// # Panics
    /// If the workload has not opened it.
    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the workload opens it first")
    }

    /// What must be there.
    pub(super) fn oracle(&self) -> Oracle {
        self.oracle.borrow().clone()
    }

    /// The options with which it is opened.
    pub(super) fn options_mut(&mut self) -> &mut EngineOptions {
        &mut self.options
    }

    /// Opens the data directory, which an engine may have left open: as a process that was killed, whose kernel goes on.
    /// What was in doubt is decided by what is found.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        self.engine = None;
        let engine = open(&self.disk, self.options.clone())?;
        let found = found(&engine)?;
        self.engine = Some(engine);
        let mut oracle = self.oracle.borrow_mut();
        match oracle.judge(&found) {
            Ok(commits) => oracle.decided(commits),
            Err(why) => panic!("opened again: {why}"),
        }
        Ok(())
    }

    /// Closes the engine.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        if let Some(engine) = self.engine.take() {
            engine.close()?;
            self.oracle.borrow_mut().is_durable();
        }
        Ok(())
    }

    /// Begins a transaction.
    pub(super) fn begin<'s, 'e>(
        &self,
        session: &'s mut Session<'e>,
        isolation: Isolation,
    ) -> Result<Work<'s, 'e>, Error> {
        Ok(Work { transaction: session.begin(isolation)?, changes: Vec::new() })
    }

    /// Commits a transaction.
    pub(super) fn commit(&self, work: Work<'_, '_>, durability: Durability) -> Result<(), Error> {
        // One that changes nothing logs nothing, and so makes nothing of others durable.
        let changes = !work.changes.is_empty();
        if changes {
            self.oracle.borrow_mut().commits(work.changes);
        }
        work.transaction.commit_with(durability)?;
        if changes && durability == Durability::Synchronous {
            self.oracle.borrow_mut().is_durable();
        }
        Ok(())
    }

    /// A transaction of its own, committed durably.
    pub(super) fn transact(
        &self,
        session: &mut Session<'_>,
        does: impl FnOnce(&mut Work<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut work = self.begin(session, Isolation::ReadCommitted)?;
        does(&mut work)?;
        self.commit(work, Durability::Synchronous)
    }

    /// A table made and a row put in, committed durably; whatever is prepared ends, one way or the other.
    pub(super) fn work_a_little(&self, table: &str) -> Result<(), Error> {
        let mut session = self.engine().session()?;
        self.transact(&mut session, |work| {
            work.create(table)?;
            work.insert(table, 1, 1, 100)
        })?;
        for prepared in self.engine().prepared() {
            self.finish(&mut session, &prepared.gid, prepared.xid.0.is_multiple_of(2))?;
        }
        Ok(())
    }

    /// Prepares a transaction.
    pub(super) fn prepare(&self, work: Work<'_, '_>, gid: &str) -> Result<(), Error> {
        self.oracle.borrow_mut().prepares(gid, work.changes);
        self.has_come(work.transaction.prepare(gid))
    }

    /// Ends a prepared transaction.
    pub(super) fn finish(
        &self,
        session: &mut Session<'_>,
        gid: &str,
        commits: bool,
    ) -> Result<(), Error> {
        self.oracle.borrow_mut().finishes(gid, commits);
        self.has_come(match commits {
            true => session.commit_prepared(gid),
            false => session.rollback_prepared(gid),
        })
    }

    /// What was noted last has come, durably; or has not, where the engine goes on.
    fn has_come(&self, result: Result<(), Error>) -> Result<(), Error> {
        let goes_on = || self.engine().session().is_ok();
        match &result {
            Ok(()) => self.oracle.borrow_mut().is_durable(),
            Err(_) if goes_on() => self.oracle.borrow_mut().was_refused(),
            Err(_) => {}
        }
        result
    }

    /// A transaction of its own, rolled back.
    pub(super) fn in_vain(
        &self,
        session: &mut Session<'_>,
        does: impl FnOnce(&mut Work<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut work = self.begin(session, Isolation::ReadCommitted)?;
        does(&mut work)?;
        work.rollback()
    }

    /// Vacuums all tables.
    pub(super) fn vacuum(
        &self,
        session: &mut Session<'_>,
        options: &VacuumOptions,
    ) -> Result<(), Error> {
        // Nothing is waited for, so that every run takes the same way.
        let options = VacuumOptions { truncation_wait: Duration::ZERO, ..*options };
        session.vacuum(None, &options, &mut |_| ControlFlow::Continue(())).map(drop)
    }

    /// What must be there, as the oracle says: all of it, where nothing has crashed.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (found, expected) = (found(self.engine())?, self.oracle.borrow().state());
        assert!(found == expected, "{:?}", Oracle::new(expected).judge(&found));
        check_indexes(self.engine())
    }
}

/// Whether all indexes are sound, and fit their tables.
pub(super) fn check_indexes(engine: &Engine) -> Result<(), Error> {
    let mut wrong = None;
    let mut see = |check: IndexCheck| {
        wrong = wrong.take().or(check.outcome.err());
        ControlFlow::Continue(())
    };
    engine.check_indexes(&[], &mut see)?;
    wrong.map_or(Ok(()), Err)
}

/// Whether somebody holds a row, so that nobody else can change it.
pub(super) fn is_locked(engine: &Engine, table: &str, id: i32) -> Result<bool, Error> {
    let mut session = engine.session()?;
    let mut work = Work { transaction: session.begin(Isolation::ReadCommitted)?, changes: vec![] };
    let handle = work.transaction.table(table)?;
    let root = work.root(&handle, id)?;
    let strength = RowLock::NoKeyUpdate;
    match handle.lock_row(&mut work.transaction, root, strength, WaitPolicy::NoWait) {
        Err(Error::RowLockNotAvailable { .. }) => Ok(true),
        locked => locked.map(|_| false),
    }
}

/// Whether somebody is about to have a table by this name, so that whoever makes one waits.
pub(super) fn is_name_taken(engine: &Engine, table: &str) -> Result<bool, Error> {
    let mut session = engine.session()?;
    session.set_lock_timeout(Some(Duration::from_millis(1)));
    let mut work = Work { transaction: session.begin(Isolation::ReadCommitted)?, changes: vec![] };
    match work.create(table) {
        Err(Error::LockTimeout) => Ok(true),
        made => made.map(|()| false),
    }
}

/// A transaction, and what it has changed so far.
#[derive(Debug)]
pub(super) struct Work<'s, 'e> {
    transaction: Transaction<'s, 'e>,
    changes: Vec<Change>,
}

/// A savepoint, and how much had been changed then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Savepoint {
    id: SavepointId,
    changes: usize,
}

impl Work<'_, '_> {
    /// Rolls back.
    pub(super) fn rollback(self) -> Result<(), Error> {
        self.transaction.rollback()
    }

    /// Its id, if it has changed anything.
    pub(super) fn xid(&self) -> Option<FullXid> {
        self.transaction.xid()
    }

    /// Hands its snapshot to others; by which identifier.
    pub(super) fn export(&mut self) -> Result<String, Error> {
        self.transaction.export_snapshot(false).map(|id| id.to_string())
    }

    /// Sees what another one has exported.
    pub(super) fn import(&mut self, id: &str) -> Result<(), Error> {
        self.transaction.import_snapshot(id)
    }

    /// Begins a subtransaction.
    pub(super) fn savepoint(&mut self) -> Result<Savepoint, Error> {
        Ok(Savepoint { id: self.transaction.savepoint()?, changes: self.changes.len() })
    }

    /// Undoes what was done since then.
    pub(super) fn rollback_to(&mut self, savepoint: Savepoint) -> Result<(), Error> {
        self.transaction.rollback_to(savepoint.id)?;
        self.changes.truncate(savepoint.changes);
        Ok(())
    }

    /// Makes a table `id int4 not null, value int8 not null, text text`.
    pub(super) fn create(&mut self, table: &str) -> Result<(), Error> {
        self.create_stored(table, ColumnStorage::Plain)
    }

    /// The same with a text that is stored so.
    pub(super) fn create_stored(
        &mut self,
        table: &str,
        storage: ColumnStorage,
    ) -> Result<(), Error> {
        let columns = [
            Column::new("id", ColumnType::Int4).not_null(),
            Column::new("value", ColumnType::Int8).not_null(),
            Column::new("text", ColumnType::Text).stored(storage),
        ];
        self.transaction.create_table(table, &columns)?;
        self.changes.push(Change::Create(table.to_owned()));
        Ok(())
    }

    /// Makes an index on a table.
    pub(super) fn index(&mut self, table: &str, index: &IndexDefinition) -> Result<(), Error> {
        let handle = self.transaction.table(table)?;
        self.transaction.create_index(&handle, index).map(drop)
    }

    /// Drops a table.
    pub(super) fn drop_table(&mut self, table: &str) -> Result<(), Error> {
        self.transaction.drop_table(table)?;
        self.changes.push(Change::Drop(table.to_owned()));
        Ok(())
    }

    fn put(&mut self, table: &str, id: i32, value: i64, text: String) {
        self.changes.push(Change::Put { table: table.to_owned(), id, value, text });
    }

    /// Puts a row in.
    pub(super) fn insert(
        &mut self,
        table: &str,
        id: i32,
        value: i64,
        length: usize,
    ) -> Result<(), Error> {
        let (handle, text) = (self.transaction.table(table)?, text(id, value, length));
        let row = [Value::Int4(id), Value::Int8(value), Value::Text(&text)];
        handle.insert(&mut self.transaction, &row)?;
        self.put(table, id, value, text);
        Ok(())
    }

    /// Puts many rows in by one call.
    pub(super) fn load(
        &mut self,
        table: &str,
        ids: std::ops::Range<i32>,
        length: usize,
    ) -> Result<(), Error> {
        let handle = self.transaction.table(table)?;
        let texts: Vec<_> = ids.clone().map(|id| text(id, 0, length)).collect();
        let rows: Vec<_> = ids
            .clone()
            .zip(&texts)
            .map(|(id, text)| vec![Value::Int4(id), Value::Int8(0), Value::Text(text)])
            .collect();
        handle.insert_many(&mut self.transaction, &rows)?;
        ids.zip(texts).for_each(|(id, text)| self.put(table, id, 0, text));
        Ok(())
    }

    /// Changes a row.
    pub(super) fn update(
        &mut self,
        table: &str,
        id: i32,
        value: i64,
        length: usize,
    ) -> Result<(), Error> {
        let (handle, text) = (self.transaction.table(table)?, text(id, value, length));
        let root = self.root(&handle, id)?;
        let row = [Value::Int4(id), Value::Int8(value), Value::Text(&text)];
        let updated = handle.update(&mut self.transaction, root, &row)?;
        assert!(updated.is_some(), "row {id} of \"{table}\" was seen, and cannot be changed");
        self.put(table, id, value, text);
        Ok(())
    }

    /// Deletes a row.
    pub(super) fn delete(&mut self, table: &str, id: i32) -> Result<(), Error> {
        let handle = self.transaction.table(table)?;
        let root = self.root(&handle, id)?;
        let deleted = handle.delete(&mut self.transaction, root)?;
        assert!(deleted, "row {id} of \"{table}\" was seen, and cannot be deleted");
        self.changes.push(Change::Remove { table: table.to_owned(), id });
        Ok(())
    }

    /// Locks a row as whoever refers to it does.
    pub(super) fn share(&mut self, table: &str, id: i32) -> Result<(), Error> {
        let handle = self.transaction.table(table)?;
        let root = self.root(&handle, id)?;
        let (strength, policy) = (RowLock::KeyShare, WaitPolicy::Wait);
        handle.lock_row(&mut self.transaction, root, strength, policy).map(drop)
    }

    /// The rows that it sees.
    pub(super) fn rows(&mut self, table: &str) -> Result<Rows, Error> {
        let handle = self.transaction.table(table)?;
        rows(&handle, &mut self.transaction)
    }

    fn root(&mut self, table: &Table, id: i32) -> Result<Tid, Error> {
        for row in table.scan(&mut self.transaction)? {
            let row = row?;
            if row.values()?[0] == Value::Int4(id) {
                return Ok(row.root());
            }
        }
        panic!("the workload changes row {id} of \"{}\", which is not there", table.name())
    }
}

fn rows(table: &Table, transaction: &mut Transaction<'_, '_>) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    for row in table.scan(transaction)? {
        let row = row?;
        let [Value::Int4(id), Value::Int8(value), Value::Text(text)] = row.values()?[..] else {
            panic!("a row of another shape in \"{}\": {row:?}", table.name())
        };
        if let Some((before, _)) = rows.insert(id, (value, text.to_owned())) {
            // Neither of them, for the oracle to see.
            rows.insert(id, (i64::MIN, format!("there twice, as {before} and as {value}")));
        }
    }
    Ok(rows)
}

/// All rows of all tables, as a new transaction sees them.
pub(super) fn found(engine: &Engine) -> Result<State, Error> {
    let mut session = engine.session()?;
    let mut transaction = session.begin(Isolation::RepeatableRead)?;
    let mut state = State::new();
    for name in engine.table_names() {
        let table = transaction.table(&name)?;
        state.insert(name, rows(&table, &mut transaction)?);
    }
    state.extend(engine.prepared().iter().map(|one| (table_of(&one.gid), Rows::new())));
    transaction.rollback()?;
    Ok(state)
}
