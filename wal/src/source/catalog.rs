//! Everything under one path: which segments and histories are there, and in which files.
//!
//! ```text
//! PATH is             read is
//! a data directory    its pg_wal
//! a directory         the files in it, in folders of it named as pgBackRest does (16 hexadecimal digits),
//!                     and in its tar archives: pg_wal.tar alone if there is one, base.tar only if nothing
//!                     else is there, a tablespace's (16384.tar) never
//! a tar archive       its members, in whatever folder of it
//! any other file      a segment; if its name does not say which, its first page does
//! ```
//!
//! Invariant: where several files hold the same segment, all are noted, best first: a whole one before a
//! partial one, a file before an archive's member, a plain one before a compressed one.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use base::disk::{DirectoryEntry, Disk, DiskFile};
use base::sync::Arc;

use super::archive;
use super::header::{FirstPage, hidden_compression};
use super::inflated::Inflated;
use super::name::{Compression, FileName};
use super::spool::Spool;
use super::{Progress, SourceError};
use crate::segment::{SegmentFileName, SegmentSize, Timeline};

/// Called while an archive is looked through; can call it off.
pub(super) type Watch<'a> = &'a mut dyn FnMut(Progress<'_>) -> ControlFlow<()>;

/// A file that holds a segment.
#[derive(Debug, Clone)]
pub(super) struct Location {
    pub(super) place: Place,
    pub(super) partial: bool,
    pub(super) compression: Option<Compression>,
    /// Length as stored, in bytes.
    pub(super) length: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Place {
    File(PathBuf),
    /// In one of the catalog's archives.
    Member {
        archive: usize,
        path: String,
        at: u64,
    },
}

impl Location {
    fn rank(&self) -> impl Ord + use<> {
        (self.partial, matches!(self.place, Place::Member { .. }), self.compression.is_some())
    }
}

/// An archive that was looked through.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: String,
    /// Decompressed, where it is compressed.
    pub(super) file: Arc<dyn DiskFile>,
    /// Whether it is compressed, and so goes forward only.
    pub(super) is_stream: bool,
    /// Set where the members are asked for in another order than they stand in a stream.
    pub(super) spool: Option<Spool>,
}

/// A history file's content, or where it is.
#[derive(Debug)]
pub(super) enum HistoryPlace {
    File(PathBuf, Option<Compression>),
    Content(String, io::Result<Vec<u8>>),
}

/// What was found under a path.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) segments: BTreeMap<SegmentFileName, Vec<Location>>,
    /// Files before archives.
    pub(super) histories: BTreeMap<Timeline, Vec<HistoryPlace>>,
    pub(super) archives: Vec<Archive>,
    /// Where a segment may appear later, while a server writes.
    pub(super) directory: Option<PathBuf>,
    pub(super) complaints: Vec<String>,
}

pub(super) fn io_error(path: &Path, error: io::Error) -> SourceError {
    SourceError::Io { path: path.display().to_string(), error }
}

impl Catalog {
    pub(super) fn of(
        disk: &Arc<dyn Disk>,
        path: &Path,
        watch: Watch<'_>,
    ) -> Result<Catalog, SourceError> {
        let mut catalog = Catalog::default();
        if disk.is_directory(path) {
            catalog.add_directory(disk, path, watch)?;
        } else {
            catalog.add_file(disk, path, watch)?;
        }
        for locations in catalog.segments.values_mut() {
            locations.sort_by_key(Location::rank);
        }
        Ok(catalog)
    }

    /// Takes in what another place has; of two files that are as good, the one that was there before comes first.
    pub(super) fn append(&mut self, other: Catalog) {
        let shift = self.archives.len();
        for (name, locations) in other.segments {
            let known = self.segments.entry(name).or_default();
            known.extend(locations.into_iter().map(|mut location| {
                if let Place::Member { archive, .. } = &mut location.place {
                    *archive += shift;
                }
                location
            }));
            known.sort_by_key(Location::rank);
        }
        for (timeline, places) in other.histories {
            self.histories.entry(timeline).or_default().extend(places);
        }
        self.archives.extend(other.archives);
        self.directory = other.directory.or(self.directory.take());
        self.complaints.extend(other.complaints);
    }

    fn add_directory(
        &mut self,
        disk: &Arc<dyn Disk>,
        path: &Path,
        watch: Watch<'_>,
    ) -> Result<(), SourceError> {
        let mut path = path.to_path_buf();
        let mut entries = list(disk, &path)?;
        if entries.iter().any(|entry| entry.is_directory && entry.name == "pg_wal") {
            path.push("pg_wal");
            entries = list(disk, &path)?;
        }
        let mut archives = self.add_entries(&path, &entries);
        for entry in entries.iter().filter(|entry| entry.is_directory) {
            if entry.name.to_str().is_some_and(is_log_folder) {
                let folder = path.join(&entry.name);
                self.add_entries(&folder, &list(disk, &folder)?);
            }
        }
        self.directory = Some(path);
        archives.retain(|(_, stem, ..)| !stem.bytes().all(|byte| byte.is_ascii_digit()));
        if archives.iter().any(|(_, stem, ..)| stem == "pg_wal") {
            archives.retain(|(_, stem, ..)| stem == "pg_wal");
        }
        // Those of a base backup hold the log only if nothing else does, and are large.
        archives.sort_by_key(|(_, stem, ..)| stem == "base");
        for (path, stem, compression, length) in archives {
            if stem != "base" || self.segments.is_empty() {
                self.add_archive(disk, &path, compression, length, watch)?;
            }
        }
        Ok(())
    }

