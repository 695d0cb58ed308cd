//! Which frame holds which page: a map in partitions, each behind a mutex of its own; and hints at that without one.
//!
//! Invariants: a name is in the table as long as its frame is mapped, and a frame has one name. Who holds a partition's
//! lock does no I/O, and takes no other partition's: the old name goes before the new one comes. A hint may be wrong: who
//! follows it pins the frame, and looks at its name then.

use std::collections::HashMap;
use std::hash::BuildHasher;

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Mutex, MutexGuard, PoisonError};
use rustc_hash::FxBuildHasher;

use super::PageName;

/// Names to frames, of one partition. The hasher has no seed, so that runs repeat.
pub(super) type Names = HashMap<PageName, usize, FxBuildHasher>;

/// The map.
#[derive(Debug)]
pub(super) struct Table {
    partitions: Box<[Mutex<Names>]>,
    /// By a name's hash, the frame that was last found to hold a page of that hash, from 1; 0 for none.
    hints: Box<[AtomicU32]>,
}

impl Table {
    /// With so many hints, a power of two or none, and so many partitions, a power of two.
    pub(super) fn new(hints: usize, partitions: usize) -> Table {
        assert!(partitions.is_power_of_two(), "{partitions} partitions");
        assert!(hints == 0 || hints.is_power_of_two(), "{hints} hints");
        Table {
            partitions: (0..partitions).map(|_| Mutex::new(Names::default())).collect(),
            hints: (0..hints).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// The partition that a name belongs to, locked.
    pub(super) fn partition(&self, name: &PageName) -> MutexGuard<'_, Names> {
        let hash = FxBuildHasher.hash_one(name) >> 32;
        let partition = &self.partitions[hash as usize & (self.partitions.len() - 1)];
        partition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Successive pages of a file have successive hints, of which a line of the processor's cache holds many.
    #[inline]
    fn hint_of(&self, name: &PageName) -> Option<&AtomicU32> {
        let hash = FxBuildHasher.hash_one((name.locator, name.fork)) >> 20;
        let at = (hash as usize).wrapping_add(name.block as usize);
        self.hints.get(at & self.hints.len().wrapping_sub(1))
    }

    /// The frame that perhaps holds this page.
    #[inline]
    pub(super) fn hint(&self, name: &PageName) -> Option<usize> {
        self.hint_of(name)?.load(Relaxed).checked_sub(1).map(|frame| frame as usize)
    }

    /// The frame was found to hold this page.
    #[inline]
    pub(super) fn set_hint(&self, name: &PageName, frame: usize) {
        if let (Some(of_name), Ok(hint)) = (self.hint_of(name), u32::try_from(frame + 1)) {
            of_name.store(hint, Relaxed);
        }
    }
}
