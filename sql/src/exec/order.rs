//! The order of rows, and several that come in it made one.
//!
//! Source: `nodeMergeAppend.c`.

use std::cmp::Ordering;

use super::{Exec, Row};
use crate::access::{Access, IndexRows};
use crate::error::Result;
use crate::expr::Rows;
use crate::family::Member;
use crate::plan::SortKey;
use crate::types::Datum;

/// What a row is sorted by.
pub(super) fn by(
    keys: &[SortKey],
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Vec<Datum>> {
    keys.iter().map(|key| key.expr.eval(exec, &Rows { row, outer })).collect()
}

/// Which of two comes first.
pub(super) fn compare(keys: &[SortKey], one: &[Datum], other: &[Datum]) -> Ordering {
    let mut orders = one.iter().zip(other).zip(keys).map(|((one, other), key)| {
        if one.is_null() || other.is_null() {
            let nulls = one.is_null().cmp(&other.is_null());
            return if key.nulls_first { nulls.reverse() } else { nulls };
        }
        let order = one.sort_order(other, key.of);
        if key.descending { order.reverse() } else { order }
    });
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Tables that are read by indexes in one order, made one.
pub(crate) struct Merge<'p, 'e> {
    keys: &'p [SortKey],
    inputs: Vec<Input<'p, 'e>>,
    /// The one whose row was given last, if its next is not known.
    given: Option<usize>,
}

struct Input<'p, 'e> {
    member: &'p Member,
    rows: IndexRows<'e>,
    /// Its next row, with what that is sorted by; `None` behind its last.
    next: Option<(Vec<Datum>, Row)>,
}

impl<'p, 'e> Merge<'p, 'e> {
    pub(super) fn open(
        members: &'p [Member],
        found: &'p [Access],
        keys: &'p [SortKey],
        exec: &mut Exec<'_, '_, '_, 'e>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Merge<'p, 'e>> {
        let nothing = Rows { row: &[], outer };
        let mut inputs = Vec::with_capacity(found.len());
        for (member, access) in members.iter().zip(found) {
            let Some(rows) = access.open(member, exec, &nothing)? else { continue };
            let mut input = Input { member, rows, next: None };
            input.advance(keys, exec, outer)?;
            inputs.push(input);
        }
        Ok(Merge { keys, inputs, given: None })
    }

    pub(super) fn next(
        &mut self,
        exec: &mut Exec<'_, '_, '_, 'e>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Option<Row>> {
        if let Some(given) = self.given.take() {
            self.inputs[given].advance(self.keys, exec, outer)?;
        }
        let known = self.inputs.iter().enumerate();
        let known = known.filter_map(|(at, input)| Some((at, &input.next.as_ref()?.0)));
        let first = known.min_by(|(_, one), (_, other)| compare(self.keys, one, other));
        let Some((first, _)) = first else { return Ok(None) };
        self.given = Some(first);
        Ok(self.inputs[first].next.take().map(|(_, row)| row))
    }
}

impl<'e> Input<'_, 'e> {
    fn advance(
        &mut self,
        keys: &[SortKey],
        exec: &mut Exec<'_, '_, '_, 'e>,
        outer: Option<&Rows<'_>>,
    ) -> Result<()> {
        self.next = match self.rows.next(self.member, exec)? {
            Some((_, row)) => Some((by(keys, &row, exec, outer)?, row)),
            None => None,
        };
        Ok(())
    }
}
