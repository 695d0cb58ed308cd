//! A transaction, from its first statement to its end: a block, or one query.
//!
//! Invariants: what a failed statement did is undone at once, and its locks are given back, although the block goes on. What a
//! transaction that is rolled back has set is undone with it. Source: `xact.c`.

use base::TimestampTz;
use engine::{Isolation, LimitWarning, Session, Transaction};

use super::{Backend, Event, Response};
use crate::error::{Notice, Result, SqlError};
use crate::parse::{IsolationLevel, Statement, TransactionModes};
use crate::settings::Settings;

/// A savepoint, and what was set when it was made.
pub(super) struct Savepoint {
    pub(super) name: String,
    pub(super) id: engine::SavepointId,
    pub(super) settings: Settings,
    /// How many of the transaction's local settings there were.
    pub(super) locals: usize,
    /// How many checks waited for the end of the transaction.
    pub(super) deferred: usize,
}

/// A transaction that runs.
pub(super) struct Block<'s, 'e> {
    pub(super) transaction: Option<Transaction<'s, 'e>>,
    pub(super) is_explicit: bool,
    pub(super) has_failed: bool,
    pub(super) savepoints: Vec<Savepoint>,
    /// Whether a statement was run.
    pub(super) is_used: bool,
    settings_before: Settings,
    /// What `SET LOCAL` changed, with what it was before.
    pub(super) local: Vec<(String, String)>,
    /// What its client was told of ids that come to an end.
    pub(super) warned: Vec<LimitWarning>,
}

impl<'s, 'e> Block<'s, 'e> {
    pub(super) fn running(&mut self) -> Result<&mut Transaction<'s, 'e>> {
        self.transaction.as_mut().ok_or_else(|| SqlError::new("XX000", "the transaction is over"))
    }

    /// The last savepoint of a name.
    pub(super) fn savepoint(&self, name: &str) -> Result<(usize, engine::SavepointId)> {
        let at = self.savepoints.iter().rposition(|savepoint| savepoint.name == name);
        match at {
            Some(at) => Ok((at, self.savepoints[at].id)),
            None => Err(SqlError::new("3B001", format!("savepoint \"{name}\" does not exist"))),
        }
    }
}

