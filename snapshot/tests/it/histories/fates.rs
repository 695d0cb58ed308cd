//! What became of a history's transactions, as the rules ask for it: the list's side. By time the same is asked through the
//! commit-timestamp table, with this behind it.

use std::borrow::Cow;
use std::convert::Infallible;

use base::{CommandId, Infomask, MultiXactId, Xid};
use snapshot::commit_ts::publish::Publication;
use snapshot::{CommandIdPair, LoggedStatus, MultiXactMember, TransactionStatus, TupleStamp};

use super::history::{History, State};

/// The fates as one transaction, or nobody, sees them.
pub(super) struct Asked<'a, P> {
    pub(super) history: &'a History<'a, P>,
    pub(super) owner: Option<usize>,
}

impl<P: Publication> Asked<'_, P> {
    pub(super) fn cmin(&self, stamp: &TupleStamp) -> Result<CommandId, Infallible> {
        if stamp.infomask.contains(Infomask::COMBOCID) {
            Ok(self.command_ids(stamp.field3)?.cmin)
        } else {
            Ok(stamp.field3)
        }
    }
}

impl<P: Publication> TransactionStatus for Asked<'_, P> {
    type Error = Infallible;

    fn own(&self, xid: Xid) -> bool {
        let history = self.history;
        self.owner.is_some_and(|owner| {
            history.transactions.iter().enumerate().any(|(index, transaction)| {
                transaction.xid.xid() == xid
                    && transaction.state == State::Running
                    && history.is_within(index, owner)
            })
        })
    }

    fn running(&self, xid: Xid) -> Result<bool, Infallible> {
        let state = self.history.find(xid).map(|transaction| transaction.state);
        Ok(matches!(state, Some(State::Running | State::Prepared)))
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Infallible> {
        Ok(match self.history.find(xid).map(|transaction| transaction.state) {
            Some(State::Committed) => LoggedStatus::Committed,
            Some(State::Aborted) => LoggedStatus::Aborted,
            _ => LoggedStatus::InProgress,
        })
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Infallible> {
        let parent = self.history.find(xid).and_then(|transaction| transaction.parent);
        Ok(parent.map(|parent| self.history.transactions[parent].xid.xid()))
    }

    fn members(
        &self,
        multi: MultiXactId,
        _only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        Ok(Cow::Borrowed(&self.history.multixacts[multi as usize - 1]))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
        Ok(self.history.combos[combo as usize])
    }
}
