//! `min` and `max` of a table's column by the ends of an index: each is the first row of an order.
//!
//! ```text
//! SELECT min(a), max(b) FROM t WHERE c     SELECT a FROM t WHERE c AND a IS NOT NULL ORDER BY a LIMIT 1, and the like of b
//! ```
//!
//! Invariant: it is done for all aggregates of a query or for none. Source: `planagg.c`.

use std::rc::Rc;

use super::Planner;
use super::asked::{Asked, is_stable};
use super::choice::Wanted;
use crate::error::Result;
use crate::expr::Expr;
use crate::plan::{AggregateCall, AggregateKind, Plan, SortKey};
use crate::types::Datum;

impl Planner<'_, '_, '_> {
    /// A plan for each of the aggregates that gives its value in one row, or no row of a null; `None` where that would not
    /// be by an index, or not of all of them.
    pub(super) fn extremes(
        &mut self,
        input: &Plan,
        calls: &[AggregateCall],
    ) -> Result<Option<Vec<Plan>>> {
        let (family, condition) = match input {
            Plan::Scan(family) => (family, None),
            Plan::Filter { input, condition } => match &**input {
                Plan::Scan(family) => (family, Some(condition)),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        // It is asked once for each aggregate.
        if calls.is_empty() || !condition.is_none_or(is_stable) {
            return Ok(None);
        }
        let mut found = Vec::with_capacity(calls.len());
        for call in calls {
            let descending = match call.kind {
                AggregateKind::Min => false,
                AggregateKind::Max => true,
                _ => return Ok(None),
            };
            let ([arg], None) = (call.args.as_slice(), &call.filter) else { return Ok(None) };
            if !is_stable(arg) {
                return Ok(None);
            }
            let mut holds = self.nothing();
            holds.asked.push(Asked::not_null(arg, call.of));
            condition.iter().for_each(|condition| holds.add(condition));
            let keys =
                [SortKey { expr: arg.clone(), of: call.of, descending, nulls_first: descending }];
            let mut plan = Plan::Scan(Rc::clone(family));
            let wanted = Wanted { keys: &keys, limited: true };
            if !self.below(&mut plan, &mut 0, &holds, Some(wanted))? {
                return Ok(None);
            }
            let is_there = Expr::IsNull { expr: Box::new(arg.clone()), negated: true };
            let condition = match condition {
                Some(condition) => Expr::And(vec![condition.clone(), is_there]),
                None => is_there,
            };
            let plan = Plan::Filter { input: Box::new(plan), condition };
            let plan = Plan::Project { input: Box::new(plan), exprs: vec![arg.clone()] };
            let one = Some(Expr::Const(Datum::Int8(1)));
            found.push(Plan::Limit { input: Box::new(plan), limit: one, offset: None });
        }
        Ok(Some(found))
    }
}
