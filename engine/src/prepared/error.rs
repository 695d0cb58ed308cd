//! What can go wrong with prepared transactions, in PostgreSQL's words.

use base::{Lsn, Xid};

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
pub enum PreparedError {
    /// An identifier of more than 199 bytes.
    #[error("transaction identifier \"{0}\" is too long")]
    TooLong(String),
    /// One that could not be read back.
    #[error("transaction identifier \"{0}\" must not contain a zero byte")]
    ZeroByte(String),
    /// The engine was opened for none.
    #[error("prepared transactions are disabled")]
    Disabled,
    /// There are as many as there can be.
    #[error("maximum number of prepared transactions reached")]
    TooMany,
    /// Another one has the identifier.
    #[error("transaction identifier \"{0}\" is already in use")]
    InUse(String),
    /// None has it.
    #[error("prepared transaction with identifier \"{0}\" does not exist")]
    Missing(String),
    /// Another session is about to end it, or to prepare it.
    #[error("prepared transaction with identifier \"{0}\" is busy")]
    Busy(String),
    /// It belongs to a database that the engine does not work in.
    #[error("prepared transaction belongs to another database")]
    OtherDatabase,
    /// Its state does not fit a record.
    #[error("two-phase state file maximum length exceeded")]
    TooLarge,
    /// A lock would have to go and to stay.
    #[error(
        "cannot PREPARE while holding both session-level and transaction-level locks on the same object"
    )]
    LocksOfBothKinds,
    /// Others may import what it exported.
    #[error("cannot PREPARE a transaction that has exported snapshots")]
    ExportedSnapshots,
    /// A file of `pg_twophase` is damaged.
    #[error("state file \"{path}\" of a prepared transaction: {reason}")]
    StateFile {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log does not hold a state where it was written.
    #[error("could not read two-phase state from WAL at {at}: {reason}")]
    StateInLog {
        /// Where the record starts.
        at: Lsn,
        /// What is there.
        reason: String,
    },
    /// A state holds something that the engine does not know.
    #[error("the state of prepared transaction {xid}: {reason}")]
    State {
        /// The transaction.
        xid: Xid,
        /// What it holds.
        reason: String,
    },
    /// The table of commit timestamps does not reach back so far.
    #[error(
        "prepared transaction {xid} is {age} transactions old, more than snapshots by commit timestamp look back \
         ({most}): open the data directory with classic snapshots and end it"
    )]
    TooOld {
        /// The transaction.
        xid: Xid,
        /// How many ids were given out since.
        age: u64,
        /// How many there can be.
        most: u64,
    },
}

impl PreparedError {
    /// What PostgreSQL advises.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PreparedError::Disabled => Some("Set max_prepared_transactions to a nonzero value."),
            PreparedError::TooMany => Some("Increase max_prepared_transactions."),
            _ => None,
        }
    }

    /// The code that PostgreSQL gives for it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            PreparedError::TooLong(_) | PreparedError::ZeroByte(_) => "22023",
            PreparedError::Disabled | PreparedError::Busy(_) | PreparedError::TooOld { .. } => {
                "55000"
            }
            PreparedError::TooMany => "53200",
            PreparedError::TooLarge => "54000",
            PreparedError::InUse(_) => "42710",
            PreparedError::Missing(_) => "42704",
            PreparedError::OtherDatabase
            | PreparedError::LocksOfBothKinds
            | PreparedError::ExportedSnapshots => "0A000",
            PreparedError::StateFile { .. }
            | PreparedError::StateInLog { .. }
            | PreparedError::State { .. } => "XX001",
        }
    }
}
