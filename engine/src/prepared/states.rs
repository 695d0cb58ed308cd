//! Who is prepared, and where each one's state lies.
//!
//! ```text
//! Preparing ──record durable──► Busy ──handed over──► Idle ──take──► Busy ──outcome durable──► gone
//!     └─ dropped: gone                   redone at a start ──┘          └─ dropped: Idle
//! ```
//!
//! Invariants: an identifier is one transaction's. What is not `Preparing` counts: a checkpoint whose redo point lies behind
//! its record writes its file. No lock but this one's is held while files are written. Source: `GlobalTransactionData`.

use std::collections::BTreeMap;

use base::sync::{Mutex, MutexGuard, PoisonError};
use base::{Lsn, Oid, TimestampTz, Xid};

use super::PreparedError;

/// `GIDSIZE - 1`
const LONGEST_GID: usize = 199;

/// A prepared transaction (`pg_prepared_xacts`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedTransaction {
    /// Its identifier.
    pub gid: String,
    /// Its transaction id.
    pub xid: Xid,
    /// When it was prepared.
    pub prepared_at: TimestampTz,
}

/// Where a state lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the log, where its record is.
    Log {
        /// The record's start.
        start: Lsn,
        /// Its end.
        end: Lsn,
    },
    /// In memory too: redo has read it, and the segment may be an archive's.
    Redone {
        /// The record's end.
        end: Lsn,
        /// The state.
        state: Vec<u8>,
    },
    /// In a file.
    File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preparing,
    Idle,
    Busy,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) xid: Xid,
    database: Oid,
    prepared_at: TimestampTz,
    pub(super) place: Place,
    stage: Stage,
}

impl State {
    /// Whether a checkpoint with this redo point is to write its file.
    pub(super) fn is_due(&self, redo: Lsn) -> bool {
        match self.place {
            Place::Log { end, .. } | Place::Redone { end, .. } => {
                self.stage != Stage::Preparing && end <= redo
            }
            Place::File => false,
        }
    }
}

/// The prepared transactions of a data directory, by identifier.
#[derive(Debug, Default)]
pub(crate) struct TwoPhaseStates(Mutex<States>);

#[derive(Debug, Default)]
pub(super) struct States {
    pub(super) by_gid: BTreeMap<Vec<u8>, State>,
    /// Whether files were made or removed since the directory was synced.
    pub(super) names_changed: bool,
}

/// A transaction that is known by its identifier from when its record was found on.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) gid: &'a [u8],
    pub(super) xid: Xid,
    pub(super) database: Oid,
    pub(super) prepared_at: TimestampTz,
    pub(super) place: Place,
}

impl TwoPhaseStates {
    /// The prepared transactions, in the order of their identifiers; those that are about to end among them.
    pub(crate) fn valid(&self) -> Vec<PreparedTransaction> {
        let states = self.lock();
        let valid = states.by_gid.iter().filter(|(_, state)| state.stage != Stage::Preparing);
        valid
            .map(|(gid, state)| PreparedTransaction {
                gid: String::from_utf8_lossy(gid).into_owned(),
                xid: state.xid,
                prepared_at: state.prepared_at,
            })
            .collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, States> {
        // What is in it is changed in whole steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in one that was found on the disk or in the log. One that is known already stays as it is.
    pub(super) fn add(&self, found: Found<'_>) {
        let Found { gid, xid, database, prepared_at, place } = found;
        let mut states = self.lock();
        if states.by_gid.values().any(|state| state.xid == xid) {
            return;
        }
        let state = State { xid, database, prepared_at, place, stage: Stage::Idle };
        states.by_gid.insert(gid.to_vec(), state);
    }

    /// Takes one out; whether its state lies in a file.
    pub(super) fn remove(&self, xid: Xid) -> bool {
        let mut states = self.lock();
        let gid = states.by_gid.iter().find(|(_, state)| state.xid == xid);
        let Some(gid) = gid.map(|(gid, _)| gid.clone()) else { return false };
        states.by_gid.remove(&gid).is_some_and(|state| state.place == Place::File)
    }

    /// Keeps an identifier for a transaction that is about to be prepared, of so many at most.
    pub(super) fn reserve(
        &self,
        gid: &str,
        xid: Xid,
        database: Oid,
        prepared_at: TimestampTz,
        most: usize,
    ) -> Result<Reserved<'_>, PreparedError> {
        if gid.len() > LONGEST_GID {
            return Err(PreparedError::TooLong(gid.to_owned()));
        }
        if gid.contains('\0') {
            return Err(PreparedError::ZeroByte(gid.to_owned()));
        }
        if most == 0 {
            return Err(PreparedError::Disabled);
        }
        let mut states = self.lock();
        if states.by_gid.contains_key(gid.as_bytes()) {
            return Err(PreparedError::InUse(gid.to_owned()));
        }
        if states.by_gid.len() >= most {
            return Err(PreparedError::TooMany);
        }
        let (place, stage) = (Place::File, Stage::Preparing);
        let state = State { xid, database, prepared_at, place, stage };
        states.by_gid.insert(gid.as_bytes().to_vec(), state);
        Ok(Reserved { states: self, gid: gid.as_bytes().to_vec() })
    }

    /// Has the caller alone end a transaction.
    pub(super) fn take(&self, gid: &str, database: Oid) -> Result<Taken<'_>, PreparedError> {
        let mut states = self.lock();
        let state = states.by_gid.get_mut(gid.as_bytes());
        let state = state.filter(|state| state.stage != Stage::Preparing);
        let state = state.ok_or_else(|| PreparedError::Missing(gid.to_owned()))?;
        if state.stage == Stage::Busy {
            return Err(PreparedError::Busy(gid.to_owned()));
        }
        if state.database != database {
            return Err(PreparedError::OtherDatabase);
        }
        state.stage = Stage::Busy;
        Ok(Taken { states: self, gid: gid.as_bytes().to_vec(), xid: state.xid })
    }
}

