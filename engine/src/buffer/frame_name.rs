//! The name of a frame's page, which is read without a lock.
//!
//! Invariants: it is written by who has taken the frame, before the frame is mapped, and counts as long as it is mapped: nobody
//! takes it back. So who has pinned a mapped frame, or holds its name's partition of the table, reads it whole; anybody else may
//! read a name that the frame has no more, or of which no page ever had all parts.

use base::sync::atomic::Ordering::Relaxed;
use base::sync::atomic::{AtomicU32, AtomicU64};
use base::{ForkNumber, Oid, RelFileLocator};

use super::PageName;

/// A frame's name.
#[derive(Debug)]
pub(super) struct FrameName {
    fork: AtomicU32,
    /// Tablespace and database.
    place: AtomicU64,
    /// The relation's file number and the block.
    block: AtomicU64,
}

#[inline]
fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline]
fn place_of(name: &PageName) -> u64 {
    pair(name.locator.tablespace, name.locator.database)
}

#[inline]
fn block_of(name: &PageName) -> u64 {
    pair(name.locator.relation, name.block)
}

impl FrameName {
    /// Of a frame that is not mapped.
    pub(super) fn new() -> FrameName {
        FrameName { fork: AtomicU32::new(0), place: AtomicU64::new(0), block: AtomicU64::new(0) }
    }

    /// Whether it is this one.
    #[inline]
    pub(super) fn is(&self, name: &PageName) -> bool {
        self.block.load(Relaxed) == block_of(name)
            && self.place.load(Relaxed) == place_of(name)
            && self.fork.load(Relaxed) == name.fork as u32
    }

    /// The name, if the frame is mapped.
    pub(super) fn get(&self) -> PageName {
        let fork = u8::try_from(self.fork.load(Relaxed)).ok().and_then(ForkNumber::from_number);
        let fork = fork.expect("set from a fork's number");
        let (place, block) = (self.place.load(Relaxed), self.block.load(Relaxed));
        let locator = RelFileLocator {
            tablespace: (place >> 32) as Oid,
            database: place as Oid,
            relation: (block >> 32) as Oid,
        };
        PageName { locator, fork, block: block as u32 }
    }

    /// See the module for who may.
    pub(super) fn set(&self, name: &PageName) {
        self.fork.store(name.fork as u32, Relaxed);
        self.place.store(place_of(name), Relaxed);
        self.block.store(block_of(name), Relaxed);
    }
}
