//! What becomes of a tuple's transaction ids when it is frozen.
//!
//! | | older than the cutoff | not older |
//! |---|---|---|
//! | inserter | frozen: its bits say so, the id stays to be looked at | stays |
//! | ender or locker | removed: who ended it had aborted, or it would be gone | stays |
//! | set of lockers | taken apart: its updater alone, a smaller set, or nobody | stays if no member is older than the cutoff of ids |
//!
//! Invariants: a tuple that comes here is not dead. What is decided is made only under the lock under which the tuple was
//! looked at. What stays unfrozen is noted, for what the table's oldest ids may be said to be. Source:
//! `heap_prepare_freeze_tuple`, `FreezeMultiXactId`, `heap_tuple_would_freeze`.

use base::{HeapTupleHeader, Infomask, Infomask2, MultiXactId, OffsetNumber, Xid};
use snapshot::{MultiXactMember, TransactionStatus};
use wal::rmgr::heap2::prune::{FreezeFlags, FreezeTuple};

use super::cutoffs::Cutoffs;
use crate::Error;
use crate::catalog::frozen::Frozen;
use crate::heap::NewXmax;
use crate::heap::change::put_xmax_bits;
use crate::session::Session;
use crate::slru::multixact::precedes;
use crate::xact::status::SessionStatus;

/// Why a tuple cannot be frozen: it contradicts what is known of its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FreezeFault {
    /// An inserter that should have been frozen before.
    #[error("found xmin {xid} from before relfrozenxid {relfrozenxid}")]
    OldXmin {
        /// The inserter.
        xid: Xid,
        /// The oldest that should be there.
        relfrozenxid: Xid,
    },
    /// An ender or locker that should have been removed before.
    #[error("found xmax {xid} from before relfrozenxid {relfrozenxid}")]
    OldXmax {
        /// The ender.
        xid: Xid,
        /// The oldest that should be there.
        relfrozenxid: Xid,
    },
    /// An updater in a set that should have been removed before.
    #[error("found update xid {xid} from before relfrozenxid {relfrozenxid}")]
    OldUpdater {
        /// The updater.
        xid: Xid,
        /// The oldest that should be there.
        relfrozenxid: Xid,
    },
    /// A set that should have been removed before.
    #[error("found multixact {multi} from before relminmxid {relminmxid}")]
    OldMulti {
        /// The set.
        multi: MultiXactId,
        /// The oldest that should be there.
        relminmxid: MultiXactId,
    },
    /// An inserter that has not committed, of a tuple that is not dead.
    #[error("uncommitted xmin {xid} from before xid cutoff {cutoff} needs to be frozen")]
    Uncommitted {
        /// The inserter.
        xid: Xid,
        /// The cutoff.
        cutoff: Xid,
    },
    /// An ender that has committed, of a tuple that is not dead.
    #[error("cannot freeze committed xmax {xid}")]
    CommittedXmax {
        /// The ender.
        xid: Xid,
    },
    /// An updater that has committed, of a tuple that is not dead.
    #[error("cannot freeze committed update xid {xid}")]
    CommittedUpdater {
        /// The updater.
        xid: Xid,
    },
    /// An updater that is too old to run or to have committed.
    #[error("found update xid {xid} from before xid cutoff {cutoff}")]
    UpdaterBeforeCutoff {
        /// The updater.
        xid: Xid,
        /// The cutoff.
        cutoff: Xid,
    },
    /// A set that is too old to have a member that runs.
    #[error("multixact {multi} from before cutoff {cutoff} found to be still running")]
    RunningMulti {
        /// The set.
        multi: MultiXactId,
        /// The cutoff.
        cutoff: MultiXactId,
    },
    /// An ender that is none.
    #[error("found xmax {xid} (infomask 0x{infomask:04x}) not frozen, not multi, not normal")]
    StrangeXmax {
        /// The ender.
        xid: Xid,
        /// The bits.
        infomask: u16,
    },
}

/// What went wrong with a tuple: it, or a log.
#[derive(Debug)]
pub(super) enum FreezeError {
    Fault(FreezeFault),
    Other(Error),
}

impl From<FreezeFault> for FreezeError {
    fn from(fault: FreezeFault) -> FreezeError {
        FreezeError::Fault(fault)
    }
}

impl From<Error> for FreezeError {
    fn from(error: Error) -> FreezeError {
        FreezeError::Other(error)
    }
}

/// What freezing makes of a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// What is to be written; `None` if the tuple stays as it is.
    pub(super) tuple: Option<FreezeTuple>,
    /// Whether nothing of it will ever have to be frozen.
    pub(super) is_all_frozen: bool,
}

/// What becomes of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SetFate {
    /// It stays; its oldest member is this old.
    Keep { oldest: Xid },
    /// Nobody holds the tuple.
    Nobody,
    /// The updater alone.
    Updater { xid: Xid, has_committed: bool },
    /// A set of those that count; the oldest of them, if it updates, is this old.
    Smaller { members: Vec<MultiXactMember>, oldest: Xid },
}

fn older(one: Xid, other: Xid) -> Xid {
    if one.precedes(other) { one } else { other }
}

