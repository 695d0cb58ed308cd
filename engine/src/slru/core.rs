//! Pages of a transaction log in a fixed number of buffers, over PostgreSQL's files.
//!
//! ```text
//! file     0000                0001                name: page / 32 as four hexadecimal digits at least
//! page     0 1 2 ...      31 | 32 33 ...      63   of 8192 bytes, without a header
//! buffers  [page 31, dirty, group LSNs] [page 33] [free] ...
//! ```
//!
//! Invariants:
//!
//! 1. A page is in one buffer at most. A dirty one is written before its buffer is used again, and stays dirty
//!    where that fails: nothing is lost by a full disk.
//! 2. Before a page is written, the write-ahead log is flushed up to the highest LSN that is kept for it.
//! 3. A file that was written is synced by the next [`Slru::sync`], and so is the directory where a file was made or
//!    removed. Once a sync has failed, all later ones fail.
//! 4. The page with the highest number that was made is never put out of its buffer.
//!
//! Everything is under one reader-writer lock; a page that is in a buffer is read with the lock shared. I/O
//! happens with the lock exclusive. Source: `access/transam/slru.c`, whose finer locks let I/O on different
//! pages overlap.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use base::disk::{Disk, Opening};
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use base::{Lsn, PAGE_SIZE, Xid};

use crate::{At, Error};

/// Pages of a file (`SLRU_PAGES_PER_SEGMENT`).
pub const PAGES_PER_SEGMENT: u64 = 32;

/// A page's bytes.
pub type Page = [u8; PAGE_SIZE];

/// What flushes the write-ahead log.
pub trait FlushLog: Debug + Send + Sync {
    /// Comes back when the log is durable up to this position.
    ///
    /// # Errors
    /// Where it cannot be made so.
    fn flush(&self, upto: Lsn) -> Result<(), Error>;
}

/// What sets one log apart from another.
#[derive(Debug, Clone)]
pub struct Kind {
    /// The directory.
    pub directory: PathBuf,
    /// How many pages are kept in memory: 2 at least.
    pub buffers: usize,
    /// How many LSNs are kept for each page; 0 where every page may be written at any time.
    pub lsns_per_page: usize,
    /// Whether one page comes before another; pages wrap around with the ids on them.
    pub precedes: fn(u64, u64) -> bool,
    /// Whether what a crash may lose is lost: then nothing is synced (`SYNC_HANDLER_NONE`).
    pub is_volatile: bool,
}

/// The pages of one log.
#[derive(Debug)]
pub struct Slru {
    disk: Arc<dyn Disk>,
    log: Arc<dyn FlushLog>,
    kind: Kind,
    buffers: RwLock<Buffers>,
    /// Counts uses, for finding the buffer that was used longest ago.
    uses: AtomicU64,
}

#[derive(Debug)]
struct Buffers {
    slots: Vec<Slot>,
    /// The page that was made last.
    latest: u64,
    /// Files that were written since the last sync.
    unsynced: BTreeSet<u64>,
    /// Whether files were made or removed since then.
    names_changed: bool,
    sync_failed: bool,
    /// Whether missing pages read as zero: they may have been truncated later in the log that is replayed.
    in_recovery: bool,
}

#[derive(Debug)]
struct Slot {
    page: Option<u64>,
    is_dirty: bool,
    used: AtomicU64,
    bytes: Box<Page>,
    lsns: Box<[Lsn]>,
}

/// A log whose lock is held exclusively.
#[derive(Debug)]
pub struct Locked<'a> {
    slru: &'a Slru,
    buffers: RwLockWriteGuard<'a, Buffers>,
}

impl Slru {
    /// The log of a kind; `log` is flushed before pages with LSNs are written.
    ///
    /// # Panics
    /// If it shall have fewer than two buffers.
    pub fn new(disk: Arc<dyn Disk>, kind: Kind, log: Arc<dyn FlushLog>) -> Slru {
        assert!(kind.buffers >= 2, "one buffer for the latest page, and one more");
        let slot = || Slot {
            page: None,
            is_dirty: false,
            used: AtomicU64::new(0),
            bytes: Box::new([0; PAGE_SIZE]),
            lsns: vec![Lsn(0); kind.lsns_per_page].into(),
        };
        let buffers = Buffers {
            slots: std::iter::repeat_with(slot).take(kind.buffers).collect(),
            latest: 0,
            unsynced: BTreeSet::new(),
            names_changed: false,
            sync_failed: false,
            in_recovery: false,
        };
        Slru { disk, log, kind, buffers: RwLock::new(buffers), uses: AtomicU64::new(1) }
    }

