//! SELECT: its clauses put together to one plan.
//!
//! ```text
//! FROM ─► WHERE ─► GROUP BY, aggregates ─► HAVING ─► ORDER BY ─► row locks ─► the select list
//!                                                    DISTINCT: the select list ─► DISTINCT ─► ORDER BY
//! ```
//!
//! Invariant: once rows are grouped no expression holds a column of FROM. Source: `transformSelectStmt`.

use sqlparser::ast::{self, Distinct, Expr as Ast, GroupByExpr};

use super::targets::{Item, project};
use super::{Analyzer, Level, Query};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{Plan, Strength};
use crate::types::Type;

impl Analyzer<'_, '_, '_> {
    pub(super) fn select(&mut self, select: &ast::Select, query: &ast::Query) -> Result<Query> {
        for (is_there, word) in [
            (select.into.is_some(), "SELECT INTO"),
            (!select.named_window.is_empty(), "WINDOW"),
            (select.top.is_some(), "TOP"),
            (select.qualify.is_some(), "QUALIFY"),
        ] {
            if is_there {
                return Err(SqlError::not_supported(word));
            }
        }
        self.levels.push(Level::default());
        let analyzed = self.select_in_level(select, query);
        self.levels.pop();
        analyzed
    }

    fn select_in_level(&mut self, select: &ast::Select, query: &ast::Query) -> Result<Query> {
        let keeps_unknown = std::mem::take(&mut self.keeps_unknown);
        let mut plan = self.from(&select.from)?;
        if let Some(selection) = &select.selection {
            let condition = self.condition_in(selection, "WHERE")?;
            plan = Plan::Filter { input: Box::new(plan), condition };
        }
        self.keeps_unknown = keeps_unknown && select.distinct.is_none();
        let items = self.items(&select.projection);
        self.keeps_unknown = false;
        let mut items = items?;
        let keys = match &select.group_by {
            GroupByExpr::Expressions(keys, modifiers) if modifiers.is_empty() => {
                self.group_keys(keys, &items)?
            }
            other => return Err(SqlError::not_supported(other)),
        };
        let mut having = match &select.having {
            Some(having) => {
                let typed = self.expr(having)?;
                Some(self.condition(typed, "HAVING")?)
            }
            None => None,
        };
        let mut sort = match &query.order_by {
            Some(order) => self.sort_keys(order, &items)?,
            None => Vec::new(),
        };
        let calls = std::mem::take(&mut self.level()?.aggregates);
        let is_grouped = !keys.is_empty();
        let is_aggregated = is_grouped || !calls.is_empty() || having.is_some();
        let marks = self.row_marks(query)?;
        let strength = query.locks.first().and_then(|lock| lock.of.as_ref());
        let strength = strength.and_then(|of| of.0.first()).and_then(|part| part.as_ident());
        let strength = strength.and_then(|name| Strength::named(&name.value));
        let refused = strength.map(Strength::name).zip(if is_grouped {
            Some("GROUP BY clause")
        } else if select.having.is_some() {
            Some("HAVING clause")
        } else if is_aggregated {
            Some("aggregate functions")
        } else if select.distinct.is_some() {
            Some("DISTINCT clause")
        } else {
            None
        });
        if let Some((strength, clause)) = refused {
            let message = format!("{strength} is not allowed with {clause}");
            return Err(SqlError::new("0A000", message));
        }
        if is_aggregated {
            let exprs = items.iter_mut().map(|item| &mut item.typed.expr);
            let exprs =
                exprs.chain(having.as_mut()).chain(sort.iter_mut().map(|key| &mut key.expr));
            for expr in exprs {
                self.after_grouping(expr, &keys)?;
            }
            plan = Plan::Aggregate { input: Box::new(plan), keys, calls, is_grouped };
            if let Some(condition) = having {
                plan = Plan::Filter { input: Box::new(plan), condition };
            }
        }
        let types: Vec<Type> = items.iter().map(|item| item.typed.of).collect();
        let columns: Vec<(String, Type)> =
            items.iter().map(|item| item.name.clone()).zip(types.iter().copied()).collect();
        let width = items.len();
        match &select.distinct {
            None | Some(Distinct::All) => {
                if !sort.is_empty() {
                    plan = Plan::Sort { input: Box::new(plan), keys: sort };
                }
                if !marks.is_empty() {
                    plan = Plan::Lock { input: Box::new(plan), marks };
                }
                plan = project(plan, items);
            }
            Some(Distinct::Distinct) => {
                // What is sorted by must be given, so that it can be sorted behind the DISTINCT.
                for key in &mut sort {
                    let at = items.iter().position(|item| item.typed.expr == key.expr);
                    let at = at.ok_or_else(|| {
                        SqlError::new(
                            "42P10",
                            "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                        )
                    })?;
                    key.expr = Expr::column(at);
                }
                plan = project(plan, items);
                let distinct = types.into_iter().enumerate().collect();
                plan = Plan::Distinct { input: Box::new(plan), columns: distinct };
                if !sort.is_empty() {
                    plan = Plan::Sort { input: Box::new(plan), keys: sort };
                }
            }
            Some(Distinct::On(written)) => {
                let mut distinct = Vec::new();
                for (at, written) in written.iter().enumerate() {
                    let typed = self.expr(written)?;
                    distinct.push((width + at, typed.of));
                    items.push(Item { name: String::new(), typed, series: None });
                }
                if !sort.is_empty() {
                    plan = Plan::Sort { input: Box::new(plan), keys: sort };
                }
                plan = project(plan, items);
                plan = Plan::Distinct { input: Box::new(plan), columns: distinct };
                plan = Plan::Trim { input: Box::new(plan), width };
            }
        }
        Ok(Query { plan, columns })
    }

    /// A condition in which there are no aggregates.
    pub(super) fn condition_in(&mut self, written: &Ast, clause: &'static str) -> Result<Expr> {
        let before = self.level()?.no_aggregates.replace(clause);
        let typed = self.expr(written);
        self.level()?.no_aggregates = before;
        self.condition(typed?, clause)
    }
}
