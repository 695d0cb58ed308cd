//! What all sessions of an engine share: its tables by name, and the gates before unique keys.
//!
//! Invariant: who looks whether a unique key is there and then puts it in holds the table's gate meanwhile, and waits for
//! nobody with it.

use std::collections::HashMap;
use std::rc::Rc;

use base::Oid;
use base::sync::{Arc, Mutex, PoisonError};
use engine::{Cancel, Engine, Session, Transaction};

use crate::error::Result;
use crate::parse::IsolationLevel;
use crate::table::TableDef;

/// An engine, as SQL sees it.
#[derive(Debug)]
pub struct Database<'e> {
    pub(crate) engine: &'e Engine,
    gates: Mutex<HashMap<Oid, Arc<Mutex<()>>>>,
    /// What cancels the sessions that there are, by number.
    cancels: Mutex<HashMap<usize, Cancel<'e>>>,
    /// The level that transactions get, whatever they ask for.
    pub(crate) isolation: Option<IsolationLevel>,
}

impl<'e> Database<'e> {
    /// The tables of this engine.
    pub fn new(engine: &'e Engine) -> Database<'e> {
        Database { engine, gates: Mutex::default(), cancels: Mutex::default(), isolation: None }
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
        TableDef::of(transaction.table(name)?)
    }

    /// What is held by who looks for a unique key of a table and puts it in.
    pub(crate) fn gate(&self, table: Oid) -> Arc<Mutex<()>> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(table).or_default())
    }
}
