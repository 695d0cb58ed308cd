//! What a prepared transaction has in memory: its slot, its locks, the names that it has claimed.
//!
//! Invariant: a transaction is in here from when its session lets go of it, or the engine opens, until who ends it takes
//! it out.

use std::collections::HashMap;

use base::Xid;
use base::sync::{Mutex, MutexGuard, PoisonError};
use procarray::Prepared;

use crate::catalog::Relation;
use crate::catalog::changes::OwnChanges;
use crate::lock::{LockTag, TableLockMode};

/// One of them.
#[derive(Debug)]
pub(crate) struct Detached {
    /// Its slot, whose number is the owner of its locks and claims.
    pub(crate) running: Prepared,
    pub(crate) locks: Vec<(LockTag, TableLockMode)>,
    /// Names of relations that it makes or drops.
    pub(crate) names: Vec<String>,
    pub(crate) made: Vec<Relation>,
    pub(crate) dropped: Vec<Relation>,
    /// What it has done to tables, as far as this life of the engine knows.
    pub(crate) changes: OwnChanges,
}

impl Detached {
    /// The owner of its locks and claims.
    pub(crate) fn owner(&self) -> usize {
        self.running.number().0 as usize
    }
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct DetachedTransactions(Mutex<HashMap<Xid, Detached>>);

impl DetachedTransactions {
    pub(crate) fn lock(&self) -> MutexGuard<'_, HashMap<Xid, Detached>> {
        // Entries come and go whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
