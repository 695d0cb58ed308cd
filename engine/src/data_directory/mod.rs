//! The data directory: its layout, its making, its lock, its control file.
//!
//! Invariants: the layout is that of PostgreSQL 15, whose tools read it. `PG_VERSION` is written last, when all
//! else is durable: where it is whole, so is the directory. Who works in a directory holds its lock.

mod control;
mod init;
mod layout;
mod lock_file;
pub(crate) mod parameters;
mod processes;

use std::path::{Path, PathBuf};

use base::UnixTime;
use base::disk::Disk;
use base::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wal::Version;

pub use control::Control;
pub use init::{Birth, InitOptions, init};
pub use layout::{DEFAULT_DATABASE, DIRECTORIES, FIRST_NORMAL_OID};
pub use lock_file::{LOCK_FILE, LockFile, LockHolder};
pub use parameters::StandbyParameters;
pub use processes::{Processes, SystemProcesses};

use crate::{At, Error};

/// A data directory that this process works in.
#[derive(Debug)]
pub struct DataDirectory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    control: Arc<Mutex<Control>>,
    // Last, so that it goes last.
    lock: LockFile,
}

impl DataDirectory {
    /// Opens a data directory: looks whether it is one, takes its lock, reads its control file. `now` is put
    /// into the lock file.
    ///
    /// # Errors
    /// Where it is none, or of another version, or in use, or its control file is damaged.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        processes: &dyn Processes,
        now: UnixTime,
    ) -> Result<DataDirectory, Error> {
        check_version(&*disk, path)?;
        let lock = LockFile::acquire(Arc::clone(&disk), path, processes, now)?;
        let control = Control::open(&*disk, path)?;
        Ok(DataDirectory {
            disk,
            path: path.to_owned(),
            control: Arc::new(Mutex::new(control)),
            lock,
        })
    }

    /// The control file, locked.
    pub fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The control file, for who keeps it at hand.
    pub(crate) fn shared_control(&self) -> Arc<Mutex<Control>> {
        Arc::clone(&self.control)
    }

    /// The disk that it is on.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the lock back. Dropping does so, too, but says nothing of errors.
    ///
    /// # Errors
    /// Where the lock file cannot be removed.
    pub fn close(self) -> Result<(), Error> {
        self.lock.release()
    }
}

/// Looks at `PG_VERSION`.
fn check_version(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    let shown = || path.display().to_string();
    let file_path = path.join(layout::VERSION_FILE);
    let mut bytes = [0; 64];
    let length = match disk.open(&file_path) {
        Ok(file) => file.read_at(&mut bytes, 0).at("read", &file_path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error).at("open", &file_path),
    };
    let text = String::from_utf8_lossy(&bytes[..length]);
    match text.trim_matches(['\0', '\n']) {
        "" => Err(Error::NotInitialized(shown())),
        "15" if text.ends_with('\n') => Ok(()),
        found => Err(Error::Version { path: shown(), found: found.to_owned() }),
    }
}

/// The version whose format the engine writes.
pub(crate) const VERSION: Version = Version::V15;
