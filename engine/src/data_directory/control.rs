//! Writing `global/pg_control`, in place.
//!
//! Invariants: the struct of 296 bytes lies in the file's first sector, which a disk writes as a whole or not at
//! all; so each update writes that sector alone, and a crash leaves the old content or the new one. What is
//! written passes the checks of a server that starts. After a write or sync that failed it is not known what
//! the disk has, and the file is not written again.

use std::path::{Path, PathBuf};

use base::UnixTime;
use base::disk::{Disk, Opening, WritableFile};
use wal::control::{self, CONTROL_DATA_SIZE, CONTROL_FILE_SIZE, ControlData, RawControl};

use super::VERSION;
use crate::{At, Error};

/// What a disk writes as a whole: what PostgreSQL counts on, too (`PG_CONTROL_MAX_SAFE_SIZE`).
const SECTOR: usize = 512;
const _: () = assert!(CONTROL_DATA_SIZE <= SECTOR);

/// The control file, open for updates.
#[derive(Debug)]
pub struct Control {
    file: Box<dyn WritableFile>,
    path: PathBuf,
    data: ControlData,
    has_failed: bool,
}

impl Control {
    pub(super) fn path(data_directory: &Path) -> PathBuf {
        data_directory.join(control::PATH)
    }

    /// Makes the file, of 8192 bytes, and syncs it; its directory is the caller's to sync.
    pub(super) fn create(
        disk: &dyn Disk,
        data_directory: &Path,
        data: &ControlData,
    ) -> Result<(), Error> {
        let path = Control::path(data_directory);
        let file = disk.open_for_writing(&path, Opening::CREATE_NEW).at("create", &path)?;
        file.write_at(&encode(data), 0).at("write", &path)?;
        file.sync_all().at("sync", &path)
    }

    /// Reads and checks the file.
    ///
    /// # Errors
    /// Where it cannot be read or is not one that a server of 15 would start with.
    pub fn open(disk: &dyn Disk, data_directory: &Path) -> Result<Control, Error> {
        let path = Control::path(data_directory);
        let checked = control::load(disk, data_directory)?.check()?;
        if checked.version() != VERSION {
            let found = checked.version().to_string();
            return Err(Error::Version { path: data_directory.display().to_string(), found });
        }
        let file = disk.open_for_writing(&path, Opening::EXISTING).at("open", &path)?;
        Ok(Control { file, path, data: *checked.data(), has_failed: false })
    }

    /// Whether an update failed, so that nobody knows what the file holds.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// What it says.
    pub fn data(&self) -> &ControlData {
        &self.data
    }

    /// Changes it, durably; `now` becomes the time of the change.
    ///
    /// # Errors
    /// Where it cannot be written or synced. That ends all updates, and must end the engine: what is on disk is
    /// the old content or the new one.
    ///
    /// # Panics
    /// If the change makes of it what no server would start with.
    pub fn update(
        &mut self,
        now: UnixTime,
        change: impl FnOnce(&mut ControlData),
    ) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::FailedBefore(self.path.display().to_string()));
        }
        let mut data = self.data;
        change(&mut data);
        data.time = now;
        let bytes = encode(&data);
        self.has_failed = true;
        self.file.write_at(&bytes[..SECTOR], 0).at("write", &self.path)?;
        self.file.sync_data().at("sync", &self.path)?;
        self.has_failed = false;
        self.data = data;
        Ok(())
    }
}

/// The file's bytes, which have passed a server's checks.
fn encode(data: &ControlData) -> [u8; CONTROL_FILE_SIZE] {
    let raw = RawControl { version: VERSION, data: *data, stored_crc: 0, computed_crc: 0 };
    let bytes = raw.encode();
    let Some(written) = bytes.first_chunk() else { unreachable!("it is shorter than the file") };
    let checked = RawControl::read(written, Some(VERSION)).check();
    let checked =
        checked.unwrap_or_else(|fault| panic!("a control file is to be written: {fault}"));
    assert_eq!(checked.data(), data, "what is written is what will be read");
    bytes
}
