//! The pool itself: finding a page, taking a frame for it, writing frames back.
//!
//! Invariants: the module's access rules; an error of the store or the log reaches who asked, and leaves a dirty page dirty
//! and a page that could not be read unread, so that a later attempt can succeed.

use std::io;
use std::ops::{Deref, DerefMut};

use base::page::{PageBytes, PageError};
use base::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, TryLockError, thread};
use base::{BlockNumber, ForkNumber, Lsn, PAGE_SIZE, PageMut, RawPage, RelFileLocator};

use super::PageName;
use super::clock::{Clock, Ring};
use super::desc::{CLEANUP_WAITER, DIRTY, MAPPED, VALID, Word};
use super::frame_name::FrameName;
use super::guard::Pinned;
use super::note::PageNote;
use super::prefetch::fetch;
use super::store::PageStore;
use super::table::Table;
use super::usage::PageUse;

/// Who makes the log durable.
pub trait LogFlush: std::fmt::Debug + Send + Sync {
    /// Comes back once the log is durable up to `lsn`.
    ///
    /// # Errors
    /// As the disk says; the page is then not written.
    fn flush_to(&self, lsn: Lsn) -> io::Result<()>;
}

/// Why a page cannot be had or written.
#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// Every frame is pinned.
    #[error("no unpinned buffers available: all {frames} are in use; make the pool larger")]
    NoUnpinned {
        /// Frames of the pool.
        frames: usize,
    },
    /// The page cannot be read.
    #[error("could not read {name}: {error}")]
    Read {
        /// The page.
        name: PageName,
        /// What the disk says.
        #[source]
        error: io::Error,
    },
    /// What was read is no page.
    #[error("invalid page in {name}: {error}")]
    Damaged {
        /// The page.
        name: PageName,
        /// What is wrong with it.
        #[source]
        error: PageError,
    },
    /// The page cannot be written; it is in memory still.
    #[error("could not write {name}: {error}")]
    Write {
        /// The page.
        name: PageName,
        /// What the disk says.
        #[source]
        error: io::Error,
    },
    /// The log cannot be flushed as far as the page needs; the page is in memory still.
    #[error("could not flush the log to {lsn} before {name} is written: {error}")]
    Log {
        /// The page.
        name: PageName,
        /// Its LSN.
        lsn: Lsn,
        /// What the log says.
        #[source]
        error: io::Error,
    },
    /// The relation cannot be made longer; it is as it was.
    #[error("could not extend {locator} ({fork}): {error}; check free disk space")]
    Extend {
        /// The relation.
        locator: RelFileLocator,
        /// Its fork.
        fork: ForkNumber,
        /// What the disk says.
        #[source]
        error: io::Error,
    },
    /// The files cannot be made durable. What was written is not to be trusted from here on: the engine stops.
    #[error("could not sync data files: {0}")]
    Sync(#[source] io::Error),
    /// Two wait for the same page's cleanup.
    #[error("somebody waits already for all others to leave {name}")]
    CleanupWaiter {
        /// The page.
        name: PageName,
    },
    /// A page of a relation that is to be forgotten is in use.
    #[error("{name} is in use and cannot be forgotten")]
    InUse {
        /// The page.
        name: PageName,
    },
}

/// A page's bytes, so that numbers in it are as aligned as in the file, and what is noted of it.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Content {
    bytes: PageBytes,
    pub(super) note: PageNote,
}

impl Deref for Content {
    type Target = PageBytes;

    #[inline]
    fn deref(&self) -> &PageBytes {
        &self.bytes
    }
}

impl DerefMut for Content {
    #[inline]
    fn deref_mut(&mut self) -> &mut PageBytes {
        &mut self.bytes
    }
}

