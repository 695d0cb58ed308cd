//! What all sessions of an engine share: its tables by name, who can be cancelled, and what columns count.
//!
//! Invariant: nothing here is kept over a restart.

use std::collections::HashMap;
use std::rc::Rc;

use base::Oid;
use base::sync::{Mutex, PoisonError};
use engine::{Cancel, Engine, Session, Transaction};

use crate::error::Result;
use crate::parse::IsolationLevel;
use crate::reads::{Reads, TableReads};
use crate::routine::is_routine;
use crate::table::TableDef;

/// An engine, as SQL sees it.
#[derive(Debug)]
pub struct Database<'e> {
    pub(crate) engine: &'e Engine,
    /// What cancels the sessions that there are, by number.
    cancels: Mutex<HashMap<usize, Cancel<'e>>>,
    /// The last number that each column which counts by itself gave out.
    counters: Mutex<HashMap<(Oid, usize), i64>>,
    /// Whether every relation has its row in `pg_class`.
    pub(crate) has_classes: Mutex<bool>,
    /// What was read of each table.
    reads: Mutex<Reads>,
    /// The level that transactions get, whatever they ask for.
    pub(crate) isolation: Option<IsolationLevel>,
}

impl<'e> Database<'e> {
    /// The tables of this engine.
    pub fn new(engine: &'e Engine) -> Database<'e> {
        Database {
            engine,
            cancels: Mutex::default(),
            counters: Mutex::default(),
            has_classes: Mutex::default(),
            reads: Mutex::default(),
            isolation: None,
        }
    }

    /// The same, with every transaction of one level, whatever it asks for.
    pub fn with_isolation(self, isolation: IsolationLevel) -> Database<'e> {
        Database { isolation: Some(isolation), ..self }
    }

    /// Cancels what a session's transaction does, as `pg_cancel_backend` does; whether there is that session.
    pub fn cancel(&self, session: usize) -> bool {
        let cancels = self.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        cancels.get(&session).map(Cancel::cancel).is_some()
    }

    /// What all sessions' statements have read of a table.
    pub fn reads(&self, table: Oid) -> TableReads {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).get(table)
    }

    /// Adds what a statement has read.
    pub(crate) fn count_reads(&self, reads: &mut Reads) {
        if reads.is_empty() {
            return;
        }
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).take(reads);
    }

    pub(crate) fn begin_session(&self, session: &Session<'e>) {
        let mut cancels = self.cancels.lock().unwrap_or_else(PoisonError::into_inner);
        cancels.insert(session.number(), session.cancel_handle());
    }

    /// Called before the number can be another session's.
    pub(crate) fn end_session(&self, session: &Session<'e>) {
        self.cancels.lock().unwrap_or_else(PoisonError::into_inner).remove(&session.number());
    }

    /// A table by its name, as the transaction sees it.
    pub(crate) fn table(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        name: &str,
    ) -> Result<Rc<TableDef>> {
        let table = transaction.table(name)?;
        if is_routine(&table) {
            return Err(engine::Error::NoTable(name.to_owned()).into());
        }
        TableDef::of(table, transaction)
    }

    /// The tables with a foreign key to one of these, in the order of their names.
    pub(crate) fn children_of(
        &self,
        transaction: &Transaction<'_, 'e>,
        parents: &[&str],
    ) -> Result<Vec<Rc<TableDef>>> {
        let mut children = Vec::new();
        for table in transaction.tables() {
            // Most have none, and need not be read for that.
            let has_key = |text: &str| text.contains("FOREIGN KEY");
            if is_routine(&table) || !table.definition().is_some_and(has_key) {
                continue;
            }
            let child = TableDef::of(table, transaction)?;
            if child.foreign_keys.iter().any(|key| parents.contains(&key.parent.as_str())) {
                children.push(child);
            }
        }
        Ok(children)
    }

    /// The table and column whose counter a column has: those of the parent that it inherits it from.
    pub(crate) fn counter(
        &self,
        transaction: &mut Transaction<'_, 'e>,
        def: &TableDef,
        at: usize,
    ) -> Result<(String, usize)> {
        let column = &def.columns[at].name;
        let partition = def.kinship.partition_of.iter().map(|partition| &partition.parent);
        for parent in partition.chain(&def.kinship.parents) {
            let parent = self.table(transaction, parent)?;
            let place = parent.column(column).filter(|place| parent.columns[*place].is_serial);
            if let Some(at) = place {
                return self.counter(transaction, &parent, at);
            }
        }
        Ok((def.name().to_owned(), at))
    }

    /// The next number of a column; `highest` is what it had before anybody asked since the engine was opened.
    pub(crate) fn count(&self, column: (Oid, usize), highest: Option<i64>) -> Option<i64> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let last = match (counters.get(&column), highest) {
            (Some(last), _) => *last,
            (None, Some(highest)) => highest,
            (None, None) => return None,
        };
        let next = last.saturating_add(1);
        counters.insert(column, next);
        Some(next)
    }

    /// A table was made anew: its columns count on.
    pub(crate) fn keep_counting(&self, old: Oid, new: Oid) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let of_old = counters.iter().filter(|((oid, _), _)| *oid == old);
        let kept: Vec<_> = of_old.map(|((_, at), last)| ((new, *at), *last)).collect();
        counters.extend(kept);
    }
}
