//! What the program `log` measures, and what it found.

use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Measured {
    /// Records inserted, none flushed.
    Insertion {
        /// Length of a record in bytes.
        length: u64,
        /// Threads that insert.
        threads: u64,
        /// Nanoseconds a record of one thread that copies as many bytes to successive places of a memory of the
        /// buffers' size.
        memcpy_ns: f64,
        /// Nanoseconds a record, of all threads together, into buffers that go nowhere.
        memory_ns: f64,
        /// The same into files that are never synced.
        files_ns: f64,
    },
    /// Durable commits.
    Commits {
        /// Threads that commit.
        sessions: u64,
        /// Commits a second, all together.
        per_second: f64,
        /// Syncs of the disk for each commit.
        syncs_per_commit: f64,
        /// What one thread reaches that writes 8 kB and calls fdatasync, measured right before and after.
        fdatasync_per_second: f64,
    },
}
