//! Why a record cannot be redone: where it is, what it is, what to do.

use std::io;

use base::page::PageError;
use base::{ForkNumber, Lsn, RelFileLocator};
use wal::image::ImageError;
use wal::record::Record;
use wal::rmgr::{PayloadError, push_name, push_record_type};
use wal::segment::Timeline;
use wal::text::Text;

use crate::Error;
use crate::buffer::PageName;

/// A record that cannot be redone.
#[derive(Debug, thiserror::Error)]
#[error("could not redo the record {record} at {at}: {cause}")]
pub struct RedoError {
    /// Where it starts.
    pub at: Lsn,
    /// Its resource manager and type: `Heap/INSERT`.
    pub record: String,
    /// Why.
    #[source]
    pub cause: RedoCause,
}

impl RedoError {
    #[cold]
    pub(super) fn new(record: &Record<'_>, cause: RedoCause) -> RedoError {
        if let RedoCause::Earlier(earlier) = cause {
            return *earlier;
        }
        let mut text = Text::default();
        push_name(record.rmid(), &mut text);
        text.str("/");
        push_record_type(record.version(), record.rmid(), record.info(), &mut text);
        let record_type = String::from_utf8_lossy(text.as_bytes()).into_owned();
        RedoError { at: record.start(), record: record_type, cause }
    }
}

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum RedoCause {
    /// Nobody here redoes records of its resource manager.
    #[error(
        "the engine has no redo for this resource manager (recover with the server or the engine that wrote the log, \
         or stop before this position)"
    )]
    NoManager,
    /// Its resource manager has no records of this type, or none that the engine redoes.
    #[error(
        "the engine has no redo for records of this type (recover with the server or the engine that wrote the log, \
         or stop before this position)"
    )]
    UnknownType,
    /// The payload is too short.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The image does not decompress.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The record lacks an image that it is all about.
    #[error("the record carries no image of {page} (the log is damaged)")]
    NoImage {
        /// The page.
        page: PageName,
    },
    /// The record does not fit the page that it changes.
    #[error("{page}: {error} (the log or the page is damaged; restore a backup)")]
    Heap {
        /// The page.
        page: PageName,
        /// What does not fit.
        #[source]
        error: crate::heap::redo::RedoError,
    },
    /// The record does not fit the page of an index that it changes.
    #[error("{page}: {error} (the log or the page is damaged; restore a backup)")]
    Btree {
        /// The page.
        page: PageName,
        /// What does not fit.
        #[source]
        error: crate::btree::redo::RedoError,
    },
    /// The page that is to be changed is none.
    #[error("{page}: {error} (restore a backup)")]
    Page {
        /// The page.
        page: PageName,
        /// What is wrong with it.
        #[source]
        error: PageError,
    },
    /// A page number or fork that cannot be.
    #[error("{0} is out of range (the log is damaged)")]
    OutOfRange(String),
    /// A record of another timeline than the one that is replayed.
    #[error("unexpected timeline {found} (should be {expected})")]
    Timeline {
        /// The record's.
        found: Timeline,
        /// That of its page.
        expected: Timeline,
    },
    /// It is an earlier record that could not be redone.
    #[error(transparent)]
    Earlier(Box<RedoError>),
    /// A relation's files, the buffer pool, a transaction log or the control file.
    #[error(transparent)]
    Engine(Box<Error>),
}

/// An earlier record could not be redone, which was found out when a later one needed all before it.
impl From<RedoError> for RedoCause {
    fn from(earlier: RedoError) -> RedoCause {
        RedoCause::Earlier(Box::new(earlier))
    }
}

impl From<Error> for RedoCause {
    fn from(error: Error) -> RedoCause {
        RedoCause::Engine(Box::new(error))
    }
}

impl RedoCause {
    pub(super) fn file(
        action: &'static str,
        locator: RelFileLocator,
        fork: ForkNumber,
        error: io::Error,
    ) -> RedoCause {
        Error::Fork { action, locator, fork, error }.into()
    }
}