    /// Adds the files of a directory; returns its archives, each with its name's first part.
    fn add_entries(
        &mut self,
        directory: &Path,
        entries: &[DirectoryEntry],
    ) -> Vec<(PathBuf, String, Option<Compression>, u64)> {
        let mut archives = Vec::new();
        for entry in entries.iter().filter(|entry| !entry.is_directory) {
            let Some(name) = entry.name.to_str() else { continue };
            let path = directory.join(name);
            match FileName::parse(name) {
                Some(FileName::Segment { name, partial, compression }) => {
                    let place = Place::File(path);
                    let location = Location { place, partial, compression, length: entry.length };
                    self.segments.entry(name).or_default().push(location);
                }
                Some(FileName::History { timeline, compression }) => {
                    let places = self.histories.entry(timeline).or_default();
                    let at = if compression.is_none() { 0 } else { places.len() };
                    places.insert(at, HistoryPlace::File(path, compression));
                }
                Some(FileName::Archive { compression }) => {
                    let stem = name.split('.').next().unwrap_or_default().to_owned();
                    archives.push((path, stem, compression, entry.length));
                }
                None => {}
            }
        }
        archives.sort();
        archives
    }

    fn add_file(
        &mut self,
        disk: &Arc<dyn Disk>,
        path: &Path,
        watch: Watch<'_>,
    ) -> Result<(), SourceError> {
        let file = disk.open(path).map_err(|error| io_error(path, error))?;
        let length = file.length().map_err(|error| io_error(path, error))?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let (name, partial, compression) = match FileName::parse(name) {
            Some(FileName::Archive { compression }) => {
                return self.add_archive(disk, path, compression, length, watch);
            }
            Some(FileName::History { .. }) => {
                return Err(SourceError::NoSegments { path: path.display().to_string() });
            }
            Some(FileName::Segment { name, partial, compression }) => (name, partial, compression),
            None => {
                let compression = hidden_compression(&*file);
                let file = decompressed(Arc::from(file), path, compression);
                (FirstPage::read(&*file, path)?.file_name(), false, compression)
            }
        };
        let place = Place::File(path.to_path_buf());
        self.segments.insert(name, vec![Location { place, partial, compression, length }]);
        Ok(())
    }

    fn add_archive(
        &mut self,
        disk: &Arc<dyn Disk>,
        path: &Path,
        compression: Option<Compression>,
        length: u64,
        watch: Watch<'_>,
    ) -> Result<(), SourceError> {
        let file: Arc<dyn DiskFile> =
            Arc::from(disk.open(path).map_err(|error| io_error(path, error))?);
        let shown = path.display().to_string();
        let stream = compression.map(|compression| {
            let file = Arc::clone(&file);
            Arc::new(Inflated::new(file, shown.clone(), compression, u64::MAX))
        });
        let file = match &stream {
            Some(stream) => Arc::clone(stream) as Arc<dyn DiskFile>,
            None => file,
        };
        let mut step = || match &stream {
            Some(stream) => {
                watch(Progress { path: &shown, done: stream.consumed(), total: length })
            }
            None => ControlFlow::Continue(()),
        };
        let contents = archive::walk(&file, &shown, &mut step);
        let contents = contents.map_err(|error| io_error(path, error))?;
        let contents = contents.ok_or(SourceError::Cancelled)?;
        self.complaints.extend(contents.complaints);
        let number = self.archives.len();
        for member in contents.segments {
            let place = Place::Member { archive: number, path: member.path.clone(), at: member.at };
            let (partial, compression, length) =
                (member.partial, member.compression, member.length);
            let locations = self.segments.entry(member.name).or_default();
            // Unpacking would have the later one overwrite the earlier.
            locations.retain(|location| {
                !matches!(&location.place, Place::Member { archive, path, .. }
                    if *archive == number && *path == member.path)
            });
            locations.push(Location { place, partial, compression, length });
        }
        for (timeline, content) in contents.histories {
            let place = HistoryPlace::Content(shown.clone(), content);
            self.histories.entry(timeline).or_default().push(place);
        }
        let is_stream = stream.is_some();
        self.archives.push(Archive { path: shown, file, is_stream, spool: None });
        Ok(())
    }
}

fn decompressed(
    file: Arc<dyn DiskFile>,
    path: &Path,
    compression: Option<Compression>,
) -> Arc<dyn DiskFile> {
    let Some(compression) = compression else { return file };
    let limit = SegmentSize::MAX.bytes();
    Arc::new(Inflated::new(file, path.display().to_string(), compression, limit))
}

fn list(disk: &Arc<dyn Disk>, path: &Path) -> Result<Vec<DirectoryEntry>, SourceError> {
    disk.list(path).map_err(|error| io_error(path, error))
}

/// The first 16 digits of its segments' names.
fn is_log_folder(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}
