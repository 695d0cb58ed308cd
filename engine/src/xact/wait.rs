//! Waiting for another transaction's end.
//!
//! ```text
//! ask for the lock of its id, shared ─► it has ended ─► done
//!                                    └► a subtransaction that was released: the same with the transaction it belongs to
//! ```
//!
//! Invariants: a transaction has stopped running before it gives its lock back. Nobody waits for himself. Source:
//! `XactLockTableWait`.

use base::Xid;

use super::status::is_in_array;
use crate::Error;
use crate::lock::{LockTag, TableLockMode, WaitPolicy};
use crate::session::Session;

impl Session<'_> {
    /// Waits until a transaction or subtransaction has ended. `false` if it has not, and is not to be waited for.
    ///
    /// # Errors
    /// As a lock that is waited for; where `pg_subtrans` cannot be read.
    pub(crate) fn wait_for(&mut self, xid: Xid, policy: WaitPolicy) -> Result<bool, Error> {
        let shared = self.shared;
        let (storage, array) = (&shared.storage, &shared.transactions.array);
        let locks = &shared.transactions.locks;
        let mut awaited = xid;
        loop {
            debug_assert!(!self.ids.contains(awaited), "transaction {awaited} waits for itself");
            let (tag, mode) = (LockTag::Transaction(awaited), TableLockMode::Share);
            if !locks.acquire(self.number(), tag, mode, policy, &self.interrupts())? {
                return Ok(false);
            }
            locks.release(self.number(), [(tag, mode)]);
            if !is_in_array(storage, array, awaited)? {
                return Ok(true);
            }
            // No running transaction is so much older.
            let oldest = Xid(awaited.0.wrapping_sub(1 << 30));
            awaited = match storage.subtrans.topmost(awaited, oldest) {
                Ok(top) => top,
                // The page of one that has ended meanwhile may be gone.
                Err(_) if !is_in_array(storage, array, awaited)? => return Ok(true),
                Err(error) => return Err(error),
            };
        }
    }
}
