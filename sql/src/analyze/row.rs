//! Rows compared: `(a, b) < (c, d)`, with lists and with queries.
//!
//! Invariant: the fields that meet are of one type, which has the operator. Source: `make_row_comparison_op`.

use sqlparser::ast::{self, Expr as Ast, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{Analyzer, Typed};
use crate::error::{Result, SqlError};
use crate::expr::{Comparison, Expr, SubqueryUse};
use crate::plan::{Plan, Subplan};
use crate::types::Type;

/// The fields of a row that is written as one: `(a, b)` or `ROW(a, b)`.
pub(super) fn fields(written: &Ast) -> Option<Vec<&Ast>> {
    match written {
        Ast::Tuple(fields) => Some(fields.iter().collect()),
        Ast::Nested(inner) => fields(inner),
        Ast::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            let FunctionArguments::List(list) = &function.args else { return None };
            let given = list.args.iter().map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(field)) => Some(field),
                _ => None,
            });
            given.collect()
        }
        _ => None,
    }
}

impl Analyzer<'_, '_, '_> {
    pub(super) fn row_fields(&mut self, fields: &[&Ast]) -> Result<Vec<Typed>> {
        fields.iter().map(|field| self.expr(field)).collect()
    }

    /// Two rows, field by field.
    pub(super) fn row_comparison(
        &self,
        op: Comparison,
        lefts: Vec<Typed>,
        rights: Vec<Typed>,
    ) -> Result<Typed> {
        if lefts.len() != rights.len() {
            return Err(SqlError::syntax("unequal number of entries in row expressions"));
        }
        if matches!(op, Comparison::Equal | Comparison::NotEqual) {
            let parts = lefts.into_iter().zip(rights);
            let parts = parts.map(|(left, right)| Ok(self.comparison(op, left, right)?.expr));
            let parts = parts.collect::<Result<_>>()?;
            let expr = if op == Comparison::Equal { Expr::And(parts) } else { Expr::Or(parts) };
            return Ok(Typed::new(expr, Type::Bool));
        }
        let (lefts, rights) = self.compared_fields(op, lefts, rights)?;
        let (left, right) = (Box::new(Expr::Row(lefts)), Box::new(Expr::Row(rights)));
        Ok(Typed::new(Expr::Compare { op, of: Type::Record, left, right }, Type::Bool))
    }

    /// `(a, b) = (SELECT c, d ...)`
    pub(super) fn row_subquery(
        &mut self,
        lefts: &[&Ast],
        op: Comparison,
        query: &ast::Query,
    ) -> Result<Typed> {
        let (left, index) = self.row_and_subquery(lefts, op, query)?;
        let right = Box::new(Expr::Subquery { index, use_: SubqueryUse::Row });
        let left = Box::new(left);
        Ok(Typed::new(Expr::Compare { op, of: Type::Record, left, right }, Type::Bool))
    }

    /// A row and a query whose rows it is compared with.
    pub(super) fn row_and_subquery(
        &mut self,
        lefts: &[&Ast],
        op: Comparison,
        query: &ast::Query,
    ) -> Result<(Expr, usize)> {
        let lefts = self.row_fields(lefts)?;
        let (index, columns) = self.subquery(query)?;
        if columns.len() != lefts.len() {
            let few = if columns.len() < lefts.len() { "few" } else { "many" };
            return Err(SqlError::syntax(format!("subquery has too {few} columns")));
        }
        let rights = columns.iter().enumerate();
        let rights = rights.map(|(at, (_, of))| Typed::new(Expr::column(at), *of)).collect();
        let (lefts, exprs) = self.compared_fields(op, lefts, rights)?;
        if exprs.iter().enumerate().any(|(at, expr)| *expr != Expr::column(at)) {
            let Subplan { plan, .. } = &mut self.subplans[index];
            let input = Box::new(std::mem::replace(plan, Plan::One));
            *plan = Plan::Project { input, exprs };
        }
        Ok((Expr::Row(lefts), index))
    }

    /// The fields of both sides, in the types in which they are compared.
    fn compared_fields(
        &self,
        op: Comparison,
        lefts: Vec<Typed>,
        rights: Vec<Typed>,
    ) -> Result<(Vec<Expr>, Vec<Expr>)> {
        let mut sides = (Vec::new(), Vec::new());
        for (left, right) in lefts.into_iter().zip(rights) {
            let (mut left, mut right, of) = self.compared(op.symbol(), left, right)?;
            if of == Type::Bpchar {
                // Within a row the blanks at its end would count.
                let bare = |expr| self.cast_to(Typed::new(expr, of), Type::Text);
                (left, right) = (bare(left)?.expr, bare(right)?.expr);
            }
            sides.0.push(left);
            sides.1.push(right);
        }
        Ok(sides)
    }
}
