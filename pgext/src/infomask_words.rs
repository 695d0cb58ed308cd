//! The bits of a tuple's header, and a multixact's members, in words.
//!
//! The words are the names of `htup_details.h` and `multixact.h` without their prefix, in small letters. Two bits that mean
//! something together (frozen, the lock for share) are one word.

use base::{Infomask, Infomask2};
use snapshot::MultiXactStatus;

/// What both bit fields say, in the order of the bits.
pub(crate) fn words(bits: Infomask, bits2: Infomask2) -> Vec<&'static str> {
    let frozen = bits.xmin_frozen();
    let share = bits.contains(Infomask::XMAX_SHR_LOCK);
    let one = [
        (bits.contains(Infomask::HASNULL), "has null"),
        (bits.contains(Infomask::HASVARWIDTH), "has variable width"),
        (bits.contains(Infomask::HASEXTERNAL), "has external"),
        (bits.contains(Infomask::HASOID_OLD), "has oid"),
        (bits.contains(Infomask::XMAX_KEYSHR_LOCK) && !share, "xmax key share lock"),
        (bits.contains(Infomask::COMBOCID), "combo command id"),
        (bits.contains(Infomask::XMAX_EXCL_LOCK) && !share, "xmax exclusive lock"),
        (share, "xmax share lock"),
        (bits.contains(Infomask::XMAX_LOCK_ONLY), "xmax lock only"),
        (bits.contains(Infomask::XMIN_COMMITTED) && !frozen, "xmin committed"),
        (bits.contains(Infomask::XMIN_INVALID) && !frozen, "xmin invalid"),
        (frozen, "xmin frozen"),
        (bits.contains(Infomask::XMAX_COMMITTED), "xmax committed"),
        (bits.contains(Infomask::XMAX_INVALID), "xmax invalid"),
        (bits.contains(Infomask::XMAX_IS_MULTI), "xmax is multixact"),
        (bits.contains(Infomask::UPDATED), "updated"),
        (bits.contains(Infomask::MOVED_OFF), "moved off"),
        (bits.contains(Infomask::MOVED_IN), "moved in"),
        (bits2.contains(Infomask2::KEYS_UPDATED), "keys updated"),
        (bits2.contains(Infomask2::HOT_UPDATED), "HOT updated"),
        (bits2.contains(Infomask2::ONLY_TUPLE), "heap only"),
    ];
    one.into_iter().filter_map(|(is_set, word)| is_set.then_some(word)).collect()
}

/// How one that locks alone locks; `None` of who ends the version.
pub(crate) fn lock(bits: Infomask, bits2: Infomask2) -> Option<&'static str> {
    if !bits.xmax_locked_only() {
        return None;
    }
    Some(if bits.contains(Infomask::XMAX_SHR_LOCK) {
        "for share"
    } else if bits.contains(Infomask::XMAX_KEYSHR_LOCK) {
        "for key share"
    } else if bits2.contains(Infomask2::KEYS_UPDATED) {
        "for update"
    } else {
        "for no key update"
    })
}

/// How a member of a multixact holds the version.
pub(crate) fn member(status: MultiXactStatus) -> &'static str {
    match status {
        MultiXactStatus::ForKeyShare => "for key share",
        MultiXactStatus::ForShare => "for share",
        MultiXactStatus::ForNoKeyUpdate => "for no key update",
        MultiXactStatus::ForUpdate => "for update",
        MultiXactStatus::NoKeyUpdate => "update without keys",
        MultiXactStatus::Update => "update or delete",
    }
}
