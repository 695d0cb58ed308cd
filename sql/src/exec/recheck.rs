//! Rows locked, and rows that somebody else has changed meanwhile looked at again.
//!
//! A row that was found by the statement's snapshot may have a newer version that its transaction has committed. At read
//! committed the newer values take the place of the old ones in the joined row, and what stands below is asked whether the
//! row is still wanted. Source: `EvalPlanQual`.
//!
//! Invariant: only the values of relations that are locked or changed are replaced; those of others stay as the snapshot
//! shows them.

use engine::{RowLock, RowLocked, WaitPolicy};

use super::{Exec, Row};
use crate::error::Result;
use crate::expr::Rows;
use crate::family::{HIDDEN, Member};
use crate::plan::{JoinKind, Patience, Plan, RowMark, Strength};
use crate::types::Datum;

/// Locks the rows that a joined row is made of; whether it is still wanted.
pub(crate) fn lock_rows(
    below: &Plan,
    marks: &[RowMark],
    row: &mut Row,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<bool> {
    let mut is_newer = false;
    for mark in marks {
        // The other side of an outer join has no row.
        let Some((at, tid)) = mark.family.whose(row, mark.base) else { continue };
        let member = &mark.family.members[at];
        let policy = match mark.patience {
            Patience::Wait => WaitPolicy::Wait,
            Patience::Skip => WaitPolicy::SkipLocked,
            Patience::Fail => WaitPolicy::NoWait,
        };
        let strength = match mark.strength {
            Strength::KeyShare => RowLock::KeyShare,
            Strength::Share => RowLock::Share,
            Strength::NoKeyUpdate => RowLock::NoKeyUpdate,
            Strength::Update => RowLock::Update,
        };
        match member.def.table.lock_row(exec.transaction, tid, strength, policy)? {
            RowLocked::Locked(_) => {}
            RowLocked::Updated(newer) => {
                replace(member, mark.base, &newer, row)?;
                is_newer = true;
            }
            RowLocked::Moved => {
                let table = member.def.name().to_owned();
                return Err(engine::Error::Moved { table }.into());
            }
            RowLocked::Skipped | RowLocked::Gone => return Ok(false),
        }
    }
    if is_newer { is_wanted(below, row, exec, outer) } else { Ok(true) }
}

/// Puts the newer version of a table's row in its place.
pub(crate) fn replace(
    member: &Member,
    base: usize,
    newer: &engine::Row,
    row: &mut Row,
) -> Result<()> {
    let values = member.stored_row(newer)?;
    row[base..base + values.len()].clone_from_slice(&values);
    Ok(())
}

/// Runs a node again over one row, in which every relation has the one version that stands there: newer ones of those that
/// were locked or changed, those that the snapshot showed of all others. Whether the node still gives it; what an outer join
/// does not find any more becomes null.
pub(crate) fn is_wanted(
    plan: &Plan,
    row: &mut Row,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<bool> {
    let mut base = 0;
    gives(plan, &mut base, row, exec, outer)
}

/// The same of a node whose relations begin at `base`, which is moved behind them.
fn gives(
    plan: &Plan,
    base: &mut usize,
    row: &mut Row,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<bool> {
    match plan {
        Plan::Filter { input, condition } | Plan::SideFilter { input, condition, .. } => {
            Ok(gives(input, base, row, exec, outer)?
                && condition.is_true(exec, &Rows { row, outer })?)
        }
        Plan::Sort { input, .. } => gives(input, base, row, exec, outer),
        Plan::Join { kind, left, right, on, widths, .. } => {
            let [lefts, rights] =
                [*base..*base + widths[0], *base + widths[0]..*base + widths[0] + widths[1]];
            let has_left = gives(left, base, row, exec, outer)?;
            *base = rights.start;
            let has_right = gives(right, base, row, exec, outer)?;
            *base = rights.end;
            let holds = has_left
                && has_right
                && match on {
                    Some(on) => on.is_true(exec, &Rows { row, outer })?,
                    None => true,
                };
            if holds {
                return Ok(true);
            }
            let (keeps_left, keeps_right) = match kind {
                JoinKind::Inner => (false, false),
                JoinKind::Left => (true, false),
                JoinKind::Right => (false, true),
                JoinKind::Full => (true, true),
            };
            if has_left && keeps_left {
                row[rights].fill(Datum::Null);
                return Ok(true);
            }
            if has_right && keeps_right {
                row[lefts].fill(Datum::Null);
                return Ok(true);
            }
            Ok(false)
        }
        // An outer join had no row of it.
        Plan::Scan(family)
        | Plan::IndexScan(family, _)
        | Plan::Merge { family, .. }
        | Plan::Probe(family, _) => {
            let has_row = family.whose(row, *base).is_some();
            *base += family.width() + HIDDEN;
            Ok(has_row)
        }
        _ => Ok(true),
    }
}
