//! Storage and transactions, in PostgreSQL 15's own on-disk format.
//!
//! `data_directory` is what `strata init` makes and what keeps a second process out; `slru` is the logs of what became
//! of transactions. [`buffer`] keeps pages in memory; `heap` is rows in pages: forming them, changing pages, the log
//! records of those changes and their redo. `redo` redoes every record that the engine writes. `storage` holds these together, for who runs transactions, for checkpoints
//! and for recovery.
//!
//! Invariants: every file is touched through `base::disk`; what is said to be done is durable; a sync that
//! failed is never tried again.

pub mod buffer;
#[cfg(not(any(loom, shuttle)))]
pub mod copy_text;
#[cfg(not(any(loom, shuttle)))]
pub mod data_directory;
#[cfg(not(any(loom, shuttle)))]
mod error;
#[cfg(not(any(loom, shuttle)))]
pub mod heap;
#[cfg(not(any(loom, shuttle)))]
pub mod redo;
#[cfg(not(any(loom, shuttle)))]
pub mod slru;
#[cfg(not(any(loom, shuttle)))]
pub mod storage;

#[cfg(not(any(loom, shuttle)))]
pub use error::{At, Error};
