//! The name of a frame's page, which is read without a lock.
//!
//! Invariants: it is written by who has taken the frame, before the frame is mapped, and counts as long as it is mapped: nobody
//! takes it back. So who has pinned a mapped frame, or holds its name's partition of the table, reads it whole; anybody else may
//! read a name that the frame has no more, or of which no page ever had all parts.

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::{ForkNumber, RelFileLocator};

use super::PageName;

/// A frame's name.
#[derive(Debug)]
pub(super) struct FrameName {
    tablespace: AtomicU32,
    database: AtomicU32,
    relation: AtomicU32,
    fork: AtomicU32,
    block: AtomicU32,
}

impl FrameName {
    /// Of a frame that is not mapped.
    pub(super) fn new() -> FrameName {
        let [tablespace, database, relation, fork, block] = [(); 5].map(|()| AtomicU32::new(0));
        FrameName { tablespace, database, relation, fork, block }
    }

    /// Whether it is this one.
    #[inline]
    pub(super) fn is(&self, name: &PageName) -> bool {
        let PageName { locator, fork, block } = *name;
        self.block.load(Relaxed) == block
            && self.relation.load(Relaxed) == locator.relation
            && self.fork.load(Relaxed) == fork as u32
            && self.database.load(Relaxed) == locator.database
            && self.tablespace.load(Relaxed) == locator.tablespace
    }

    /// The name, if the frame is mapped.
    pub(super) fn get(&self) -> PageName {
        let fork = u8::try_from(self.fork.load(Relaxed)).ok().and_then(ForkNumber::from_number);
        let fork = fork.expect("set from a fork's number");
        let locator = RelFileLocator {
            tablespace: self.tablespace.load(Relaxed),
            database: self.database.load(Relaxed),
            relation: self.relation.load(Relaxed),
        };
        PageName { locator, fork, block: self.block.load(Relaxed) }
    }

    /// See the module for who may.
    pub(super) fn set(&self, name: &PageName) {
        let PageName { locator, fork, block } = *name;
        self.tablespace.store(locator.tablespace, Relaxed);
        self.database.store(locator.database, Relaxed);
        self.relation.store(locator.relation, Relaxed);
        self.fork.store(fork as u32, Relaxed);
        self.block.store(block, Relaxed);
    }
}
