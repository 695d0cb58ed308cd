//! What the program `transaction_end` measures, and what it found.

use serde::{Deserialize, Serialize};

/// When transactions end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// One after the other, on each thread.
    Steady,
    /// All at once, while the lock is held.
    Burst,
}

/// Who does what.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Workload {
    /// When transactions end.
    pub kind: Kind,
    /// Threads that begin and end transactions.
    pub threads: u64,
    /// Transactions that run all the while.
    pub idle: u64,
    /// Whether each transaction takes a snapshot first.
    pub snapshots: bool,
    /// Transactions of all threads.
    pub transactions: u64,
}

/// What was found of a workload, without the group clear (alone) and with it (group).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// What was done.
    pub workload: Workload,
    /// Commits a second.
    pub alone_per_second: f64,
    /// Times that the lock was taken exclusively, a commit.
    pub alone_acquisitions: f64,
    /// Commits a second.
    pub group_per_second: f64,
    /// Times that the lock was taken exclusively, a commit.
    pub group_acquisitions: f64,
}
