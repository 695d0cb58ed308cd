//! The pool under threads, against a model; with a store that fails; and on files.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;

use base::disk::RealDisk;
use base::page::{PageBytes, Verified};
use base::sync::{Arc, Mutex, thread};
use base::{BlockNumber, ForkNumber, Lsn, PAGE_SIZE, PageMut, RawPage, RelFileLocator};

use super::note::Noted;
use super::*;

mod cut;
mod faults;

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

fn name(block: BlockNumber) -> PageName {
    PageName { locator: RELATION, fork: ForkNumber::Main, block }
}

/// Pages in memory, whose reads and writes fail now and then.
#[derive(Debug, Default)]
struct Memory {
    pages: Mutex<Vec<Box<PageBytes>>>,
    calls: AtomicU64,
    /// Every so many calls fails; 0 for none.
    fails_every: AtomicU64,
    flushed: Arc<AtomicU64>,
}

impl Memory {
    fn turn(&self) -> io::Result<()> {
        let (call, every) =
            (self.calls.fetch_add(1, Ordering::Relaxed), self.fails_every.load(Ordering::Relaxed));
        if every > 0 && call % every == every - 1 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl PageStore for Memory {
    fn read(&self, name: PageName, page: &mut PageBytes) -> io::Result<()> {
        self.turn()?;
        let pages = self.pages.lock().expect("no panic");
        let found = pages.get(name.block as usize).ok_or(io::ErrorKind::UnexpectedEof)?;
        page.copy_from_slice(&found[..]);
        Ok(())
    }

    fn write(&self, name: PageName, page: &PageBytes) -> io::Result<()> {
        self.turn()?;
        let header = RawPage::new(page).header();
        assert!(header.lsn.0 <= self.flushed.load(Ordering::SeqCst), "the log comes first");
        let verified = RawPage::new(page).verify(name.block, true);
        assert_eq!(verified, Ok(Verified::Initialised), "the checksum is set");
        self.pages.lock().expect("no panic")[name.block as usize].copy_from_slice(page);
        Ok(())
    }

    fn extend(&self, _: RelFileLocator, _: ForkNumber) -> io::Result<BlockNumber> {
        self.turn()?;
        let mut pages = self.pages.lock().expect("no panic");
        pages.push(Box::new([0; PAGE_SIZE]));
        Ok(pages.len() as BlockNumber - 1)
    }

    fn blocks(&self, _: RelFileLocator, _: ForkNumber) -> io::Result<BlockNumber> {
        Ok(self.pages.lock().expect("no panic").len() as BlockNumber)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Log {
    flushed: Arc<AtomicU64>,
}

impl LogFlush for Log {
    fn flush_to(&self, lsn: Lsn) -> io::Result<()> {
        self.flushed.fetch_max(lsn.0, Ordering::SeqCst);
        Ok(())
    }
}

fn pool(frames: usize) -> BufferPool<Memory, Log> {
    let store = Memory::default();
    let log = Log { flushed: Arc::clone(&store.flushed) };
    BufferPool::new(frames, store, log, true)
}

/// A page's counter, kept at both ends of its tuple space, with its number.
const PLACES: [usize; 2] = [100, 8100];

fn counter(page: &PageBytes, block: BlockNumber) -> u64 {
    let [first, second] =
        PLACES.map(|at| u64::from_le_bytes(page[at..at + 8].try_into().expect("eight bytes")));
    assert_eq!(first, second, "a page is changed as a whole");
    let number = u32::from_le_bytes(page[200..204].try_into().expect("four bytes"));
    assert_eq!(number, block, "a pinned frame holds its page");
    first
}

fn count(page: &mut PageWrite<'_>, block: BlockNumber, lsn: u64) {
    let next = counter(page, block) + 1;
    let bytes = page.bytes_mut();
    for at in PLACES {
        bytes[at..at + 8].copy_from_slice(&next.to_le_bytes());
    }
    PageMut::assume_valid(bytes).set_lsn(Lsn(lsn));
}

fn make_pages(pool: &BufferPool<Memory, Log>, pages: u32) {
    for block in 0..pages {
        let pinned = pool.extend(RELATION, ForkNumber::Main).expect("room");
        assert_eq!(pinned.name(), name(block));
        let mut page = pinned.write();
        page.init(0);
        page.bytes_mut()[200..204].copy_from_slice(&block.to_le_bytes());
    }
}

/// Threads count in random pages of a pool that holds few of them, while others write pages back. Afterwards each page
/// in the store has as many as were counted.
fn stress(threads: u64, frames: usize, pages: u32, steps: u64, fails_every: u64) {
    let pool = pool(frames);
    make_pages(&pool, pages);
    pool.write_all().expect("a store that does not fail yet");
    pool.store().fails_every.store(fails_every, Ordering::Relaxed);
    let counted: Vec<AtomicU64> = (0..pages).map(|_| AtomicU64::new(0)).collect();
    let (lsn, failures, done) = (AtomicU64::new(1), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (pool, counted, lsn, failures) = (&pool, &counted, &lsn, &failures);
                scope.spawn(move || {
                    let mut random = Rng::with_seed(thread);
                    let mut ring = Ring::new(2);
                    for _ in 0..steps {
                        // A few pages are wanted much more often than the rest.
                        let among = if random.u64(..3) == 0 { u64::from(pages) } else { 4 };
                        let block = random.u64(..among) as u32;
                        let scans = random.u64(..4) == 0;
                        let found = match scans {
                            true => pool.get_in_ring(name(block), &mut ring),
                            false => pool.get(name(block)),
                        };
                        let pinned = match found {
                            Ok(pinned) => pinned,
                            Err(BufferError::Read { .. } | BufferError::Write { .. }) => {
                                failures.fetch_add(1, Ordering::Relaxed);
                                continue;
                            }
                            Err(error) => panic!("{error}"),
                        };
                        if random.u64(..2) == 0 {
                            let mut page = pinned.write();
                            count(&mut page, block, lsn.fetch_add(1, Ordering::Relaxed));
                            counted[block as usize].fetch_add(1, Ordering::Relaxed);
                        } else {
                            let again = pinned.clone();
                            let at_least = counter(&pinned.read(), block);
                            assert!(counter(&again.read(), block) >= at_least);
                        }
                    }
                })
            })
            .collect();
        let (pool, done) = (&pool, &done);
        for checkpoints in [true, false] {
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let result = if checkpoints {
                        pool.write_all()
                    } else {
                        pool.write_ahead_of_clock(8, 4)
                    };
                    assert!(result.is_ok() || fails_every > 0);
                    thread::yield_now();
                }
            });
        }
        for worker in workers {
            worker.join().expect("no worker panics");
        }
        done.store(true, Ordering::Relaxed);
    });
    pool.store().fails_every.store(0, Ordering::Relaxed);
    pool.write_all().expect("a store that fails no more");
    assert_eq!(pool.dirty().0, 0);
    assert_eq!(failures.load(Ordering::Relaxed) > 0, fails_every > 0, "failures reach the caller");
    let stored = pool.store().pages.lock().expect("no panic");
    for (block, page) in (0..).zip(stored.iter()) {
        assert_eq!(
            counter(page, block),
            counted[block as usize].load(Ordering::Relaxed),
            "page {block}"
        );
    }
}

