//! What the program `recovery` makes and measures.

use serde::{Deserialize, Serialize};

/// One thing done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Done {
    /// A load was run and left as a killed process leaves it.
    Loaded {
        /// Transactions that committed.
        commits: u64,
        /// Bytes of log behind the last checkpoint's redo point.
        log_bytes: u64,
    },
    /// A data directory was recovered.
    Recovered {
        /// Bytes of log that were redone.
        log_bytes: u64,
        /// Records of it.
        records: u64,
        /// Pages that were restored from images.
        images: u64,
        /// Threads that redid.
        threads: usize,
        /// From the first record to the log's end, in seconds.
        redo_seconds: f64,
        /// From the beginning to the end of the checkpoint that ends recovery, in seconds.
        seconds: f64,
    },
}
