//! PostgreSQL's own LZ compression: values in tuples, and images of pages in the log.
//!
//! ```text
//! control byte, then up to 8 items, one a bit from the lowest:
//!   bit 0   a literal byte
//!   bit 1   a match: byte 0 = upper 4 bits of the distance | length - 3
//!                    byte 1 = lower 8 bits of the distance
//!                    byte 2 = more length, only where the length so far is 18
//! ```
//!
//! The compressed bytes do not say how long the value was: whoever keeps them keeps that beside them.
//!
//! Source: `common/pg_lzcompress.c` of PostgreSQL 15. Invariants: what is compressed here is, byte for byte, what
//! `pglz_compress` makes of it with its default strategy on a machine whose `char` is signed; what is no compression of so
//! many bytes is refused, and never read or written beyond its ends.

mod compress;
mod decompress;

pub use compress::Compressor;
pub use decompress::{decompress, longest_output};
