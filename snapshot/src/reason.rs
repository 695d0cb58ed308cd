//! Why a rule decided as it did.
//!
//! Invariant: a reason names the one fact that decided, and costs nothing to carry; the sentence is made
//! when asked for.

use base::Xid;

/// The fact that decided a verdict. Which transaction is meant stands beside it in
/// [`Judged::xid`](crate::satisfies::Judged).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// The rule takes every version.
    EveryVersion,
    /// The rule trusts the row that refers to this one.
    Trusted,
    /// `xmin` is none: a speculative insertion was taken back.
    XminNone,
    /// `XMIN_INVALID` stands there.
    XminMarkedAborted,
    /// `xmin` neither runs nor committed.
    XminAborted,
    /// `xmin` runs.
    XminRunning,
    /// `xmin` had not ended for the snapshot.
    XminAfterSnapshot,
    /// `xmin` is the asking transaction.
    XminOwn,
    /// Inserted by the command that asks, or a later one.
    InsertedByLaterCommand,
    /// An old VACUUM FULL moved the row away.
    MovedOff,
    /// An old VACUUM FULL is moving the row away.
    MovingOff,
    /// An old VACUUM FULL had not brought the row here for good.
    NotMovedIn,
    /// An old VACUUM FULL is bringing the row here.
    MovingIn,
    /// `XMAX_INVALID` stands there.
    XmaxNone,
    /// `xmax` locks and does not end the version.
    XmaxLocks,
    /// `xmax` locks, and runs.
    LockerRunning,
    /// `xmax` locked, and is gone.
    LockerGone,
    /// `xmax` neither runs nor committed.
    XmaxAborted,
    /// The asking transaction's own `xmax` is not its own any more: a subtransaction rolled back.
    XmaxRolledBack,
    /// `xmax` runs.
    XmaxRunning,
    /// `xmax` had not ended for the snapshot.
    XmaxAfterSnapshot,
    /// `XMAX_COMMITTED` stands there.
    XmaxMarkedCommitted,
    /// `xmax` committed.
    XmaxCommitted,
    /// The asking transaction ended the version.
    XmaxOwn,
    /// The asking transaction ended it by an earlier command.
    EndedByEarlierCommand,
    /// The asking transaction ended it by the command that asks, or a later one.
    EndedByLaterCommand,
    /// Ended, and everyone who could see it is gone.
    BelowHorizon,
    /// Ended, but someone may still see it.
    AboveHorizon,
    /// The decoded transaction's command ids of this version are not known yet.
    CommandIdsUnknown,
}

impl Reason {
    /// A sentence for people; `xid` is the transaction meant, or [`Xid::INVALID`].
    pub fn sentence(self, xid: Xid) -> String {
        match self {
            Reason::EveryVersion => "this rule takes every version".to_owned(),
            Reason::Trusted => {
                "a TOAST row is visible whenever the row that refers to it is".to_owned()
            }
            Reason::XminNone => "xmin is 0: the speculative insertion was taken back".to_owned(),
            Reason::XminMarkedAborted => format!("inserter {xid} is marked as aborted"),
            Reason::XminAborted => {
                format!("inserter {xid} neither runs nor committed: it aborted or crashed")
            }
            Reason::XminRunning => format!("inserter {xid} is still running"),
            Reason::XminAfterSnapshot => {
                format!("inserter {xid} had not committed when the snapshot was taken")
            }
            Reason::XminOwn => format!("inserter {xid} is this transaction itself"),
            Reason::InsertedByLaterCommand => format!(
                "this transaction ({xid}) inserted it by the present command or a later one"
            ),
            Reason::MovedOff => format!("VACUUM FULL {xid} moved the row elsewhere"),
            Reason::MovingOff => format!("VACUUM FULL {xid} is moving the row elsewhere"),
            Reason::NotMovedIn => format!("VACUUM FULL {xid} did not finish bringing the row here"),
            Reason::MovingIn => format!("VACUUM FULL {xid} is bringing the row here"),
            Reason::XmaxNone => "nobody ended it, or who did is marked as aborted".to_owned(),
            Reason::XmaxLocks => "xmax only locks it".to_owned(),
            Reason::LockerRunning => format!("{xid} locks it and is still running"),
            Reason::LockerGone => format!("{xid} only locked it and is gone"),
            Reason::XmaxAborted => {
                format!("{xid}, which ended it, neither runs nor committed: it aborted or crashed")
            }
            Reason::XmaxRolledBack => {
                format!("subtransaction {xid}, which ended it, was rolled back")
            }
            Reason::XmaxRunning => format!("{xid}, which ends it, is still running"),
            Reason::XmaxAfterSnapshot => {
                format!("{xid}, which ended it, had not committed when the snapshot was taken")
            }
            Reason::XmaxMarkedCommitted => {
                format!("{xid}, which ended it, is marked as committed")
            }
            Reason::XmaxCommitted => format!("{xid}, which ended it, committed"),
            Reason::XmaxOwn => format!("this transaction itself ({xid}) ended it"),
            Reason::EndedByEarlierCommand => {
                format!("this transaction itself ({xid}) ended it by an earlier command")
            }
            Reason::EndedByLaterCommand => format!(
                "this transaction itself ({xid}) ended it, but by the present command or a later one"
            ),
            Reason::BelowHorizon => {
                format!("{xid} ended it before everything that anyone can still see")
            }
            Reason::AboveHorizon => format!("{xid} ended it, but someone may still see it"),
            Reason::CommandIdsUnknown => {
                format!("no command ids of {xid} are known for it yet")
            }
        }
    }
}
