//! Constants worked out before a program runs, so that what is wrong with them is said whether or not there are rows.
//!
//! As the server's planner does it: arguments first, from left to right; what a decisive constant of AND, OR, CASE or
//! COALESCE leaves out is not looked at. A strict operation on a null constant is null.
//!
//! Invariant: what asks the session or reads a column is left alone. Source: `eval_const_expressions`.

use crate::error::Result;
use crate::exec::Exec;
use crate::expr::{Expr, Rows, SubqueryUse};
use crate::plan::{ChangeKind, MergeAction, Plan, Program};
use crate::types::{Datum, Type};

/// Works out a program's constants; `exec` is one of no program.
pub(crate) fn program(program: &mut Program, exec: &mut Exec<'_, '_, '_, '_>) -> Result<()> {
    plan(&mut program.plan, exec)?;
    for subplan in &mut program.subplans {
        plan(&mut subplan.plan, exec)?;
    }
    program.ctes.iter_mut().try_for_each(|cte| plan(cte, exec))
}

fn all(exprs: &mut [Expr], exec: &mut Exec<'_, '_, '_, '_>) -> Result<()> {
    exprs.iter_mut().try_for_each(|written| expr(written, exec))
}

fn each<'x>(
    exprs: impl IntoIterator<Item = &'x mut Expr>,
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<()> {
    exprs.into_iter().try_for_each(|written| expr(written, exec))
}

fn plan(node: &mut Plan, exec: &mut Exec<'_, '_, '_, '_>) -> Result<()> {
    match node {
        Plan::One
        | Plan::Scan(_)
        | Plan::IndexScan(..)
        | Plan::Merge { .. }
        | Plan::Probe(..)
        | Plan::Prepared { .. }
        | Plan::Cte(_) => Ok(()),
        Plan::Extremes(inputs) => inputs.iter_mut().try_for_each(|input| plan(input, exec)),
        Plan::Running(snapshot) => expr(snapshot, exec),
        Plan::Values(rows) => rows.iter_mut().try_for_each(|row| all(row, exec)),
        Plan::Series { from, to, step, .. } => each([from, to].into_iter().chain(step), exec),
        Plan::Derived(input) | Plan::Trim { input, .. } | Plan::Distinct { input, .. } => {
            plan(input, exec)
        }
        Plan::Lock { input, .. } => plan(input, exec),
        Plan::Join { left, right, on, .. } => {
            plan(left, exec)?;
            plan(right, exec)?;
            each(on, exec)
        }
        Plan::Filter { input, condition } | Plan::SideFilter { input, condition, .. } => {
            plan(input, exec)?;
            expr(condition, exec)
        }
        Plan::Aggregate { input, keys, calls, .. } => {
            plan(input, exec)?;
            each(keys.iter_mut().map(|(key, _)| key), exec)?;
            for call in calls {
                all(&mut call.args, exec)?;
                each(&mut call.filter, exec)?;
            }
            Ok(())
        }
        Plan::Sort { input, keys } => {
            plan(input, exec)?;
            each(keys.iter_mut().map(|key| &mut key.expr), exec)
        }
        Plan::Project { input, exprs } => {
            plan(input, exec)?;
            all(exprs, exec)
        }
        Plan::ProjectSeries { input, exprs, series } => {
            plan(input, exec)?;
            all(exprs, exec)?;
            series.iter_mut().try_for_each(|(_, series)| plan(series, exec))
        }
        Plan::Limit { input, limit, offset } => {
            plan(input, exec)?;
            each(limit.iter_mut().chain(offset), exec)
        }
        Plan::SetOperation { left, right, .. } => {
            plan(left, exec)?;
            plan(right, exec)
        }
        Plan::Change(change) => {
            plan(&mut change.input, exec)?;
            let conflict = match &mut change.kind {
                ChangeKind::Update { sets } => {
                    each(sets.iter_mut().map(|(_, value)| value), exec)?;
                    None
                }
                ChangeKind::Insert { on_conflict } => {
                    on_conflict.as_mut().and_then(|on_conflict| on_conflict.update.as_mut())
                }
                ChangeKind::Delete => None,
                ChangeKind::Merge { whens } => {
                    for when in whens {
                        each(&mut when.condition, exec)?;
                        match &mut when.action {
                            MergeAction::Update(sets) => {
                                each(sets.iter_mut().map(|(_, value)| value), exec)?;
                            }
                            MergeAction::Insert(values) => all(values, exec)?,
                            MergeAction::Delete | MergeAction::Nothing => {}
                        }
                    }
                    None
                }
            };
            if let Some(update) = conflict {
                each(update.sets.iter_mut().map(|(_, value)| value), exec)?;
                each(&mut update.condition, exec)?;
            }
            each(change.returning.iter_mut().flatten(), exec)
        }
    }
}

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(_))
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Const(Datum::Null))
}

/// An expression's value now, in its place.
fn work_out(written: &mut Expr, exec: &mut Exec<'_, '_, '_, '_>) -> Result<()> {
    let value = written.eval(exec, &Rows { row: &[], outer: None })?;
    *written = Expr::Const(value);
    Ok(())
}

