//! Transactions, as their users see them.
//!
//! | part | does |
//! |---|---|
//! | [`savepoint`] | subtransactions: begun, released, rolled back |
//! | [`tables`] | tables looked up, made and dropped |
//! | [`indexes`] | indexes made and dropped |
//! | [`locks`] | tables and advisory locks |
//! | [`nested`] | commands within a command |
//! | [`seen`] | the list of who was running |
//! | [`export`] | snapshots handed to others, and taken from them |
//! | [`end`] | commit and rollback |
//!
//! Each statement of a read committed transaction has a snapshot of its own, each repeatable read transaction one for all.
//! What a snapshot holds back is held back until the transaction ends: no version that a row's tid was given out for in this
//! transaction is removed meanwhile. Under read committed the end of a command of several calls
//! ([`Transaction::end_command`]) gives that up, and the tids given out before with it.
//!
//! Invariants: a transaction has an id from its first change on, and not before; so has a subtransaction. After an error
//! that may have left a statement half done, it can only be rolled back, whole or to a savepoint.

mod end;
mod export;
mod indexes;
mod locks;
mod nested;
mod savepoint;
mod seen;
mod tables;

use base::{CommandId, FullXid, Xid};

use crate::Error;
use crate::catalog::Relation;
use crate::catalog::changes::OwnChanges;
use crate::planted::{self, Bug};
use crate::session::{Isolation, Session};
use export::Exported;
pub use indexes::Compute;
pub use locks::AdvisoryMode;
pub use nested::OuterCommand;
pub use savepoint::SavepointId;
pub(crate) use savepoint::own_lock;
use savepoint::{Claimed, Level};
pub(crate) use tables::{relations_ended, remove_files};

/// A transaction. Dropped before it is committed, it is rolled back.
#[derive(Debug)]
pub struct Transaction<'s, 'e> {
    pub(crate) session: &'s mut Session<'e>,
    pub(crate) isolation: Isolation,
    has_snapshot: bool,
    pub(crate) command: CommandId,
    /// The highest number that commands within others had.
    highest: CommandId,
    /// Whether a command of several parts runs.
    is_in_command: bool,
    /// How many commands are put aside.
    outer_commands: u32,
    /// Savepoints, the outermost first.
    levels: Vec<Level>,
    /// How many there were, for their ids.
    savepoints: u32,
    /// Ids of subtransactions that the log does not tie to this transaction yet.
    unreported: Vec<Xid>,
    /// Names of relations that it makes or drops.
    claimed: Vec<Claimed>,
    made: Vec<Relation>,
    dropped: Vec<Relation>,
    exported: Option<Exported>,
    has_failed: bool,
    is_over: bool,
}

/// What a transaction leaves behind that goes on without its session.
#[derive(Debug)]
pub(crate) struct Forgotten {
    pub(crate) made: Vec<Relation>,
    pub(crate) dropped: Vec<Relation>,
    /// Names that it has claimed.
    pub(crate) names: Vec<String>,
    /// What it has done to tables.
    pub(crate) changes: OwnChanges,
}

impl<'s, 'e> Transaction<'s, 'e> {
    pub(crate) fn new(session: &'s mut Session<'e>, isolation: Isolation) -> Transaction<'s, 'e> {
        Transaction {
            session,
            isolation,
            has_snapshot: false,
            command: 0,
            highest: 0,
            is_in_command: false,
            outer_commands: 0,
            levels: Vec::new(),
            savepoints: 0,
            unreported: Vec::new(),
            claimed: Vec::new(),
            made: Vec::new(),
            dropped: Vec::new(),
            exported: None,
            has_failed: false,
            is_over: false,
        }
    }
}

impl Transaction<'_, '_> {
    /// Its id, if it has changed anything: that of the whole transaction, whatever savepoints there are.
    pub fn xid(&self) -> Option<FullXid> {
        self.session.ids.top
    }

    /// Whether it can only be rolled back.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The relations that it makes, and those that it drops.
    pub(crate) fn relations_in_doubt(&self) -> (&[Relation], &[Relation]) {
        (&self.made, &self.dropped)
    }

    /// Forgets the transaction, which goes on without the session.
    pub(crate) fn forget(&mut self) -> Forgotten {
        self.is_over = true;
        let session = &mut *self.session;
        let changes = std::mem::take(&mut session.changes);
        session.transaction_over();
        Forgotten {
            changes,
            made: std::mem::take(&mut self.made),
            dropped: std::mem::take(&mut self.dropped),
            names: self.claimed.drain(..).map(|claimed| claimed.name).collect(),
        }
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
        if !self.is_in_command {
            session.statement_begins();
        }
        session.check_cancelled()?;
        if self.is_in_command {
            return Ok(());
        }
        let keeps = self.has_snapshot
            && match self.isolation {
                Isolation::ReadCommitted => planted::has(Bug::StaleSnapshot),
                Isolation::RepeatableRead => !planted::has(Bug::SnapshotForEachStatement),
            };
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
            self.command = self.command.max(self.highest) + 1;
            self.session.statement_end = None;
        }
    }

    /// Has the time of a statement that takes no snapshot, as `LOCK TABLE`, begin now. Others begin theirs themselves; it
    /// ends with the next of them.
    pub fn begin_time(&mut self) {
        self.session.statement_begins();
    }

    /// Whether what runs may go on, for what takes long without reading or waiting.
    ///
    /// # Errors
    /// When the session is cancelled, or the statement's time is over.
    pub fn check_interrupts(&self) -> Result<(), Error> {
        self.session.check_cancelled()
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

    /// Ends the command: the next one sees what it changed. Under read committed vacuum may take away what it saw: the places
    /// of its rows may be others' from now on.
    pub fn end_command(&mut self) {
        self.is_in_command = false;
        self.next_command();
        self.hold_nothing_back();
    }

    /// No command reads any more by the snapshot of read committed, unless it is one within another.
    fn hold_nothing_back(&mut self) {
        let is_last = self.outer_commands == 0 && self.exported.is_none();
        if is_last && self.isolation == Isolation::ReadCommitted {
            let session = &mut *self.session;
            session.shared.transactions.time.release_snapshot(&mut session.backend);
        }
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

    /// The id that changes are made under, that of the innermost subtransaction; given now if it has none.
    pub(crate) fn assign_xid(&mut self) -> Result<Xid, Error> {
        match self.session.own_xid() {
            Some(xid) => Ok(xid),
            None => self.assign_missing(),
        }
    }
}