/// The set that a tuple's `xmax` names (`FreezeMultiXactId`). `oldest` is the oldest that is known to stay so far.
fn set_fate(
    header: &HeapTupleHeader,
    cutoffs: &Cutoffs,
    oldest: Xid,
    status: &SessionStatus<'_>,
) -> Result<SetFate, FreezeError> {
    let (multi, bits) = (header.xmax.0, header.infomask);
    let relfrozenxid = cutoffs.before.xid;
    if multi == 0 || bits.locked_before_upgrade() {
        return Ok(SetFate::Nobody);
    }
    if precedes(multi, cutoffs.before.multi) {
        return Err(FreezeFault::OldMulti { multi, relminmxid: cutoffs.before.multi }.into());
    }
    let only_locks = bits.xmax_locked_only();
    if precedes(multi, cutoffs.freeze.multi) {
        if status.multixact_running(multi, only_locks)? {
            let cutoff = cutoffs.freeze.multi;
            return Err(FreezeFault::RunningMulti { multi, cutoff }.into());
        }
        if only_locks {
            return Ok(SetFate::Nobody);
        }
        let xid = status.updater(multi)?;
        if xid.precedes(relfrozenxid) {
            return Err(FreezeFault::OldUpdater { xid, relfrozenxid }.into());
        }
        if !xid.precedes(cutoffs.freeze.xid) {
            return Ok(SetFate::Updater { xid, has_committed: false });
        }
        // Had it committed, the tuple would be gone.
        return match status.did_commit(xid)? {
            true => Err(FreezeFault::CommittedUpdater { xid }.into()),
            false => Ok(SetFate::Nobody),
        };
    }
    let members = status.members(multi, only_locks)?;
    if members.is_empty() {
        return Ok(SetFate::Nobody);
    }
    if !members.iter().any(|member| member.xid.precedes(cutoffs.freeze.xid)) {
        let oldest = members.iter().fold(oldest, |oldest, member| older(member.xid, oldest));
        return Ok(SetFate::Keep { oldest });
    }
    let (mut kept, mut oldest) = (Vec::new(), oldest);
    let (mut updater, mut has_lockers) = (None, false);
    for member in members.iter() {
        let xid = member.xid;
        let runs = status.is_in_progress(xid)?;
        if !member.status.is_update() {
            has_lockers |= runs;
            kept.extend(runs.then_some(*member));
            continue;
        }
        if xid.precedes(relfrozenxid) {
            return Err(FreezeFault::OldUpdater { xid, relfrozenxid }.into());
        }
        let has_committed = !runs && status.did_commit(xid)?;
        if !runs && !has_committed {
            continue;
        }
        if xid.precedes(cutoffs.freeze.xid) {
            let cutoff = cutoffs.freeze.xid;
            return Err(FreezeFault::UpdaterBeforeCutoff { xid, cutoff }.into());
        }
        updater = Some((xid, has_committed));
        kept.push(*member);
        oldest = older(xid, oldest);
    }
    Ok(match updater {
        _ if kept.is_empty() => SetFate::Nobody,
        Some((xid, has_committed)) if !has_lockers => SetFate::Updater { xid, has_committed },
        _ => SetFate::Smaller { members: kept, oldest },
    })
}

/// Writes an `xmax` into what a tuple is to become.
fn put_xmax(tuple: &mut FreezeTuple, new: NewXmax) {
    let mut bits = Infomask::from_bits_retain(tuple.infomask);
    let mut bits2 = Infomask2::from_bits_retain(tuple.infomask2);
    put_xmax_bits(&mut bits, &mut bits2, new.bits);
    (tuple.infomask, tuple.infomask2) = (bits.bits(), bits2.bits());
    tuple.xmax = new.xmax;
}