#[test]
fn a_pages_header_lies_in_the_first_line_of_its_frame() {
    let pool = pool(3);
    for block in 0..3 {
        let pinned = pool.get_to_init(name(block)).expect("there is room");
        let (frame, page) = (pinned.frame(), pinned.read());
        let line = |address: usize| address / 64;
        let (word, header) = (std::ptr::from_ref(&frame.word).addr(), page.as_ptr().addr());
        assert_eq!(word % 64, 0);
        assert_eq!(line(header + base::page::PAGE_HEADER_SIZE - 1), line(word));
        assert_eq!(header % 8, 0);
    }
}

#[test]
fn nothing_is_lost_between_threads() {
    stress(8, 24, 100, 3000, 0);
    stress(16, 40, 60, 1500, 0);
}

#[test]
fn nothing_is_lost_when_the_store_fails() {
    stress(8, 24, 100, 3000, 13);
}

#[test]
fn a_pinned_page_stays_and_a_full_pool_says_so() {
    let pool = pool(3);
    make_pages(&pool, 5);
    let held: Vec<_> = (0..3).map(|block| pool.get(name(block)).expect("a frame")).collect();
    let error = pool.get(name(3)).expect_err("every frame is pinned");
    assert!(error.to_string().contains("no unpinned buffers available: all 3"), "{error}");
    for (block, pinned) in (0..).zip(&held) {
        assert_eq!(counter(&pinned.read(), block), 0);
    }
    drop(held);
    assert_eq!(counter(&pool.get(name(3)).expect("a frame").read(), 3), 0);
    assert!(matches!(pool.get(name(9)), Err(BufferError::Read { .. })), "no such page");
}

#[test]
fn a_note_is_of_the_page_as_it_was_changed_last() {
    let pool = pool(1);
    make_pages(&pool, 2);
    // A record may change two pages: both then have its LSN, and in the one frame each comes after the other.
    let lsn = 7;
    let noted = Noted::of([3, 1, 3]);
    assert_eq!(noted.expect("few").offsets(), [3, 1]);
    assert!(Noted::of(1..=14).is_some() && Noted::of(1..=15).is_none());
    let change =
        |block, lsn| count(&mut pool.get(name(block)).expect("a frame").write(), block, lsn);
    let notes = |block| {
        let noted = pool.get(name(block)).expect("a frame").write().noted();
        noted.map(|noted| noted.offsets().to_vec())
    };
    let note = |block, noted| pool.get(name(block)).expect("a frame").write().note(noted);
    note(0, noted);
    assert_eq!(notes(0), None, "a page that was never logged has none");
    change(0, lsn);
    note(0, noted);
    assert_eq!(notes(0), Some(vec![3, 1]));
    change(0, lsn + 1);
    assert_eq!(notes(0), None, "changed by who notes nothing");
    note(0, noted);
    note(0, None);
    assert_eq!(notes(0), None);
    pool.store().flushed.store(lsn + 1, Ordering::SeqCst);
    change(1, lsn + 1);
    note(1, noted);
    assert_eq!(notes(0), None, "another page's");
    assert_eq!(notes(1), None, "it was not in memory meanwhile");
}

