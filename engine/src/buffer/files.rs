//! Pages in files: relations in segments of 1 GB, through [`base::disk`].
//!
//! ```text
//! base/5/16384      blocks 0 to 131071
//! base/5/16384.1    blocks 131072 to 262143, there only if the file before is full
//! ```
//!
//! Invariants: a fork's length is the sum of its segments', and a segment that is not the last is full. What was written
//! since the last sync is known by file, and so are directories with new files and with removed ones; a sync that failed
//! is not tried again, and every later one fails too.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::disk::{Disk, Opening, WritableFile};
use base::page::PageBytes;
use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::{Arc, Mutex, MutexGuard, PoisonError};
use base::{BlockNumber, ForkNumber, PAGE_SIZE, RelFileLocator};
use snapshot::cache::ThreadCache;
use wal::Version;
use wal::relation_path::RelationPath;

use super::{PageName, PageStore};

/// Blocks of a segment (`RELSEG_SIZE`): 1 GB.
pub const SEGMENT_BLOCKS: BlockNumber = 131_072;
/// Pages of zeros that are written at once.
const ZEROS: BlockNumber = 16;
static NO_PAGES: [u8; ZEROS as usize * PAGE_SIZE] = [0; ZEROS as usize * PAGE_SIZE];
/// Files held open at most.
const MOST_OPEN: usize = 800;

/// A segment of a fork.
type SegmentName = (RelFileLocator, ForkNumber, u32);

/// A fork with the number of its pages, once that is known.
type Lengths = BTreeMap<(RelFileLocator, ForkNumber), BlockNumber>;

/// The files that are held open.
type OpenFiles = BTreeMap<SegmentName, Arc<dyn WritableFile>>;

/// A data directory's relation files.
#[derive(Debug)]
pub struct RelationFiles {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    segment_blocks: BlockNumber,
    open: Mutex<OpenFiles>,
    /// The same for all who read and write: replaced under that lock.
    known: ThreadCache<OpenFiles>,
    lengths: Mutex<Lengths>,
    unsynced: Mutex<Unsynced>,
    syncing: Mutex<()>,
    sync_failed: AtomicBool,
}

/// What syncing files took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileSyncs {
    /// How many files.
    pub files: usize,
    /// The longest of them.
    pub longest: Duration,
    /// All of them together.
    pub total: Duration,
}

impl FileSyncs {
    /// Counts one more.
    pub fn add(&mut self, taken: Duration) {
        self.files += 1;
        self.longest = self.longest.max(taken);
        self.total += taken;
    }
}

