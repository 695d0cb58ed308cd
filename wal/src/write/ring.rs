//! The ring of log pages in memory: when a page's buffer is ready, and when it may be given to another page.
//!
//! ```text
//! page p     its buffer is free once page p - n is written to the file      `written` of the caller
//!            who reserved p's first usable byte writes p's header           one thread: its owner
//!            ready[p mod n] = end of p                                      from here on anybody may copy into p
//!            everything before `finished` is written to the file            p - n's turn again
//! ```
//!
//! The first usable byte of a page belongs to exactly one record's place, so a page needs no lock to have one
//! initialiser, who also knows all that the header says: whether a record goes on here, and how much is left of
//! it. (PostgreSQL initialises under a lock, `AdvanceXLInsertBuffer`, and the header's continuation is added
//! later.) Pages are not zeroed: what no record fills is not written from here.
//!
//! Invariants: `ready` of a buffer goes up from page to page; a header is complete before its page is
//! ready; a buffer is not touched for a page before the page that had it is written.

use base::Lsn;
use base::ordering;
use base::sync::atomic::AtomicU64;

use super::layout::{Layout, PAGE};
use super::memory::Memory;

/// The buffers and what is in them.
#[derive(Debug)]
pub(super) struct Ring {
    memory: Memory,
    /// For each buffer the end of the page that is in it, 0 for none.
    ready: Box<[AtomicU64]>,
}

impl Ring {
    /// A ring of so many buffers, a power of two, in which the page of `next` is ready, if that lies within one: what was on
    /// it before is in the file already.
    pub(super) fn new(pages: u64, next: Lsn) -> Ring {
        let ring = Ring {
            memory: Memory::new(pages),
            ready: (0..pages).map(|_| AtomicU64::new(0)).collect(),
        };
        if Layout::offset_in_page(next) != 0 {
            ring.publish(Layout::page_of(next));
        }
        ring
    }

    /// What must be written to the file before the page that starts at `page` can have its buffer.
    #[inline]
    pub(super) fn must_be_written(&self, page: Lsn) -> Lsn {
        Lsn((page.0 + PAGE).saturating_sub(self.memory.size()))
    }

    /// Whether anybody may copy into the page that starts at `page`.
    #[inline]
    pub(super) fn is_ready(&self, page: Lsn) -> bool {
        self.of(page).load(ordering!("log.page-ready-seen", Acquire)) == page.0 + PAGE
    }

    /// Makes a page ready; its owner has written the header.
    #[inline]
    pub(super) fn publish(&self, page: Lsn) {
        self.of(page).store(page.0 + PAGE, ordering!("log.page-ready", Release));
    }

    /// Copies bytes to `at`, within its page.
    ///
    /// # Safety
    /// The caller reserved the range, or is the page's owner and writes its header; the page is ready, or, for its
    /// owner, the page that had the buffer is written.
    #[inline]
    #[expect(unsafe_code)]
    pub(super) unsafe fn write(&self, at: Lsn, bytes: &[u8]) {
        // SAFETY: the caller's promise is that of `Memory::write`.
        unsafe { self.memory.write(at, bytes) }
    }

    /// Lends what lies from `from` to `to`.
    ///
    /// # Safety
    /// All of it is copied, and none of it is written to the file yet, so that no buffer is given away.
    #[expect(unsafe_code)]
    pub(super) unsafe fn with_bytes<R>(
        &self,
        from: Lsn,
        to: Lsn,
        read: impl FnOnce([&[u8]; 2]) -> R,
    ) -> R {
        // SAFETY: the caller's promise is that of `Memory::with_bytes`.
        unsafe { self.memory.with_bytes(from, to, read) }
    }

    fn of(&self, page: Lsn) -> &AtomicU64 {
        &self.ready[(page.0 / PAGE) as usize & (self.ready.len() - 1)]
    }
}
