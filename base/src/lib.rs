//! PostgreSQL's vocabulary, shared by every crate of pgstrata: positions, identifiers, times, page and
//! tuple headers, checksums, and the files behind a trait.
//!
//! Nothing here has policy: a type knows its format, its text form and its arithmetic, and no more.
//! `Display` always prints PostgreSQL's own text form.

pub mod checksum;
pub mod disk;
pub mod ids;
pub mod lsn;
pub mod lz4;
pub mod page;
pub mod pglz;
pub mod processor;
pub mod sync;
pub mod time;
pub mod time_input;
pub mod tuple;
pub mod unix_time;
pub mod xid;

pub use ids::{BlockNumber, ForkNumber, OffsetNumber, Oid, RelFileLocator, Tid};
pub use lsn::Lsn;
pub use page::{Page, PageHeader, PageMut, RawPage};
pub use time::{TimestampTz, civil_from_days};
pub use tuple::{CommandId, HeapTupleHeader, Infomask, Infomask2, MultiXactId};
pub use unix_time::UnixTime;
pub use xid::{FullXid, Xid};

/// Size of a data page and of a WAL page in bytes: PostgreSQL's `BLCKSZ` and `XLOG_BLCKSZ` as built by
/// every distribution.
pub const PAGE_SIZE: usize = 8192;

/// Rounds up to PostgreSQL's `MAXIMUM_ALIGNOF`, 8 bytes.
#[inline]
pub const fn max_align(length: u64) -> u64 {
    (length + 7) & !7
}
