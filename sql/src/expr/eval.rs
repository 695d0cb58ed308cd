//! Expressions evaluated over a row.
//!
//! Invariants: parts are evaluated from the left, and no further than what they are asked for needs (AND, OR, CASE,
//! COALESCE). A null is no truth. Source: `execExprInterp.c`.

use std::cmp::Ordering;

use super::like::is_like;
use super::{Arithmetic, Comparison, Expr, arithmetic};
use crate::cast;
use crate::class;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::types::{Datum, Type};

/// The rows that an expression's columns mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) row: &'a [Datum],
    pub(crate) outer: Option<&'a Rows<'a>>,
}

impl Rows<'_> {
    fn get(&self, depth: usize, index: usize) -> Datum {
        let mut rows = *self;
        for _ in 0..depth {
            match rows.outer {
                Some(outer) => rows = *outer,
                None => return Datum::Null,
            }
        }
        rows.row.get(index).cloned().unwrap_or(Datum::Null)
    }
}

impl Expr {
    /// Its value.
    pub(crate) fn eval(&self, exec: &mut Exec<'_, '_, '_, '_>, rows: &Rows<'_>) -> Result<Datum> {
        Ok(match self {
            Expr::Const(value) => value.clone(),
            Expr::Column { depth, index } => rows.get(*depth, *index),
            Expr::Aggregate(_) => return Err(SqlError::new("XX000", "an aggregate has no place")),
            Expr::Call { function, args } => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    let value = arg.eval(exec, rows)?;
                    if value.is_null() && function.is_strict {
                        return Ok(Datum::Null);
                    }
                    values.push(value);
                }
                function.call(exec, &values)?
            }
            Expr::Routine { routine, args, types } => {
                let values = args.iter().map(|arg| arg.eval(exec, rows));
                let values = values.collect::<Result<Vec<_>>>()?;
                exec.call(routine, values, types)?
            }
            Expr::And(parts) => Datum::of_truth(self.junction(parts, false, exec, rows)?),
            Expr::Or(parts) => Datum::of_truth(self.junction(parts, true, exec, rows)?),
            Expr::Not(expr) => Datum::of_truth(expr.eval(exec, rows)?.truth().map(|value| !value)),
            Expr::Compare { op, of, left, right } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                Datum::of_truth(compare(*op, *of, &left, &right))
            }
            Expr::Arithmetic { op, of, left, right } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                if left.is_null() || right.is_null() {
                    return Ok(Datum::Null);
                }
                arithmetic(*op, *of, &left, &right)?
            }
            Expr::Negate { of, expr } => match expr.eval(exec, rows)? {
                Datum::Null => Datum::Null,
                Datum::Float8(value) => Datum::Float8(-value),
                Datum::Numeric(value) => Datum::Numeric(value.negate()),
                value => arithmetic(Arithmetic::Subtract, *of, &zero(*of), &value)?,
            },
            Expr::Concat(left, right) => {
                match (left.eval(exec, rows)?.text(), right.eval(exec, rows)?.text()) {
                    (Some(left), Some(right)) => Datum::Text(left + &right),
                    _ => Datum::Null,
                }
            }
            Expr::IsNull { expr, negated } => {
                let is_null = match expr.eval(exec, rows)? {
                    // Of a row all fields are looked at.
                    Datum::Record(fields) if *negated => {
                        return Ok(Datum::Bool(fields.iter().all(|field| !field.is_null())));
                    }
                    Datum::Record(fields) => fields.iter().all(Datum::is_null),
                    value => value.is_null(),
                };
                Datum::Bool(is_null != *negated)
            }
            Expr::Is { expr, value, negated } => {
                let is = expr.eval(exec, rows)?.truth() == Some(*value);
                Datum::Bool(is != *negated)
            }
            Expr::Distinct { of, left, right, negated } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                Datum::Bool(left.sort_order(&right, *of).is_ne() != *negated)
            }
            Expr::In { of, expr, list, negated } => {
                let value = expr.eval(exec, rows)?;
                let mut found = Some(false);
                for item in list {
                    match compare(Comparison::Equal, *of, &value, &item.eval(exec, rows)?) {
                        Some(true) => {
                            found = Some(true);
                            break;
                        }
                        Some(false) => {}
                        None => found = None,
                    }
                }
                Datum::of_truth(found.map(|found| found != *negated))
            }
            Expr::Like { expr, pattern, ignores_case, negated } => {
                match (expr.eval(exec, rows)?, pattern.eval(exec, rows)?) {
                    (Datum::Text(mut text), Datum::Text(mut pattern)) => {
                        if *ignores_case {
                            (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
                        }
                        let (text, pattern): (Vec<char>, Vec<char>) =
                            (text.chars().collect(), pattern.chars().collect());
                        Datum::Bool(is_like(&text, &pattern)? != *negated)
                    }
                    _ => Datum::Null,
                }
            }
            Expr::Case { whens, otherwise } => {
                for (condition, value) in whens {
                    if condition.eval(exec, rows)?.truth() == Some(true) {
                        return value.eval(exec, rows);
                    }
                }
                match otherwise {
                    Some(value) => value.eval(exec, rows)?,
                    None => Datum::Null,
                }
            }
            Expr::Coalesce(args) => {
                for arg in args {
                    let value = arg.eval(exec, rows)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Datum::Null
            }
            Expr::NullIf { of, left, right } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                let is_equal = compare(Comparison::Equal, *of, &left, &right) == Some(true);
                if is_equal { Datum::Null } else { left }
            }
            Expr::Extreme { of, args, greatest } => {
                let mut found = Datum::Null;
                for arg in args {
                    let value = arg.eval(exec, rows)?;
                    let is_better = match value.compare(&found, *of) {
                        Some(order) => {
                            order == if *greatest { Ordering::Greater } else { Ordering::Less }
                        }
                        None => found.is_null(),
                    };
                    if is_better {
                        found = value;
                    }
                }
                found
            }
            Expr::Cast { expr, from, to } => {
                let value = expr.eval(exec, rows)?;
                if let (Type::Regclass, Datum::Text(name)) = (*to, &value) {
                    return class::number_of(exec.transaction, name);
                }
                if *from == Type::Regclass && to.is_string() {
                    return exec.class_name(&value);
                }
                cast::cast(&value, *from, *to)?
            }
            Expr::Fit { expr, of, modifier, is_explicit } => {
                cast::apply(expr.eval(exec, rows)?, *of, *modifier, *is_explicit)?
            }
            Expr::Row(fields) => Datum::Record(
                fields.iter().map(|field| field.eval(exec, rows)).collect::<Result<_>>()?,
            ),
            Expr::Subquery { index, use_ } => exec.subquery(*index, use_, rows)?,
        })
    }

    /// Whether it is true, and neither false nor null.
    pub(crate) fn is_true(&self, exec: &mut Exec<'_, '_, '_, '_>, rows: &Rows<'_>) -> Result<bool> {
        Ok(self.eval(exec, rows)?.truth() == Some(true))
    }

    /// The truth of parts joined by AND or OR: one that is `decisive` decides.
    fn junction(
        &self,
        parts: &[Expr],
        decisive: bool,
        exec: &mut Exec<'_, '_, '_, '_>,
        rows: &Rows<'_>,
    ) -> Result<Option<bool>> {
        let mut found = Some(!decisive);
        for part in parts {
            match part.eval(exec, rows)?.truth() {
                Some(value) if value == decisive => return Ok(Some(decisive)),
                Some(_) => {}
                None => found = None,
            }
        }
        Ok(found)
    }
}

/// Whether a comparison holds; `None` where a null decides. Rows are compared field by field.
pub(crate) fn compare(op: Comparison, of: Type, left: &Datum, right: &Datum) -> Option<bool> {
    if let (Datum::Record(left), Datum::Record(right)) = (left, right) {
        let mut unknown = false;
        for (left, right) in left.iter().zip(right) {
            match left.compare(right, of) {
                Some(Ordering::Equal) => {}
                Some(order)
                    if !unknown || matches!(op, Comparison::Equal | Comparison::NotEqual) =>
                {
                    return Some(op.holds(order));
                }
                _ => unknown = true,
            }
        }
        return if unknown { None } else { Some(op.holds(Ordering::Equal)) };
    }
    left.compare(right, of).map(|order| op.holds(order))
}

fn zero(of: Type) -> Datum {
    match of {
        Type::Int2 => Datum::Int2(0),
        Type::Int8 => Datum::Int8(0),
        _ => Datum::Int4(0),
    }
}
