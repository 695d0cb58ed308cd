//! Why an index cannot be read or changed.

use base::{OffsetNumber, Tid};
use wal::write::LogError;

use super::key::KeyError;
use super::page::NodeError;
use super::tuple::TupleError;
use crate::buffer::{BufferError, PageName};
use crate::storage::TemporaryFileError;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The values cannot be indexed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A page cannot be had.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The log is stopped; no page reaches the disk any more.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The entries of an index that is to be made cannot be sorted outside of memory.
    #[error(transparent)]
    Sort(#[from] TemporaryFileError),
    /// Two rows have the same key, and an index that is to be made is unique.
    #[error("the rows at {one} and {other} have the same key")]
    Duplicate {
        /// A row.
        one: Tid,
        /// Another.
        other: Tid,
    },
    /// A page is damaged.
    #[error("{page}: {error} (rebuild the index)")]
    Node {
        /// The page.
        page: PageName,
        /// What is wrong with it.
        #[source]
        error: NodeError,
    },
    /// An entry's columns are damaged.
    #[error("{page}, line pointer {offset}: {error} (rebuild the index)")]
    Entry {
        /// The page.
        page: PageName,
        /// The entry.
        offset: OffsetNumber,
        /// What is wrong with it.
        #[source]
        error: KeyError,
    },
    /// A posting list is not as it should be.
    #[error("{page}, line pointer {offset}: {error} (rebuild the index)")]
    Posting {
        /// The page.
        page: PageName,
        /// The entry.
        offset: OffsetNumber,
        /// What is wrong with it.
        #[source]
        error: TupleError,
    },
    /// A check of the index found something else than it should.
    #[error("{page}{}: {what}; expected: {expected} (rebuild the index)", line_pointer(*.offset))]
    Unsound {
        /// The page.
        page: PageName,
        /// The entry; `None` if it is about the page.
        offset: Option<OffsetNumber>,
        /// What was found.
        what: String,
        /// What should have been.
        expected: String,
    },
    /// Pages do not fit each other, or an entry does not fit the others.
    #[error("{page}: {what} (rebuild the index)")]
    Structure {
        /// The page.
        page: PageName,
        /// What does not fit.
        what: String,
    },
}

fn line_pointer(offset: Option<OffsetNumber>) -> String {
    offset.map(|offset| format!(", line pointer {offset}")).unwrap_or_default()
}
