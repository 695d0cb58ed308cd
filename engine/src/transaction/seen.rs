//! What a transaction's snapshot sees, as a list of who was running.
//!
//! Invariant: the list is that of the snapshot which the statement reads by, in every mode.

use base::FullXid;
use snapshot::commit_ts::CommitTsSnapshot;
use snapshot::satisfies::{MvccSnapshot, Outcome};
use snapshot::{ClassicSnapshot, Contents, PgSnapshot, TransactionStatus};

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
        let next = self.session.backend.array().next_xid();
        let listed = ClassicSnapshot::new(self.running()?, 0);
        Ok(listed.to_pg_snapshot(next).unwrap_or_else(|error| in_use(&error)))
    }

    /// Who was running when the statement's snapshot was taken, but for the transaction itself.
    pub(super) fn running(&self) -> Result<Contents, Error> {
        match &self.session.snapshot {
            Some(ModeSnapshot::Classic(classic) | ModeSnapshot::Mirror(classic, _)) => {
                Ok(classic.contents().clone())
            }
            Some(ModeSnapshot::CommitTs(point)) => self.running_at(point),
            None => unreachable!("a statement has a snapshot"),
        }
    }

    /// By time, those were running that had not ended before it.
    fn running_at(&self, point: &CommitTsSnapshot<'_>) -> Result<Contents, Error> {
        let session = &*self.session;
        let (ids, status) = (&session.ids, session.status());
        let table = point.table();
        let last = table.oldest().nearest(point.xmax());
        // All before it had ended.
        let first = table.truncation_horizon(point.start_ts(), last);
        // Behind the last one that had ended.
        let mut xmax = first;
        let (mut tops, mut children) = (Vec::new(), Vec::new());
        for xid in (first.0..last.0).map(FullXid).filter(|xid| xid.xid().is_normal()) {
            if ids.contains(xid.xid()) {
                continue;
            }
            if point.outcome(xid.xid(), false, &status)? != Outcome::Running {
                xmax = FullXid(xid.0 + 1);
                continue;
            }
            match status.parent(xid.xid()) {
                Ok(Some(_)) => children.push(xid),
                // It has ended since: to who reads the list a subtransaction is then the same as a transaction.
                Ok(None) | Err(Error::MissingPage { .. }) => tops.push(xid),
                Err(error) => return Err(error),
            }
        }
        tops.retain(|xid| *xid < xmax);
        children.retain(|xid| *xid < xmax);
        let xmin = tops.iter().copied().chain(ids.top).fold(xmax, FullXid::min);
        let xids = |ids: Vec<FullXid>| ids.into_iter().map(FullXid::xid).collect();
        Ok(Contents {
            xmin: xmin.xid(),
            xmax: xmax.xid(),
            xip: xids(tops),
            subxip: xids(children),
            ..Contents::default()
        })
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