/// Decides what freezing makes of a tuple that stays. A set that has to be made is made. `left` takes in what stays
/// unfrozen.
pub(super) fn plan(
    session: &mut Session<'_>,
    offset: OffsetNumber,
    header: &HeapTupleHeader,
    cutoffs: &Cutoffs,
    left: &mut Frozen,
) -> Result<Plan, FreezeError> {
    let mut tuple = FreezeTuple {
        xmax: header.xmax,
        offset,
        infomask2: header.infomask2.bits(),
        infomask: header.infomask.bits(),
        flags: FreezeFlags::empty(),
    };
    let relfrozenxid = cutoffs.before.xid;
    let mut changes = false;
    let mut xmin_is_frozen = true;
    if header.xmin.is_normal() && !header.infomask.xmin_frozen() {
        let xid = header.xmin;
        if xid.precedes(relfrozenxid) {
            return Err(FreezeFault::OldXmin { xid, relfrozenxid }.into());
        }
        xmin_is_frozen = xid.precedes(cutoffs.freeze.xid);
        if xmin_is_frozen {
            if !session.status().did_commit(xid)? {
                let cutoff = cutoffs.freeze.xid;
                return Err(FreezeFault::Uncommitted { xid, cutoff }.into());
            }
            tuple.infomask |= Infomask::XMIN_FROZEN.bits();
            changes = true;
        } else {
            left.xid = older(xid, left.xid);
        }
    }
    let xid = header.xmax;
    let (mut removes_xmax, mut has_no_xmax) = (false, false);
    if header.infomask.contains(Infomask::XMAX_IS_MULTI) {
        let fate = set_fate(header, cutoffs, left.xid, &session.status())?;
        match fate {
            SetFate::Nobody => removes_xmax = true,
            SetFate::Keep { oldest } => {
                if precedes(xid.0, left.multi) {
                    left.multi = xid.0;
                }
                left.xid = oldest;
            }
            SetFate::Updater { xid, has_committed } => {
                left.xid = older(xid, left.xid);
                let bits2 = Infomask2::from_bits_retain(tuple.infomask2);
                // Whether keys change is in the other word, and stays.
                let keys = bits2.contains(Infomask2::KEYS_UPDATED);
                put_xmax(&mut tuple, if keys { NewXmax::ends(xid) } else { NewXmax::updates(xid) });
                if has_committed {
                    tuple.infomask |= Infomask::XMAX_COMMITTED.bits();
                }
                changes = true;
            }
            SetFate::Smaller { members, oldest } => {
                let made = session.make_multixact(&members)?;
                left.xid = oldest;
                put_xmax(&mut tuple, made);
                changes = true;
            }
        }
    } else if xid.is_normal() {
        if xid.precedes(relfrozenxid) {
            return Err(FreezeFault::OldXmax { xid, relfrozenxid }.into());
        }
        if xid.precedes(cutoffs.freeze.xid) {
            if !header.infomask.xmax_locked_only() && session.status().did_commit(xid)? {
                return Err(FreezeFault::CommittedXmax { xid }.into());
            }
            removes_xmax = true;
        } else {
            left.xid = older(xid, left.xid);
        }
    } else if header.infomask.contains(Infomask::XMAX_INVALID) || xid.is_invalid() {
        has_no_xmax = true;
    } else {
        return Err(FreezeFault::StrangeXmax { xid, infomask: header.infomask.bits() }.into());
    }
    if removes_xmax {
        let bits = Infomask::from_bits_retain(tuple.infomask) - Infomask::XMAX_BITS;
        let bits2 = Infomask2::from_bits_retain(tuple.infomask2);
        tuple.infomask = (bits | Infomask::XMAX_INVALID).bits();
        tuple.infomask2 = (bits2 - Infomask2::HOT_UPDATED - Infomask2::KEYS_UPDATED).bits();
        tuple.xmax = Xid::INVALID;
        changes = true;
    }
    if let Some(xvac) = header.xvac()
        && xvac.is_normal()
    {
        // Whoever moved a tuple off that is not dead has failed, and whoever moved it in has not.
        tuple.flags |= match header.infomask.contains(Infomask::MOVED_OFF) {
            true => FreezeFlags::INVALID_XVAC,
            false => FreezeFlags::FREEZE_XVAC,
        };
        tuple.infomask |= Infomask::XMIN_COMMITTED.bits();
        changes = true;
    }
    let is_all_frozen = xmin_is_frozen && (removes_xmax || has_no_xmax);
    Ok(Plan { tuple: changes.then_some(tuple), is_all_frozen })
}

/// Whether a tuple that is not looked into further now would have to be frozen; `left` takes in what stays.
pub(super) fn would_freeze(
    header: &HeapTupleHeader,
    cutoffs: &Cutoffs,
    left: &mut Frozen,
    status: &SessionStatus<'_>,
) -> Result<bool, Error> {
    let mut xids = Vec::new();
    let mut would = false;
    if !header.infomask.xmin_frozen() {
        xids.push(header.xmin);
    }
    if !header.infomask.contains(Infomask::XMAX_IS_MULTI) {
        xids.push(header.xmax);
    } else if header.xmax.0 != 0 {
        let multi = header.xmax.0;
        let is_old = header.infomask.locked_before_upgrade();
        if !is_old {
            let members = status.members(multi, header.infomask.xmax_locked_only())?;
            xids.extend(members.iter().map(|member| member.xid));
        }
        if precedes(multi, left.multi) {
            left.multi = multi;
        }
        would |= is_old || precedes(multi, cutoffs.freeze.multi);
    }
    if let Some(xvac) = header.xvac()
        && xvac.is_normal()
    {
        xids.push(xvac);
        would = true;
    }
    for xid in xids.into_iter().filter(|xid| xid.is_normal()) {
        left.xid = older(xid, left.xid);
        would |= xid.precedes(cutoffs.freeze.xid);
    }
    Ok(would)
}

/// Whether something of a tuple will have to be frozen sometime (`heap_tuple_needs_eventual_freeze`).
pub(super) fn needs_freezing(header: &HeapTupleHeader) -> bool {
    header.xmin.is_normal() && !header.infomask.xmin_frozen()
        || header.infomask.contains(Infomask::XMAX_IS_MULTI) && header.xmax.0 != 0
        || !header.infomask.contains(Infomask::XMAX_IS_MULTI) && header.xmax.is_normal()
        || header.xvac().is_some_and(Xid::is_normal)
}
