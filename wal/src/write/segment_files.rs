//! The files of the log: made ahead, put in place under their name, used again, removed.
//!
//! A new segment is a file of zeros, written and synced under the name `xlogtemp.N`, then renamed. So a file
//! with a segment's name is always as long as a segment. A segment that is no longer needed is renamed to a
//! future one's name: its old pages carry old positions, by which a reader knows where the log ends.
//! (PostgreSQL: `XLogFileInit`, `InstallXLogFileSegment`, `RemoveOldXlogFiles`.)
//!
//! Invariants: one thread at a time puts files in place or takes them away; a name is durable before
//! anything is written under it that must last.

use std::io;
use std::path::{Path, PathBuf};

use base::disk::{Disk, Opening, WritableFile};
use base::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::{LogError, SYNC};
use super::sync_method::SyncMethod;
use crate::segment::{SegmentNumber, SegmentSize, Timeline};

/// What the names of files begin with that are being made.
const TEMPORARY: &str = "xlogtemp.";

/// The directory `pg_wal`.
#[derive(Debug)]
pub(super) struct SegmentFiles {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    size: SegmentSize,
    timeline: Timeline,
    method: SyncMethod,
    /// Held by whoever puts files in place; counts the temporary names.
    placing: Mutex<u64>,
}

/// What became of old segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal {
    /// Segments that were given the name of a future one.
    pub recycled: u64,
    /// Segments whose file is gone.
    pub removed: u64,
    /// Segments that are kept since they are not archived yet.
    pub awaiting_archive: u64,
}

