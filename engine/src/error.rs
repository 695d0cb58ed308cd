//! What can go wrong in the engine, for its caller.

use std::io;
use std::path::Path;

use base::Xid;
use wal::control::ControlFault;

/// What goes wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system says so.
    #[error("could not {action} \"{path}\": {error}")]
    Io {
        /// What was to be done.
        action: &'static str,
        /// To what.
        path: String,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// A data directory is to be made where something is.
    #[error("directory \"{0}\" exists and is not empty (remove it, or name another one)")]
    NotEmpty(String),
    /// Making a data directory failed, and so did removing what was there of it.
    #[error("{error}; what was made in \"{path}\" could not be removed (remove it by hand)")]
    LeftOver {
        /// The data directory.
        path: String,
        /// Why it could not be made.
        #[source]
        error: Box<Error>,
    },
    /// No data directory, or one whose making was not finished.
    #[error(
        "\"{0}\" is no data directory, or one whose initialization was interrupted: \
         its file PG_VERSION is missing or empty (run \"strata init\" for a new directory)"
    )]
    NotInitialized(String),
    /// A data directory of another version.
    #[error(
        "data directory \"{path}\" is of PostgreSQL {found}; the engine writes the format of 15"
    )]
    Version {
        /// The data directory.
        path: String,
        /// What `PG_VERSION` says.
        found: String,
    },
    /// Another user's directory.
    #[error("data directory \"{0}\" belongs to another user (run as the user who owns it)")]
    NotOwner(String),
    /// Somebody else works in the data directory.
    #[error("lock file \"{path}\" already exists: {holder}")]
    Locked {
        /// The lock file.
        path: String,
        /// Who that is.
        holder: crate::data_directory::LockHolder,
    },
    /// The lock file says nothing that is understood.
    #[error("bogus data in lock file \"{path}\": {content:?}")]
    BogusLockFile {
        /// The lock file.
        path: String,
        /// Its first line.
        content: String,
    },
    /// The control file is not to be relied on.
    #[error("{0}")]
    Control(#[from] ControlFault),
    /// The control file cannot be read.
    #[error("{0}")]
    LoadControl(#[from] wal::control::LoadError),
    /// An earlier write of the file failed, so what it holds is not known.
    #[error(
        "\"{0}\" is not written any more, since an earlier write of it failed (stop and recover)"
    )]
    FailedBefore(String),
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] wal::write::LogError),
    /// A page cannot be had or written.
    #[error(transparent)]
    Buffer(#[from] crate::buffer::BufferError),
    /// A page that must be there is not.
    #[error(
        "could not access the status of transaction {xid}: \"{path}\" has {length} bytes, page {page} is beyond them"
    )]
    MissingPage {
        /// For whose sake it was wanted; a multixact id in pg_multixact.
        xid: Xid,
        /// The segment.
        path: String,
        /// Its length in bytes.
        length: u64,
        /// The page's number.
        page: u64,
    },
}

/// Says of an operating system's error what was done to which file.
pub trait At<T> {
    /// The error with `action`, a verb, and the path.
    ///
    /// # Errors
    /// Where there is one.
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|error| Error::Io { action, path: path.display().to_string(), error })
    }
}
