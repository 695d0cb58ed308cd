//! PostgreSQL's documented rules, written down from what its documentation and comments promise
//! (`utils/snapshot.h`, `access/tableam.h`, `access/heapam.h`, the chapter on MVCC), not from the crate
//! or the C functions.
//!
//! The model knows people, not ids: who did what and what became of it. A rule is two questions, "does
//! the insertion count?" and "does the end count?", asked from a point of view. Where no server can write
//! a stamp, [`impossible`] says why and the model has no opinion.

use base::Infomask;
use snapshot::satisfies::{DirtyVerdict, UpdateVerdict, VacuumVerdict};

use crate::world::{Actor, CURCID, Case, combo};
use base::Xid;

/// A point of view.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Eye {
    /// What is committed now, and all that I did.
    Now,
    /// What is committed now, and what I did by earlier commands.
    NowByCommand,
    /// What was committed for the snapshot, and what I did by earlier commands.
    Snapshot,
}

impl Eye {
    /// Whether what somebody else committed is committed from here.
    fn admits(self, actor: &Actor) -> bool {
        self != Eye::Snapshot || !actor.listed && actor.xid < 300
    }

    fn committed(self, actor: &Actor) -> bool {
        actor.committed && self.admits(actor)
    }

    fn counts_own(self, command: u32) -> bool {
        self == Eye::Now || command < CURCID
    }
}

fn is(case: &Case, bits: Infomask) -> bool {
    case.stamp.infomask.contains(bits)
}

fn known(case: &Case) -> bool {
    case.stamp.infomask.intersects(Infomask::XMIN_FROZEN)
}

fn cmin(case: &Case) -> u32 {
    if is(case, Infomask::COMBOCID) { combo(case.stamp.field3).cmin } else { case.stamp.field3 }
}

fn cmax(case: &Case) -> u32 {
    if is(case, Infomask::COMBOCID) { combo(case.stamp.field3).cmax } else { case.stamp.field3 }
}

/// `xmax` says nothing, or only locks.
fn no_ender(case: &Case) -> bool {
    let bits = case.stamp.infomask;
    let multi = bits.contains(Infomask::XMAX_IS_MULTI);
    let strength = bits & (Infomask::XMAX_EXCL_LOCK | Infomask::XMAX_KEYSHR_LOCK);
    bits.contains(Infomask::XMAX_INVALID) || bits.contains(Infomask::XMAX_LOCK_ONLY)
        // Releases before 9.3 wrote a single exclusive locker so.
        || !multi && strength == Infomask::XMAX_EXCL_LOCK
        || case.ender.is_none()
}

/// Why no server writes this stamp.
pub(crate) fn impossible(case: &Case) -> Option<&'static str> {
    let bits = case.stamp.infomask;
    let mine = |actor: &Actor| actor.own || actor.parent == 210;
    if bits.contains(Infomask::MOVED) {
        return Some("a row was moved either off or in");
    }
    if case.xvac.is_some_and(|xvac| xvac.own) && case.xmin.own {
        return Some("VACUUM FULL ran alone in its transaction");
    }
    if case.xvac.is_some() && bits.contains(Infomask::COMBOCID) {
        return Some("a moved row had no command ids");
    }
    if case.xvac.is_some() && case.ender.is_some_and(|ender| ender.own) {
        return Some("a row being moved, or moved by 9.0, had no command ids to end it with");
    }
    if case.xmin.own && known(case) {
        return Some("nobody marks the fate of who still runs");
    }
    if bits.xmin_committed() && !bits.xmin_frozen() && !case.xmin.committed {
        return Some("nobody marks as committed who did not commit");
    }
    if is(case, Infomask::XMAX_COMMITTED) && !is(case, Infomask::XMAX_INVALID) {
        let holders = [case.ender, case.locker];
        if holders.iter().flatten().any(|actor| actor.running) {
            return Some("nobody marks the fate of who still runs");
        }
        if !bits.xmax_locked_only() {
            if is(case, Infomask::XMAX_IS_MULTI) {
                return Some("a multixact's updater is not marked as committed");
            }
            if !case.ender.is_some_and(|ender| ender.committed) {
                return Some("nobody marks as committed who did not commit");
            }
        }
    }
    if case.xmin.own && !no_ender(case) && !case.ender.is_some_and(mine) {
        return Some("nobody but its inserter ends a version whose insertion has not committed");
    }
    if is(case, Infomask::COMBOCID) && case.xmin.own && no_ender(case) && cmin(case) != 3 {
        return Some("this combo command id was made by a later command");
    }
    if case.xmin.own && bits.locked_before_upgrade() {
        return Some("no server since 9.3 writes such lockers, so none of my own rows has them");
    }
    None
}

/// Whether the version's insertion counts.
fn inserted(case: &Case, eye: Eye) -> bool {
    if is(case, Infomask::XMIN_FROZEN) {
        return true;
    }
    if is(case, Infomask::XMIN_COMMITTED) {
        return eye.admits(case.xmin);
    }
    if is(case, Infomask::XMIN_INVALID) {
        return false;
    }
    match case.xvac {
        // The row is still here for all but the mover, until the move commits.
        Some(xvac) if is(case, Infomask::MOVED_OFF) => !xvac.own && !eye.committed(xvac),
        Some(xvac) => xvac.own || eye.committed(xvac),
        None if case.xmin.own => eye.counts_own(cmin(case)),
        None => eye.committed(case.xmin),
    }
}

