//! Snapshots that a transaction hands to others: the sessions' common list of them, and their ids.
//!
//! ```text
//! exporter                        importer                          horizon
//! has the snapshot in use         lock the list
//! lock, add, unlock               find it; show its bound           reads what both show,
//!     ...                           while the exporter shows it     wholly before or after this step
//! lock, remove, unlock            unlock
//! shows nothing any more
//! ```
//!
//! Invariants: what stands in the list is held back by its exporter, who takes it out of the list before it
//! shows less; the list's lock is held while an importer comes to show the same bound, which in turn no
//! horizon sees half done (`procarray::advertise`, `Backend::take_over_xmin`).
//!
//! PostgreSQL writes a file instead, `utils/time/snapmgr.c`, whose text is [`crate::exported`]'s; the form of the ids is its
//! files' names'.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base::Oid;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError};
use procarray::ProcNumber;

use crate::exported::ParseExportedError;
use crate::source::{Snapshot, SnapshotSource};

/// The id of an exported snapshot: `00000003-0000001B-1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SnapshotId {
    /// The exporter: its slot in a `Registry`, its session from 1 on in an engine.
    pub session: u32,
    /// Which of the session's transactions.
    pub transaction: u32,
    /// Which of the transaction's exports, from 1 on.
    pub number: u32,
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}-{:08X}-{}", self.session, self.transaction, self.number)
    }
}

/// A text that is no snapshot's id: what is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "invalid snapshot identifier: {text:?}, at byte {position}: expected {expected}, as pg_export_snapshot \
     prints it (00000003-0000001B-1)"
)]
pub struct ParseSnapshotIdError {
    /// The text, its first 80 characters.
    pub text: String,
    /// Where the wrong part begins, in bytes.
    pub position: usize,
    /// What should stand there.
    pub expected: &'static str,
}

impl FromStr for SnapshotId {
    type Err = ParseSnapshotIdError;

    fn from_str(text: &str) -> Result<SnapshotId, ParseSnapshotIdError> {
        let error = |position, expected| ParseSnapshotIdError {
            text: text.chars().take(80).collect(),
            position,
            expected,
        };
        let bytes = text.as_bytes();
        let hexadecimal = |from: usize| {
            let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
            let digits = bytes.get(from..from + 8).filter(|digits| digits.iter().all(is_digit));
            digits
                .and_then(|_| u32::from_str_radix(&text[from..from + 8], 16).ok())
                .ok_or_else(|| error(from, "8 hexadecimal digits in capitals"))
        };
        let hyphen = |at: usize| {
            if bytes.get(at) == Some(&b'-') { Ok(()) } else { Err(error(at, "a hyphen")) }
        };
        let session = hexadecimal(0)?;
        hyphen(8)?;
        let transaction = hexadecimal(9)?;
        hyphen(17)?;
        // A sign or a leading zero is printed by nobody, and would be another file's name.
        let rest = text
            .get(18..)
            .filter(|rest| rest.starts_with(|digit: char| matches!(digit, '1'..='9')));
        let number = rest
            .and_then(|rest| rest.parse().ok())
            .ok_or_else(|| error(18, "a number of 32 bits from 1 on"))?;
        Ok(SnapshotId { session, transaction, number })
    }
}

/// Why a snapshot cannot be exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ExportError {
    /// The subtransaction may end before the transaction.
    #[error("cannot export a snapshot from a subtransaction")]
    Subtransaction,
}

/// Why a snapshot cannot be imported, in PostgreSQL's words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ImportError {
    /// A statement's snapshot would be gone with the next statement.
    #[error(
        "a snapshot-importing transaction must have isolation level SERIALIZABLE or REPEATABLE READ"
    )]
    Isolation,
    /// The transaction has seen or written something.
    #[error("SET TRANSACTION SNAPSHOT must be called before any query")]
    TooLate,
    /// It is no id, or nobody exports a snapshot of this id, or no longer.
    #[error("invalid snapshot identifier: \"{id}\"")]
    Unknown {
        /// The id asked for.
        id: String,
    },
    /// Its file holds something else.
    #[error("invalid snapshot data in file \"{path}\"")]
    Data {
        /// The file.
        path: String,
        /// Where it is wrong, and what should stand there.
        fault: ParseExportedError,
    },
    /// Another database's horizons are others.
    #[error("cannot import a snapshot from a different database")]
    OtherDatabase {
        /// The exporter's database.
        exported: Oid,
        /// The importer's.
        own: Oid,
    },
    /// The exporter holds nothing back for it any more.
    #[error("could not import the requested snapshot")]
    SourceGone {
        /// The id asked for.
        id: SnapshotId,
    },
}

