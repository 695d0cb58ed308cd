//! Many transaction ids given out at once, to transactions that are over as soon as they have them: what brings the end of the
//! numbers near, for tests.
//!
//! Each id goes the way of every other: the limits are looked at, the logs of transactions have room made for it, which is
//! logged. Invariant: nobody ever sees one of them as running; whoever looks finds that it never committed, as after a crash.

use base::FullXid;

use super::xids::make_room;
use crate::Error;
use crate::session::Session;

/// Ids that are given out under one hold of the locks.
const AT_ONCE: u64 = 1 << 15;

impl Session<'_> {
    /// Gives so many transaction ids out to nobody; the last of them. Between transactions.
    ///
    /// # Errors
    /// As giving one out; those before it are then gone.
    pub fn burn_xids(&mut self, count: u64) -> Result<FullXid, Error> {
        let shared = self.shared;
        let (storage, transactions) = (&shared.storage, &shared.transactions);
        let inserter = &mut self.inserter;
        let mut last = transactions.array.latest_completed();
        let mut left = count;
        while left > 0 {
            shared.check()?;
            let now = left.min(AT_ONCE);
            last = transactions.array.try_burn_xids(now, |xid| {
                make_room(storage, transactions, inserter, xid)?;
                transactions.time.abort(xid, &[]);
                Ok::<(), Error>(())
            })?;
            left -= now;
        }
        Ok(last)
    }
}
