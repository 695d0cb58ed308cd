//! Which frame holds which page: a map in partitions, each behind a mutex of its own.
//!
//! Invariants: a name is in the table as long as its frame is mapped, and a frame has one name. Who holds a partition's
//! lock does no I/O, and takes no other partition's: the old name goes before the new one comes.

use std::collections::HashMap;
use std::hash::BuildHasher;

use base::sync::{Mutex, MutexGuard, PoisonError};
use rustc_hash::FxBuildHasher;

use super::PageName;

/// Names to frames, of one partition. The hasher has no seed, so that runs repeat.
pub(super) type Names = HashMap<PageName, usize, FxBuildHasher>;

/// The map.
#[derive(Debug)]
pub(super) struct Table {
    partitions: Box<[Mutex<Names>]>,
}

impl Table {
    /// With so many partitions; a power of two.
    pub(super) fn new(partitions: usize) -> Table {
        assert!(partitions.is_power_of_two(), "{partitions} partitions");
        Table { partitions: (0..partitions).map(|_| Mutex::new(Names::default())).collect() }
    }

    /// The partition that a name belongs to, locked.
    pub(super) fn partition(&self, name: &PageName) -> MutexGuard<'_, Names> {
        let hash = FxBuildHasher.hash_one(name) >> 32;
        let partition = &self.partitions[hash as usize & (self.partitions.len() - 1)];
        partition.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