impl SegmentFiles {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        directory: PathBuf,
        size: SegmentSize,
        timeline: Timeline,
        method: SyncMethod,
    ) -> SegmentFiles {
        SegmentFiles { disk, directory, size, timeline, method, placing: Mutex::new(0) }
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn timeline(&self) -> Timeline {
        self.timeline
    }

    pub(super) fn size(&self) -> SegmentSize {
        self.size
    }

    pub(super) fn method(&self) -> SyncMethod {
        self.method
    }

    /// Name of a segment's file.
    pub(super) fn name(&self, number: SegmentNumber) -> String {
        self.size.file_name(self.timeline, number)
    }

    pub(super) fn path(&self, number: SegmentNumber) -> PathBuf {
        self.directory.join(self.name(number))
    }

    /// Opens a segment for writing; makes it where it is missing.
    ///
    /// What the operating system keeps of the file is given up first. It may lie in large pieces, from when the file was made
    /// or read, and Linux looks over all of a piece's blocks at each write into it and each sync: of a piece of 1 MiB that
    /// costs a commit a tenth of its time. What is written from here on is kept in pieces as small as the writes.
    pub(super) fn open(&self, number: SegmentNumber) -> Result<Arc<dyn WritableFile>, LogError> {
        let path = self.path(number);
        let opening = match self.method {
            SyncMethod::OpenDatasync => Opening::EXISTING.synchronous(),
            _ => Opening::EXISTING,
        };
        let open = || self.disk.open_for_writing(&path, opening);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make(number)?;
                open()
            }
            tried => tried,
        };
        let file = file.map_err(|error| LogError::stopped("open", &path, error))?;
        file.forget_cached();
        Ok(Arc::from(file))
    }

    /// Makes a segment's file, if there is none. Whether it was made.
    pub(super) fn make(&self, number: SegmentNumber) -> Result<bool, LogError> {
        let mut placing = self.placing();
        let path = self.path(number);
        let is_there =
            self.disk.exists(&path).map_err(|e| LogError::stopped("look for", &path, e))?;
        if is_there {
            return Ok(false);
        }
        *placing += 1;
        let temporary = self.directory.join(format!("{TEMPORARY}{placing}"));
        let file = self.fill(&temporary).map_err(|error| {
            // Of a full disk, what was written of it would only fill it more.
            let _ = self.disk.remove_file(&temporary);
            LogError::stopped("create", &temporary, error)
        })?;
        if self.method != SyncMethod::None {
            file.sync_all().map_err(|error| LogError::stopped(SYNC, &temporary, error))?;
        }
        self.place(&temporary, &path)?;
        Ok(true)
    }

    fn fill(&self, temporary: &Path) -> io::Result<Box<dyn WritableFile>> {
        let file = self.disk.open_for_writing(temporary, Opening::CREATE_NEW)?;
        // Zeros, not only room: a sync after writing into reserved room also writes the file system's own data.
        file.write_zeros(0, self.size.bytes())?;
        Ok(file)
    }

    fn place(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        let stopped = |error| LogError::stopped("rename a segment to", to, error);
        self.disk.rename(from, to).map_err(stopped)?;
        if self.method == SyncMethod::None {
            return Ok(());
        }
        self.disk
            .sync_directory(&self.directory)
            .map_err(|error| LogError::stopped(SYNC, &self.directory, error))
    }

    /// Removes what a crash left of files that were being made.
    pub(super) fn remove_temporary(&self) -> Result<(), LogError> {
        for name in self.names()? {
            if name.starts_with(TEMPORARY) {
                let path = self.directory.join(name);
                self.disk
                    .remove_file(&path)
                    .map_err(|error| LogError::stopped("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Takes away the segments of this and earlier timelines before `first_kept`, unless `is_archived` says of a
    /// name that it is still to be archived. Those of them that fit are used again as the missing ones up to
    /// `last_future`; `forget` is told each name that is gone.
    pub(super) fn remove_before(
        &self,
        first_kept: SegmentNumber,
        last_future: SegmentNumber,
        mut is_archived: impl FnMut(&str) -> Result<bool, LogError>,
        mut forget: impl FnMut(&str) -> Result<(), LogError>,
    ) -> Result<Removal, LogError> {
        let mut removal = Removal::default();
        let mut old: Vec<String> = self
            .names()?
            .into_iter()
            .filter(|name| {
                let segment = self.size.parse_file_name(name);
                segment.is_some_and(|(timeline, number)| {
                    timeline <= self.timeline && number < first_kept
                })
            })
            .collect();
        old.sort_unstable();
        let mut future = first_kept;
        for name in old {
            if !is_archived(&name)? {
                removal.awaiting_archive += 1;
                continue;
            }
            let path = self.directory.join(&name);
            match self.recycle(&path, &mut future, last_future)? {
                true => removal.recycled += 1,
                false => {
                    self.disk
                        .remove_file(&path)
                        .map_err(|error| LogError::stopped("remove", &path, error))?;
                    removal.removed += 1;
                }
            }
            forget(&name)?;
        }
        if removal.removed > 0 && self.method != SyncMethod::None {
            self.disk
                .sync_directory(&self.directory)
                .map_err(|error| LogError::stopped(SYNC, &self.directory, error))?;
        }
        Ok(removal)
    }

    /// Renames an old segment to the first missing one from `future` up to `last`. Whether there was one, and the
    /// file is of the right length.
    fn recycle(
        &self,
        path: &Path,
        future: &mut SegmentNumber,
        last: SegmentNumber,
    ) -> Result<bool, LogError> {
        let _placing = self.placing();
        let length = self.disk.open(path).and_then(|file| file.length());
        let length = length.map_err(|error| LogError::stopped("open", path, error))?;
        if length != self.size.bytes() {
            return Ok(false);
        }
        while *future <= last {
            let target = self.path(*future);
            *future += 1;
            let is_there =
                self.disk.exists(&target).map_err(|e| LogError::stopped("look for", &target, e))?;
            if !is_there {
                self.place(path, &target)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn names(&self) -> Result<Vec<String>, LogError> {
        let entries = self.disk.list(&self.directory);
        let entries = entries.map_err(|error| LogError::stopped("list", &self.directory, error))?;
        Ok(entries.into_iter().filter_map(|entry| entry.name.into_string().ok()).collect())
    }

    fn placing(&self) -> MutexGuard<'_, u64> {
        self.placing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
