//! Vacuum sleeps now and then, so that others have the disk (`vacuum_cost_delay`).
//!
//! Invariants: between two sleeps pages are used that cost about as much as the limit; a sleep is no longer than four times what
//! one for just the limit is. No page is locked during it, and it can be cancelled. Source: `vacuum_delay_point`.

use std::time::Duration;

use crate::Error;
use crate::buffer::PageUse;
use crate::lock::Interrupts;
use crate::session::Session;
use crate::xact::Transactions;

/// When and how long a vacuum sleeps; PostgreSQL's parameters, and their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VacuumCost {
    /// How long, when pages were used for as much as the limit; zero for never (`vacuum_cost_delay`).
    pub delay: Duration,
    /// What pages may cost until then (`vacuum_cost_limit`).
    pub limit: u32,
    /// A page that is in memory (`vacuum_cost_page_hit`).
    pub page_hit: u32,
    /// A page that is read (`vacuum_cost_page_miss`).
    pub page_miss: u32,
    /// A page that is to be written because of the vacuum (`vacuum_cost_page_dirty`).
    pub page_dirty: u32,
}

impl Default for VacuumCost {
    fn default() -> VacuumCost {
        VacuumCost { delay: Duration::ZERO, limit: 200, page_hit: 1, page_miss: 2, page_dirty: 20 }
    }
}

impl VacuumCost {
    /// Those of a vacuum that comes by itself (`autovacuum_vacuum_cost_delay`).
    pub fn automatic() -> VacuumCost {
        VacuumCost { delay: Duration::from_millis(2), ..VacuumCost::default() }
    }

    fn of(&self, used: PageUse) -> u64 {
        used.hits * u64::from(self.page_hit)
            + used.misses * u64::from(self.page_miss)
            + used.dirtied * u64::from(self.page_dirty)
    }
}

/// What a vacuum's pages have cost since it slept last.
#[derive(Debug)]
pub(super) struct Balance<'e> {
    costs: VacuumCost,
    transactions: &'e Transactions,
    owner: usize,
    /// What this thread had used when it slept last, and when the vacuum began.
    slept: PageUse,
    began: PageUse,
    naps: u64,
}

impl<'e> Balance<'e> {
    /// Of a vacuum that begins.
    pub(super) fn new(costs: VacuumCost, session: &Session<'e>) -> Balance<'e> {
        let now = PageUse::of_this_thread();
        let (transactions, owner) = (&session.shared.transactions, session.number());
        Balance { costs, transactions, owner, slept: now, began: now, naps: 0 }
    }

    /// No more sleep: it is urgent.
    pub(super) fn hurry(&mut self) {
        self.costs.delay = Duration::ZERO;
    }

    /// Sleeps if enough was used.
    ///
    /// # Errors
    /// Where it is cancelled.
    pub(super) fn nap(&mut self, interrupts: &Interrupts<'_>) -> Result<(), Error> {
        interrupts.check()?;
        if self.costs.delay.is_zero() {
            return Ok(());
        }
        let (now, limit) = (PageUse::of_this_thread(), self.costs.limit.max(1));
        let cost = self.costs.of(now.since(self.slept));
        if cost < u64::from(limit) {
            return Ok(());
        }
        let times = (cost as f64 / f64::from(limit)).min(4.0);
        self.transactions.locks.pause(self.owner, self.costs.delay.mul_f64(times), interrupts)?;
        self.naps += 1;
        self.slept = PageUse::of_this_thread();
        Ok(())
    }

    /// What the vacuum has used, and how often it slept.
    pub(super) fn so_far(&self) -> (PageUse, u64) {
        (PageUse::of_this_thread().since(self.began), self.naps)
    }
}