impl<'e> Backend<'_, 'e> {
    /// A transaction, from its first statement to its end.
    pub(super) fn transaction(
        &mut self,
        session: &mut Session<'e>,
        first: Statement,
    ) -> std::result::Result<(), engine::Error> {
        let settings_before = self.state.settings.clone();
        let isolation = self.database.isolation.unwrap_or(self.state.settings.default_isolation);
        self.state.settings.isolation = isolation;
        self.state.settings.read_only = self.state.settings.default_read_only;
        self.state.transaction_time = now();
        self.deferred.clear();
        let engine_level = match self.engine_level(self.state.settings.isolation) {
            Ok(level) => level,
            Err(error) => {
                // A default that cannot be had: BEGIN may ask for another.
                if !matches!(&first, Statement::Begin(_, modes) if modes.isolation.is_some()) {
                    self.fail(error);
                    return Ok(());
                }
                Isolation::ReadCommitted
            }
        };
        let mut transaction = session.begin(engine_level)?;
        self.state.settings.apply(&mut transaction);
        let mut block = Block {
            transaction: Some(transaction),
            is_explicit: false,
            has_failed: false,
            savepoints: Vec::new(),
            is_used: false,
            settings_before,
            local: Vec::new(),
            warned: Vec::new(),
        };
        let mut next = Event::Statement(first);
        loop {
            let ended = match next {
                Event::Closed => {
                    self.end(&mut block, false);
                    true
                }
                Event::EndOfQuery => {
                    if block.is_explicit {
                        self.client.respond(Response::Ready);
                        false
                    } else {
                        if let Err(error) = self.end_checked(&mut block) {
                            self.fail(error);
                        }
                        self.client.respond(Response::Ready);
                        true
                    }
                }
                Event::Wrong(error) => self.failed(&mut block, error),
                Event::Statement(statement) => match self.step(&mut block, statement) {
                    Ok(ended) => ended,
                    Err(error) => self.failed(&mut block, error),
                },
            };
            if ended {
                return Ok(());
            }
            next = self.next();
        }
    }

    /// Tells of ids that come to an end, once for each that the transaction was given.
    pub(super) fn warn_of_limits(&mut self, block: &mut Block<'_, 'e>) {
        let Some(transaction) = &block.transaction else { return };
        let warnings = transaction.limit_warnings();
        for warning in warnings.iter().filter(|warning| !block.warned.contains(warning)) {
            let notice = Notice::new("WARNING", "01000", warning.to_string()).hint(warning.hint());
            self.client.respond(Response::Notice(notice));
        }
        block.warned = warnings;
    }

    /// A statement failed; whether the transaction is over with it.
    fn failed(&mut self, block: &mut Block<'_, 'e>, error: SqlError) -> bool {
        // A commit that failed begins nothing after it.
        self.chain = None;
        self.fail(error);
        let Some(transaction) = block.transaction.as_mut().filter(|_| block.is_explicit) else {
            self.end(block, false);
            return true;
        };
        // What it did is undone now, and its locks are given back, although the block goes on.
        block.has_failed = true;
        // A stopped log is found by whoever comes next.
        let _ = transaction.give_up();
        false
    }

    /// Ends the transaction, and undoes what it set.
    pub(super) fn end(&mut self, block: &mut Block<'_, 'e>, has_committed: bool) {
        if let Some(transaction) = block.transaction.take() {
            // A stopped log is found by whoever comes next.
            let _ = transaction.rollback();
        }
        if has_committed {
            for (name, value) in block.local.drain(..).rev() {
                // It was a value before.
                let _ = self.state.settings.set(&name, Some(&value));
            }
        } else {
            self.state.settings = block.settings_before.clone();
        }
    }

    /// Commits, or rolls back what has failed; whether it was committed.
    pub(super) fn end_checked(&mut self, block: &mut Block<'_, 'e>) -> Result<bool> {
        self.end_with(block, None)
    }

    /// Prepares, or rolls back what has failed; whether it was prepared.
    pub(super) fn prepare_checked(&mut self, block: &mut Block<'_, 'e>, gid: &str) -> Result<bool> {
        self.end_with(block, Some(gid))
    }

    /// Ends the transaction, when what was put off is checked: prepares it by an identifier, or commits it. Or rolls back
    /// what has failed.
    fn end_with(&mut self, block: &mut Block<'_, 'e>, gid: Option<&str>) -> Result<bool> {
        if block.has_failed {
            self.end(block, false);
            return Ok(false);
        }
        let checked = match &mut block.transaction {
            Some(transaction) => {
                let deferred = std::mem::take(&mut self.deferred);
                self.run_checks(transaction, deferred, true)
            }
            None => Ok(()),
        };
        let ended = checked.and_then(|()| match block.transaction.take() {
            Some(transaction) => match gid {
                Some(gid) => transaction.prepare(gid).map_err(SqlError::from),
                None => transaction.commit().map_err(SqlError::from),
            },
            None => Ok(()),
        });
        self.end(block, ended.is_ok());
        ended.map(|()| true)
    }

    /// Has the next statement begin a transaction like this one.
    pub(super) fn chained(&mut self, chain: bool) {
        if chain {
            let Settings { isolation, read_only, .. } = self.state.settings;
            let modes = TransactionModes { isolation: Some(isolation), read_only: Some(read_only) };
            self.chain = Some(modes);
        }
    }

    fn engine_level(&self, level: IsolationLevel) -> Result<Isolation> {
        match self.database.isolation.unwrap_or(level) {
            IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted => {
                Ok(Isolation::ReadCommitted)
            }
            IsolationLevel::RepeatableRead => Ok(Isolation::RepeatableRead),
            IsolationLevel::Serializable => {
                Err(SqlError::not_supported("the isolation level SERIALIZABLE")
                    .hint("Use REPEATABLE READ, and lock what must not change."))
            }
        }
    }

    pub(super) fn set_modes(
        &mut self,
        block: &mut Block<'_, 'e>,
        modes: TransactionModes,
    ) -> Result<()> {
        if let Some(isolation) = modes.isolation {
            let level = self.engine_level(isolation)?;
            if !block.running()?.set_isolation(level) {
                let message = "SET TRANSACTION ISOLATION LEVEL must be called before any query";
                return Err(SqlError::new("25001", message));
            }
            self.state.settings.isolation = self.database.isolation.unwrap_or(isolation);
        }
        if let Some(read_only) = modes.read_only {
            if !read_only && self.state.settings.read_only && block.is_used {
                let message = "transaction read-write mode must be set before any query";
                return Err(SqlError::new("25001", message));
            }
            self.state.settings.read_only = read_only;
        }
        Ok(())
    }
}

fn now() -> TimestampTz {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let micros = since.map_or(0, |since| since.as_micros());
    TimestampTz::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
