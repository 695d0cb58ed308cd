//! Crashes and failing calls under everything that the engine does, on the disk of `base::disk::faulty`.
//!
//! ```text
//! Workload ──drives──► Run: an engine on a faulty disk ──says what was acknowledged──► Oracle
//!                                  │ crash                                               │
//!                                  ▼                                                     ▼
//!                       what a crash left of the disk ──opened──► the rows found ──── judged by it
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `oracle` | what must be there after a crash, and what may be |
//! | `run` | an engine under a workload; a transaction of it |
//! | `workloads`, `workloads/log` | what is done to it; to the log's files and by recoveries |
//! | `vacuums` | one of them: tables vacuumed, logs of transactions cut off |
//! | `indexes` | another: entries of indexes come and go, with splits and with pages that are deleted and used again |
//! | `long_values` | another: values out of line come and go with their rows |
//! | `images` | data directories that workloads begin with |
//! | `judge` | what is demanded of a disk that a crash left |
//! | `boundaries` | a crash in each call that changes the disk |
//! | `call_sites` | where the sources call a disk, and where calls are seen to come from |
//! | `failing` | each of these failing, once and for ever |
//! | `exercises` | what reaches those that no workload does |
//! | `random` | random histories by seed |
//! | `broken` | that an engine which is broken is noticed |
//!
//! Nothing here runs by itself: an engine without background threads, with a clock that stands, so that a workload makes the
//! same calls in every run.

mod boundaries;
mod broken;
mod call_sites;
mod exercises;
mod exports;
mod failing;
mod images;
mod indexes;
mod judge;
mod long_values;
mod oracle;
mod random;
mod run;
mod vacuums;
mod workloads;

pub(crate) use judge::left;
