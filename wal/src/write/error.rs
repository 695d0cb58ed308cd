//! Why the log cannot be written.
//!
//! Invariant: a failed write or sync of the log is never tried again. Nothing is known then of what is
//! on the disk, so the first such error is kept ([`Failure`]) and is the answer to everything from then
//! on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::Lsn;
use base::sync::atomic::AtomicBool;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Mutex, PoisonError};

use super::builder::BuildError;

/// What is being done where a sync fails.
pub(super) const SYNC: &str = "sync";

/// Why something was not logged or not flushed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The record breaks a rule of the format; the log is as it was.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The log's files do not do what they are asked. The log is stopped: every later call gives this
    /// error.
    #[error("could not {doing} \"{}\": {error}; the log is stopped: nothing is known of what was not flushed before", path.display())]
    Stopped {
        /// What was being done, as in "could not ...".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        error: Arc<io::Error>,
    },
    /// Files that the log does not need now could not be made or removed. The log goes on.
    #[error("could not {doing} \"{}\": {error}; the log goes on", path.display())]
    Housekeeping {
        /// What was being done, as in "could not ...".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        error: Arc<io::Error>,
    },
    /// Who works with the log has failed, and has stopped it.
    #[error("the log is stopped after another failure: {0}")]
    StoppedFor(String),
    /// A flush was asked for beyond what was inserted: the position does not come from this log.
    #[error(
        "cannot flush up to {up_to}: the log ends at {end}; the position comes from somewhere else, such as a damaged page"
    )]
    BeyondEnd {
        /// The position asked for.
        up_to: Lsn,
        /// Where the log ends.
        end: Lsn,
    },
    /// 8 PiB were written since the log was opened.
    #[error(
        "8 PiB of log were written since it was opened at {opened_at}: stop, and open it again"
    )]
    Exhausted {
        /// Where it was opened.
        opened_at: Lsn,
    },
    /// The log cannot be opened.
    #[error("cannot open the log at {at}: {reason}")]
    Opening {
        /// Where it was to be opened.
        at: Lsn,
        /// What speaks against it, and what to do.
        reason: String,
    },
}

impl LogError {
    pub(super) fn stopped(doing: &'static str, path: &Path, error: io::Error) -> LogError {
        LogError::Stopped { doing, path: path.to_owned(), error: Arc::new(error) }
    }

    /// The same error of a call that the log can do without; a sync that failed it cannot get over.
    pub(super) fn goes_on(self) -> LogError {
        match self {
            LogError::Stopped { doing, path, error } if doing != SYNC => {
                LogError::Housekeeping { doing, path, error }
            }
            other => other,
        }
    }
}

/// The first error of the log's files, if there was one. The flag is only a hint that there is one; the mutex,
/// under which both are set, orders them.
#[derive(Debug)]
pub(super) struct Failure {
    is_there: AtomicBool,
    error: Mutex<Option<LogError>>,
}

impl Failure {
    pub(super) fn new() -> Failure {
        Failure { is_there: AtomicBool::new(false), error: Mutex::new(None) }
    }

    /// Whether there was one.
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        self.is_there.load(Relaxed)
    }

    /// # Errors
    /// The first error.
    #[inline]
    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.is_there() { Err(self.first()) } else { Ok(()) }
    }

    /// Keeps the error, unless there was one before; gives the first.
    #[cold]
    pub(super) fn set(&self, error: LogError) -> LogError {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.get_or_insert(error).clone();
        self.is_there.store(true, Relaxed);
        first
    }

    #[cold]
    fn first(&self) -> LogError {
        let first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone().expect("the flag is set after the error")
    }
}
