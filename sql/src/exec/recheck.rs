//! Rows locked, and rows that somebody else has changed meanwhile looked at again.
//!
//! A row that was found by the statement's snapshot may have a newer version that its transaction has committed. At read
//! committed the newer values take the place of the old ones in the joined row, and what stands below is asked whether the
//! row is still wanted. Source: `EvalPlanQual`.
//!
//! Invariant: only the values of relations that are locked or changed are replaced; those of others stay as the snapshot
//! shows them.

use engine::{RowLock, RowLocked, WaitPolicy};

use super::cursor::stored_row;
use super::{Exec, Row};
use crate::error::Result;
use crate::expr::Rows;
use crate::plan::{JoinKind, Patience, Plan, RowMark, Strength};
use crate::table::TableDef;
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
        let Datum::Tid(tid) = row[mark.base + mark.table.columns.len()] else { continue };
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
        match mark.table.table.lock_row(exec.transaction, tid, strength, policy)? {
            RowLocked::Locked(_) => {}
            RowLocked::Updated(newer) => {
                replace(&mark.table, mark.base, &newer, row)?;
                is_newer = true;
            }
            RowLocked::Skipped | RowLocked::Gone => return Ok(false),
        }
    }
    if is_newer { is_wanted(below, row, exec, outer) } else { Ok(true) }
}

/// Puts the newer version of a table's row in its place.
pub(crate) fn replace(
    table: &TableDef,
    base: usize,
    newer: &engine::Row,
    row: &mut Row,
) -> Result<()> {
    let values = stored_row(table, newer)?;
    row[base..base + values.len()].clone_from_slice(&values);
    Ok(())
}

/// Whether a row with newer values is still one that the node gives.
pub(crate) fn is_wanted(
    plan: &Plan,
    row: &mut Row,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<bool> {
    match plan {
        Plan::Filter { input, condition } => {
            Ok(is_wanted(input, row, exec, outer)?
                && condition.is_true(exec, &Rows { row, outer })?)
        }
        Plan::Join { kind, left, right, on, base, widths } => {
            if !is_wanted(left, row, exec, outer)? || !is_wanted(right, row, exec, outer)? {
                return Ok(false);
            }
            let holds = match on {
                Some(on) => on.is_true(exec, &Rows { row, outer })?,
                None => true,
            };
            let nulls = match kind {
                _ if holds => return Ok(true),
                JoinKind::Inner => return Ok(false),
                JoinKind::Left | JoinKind::Full => base + widths[0]..base + widths[0] + widths[1],
                JoinKind::Right => *base..base + widths[0],
            };
            row[nulls].fill(Datum::Null);
            Ok(true)
        }
        Plan::Sort { input, .. } => is_wanted(input, row, exec, outer),
        _ => Ok(true),
    }
}
