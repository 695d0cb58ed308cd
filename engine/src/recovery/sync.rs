//! The directory's files made durable, as a crash left them: `SyncDataDirectory`.
//!
//! Invariant: when it comes back, every file and name of the directory is durable as it reads now.

use std::ffi::OsStr;
use std::path::Path;

use base::disk::{Disk, Opening};

use crate::data_directory::LOCK_FILE;
use crate::{At, Error};

/// Syncs every file and directory below a data directory. Gives the number of files.
pub(super) fn sync_directory(disk: &dyn Disk, directory: &Path) -> Result<u64, Error> {
    let mut files = 0;
    for entry in disk.list(directory).at("list", directory)? {
        let path = directory.join(&entry.name);
        if entry.is_directory {
            files += sync_directory(disk, &path)?;
        } else if entry.name != OsStr::new(LOCK_FILE) {
            let file = disk.open_for_writing(&path, Opening::EXISTING).at("open", &path)?;
            file.sync_all().at("sync", &path)?;
            files += 1;
        }
    }
    disk.sync_directory(directory).at("sync", directory)?;
    Ok(files)
}
