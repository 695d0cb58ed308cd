//! Indexes in PostgreSQL 15's btree format.
//!
//! [`page`] and [`tuple`](mod@tuple) are the format: what lies at a page's end, the metapage, entries, pivots, posting
//! lists. [`key`] makes rows entries and compares them. [`posting`] makes, splits and shortens posting lists. [`redo`]
//! makes the change of a record again; [`mask`] hides what redo need not restore. [`index`] is one over the buffer pool
//! and the log: entries are put in, found and counted again by [`scan`], `find` and [`verify`]. [`build`] makes one at once.
//! [`simple_deletion`], [`bottom_up`] deletion and [`vacuum`] take those off that nobody needs; pages that are empty go, and
//! [`space`] has them used again.
//!
//! Source: `nbtree/README` and `access/nbtree.h` of PostgreSQL 15; Lehman and Yao, "Efficient Locking for Concurrent
//! Operations on B-Trees" (1981). Invariants: only version 4 of the format is written, the one where the heap tid is part
//! of the key; bytes of a page are not believed, what does not fit is a [`NodeError`].

mod bottom_up;
pub mod build;
mod dedup;
mod delete_page;
mod error;
mod fill;
mod find;
pub(crate) mod form;
pub mod index;
mod insert;
pub mod key;
pub mod mask;
pub mod page;
pub mod posting;
mod quicksort;
mod rank;
pub mod redo;
mod remove;
mod root_copy;
pub mod scan;
mod search;
pub mod simple_deletion;
mod sort;
pub mod space;
mod split;
mod split_location;
pub mod tuple;
pub mod unique;
pub mod vacuum;
pub mod verify;

pub use build::Build;
pub use error::IndexError;
pub use find::{KeyRoom, KeyRows};
pub use form::EntryValues;
pub use index::{Index, Known, Writer};
pub use key::{KeyColumn, KeyError, SearchKey, Shape};
pub use page::{MetaPage, Node, NodeError, NodeFlags, Opaque};
pub use root_copy::RootCopies;
pub use scan::{Direction, Scan};
pub use simple_deletion::{Heap, Killed};
pub use space::{Deletion, Readers};
pub use tuple::{IndexTuple, TupleError};
pub use unique::{Duplicate, Inserted};
pub use vacuum::Vacuumed;
pub use verify::{Place, Verified};
