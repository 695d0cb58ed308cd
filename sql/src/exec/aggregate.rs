//! Rows put together in groups.
//!
//! Invariant: groups come in the order in which their first rows came.

use crate::error::Result;
use crate::exec::cursor::Cursor;
use crate::exec::{Exec, Row};
use crate::expr::{Expr, Rows, add};
use crate::numeric::Numeric;
use crate::plan::{AggregateCall, AggregateKind};
use crate::types::{Datum, Type};

/// A group of rows.
struct Group {
    keys: Row,
    states: Vec<State>,
}

/// An aggregate while rows come.
struct State {
    count: i64,
    value: Datum,
    /// Of an aggregate of distinct values, those that came.
    seen: Vec<Datum>,
}

/// Puts rows together: the keys of each group, then its aggregates.
pub(crate) fn aggregate<'e>(
    input: &mut Cursor<'_, 'e>,
    keys: &[(Expr, Type)],
    calls: &[AggregateCall],
    is_grouped: bool,
    exec: &mut Exec<'_, '_, '_, 'e>,
    outer: Option<&Rows<'_>>,
) -> Result<Vec<Row>> {
    let states = || -> Vec<State> {
        let empty = |_| State { count: 0, value: Datum::Null, seen: Vec::new() };
        calls.iter().map(empty).collect()
    };
    let mut groups: Vec<Group> = Vec::new();
    if !is_grouped {
        groups.push(Group { keys: Vec::new(), states: states() });
    }
    while let Some(row) = input.next(exec, outer)? {
        let rows = Rows { row: &row, outer };
        let mut values = Vec::with_capacity(keys.len());
        for (key, _) in keys {
            values.push(key.eval(exec, &rows)?);
        }
        let is_same = |group: &&mut Group| {
            let pairs = group.keys.iter().zip(&values).zip(keys);
            pairs.into_iter().all(|((one, other), (_, of))| one.sort_order(other, *of).is_eq())
        };
        let group = match groups.iter_mut().find(is_same) {
            Some(group) => group,
            None => {
                groups.push(Group { keys: values, states: states() });
                let last = groups.len() - 1;
                &mut groups[last]
            }
        };
        for (state, call) in group.states.iter_mut().zip(calls) {
            state.take(call, exec, &rows)?;
        }
    }
    let mut made = Vec::with_capacity(groups.len());
    for group in groups {
        let mut row = group.keys;
        for (state, call) in group.states.into_iter().zip(calls) {
            row.push(state.result(call)?);
        }
        made.push(row);
    }
    Ok(made)
}

impl State {
    fn take(
        &mut self,
        call: &AggregateCall,
        exec: &mut Exec<'_, '_, '_, '_>,
        rows: &Rows<'_>,
    ) -> Result<()> {
        if let Some(filter) = &call.filter
            && !filter.is_true(exec, rows)?
        {
            return Ok(());
        }
        let Some(arg) = call.args.first() else {
            self.count += 1;
            return Ok(());
        };
        let value = arg.eval(exec, rows)?;
        if value.is_null() {
            return Ok(());
        }
        if call.distinct {
            if self.seen.iter().any(|seen| seen.sort_order(&value, call.of).is_eq()) {
                return Ok(());
            }
            self.seen.push(value.clone());
        }
        self.count += 1;
        let is_first = self.value.is_null();
        self.value = match call.kind {
            AggregateKind::Count => return Ok(()),
            _ if is_first => value,
            AggregateKind::Sum | AggregateKind::Average => add(call.of, &self.value, &value)?,
            AggregateKind::Min if value.sort_order(&self.value, call.of).is_lt() => value,
            AggregateKind::Max if value.sort_order(&self.value, call.of).is_gt() => value,
            AggregateKind::Min | AggregateKind::Max => return Ok(()),
            AggregateKind::And => Datum::of_truth(
                self.value.truth().zip(value.truth()).map(|(one, other)| one && other),
            ),
            AggregateKind::Or => Datum::of_truth(
                self.value.truth().zip(value.truth()).map(|(one, other)| one || other),
            ),
            AggregateKind::StringAgg => {
                let between = call.args[1].eval(exec, rows)?.text().unwrap_or_default();
                let text = |value: &Datum| value.text().unwrap_or_default();
                Datum::Text(text(&self.value) + &between + &text(&value))
            }
        };
        Ok(())
    }

    fn result(self, call: &AggregateCall) -> Result<Datum> {
        Ok(match (call.kind, self.value) {
            (AggregateKind::Count, _) => Datum::Int8(self.count),
            (AggregateKind::Average, Datum::Numeric(sum)) => {
                Datum::Numeric(sum.divide(&Numeric::from_int(self.count))?)
            }
            (AggregateKind::Average, Datum::Float8(sum)) => Datum::Float8(sum / self.count as f64),
            (_, value) => value,
        })
    }
}