    /// Looks at a page and its LSNs; `xid` is whom it is wanted for.
    ///
    /// # Errors
    /// Where the page is not in its file, or cannot be read; or another cannot be written to make room.
    pub fn read<T>(
        &self,
        page: u64,
        xid: Xid,
        look: impl FnOnce(&Page, &[Lsn]) -> T,
    ) -> Result<T, Error> {
        {
            let buffers = self.buffers.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = buffers.slots.iter().find(|slot| slot.page == Some(page)) {
                self.mark_used(slot);
                return Ok(look(&slot.bytes, &slot.lsns));
            }
        }
        let mut locked = self.lock();
        let at = locked.load(page, xid)?;
        let slot = &locked.buffers.slots[at];
        Ok(look(&slot.bytes, &slot.lsns))
    }

    /// Takes the lock exclusively.
    pub fn lock(&self) -> Locked<'_> {
        Locked { slru: self, buffers: self.buffers.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// The same if it is free at once.
    pub fn try_lock(&self) -> Option<Locked<'_>> {
        match self.buffers.try_write() {
            Ok(buffers) => Some(Locked { slru: self, buffers }),
            Err(TryLockError::Poisoned(poisoned)) => {
                Some(Locked { slru: self, buffers: poisoned.into_inner() })
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether missing pages shall read as zero from now on, as they must while a log is replayed.
    pub fn set_in_recovery(&self, in_recovery: bool) {
        self.lock().buffers.in_recovery = in_recovery;
    }

    /// Writes all dirty pages; the first part of a checkpoint. Returns how many there were.
    ///
    /// # Errors
    /// The first one, after all have been tried.
    pub fn write_all(&self) -> Result<usize, Error> {
        let mut locked = self.lock();
        let (mut written, mut outcome) = (0, Ok(()));
        for at in 0..locked.buffers.slots.len() {
            if locked.buffers.slots[at].is_dirty {
                match locked.write_back(at) {
                    Ok(()) => written += 1,
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
        }
        outcome.map(|()| written)
    }

    /// Makes durable what has been written; the second part of a checkpoint. Returns how many files were synced.
    ///
    /// # Errors
    /// Where a file cannot be synced. That must end the engine: all later calls fail, too.
    pub fn sync(&self) -> Result<usize, Error> {
        let mut locked = self.lock();
        let buffers = &mut *locked.buffers;
        if self.kind.is_volatile {
            buffers.unsynced.clear();
            return Ok(0);
        }
        if buffers.sync_failed {
            return Err(Error::FailedBefore(self.kind.directory.display().to_string()));
        }
        let count = buffers.unsynced.len();
        buffers.sync_failed = true;
        for segment in std::mem::take(&mut buffers.unsynced) {
            let path = self.path(segment);
            let file = self.disk.open_for_writing(&path, Opening::EXISTING).at("sync", &path)?;
            file.sync_data().at("sync", &path)?;
        }
        if std::mem::take(&mut buffers.names_changed) {
            let directory = &self.kind.directory;
            self.disk.sync_directory(directory).at("sync", directory)?;
        }
        buffers.sync_failed = false;
        Ok(count)
    }

    /// Whether there is a file of which every page comes before `cutoff`.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn has_before(&self, cutoff: u64) -> Result<bool, Error> {
        let first_kept = cutoff - cutoff % PAGES_PER_SEGMENT;
        let directory = &self.kind.directory;
        let entries = self.disk.list(directory).at("list", directory)?;
        let mut segments = entries.iter().filter_map(|entry| segment_of_name(entry.name.to_str()?));
        Ok(segments.any(|segment| self.lies_before(segment, first_kept)))
    }

    fn lies_before(&self, segment: u64, first_kept: u64) -> bool {
        let (precedes, first) = (self.kind.precedes, segment * PAGES_PER_SEGMENT);
        precedes(first, first_kept) && precedes(first + PAGES_PER_SEGMENT - 1, first_kept)
    }

    /// Removes the files from that of page `first` up to that of page `end`, which stays; behind the file of page `last` the
    /// first one follows. For numbers that are not in an order (`PerformMembersTruncation`). Returns how many.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn remove_range(&self, first: u64, end: u64, last: u64) -> Result<usize, Error> {
        let segment_of = |page: u64| page / PAGES_PER_SEGMENT;
        let (mut segment, end, last) = (segment_of(first), segment_of(end), segment_of(last));
        let mut locked = self.lock();
        let mut removed = 0;
        while segment != end {
            removed += usize::from(locked.remove_segment(segment)?);
            segment = if segment >= last { 0 } else { segment + 1 };
        }
        Ok(removed)
    }

    /// Removes the files of which every page comes before `cutoff`, which must not come behind the page that was
    /// made last. Returns how many.
    ///
    /// # Errors
    /// Where the directory cannot be listed or a file cannot be removed.
    pub fn truncate(&self, cutoff: u64) -> Result<usize, Error> {
        let first_kept = cutoff - cutoff % PAGES_PER_SEGMENT;
        let mut locked = self.lock();
        let precedes = self.kind.precedes;
        // It would remove what is in use, by a mistake about wraparound.
        if precedes(locked.buffers.latest, first_kept) {
            return Ok(0);
        }
        let directory = &self.kind.directory;
        let mut removed = 0;
        for entry in self.disk.list(directory).at("list", directory)? {
            let Some(segment) = entry.name.to_str().and_then(segment_of_name) else { continue };
            if self.lies_before(segment, first_kept) {
                removed += usize::from(locked.remove_segment(segment)?);
            }
        }
        // Pages that were never written have no file.
        for slot in &mut locked.buffers.slots {
            let is_gone = |page: u64| self.lies_before(page / PAGES_PER_SEGMENT, first_kept);
            if slot.page.is_some_and(is_gone) {
                slot.page = None;
                slot.is_dirty = false;
            }
        }
        Ok(removed)
    }

    /// Whether the page is in a buffer or in its file.
    ///
    /// # Errors
    /// Where the file cannot be looked at.
    pub fn exists(&self, page: u64) -> Result<bool, Error> {
        let locked = self.lock();
        if locked.buffers.slots.iter().any(|slot| slot.page == Some(page)) {
            return Ok(true);
        }
        let path = self.path(page / PAGES_PER_SEGMENT);
        match self.disk.open(&path) {
            Ok(file) => Ok(file.length().at("read", &path)? >= offset(page) + PAGE_SIZE as u64),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).at("open", &path),
        }
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.kind.directory.join(segment_name(segment))
    }

    fn mark_used(&self, slot: &Slot) {
        // Only a hint for whom to put out: two uses at once may be counted as one.
        slot.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Locked<'_> {
    /// A page and its LSNs, to be changed.
    ///
    /// # Errors
    /// As [`Slru::read`].
    pub fn page_mut(&mut self, page: u64, xid: Xid) -> Result<(&mut Page, &mut [Lsn]), Error> {
        let at = self.load(page, xid)?;
        let slot = &mut self.buffers.slots[at];
        slot.is_dirty = true;
        Ok((&mut slot.bytes, &mut slot.lsns))
    }

    /// Makes a page of zeros, whatever was there. It becomes the latest.
    ///
    /// # Errors
    /// Where another page cannot be written to make room.
    pub fn zero(&mut self, page: u64) -> Result<(), Error> {
        let at = self.room_for(page)?;
        let slot = &mut self.buffers.slots[at];
        slot.page = Some(page);
        slot.is_dirty = true;
        slot.bytes.fill(0);
        slot.lsns.fill(Lsn(0));
        self.buffers.latest = page;
        self.slru.mark_used(&self.buffers.slots[at]);
        Ok(())
    }

    /// Says which page is the latest: after a start, before anything else.
    pub fn set_latest(&mut self, page: u64) {
        self.buffers.latest = page;
    }

    /// Writes a page now, if it is in a buffer and dirty.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_page(&mut self, page: u64) -> Result<(), Error> {
        match self.buffers.slots.iter().position(|slot| slot.page == Some(page)) {
            Some(at) if self.buffers.slots[at].is_dirty => self.write_back(at),
            _ => Ok(()),
        }
    }

    /// Removes a file, with what is in buffers of it; whether it was there.
    fn remove_segment(&mut self, segment: u64) -> Result<bool, Error> {
        for slot in &mut self.buffers.slots {
            if slot.page.is_some_and(|page| page / PAGES_PER_SEGMENT == segment) {
                slot.page = None;
                slot.is_dirty = false;
            }
        }
        let path = self.slru.path(segment);
        match self.slru.disk.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            removed => removed.at("remove", &path)?,
        }
        self.buffers.unsynced.remove(&segment);
        self.buffers.names_changed = true;
        Ok(true)
    }

    /// The buffer with the page, read from its file if need be.
    fn load(&mut self, page: u64, xid: Xid) -> Result<usize, Error> {
        let at = self.room_for(page)?;
        if self.buffers.slots[at].page != Some(page) {
            let in_recovery = self.buffers.in_recovery;
            let slot = &mut self.buffers.slots[at];
            read_page(self.slru, page, xid, in_recovery, &mut slot.bytes)?;
            slot.page = Some(page);
            slot.lsns.fill(Lsn(0));
        }
        self.slru.mark_used(&self.buffers.slots[at]);
        Ok(at)
    }

    /// The buffer that has the page, or one that is free for it.
    fn room_for(&mut self, page: u64) -> Result<usize, Error> {
        let slots = &self.buffers.slots;
        if let Some(at) = slots.iter().position(|slot| slot.page == Some(page)) {
            return Ok(at);
        }
        if let Some(at) = slots.iter().position(|slot| slot.page.is_none()) {
            return Ok(at);
        }
        let latest = self.buffers.latest;
        let candidates = slots.iter().enumerate().filter(|(_, slot)| slot.page != Some(latest));
        let oldest = candidates.min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
        let Some((at, _)) = oldest else {
            unreachable!("of two buffers one is not the latest page's")
        };
        if self.buffers.slots[at].is_dirty {
            self.write_back(at)?;
        }
        self.buffers.slots[at].page = None;
        Ok(at)
    }

    fn write_back(&mut self, at: usize) -> Result<(), Error> {
        let slru = self.slru;
        let slot = &self.buffers.slots[at];
        let Some(page) = slot.page else { return Ok(()) };
        let highest = slot.lsns.iter().copied().max().unwrap_or(Lsn(0));
        if highest > Lsn(0) {
            slru.log.flush(highest)?;
        }
        let segment = page / PAGES_PER_SEGMENT;
        let path = slru.path(segment);
        let file = match slru.disk.open_for_writing(&path, Opening::EXISTING) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.buffers.names_changed = true;
                slru.disk.open_for_writing(&path, Opening::CREATE)
            }
            opened => opened,
        };
        let file = file.at("open", &path)?;
        file.write_at(&self.buffers.slots[at].bytes[..], offset(page)).at("write", &path)?;
        self.buffers.unsynced.insert(segment);
        let slot = &mut self.buffers.slots[at];
        slot.is_dirty = false;
        // They are flushed: there is nothing to wait for any more.
        slot.lsns.fill(Lsn(0));
        Ok(())
    }
}

