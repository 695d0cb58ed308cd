//! Up to which age rows are frozen, and whether a table is so old that every page must be looked at.
//!
//! ```text
//!  relfrozenxid ...... freeze limit ...... oldest xmin ...... next
//!       must be gone  │  may be frozen    │  somebody may still see a difference
//!                     └─ oldest xmin - freeze_min_age
//! ```
//!
//! Invariants: the freeze limit is not above the oldest xmin, nor the multixact cutoff above the oldest set of which a member
//! may run. Every transaction below the oldest xmin has ended, before every snapshot in use was taken, in whichever mode.
//! Source: `vacuum_set_xid_limits`, `vacuum_xid_failsafe_check`.

use base::{MultiXactId, Xid};

use super::{FreezeAges, VacuumWarning};
use crate::catalog::frozen::Frozen;
use crate::db::Shared;
use crate::session::Session;
use crate::slru::multixact::precedes;

/// What a vacuum of one table goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cutoffs {
    /// What was known of the table before.
    pub(super) before: Frozen,
    /// The oldest of which not everything is seen alike by all.
    pub(super) oldest: Frozen,
    /// What is older than this is frozen.
    pub(super) freeze: Frozen,
    /// Whether the table must come to that age: no page may be left out that has unfrozen rows.
    pub(super) is_aggressive: bool,
}

/// The ids that come next.
pub(super) fn next_ids(shared: &Shared) -> Frozen {
    Frozen {
        xid: shared.transactions.array.next_xid().xid(),
        multi: shared.storage.ids.lock().next_multi.max(1),
    }
}

/// The oldest ids that somebody may still see a difference in.
pub(super) fn oldest_ids(session: &Session<'_>) -> Frozen {
    let transactions = &session.shared.transactions;
    Frozen {
        xid: transactions.oldest_xmin(&session.backend),
        multi: transactions.oldest_multixact(&session.shared.storage),
    }
}

/// An id so many before another, and no special one.
pub(super) fn before(xid: Xid, age: u32) -> Xid {
    let limit = Xid(xid.0.wrapping_sub(age));
    if limit.is_normal() { limit } else { Xid::FIRST_NORMAL }
}

pub(super) fn multi_before(multi: MultiXactId, age: u32) -> MultiXactId {
    multi.wrapping_sub(age).max(1)
}

/// So many percent of an age, or the greatest one.
fn share_of(age: u32, percent: u64) -> u32 {
    (u64::from(age) * percent / 100).try_into().unwrap_or(u32::MAX)
}

impl Cutoffs {
    /// For a table of which this is known, as of now.
    pub(super) fn of(
        session: &Session<'_>,
        known: Frozen,
        ages: &FreezeAges,
        warn: &mut dyn FnMut(VacuumWarning),
    ) -> Cutoffs {
        let shared = session.shared;
        // Before the number of pages is looked at: what is put into later ones is newer.
        let oldest = oldest_ids(session);
        let Frozen { xid, multi } = oldest;
        let next = next_ids(shared);
        let multi_max_age = shared.storage.multixact_freeze_threshold(ages.multixact_max);
        let mut freeze_xid = before(xid, ages.xid_min.min(ages.xid_max / 2));
        if freeze_xid.precedes(before(next.xid, ages.xid_max)) {
            warn(VacuumWarning::OldXmin);
            freeze_xid = xid;
        }
        let mut freeze_multi = multi_before(multi, ages.multixact_min.min(multi_max_age / 2));
        let safe = multi_before(next.multi, multi_max_age);
        if precedes(freeze_multi, safe) {
            warn(VacuumWarning::OldMultiXact);
            freeze_multi = if precedes(multi, safe) { multi } else { safe };
        }
        let table_age = ages.xid_table.min(share_of(ages.xid_max, 95));
        let multi_table_age = ages.multixact_table.min(share_of(multi_max_age, 95));
        let xid_limit = before(next.xid, table_age);
        let multi_limit = multi_before(next.multi, multi_table_age);
        let is_aggressive = !xid_limit.precedes(known.xid) || !precedes(multi_limit, known.multi);
        Cutoffs {
            before: known,
            oldest,
            freeze: Frozen { xid: freeze_xid, multi: freeze_multi },
            is_aggressive,
        }
    }

    /// Whether the table is so old that nothing but freezing counts (`vacuum_xid_failsafe_check`).
    pub(super) fn is_emergency(&self, session: &Session<'_>, ages: &FreezeAges) -> bool {
        let next = next_ids(session.shared);
        let xid_age = ages.xid_failsafe.max(share_of(ages.xid_max, 105));
        let multi_age = ages.multixact_failsafe.max(share_of(ages.multixact_max, 105));
        self.before.xid.precedes(before(next.xid, xid_age))
            || precedes(self.before.multi, multi_before(next.multi, multi_age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_count_over_the_end_of_the_numbers() {
        assert_eq!(before(Xid(1000), 100), Xid(900));
        assert_eq!(before(Xid(100), 98), Xid::FIRST_NORMAL);
        assert_eq!(before(Xid(100), 200), Xid(u32::MAX - 99));
        assert_eq!(multi_before(5, 5), 1);
        assert_eq!(share_of(200_000_000, 95), 190_000_000);
        assert_eq!(share_of(u32::MAX, 105), u32::MAX);
    }
}