/// A place for one page. What every reader touches lies in its first 64 bytes, which a processor fetches from memory at once:
/// the word, the name, the lock, and the page's header.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Frame {
    pub(super) word: Word,
    pub(super) name: FrameName,
    pub(super) content: RwLock<Content>,
    /// Held from copying the page to the end of its write: writes of one page do not overtake each other.
    writing: Mutex<()>,
    pub(super) cleanup: Mutex<()>,
    pub(super) unpinned: Condvar,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Frame {
    fn new() -> Frame {
        Frame {
            word: Word::new(),
            name: FrameName::new(),
            content: RwLock::new(Content { bytes: [0; PAGE_SIZE], note: PageNote::default() }),
            writing: Mutex::new(()),
            cleanup: Mutex::new(()),
            unpinned: Condvar::new(),
        }
    }

    /// Gives a pin back, and wakes who waits to have the only one.
    pub(super) fn unpin(&self) {
        let before = self.word.unpin();
        if before.has(CLEANUP_WAITER) && before.pins() == 2 {
            let _waiting = lock(&self.cleanup);
            self.word.clear(CLEANUP_WAITER);
            self.unpinned.notify_all();
        }
    }
}

/// How writing a frame back went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteBack {
    Written,
    /// It was not dirty.
    Clean,
    /// Somebody writes or changes it; not waited for.
    Busy,
}

/// Whether to wait for who writes or changes a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Wait,
    Skip,
}

/// Passes over frames that are all pinned, before that is an error: claims last for the time of one write only.
#[cfg(not(loom))]
const PASSES: usize = 1000;
#[cfg(loom)]
const PASSES: usize = 4;

/// Hints for each frame, at least: with four, about one page in eight of a full pool is not found by its hint, another page
/// having taken it.
const HINTS: usize = 4;

fn make_frames(count: usize) -> Box<[Frame]> {
    #[cfg(not(any(loom, shuttle)))]
    let mut frames = super::large_pages::room(count);
    #[cfg(any(loom, shuttle))]
    let mut frames = Vec::with_capacity(count);
    frames.extend((0..count).map(|_| Frame::new()));
    frames.into_boxed_slice()
}

/// How far behind a frame's start its page begins.
fn page_at(frame: &mut Frame) -> usize {
    let start = std::ptr::from_mut(frame).addr();
    let content = frame.content.get_mut().unwrap_or_else(PoisonError::into_inner);
    content.bytes.as_ptr().addr() - start
}

/// A fixed number of pages in memory; see the module.
#[derive(Debug)]
pub struct BufferPool<S: PageStore, L: LogFlush> {
    pub(super) frames: Box<[Frame]>,
    table: Table,
    clock: Clock,
    store: S,
    log: L,
    checksums: bool,
    /// How far behind a frame's start its page begins.
    page_at: usize,
}

impl<S: PageStore, L: LogFlush> BufferPool<S, L> {
    /// A pool of so many frames. Sessions that pin at most n pages each at once need n + 1 frames each, at least.
    ///
    /// # Panics
    /// Without a frame.
    pub fn new(frames: usize, store: S, log: L, checksums: bool) -> BufferPool<S, L> {
        let hints = (frames * HINTS).next_power_of_two();
        BufferPool::with_hints(frames, hints, store, log, checksums)
    }

    /// The same with so many hints at which frame holds a page, a power of two, or none.
    ///
    /// # Panics
    /// As [`BufferPool::new`], and for another number.
    pub fn with_hints(
        frames: usize,
        hints: usize,
        store: S,
        log: L,
        checksums: bool,
    ) -> BufferPool<S, L> {
        assert!(frames > 0, "a pool has frames");
        let partitions = (frames / 8).clamp(1, 128).next_power_of_two();
        let clock = Clock::new(frames);
        let mut frames = make_frames(frames);
        let page_at = page_at(&mut frames[0]);
        let table = Table::new(hints, partitions);
        BufferPool { frames, table, clock, store, log, checksums, page_at }
    }

    /// The files.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The log.
    pub fn log(&self) -> &L {
        &self.log
    }

    pub(super) fn frame(&self, frame: usize) -> &Frame {
        &self.frames[frame]
    }

