//! How much a table has changed since it was vacuumed: what its vacuum by itself goes by.
//!
//! | | counts as inserted | counts as dead |
//! |---|---|---|
//! | committed | what was inserted | what was updated or deleted |
//! | rolled back | | what was inserted, and what updates put in |
//!
//! Invariant: what a session counts comes to the table when its transaction ends; what a savepoint took back counts as its
//! transaction does. Source: `pgstat_relation.c` (`AtEOXact_PgStat_Relations`).

use base::sync::Arc;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;

/// What has happened to a table since it was vacuumed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    inserted: AtomicU64,
    dead: AtomicU64,
    /// Rows and pages at the last vacuum.
    live: AtomicU64,
    pages: AtomicU64,
}

/// The same, as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    pub(crate) inserted: u64,
    pub(crate) dead: u64,
    pub(crate) live: u64,
}

impl Changes {
    pub(crate) fn counted(&self) -> Counted {
        let [inserted, dead, live] =
            [&self.inserted, &self.dead, &self.live].map(|count| count.load(Relaxed));
        Counted { inserted, dead, live }
    }

    /// It was vacuumed: of its pages so many were scanned, with so many rows that stay; and so many are dead and stay.
    pub(crate) fn vacuumed(&self, pages: u64, scanned: u64, live: u64, dead: u64) {
        // Of pages that were left out it is as it was (`vac_estimate_reltuples`).
        let (old_live, old_pages) = (self.live.load(Relaxed), self.pages.load(Relaxed));
        let left_out = pages.saturating_sub(scanned);
        let on_others = (old_live * left_out).checked_div(old_pages).unwrap_or(0);
        self.live.store(live + on_others, Relaxed);
        self.pages.store(pages, Relaxed);
        self.dead.store(dead, Relaxed);
        self.inserted.store(0, Relaxed);
    }
}

/// What is done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowChange {
    Insert,
    Update,
    Delete,
}

/// What a session's transaction has done to tables.
#[derive(Debug, Default)]
pub(crate) struct OwnChanges(Vec<(Arc<Changes>, [u64; 3])>);

impl OwnChanges {
    /// Counts so many rows of a table.
    pub(crate) fn count(&mut self, of: &Arc<Changes>, change: RowChange, rows: u64) {
        let known = self.0.iter_mut().find(|(changes, _)| Arc::ptr_eq(changes, of));
        let counts = match known {
            Some((_, counts)) => counts,
            None => {
                self.0.push((Arc::clone(of), [0; 3]));
                &mut self.0.last_mut().expect("just pushed").1
            }
        };
        counts[change as usize] += rows;
    }

    /// The transaction has ended.
    pub(crate) fn settle(&mut self, has_committed: bool) {
        for (changes, [inserted, updated, deleted]) in self.0.drain(..) {
            if has_committed {
                changes.inserted.fetch_add(inserted, Relaxed);
                changes.dead.fetch_add(updated + deleted, Relaxed);
            } else {
                changes.dead.fetch_add(inserted + updated, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_commits_leaves_other_dead_versions_than_who_does_not() {
        let changes = Arc::new(Changes::default());
        let mut own = OwnChanges::default();
        for has_committed in [true, false] {
            own.count(&changes, RowChange::Insert, 10);
            own.count(&changes, RowChange::Update, 3);
            own.count(&changes, RowChange::Delete, 2);
            own.settle(has_committed);
        }
        assert_eq!(changes.counted(), Counted { inserted: 10, dead: 5 + 13, live: 0 });
        changes.vacuumed(10, 10, 100, 4);
        assert_eq!(changes.counted(), Counted { inserted: 0, dead: 4, live: 100 });
        // Half of the pages were left out: they are taken to have as many rows as before.
        changes.vacuumed(10, 5, 20, 0);
        assert_eq!(changes.counted(), Counted { inserted: 0, dead: 0, live: 70 });
    }
}
