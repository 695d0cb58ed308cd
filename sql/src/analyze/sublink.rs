//! Queries in expressions, and ANY and ALL of queries and arrays.
//!
//! Invariant: a query in an expression is one of the statement's subplans, named by its number, and runs once where it holds
//! no column of a query around it. Source: `transformSubLink`.

use sqlparser::ast::{self, BinaryOperator, Expr as Ast};

use super::operators::comparison_of;
use super::row::fields;
use super::{Analyzer, Query, Typed};
use crate::error::{Result, SqlError};
use crate::expr::{Comparison, Expr, SubqueryUse};
use crate::plan::{Plan, Subplan};
use crate::types::Type;

impl Analyzer<'_, '_, '_> {
    pub(super) fn quantified_op(
        &mut self,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
        is_any: bool,
    ) -> Result<Typed> {
        let op = comparison_of(op)
            .ok_or_else(|| SqlError::not_supported(format!("the operator {op} with ANY or ALL")))?;
        match right {
            Ast::Nested(inner) if !matches!(**inner, Ast::Nested(_)) => {
                self.quantified_array(left, op, inner, is_any)
            }
            Ast::Array(_) => self.quantified_array(left, op, right, is_any),
            Ast::Subquery(query) => self.quantified(left, op, query, is_any),
            other => Err(SqlError::not_supported(format!("ANY or ALL of {other}"))),
        }
    }

    /// `expr op ANY (ARRAY[...])`
    fn quantified_array(
        &mut self,
        left: &Ast,
        op: Comparison,
        right: &Ast,
        is_any: bool,
    ) -> Result<Typed> {
        let Ast::Array(array) = right else {
            return Err(SqlError::not_supported(format!("ANY or ALL of {right}")));
        };
        let value = self.expr(left)?;
        let items = array.elem.iter().map(|item| self.expr(item)).collect::<Result<Vec<_>>>()?;
        let (items, of) = self.common(items, "ARRAY")?;
        let mut parts = Vec::with_capacity(items.len());
        for item in items {
            parts.push(self.comparison(op, value.clone(), Typed::new(item, of))?.expr);
        }
        let expr = if is_any { Expr::Or(parts) } else { Expr::And(parts) };
        Ok(Typed::new(expr, Type::Bool))
    }

    pub(super) fn quantified(
        &mut self,
        expr: &Ast,
        op: Comparison,
        query: &ast::Query,
        is_any: bool,
    ) -> Result<Typed> {
        let row = fields(expr);
        let (expr, of, index) = if let Some(row) = row.filter(|row| row.len() != 1) {
            let (row, index) = self.row_and_subquery(&row, op, query)?;
            (row, Type::Record, index)
        } else {
            let value = self.expr(expr)?;
            let (index, columns) = self.subquery(query)?;
            let [(_, of)] = columns.as_slice() else {
                return Err(SqlError::syntax("subquery has too many columns"));
            };
            let other = Typed::new(Expr::column(0), *of);
            let (expr, other, of) = self.equated(value, other)?;
            if other != Expr::column(0) {
                let Subplan { plan, .. } = &mut self.subplans[index];
                let input = std::mem::replace(plan, Plan::One);
                *plan = Plan::Project { input: Box::new(input), exprs: vec![other] };
            }
            (expr, of, index)
        };
        let expr = Box::new(expr);
        let use_ = if is_any {
            SubqueryUse::Any { expr, op, of }
        } else {
            SubqueryUse::All { expr, op, of }
        };
        Ok(Typed::new(Expr::Subquery { index, use_ }, Type::Bool))
    }

    /// A query inside of an expression.
    pub(super) fn subquery(&mut self, query: &ast::Query) -> Result<(usize, Vec<(String, Type)>)> {
        let before = std::mem::replace(&mut self.outermost, usize::MAX);
        let analyzed = self.query(query);
        let is_constant = self.outermost >= self.levels.len();
        self.outermost = self.outermost.min(before);
        let Query { plan, columns } = analyzed?;
        self.subplans.push(Subplan { plan, is_constant });
        Ok((self.subplans.len() - 1, columns))
    }
}