#[test]
fn a_page_that_cannot_be_written_is_kept() {
    let pool = pool(1);
    make_pages(&pool, 2);
    count(&mut pool.get(name(0)).expect("a frame").write(), 0, 7);
    pool.store().fails_every.store(1, Ordering::Relaxed);
    for _ in 0..3 {
        assert!(matches!(pool.get(name(1)), Err(BufferError::Write { .. })));
        assert!(matches!(pool.write_all(), Err(BufferError::Write { .. })));
        assert_eq!(counter(&pool.get(name(0)).expect("in memory").read(), 0), 1);
        assert!(matches!(pool.extend(RELATION, ForkNumber::Main), Err(BufferError::Extend { .. })));
    }
    pool.store().fails_every.store(0, Ordering::Relaxed);
    assert_eq!(counter(&pool.get(name(1)).expect("now it can").read(), 1), 0);
    assert_eq!(counter(&pool.get(name(0)).expect("read again").read(), 0), 1);
}

#[test]
fn damage_is_found_when_a_page_is_read() {
    let pool = pool(2);
    make_pages(&pool, 3);
    pool.write_all().expect("room");
    pool.forget(RELATION, ForkNumber::Main, 0).expect("nobody uses them");
    pool.store().pages.lock().expect("no panic")[1][4000] ^= 1;
    let error = pool.get(name(1)).expect_err("damaged");
    assert!(
        error.to_string().contains("block 1 of 1663/5/16384 (main): page verification failed"),
        "{error}"
    );
    pool.store().pages.lock().expect("no panic")[1][4000] ^= 1;
    assert_eq!(counter(&pool.get(name(1)).expect("sound again").read(), 1), 0);
}

#[test]
fn cleanup_waits_for_the_last_other_pin() {
    let pool = pool(4);
    make_pages(&pool, 1);
    let own = pool.get(name(0)).expect("a frame");
    assert!(own.try_cleanup().is_some());
    let others: Vec<_> = (0..3).map(|_| pool.get(name(0)).expect("a frame")).collect();
    assert!(own.try_cleanup().is_none());
    std::thread::scope(|scope| {
        let cleaner = scope.spawn(|| {
            let mut page = own.cleanup().expect("nobody else waits");
            count(&mut page, 0, 3);
        });
        for other in others {
            let _ = counter(&other.read(), 0);
            drop(other);
        }
        cleaner.join().expect("it gets the page");
    });
    assert_eq!(counter(&own.read(), 0), 1);
}

#[test]
fn what_is_forgotten_is_not_written() {
    let pool = pool(8);
    make_pages(&pool, 4);
    pool.write_all().expect("room");
    for block in 0..4 {
        count(&mut pool.get(name(block)).expect("a frame").write(), block, 5);
    }
    let held = pool.get(name(3)).expect("a frame");
    assert!(matches!(pool.forget(RELATION, ForkNumber::Main, 2), Err(BufferError::InUse { .. })));
    drop(held);
    pool.forget(RELATION, ForkNumber::Main, 2).expect("nobody uses them");
    pool.write_all().expect("room");
    let counters: Vec<_> = (0..4)
        .map(|block| counter(&pool.get(name(block)).expect("a frame").read(), block))
        .collect();
    assert_eq!(counters, [1, 1, 0, 0]);
}

#[test]
fn relations_lie_in_segments() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    std::fs::create_dir_all(place.path().join("base/5"))?;
    let files = || RelationFiles::with_segments(Arc::new(RealDisk), place.path(), 4);
    let log = || Log { flushed: Arc::default() };
    let pool = BufferPool::new(3, files(), log(), true);
    pool.store().create(RELATION, ForkNumber::Main)?;
    for block in 0..10u32 {
        let pinned = pool.extend(RELATION, ForkNumber::Main).expect("room");
        let mut page = pinned.write();
        page.init(0);
        page.bytes_mut()[200..204].copy_from_slice(&block.to_le_bytes());
    }
    pool.write_all().expect("room");
    let lengths: BTreeMap<_, _> = std::fs::read_dir(place.path().join("base/5"))?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().into_string().expect("ASCII"), entry.metadata()?.len() / 8192))
        })
        .collect::<io::Result<_>>()?;
    let expected = [("16384", 4), ("16384.1", 4), ("16384.2", 2)];
    assert_eq!(lengths, expected.map(|(name, pages)| (name.to_owned(), pages)).into());
    // Another engine finds them again.
    let pool = BufferPool::new(3, files(), log(), true);
    assert_eq!(pool.store().blocks(RELATION, ForkNumber::Main)?, 10);
    for block in 0..10 {
        assert_eq!(counter(&pool.get(name(block)).expect("there").read(), block), 0);
    }
    assert_eq!(pool.extend(RELATION, ForkNumber::Main).expect("room").name(), name(10));
    Ok(())
}
