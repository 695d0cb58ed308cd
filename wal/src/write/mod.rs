//! Writing the log, in the format of PostgreSQL 15.
//!
//! [`record`] says what is to be logged, [`builder`] makes a record's bytes of it: block references,
//! full-page images ([`image`]), main data, everything but the link to the record before, which is known
//! only when the record has its place.
//!
//! Invariants: what is written here is read by `pg_waldump` and by [`crate::read`] without an error, and
//! says what went in. Nothing here knows a buffer or a table: a page is 8 kB whose first eight bytes are its
//! LSN.

pub mod builder;
pub mod custom;
pub mod image;
mod pglz;
pub mod record;

pub use builder::{BuildError, Builder, Built, PageWrites};
pub use image::ImageCompression;
pub use record::{ImageChoice, NewBlock, NewRecord};
