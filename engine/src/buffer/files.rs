//! Pages in files: relations in segments of 1 GB, through [`base::disk`].
//!
//! ```text
//! base/5/16384      blocks 0 to 131071
//! base/5/16384.1    blocks 131072 to 262143, there only if the file before is full
//! ```
//!
//! Invariants: a fork's length is the sum of its segments', and a segment that is not the last is full. What was written
//! since the last sync is known by file, and so are directories with new files; a sync that failed is not tried again,
//! and every later one fails too.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use base::disk::{Disk, Opening, WritableFile};
use base::page::PageBytes;
use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::{Arc, Mutex, MutexGuard, PoisonError};
use base::{BlockNumber, ForkNumber, PAGE_SIZE, RelFileLocator};
use wal::Version;
use wal::relation_path::RelationPath;

use super::{PageName, PageStore};

/// Blocks of a segment (`RELSEG_SIZE`): 1 GB.
pub const SEGMENT_BLOCKS: BlockNumber = 131_072;
/// Files held open at most.
const MOST_OPEN: usize = 800;

/// A segment of a fork.
type SegmentName = (RelFileLocator, ForkNumber, u32);

/// A fork with the number of its pages, once that is known.
type Lengths = BTreeMap<(RelFileLocator, ForkNumber), BlockNumber>;

/// A data directory's relation files.
#[derive(Debug)]
pub struct RelationFiles {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segment_blocks: BlockNumber,
    open: Mutex<BTreeMap<SegmentName, Arc<dyn WritableFile>>>,
    lengths: Mutex<Lengths>,
    unsynced: Mutex<Unsynced>,
    syncing: Mutex<()>,
    sync_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Unsynced {
    files: BTreeSet<SegmentName>,
    directories: BTreeSet<PathBuf>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RelationFiles {
    /// Of the data directory at this path.
    pub fn new(disk: Arc<dyn Disk>, directory: impl Into<PathBuf>) -> RelationFiles {
        RelationFiles::with_segments(disk, directory, SEGMENT_BLOCKS)
    }

    /// The same with smaller segments, for tests; no tool of PostgreSQL reads such relations beyond the first.
    pub fn with_segments(
        disk: Arc<dyn Disk>,
        directory: impl Into<PathBuf>,
        segment_blocks: BlockNumber,
    ) -> RelationFiles {
        RelationFiles {
            disk,
            directory: directory.into(),
            segment_blocks: segment_blocks.max(1),
            open: Mutex::new(BTreeMap::new()),
            lengths: Mutex::new(BTreeMap::new()),
            unsynced: Mutex::new(Unsynced::default()),
            syncing: Mutex::new(()),
            sync_failed: AtomicBool::new(false),
        }
    }

    /// Makes the fork's first file, empty. Its directory is there.
    ///
    /// # Errors
    /// As the disk says; [`io::ErrorKind::AlreadyExists`] where it is there.
    pub fn create(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<()> {
        self.file((locator, fork, 0), Opening::CREATE_NEW).map(|_| ())
    }

    fn path(&self, (locator, fork, segment): SegmentName) -> PathBuf {
        let path = RelationPath { version: Version::V15, locator, fork };
        let suffix = if segment == 0 { String::new() } else { format!(".{segment}") };
        self.directory.join(format!("{path}{suffix}"))
    }

    fn segment(&self, name: PageName) -> (SegmentName, u64) {
        let segment = name.block / self.segment_blocks;
        let offset = u64::from(name.block % self.segment_blocks) * PAGE_SIZE as u64;
        ((name.locator, name.fork, segment), offset)
    }

    /// A segment's file, open.
    fn file(&self, name: SegmentName, how: Opening) -> io::Result<Arc<dyn WritableFile>> {
        let mut open = lock(&self.open);
        if how == Opening::EXISTING
            && let Some(file) = open.get(&name)
        {
            return Ok(Arc::clone(file));
        }
        let path = self.path(name);
        let file: Arc<dyn WritableFile> = Arc::from(self.disk.open_for_writing(&path, how)?);
        if how != Opening::EXISTING {
            let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
            lock(&self.unsynced).directories.insert(directory);
        }
        if open.len() >= MOST_OPEN {
            // Whoever uses it keeps it open; a sync opens it again.
            open.pop_first();
        }
        open.insert(name, Arc::clone(&file));
        Ok(file)
    }

    /// Writes, and then notes that the file is to be synced: a sync that came before the note need not wait for this
    /// write, since the page counts as being written until both are done.
    fn write_at(
        &self,
        name: SegmentName,
        how: Opening,
        offset: u64,
        page: &PageBytes,
    ) -> io::Result<()> {
        let file = self.file(name, how)?;
        let written = file.write_at(page, offset);
        lock(&self.unsynced).files.insert(name);
        written
    }

    /// Counts the fork's pages in its files.
    fn count(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<BlockNumber> {
        let mut blocks = 0;
        for segment in 0.. {
            let length = match self.file((locator, fork, segment), Opening::EXISTING) {
                Ok(file) => file.length()?,
                Err(error) if segment > 0 && error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let whole = (length / PAGE_SIZE as u64).min(u64::from(self.segment_blocks));
            blocks += whole as BlockNumber;
            if whole < u64::from(self.segment_blocks) {
                break;
            }
        }
        Ok(blocks)
    }

    fn length<'l>(
        &self,
        lengths: &'l mut Lengths,
        locator: RelFileLocator,
        fork: ForkNumber,
    ) -> io::Result<&'l mut BlockNumber> {
        Ok(match lengths.entry((locator, fork)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.count(locator, fork)?),
        })
    }
}

impl PageStore for RelationFiles {
    fn read(&self, name: PageName, page: &mut PageBytes) -> io::Result<()> {
        let (segment, offset) = self.segment(name);
        let read = self.file(segment, Opening::EXISTING)?.read_at(page, offset)?;
        if read < PAGE_SIZE {
            let message = format!("read only {read} of {PAGE_SIZE} bytes at {offset}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(())
    }

    fn write(&self, name: PageName, page: &PageBytes) -> io::Result<()> {
        let (segment, offset) = self.segment(name);
        self.write_at(segment, Opening::EXISTING, offset, page)
    }

    fn extend(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<BlockNumber> {
        let mut lengths = lock(&self.lengths);
        let length = self.length(&mut lengths, locator, fork)?;
        let block = *length;
        if block == base::ids::INVALID_BLOCK {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a fork has no more blocks"));
        }
        let (segment, offset) = self.segment(PageName { locator, fork, block });
        let how = if offset == 0 && segment.2 > 0 { Opening::CREATE } else { Opening::EXISTING };
        self.write_at(segment, how, offset, &[0; PAGE_SIZE])?;
        *length = block + 1;
        Ok(block)
    }

    fn blocks(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<BlockNumber> {
        self.length(&mut lock(&self.lengths), locator, fork).map(|length| *length)
    }

    fn sync(&self) -> io::Result<()> {
        // Who comes while another syncs must not come back before him.
        let _one_at_a_time = lock(&self.syncing);
        let Unsynced { files, directories } = std::mem::take(&mut *lock(&self.unsynced));
        let sync = || {
            if self.sync_failed.load(Ordering::Relaxed) {
                return Err(io::Error::other(
                    "an earlier sync failed; what was written since is unknown",
                ));
            }
            for name in files {
                self.disk.open_for_writing(&self.path(name), Opening::EXISTING)?.sync_data()?;
            }
            directories.iter().try_for_each(|directory| self.disk.sync_directory(directory))
        };
        let result = sync();
        if result.is_err() {
            self.sync_failed.store(true, Ordering::Relaxed);
        }
        result
    }
}
