//! Two relations joined: each row of the left one with each of the right one, which is read when the first left row is there.
//!
//! Invariant: rows come in the order of the left relation, and for each of its rows in that of the right one; last those of
//! the right one that an outer join has without any left one. Source: `nodeNestloop.c`.

use super::cursor::Cursor;
use super::{Exec, Row};
use crate::error::Result;
use crate::expr::{Expr, Rows};
use crate::plan::{JoinKind, Plan};
use crate::types::Datum;

/// A join that gives rows.
pub(crate) struct Join<'p, 'e> {
    kind: JoinKind,
    left: Cursor<'p, 'e>,
    right: &'p Plan,
    condition: Condition<'p>,
    /// How many places each side's rows have.
    widths: [usize; 2],
    /// The right relation's rows, and whether a left one was found for each.
    rights: Option<(Vec<Row>, Vec<bool>)>,
    current: Option<Current>,
    /// The first right row of which it was not yet asked whether it stands alone.
    alone: usize,
}

/// A left row that right ones are looked for.
struct Current {
    left: Row,
    next: usize,
    is_matched: bool,
}

/// What rows of both sides must have.
#[derive(Clone, Copy)]
pub(crate) struct Condition<'p> {
    pub(crate) on: Option<&'p Expr>,
    /// The place of the row of the FROM at which the join begins.
    pub(crate) base: usize,
}

impl<'p, 'e> Join<'p, 'e> {
    pub(crate) fn new(
        kind: JoinKind,
        left: Cursor<'p, 'e>,
        right: &'p Plan,
        condition: Condition<'p>,
        widths: [usize; 2],
    ) -> Join<'p, 'e> {
        Join { kind, left, right, condition, widths, rights: None, current: None, alone: 0 }
    }

    /// The next row.
    pub(crate) fn next(
        &mut self,
        exec: &mut Exec<'_, '_, '_, 'e>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Option<Row>> {
        let keeps_left = matches!(self.kind, JoinKind::Left | JoinKind::Full);
        let keeps_right = matches!(self.kind, JoinKind::Right | JoinKind::Full);
        loop {
            if self.current.is_none() {
                let Some(left) = self.left.next(exec, outer)? else { break };
                exec.transaction.check_interrupts()?;
                self.current = Some(Current { left, next: 0, is_matched: false });
            }
            let (rights, is_right_matched) = take_in(&mut self.rights, self.right, exec, outer)?;
            let Some(current) = &mut self.current else { continue };
            while let Some(right) = rights.get(current.next) {
                current.next += 1;
                let row = [current.left.as_slice(), right.as_slice()].concat();
                if self.condition.holds(&row, exec, outer)? {
                    current.is_matched = true;
                    is_right_matched[current.next - 1] = true;
                    return Ok(Some(row));
                }
            }
            let alone = self.current.take().filter(|current| keeps_left && !current.is_matched);
            if let Some(Current { mut left, .. }) = alone {
                left.resize(left.len() + self.widths[1], Datum::Null);
                return Ok(Some(left));
            }
        }
        if keeps_right {
            let (rights, is_matched) = take_in(&mut self.rights, self.right, exec, outer)?;
            while let Some(right) = rights.get(self.alone) {
                self.alone += 1;
                if !is_matched[self.alone - 1] {
                    let nulls = vec![Datum::Null; self.widths[0]];
                    return Ok(Some([nulls.as_slice(), right.as_slice()].concat()));
                }
            }
        }
        Ok(None)
    }
}

/// The right relation's rows, read now if they are not there.
fn take_in<'r>(
    rights: &'r mut Option<(Vec<Row>, Vec<bool>)>,
    right: &Plan,
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<(&'r [Row], &'r mut [bool])> {
    let (rows, is_matched) = match rights {
        Some(rights) => rights,
        None => {
            let rows = exec.all(right, outer)?;
            let is_matched = vec![false; rows.len()];
            rights.insert((rows, is_matched))
        }
    };
    Ok((rows, is_matched))
}

impl Condition<'_> {
    fn holds(
        &self,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<bool> {
        let Some(on) = self.on else { return Ok(true) };
        if self.base == 0 {
            return on.is_true(exec, &Rows { row, outer });
        }
        // Columns are counted from the beginning of the FROM.
        let mut padded = vec![Datum::Null; self.base];
        padded.extend_from_slice(row);
        on.is_true(exec, &Rows { row: &padded, outer })
    }
}