/// Whether the version's end counts.
fn ended(case: &Case, eye: Eye) -> bool {
    match case.ender {
        Some(ender) if !no_ender(case) => {
            if ender.own {
                eye.counts_own(cmax(case))
            } else if is(case, Infomask::XMAX_COMMITTED) {
                eye.admits(ender)
            } else {
                eye.committed(ender)
            }
        }
        _ => false,
    }
}

pub(crate) fn mvcc(case: &Case) -> bool {
    inserted(case, Eye::Snapshot) && !ended(case, Eye::Snapshot)
}

pub(crate) fn myself(case: &Case) -> bool {
    inserted(case, Eye::Now) && !ended(case, Eye::Now)
}

pub(crate) fn toast(case: &Case) -> bool {
    if known(case) || case.xvac.is_some() { inserted(case, Eye::Now) } else { case.xmin.xid != 0 }
}

pub(crate) fn dirty(case: &Case) -> DirtyVerdict {
    let others_insertion =
        !known(case) && case.xvac.is_none() && case.xmin.running && !case.xmin.own;
    if others_insertion {
        return DirtyVerdict {
            visible: true,
            xmin: Xid(case.xmin.xid),
            speculative_token: case.stamp.speculative_token,
            ..DirtyVerdict::default()
        };
    }
    let mut verdict = DirtyVerdict { visible: myself(case), ..DirtyVerdict::default() };
    let marked = is(case, Infomask::XMAX_COMMITTED);
    let ender = case.ender.filter(|ender| ender.running && !ender.own);
    if let Some(ender) = ender.filter(|_| verdict.visible && !no_ender(case) && !marked) {
        verdict.xmax = Xid(ender.xid);
    }
    verdict
}

/// Whether anyone in `xmax` still runs, locker or ender, the asker included.
fn held(case: &Case) -> bool {
    let marked = case.stamp.infomask.intersects(Infomask::XMAX_INVALID | Infomask::XMAX_COMMITTED);
    !marked
        && !case.stamp.infomask.locked_before_upgrade()
        && (case.ender.is_some_and(|actor| actor.running)
            || case.locker.is_some_and(|actor| actor.running))
}

pub(crate) fn update(case: &Case) -> UpdateVerdict {
    if !inserted(case, Eye::NowByCommand) {
        return UpdateVerdict::Invisible;
    }
    if case.ender.is_some_and(|ender| ender.own) && !no_ender(case) {
        return if cmax(case) < CURCID {
            UpdateVerdict::Invisible
        } else {
            UpdateVerdict::SelfModified
        };
    }
    if held(case) {
        return UpdateVerdict::BeingModified;
    }
    if !ended(case, Eye::Now) {
        return UpdateVerdict::Ok;
    }
    if case.stamp.has_successor { UpdateVerdict::Updated } else { UpdateVerdict::Deleted }
}

/// `seen_by_all`: whether everyone sees what this transaction, which committed, ended.
pub(crate) fn vacuum(case: &Case, seen_by_all: impl Fn(&Actor) -> bool) -> VacuumVerdict {
    if !known(case) {
        match case.xvac {
            Some(xvac) if xvac.running && is(case, Infomask::MOVED_OFF) => {
                return VacuumVerdict::DeleteInProgress;
            }
            Some(xvac) if xvac.running => return VacuumVerdict::InsertInProgress,
            None if case.xmin.running => {
                let mine =
                    case.xmin.own && !no_ender(case) && case.ender.is_some_and(|ender| ender.own);
                return if mine {
                    VacuumVerdict::DeleteInProgress
                } else {
                    VacuumVerdict::InsertInProgress
                };
            }
            _ => {}
        }
    }
    if !inserted(case, Eye::Now) {
        return VacuumVerdict::Dead;
    }
    match case.ender {
        Some(ender) if !no_ender(case) => {
            if ended(case, Eye::Now) && !ender.running || is(case, Infomask::XMAX_COMMITTED) {
                if seen_by_all(ender) { VacuumVerdict::Dead } else { VacuumVerdict::RecentlyDead }
            } else if ender.running {
                VacuumVerdict::DeleteInProgress
            } else {
                VacuumVerdict::Live
            }
        }
        _ => VacuumVerdict::Live,
    }
}

/// What a hint would claim must be so: no fate of who still runs, no commit that was none.
pub(crate) fn hint_is_true(case: &Case, hints: snapshot::Hints) -> bool {
    use snapshot::Hint::{Committed, CommittedForCertain, Invalid, Nothing};
    let inserter = match hints.xmin {
        Nothing => true,
        Committed => case.xmin.committed,
        CommittedForCertain => case
            .xvac
            .is_some_and(|xvac| !xvac.running && xvac.committed == is(case, Infomask::MOVED_IN)),
        Invalid => match case.xvac {
            Some(xvac) => !xvac.running && xvac.committed == is(case, Infomask::MOVED_OFF),
            None => !case.xmin.running && !case.xmin.committed,
        },
    };
    let ender = match hints.xmax {
        Nothing => true,
        Committed => case.ender.is_some_and(|ender| ender.committed) && !no_ender(case),
        CommittedForCertain => false,
        Invalid => {
            let lockers = case.locker.is_some_and(|actor| actor.running);
            let ender =
                case.ender.is_some_and(|actor| actor.running || actor.committed && !no_ender(case));
            case.stamp.infomask.locked_before_upgrade() || !lockers && !ender
        }
    };
    inserter && ender
}
