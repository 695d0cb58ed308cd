//! What a transaction's snapshot sees, as a list of who was running.
//!
//! Invariant: the list is that of the snapshot which the statement reads by, in every mode.

use base::FullXid;
use snapshot::satisfies::{MvccSnapshot, Outcome};
use snapshot::{PgSnapshot, TransactionStatus};

use super::Transaction;
use crate::Error;
use crate::xact::mode::ModeSnapshot;

impl Transaction<'_, '_> {
    /// The snapshot of the running statement (`pg_current_snapshot`).
    ///
    /// # Errors
    /// As [`Transaction::begin_command`], where no statement runs; and as the disk says.
    pub fn pg_snapshot(&mut self) -> Result<PgSnapshot, Error> {
        self.begin_statement()?;
        let session = &*self.session;
        let next = session.backend.array().next_xid();
        if let Some(ModeSnapshot::Classic(classic) | ModeSnapshot::Mirror(classic, _)) =
            &session.snapshot
        {
            return Ok(classic.to_pg_snapshot(next).unwrap_or_else(|error| in_use(&error)));
        }
        // By time, those are running that have not ended before it.
        let own = session.ids.top;
        let mut running = Vec::new();
        let status = session.status();
        if let Some(snapshot) = &session.snapshot {
            let from = session.backend.xmin().unwrap_or(next);
            for xid in (from.0..next.0).map(FullXid) {
                let is_other = xid.xid().is_normal() && own != Some(xid);
                if is_other
                    && snapshot.outcome(xid.xid(), false, &status)? == Outcome::Running
                    && status.parent(xid.xid())?.is_none()
                {
                    running.push(xid);
                }
            }
        }
        let xmin = running.iter().copied().chain(own).fold(next, FullXid::min);
        Ok(PgSnapshot::new(xmin, next, running).unwrap_or_else(|error| in_use(&error)))
    }

    /// Its id, which it is given now if it has none.
    ///
    /// # Errors
    /// After an error, and where there are no more ids.
    pub fn assigned_xid(&mut self) -> Result<FullXid, Error> {
        self.check()?;
        self.assign_xid()?;
        self.session.ids.top.ok_or(Error::TransactionFailed)
    }
}

/// A snapshot that statements read by has bounds in order, and between them those who ran.
fn in_use(error: &dyn std::error::Error) -> ! {
    unreachable!("a snapshot in use: {error}")
}
