//! PostgreSQL's write-ahead log, of PostgreSQL 15 to 18, as its own crate.
//!
//! The way of the bytes: [`source`] finds segments (a directory, files, archives), [`read`] stitches
//! their pages into records and checks them, [`record`] takes a record apart into block references and
//! main data, [`rmgr`] knows what each resource manager means by them. [`image`] restores full-page
//! images, [`control`] reads `global/pg_control`.
//!
//! Invariants: bytes from outside are never trusted (an error has position and cause, nothing panics,
//! nothing allocates what a length field merely claims); a [`record::RawRecord`] is complete but
//! unchecked, a [`record::Record`] has passed every check. This crate knows no buffer and no table.

#![cfg_attr(loom, allow(dead_code, reason = "models need the writer's protocol alone"))]

pub mod checkpoint;
mod codec;
#[cfg(not(loom))]
pub mod control;
pub mod crc;
pub mod csv;
pub mod error;
pub mod filter;
#[cfg(not(loom))]
pub mod filter_time;
pub mod image;
pub mod json;
pub mod line;
pub mod page;
#[cfg(not(loom))]
pub mod read;
pub mod record;
pub mod relation_path;
pub mod rmgr;
pub mod segment;
#[cfg(not(loom))]
pub mod segment_use;
#[cfg(not(loom))]
pub mod source;
pub mod stats;
pub mod text;
pub mod version;
pub mod write;

pub use error::RecordError;
pub use record::{BlockRef, Record};
pub use version::Version;
