//! How many pages a thread has used, for who is to spare others (vacuum).
//!
//! Invariant: each thread counts for itself, so that counting costs no more than an addition.

use std::cell::Cell;

/// Pages that a thread has used, in whichever pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageUse {
    /// Pages that were in memory.
    pub hits: u64,
    /// Pages that were not.
    pub misses: u64,
    /// Pages that were changed and had nothing to be written before.
    pub dirtied: u64,
}

thread_local! {
    static COUNTED: Cell<PageUse> = const { Cell::new(PageUse { hits: 0, misses: 0, dirtied: 0 }) };
}

impl PageUse {
    /// By this thread, since it began.
    pub fn of_this_thread() -> PageUse {
        COUNTED.get()
    }

    /// What came since then.
    pub fn since(self, before: PageUse) -> PageUse {
        PageUse {
            hits: self.hits - before.hits,
            misses: self.misses - before.misses,
            dirtied: self.dirtied - before.dirtied,
        }
    }

    #[inline]
    pub(super) fn count(add: impl FnOnce(&mut PageUse)) {
        let mut counted = COUNTED.get();
        add(&mut counted);
        COUNTED.set(counted);
    }
}
