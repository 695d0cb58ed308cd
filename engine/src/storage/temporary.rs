//! Temporary files: what does not fit into memory while somebody works on it, in `base/pgsql_tmp`.
//!
//! ```text
//! base/pgsql_tmp/pgsql_tmp4711.0      of the process 4711, its first
//! ```
//!
//! Invariants: a file is of one who writes it and then reads it, and is removed when that one has done with it, whatever came
//! of it. None is synced or logged: those that a crash leaves are removed when the engine opens. Source: `fd.c`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use base::disk::{Disk, Opening, WritableFile};
use base::sync::Arc;
use base::sync::atomic::Ordering::Relaxed;

use super::Storage;
use crate::{At, Error};

/// `PG_TEMP_FILES_DIR`
const DIRECTORY: &str = "base/pgsql_tmp";
/// `PG_TEMP_FILE_PREFIX`
const PREFIX: &str = "pgsql_tmp";

/// What went wrong with a temporary file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the temporary file {path}: {error}")]
pub struct TemporaryFileError {
    /// What was to be done, a verb.
    pub action: &'static str,
    /// The file.
    pub path: String,
    /// Why not.
    #[source]
    pub error: io::Error,
}

/// A temporary file, which goes when this does.
#[derive(Debug)]
pub(crate) struct TemporaryFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn WritableFile>,
    length: u64,
}

impl TemporaryFile {
    /// An empty one.
    ///
    /// # Errors
    /// As the disk says.
    pub(crate) fn create(storage: &Storage) -> Result<TemporaryFile, TemporaryFileError> {
        let disk = storage.directory.disk();
        let directory = storage.directory.path().join(DIRECTORY);
        let mut makes_directory = true;
        loop {
            let number = storage.next_temporary_file.fetch_add(1, Relaxed);
            let path = directory.join(format!("{PREFIX}{}.{number}", std::process::id()));
            let failed = |error| failed("create", &path, error);
            match disk.open_for_writing(&path, Opening::CREATE_NEW) {
                Ok(file) => {
                    return Ok(TemporaryFile { disk: Arc::clone(disk), path, file, length: 0 });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && makes_directory => {
                    makes_directory = false;
                    match disk.create_directory(&directory) {
                        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(failed(error));
                        }
                        _ => {}
                    }
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// How long it is.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// As the disk says.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), TemporaryFileError> {
        let written = self.file.write_at(bytes, self.length);
        written.map_err(|error| failed("write", &self.path, error))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Fills `buffer` from a place on.
    ///
    /// # Errors
    /// As the disk says; where the file ends before.
    pub(crate) fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), TemporaryFileError> {
        let read = match self.file.read_at(buffer, at) {
            Ok(count) if count < buffer.len() => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        read.map_err(|error| failed("read", &self.path, error))
    }

    /// An error of what it has.
    pub(crate) fn damaged(&self, what: &'static str) -> TemporaryFileError {
        failed("read", &self.path, io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // One that stays is removed when the engine opens.
        let _ = self.disk.remove_file(&self.path);
    }
}

fn failed(action: &'static str, path: &Path, error: io::Error) -> TemporaryFileError {
    TemporaryFileError { action, path: path.display().to_string(), error }
}

/// Removes what an earlier life of the engine left; nobody works yet (`RemovePgTempFiles`).
///
/// # Errors
/// Where the directory cannot be read.
pub(crate) fn remove_all(storage: &Storage) -> Result<(), Error> {
    let (disk, directory) = (storage.directory.disk(), storage.directory.path().join(DIRECTORY));
    let entries = match disk.list(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed.at("list", &directory)?,
    };
    for entry in entries {
        if is_temporary(&entry.name) && !entry.is_directory {
            // One that stays has a name that no other gets.
            let _ = disk.remove_file(&directory.join(entry.name));
        }
    }
    Ok(())
}

fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}
