//! Histories of transactions, recorded and checked: which anomalies of isolation did those who ran see?
//!
//! ```text
//! sessions ──Transaction──► Block ──► Writer ──► file ──► Reader ──► Observed ──► Dependencies ──► order of instants ──► Report
//!                                       └─────► edn (Jepsen's form, for Elle) ─┘
//! ```
//!
//! | file | says |
//! |---|---|
//! | [`model`] | a transaction: operations, what they gave, when it began and ended, what became of it |
//! | [`file`](mod@file) | the form on disk: bincode in blocks with checksums, written and read in order |
//! | [`edn`] | the same in Jepsen's form, written and read |
//! | [`observed`] | a history taken in transaction by transaction; versions of keys, and what is wrong with a read by itself |
//! | [`dependency`] | who wrote what another read or overwrote, who read what another overwrote |
//! | [`instants`] | what must have been before what, at each level of isolation |
//! | [`graph`] | strongly connected components, shortest cycles |
//! | [`anomaly`] | the names of what can be wrong, and which level forbids it |
//! | [`check`](mod@check) | all of it, one after the other |
//! | [`report`] | what was found, as text and as JSON |
//!
//! Sources: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (VLDB 2020), for the
//! workloads and for what can be inferred from them; Adya, "Weak Consistency" (1999), for the names; Cerone and Gotsman,
//! "Analysing Snapshot Isolation" (PODC 2016), for what a cycle may be at repeatable read.
//!
//! Invariants: memory is linear in operations and in the longest list of each key, however often that was read; time is
//! linear but for sorting and for the search of short cycles, which has a budget. Bytes of a file are never trusted.

pub mod anomaly;
pub mod check;
pub mod dependency;
pub mod edn;
pub mod file;
pub mod graph;
pub mod instants;
pub mod model;
pub mod observed;
pub mod report;

pub use anomaly::Anomaly;
pub use check::{Options, check};
pub use file::{Block, HistoryError, Reader, Writer};
pub use model::{Header, Level, Operation, Outcome, Replaced, Transaction, Workload};
pub use observed::Observed;
pub use report::Report;
