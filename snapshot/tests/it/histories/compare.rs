//! Every rule asked of every version by list and by time, and the first difference.

use std::convert::Infallible;

use base::{CommandId, Xid};
use snapshot::commit_ts::publish::Publication;
use snapshot::commit_ts::{CommitTsHorizon, CommitTsSnapshot, CommitTsStatus};
use snapshot::satisfies::{
    DirtyVerdict, HistoricSnapshot, UpdateVerdict, VacuumVerdict, satisfies_dirty,
    satisfies_historic, satisfies_mvcc, satisfies_self, satisfies_toast, satisfies_update,
    satisfies_vacuum, satisfies_vacuum_horizon,
};
use snapshot::{TransactionStatus, TupleStamp};

use super::fates::Asked;
use super::history::{History, Pair, State};

impl<'t, P: Publication> History<'t, P> {
    /// Snapshots in use: one whose owner has ended asks nothing any more.
    fn in_use(&self) -> impl Iterator<Item = (usize, &Pair<'t>)> {
        self.snapshots.iter().enumerate().filter(|(_, pair)| {
            pair.owner.is_none_or(|owner| self.transactions[owner].state == State::Running)
        })
    }

    /// Every version by every snapshot and rule; the first difference as a grid. Returns how many pairs of version
    /// and snapshot there were.
    pub(super) fn compare(&self) -> Result<u64, String> {
        let mut compared = 0;
        for (index, pair) in self.in_use() {
            let asked = Asked { history: self, owner: pair.owner };
            let by_time = CommitTsStatus { table: self.table, behind: &asked };
            let (then_by_list, then_by_time) = pair.historic();
            for (version, stamp) in self.versions.iter().enumerate() {
                let Ok(list) = satisfies_mvcc(stamp, &pair.classic, &asked);
                let Ok(time) = satisfies_mvcc(stamp, &pair.by_time, &by_time);
                if list.verdict != time.verdict {
                    return Err(self.difference("mvcc", Some(index), version, &list, &time));
                }
                // Nothing of the replayed transaction's own: its commands are the enumeration's part.
                let Ok(list) = satisfies_historic(stamp, &then_by_list, || None, &asked);
                let Ok(time) = satisfies_historic(stamp, &then_by_time, || None, &by_time);
                if list.verdict != time.verdict {
                    return Err(self.difference("historic", Some(index), version, &list, &time));
                }
                compared += 1;
            }
        }
        let running_top = |index: &usize| {
            let transaction = &self.transactions[*index];
            transaction.parent.is_none() && transaction.state == State::Running
        };
        let askers = (0..self.transactions.len()).filter(running_top).map(Some);
        for owner in askers.chain([None]) {
            let asked = Asked { history: self, owner };
            let by_time = CommitTsStatus { table: self.table, behind: &asked };
            let curcid = owner.map_or(0, |owner| self.command(owner));
            for (version, stamp) in self.versions.iter().enumerate() {
                let (list, time) = (now(stamp, curcid, &asked), now(stamp, curcid, &by_time));
                if list != time {
                    let rules = "self, toast, dirty, update, vacuum";
                    return Err(self.text(rules, owner, version, &list, &time));
                }
            }
        }
        self.check_removal()?;
        Ok(compared)
    }

    /// What vacuum takes away in either mode no snapshot in use sees; and what it takes away by the list, it takes
    /// away by time.
    fn check_removal(&self) -> Result<(), String> {
        let asked = Asked { history: self, owner: None };
        let by_time = CommitTsStatus { table: self.table, behind: &asked };
        let starts = self.in_use().map(|(_, pair)| pair.by_time.start_ts());
        let oldest_start_ts = starts.min().unwrap_or_else(|| self.publication.start_ts());
        let by_start = CommitTsHorizon { table: self.table, oldest_start_ts };
        let running = self
            .transactions
            .iter()
            .filter(|transaction| matches!(transaction.state, State::Running | State::Prepared));
        let xmins = self.in_use().map(|(_, pair)| pair.historic_xmin);
        let by_xmin = running
            .map(|transaction| transaction.xid.xid())
            .chain(xmins)
            .reduce(|oldest, xid| if xid.precedes(oldest) { xid } else { oldest })
            .unwrap_or_else(|| self.next_xid());
        for (version, stamp) in self.versions.iter().enumerate() {
            let Ok(list) = satisfies_vacuum(stamp, &by_xmin, &asked);
            let Ok(time) = satisfies_vacuum(stamp, &by_start, &by_time);
            if list.verdict == VacuumVerdict::Dead && time.verdict != VacuumVerdict::Dead {
                return Err(self.difference("vacuum", None, version, &list, &time));
            }
            if time.verdict != VacuumVerdict::Dead {
                continue;
            }
            for (index, pair) in self.in_use() {
                let asked = Asked { history: self, owner: pair.owner };
                let Ok(seen) = satisfies_mvcc(stamp, &pair.classic, &asked);
                if seen.verdict {
                    let (seen, dead) = (seen.sentence(), time.sentence());
                    return Err(self.text(
                        "mvcc against vacuum",
                        Some(index),
                        version,
                        &seen,
                        &dead,
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The rules of this instant: self, toast, dirty, update, and vacuum without a horizon.
fn now<S: TransactionStatus<Error = Infallible>>(
    stamp: &TupleStamp,
    curcid: CommandId,
    status: &S,
) -> (bool, bool, DirtyVerdict, UpdateVerdict, VacuumVerdict, Option<Xid>) {
    let (Ok(itself), Ok(toast)) = (satisfies_self(stamp, status), satisfies_toast(stamp, status));
    let Ok(dirty) = satisfies_dirty(stamp, status);
    let Ok(update) = satisfies_update(stamp, curcid, status);
    let Ok((vacuum, dead_after)) = satisfies_vacuum_horizon(stamp, status);
    (itself.verdict, toast.verdict, dirty.verdict, update.verdict, vacuum.verdict, dead_after)
}

impl<'t> Pair<'t> {
    /// The same for the historic rule, by list and by time.
    fn historic(&self) -> (HistoricSnapshot, HistoricSnapshot<CommitTsSnapshot<'t>>) {
        let (xmin, xmax) = (self.historic_xmin, self.classic.contents().xmax);
        let list = HistoricSnapshot::new(xmin, xmax, self.committed.clone(), Vec::new(), 0);
        (list, HistoricSnapshot::over(self.by_time.clone(), Vec::new()))
    }
}