impl ExportError {
    /// The code that PostgreSQL gives for it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            ExportError::Subtransaction => "25001",
        }
    }
}

impl ImportError {
    /// What there is to say besides.
    pub fn detail(&self) -> Option<String> {
        match self {
            ImportError::Data { fault, .. } => {
                Some(format!("Line {}: expected {}.", fault.line, fault.expected))
            }
            ImportError::OtherDatabase { exported, own } => {
                Some(format!("It is of database {exported}, this is {own}."))
            }
            ImportError::SourceGone { id } => Some(format!(
                "The source session {} is not running the exporting transaction anymore.",
                id.session
            )),
            _ => None,
        }
    }

    /// The code that PostgreSQL gives for it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            ImportError::TooLate => "25001",
            ImportError::Isolation | ImportError::OtherDatabase { .. } => "0A000",
            ImportError::Unknown { .. } => "22023",
            ImportError::Data { .. } => "22P02",
            ImportError::SourceGone { .. } => "55000",
        }
    }
}

struct Exported<N: Snapshot> {
    snapshot: N,
    bound: N::Bound,
    database: Oid,
}

/// What all sessions of an engine export.
pub struct Exports<N: Snapshot>(Mutex<BTreeMap<SnapshotId, Exported<N>>>);

impl<N: Snapshot> Default for Exports<N> {
    fn default() -> Exports<N> {
        Exports(Mutex::new(BTreeMap::new()))
    }
}

impl<N: Snapshot> Exports<N> {
    /// An empty list.
    pub fn new() -> Exports<N> {
        Exports::default()
    }

    /// What is exported at the moment.
    pub fn ids(&self) -> Vec<SnapshotId> {
        self.list().keys().copied().collect()
    }

    /// Adds a snapshot that its exporter has in use, until the answer is dropped.
    pub(crate) fn add(
        exports: &Arc<Exports<N>>,
        id: SnapshotId,
        snapshot: N,
        bound: N::Bound,
        exporter: &impl SnapshotSource<Snapshot = N>,
    ) -> Export<N> {
        let exported = Exported { snapshot, bound, database: exporter.database() };
        let before = exports.list().insert(id, exported);
        assert!(before.is_none(), "snapshot {id} is exported once");
        Export { exports: Arc::clone(exports), id }
    }

    /// The snapshot of this id, whose bound the importer shows from here on.
    pub(crate) fn import(
        &self,
        id: SnapshotId,
        importer: &mut impl SnapshotSource<Snapshot = N>,
    ) -> Result<(N, N::Bound), ImportError> {
        let list = self.list();
        let Some(Exported { snapshot, bound, database }) = list.get(&id) else {
            return Err(ImportError::Unknown { id: id.to_string() });
        };
        let (exported, own) = (*database, importer.database());
        if exported != own {
            return Err(ImportError::OtherDatabase { exported, own });
        }
        if !importer.take_over(*bound, ProcNumber(id.session)) {
            return Err(ImportError::SourceGone { id });
        }
        Ok((snapshot.clone(), *bound))
    }

    fn list(&self) -> MutexGuard<'_, BTreeMap<SnapshotId, Exported<N>>> {
        // Entries come and go whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exported snapshot; it is in the list as long as this lives.
pub(crate) struct Export<N: Snapshot> {
    exports: Arc<Exports<N>>,
    id: SnapshotId,
}

impl<N: Snapshot> Drop for Export<N> {
    fn drop(&mut self) {
        // A model that has failed is over.
        if cfg!(any(loom, shuttle)) && base::sync::thread::panicking() {
            return;
        }
        self.exports.list().remove(&self.id);
    }
}
