//! Who holds a version of a row, whether that is in another's way, and what `xmax` becomes when one more holds it.
//!
//! | `xmax` before | one more | after |
//! |---|---|---|
//! | nobody's, or of who is gone | 705 | 705 |
//! | 703, running or an update that has committed | 705 | a set: 703, 705 |
//! | 705 itself, as a locker | 705 | 705, the stronger of both |
//! | a set | 705 | a set of those that still count, and 705 |
//!
//! Invariants: what is worked out here holds for the header that was looked at, whoever ends meanwhile; the change is made
//! only if the version still has it. Source: `compute_new_xmax_infomask`, `DoesMultiXactIdConflict`, `MultiXactIdWait`,
//! `HeapTupleHeaderIsOnlyLocked`.

use base::{HeapTupleHeader, Infomask, Infomask2, Xid};
use snapshot::{MultiXactMember, MultiXactStatus, TransactionStatus};

use crate::Error;
use crate::heap::{NewXmax, RowLock};
use crate::lock::{TableLockMode, WaitPolicy};
use crate::session::Session;
use crate::xact::multixact::{status_of, strength_of};

impl RowLock {
    /// The mode in which those who wait for a version stand in its queue (`tupleLockExtraInfo`).
    pub(super) const fn queue_mode(self) -> TableLockMode {
        match self {
            RowLock::KeyShare => TableLockMode::AccessShare,
            RowLock::Share => TableLockMode::RowShare,
            RowLock::NoKeyUpdate => TableLockMode::Exclusive,
            RowLock::Update => TableLockMode::AccessExclusive,
        }
    }

    /// Whether two transactions cannot hold a row so at once.
    pub fn excludes(self, other: RowLock) -> bool {
        self.queue_mode().excludes(other.queue_mode())
    }
}

/// How a single `xmax` holds its version; of one that ends it, or locks it.
pub(super) fn single_status(header: &HeapTupleHeader) -> MultiXactStatus {
    let (bits, keys) = (header.infomask, header.infomask2.contains(Infomask2::KEYS_UPDATED));
    let strength = match bits.intersection(Infomask::LOCK_MASK) {
        _ if !bits.xmax_locked_only() && keys => return MultiXactStatus::Update,
        _ if !bits.xmax_locked_only() => return MultiXactStatus::NoKeyUpdate,
        bits if bits == Infomask::XMAX_SHR_LOCK => RowLock::Share,
        bits if bits == Infomask::XMAX_KEYSHR_LOCK => RowLock::KeyShare,
        _ if keys => RowLock::Update,
        _ => RowLock::NoKeyUpdate,
    };
    status_of(strength, false)
}

/// Who holds a version: nobody, its `xmax`, or the members of the set that `xmax` names.
pub(super) fn holders(
    header: &HeapTupleHeader,
    status: &impl TransactionStatus<Error = Error>,
) -> Result<Vec<MultiXactMember>, Error> {
    let bits = header.infomask;
    if bits.contains(Infomask::XMAX_INVALID) || bits.locked_before_upgrade() {
        return Ok(Vec::new());
    }
    if bits.contains(Infomask::XMAX_IS_MULTI) {
        return Ok(status.members(header.xmax.0, bits.xmax_locked_only())?.into_owned());
    }
    Ok(vec![MultiXactMember { xid: header.xmax, status: single_status(header) }])
}

/// Who ended a version, or is about to (`HeapTupleHeaderGetUpdateXid`).
pub(super) fn updater(
    header: &HeapTupleHeader,
    status: &impl TransactionStatus<Error = Error>,
) -> Result<Xid, Error> {
    let bits = header.infomask;
    if bits.contains(Infomask::XMAX_IS_MULTI) && !bits.xmax_locked_only() {
        return status.updater(header.xmax.0);
    }
    Ok(header.xmax)
}

/// Whether nobody ends the version, whoever locks it: who would have ended it has aborted.
pub(super) fn is_only_locked(
    header: &HeapTupleHeader,
    status: &impl TransactionStatus<Error = Error>,
) -> Result<bool, Error> {
    let bits = header.infomask;
    if bits.contains(Infomask::XMAX_INVALID) || bits.xmax_locked_only() {
        return Ok(true);
    }
    let xid = updater(header, status)?;
    Ok(!status.is_in_progress(xid)? && !status.did_commit(xid)?)
}

/// How the members of a set stand to somebody who wants a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SetConflict {
    /// Another one's hold excludes it: he runs, or has updated and not aborted.
    pub(super) excludes: bool,
    /// The asker is a member.
    pub(super) is_member: bool,
}

pub(super) fn set_conflict(
    members: &[MultiXactMember],
    wanted: RowLock,
    status: &impl TransactionStatus<Error = Error>,
) -> Result<SetConflict, Error> {
    let mut conflict = SetConflict::default();
    for member in members {
        if status.own(member.xid) {
            conflict.is_member = true;
            continue;
        }
        if conflict.excludes || !strength_of(member.status).excludes(wanted) {
            continue;
        }
        let runs = status.is_in_progress(member.xid)?;
        conflict.excludes = runs || member.status.is_update() && status.did_commit(member.xid)?;
    }
    Ok(conflict)
}

impl Session<'_> {
    /// Waits for those members of a set whose hold excludes a strength. `false` if one has not ended, and is not to be
    /// waited for.
    pub(super) fn wait_for_members(
        &mut self,
        members: &[MultiXactMember],
        wanted: RowLock,
        policy: WaitPolicy,
    ) -> Result<bool, Error> {
        for member in members {
            let excludes = strength_of(member.status).excludes(wanted);
            if excludes && !self.ids.contains(member.xid) && !self.wait_for(member.xid, policy)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the version's `xmax` becomes when a transaction or subtransaction of the session's locks it, or ends it.
    pub(super) fn new_xmax(
        &mut self,
        header: &HeapTupleHeader,
        xid: Xid,
        strength: RowLock,
        is_update: bool,
    ) -> Result<NewXmax, Error> {
        let alone = |strength| match (is_update, strength) {
            (false, _) => NewXmax::locks(xid, strength),
            (true, RowLock::Update) => NewXmax::ends(xid),
            (true, _) => NewXmax::updates(xid),
        };
        let bits = header.infomask;
        let only_locks = bits.xmax_locked_only();
        if bits.contains(Infomask::XMAX_INVALID) || bits.locked_before_upgrade() {
            return Ok(alone(strength));
        }
        let own = status_of(strength, is_update);
        if bits.contains(Infomask::XMAX_IS_MULTI) {
            let multi = header.xmax.0;
            let status = self.status();
            let counts = status.multixact_running(multi, only_locks)?
                || !only_locks && status.did_commit(status.updater(multi)?)?;
            if !counts {
                return Ok(alone(strength));
            }
            return self.expand_multixact(multi, xid, own);
        }
        let before = MultiXactMember { xid: header.xmax, status: single_status(header) };
        if before.xid == xid && only_locks {
            return Ok(alone(strength.max(strength_of(before.status))));
        }
        let counts = {
            let status = self.status();
            bits.contains(Infomask::XMAX_COMMITTED) && !only_locks
                || status.is_in_progress(before.xid)?
                || !only_locks && status.did_commit(before.xid)?
        };
        if !counts {
            return Ok(alone(strength));
        }
        self.make_multixact(&[before, MultiXactMember { xid, status: own }])
    }
}