fn read_page(
    slru: &Slru,
    page: u64,
    xid: Xid,
    in_recovery: bool,
    bytes: &mut Page,
) -> Result<(), Error> {
    let path = slru.path(page / PAGES_PER_SEGMENT);
    let length = match slru.disk.open(&path) {
        Ok(file) => file.read_at(&mut bytes[..], offset(page)).at("read", &path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && in_recovery => 0,
        Err(error) => return Err(error).at("open", &path),
    };
    if length < PAGE_SIZE {
        if !in_recovery {
            let length = offset(page) + length as u64;
            return Err(Error::MissingPage { xid, path: path.display().to_string(), length, page });
        }
        bytes[length..].fill(0);
    }
    Ok(())
}

fn offset(page: u64) -> u64 {
    page % PAGES_PER_SEGMENT * PAGE_SIZE as u64
}

/// The name of a file.
pub fn segment_name(segment: u64) -> String {
    format!("{segment:04X}")
}

/// The number of a file by its name: four to six upper-case hexadecimal digits (`SlruScanDirectory`).
pub fn segment_of_name(name: &str) -> Option<u64> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    if !(4..=6).contains(&name.len()) || !name.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(name, 16).ok()
}

/// Whether page `one` comes before page `other`, of 32-bit ids of which `per_page` are on a page: each id of
/// the one before each of the other, by the arithmetic that wraps around (`CLOGPagePrecedes` and its kin). `first`
/// is the lowest id that is given out.
pub(super) fn page_precedes(one: u64, other: u64, per_page: u64, first: u32) -> bool {
    let of_page = |page: u64| ((page * per_page) as u32).wrapping_add(first + 1);
    let (one, other) = (of_page(one), of_page(other));
    let is_before = |one: u32, other: u32| (one.wrapping_sub(other) as i32) < 0;
    is_before(one, other) && is_before(one, other.wrapping_add(per_page as u32 - 1))
}

/// The directory of a log within a data directory.
pub(super) fn directory(data_directory: &Path, name: &str) -> PathBuf {
    data_directory.join(name)
}
