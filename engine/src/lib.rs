//! Storage and transactions, in PostgreSQL 15's own on-disk format.
//!
//! [`buffer`] keeps pages in memory; `heap` is rows in pages: forming them, changing pages, the log records of those changes and their redo.

pub mod buffer;
#[cfg(not(any(loom, shuttle)))]
pub mod heap;