/// Works out what is constant in an expression.
pub(crate) fn expr(written: &mut Expr, exec: &mut Exec<'_, '_, '_, '_>) -> Result<()> {
    match written {
        Expr::Const(_) | Expr::Column { .. } | Expr::Aggregate(_) => Ok(()),
        Expr::And(parts) => {
            let folded = junction(std::mem::take(parts), false, exec)?;
            *written = joined(folded, true, Expr::And);
            Ok(())
        }
        Expr::Or(parts) => {
            let folded = junction(std::mem::take(parts), true, exec)?;
            *written = joined(folded, false, Expr::Or);
            Ok(())
        }
        Expr::Case { whens, otherwise } => {
            let mut kept = Vec::with_capacity(whens.len());
            for (mut condition, mut value) in std::mem::take(whens) {
                expr(&mut condition, exec)?;
                match &condition {
                    Expr::Const(Datum::Bool(true)) => {
                        *otherwise = Some(Box::new(value));
                        break;
                    }
                    Expr::Const(_) => {}
                    _ => {
                        expr(&mut value, exec)?;
                        kept.push((condition, value));
                    }
                }
            }
            each(otherwise.as_deref_mut(), exec)?;
            if kept.is_empty() {
                let value = otherwise.take();
                *written = value.map_or(Expr::Const(Datum::Null), |value| *value);
            } else {
                *whens = kept;
            }
            Ok(())
        }
        Expr::Coalesce(args) => {
            let mut kept = Vec::with_capacity(args.len());
            for mut arg in std::mem::take(args) {
                expr(&mut arg, exec)?;
                match &arg {
                    Expr::Const(Datum::Null) => {}
                    Expr::Const(_) => {
                        kept.push(arg);
                        break;
                    }
                    _ => kept.push(arg),
                }
            }
            *written = match kept.len() {
                0 => Expr::Const(Datum::Null),
                1 => kept.remove(0),
                _ => Expr::Coalesce(kept),
            };
            Ok(())
        }
        Expr::Subquery { use_, .. } => match use_ {
            SubqueryUse::Any { expr: value, .. } | SubqueryUse::All { expr: value, .. } => {
                expr(value, exec)
            }
            SubqueryUse::Scalar | SubqueryUse::Row | SubqueryUse::Exists => Ok(()),
        },
        Expr::Call { function, args } => {
            let is_pure = function.is_pure();
            let is_strict = function.is_strict;
            all(args, exec)?;
            if is_strict && args.iter().any(is_null) {
                *written = Expr::Const(Datum::Null);
                Ok(())
            } else if is_pure && args.iter().all(is_constant) {
                work_out(written, exec)
            } else {
                Ok(())
            }
        }
        Expr::Row(args) | Expr::Routine { args, .. } => all(args, exec),
        Expr::Extreme { args, .. } => {
            all(args, exec)?;
            if args.iter().all(is_constant) { work_out(written, exec) } else { Ok(()) }
        }
        Expr::In { expr: value, list, .. } => {
            expr(value, exec)?;
            all(list, exec)?;
            if is_constant(value) && list.iter().all(is_constant) {
                return work_out(written, exec);
            }
            Ok(())
        }
        Expr::Cast { to: Type::Regclass, expr: value, .. } => expr(value, exec),
        Expr::Cast { from: Type::Regclass, expr: value, .. } => expr(value, exec),
        Expr::Not(value)
        | Expr::Negate { expr: value, .. }
        | Expr::Cast { expr: value, .. }
        | Expr::Fit { expr: value, .. }
        | Expr::IsNull { expr: value, .. }
        | Expr::Is { expr: value, .. } => {
            expr(value, exec)?;
            if is_constant(value) { work_out(written, exec) } else { Ok(()) }
        }
        Expr::Compare { left, right, .. }
        | Expr::Arithmetic { left, right, .. }
        | Expr::Concat(left, right)
        | Expr::Like { expr: left, pattern: right, .. } => {
            expr(left, exec)?;
            expr(right, exec)?;
            if is_null(left) || is_null(right) {
                *written = Expr::Const(Datum::Null);
                return Ok(());
            }
            let both = is_constant(left) && is_constant(right);
            if both { work_out(written, exec) } else { Ok(()) }
        }
        Expr::Distinct { left, right, .. } | Expr::NullIf { left, right, .. } => {
            expr(left, exec)?;
            expr(right, exec)?;
            let both = is_constant(left) && is_constant(right);
            if both { work_out(written, exec) } else { Ok(()) }
        }
    }
}

/// The parts that are left; one alone if it decides.
fn junction(
    parts: Vec<Expr>,
    decisive: bool,
    exec: &mut Exec<'_, '_, '_, '_>,
) -> Result<Vec<Expr>> {
    let mut kept: Vec<Expr> = Vec::with_capacity(parts.len());
    for mut part in parts {
        expr(&mut part, exec)?;
        match part {
            Expr::Const(Datum::Bool(value)) if value == decisive => {
                return Ok(vec![Expr::Const(Datum::Bool(decisive))]);
            }
            Expr::Const(Datum::Bool(_)) => {}
            Expr::Const(Datum::Null) if kept.iter().any(is_null) => {}
            part => kept.push(part),
        }
    }
    Ok(kept)
}

fn joined(mut parts: Vec<Expr>, empty: bool, join: fn(Vec<Expr>) -> Expr) -> Expr {
    match parts.len() {
        0 => Expr::Const(Datum::Bool(empty)),
        1 => parts.remove(0),
        _ => join(parts),
    }
}
