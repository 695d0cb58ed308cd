//! Two relations joined: each row of the left one with each of the right one, which is read when the first left row is there.
//!
//! ```text
//! right is a Probe     its rows are found by indexes for each left row
//! something is equal   its rows are found by a hash of that for each left row ([`super::hash`])
//! left is a Probe      its rows are found by indexes for each right row, and then put in their order ([`Turned`])
//! ```
//!
//! Invariant: rows come in the order of the left relation, and for each of its rows in that of the right one; last those of
//! the right one that an outer join has without any left one. Indexes and hashes decide which pairs are looked at, and no more:
//! the join's condition is asked of each, and a value that a hash is of and that cannot be worked out is an error only there.
//! Sources: `nodeNestloop.c`, `nodeHashjoin.c`.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::hash::Places;
use super::{Exec, Row};
use crate::access::Access;
use crate::error::Result;
use crate::expr::{Expr, Rows};
use crate::family::Family;
use crate::plan::{EqualSides, JoinKind, Plan};
use crate::types::Datum;

/// A join that gives rows.
pub(crate) struct Join<'p, 'e> {
    kind: JoinKind,
    left: Cursor<'p, 'e>,
    right: &'p Plan,
    condition: Condition<'p>,
    /// What is equal of both sides, if anything is.
    equal: &'p [EqualSides],
    /// How many places each side's rows have.
    widths: [usize; 2],
    rights: Option<Rights>,
    current: Option<Current>,
    /// The first right row of which it was not yet asked whether it stands alone.
    alone: usize,
}

/// The right relation's rows.
struct Rights {
    rows: Vec<Row>,
    /// Whether a left one was found for each.
    is_matched: Vec<bool>,
    /// Where they are by what is equal, if that is how they are found.
    places: Option<Places>,
}

/// A left row that right ones are looked for.
struct Current {
    left: Row,
    /// Those that indexes have found for it, if that is how they are found.
    found: Option<Vec<Row>>,
    /// Whether of all of them those alone are looked at that have its hash.
    is_hashed: bool,
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
        equal: &'p [EqualSides],
        widths: [usize; 2],
    ) -> Join<'p, 'e> {
        let (rights, current) = (None, None);
        Join { kind, left, right, condition, equal, widths, rights, current, alone: 0 }
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
                let mut current =
                    Current { left, found: None, is_hashed: false, next: 0, is_matched: false };
                if let Plan::Probe(family, found) = self.right {
                    let known = padded(&current.left, self.condition.base);
                    current.found = Some(probe(family, found, &known, exec, outer)?);
                } else {
                    let (equal, left) = (self.equal, &current.left);
                    let rights = take_in(&mut self.rights, self.right, equal, exec, outer)?;
                    let places = rights.places.as_ref();
                    let first =
                        places.and_then(|places| places.first_of_left(equal, left, exec, outer));
                    current.is_hashed = first.is_some();
                    current.next = first.unwrap_or(0);
                }
                self.current = Some(current);
            }
            let Some(current) = &mut self.current else { continue };
            let (rights, mut is_right_matched, places) = match (&current.found, &mut self.rights) {
                (Some(found), _) => (found.as_slice(), None, None),
                (None, Some(Rights { rows, is_matched, places })) => {
                    let places = places.as_ref().filter(|_| current.is_hashed);
                    (rows.as_slice(), Some(is_matched), places)
                }
                (None, None) => (&[][..], None, None),
            };
            while let Some(right) = rights.get(current.next) {
                let at = current.next;
                current.next = places.map_or(at + 1, |places| places.after(at));
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
            // If there was no left row, nothing is looked for in them.
            let rights = take_in(&mut self.rights, self.right, &[], exec, outer)?;
            while let Some(right) = rights.rows.get(self.alone) {
                self.alone += 1;
                if !rights.is_matched[self.alone - 1] {
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
    rights: &'r mut Option<Rights>,
    right: &Plan,
    equal: &[EqualSides],
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<&'r mut Rights> {
    Ok(match rights {
        Some(rights) => rights,
        None => {
            let rows = exec.all(right, outer)?;
            let is_matched = vec![false; rows.len()];
            let places = match equal {
                [] => None,
                equal => Places::of_right(equal, &rows, exec, outer)?,
            };
            rights.insert(Rights { rows, is_matched, places })
        }
    })
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
