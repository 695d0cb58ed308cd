//! The ids of a session's own transaction: its own, and those of its subtransactions that were not rolled back.
//!
//! ```text
//! top 700 ── savepoint a 701 ── savepoint b 703      children 701 702 703, current 703
//!                 └─ released 702
//! ```
//!
//! Invariants: a transaction has an id before its subtransactions have, and one before those begun within it. So what
//! belongs to a subtransaction is itself and all children after it, and rolling it back cuts the list there.

use base::{FullXid, Xid};

/// A transaction's own ids.
#[derive(Debug, Default)]
pub(crate) struct OwnIds {
    /// The top-level transaction's, once it has one.
    pub(crate) top: Option<FullXid>,
    /// Those of subtransactions, running or released, in ascending order.
    pub(crate) children: Vec<FullXid>,
    /// That of the innermost one that runs, once it has one.
    pub(crate) current: Option<FullXid>,
}

impl OwnIds {
    /// Whether an id is one of them (`TransactionIdIsCurrentTransactionId`).
    #[inline]
    pub(crate) fn contains(&self, xid: Xid) -> bool {
        let Some(top) = self.top else { return false };
        if top.xid() == xid {
            return true;
        }
        !self.children.is_empty() && self.children.binary_search(&top.nearest(xid)).is_ok()
    }

    /// Takes out a subtransaction and all that belongs to it; itself first.
    pub(crate) fn cut(&mut self, xid: FullXid) -> Vec<FullXid> {
        let at = self.children.partition_point(|child| *child < xid);
        self.children.split_off(at)
    }

    /// The transaction is over.
    pub(crate) fn clear(&mut self) {
        (self.top, self.current) = (None, None);
        self.children.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_subtransaction_goes_with_it() {
        // Across the end of an epoch.
        let first = (1 << 32) - 2;
        let own = |distance: u64| FullXid(first + distance);
        let mut ids = OwnIds { top: Some(own(0)), ..OwnIds::default() };
        ids.children = [1, 5, 6, 9].map(own).to_vec();
        for distance in 0..12 {
            let is_own = [0, 1, 5, 6, 9].contains(&distance);
            assert_eq!(ids.contains(own(distance).xid()), is_own, "{distance}");
        }
        assert_eq!(ids.cut(own(5)), [5, 6, 9].map(own));
        assert_eq!(ids.children, [own(1)]);
        ids.clear();
        assert!(!ids.contains(own(0).xid()) && !ids.contains(own(1).xid()));
    }
}
