//! Who is inserting, and from where on: what keeps a flush from passing unwritten bytes.
//!
//! ```text
//! slot 0   IDLE
//! slot 1   0/1004D88    somebody has yet to copy something at or behind this position
//! slot 2   0/0          somebody may have reserved something, no matter where
//! slot 3   IDLE         everything that was reserved before this was seen is copied
//! ```
//!
//! An inserter takes a slot, then reserves, then shows the place, then copies, then gives the slot back. A flusher reads the end of what is reserved *first*, then the slots: who has
//! reserved before that end took a slot before, and the reservation's release and acquire carry it over. What
//! remains unfinished before the end is at or behind the lowest slot. (PostgreSQL: `WALInsertLocks`,
//! `WaitXLogInsertionsToFinish`.)
//!
//! Invariants: a slot's position grows while it is taken; only its owner writes it. What is counted of
//! records stands in the slots, too, so that nobody shares a cache line for counting.

use base::Lsn;
use base::ordering;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;
use crossbeam_utils::CachePadded;

use super::pause::Pause;

const IDLE: u64 = u64::MAX;
const SOMEWHERE: u64 = 0;

/// The slots.
#[derive(Debug)]
pub(super) struct Slots(Box<[CachePadded<Slot>]>);

#[derive(Debug)]
struct Slot {
    inserting_at: AtomicU64,
    counts: Counts,
}

/// What was inserted through a slot.
#[derive(Debug, Default)]
struct Counts {
    records: AtomicU64,
    images: AtomicU64,
    bytes: AtomicU64,
    /// Start of the last record that counts as something that happened.
    important: AtomicU64,
}

/// What was inserted since the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Inserted {
    pub(super) records: u64,
    pub(super) images: u64,
    pub(super) bytes: u64,
    pub(super) last_important: Lsn,
}

/// A slot that is taken. Dropped without [`Taken::finish`] it stays so: what was reserved with it is never
/// copied, and no flush may pass it.
#[derive(Debug)]
#[must_use]
pub(super) struct Taken<'s>(&'s Slot);

impl Slots {
    pub(super) fn new(count: usize) -> Slots {
        let slot = || Slot { inserting_at: AtomicU64::new(IDLE), counts: Counts::default() };
        Slots((0..count).map(|_| CachePadded::new(slot())).collect())
    }

    /// Takes a slot, the one that `hint` names if it is free; `hint` becomes the one taken. `None` when
    /// `gives_up` says so while all are taken.
    #[inline]
    pub(super) fn take(&self, hint: &mut usize, gives_up: impl Fn() -> bool) -> Option<Taken<'_>> {
        let mut pause = Pause::default();
        loop {
            for _ in 0..self.0.len() {
                let number = if *hint < self.0.len() { *hint } else { *hint % self.0.len() };
                let slot = &self.0[number];
                if slot.inserting_at.load(Relaxed) == IDLE
                    && slot
                        .inserting_at
                        .compare_exchange(
                            IDLE,
                            SOMEWHERE,
                            ordering!("log.slot-taken", AcqRel),
                            Relaxed,
                        )
                        .is_ok()
                {
                    *hint = number;
                    return Some(Taken(slot));
                }
                *hint = number + 1;
            }
            if gives_up() {
                return None;
            }
            pause.wait();
        }
    }

    /// The lowest position at which somebody inserts; `None` if nobody does.
    pub(super) fn lowest(&self) -> Option<Lsn> {
        let positions =
            self.0.iter().map(|slot| slot.inserting_at.load(ordering!("log.slot-seen", Acquire)));
        positions.min().filter(|lowest| *lowest != IDLE).map(Lsn)
    }

    /// What was inserted, in all; of records that are being inserted it may or may not count each.
    pub(super) fn inserted(&self) -> Inserted {
        let mut all = Inserted::default();
        for slot in &self.0 {
            all.records += slot.counts.records.load(Relaxed);
            all.images += slot.counts.images.load(Relaxed);
            all.bytes += slot.counts.bytes.load(Relaxed);
            all.last_important = all.last_important.max(Lsn(slot.counts.important.load(Relaxed)));
        }
        all
    }
}

impl Taken<'_> {
    /// Nothing before `to` remains to be copied.
    #[inline]
    pub(super) fn advance(&self, to: Lsn) {
        self.0.inserting_at.store(to.0, ordering!("log.slot-advanced", Release));
    }

    /// Counts a record.
    #[inline]
    pub(super) fn count(&self, bytes: u64, images: u32, important: Option<Lsn>) {
        // Only who has the slot writes these.
        let add = |count: &AtomicU64, more: u64| count.store(count.load(Relaxed) + more, Relaxed);
        let counts = &self.0.counts;
        add(&counts.records, 1);
        add(&counts.bytes, bytes);
        if images > 0 {
            add(&counts.images, u64::from(images));
        }
        if let Some(start) = important {
            counts.important.store(start.0, Relaxed);
        }
    }

    /// Gives the slot back: all is copied, or nothing was reserved.
    #[inline]
    pub(super) fn finish(self) {
        self.0.inserting_at.store(IDLE, ordering!("log.slot-finished", Release));
    }
}