/// An identifier of a transaction that is being prepared; free again when this goes.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    states: &'a TwoPhaseStates,
    gid: Vec<u8>,
}

impl<'a> Reserved<'a> {
    /// Its record is durable: from here on it counts, and the caller has it.
    pub(super) fn logged(self, start: Lsn, end: Lsn) -> Taken<'a> {
        let (states, gid) = (self.states, self.gid.clone());
        std::mem::forget(self);
        let xid = {
            let mut locked = states.lock();
            let Some(state) = locked.by_gid.get_mut(&gid) else {
                unreachable!("what is reserved stays")
            };
            (state.place, state.stage) = (Place::Log { start, end }, Stage::Busy);
            state.xid
        };
        Taken { states, gid, xid }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.states.lock().by_gid.remove(&self.gid);
    }
}

/// A prepared transaction that the caller alone may end; anybody may when this goes.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    states: &'a TwoPhaseStates,
    gid: Vec<u8>,
    pub(super) xid: Xid,
}

impl Taken<'_> {
    pub(super) fn gid(&self) -> &[u8] {
        &self.gid
    }

    /// Where its state lies now.
    pub(super) fn place(&self) -> Place {
        let states = self.states.lock();
        let Some(state) = states.by_gid.get(&self.gid) else { unreachable!("what is taken stays") };
        state.place.clone()
    }

    /// Its outcome is durable: it is forgotten. Whether it has a file, which is then the caller's to remove.
    pub(super) fn ended(self) -> bool {
        self.states.remove(self.xid)
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.states.lock().by_gid.get_mut(&self.gid) {
            state.stage = Stage::Idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: TimestampTz = TimestampTz(5);

    #[test]
    fn an_identifier_is_one_transactions() {
        let states = TwoPhaseStates::default();
        let reserve = |gid: &str, xid| states.reserve(gid, Xid(xid), 5, AT, 2);
        let text = |error: PreparedError| (error.to_string(), error.sqlstate());
        let first = reserve("a", 700).expect("free");
        let (said, code) = text(reserve("a", 701).expect_err("taken"));
        assert_eq!((&said[..], code), ("transaction identifier \"a\" is already in use", "42710"));
        assert!(matches!(states.take("a", 5), Err(PreparedError::Missing(_))), "not prepared yet");
        let second = reserve("b", 701).expect("free");
        let (said, code) = text(reserve("c", 702).expect_err("a third"));
        assert_eq!((&said[..], code), ("maximum number of prepared transactions reached", "53200"));
        drop(second);
        assert!(states.lock().by_gid.values().all(|state| !state.is_due(Lsn(9000))));
        let taken = first.logged(Lsn(8), Lsn(16));
        assert!(matches!(states.take("a", 5), Err(PreparedError::Busy(_))));
        drop(taken);
        assert!(matches!(states.take("a", 6), Err(PreparedError::OtherDatabase)));
        let xids: Vec<_> = states.valid().iter().map(|one| one.xid).collect();
        assert_eq!(xids, [Xid(700)]);
        let state = |at| states.lock().by_gid.values().any(|state| state.is_due(Lsn(at)));
        assert!(!state(15) && state(16));
        assert!(!states.take("a", 5).expect("idle").ended());
        assert!(states.valid().is_empty());
    }

    #[test]
    fn identifiers_have_a_length_at_most() {
        let states = TwoPhaseStates::default();
        let long = "x".repeat(200);
        let reserve = |gid: &str, most| states.reserve(gid, Xid(700), 5, AT, most).map(drop);
        assert!(matches!(reserve(&long, 1), Err(PreparedError::TooLong(_))));
        assert!(matches!(reserve("a\0b", 1), Err(PreparedError::ZeroByte(_))));
        let error = reserve(&long[1..], 0).expect_err("none");
        assert_eq!(
            (error.to_string().as_str(), error.sqlstate()),
            ("prepared transactions are disabled", "55000")
        );
        assert_eq!(error.hint(), Some("Set max_prepared_transactions to a nonzero value."));
        reserve(&long[1..], 1).expect("short enough");
    }
}