    /// The page, pinned; read if it is not in memory.
    ///
    /// # Errors
    /// [`BufferError`]: it cannot be read or is damaged, there is no frame for it, or the page whose frame it would
    /// take cannot be written.
    pub fn get(&self, name: PageName) -> Result<Pinned<'_, S, L>, BufferError> {
        let pinned = self.find(name, None, None)?;
        self.read_if_new(&pinned)?;
        Ok(pinned)
    }

    /// The same for who reads at this byte of the page first: the processor fetches it meanwhile, if a hint leads to the page.
    ///
    /// # Errors
    /// As [`BufferPool::get`].
    #[inline]
    pub fn get_for(&self, name: PageName, first: usize) -> Result<Pinned<'_, S, L>, BufferError> {
        let pinned = self.find(name, None, Some(first))?;
        self.read_if_new(&pinned)?;
        Ok(pinned)
    }

    /// The same for a scan, which goes round in its ring.
    ///
    /// # Errors
    /// As [`BufferPool::get`].
    pub fn get_in_ring(
        &self,
        name: PageName,
        ring: &mut Ring,
    ) -> Result<Pinned<'_, S, L>, BufferError> {
        let pinned = self.find(name, Some(ring), None)?;
        self.read_if_new(&pinned)?;
        Ok(pinned)
    }

    /// The page, pinned, if it is in memory; that counts as a use of it only if it has none.
    pub fn get_cached(&self, name: PageName) -> Option<Pinned<'_, S, L>> {
        let frame = self.follow_hint(&name, false, None).or_else(|| self.lookup(&name, false))?;
        let pinned = Pinned::over(self, frame, name);
        self.frames[frame].word.load().has(VALID).then_some(pinned)
    }

    /// The page, pinned, for who makes it anew and need not know what it was: if it is not in memory, it is
    /// zeros, and not read.
    ///
    /// # Errors
    /// As [`BufferPool::get`], those of reading aside.
    pub fn get_to_init(&self, name: PageName) -> Result<Pinned<'_, S, L>, BufferError> {
        let pinned = self.find(name, None, None)?;
        self.zero_if_new(&pinned);
        Ok(pinned)
    }

    /// A new page at the relation's end, pinned: zeros, on the disk too.
    ///
    /// # Errors
    /// [`BufferError::Extend`] where the disk has no room, and as [`BufferPool::get`].
    pub fn extend(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
    ) -> Result<Pinned<'_, S, L>, BufferError> {
        let block = self.store.extend(locator, fork).map_err(|error| BufferError::Extend {
            locator,
            fork,
            error,
        })?;
        self.get_to_init(PageName { locator, fork, block })
    }

    fn read_if_new(&self, pinned: &Pinned<'_, S, L>) -> Result<(), BufferError> {
        let (frame, name) = (pinned.frame(), pinned.name());
        if frame.word.load().has(VALID) {
            return Ok(());
        }
        // The first to have this lock reads; whoever comes next finds the page, or tries again.
        let mut content = frame.content.write().unwrap_or_else(PoisonError::into_inner);
        if frame.word.load().has(VALID) {
            return Ok(());
        }
        content.note = PageNote::default();
        self.store.read(name, &mut content).map_err(|error| BufferError::Read { name, error })?;
        RawPage::new(&content)
            .verify(name.block, self.checksums)
            .map_err(|error| BufferError::Damaged { name, error })?;
        frame.word.set(VALID);
        Ok(())
    }

    fn zero_if_new(&self, pinned: &Pinned<'_, S, L>) {
        let frame = pinned.frame();
        let mut content = frame.content.write().unwrap_or_else(PoisonError::into_inner);
        if !frame.word.load().has(VALID) {
            content.note = PageNote::default();
            content.fill(0);
            frame.word.set(VALID);
        }
    }

    /// The frame of this name, pinned; mapped if it was not, and then perhaps not read yet.
    fn find(
        &self,
        name: PageName,
        ring: Option<&mut Ring>,
        first: Option<usize>,
    ) -> Result<Pinned<'_, S, L>, BufferError> {
        let counts = ring.is_none();
        let hinted = self.follow_hint(&name, counts, first);
        if let Some(frame) = hinted.or_else(|| self.lookup(&name, counts)) {
            PageUse::count(|used| used.hits += 1);
            return Ok(Pinned::over(self, frame, name));
        }
        PageUse::count(|used| used.misses += 1);
        let taken = self.take(ring)?;
        let mut names = self.table.partition(&name);
        if let Some(&frame) = names.get(&name) {
            self.frames[frame].word.pin(counts);
            drop(names);
            self.frames[taken].unpin();
            return Ok(Pinned::over(self, frame, name));
        }
        self.frames[taken].name.set(&name);
        self.frames[taken].word.map();
        names.insert(name, taken);
        self.table.set_hint(&name, taken);
        Ok(Pinned::over(self, taken, name))
    }

    /// The frame of this name, pinned, if a hint leads to it: without a lock. What lies at the byte `first` of the page that the
    /// hint leads to is fetched meanwhile; that it is another page's costs no more than time.
    #[inline]
    fn follow_hint(
        &self,
        name: &PageName,
        counts_as_use: bool,
        first: Option<usize>,
    ) -> Option<usize> {
        let number = self.table.hint(name)?;
        let frame = self.frames.get(number)?;
        if let Some(first) = first {
            fetch(frame, self.page_at + first);
        }
        if !frame.word.pin_mapped(counts_as_use) {
            return None;
        }
        if base::variant!("buffer.hint-believed") || frame.name.is(name) {
            return Some(number);
        }
        frame.unpin();
        None
    }

    fn lookup(&self, name: &PageName, counts_as_use: bool) -> Option<usize> {
        let names = self.table.partition(name);
        let frame = *names.get(name)?;
        if base::variant!("buffer.pin-after-unlock") {
            drop(names);
            self.frames[frame].word.pin(counts_as_use);
            return Some(frame);
        }
        self.frames[frame].word.pin(counts_as_use);
        self.table.set_hint(name, frame);
        Some(frame)
    }

    /// A frame without a page, pinned once.
    fn take(&self, mut ring: Option<&mut Ring>) -> Result<usize, BufferError> {
        let (mut pinned_in_a_row, mut passes) = (0, 0);
        loop {
            let turn = ring.as_deref_mut().map(Ring::turn);
            let own = turn.and_then(|(_, frame)| frame);
            let claimed = match own.filter(|frame| self.frames[*frame].word.claim_from_ring()) {
                Some(frame) => Some(frame),
                None => {
                    let frame = self.clock.next();
                    match self.frames[frame].word.claim() {
                        Ok(_) => Some(frame),
                        Err(state) => {
                            pinned_in_a_row =
                                if state.pins() > 0 { pinned_in_a_row + 1 } else { 0 };
                            None
                        }
                    }
                }
            };
            if let Some(frame) = claimed {
                if self.empty(frame)? {
                    if let (Some(ring), Some((place, _))) = (ring, turn) {
                        ring.put(place, frame);
                    }
                    return Ok(frame);
                }
                pinned_in_a_row += 1;
            }
            if pinned_in_a_row >= self.frames.len() {
                (pinned_in_a_row, passes) = (0, passes + 1);
                if passes >= PASSES {
                    return Err(BufferError::NoUnpinned { frames: self.frames.len() });
                }
                thread::yield_now();
            }
        }
    }

    /// Takes the page of a claimed frame away, written if it is dirty. Whether it could; if not, the pin is given back.
    fn empty(&self, frame: usize) -> Result<bool, BufferError> {
        let found = &self.frames[frame];
        if !found.word.load().has(MAPPED) {
            return Ok(true);
        }
        let written = match found.word.load().has(DIRTY) {
            true => self.write_back(found, Patience::Skip),
            false => Ok(WriteBack::Clean),
        };
        let emptied = written.map(|_| {
            let name = found.name.get();
            let mut names = self.table.partition(&name);
            let emptied = found.word.unmap();
            if emptied {
                names.remove(&name);
            }
            emptied
        });
        if !matches!(emptied, Ok(true)) {
            found.unpin();
        }
        emptied
    }

    /// Writes a frame that the caller has pinned, if it is dirty.
    pub(super) fn write_back(
        &self,
        frame: &Frame,
        patience: Patience,
    ) -> Result<WriteBack, BufferError> {
        let _writing = match (patience, frame.writing.try_lock()) {
            (_, Ok(guard)) => guard,
            (_, Err(TryLockError::Poisoned(poisoned))) => poisoned.into_inner(),
            (Patience::Wait, Err(TryLockError::WouldBlock)) => lock(&frame.writing),
            (Patience::Skip, Err(TryLockError::WouldBlock)) => return Ok(WriteBack::Busy),
        };
        let name = frame.name.get();
        let mut copy = {
            let content = match (patience, frame.content.try_read()) {
                (_, Ok(guard)) => guard,
                (_, Err(TryLockError::Poisoned(poisoned))) => poisoned.into_inner(),
                (Patience::Wait, Err(TryLockError::WouldBlock)) => {
                    frame.content.read().unwrap_or_else(PoisonError::into_inner)
                }
                (Patience::Skip, Err(TryLockError::WouldBlock)) => return Ok(WriteBack::Busy),
            };
            if !frame.word.begin_write() {
                return Ok(WriteBack::Clean);
            }
            Box::new(**content)
        };
        let written = self.write(name, &mut copy);
        if base::variant!("buffer.clean-after-write") {
            frame.word.clear(DIRTY);
        }
        frame.word.end_write(written.is_ok());
        written.map(|()| WriteBack::Written)
    }

    /// Writes a copy of a page, the log before it.
    fn write(&self, name: PageName, copy: &mut PageBytes) -> Result<(), BufferError> {
        let header = RawPage::new(copy).header();
        let lsn = header.lsn;
        self.log.flush_to(lsn).map_err(|error| BufferError::Log { name, lsn, error })?;
        // A page that was never initialised has no checksum.
        if self.checksums && header.upper != 0 {
            PageMut::assume_valid(copy).set_checksum(name.block);
        }
        self.store.write(name, copy).map_err(|error| BufferError::Write { name, error })
    }

    /// How many frames the clock's hand has come to so far, in search of one to take. It wraps around.
    pub fn hand(&self) -> usize {
        self.clock.hand()
    }

    /// One round of the background writer: looks at the frames that the clock comes to next, and writes those that it
    /// would take and that are dirty, at most so many. Gives how many it wrote.
    ///
    /// # Errors
    /// The first error; the page is dirty still.
    pub fn write_ahead_of_clock(
        &self,
        look_at: usize,
        at_most: usize,
    ) -> Result<usize, BufferError> {
        let mut written = 0;
        for ahead in 0..look_at.min(self.frames.len()) {
            if written >= at_most {
                break;
            }
            let frame = &self.frames[self.clock.ahead(ahead)];
            let state = frame.word.load();
            let would_be_taken = state.pins() == 0 && state.usage() == 0 && state.has(DIRTY);
            if !would_be_taken || !frame.word.pin_if(DIRTY) {
                continue;
            }
            let result = self.write_back(frame, Patience::Skip);
            frame.unpin();
            written += usize::from(result? == WriteBack::Written);
        }
        Ok(written)
    }

    /// Drops what is in memory of a fork from this block on, unwritten: the relation is dropped or cut off there. Nobody
    /// uses it any more; who only writes pages back is waited for.
    ///
    /// # Errors
    /// [`BufferError::InUse`] where somebody does; pages before that one are forgotten.
    pub fn forget(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
        from: BlockNumber,
    ) -> Result<(), BufferError> {
        for frame in &self.frames {
            let is_meant =
                |name: PageName| name.locator == locator && name.fork == fork && name.block >= from;
            let name = frame.name.get();
            if !frame.word.load().has(MAPPED) || !is_meant(name) {
                continue;
            }
            let mut attempts = 0;
            while !self.forget_frame(frame, name) {
                attempts += 1;
                if attempts >= PASSES {
                    return Err(BufferError::InUse { name });
                }
                thread::yield_now();
            }
        }
        Ok(())
    }

    /// Takes this page out of the frame, if it is there still. Whether it is gone: not while somebody else has it pinned.
    fn forget_frame(&self, frame: &Frame, name: PageName) -> bool {
        if !frame.word.pin_if(MAPPED) {
            return true;
        }
        // A write that has begun is waited for, and does no harm: the file is cut off afterwards.
        let writing = lock(&frame.writing);
        let mut names = self.table.partition(&name);
        let mut is_gone = !frame.name.is(&name);
        if !is_gone && frame.word.load().pins() == 1 {
            let was_dirty = frame.word.load().has(DIRTY);
            frame.word.clear(DIRTY);
            is_gone = frame.word.unmap();
            if is_gone {
                names.remove(&name);
            } else if was_dirty {
                // Pinned in between.
                frame.word.set(DIRTY);
            }
        }
        drop((names, writing));
        frame.unpin();
        is_gone
    }
}
