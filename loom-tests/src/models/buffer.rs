//! The buffer pool: a pinned frame holds its page, no change is lost, and who waits for the last pin is woken.

use std::io;

use base::page::PageBytes;
use base::sync::{Arc, Mutex, thread};
use base::{BlockNumber, ForkNumber, Lsn, PAGE_SIZE, PageMut, RelFileLocator};
use engine::buffer::{BufferError, BufferPool, LogFlush, PageName, PageStore};

use crate::Model;

pub(super) const MODELS: &[Model] = &[
    Model {
        name: "buffer::pin_against_eviction",
        property: "a pinned frame holds the page that it was pinned for, while another thread wants the only frame",
        preemptions: None,
        variants: &["buffer.unmap-whoever-pins", "buffer.pin-after-unlock"],
        run: || pin_against_eviction(0),
    },
    Model {
        name: "buffer::pin_by_hint",
        property: "the same for who pins without a lock, after a hint that may be wrong by then",
        preemptions: Some(3),
        variants: &["buffer.hint-believed", "buffer.mapped", "buffer.mapped-seen"],
        run: || pin_against_eviction(4),
    },
    Model {
        name: "buffer::write_back",
        property: "a change while the page is being written is not taken for written",
        preemptions: None,
        variants: &["buffer.clean-after-write"],
        run: write_back,
    },
    Model {
        name: "buffer::cleanup",
        property: "who waits for all others to leave a page gets it",
        preemptions: None,
        variants: &["buffer.no-second-look"],
        run: cleanup,
    },
];

const RELATION: RelFileLocator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };

fn name(block: BlockNumber) -> PageName {
    PageName { locator: RELATION, fork: ForkNumber::Main, block }
}

/// Two pages in memory; a page is its number and a count.
#[derive(Debug)]
struct Memory {
    pages: Mutex<[[u8; 2]; 2]>,
}

impl PageStore for Memory {
    fn read(&self, name: PageName, page: &mut PageBytes) -> io::Result<()> {
        PageMut::init(page, 0);
        let pages = self.pages.lock().expect("no panic");
        page[PAGE_SIZE - 2..].copy_from_slice(&pages[name.block as usize]);
        Ok(())
    }

    fn write(&self, name: PageName, page: &PageBytes) -> io::Result<()> {
        let mut pages = self.pages.lock().expect("no panic");
        pages[name.block as usize].copy_from_slice(&page[PAGE_SIZE - 2..]);
        Ok(())
    }

    fn extend(&self, _: RelFileLocator, _: ForkNumber) -> io::Result<BlockNumber> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn blocks(&self, _: RelFileLocator, _: ForkNumber) -> io::Result<BlockNumber> {
        Ok(2)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct NoLog;

impl LogFlush for NoLog {
    fn flush_to(&self, _: Lsn) -> io::Result<()> {
        Ok(())
    }
}

type Pool = BufferPool<Memory, NoLog>;

/// A pool of one frame, and so many hints.
fn pool(hints: usize) -> Arc<Pool> {
    let memory = Memory { pages: Mutex::new([[0, 0], [1, 0]]) };
    Arc::new(BufferPool::with_hints(1, hints, memory, NoLog, false))
}

/// The page's count, and whether the frame holds it.
fn count_of(page: &PageBytes, block: BlockNumber) -> u8 {
    assert_eq!(u32::from(page[PAGE_SIZE - 2]), block, "a pinned frame holds its page");
    page[PAGE_SIZE - 1]
}

/// Counts in a page; `false` where the only frame was pinned all the time.
fn count(pool: &Pool, block: BlockNumber) -> bool {
    match pool.get(name(block)) {
        Ok(pinned) => {
            let mut page = pinned.write();
            let next = count_of(&page, block) + 1;
            page.bytes_mut()[PAGE_SIZE - 1] = next;
            drop(page);
            true
        }
        Err(BufferError::NoUnpinned { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn stored(pool: &Pool, block: usize) -> u8 {
    pool.store().pages.lock().expect("no panic")[block][1]
}

/// Page 0 is in the only frame; one thread counts in it, the other in page 1.
fn pin_against_eviction(hints: usize) {
    let pool = pool(hints);
    assert!(pool.get(name(0)).is_ok());
    let other = Arc::clone(&pool);
    let other = thread::spawn(move || u8::from(count(&other, 1)));
    let own = u8::from(count(&pool, 0));
    let others = other.join().expect("it ends");
    pool.write_all().expect("memory does not fail");
    assert_eq!((stored(&pool, 0), stored(&pool, 1)), (own, others), "no change is lost");
}

/// One thread counts in a page twice, while the other writes it back.
fn write_back() {
    let pool = pool(0);
    assert!(count(&pool, 0));
    let other = Arc::clone(&pool);
    let other = thread::spawn(move || other.write_all().expect("memory does not fail"));
    assert!(count(&pool, 0), "a page in memory needs no frame");
    other.join().expect("it ends");
    pool.write_all().expect("memory does not fail");
    assert_eq!(stored(&pool, 0), 2, "no change is lost");
}

/// One thread has the page pinned and leaves, while the other waits for that.
fn cleanup() {
    let pool = pool(0);
    let other = Arc::clone(&pool);
    assert!(count(&pool, 0));
    let other = thread::spawn(move || count(&other, 0));
    let pinned = pool.get(name(0)).expect("it is in memory");
    let mut page = pinned.cleanup().expect("nobody else waits");
    let next = count_of(&page, 0) + 1;
    page.bytes_mut()[PAGE_SIZE - 1] = next;
    drop(page);
    assert!(other.join().expect("it ends"));
    assert_eq!(count_of(&pinned.read(), 0), 3);
}
