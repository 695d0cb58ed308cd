//! The buffer pool: pages of relations in memory, a fixed number of them.
//!
//! ```text
//! who wants a page ──► table: page's name to frame ──hit──► pin
//!                          │ miss
//!                          └──► clock: a frame that nobody pins ──► written if dirty ──► unmapped ──► mapped anew ──► read
//! ```
//!
//! | part | keeps | touched by |
//! |---|---|---|
//! | [`desc`] | a frame's word: pins, usage, flags | everyone, with one atomic operation |
//! | `frame_name` | the name of a frame's page | who takes a frame for it; read by everyone, whole by who has it pinned |
//! | [`table`] | which frame holds which page, in partitions | who looks a page up, and who takes a frame for another |
//! | [`clock`] | where the search for a frame goes on | who takes a frame |
//! | [`guard`] | a pin, a shared or exclusive lock on the content, as values that give them back | the holder |
//! | [`pool`] | all of it together | |
//! | [`sweep`] | all dirty pages written in file order, for checkpoints | |
//! | [`store`], `files` | the files | who reads, writes, extends |
//! | `usage` | how many pages a thread has used | that thread |
//! | [`note`] | what is noted of a page for who changes it next | who has its exclusive lock |
//! | `large_pages` | memory for the frames | who makes a pool |
//! | `prefetch` | nothing: has the processor fetch what is to be read | who knows where on a page it reads first |
//!
//! # Access rules
//!
//! 1. Whoever uses a frame holds a pin on it. While it is pinned, a frame holds the same page.
//! 2. A page is pinned with its name's partition of the table locked, or by its frame's number, after a hint or to be
//!    written back. By number only a frame is pinned that holds a page, in the same atomic step that sees that it does; which
//!    page it holds is looked at after that.
//! 3. The content is read under the shared lock of the frame, and changed under the exclusive one. A tuple may be
//!    looked at under the pin alone only by who has seen, under the lock, that it is visible to him: it stays where it is
//!    until somebody holds the page [for cleanup](guard::Pinned::try_cleanup), with the only pin.
//! 4. A frame is given to another page by who holds its only pin, with the old name's partition locked, and only if it
//!    is clean: the step from "one pin, clean" to "no page" is one atomic operation.
//! 5. Dirty is set under the exclusive lock, and cleared under the shared one together with setting "being written":
//!    what is copied to be written is what was dirty, and a checkpoint that sees neither bit has nothing to wait for.
//! 6. The log is flushed up to a page's LSN before the page is written ([`LogFlush`]). The checksum is set in the copy
//!    that is written: the page in the frame may be read meanwhile.
//!
//! The orderings of the frames' words are relaxed, but for mapping a frame and pinning it by number, which order its name:
//! the content's lock orders content, and the word itself is changed by atomic operations alone, so that each sees the one
//! before. The models
//! `buffer` in loom-tests follow pins against eviction, and show that each wrong order in a `variant!` is noticed.
//!
//! Source of the design: PostgreSQL's `storage/buffer/README`.

pub mod clock;
pub mod desc;
#[cfg(not(loom))]
pub mod files;
mod frame_name;
pub mod guard;
#[cfg(not(any(loom, shuttle)))]
mod large_pages;
pub mod note;
pub mod pool;
pub(crate) mod prefetch;
pub mod store;
pub mod sweep;
pub mod table;
#[cfg(all(test, not(loom)))]
mod tests;
mod usage;

pub use clock::Ring;
#[cfg(not(loom))]
pub use files::{FileSyncs, RelationFiles};
pub use guard::{PageRead, PageWrite, Pinned, PinnedWrite};
pub use pool::{BufferError, BufferPool, LogFlush};
pub use store::PageStore;
pub use sweep::{DirtyPicture, Sweep};
pub use usage::PageUse;

use base::{BlockNumber, ForkNumber, RelFileLocator};

/// A page's name (`BufferTag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageName {
    /// The relation's file.
    pub locator: RelFileLocator,
    /// Its fork.
    pub fork: ForkNumber,
    /// The page's number.
    pub block: BlockNumber,
}

#[cfg(not(loom))]
impl PageName {
    /// The page that a block reference of a record is about.
    pub fn of(block: &wal::record::BlockRef) -> PageName {
        PageName { locator: block.locator, fork: block.fork, block: block.block }
    }
}

/// `block 3 of 1663/5/16384 (main)`
impl std::fmt::Display for PageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block {} of {} ({})", self.block, self.locator, self.fork)
    }
}
