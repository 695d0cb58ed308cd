//! Functions that give several rows, in FROM and in a select list.
//!
//! Invariant: in FROM their arguments see no relation beside them. Source: `transformRangeFunction`.

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, TableAlias};

use super::from::rename;
use super::from_prepared;
use super::{Analyzer, EntryKind, Level};
use crate::cast;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::Plan;
use crate::table::{ident, object_name};
use crate::types::{Datum, Type};

impl Analyzer<'_, '_, '_> {
    pub(super) fn function_relation(
        &mut self,
        name: &ast::ObjectName,
        args: &[FunctionArg],
        alias: Option<&TableAlias>,
    ) -> Result<Plan> {
        let name = object_name(name)?;
        if name == from_prepared::FUNCTION && args.is_empty() {
            return self.prepared_transactions(false, alias);
        }
        if name != "generate_series" && name != "pg_snapshot_xip" {
            return Err(SqlError::not_supported(format!("the function {name}() in FROM")));
        }
        // Its arguments see nothing beside it.
        let level = self.levels.pop();
        self.levels.push(Level { no_aggregates: Some("functions in FROM"), ..Level::default() });
        let series = match name.as_str() {
            "pg_snapshot_xip" => self.running(args),
            _ => self.series(args),
        };
        self.levels.pop();
        self.levels.extend(level);
        let (plan, of) = series?;
        let shown = alias.map_or_else(|| name, |alias| ident(&alias.name));
        self.check_alias(&shown)?;
        let mut columns = vec![(shown.clone(), of)];
        if let Some(alias) = alias {
            rename(&mut columns, alias)?;
        }
        self.level()?.add(shown, columns, None);
        self.mark(EntryKind::Function)?;
        Ok(plan)
    }

    /// `pg_snapshot_xip`
    fn running(&mut self, args: &[FunctionArg]) -> Result<(Plan, Type)> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] = args else {
            return Err(SqlError::new("42883", "function pg_snapshot_xip takes one snapshot"));
        };
        let typed = self.expr(arg)?;
        if !cast::is_implicit(typed.of, Type::PgSnapshot) {
            let message = format!("function pg_snapshot_xip({}) does not exist", typed.of.name());
            return Err(SqlError::new("42883", message));
        }
        Ok((Plan::Running(self.cast_to(typed, Type::PgSnapshot)?.expr), Type::Xid8))
    }

    /// `generate_series` of whole numbers.
    pub(super) fn series(&mut self, args: &[FunctionArg]) -> Result<(Plan, Type)> {
        let mut typed = Vec::new();
        for arg in args {
            match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => typed.push(self.expr(expr)?),
                other => return Err(SqlError::not_supported(format!("the argument {other}"))),
            }
        }
        let is_wide = typed.iter().any(|arg| arg.of == Type::Int8);
        let of = if is_wide { Type::Int8 } else { Type::Int4 };
        let types: Vec<&str> = typed.iter().map(|arg| arg.of.name()).collect();
        if !(2..=3).contains(&typed.len()) || typed.iter().any(|arg| !cast::is_implicit(arg.of, of))
        {
            let message = format!("function generate_series({}) does not exist", types.join(", "));
            return Err(SqlError::new("42883", message));
        }
        let exprs = typed.into_iter().map(|arg| Ok(self.cast_to(arg, of)?.expr));
        let mut exprs = exprs.collect::<Result<Vec<_>>>()?;
        let step = if exprs.len() > 2 { exprs.pop() } else { None };
        let to = exprs.pop().unwrap_or(Expr::Const(Datum::Null));
        let from = exprs.pop().unwrap_or(Expr::Const(Datum::Null));
        Ok((Plan::Series { of, from, to, step }, of))
    }
}
