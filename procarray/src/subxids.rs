//! The subtransaction ids of one running transaction: up to [`MAX_CACHED_SUBXIDS`], then a flag that
//! some are missing.
//!
//! The protocol of growth: the owner stores the id, then publishes the new count (release). A snapshot
//! loads the count once (acquire: `subxids.count-seen` pairs with `subxids.count`) and then reads that
//! many ids. It holds the array's lock shared, and growth takes no part in that lock, so that this pair
//! alone says that a counted id is there. What is added after the count was read is newer than the
//! snapshot's xmax and needs not be seen.
//!
//! Shrinking happens with the array's lock held exclusively: nobody reads then.
//!
//! Invariants: the first `count` ids are valid and distinct; once `overflowed` is set, it stays until the
//! transaction ends, and the ids that are held stay valid.

use base::sync::atomic::AtomicU32;
use base::sync::atomic::Ordering::Relaxed;
use base::{Xid, ordering, variant};

use crate::proc::{MAX_CACHED_SUBXIDS, Proc};

/// How many subtransaction ids a slot holds, and whether it could not hold all (`XidCacheStatus`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SubxidState {
    /// How many are held.
    pub count: u8,
    /// Whether some are missing.
    pub overflowed: bool,
}

impl SubxidState {
    const OVERFLOWED: u32 = 0x100;

    #[inline]
    pub(crate) fn to_word(self) -> u32 {
        u32::from(self.count) | if self.overflowed { SubxidState::OVERFLOWED } else { 0 }
    }

    #[inline]
    pub(crate) fn from_word(word: u32) -> SubxidState {
        SubxidState { count: word as u8, overflowed: word & SubxidState::OVERFLOWED != 0 }
    }
}

/// Adds an id for the slot's owner; `mirror` is the slot's word in the dense array.
pub(crate) fn add(proc: &Proc, mirror: &AtomicU32, subxid: Xid) {
    let mut state = SubxidState::from_word(proc.subxid_state.load(Relaxed));
    if usize::from(state.count) < MAX_CACHED_SUBXIDS {
        proc.subxids[usize::from(state.count)].store(subxid.0, Relaxed);
        state.count += 1;
    } else {
        state.overflowed = true;
    }
    proc.subxid_state.store(state.to_word(), Relaxed);
    mirror.store(state.to_word(), ordering!("subxids.count", Release));
}

/// Takes ids away, with the array's lock held exclusively. An id that is not there is no fault: it may
/// have overflowed, or its abort may be repeated after an error.
pub(crate) fn remove(proc: &Proc, mirror: &AtomicU32, subxids: impl Iterator<Item = Xid>) {
    let mut state = SubxidState::from_word(proc.subxid_state.load(Relaxed));
    for subxid in subxids {
        // The newest are the likeliest, and stand last.
        let held = usize::from(state.count);
        if let Some(at) =
            proc.subxids[..held].iter().rposition(|held| held.load(Relaxed) == subxid.0)
        {
            proc.subxids[at].store(proc.subxids[held - 1].load(Relaxed), Relaxed);
            state.count -= 1;
        }
    }
    proc.subxid_state.store(state.to_word(), Relaxed);
    mirror.store(state.to_word(), Relaxed);
}

/// Forgets all ids, with the array's lock held exclusively.
#[inline]
pub(crate) fn clear(proc: &Proc, mirror: &AtomicU32) {
    if proc.subxid_state.load(Relaxed) != 0 {
        mirror.store(0, Relaxed);
        proc.subxid_state.store(0, Relaxed);
    }
}

/// The state and, unless it overflowed, the ids behind it, appended to `into`. The caller holds the
/// array's lock, shared at least.
#[inline]
pub(crate) fn read(proc: &Proc, mirror: &AtomicU32, into: &mut Vec<Xid>) -> SubxidState {
    if variant!("subxids.count-after-ids") {
        let ids: Vec<u32> = proc.subxids.iter().map(|subxid| subxid.load(Relaxed)).collect();
        let state = SubxidState::from_word(mirror.load(ordering!("subxids.count-seen", Acquire)));
        into.extend(ids[..usize::from(state.count)].iter().map(|&subxid| Xid(subxid)));
        return state;
    }
    let state = SubxidState::from_word(mirror.load(ordering!("subxids.count-seen", Acquire)));
    if !state.overflowed {
        into.extend(
            proc.subxids[..usize::from(state.count)].iter().map(|subxid| Xid(subxid.load(Relaxed))),
        );
    }
    state
}

/// Puts ids into a slot that nobody sees yet.
pub(crate) fn fill(proc: &Proc, subxids: impl Iterator<Item = Xid>) {
    let mut state = SubxidState::default();
    for subxid in subxids {
        match proc.subxids.get(usize::from(state.count)) {
            Some(place) => {
                place.store(subxid.0, Relaxed);
                state.count += 1;
            }
            None => state.overflowed = true,
        }
    }
    proc.subxid_state.store(state.to_word(), Relaxed);
}

/// Copies one slot's ids into another that nobody sees yet.
pub(crate) fn copy(from: &Proc, to: &Proc) {
    for (from, to) in from.subxids.iter().zip(&to.subxids) {
        to.store(from.load(Relaxed), Relaxed);
    }
    to.subxid_state.store(from.subxid_state.load(Relaxed), Relaxed);
}
