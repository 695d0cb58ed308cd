//! Transaction identifiers: the 32-bit one that tuples and records carry, and the 64-bit one that never
//! wraps.
//!
//! Invariant: ids 0 to 2 are special (invalid, bootstrap, frozen); normal ids are compared modulo 2^32,
//! so that half of them are older and half newer than any given one (`TransactionIdPrecedes`).

use std::fmt;

use serde::Serialize;

/// A 32-bit transaction id (`TransactionId`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Xid(pub u32);

impl Xid {
    /// No transaction.
    pub const INVALID: Xid = Xid(0);
    /// The transaction that bootstraps the catalogs: always committed.
    pub const BOOTSTRAP: Xid = Xid(1);
    /// Older than every normal transaction: always committed.
    pub const FROZEN: Xid = Xid(2);
    /// The smallest normal id.
    pub const FIRST_NORMAL: Xid = Xid(3);

    /// Whether this is [`Xid::INVALID`].
    #[inline]
    pub const fn is_invalid(self) -> bool {
        self.0 == 0
    }

    /// Whether this is an id that a transaction can be given.
    #[inline]
    pub const fn is_normal(self) -> bool {
        self.0 >= Xid::FIRST_NORMAL.0
    }

    /// Whether `self` is logically older than `other`: modulo 2^32 for two normal ids, else by value.
    #[inline]
    pub const fn precedes(self, other: Xid) -> bool {
        if self.is_normal() && other.is_normal() {
            (self.0.wrapping_sub(other.0) as i32) < 0
        } else {
            self.0 < other.0
        }
    }
}

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Xid({})", self.0)
    }
}

/// A 64-bit transaction id: the epoch in the high half (`FullTransactionId`). The order is plain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct FullXid(pub u64);

impl FullXid {
    /// The id `xid` of the given epoch.
    #[inline]
    pub const fn new(epoch: u32, xid: Xid) -> FullXid {
        FullXid((epoch as u64) << 32 | xid.0 as u64)
    }

    /// How often the 32-bit counter had wrapped.
    #[inline]
    pub const fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The low half.
    #[inline]
    pub const fn xid(self) -> Xid {
        Xid(self.0 as u32)
    }

    /// The id after this one: special ids are left out in every epoch (`FullTransactionIdAdvance`).
    #[inline]
    #[must_use]
    pub const fn next(self) -> FullXid {
        let next = FullXid(self.0 + 1);
        if next.xid().is_normal() { next } else { FullXid::new(next.epoch(), Xid::FIRST_NORMAL) }
    }

    /// The id before this one, special ids left out (`FullTransactionIdRetreat`); before the very first
    /// normal id stands [`Xid::FROZEN`] of epoch 0.
    #[inline]
    #[must_use]
    pub const fn previous(self) -> FullXid {
        let previous = FullXid(self.0.saturating_sub(1));
        if previous.xid().is_normal() || previous.epoch() == 0 {
            previous
        } else {
            FullXid::new(previous.epoch() - 1, Xid(u32::MAX))
        }
    }

    /// The 64-bit form of a normal `xid` known to be within 2^31 of this one (`FullXidRelativeTo`).
    /// What would lie before epoch 0 becomes 0.
    #[inline]
    pub const fn nearest(self, xid: Xid) -> FullXid {
        let distance = xid.0.wrapping_sub(self.xid().0) as i32;
        FullXid(self.0.saturating_add_signed(distance as i64))
    }
}

impl fmt::Debug for FullXid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch(), self.xid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_modular_between_normal_ids_and_plain_with_special_ones() {
        assert!(Xid(u32::MAX).precedes(Xid(3)));
        assert!(!Xid(3).precedes(Xid(u32::MAX)));
        assert!(Xid::FROZEN.precedes(Xid(u32::MAX)));
        assert!(!Xid(7).precedes(Xid(7)));
    }

    #[test]
    fn full_ids_leave_special_ids_out_and_are_found_again_from_their_low_half() {
        let last = FullXid::new(4, Xid(u32::MAX));
        assert_eq!(last.next(), FullXid::new(5, Xid::FIRST_NORMAL));
        assert_eq!(last.next().previous(), last);
        assert_eq!(FullXid(3).previous(), FullXid(2));
        assert_eq!(FullXid(0).previous(), FullXid(0));
        assert_eq!(last.nearest(Xid(7)), FullXid::new(5, Xid(7)));
        assert_eq!(FullXid::new(5, Xid(7)).nearest(Xid(u32::MAX)), last);
        assert_eq!(FullXid(9).nearest(Xid(u32::MAX)), FullXid(0));
    }
}
