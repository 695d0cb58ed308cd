//! Writing the log, in the format of PostgreSQL 15.
//!
//! [`record`] says what is to be logged, [`builder`] makes a record's bytes of it: block references,
//! full-page images ([`image`]), main data, everything but the link to the record before. [`Buffers`]
//! gives it a place in the log by one atomic operation, and copies it there beside others; [`FlushGroup`] has
//! one flush for all who wait. [`Log`] puts these over segment files, with a WAL writer and an archiver.
//!
//! Invariants: what is written here is read by `pg_waldump` and by [`crate::read`] without an error, and
//! says what went in. Nothing here knows a buffer pool or a table: a page is 8 kB whose first eight bytes
//! are its LSN.

#[cfg(not(loom))]
mod archive;
#[cfg(not(loom))]
mod awake;
mod buffers;
pub mod builder;
pub mod custom;
mod error;
#[cfg(not(loom))]
mod file_writer;
mod group;
pub mod image;
mod layout;
#[cfg(not(loom))]
mod log;
mod memory;
#[cfg(not(loom))]
mod options;
mod page_header;
mod pause;
mod piece;
pub mod record;
mod reserve;
mod ring;
#[cfg(not(loom))]
mod segment_files;
mod slots;
mod spread;
#[cfg(not(loom))]
mod sync_method;
#[cfg(not(loom))]
mod wal_writer;

#[cfg(not(loom))]
pub use archive::{ArchiveStatus, ArchiveTo};
pub use buffers::{Beginning, Buffers, Placed, Sink};
pub use builder::{BuildError, Builder, Built, PageWrites};
pub use error::LogError;
pub use group::FlushGroup;
pub use image::ImageCompression;
#[cfg(not(loom))]
pub use log::{Inserter, Log, LogStatistics};
#[cfg(not(loom))]
pub use options::{CutOff, EndOfLog, LogOptions, LogPlace};
pub use record::{ImageChoice, NewBlock, NewRecord};
#[cfg(not(loom))]
pub use segment_files::Removal;
#[cfg(not(loom))]
pub use sync_method::SyncMethod;
