//! A recorded transaction.
//!
//! Invariants: times are nanoseconds of one monotonic clock, taken before the transaction was begun and after its end
//! was told to the session. Values that are written to one key differ.

use std::fmt;

use bincode::{Decode, Encode};
use serde::Serialize;

/// What transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Each key holds a list; values are appended, lists read whole.
    ListAppend,
    /// Each key holds one value, or nothing yet; values are written and read.
    Register,
}

/// How much transactions may see of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Each statement sees what had committed when it began, as PostgreSQL's read committed.
    ReadCommitted,
    /// Snapshot isolation, as PostgreSQL's repeatable read.
    RepeatableRead,
    /// As if they had run one after the other.
    Serializable,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Workload::ListAppend => "list-append",
            Workload::Register => "register",
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::ReadCommitted => "read committed",
            Level::RepeatableRead => "repeatable read",
            Level::Serializable => "serializable",
        })
    }
}

/// What a history is of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize)]
pub struct Header {
    /// What the transactions do.
    pub workload: Workload,
    /// The level that they ran at.
    pub level: Level,
    /// How the engine took snapshots: `classic`, `commit-ts`, `mirror`, or what another system calls it.
    pub snapshots: String,
    /// What the choice of operations began with.
    pub seed: u64,
    /// How many sessions ran them.
    pub sessions: u32,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Outcome {
    /// It committed.
    Ok,
    /// It did not, and never will. The SQLSTATE of the error, or nothing if it was rolled back on purpose.
    Failed(String),
    /// Nobody knows: the commit was asked for, and failed in a way that leaves it open.
    Unknown(String),
}

/// What a write replaced, where whoever wrote was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Replaced {
    /// It was not told.
    Unknown,
    /// The key had no value yet.
    Nothing,
    /// This value.
    Value(u64),
}

/// What one statement of a transaction did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Operation {
    /// Put a value behind those of the list.
    Append {
        /// Whose list.
        key: u64,
        /// The value.
        value: u64,
    },
    /// Read a list.
    ReadList {
        /// Whose.
        key: u64,
        /// What it held.
        values: Vec<u64>,
    },
    /// Gave a key a value.
    Write {
        /// Which one.
        key: u64,
        /// The value.
        value: u64,
        /// The one that it had.
        replaced: Replaced,
    },
    /// Read a key's value.
    Read {
        /// Whose.
        key: u64,
        /// What it held; `None` for nothing yet.
        value: Option<u64>,
    },
}

impl Operation {
    /// The key that it is about.
    pub fn key(&self) -> u64 {
        match self {
            Operation::Append { key, .. }
            | Operation::ReadList { key, .. }
            | Operation::Write { key, .. }
            | Operation::Read { key, .. } => *key,
        }
    }
}

/// A transaction with what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Transaction {
    /// The session that ran it, counted from 0.
    pub session: u32,
    /// Its number in that session, counted from 1.
    pub number: u64,
    /// Before it was begun, in nanoseconds.
    pub begin: u64,
    /// After its end was known, in nanoseconds.
    pub end: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Its operations in order. Of one that failed: also the one that did.
    pub operations: Vec<Operation>,
}
