//! Two relations joined: each row of the left one with each of the right one, which is read when the first left row is there.
//!
//! ```text
//! right is a Probe     its rows are found by indexes for each left row
//! left is a Probe      its rows are found by indexes for each right row, and then put in their order ([`Turned`])
//! ```
//!
//! Invariant: rows come in the order of the left relation, and for each of its rows in that of the right one; last those of
//! the right one that an outer join has without any left one. Source: `nodeNestloop.c`.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::{Exec, Row};
use crate::access::Access;
use crate::error::Result;
use crate::expr::{Expr, Rows};
use crate::family::Family;
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
    /// Those that indexes have found for it, if that is how they are found.
    found: Option<Vec<Row>>,
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
                let found = match self.right {
                    Plan::Probe(family, found) => {
                        let known = padded(&left, self.condition.base);
                        Some(probe(family, found, &known, exec, outer)?)
                    }
                    _ => None,
                };
                self.current = Some(Current { left, found, next: 0, is_matched: false });
            }
            let Some(current) = &mut self.current else { continue };
            let (rights, mut is_right_matched) = match &current.found {
                Some(found) => (found.as_slice(), None),
                None => {
                    let (rights, is_matched) = take_in(&mut self.rights, self.right, exec, outer)?;
                    (rights, Some(is_matched))
                }
            };
            while let Some(right) = rights.get(current.next) {
                let at = current.next;
                current.next += 1;
                let row = [current.left.as_slice(), right.as_slice()].concat();
                if self.condition.holds(&row, exec, outer)? {
                    current.is_matched = true;
                    if let Some(is_matched) = &mut is_right_matched {
                        is_matched[at] = true;
                    }
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

/// The rows of a family that indexes find, in the order in which they lie there; `known` is what is known of the row of the
/// FROM.
fn probe(
    family: &Family,
    found: &[Access],
    known: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Vec<Row>> {
    let known = Rows { row: known, outer };
    let mut rows = Vec::new();
    for (member, access) in family.members.iter().zip(found) {
        match access.rows(member, exec, &known)? {
            Some(mut found) => rows.append(&mut found),
            None => {
                let mut scan = Cursor::scan(std::slice::from_ref(member), &[]);
                while let Some(row) = scan.next(exec, outer)? {
                    rows.push(row);
                }
            }
        }
    }
    Ok(rows)
}

/// A row with so many nulls before it.
fn padded(row: &[Datum], base: usize) -> Cow<'_, [Datum]> {
    if base == 0 {
        return Cow::Borrowed(row);
    }
    let mut padded = vec![Datum::Null; base];
    padded.extend_from_slice(row);
    Cow::Owned(padded)
}

/// A join whose left rows are found by the right ones.
pub(crate) struct Turned<'p> {
    pub(crate) kind: JoinKind,
    pub(crate) family: &'p Family,
    pub(crate) found: &'p [Access],
    pub(crate) condition: Condition<'p>,
    pub(crate) widths: [usize; 2],
}

impl Turned<'_> {
    /// All of its rows.
    pub(crate) fn rows(
        &self,
        right: &Plan,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Vec<Row>> {
        let before = self.condition.base + self.widths[0];
        let nulls = vec![Datum::Null; self.widths[0]];
        let (mut made, mut alone) = (Vec::new(), Vec::new());
        let mut rights = Cursor::open(right, exec, outer)?;
        while let Some(right) = rights.next(exec, outer)? {
            exec.transaction.check_interrupts()?;
            let mut is_matched = false;
            for left in probe(self.family, self.found, &padded(&right, before), exec, outer)? {
                let row = [left.as_slice(), right.as_slice()].concat();
                if self.condition.holds(&row, exec, outer)? {
                    is_matched = true;
                    let place = self.family.whose(&row, 0);
                    made.push((place.map(|(at, tid)| (at, tid.block, tid.offset)), row));
                }
            }
            if !is_matched && self.kind == JoinKind::Right {
                alone.push([nulls.as_slice(), &right].concat());
            }
        }
        // Those of one left row stay in the order of the right ones.
        made.sort_by_key(|(place, _)| *place);
        let made = made.into_iter().map(|(_, row)| row);
        Ok(made.chain(alone).collect())
    }
}

impl Condition<'_> {
    pub(super) fn holds(
        &self,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<bool> {
        let Some(on) = self.on else { return Ok(true) };
        // Columns are counted from the beginning of the FROM.
        on.is_true(exec, &Rows { row: &padded(row, self.base), outer })
    }
}
