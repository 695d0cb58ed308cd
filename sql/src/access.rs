//! Which index a table's rows are found by, where a condition asks for a range of its key.
//!
//! ```text
//! WHERE a = 1 AND b > 2 AND c < 3     index (a, b DESC, c) ─► from (1, end) to before (1, 2), the filter on top of it
//! ```
//!
//! A condition of a join's rows serves the scans below it: a row that it drops there it would have dropped above, since a
//! comparison with a null is not true.
//!
//! Invariants: the condition is asked of every row that an index gives. Rows come in the order in which they lie in the
//! table, as a scan of all of it gives them. What a key is compared with is worked out once, when the scan begins, and has
//! no effect. Sources: `indxpath.c`, `nodeBitmapHeapscan.c`.

use std::ops::Bound;
use std::rc::Rc;

use engine::TableIndex;
use engine::btree::{Direction, IndexError, KeyError};
use engine::heap::Value;

use crate::error::Result;
use crate::exec::{Exec, Row};
use crate::expr::{Comparison, Expr, Rows};
use crate::family::{HIDDEN, Member};
use crate::index::KeyElement;
use crate::plan::{ChangeKind, Plan, Program};
use crate::types::{Datum, StoredRow, Type};

/// How the rows of one table are found.
#[derive(Debug)]
pub(crate) struct Access {
    index: TableIndex,
    /// Values of the first columns of its key.
    equal: Vec<Expr>,
    /// Bounds of the column behind them, in the order of the index; whether they are within.
    lower: Option<(Expr, bool)>,
    upper: Option<(Expr, bool)>,
    /// The types of the columns that have a value.
    types: Vec<Type>,
}

/// A comparison that a condition asks for: of a place in the row with a value that is known before.
#[derive(Debug, Clone)]
struct Asked {
    place: usize,
    op: Comparison,
    of: Type,
    value: Expr,
}

/// Finds indexes for the scans of a program.
pub(crate) fn program(program: &mut Program) {
    plan(&mut program.plan);
    program.subplans.iter_mut().for_each(|subplan| plan(&mut subplan.plan));
    program.ctes.iter_mut().for_each(plan);
}

/// The same of a node on top of which nothing is asked.
fn plan(node: &mut Plan) {
    below(node, &mut 0, &[]);
}

/// The same of a node whose relations begin at `base`, which is moved behind them, of whose rows `asked` holds.
fn below(node: &mut Plan, base: &mut usize, asked: &[Asked]) {
    match node {
        Plan::Scan(family) => {
            let at = *base;
            *base += family.width() + HIDDEN;
            let found =
                family.members.iter().map(|member| access(member, at, family.width(), asked));
            let found: Vec<Option<Access>> = found.collect();
            if found.iter().any(Option::is_some) {
                *node = Plan::IndexScan(Rc::clone(family), found);
            }
        }
        Plan::Filter { input, condition } => {
            let mut all = asked.to_vec();
            comparisons(condition, &mut all);
            below(input, base, &all);
        }
        Plan::Sort { input, .. } => below(input, base, asked),
        Plan::Lock { input, .. } => below(input, base, asked),
        Plan::Join { left, right, widths, .. } => {
            let begin = *base;
            below(left, &mut begin.clone(), asked);
            below(right, &mut (begin + widths[0]), asked);
            *base = begin + widths[0] + widths[1];
        }
        // What they give has places of its own.
        Plan::Derived(input)
        | Plan::Aggregate { input, .. }
        | Plan::Project { input, .. }
        | Plan::Distinct { input, .. }
        | Plan::Limit { input, .. }
        | Plan::Trim { input, .. } => plan(input),
        Plan::ProjectSeries { input, series, .. } => {
            plan(input);
            series.iter_mut().for_each(|(_, series)| plan(series));
        }
        Plan::SetOperation { left, right, .. } => {
            plan(left);
            plan(right);
        }
        Plan::Change(change) => match &change.kind {
            ChangeKind::Insert { .. }
            | ChangeKind::Update { .. }
            | ChangeKind::Delete
            | ChangeKind::Merge { .. } => plan(&mut change.input),
        },
        Plan::One
        | Plan::Values(_)
        | Plan::Series { .. }
        | Plan::Running(_)
        | Plan::Prepared { .. }
        | Plan::Cte(_)
        | Plan::IndexScan(..) => {}
    }
}

/// The comparisons that hold wherever a condition does.
fn comparisons(condition: &Expr, found: &mut Vec<Asked>) {
    match condition {
        Expr::And(parts) => parts.iter().for_each(|part| comparisons(part, found)),
        Expr::Compare { op, of, left, right } => {
            let turned = match op {
                Comparison::Less => Comparison::Greater,
                Comparison::LessOrEqual => Comparison::GreaterOrEqual,
                Comparison::Greater => Comparison::Less,
                Comparison::GreaterOrEqual => Comparison::LessOrEqual,
                Comparison::Equal | Comparison::NotEqual => *op,
            };
            for (one, other, op) in [(left, right, *op), (right, left, turned)] {
                if let Some(place) = column(one)
                    && op != Comparison::NotEqual
                    && is_known_before(other)
                {
                    found.push(Asked { place, op, of: *of, value: (**other).clone() });
                }
            }
        }
        _ => {}
    }
}

/// The place of a column; one of `varchar` is compared as `text`.
fn column(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Column { depth: 0, index } => Some(*index),
        Expr::Cast { expr, from: Type::Varchar, to: Type::Text } => column(expr),
        _ => None,
    }
}

