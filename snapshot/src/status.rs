//! What the satisfies functions ask about transactions, whoever answers: shared memory and the logs of an
//! engine, what an inspector read from files, or a test's made-up world.
//!
//! Invariants, which the order of the questions rests on:
//!
//! 1. A transaction is logged as committed before it stops running. Whoever asks "running?" first and
//!    "committed?" second, and hears no twice, has found one that aborted or was cut off by a crash;
//!    asked the other way round, a commit between the questions would look like an abort.
//! 2. A parent's id precedes its children's ids.
//! 3. The special ids have fixed fates: bootstrap and frozen committed, invalid did not. Implementations
//!    are asked about normal ids only.

use std::borrow::Cow;

use base::{CommandId, MultiXactId, Xid};

/// A transaction's two bits in the commit log (`XidStatus`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoggedStatus {
    /// Running, or cut off by a crash.
    InProgress,
    /// Committed.
    Committed,
    /// Aborted.
    Aborted,
    /// A subtransaction that shares its parent's fate, which was not yet written here.
    SubCommitted,
}

/// How a member holds a row (`MultiXactStatus`), weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum MultiXactStatus {
    /// FOR KEY SHARE.
    ForKeyShare = 0,
    /// FOR SHARE.
    ForShare = 1,
    /// FOR NO KEY UPDATE.
    ForNoKeyUpdate = 2,
    /// FOR UPDATE.
    ForUpdate = 3,
    /// An UPDATE that left the key columns alone.
    NoKeyUpdate = 4,
    /// Another UPDATE, or a DELETE.
    Update = 5,
}

impl MultiXactStatus {
    /// From its number on disk; `None` for a number that PostgreSQL does not use.
    pub const fn from_number(number: u8) -> Option<MultiXactStatus> {
        Some(match number {
            0 => MultiXactStatus::ForKeyShare,
            1 => MultiXactStatus::ForShare,
            2 => MultiXactStatus::ForNoKeyUpdate,
            3 => MultiXactStatus::ForUpdate,
            4 => MultiXactStatus::NoKeyUpdate,
            5 => MultiXactStatus::Update,
            _ => return None,
        })
    }

    /// Whether it ends the version, and does not only lock it.
    #[inline]
    pub const fn is_update(self) -> bool {
        matches!(self, MultiXactStatus::NoKeyUpdate | MultiXactStatus::Update)
    }
}

/// One of the transactions that hold a row together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MultiXactMember {
    /// Which one.
    pub xid: Xid,
    /// How.
    pub status: MultiXactStatus,
}

/// What a combo command id stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CommandIdPair {
    /// The command that inserted the version.
    pub cmin: CommandId,
    /// The command that ended it.
    pub cmax: CommandId,
}

/// The fates of transactions, seen from one session.
///
/// The first six functions are asked; the others follow from them, but for
/// [`check_interrupts`](TransactionStatus::check_interrupts), which lets every wait go on.
pub trait TransactionStatus {
    /// Why a question has no answer: a log that was truncated, a file that cannot be read.
    type Error;

    /// Whether this is the asking transaction, or one of its subtransactions that has not been rolled
    /// back (`TransactionIdIsCurrentTransactionId`).
    fn own(&self, xid: Xid) -> bool;

    /// Whether some session runs it, as a transaction or subtransaction (`TransactionIdIsInProgress`).
    ///
    /// # Errors
    /// Where that cannot be told.
    fn running(&self, xid: Xid) -> Result<bool, Self::Error>;

    /// What the commit log says of it.
    ///
    /// # Errors
    /// Where the log cannot be read.
    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Self::Error>;

    /// The transaction that it is a subtransaction of; `None` of a top-level one, and of one so old that
    /// its parent is no longer known.
    ///
    /// # Errors
    /// Where that cannot be read.
    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Self::Error>;

    /// The members of a multixact; none if it is so old that all are gone. `only_lockers` says that the
    /// tuple's bits promise no updater, so that an old one need not be looked up.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn members(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Self::Error>;

    /// What a combo command id of the asking transaction stands for.
    ///
    /// # Errors
    /// Where it was never given out.
    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Self::Error>;

    /// Whether the session is to go on waiting: asked before each sleep of a reader that waits for a commit
    /// in doubt (`CHECK_FOR_INTERRUPTS`). It must not wait itself, nor ask about transactions. Whoever
    /// interrupts a session wakes it, too
    /// ([`CommitTimestamps::wake_waiting`](crate::commit_ts::CommitTimestamps::wake_waiting)).
    ///
    /// # Errors
    /// Where the session was cancelled or is to end: the statement's error.
    #[inline]
    fn check_interrupts(&self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// [`TransactionStatus::own`], for every id.
    #[inline]
    fn is_own(&self, xid: Xid) -> bool {
        xid.is_normal() && self.own(xid)
    }

    /// Whether anyone runs it, the asking transaction included; for every id.
    ///
    /// # Errors
    /// As [`TransactionStatus::running`].
    #[inline]
    fn is_in_progress(&self, xid: Xid) -> Result<bool, Self::Error> {
        Ok(xid.is_normal() && (self.own(xid) || self.running(xid)?))
    }

    /// Whether it is logged as committed, itself or through its parents (`TransactionIdDidCommit`); for
    /// every id. Ask [`TransactionStatus::is_in_progress`] first (invariant 1).
    ///
    /// # Errors
    /// As [`TransactionStatus::logged`] and [`TransactionStatus::parent`].
    fn did_commit(&self, xid: Xid) -> Result<bool, Self::Error> {
        let mut xid = xid;
        while xid.is_normal() {
            match self.logged(xid)? {
                LoggedStatus::Committed => return Ok(true),
                LoggedStatus::InProgress | LoggedStatus::Aborted => return Ok(false),
                LoggedStatus::SubCommitted => match self.parent(xid)? {
                    // A parent that does not precede its child was never written by a server; going on
                    // could go round for ever.
                    Some(parent) if parent.is_normal() && parent.precedes(xid) => xid = parent,
                    _ => return Ok(false),
                },
            }
        }
        Ok(!xid.is_invalid())
    }

    /// The top-level transaction that it belongs to (`SubTransGetTopmostTransaction`).
    ///
    /// # Errors
    /// As [`TransactionStatus::parent`].
    fn topmost(&self, xid: Xid) -> Result<Xid, Self::Error> {
        let mut xid = xid;
        while xid.is_normal() {
            match self.parent(xid)? {
                Some(parent) if parent.is_normal() && parent.precedes(xid) => xid = parent,
                _ => break,
            }
        }
        Ok(xid)
    }

    /// Who among a multixact's members ends the version: at most one does; [`Xid::INVALID`] if none.
    ///
    /// # Errors
    /// As [`TransactionStatus::members`].
    fn updater(&self, multi: MultiXactId) -> Result<Xid, Self::Error> {
        if multi == 0 {
            return Ok(Xid::INVALID);
        }
        let members = self.members(multi, false)?;
        let updater = members.iter().find(|member| member.status.is_update());
        Ok(updater.map_or(Xid::INVALID, |member| member.xid))
    }

    /// Whether any of a multixact's members still runs (`MultiXactIdIsRunning`).
    ///
    /// # Errors
    /// As [`TransactionStatus::members`] and [`TransactionStatus::running`].
    fn multixact_running(
        &self,
        multi: MultiXactId,
        only_lockers: bool,
    ) -> Result<bool, Self::Error> {
        if multi == 0 {
            return Ok(false);
        }
        for member in self.members(multi, only_lockers)?.iter() {
            if self.is_in_progress(member.xid)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
