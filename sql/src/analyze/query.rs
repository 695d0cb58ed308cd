//! A query: WITH, its body, and what stands behind the body. The body is a SELECT, VALUES, a set operation, or a change with
//! RETURNING.
//!
//! Invariants: the names of a WITH are known in the query that has it and nowhere else. ORDER BY of anything but a SELECT
//! sorts by columns that are given. Source: `transformSetOperationStmt`, `transformValuesClause`.

use sqlparser::ast::{self, Expr as Ast, OrderByKind, SetExpr, SetOperator, SetQuantifier};

use super::order::{ordinal, sort_key};
use super::{Analyzer, Level, Query, Typed};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{Plan, SetKind};
use crate::table::ident;

impl Analyzer<'_, '_, '_> {
    /// A query with all that belongs to it.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query> {
        let named = self.ctes.len();
        let keeps_unknown = std::mem::take(&mut self.keeps_unknown);
        if let Some(with) = &query.with {
            if with.recursive && matches!(&*query.body, SetExpr::Merge(_)) {
                let message = "WITH RECURSIVE is not supported for MERGE statement";
                return Err(SqlError::syntax(message));
            }
            self.with_clause(with)?;
        }
        self.keeps_unknown = keeps_unknown;
        let analyzed = self.body(query);
        self.keeps_unknown = false;
        self.ctes.truncate(named);
        self.limited(analyzed?, query)
    }

    fn body(&mut self, query: &ast::Query) -> Result<Query> {
        match &*query.body {
            SetExpr::Select(select) => self.select(select, query),
            SetExpr::Insert(change)
            | SetExpr::Update(change)
            | SetExpr::Delete(change)
            | SetExpr::Merge(change) => self.change(change),
            body => {
                if !query.locks.is_empty() {
                    let message = match body {
                        SetExpr::Values(_) => "FOR UPDATE cannot be applied to VALUES",
                        _ => "FOR UPDATE is not allowed with UNION/INTERSECT/EXCEPT",
                    };
                    return Err(SqlError::new("0A000", message));
                }
                let analyzed = self.set_expr(body)?;
                self.sort_output(analyzed, query)
            }
        }
    }

    /// ORDER BY of columns that are given, by name or number.
    fn sort_output(&mut self, query: Query, written: &ast::Query) -> Result<Query> {
        let Some(order) = &written.order_by else { return Ok(query) };
        let OrderByKind::Expressions(keys) = &order.kind else {
            return Err(SqlError::not_supported("ORDER BY ALL"));
        };
        let mut sort = Vec::new();
        for key in keys {
            let at = match &key.expr {
                Ast::Identifier(name) => {
                    let name = ident(name);
                    query.columns.iter().position(|(column, _)| *column == name).ok_or_else(
                        || SqlError::new("42703", format!("column \"{name}\" does not exist")),
                    )?
                }
                expr => ordinal(expr, query.columns.len(), "ORDER BY")?.ok_or_else(|| {
                    SqlError::new("0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
                        .detail("Only result column names can be used, not expressions or functions.")
                        .hint(
                            "Add the expression/function to every SELECT, or move the UNION into a FROM clause.",
                        )
                })?,
            };
            sort.push(sort_key(Expr::column(at), query.columns[at].1, key));
        }
        let Query { plan, columns } = query;
        Ok(Query { plan: Plan::Sort { input: Box::new(plan), keys: sort }, columns })
    }

    fn set_expr(&mut self, body: &SetExpr) -> Result<Query> {
        match body {
            SetExpr::Query(query) => self.query(query),
            SetExpr::Values(values) => self.values(values),
            SetExpr::Select(select) => {
                let bare = bare_query(SetExpr::Select(select.clone()));
                self.select(select, &bare)
            }
            SetExpr::SetOperation { op, set_quantifier, left, right } => {
                let kind = match op {
                    SetOperator::Union => SetKind::Union,
                    SetOperator::Intersect => SetKind::Intersect,
                    SetOperator::Except | SetOperator::Minus => SetKind::Except,
                };
                let all = *set_quantifier == SetQuantifier::All;
                self.keeps_unknown = true;
                let left = self.set_expr(left)?;
                self.keeps_unknown = true;
                let right = self.set_expr(right)?;
                self.keeps_unknown = false;
                if left.columns.len() != right.columns.len() {
                    let message = format!(
                        "each {} query must have the same number of columns",
                        op.to_string().to_uppercase()
                    );
                    return Err(SqlError::syntax(message));
                }
                let mut types = Vec::new();
                let (mut lefts, mut rights) = (Vec::new(), Vec::new());
                for (at, ((_, one), (_, other))) in
                    left.columns.iter().zip(&right.columns).enumerate()
                {
                    let sides = [*one, *other].map(|of| Typed::new(Expr::column(at), of));
                    let (exprs, of) = self.common(sides.into(), &op.to_string().to_uppercase())?;
                    let mut exprs = exprs.into_iter();
                    lefts.extend(exprs.next());
                    rights.extend(exprs.next());
                    types.push(of);
                }
                let names = left.columns.into_iter().map(|(name, _)| name);
                let columns = names.zip(types.iter().copied()).collect();
                let project =
                    |plan, exprs| Box::new(Plan::Project { input: Box::new(plan), exprs });
                let (left, right) = (project(left.plan, lefts), project(right.plan, rights));
                let plan = Plan::SetOperation { kind, all, left, right, types };
                Ok(Query { plan, columns })
            }
            other => Err(SqlError::not_supported(format!("the query {other}"))),
        }
    }

    pub(super) fn values(&mut self, values: &ast::Values) -> Result<Query> {
        self.levels.push(Level { no_aggregates: Some("VALUES"), ..Level::default() });
        let typed = values
            .rows
            .iter()
            .map(|row| row.content.iter().map(|value| self.expr(value)).collect());
        let rows: Result<Vec<Vec<Typed>>> = typed.collect();
        self.levels.pop();
        let rows = rows?;
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(SqlError::syntax("VALUES lists must all be the same length"));
        }
        let mut made: Vec<Vec<Expr>> = rows.iter().map(|_| Vec::with_capacity(width)).collect();
        let mut columns = Vec::with_capacity(width);
        for at in 0..width {
            let column = rows.iter().map(|row| row[at].clone()).collect();
            let (exprs, of) = self.common(column, "VALUES")?;
            made.iter_mut().zip(exprs).for_each(|(row, expr)| row.push(expr));
            columns.push((format!("column{}", at + 1), of));
        }
        Ok(Query { plan: Plan::Values(made), columns })
    }
}

/// A query of nothing but its body.
fn bare_query(body: SetExpr) -> ast::Query {
    ast::Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