#[derive(Debug, Default)]
struct Unsynced {
    files: BTreeSet<SegmentName>,
    directories: BTreeSet<PathBuf>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for RelationFiles {
    /// No thread keeps a file open because it has used it.
    fn drop(&mut self) {
        self.known.install(OpenFiles::new());
    }
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
            open: Mutex::default(),
            known: ThreadCache::new(OpenFiles::new()),
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

    /// Makes the fork's first file, empty, unless there is one. Its directory is there.
    ///
    /// # Errors
    /// As the disk says.
    pub fn create_if_missing(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<()> {
        match self.create(locator, fork) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }

    /// Whether the fork has a file.
    ///
    /// # Errors
    /// As the disk says.
    pub fn exists(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<bool> {
        match self.file((locator, fork, 0), Opening::EXISTING) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many pages the fork has, if that was counted before.
    pub fn known_blocks(&self, locator: RelFileLocator, fork: ForkNumber) -> Option<BlockNumber> {
        lock(&self.lengths).get(&(locator, fork)).copied()
    }

    /// Adds pages of zeros until the fork has so many.
    ///
    /// # Errors
    /// As the disk says; the fork may then have become longer.
    pub fn extend_to(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
        blocks: BlockNumber,
    ) -> io::Result<()> {
        let mut lengths = lock(&self.lengths);
        let length = self.length(&mut lengths, locator, fork)?;
        while *length < blocks {
            let in_segment = self.segment_blocks - *length % self.segment_blocks;
            let count = (blocks - *length).min(in_segment).min(ZEROS);
            self.write_zeros_at_end(locator, fork, *length, count)?;
            *length += count;
        }
        Ok(())
    }

    /// Cuts the fork off behind so many pages. What the pool has of the rest must have been forgotten. Lasts with the next
    /// sync.
    ///
    /// # Errors
    /// As the disk says; the fork may then be cut off in part.
    pub fn truncate(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
        blocks: BlockNumber,
    ) -> io::Result<()> {
        // A sync that is under way has the names of the files that go here.
        let _one_at_a_time = lock(&self.syncing);
        let mut lengths = lock(&self.lengths);
        let before = *self.length(&mut lengths, locator, fork)?;
        if before <= blocks {
            return Ok(());
        }
        lengths.remove(&(locator, fork));
        let last = blocks / self.segment_blocks;
        for segment in (last + 1..=before / self.segment_blocks).rev() {
            self.remove_segment((locator, fork, segment))?;
        }
        let name = (locator, fork, last);
        let file = match self.file(name, Opening::EXISTING) {
            // The fork ended with the segment before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if blocks.is_multiple_of(self.segment_blocks) && last > 0 {
            drop(file);
            return self.remove_segment(name).map(drop);
        }
        let cut = file.set_length(u64::from(blocks % self.segment_blocks) * PAGE_SIZE as u64);
        lock(&self.unsynced).files.insert(name);
        cut
    }

    /// Removes all files of the fork, if it has any; whether it had. What the pool has of it must have been forgotten.
    /// Lasts with the next sync.
    ///
    /// # Errors
    /// As the disk says; some of them may then be gone, later ones first.
    pub fn remove(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<bool> {
        let _one_at_a_time = lock(&self.syncing);
        lock(&self.lengths).remove(&(locator, fork));
        let mut count = 0;
        while self.disk.exists(&self.path((locator, fork, count)))? {
            count += 1;
        }
        // From the end, so that what a failure leaves is a fork still.
        for segment in (0..count).rev() {
            self.remove_segment((locator, fork, segment))?;
        }
        Ok(count > 0)
    }

    /// Removes a segment's file. The caller keeps syncs out.
    fn remove_segment(&self, name: SegmentName) -> io::Result<bool> {
        let path = self.path(name);
        {
            let mut open = lock(&self.open);
            if open.remove(&name).is_some() {
                self.known.install(open.clone());
            }
        }
        let removed = match self.disk.remove_file(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let mut unsynced = lock(&self.unsynced);
        unsynced.files.remove(&name);
        unsynced.directories.insert(path.parent().map(Path::to_path_buf).unwrap_or_default());
        Ok(removed)
    }

    /// [`PageStore::sync`], with the number of files that were synced and how long that took.
    ///
    /// # Errors
    /// As [`PageStore::sync`].
    pub fn sync_counted(&self) -> io::Result<FileSyncs> {
        // Who comes while another syncs must not come back before him.
        let _one_at_a_time = lock(&self.syncing);
        let Unsynced { files, directories } = std::mem::take(&mut *lock(&self.unsynced));
        let mut syncs = FileSyncs::default();
        let sync = || {
            if self.sync_failed.load(Ordering::Relaxed) {
                return Err(io::Error::other(
                    "an earlier sync failed; what was written since is unknown",
                ));
            }
            for name in files {
                let start = Instant::now();
                self.disk.open_for_writing(&self.path(name), Opening::EXISTING)?.sync_data()?;
                syncs.add(start.elapsed());
            }
            directories.iter().try_for_each(|directory| self.disk.sync_directory(directory))
        };
        let result = sync();
        if result.is_err() {
            self.sync_failed.store(true, Ordering::Relaxed);
        }
        result.map(|()| syncs)
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
        if how == Opening::EXISTING
            && let Some(file) = self.known.with(|known| known.get(&name).map(Arc::clone))
        {
            return Ok(file);
        }
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
        self.known.install(open.clone());
        Ok(file)
    }

    /// Writes, and then notes that the file is to be synced: a sync that came before the note need not wait for this
    /// write, since the page counts as being written until both are done.
    fn write_at(
        &self,
        name: SegmentName,
        how: Opening,
        offset: u64,
        pages: &[u8],
    ) -> io::Result<()> {
        let file = self.file(name, how)?;
        let written = file.write_at(pages, offset);
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

    /// Writes zeros as so many pages, all of one segment, behind the fork's last one.
    fn write_zeros_at_end(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
        block: BlockNumber,
        count: BlockNumber,
    ) -> io::Result<()> {
        let (segment, offset) = self.segment(PageName { locator, fork, block });
        let how = if offset == 0 && segment.2 > 0 { Opening::CREATE } else { Opening::EXISTING };
        self.write_at(segment, how, offset, &NO_PAGES[..count as usize * PAGE_SIZE])
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
        self.write_zeros_at_end(locator, fork, block, 1)?;
        *length = block + 1;
        Ok(block)
    }

    fn blocks(&self, locator: RelFileLocator, fork: ForkNumber) -> io::Result<BlockNumber> {
        self.length(&mut lock(&self.lengths), locator, fork).map(|length| *length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_counted().map(drop)
    }
}