/// Whether a value is the same for all rows of a scan, and can be worked out when it begins.
fn is_known_before(expr: &Expr) -> bool {
    let mut is_known = true;
    let walked = expr.clone().rewrite(&mut |part| {
        is_known &= match part {
            Expr::Column { depth, .. } => *depth > 0,
            Expr::Call { function, .. } => function.is_pure(),
            Expr::Aggregate(_) | Expr::Routine { .. } | Expr::Subquery { .. } => false,
            _ => true,
        };
        Ok(!is_known)
    });
    is_known && walked.is_ok()
}

/// The index that leaves fewest rows of a member, as far as can be told without looking: one that is unique and of whose
/// key all is known; then by how many columns are.
fn access(member: &Member, base: usize, width: usize, asked: &[Asked]) -> Option<Access> {
    let of_column = |column: usize| {
        let of = member.def.columns[column].of;
        asked.iter().filter(move |asked| {
            let place = asked.place.checked_sub(base).filter(|place| *place < width);
            place.is_some_and(|place| member.place(place) == column)
                && (asked.of == of || asked.of == Type::Text && of == Type::Varchar)
        })
    };
    let mut best: Option<((bool, usize, bool), Access)> = None;
    for index in &member.def.indexes {
        let Some(made) = &index.made else { continue };
        let (mut equal, mut types) = (Vec::new(), Vec::new());
        let (mut lower, mut upper) = (None, None);
        for part in &index.key {
            let KeyElement::Column(column) = part.element else { break };
            let of = member.def.columns[column].of;
            if let Some(asked) = of_column(column).find(|asked| asked.op == Comparison::Equal) {
                equal.push(asked.value.clone());
                types.push(of);
                continue;
            }
            for asked in of_column(column) {
                let is_within =
                    matches!(asked.op, Comparison::LessOrEqual | Comparison::GreaterOrEqual);
                let is_lower = matches!(asked.op, Comparison::Greater | Comparison::GreaterOrEqual);
                let bound = if is_lower != part.descending { &mut lower } else { &mut upper };
                bound.get_or_insert_with(|| (asked.value.clone(), is_within));
            }
            if lower.is_some() || upper.is_some() {
                types.push(of);
            }
            break;
        }
        let is_range = lower.is_some() || upper.is_some();
        if equal.is_empty() && !is_range {
            continue;
        }
        let rank = (index.is_unique && equal.len() == index.key.len(), equal.len(), is_range);
        if best.as_ref().is_none_or(|(known, _)| rank > *known) {
            let index = made.clone();
            best = Some((rank, Access { index, equal, lower, upper, types }));
        }
    }
    best.map(|(_, access)| access)
}

impl Access {
    /// The rows of a member that it finds, as the family has them; `None` if the index cannot be used.
    ///
    /// # Errors
    /// Where a value cannot be worked out, or a page not be read.
    pub(crate) fn rows(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Option<Vec<Row>>> {
        let nothing = Rows { row: &[], outer };
        let mut equal = Vec::with_capacity(self.equal.len());
        for expr in &self.equal {
            equal.push(expr.eval(exec, &nothing)?);
        }
        let mut bound = |bound: &Option<(Expr, bool)>| {
            let Some((expr, is_within)) = bound else { return Ok(None) };
            let mut key = equal.clone();
            key.push(expr.eval(exec, &nothing)?);
            Ok::<_, crate::error::SqlError>(Some((key, *is_within)))
        };
        let (lower, upper) = (bound(&self.lower)?, bound(&self.upper)?);
        let is_null = |key: &Option<(Vec<Datum>, bool)>| {
            key.as_ref().is_some_and(|(key, _)| key.iter().any(Datum::is_null))
        };
        if equal.iter().any(Datum::is_null) || is_null(&lower) || is_null(&upper) {
            return Ok(Some(Vec::new()));
        }
        let [lower_row, upper_row] = [&lower, &upper].map(|bound| {
            let key = bound.as_ref().map_or(&equal, |(key, _)| key);
            StoredRow::new(key, &self.types[..key.len()])
        });
        let (lower_key, upper_key) = (lower_row.values()?, upper_row.values()?);
        let bound = |bound: &Option<(Vec<Datum>, bool)>, key| -> Bound<&[Value<'_>]> {
            if matches!(bound, Some((_, false))) {
                Bound::Excluded(key)
            } else {
                Bound::Included(key)
            }
        };
        let (lower, upper) = (bound(&lower, &lower_key), bound(&upper, &upper_key));
        let table = &member.def.table;
        let transaction = &mut *exec.transaction;
        let scan = table.scan_index(transaction, &self.index, lower, upper, Direction::Forward);
        let mut scan = match scan {
            // It was dropped, or lacks what the snapshot may see.
            Err(engine::Error::NoIndex(_)) => return Ok(None),
            // No entry is as long as the value.
            Err(engine::Error::Index(IndexError::Key(KeyError::TooBig { .. }))) => return Ok(None),
            scan => scan?,
        };
        let mut found = Vec::new();
        while let Some(row) = scan.next_row(transaction)? {
            found.push(row);
        }
        found.sort_by_key(|row| (row.tid().block, row.tid().offset));
        found.iter().map(|row| member.stored_row(row)).collect::<Result<_>>().map(Some)
    }
}
