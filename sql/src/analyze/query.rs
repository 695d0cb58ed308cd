//! Queries analyzed: FROM, WHERE, GROUP BY, HAVING, the select list, ORDER BY, LIMIT, WITH, row locks, set operations.

use sqlparser::ast::{
    self, Distinct, Expr as Ast, FunctionArg, FunctionArgExpr, GroupByExpr, JoinConstraint,
    JoinOperator, LimitClause, OrderByKind, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    SetOperator, SetQuantifier, TableAlias, TableFactor, TableWithJoins, Value,
};

use super::expr::signed_number;
use super::{Analyzer, Cte, EntryKind, Level, Query, Typed};
use crate::error::{Result, SqlError};
use crate::expr::{Comparison, Expr};
use crate::plan::{JoinKind, Patience, Plan, RowMark, SetKind, SortKey, Strength};
use crate::table::{ident, object_name};
use crate::types::{Datum, Type};

/// An item of a select list.
struct Item {
    name: String,
    typed: Typed,
    /// A function that gives several rows.
    series: Option<Plan>,
}

impl Analyzer<'_, '_, '_> {
    /// A query with all that belongs to it.
    pub(super) fn query(&mut self, query: &ast::Query) -> Result<Query> {
        let named = self.ctes.len();
        let keeps_unknown = std::mem::take(&mut self.keeps_unknown);
        if let Some(with) = &query.with {
            if with.recursive {
                return Err(SqlError::not_supported("WITH RECURSIVE"));
            }
            let before = std::mem::take(&mut self.later);
            self.later = with.cte_tables.iter().map(|cte| ident(&cte.alias.name)).collect();
            for (at, cte) in with.cte_tables.iter().enumerate() {
                let name = self.later.remove(0);
                if with.cte_tables[..at].iter().any(|before| ident(&before.alias.name) == name) {
                    let message = format!("WITH query name \"{name}\" specified more than once");
                    return Err(SqlError::new("42712", message));
                }
                self.with_query(cte)?;
            }
            self.later = before;
        }
        self.keeps_unknown = keeps_unknown;
        let analyzed = self.body(query);
        self.keeps_unknown = false;
        self.ctes.truncate(named);
        let mut analyzed = analyzed?;
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(SqlError::not_supported(fetch));
            }
            let limit = match &fetch.quantity {
                Some(quantity) => self.count(quantity)?,
                None => Expr::Const(Datum::Int8(1)),
            };
            let offset = match &query.limit_clause {
                Some(LimitClause::LimitOffset { limit: None, offset: Some(offset), .. }) => {
                    Some(self.count(&offset.value)?)
                }
                None => None,
                Some(other) => return Err(SqlError::not_supported(format!("{other} with FETCH"))),
            };
            let input = Box::new(analyzed.plan);
            analyzed.plan = Plan::Limit { input, limit: Some(limit), offset };
            return Ok(analyzed);
        }
        if let Some(limit) = &query.limit_clause {
            let LimitClause::LimitOffset { limit, offset, limit_by } = limit else {
                return Err(SqlError::not_supported("LIMIT with a comma"));
            };
            if !limit_by.is_empty() {
                return Err(SqlError::not_supported("LIMIT BY"));
            }
            let limit = limit.as_ref().map(|limit| self.count(limit)).transpose()?;
            let offset = offset.as_ref().map(|offset| self.count(&offset.value)).transpose()?;
            let input = Box::new(analyzed.plan);
            analyzed.plan = Plan::Limit { input, limit, offset };
        }
        Ok(analyzed)
    }

    /// The number of rows that LIMIT or OFFSET has.
    fn count(&mut self, written: &Ast) -> Result<Expr> {
        self.levels.push(Level { no_aggregates: Some("LIMIT"), ..Level::default() });
        let typed = self.expr(written);
        self.levels.pop();
        Ok(self.cast_to(typed?, Type::Int8)?.expr)
    }

    fn with_query(&mut self, cte: &ast::Cte) -> Result<()> {
        let number = self.cte_plans.len();
        self.cte_plans.push(None);
        let is_change = matches!(
            &*cte.query.body,
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_)
        );
        if is_change && !self.levels.is_empty() {
            let message =
                "WITH clause containing a data-modifying statement must be at the top level";
            return Err(SqlError::new("0A000", message));
        }
        // It sees no query around it.
        let levels = std::mem::take(&mut self.levels);
        let analyzed = self.query(&cte.query);
        self.levels = levels;
        let Query { plan, mut columns } = analyzed?;
        let gives_rows = !matches!(&plan, Plan::Change(change) if change.returning.is_none());
        self.cte_plans[number] = Some(plan);
        let name = ident(&cte.alias.name);
        rename(&mut columns, &cte.alias).map_err(|error| match error.code {
            "42P10" => {
                SqlError { message: error.message.replacen("table", "WITH query", 1), ..error }
            }
            _ => error,
        })?;
        self.ctes.push(Cte { name, number, columns, gives_rows });
        Ok(())
    }

    fn body(&mut self, query: &ast::Query) -> Result<Query> {
        match &*query.body {
            SetExpr::Select(select) => self.select(select, query),
            SetExpr::Insert(change) | SetExpr::Update(change) | SetExpr::Delete(change) => {
                self.change(change)
            }
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

    fn select(&mut self, select: &ast::Select, query: &ast::Query) -> Result<Query> {
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

    fn join_condition(&mut self, written: &Ast) -> Result<Expr> {
        let before = self.level()?.no_aggregates.replace("JOIN conditions");
        let typed = self.expr(written);
        self.level()?.no_aggregates = before;
        self.condition(typed?, "JOIN/ON")
    }

    fn items(&mut self, written: &[SelectItem]) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in written {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = figure_name(expr).unwrap_or_else(|| "?column?".to_owned());
                    items.push(self.item(name, expr)?);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(self.item(ident(alias), expr)?);
                }
                SelectItem::Wildcard(_) => {
                    let entries = self.level()?.entries.clone();
                    let before = items.len();
                    for entry in &entries {
                        items.extend(star(entry, false));
                    }
                    if entries.is_empty() && items.len() == before {
                        return Err(SqlError::syntax(
                            "SELECT * with no tables specified is not valid",
                        ));
                    }
                }
                SelectItem::QualifiedWildcard(kind, _) => {
                    let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
                        return Err(SqlError::not_supported(item));
                    };
                    let name = object_name(name)?;
                    let entries = &self.level()?.entries;
                    let entry = entries.iter().find(|entry| entry.alias == name);
                    let Some(entry) = entry else { return Err(self.missing(&name)) };
                    items.extend(star(entry, true));
                }
                other => return Err(SqlError::not_supported(other)),
            }
        }
        Ok(items)
    }

    fn item(&mut self, name: String, written: &Ast) -> Result<Item> {
        if let Ast::Function(function) = written
            && function.name.to_string().eq_ignore_ascii_case("generate_series")
            && let ast::FunctionArguments::List(list) = &function.args
        {
            // Its arguments are evaluated for each row.
            self.levels.push(Level::default());
            let series = self.series(&list.args);
            self.levels.pop();
            let (series, of) = series?;
            let typed = Typed::new(Expr::Const(Datum::Null), of);
            return Ok(Item { name, typed, series: Some(series) });
        }
        let mut typed = self.expr(written)?;
        if typed.of == Type::Unknown && !self.keeps_unknown {
            typed = self.cast_to(typed, Type::Text)?;
        }
        Ok(Item { name, typed, series: None })
    }

    /// RETURNING, as expressions over the innermost level.
    #[expect(clippy::type_complexity, reason = "expressions, and the columns that a client gets")]
    pub(super) fn returning(
        &mut self,
        written: &[SelectItem],
    ) -> Result<(Vec<Expr>, Vec<(String, Type)>)> {
        let before = self.level()?.no_aggregates.replace("RETURNING");
        let items = self.items(written);
        self.level()?.no_aggregates = before;
        let mut exprs = Vec::new();
        let mut columns = Vec::new();
        for item in items? {
            if item.series.is_some() {
                return Err(SqlError::new(
                    "0A000",
                    "set-returning functions are not allowed in RETURNING",
                ));
            }
            columns.push((item.name, item.typed.of));
            exprs.push(item.typed.expr);
        }
        Ok((exprs, columns))
    }

    fn group_keys(&mut self, written: &[Ast], items: &[Item]) -> Result<Vec<(Expr, Type)>> {
        let mut keys = Vec::new();
        for key in written {
            let typed = match ordinal(key, items.len(), "GROUP BY")? {
                Some(at) => items[at].typed.clone(),
                None => match self.expr(key) {
                    // The name of something in the select list, if no table has such a column.
                    Err(error) => self.item_named(key, items).ok_or(error)?,
                    Ok(typed) => typed,
                },
            };
            let mut has_aggregate = false;
            typed.expr.clone().rewrite(&mut |expr| {
                has_aggregate |= matches!(expr, Expr::Aggregate(_));
                Ok(false)
            })?;
            if has_aggregate {
                let message = "aggregate functions are not allowed in GROUP BY";
                return Err(SqlError::new("42803", message));
            }
            keys.push((typed.expr, typed.of));
        }
        Ok(keys)
    }

    fn item_named(&self, written: &Ast, items: &[Item]) -> Option<Typed> {
        let Ast::Identifier(name) = written else { return None };
        let name = ident(name);
        items.iter().find(|item| item.name == name).map(|item| item.typed.clone())
    }

    fn sort_keys(&mut self, order: &ast::OrderBy, items: &[Item]) -> Result<Vec<SortKey>> {
        let OrderByKind::Expressions(written) = &order.kind else {
            return Err(SqlError::not_supported("ORDER BY ALL"));
        };
        let mut keys = Vec::new();
        for key in written {
            let typed = match ordinal(&key.expr, items.len(), "ORDER BY")? {
                Some(at) => items[at].typed.clone(),
                // A name of the select list comes before a column's.
                None => match self.item_named(&key.expr, items) {
                    Some(typed) => typed,
                    None => self.expr(&key.expr)?,
                },
            };
            let typed =
                if typed.of == Type::Unknown { self.cast_to(typed, Type::Text)? } else { typed };
            keys.push(sort_key(typed.expr, typed.of, key));
        }
        Ok(keys)
    }

    /// Has an expression mean the rows that an aggregation gives: the keys, then the aggregates.
    fn after_grouping(&self, expr: &mut Expr, keys: &[(Expr, Type)]) -> Result<()> {
        let entries = self.levels.last().map_or(&[][..], |level| &level.entries);
        expr.rewrite(&mut |expr| {
            if let Some(at) = keys.iter().position(|(key, _)| key == expr) {
                *expr = Expr::column(at);
                return Ok(true);
            }
            match expr {
                Expr::Aggregate(at) => {
                    *expr = Expr::column(keys.len() + *at);
                    Ok(true)
                }
                Expr::Column { depth: 0, index } => {
                    let name = entries.iter().find_map(|entry| {
                        let column = entry.columns.get(index.checked_sub(entry.base)?)?;
                        Some(format!("{}.{}", entry.alias, column.0))
                    });
                    let message = format!(
                        "column \"{}\" must appear in the GROUP BY clause or be used in an aggregate function",
                        name.unwrap_or_default()
                    );
                    Err(SqlError::new("42803", message))
                }
                _ => Ok(false),
            }
        })
    }

    fn row_marks(&mut self, query: &ast::Query) -> Result<Vec<RowMark>> {
        let mut marks: Vec<RowMark> = Vec::new();
        let entries = self.level()?.entries.clone();
        for lock in &query.locks {
            let names: Vec<String> = match &lock.of {
                Some(of) => of.0.iter().filter_map(|part| part.as_ident()).map(ident).collect(),
                None => Vec::new(),
            };
            let strength = names.first().and_then(|name| Strength::named(name));
            let strength = strength.ok_or_else(|| SqlError::not_supported(lock))?;
            let patience = match lock.nonblock {
                None => Patience::Wait,
                Some(ast::NonBlock::Nowait) => Patience::Fail,
                Some(ast::NonBlock::SkipLocked) => Patience::Skip,
            };
            let named = &names[1..];
            for name in named {
                if !entries.iter().any(|entry| entry.alias == *name) {
                    let message = format!(
                        "relation \"{name}\" in {} clause not found in FROM clause",
                        strength.name()
                    );
                    return Err(SqlError::new("42P01", message));
                }
            }
            for entry in &entries {
                if !named.is_empty() && !named.contains(&entry.alias) {
                    continue;
                }
                let refused = match entry.kind {
                    _ if entry.is_nullable => Some("the nullable side of an outer join"),
                    _ if named.is_empty() => None,
                    EntryKind::Function => Some("a function"),
                    EntryKind::Cte => Some("a WITH query"),
                    EntryKind::Plain => None,
                };
                if let Some(what) = refused {
                    let message = format!("{} cannot be applied to {what}", strength.name());
                    return Err(SqlError::new("0A000", message));
                }
                let Some(table) = &entry.table else { continue };
                match marks.iter_mut().find(|mark| mark.base == entry.base) {
                    Some(mark) => {
                        mark.strength = mark.strength.max(strength);
                        if patience != Patience::Wait {
                            mark.patience = patience;
                        }
                    }
                    None => marks.push(RowMark {
                        table: std::rc::Rc::clone(table),
                        base: entry.base,
                        strength,
                        patience,
                    }),
                }
            }
        }
        Ok(marks)
    }

    /// FROM: every relation's columns beside each other.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<Plan> {
        let mut plan = None;
        for item in from {
            let left_width = self.level()?.width;
            let right = Box::new(self.joined(item)?);
            plan = Some(match plan {
                None => *right,
                Some(left) => Plan::Join {
                    kind: JoinKind::Inner,
                    left: Box::new(left),
                    right,
                    on: None,
                    base: 0,
                    widths: [left_width, self.level()?.width - left_width],
                },
            });
        }
        Ok(plan.unwrap_or(Plan::One))
    }

    fn joined(&mut self, item: &TableWithJoins) -> Result<Plan> {
        let first_entry = self.level()?.entries.len();
        // A join's conditions see its own relations alone.
        let reach: Vec<bool> =
            self.level()?.entries.iter().map(|entry| entry.is_out_of_reach).collect();
        self.level()?.entries.iter_mut().for_each(|entry| entry.is_out_of_reach = true);
        let plan = self.joined_here(item, first_entry);
        for (entry, is_out_of_reach) in self.level()?.entries.iter_mut().zip(reach) {
            entry.is_out_of_reach = is_out_of_reach;
        }
        plan
    }

    fn joined_here(&mut self, item: &TableWithJoins, first_entry: usize) -> Result<Plan> {
        let base = self.level()?.width;
        let mut plan = self.relation(&item.relation)?;
        for join in &item.joins {
            let (kind, constraint) = match &join.join_operator {
                JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                    (JoinKind::Inner, constraint)
                }
                JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                    (JoinKind::Left, constraint)
                }
                JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                    (JoinKind::Right, constraint)
                }
                JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint),
                JoinOperator::CrossJoin(constraint) => (JoinKind::Inner, constraint),
                other => return Err(SqlError::not_supported(format!("the join {other:?}"))),
            };
            let left_width = self.level()?.width - base;
            let right_entry = self.level()?.entries.len();
            let right = Box::new(self.relation(&join.relation)?);
            let right_width = self.level()?.width - base - left_width;
            let on = match constraint {
                JoinConstraint::None => None,
                JoinConstraint::On(condition) => Some(self.join_condition(condition)?),
                JoinConstraint::Using(names) => {
                    let names = names.iter().map(object_name).collect::<Result<Vec<_>>>()?;
                    Some(self.using(&names, first_entry, right_entry, kind)?)
                }
                JoinConstraint::Natural => {
                    let entries = &self.level()?.entries;
                    let names_of = |entries: &[super::Entry]| -> Vec<String> {
                        let columns = entries.iter().flat_map(|entry| &entry.columns);
                        columns.map(|(name, _)| name.clone()).collect()
                    };
                    let rights = names_of(&entries[right_entry..]);
                    let lefts = names_of(&entries[first_entry..right_entry]);
                    let names: Vec<String> =
                        lefts.into_iter().filter(|name| rights.contains(name)).collect();
                    Some(self.using(&names, first_entry, right_entry, kind)?)
                }
            };
            let entries = &mut self.level()?.entries;
            let (lefts, rights) = entries.split_at_mut(right_entry);
            if matches!(kind, JoinKind::Right | JoinKind::Full) {
                lefts[first_entry..].iter_mut().for_each(|entry| entry.is_nullable = true);
            }
            if matches!(kind, JoinKind::Left | JoinKind::Full) {
                rights.iter_mut().for_each(|entry| entry.is_nullable = true);
            }
            let widths = [left_width, right_width];
            plan = Plan::Join { kind, left: Box::new(plan), right, on, base, widths };
        }
        Ok(plan)
    }

    /// Equal columns of both sides, of which one is hidden.
    fn using(
        &mut self,
        names: &[String],
        left: usize,
        right: usize,
        kind: JoinKind,
    ) -> Result<Expr> {
        if kind == JoinKind::Full {
            return Err(SqlError::not_supported("FULL JOIN with USING"));
        }
        let mut parts = Vec::new();
        for name in names {
            let entries = &self.level()?.entries;
            let find = |from: usize, to: usize, side: &str| {
                let found = entries[from..to].iter().enumerate().find_map(|(entry_at, entry)| {
                    let at = entry.columns.iter().position(|(column, _)| column == name)?;
                    Some((from + entry_at, at, entry.base + at, entry.columns[at].1))
                });
                found.ok_or_else(|| {
                    let message = format!(
                        "column \"{name}\" specified in USING clause does not exist in {side} table"
                    );
                    SqlError::new("42703", message)
                })
            };
            let (one, other) = (find(left, right, "left")?, find(right, entries.len(), "right")?);
            let hidden = if kind == JoinKind::Right { one } else { other };
            let condition = self.comparison(
                Comparison::Equal,
                Typed::new(Expr::column(one.2), one.3),
                Typed::new(Expr::column(other.2), other.3),
            )?;
            parts.push(condition.expr);
            self.level()?.entries[hidden.0].hidden.push(hidden.1);
        }
        Ok(Expr::And(parts))
    }

    fn relation(&mut self, factor: &TableFactor) -> Result<Plan> {
        match factor {
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                self.function_relation(name, &args.args, alias.as_ref())
            }
            TableFactor::Function { name, args, alias, .. } => {
                self.function_relation(name, args, alias.as_ref())
            }
            TableFactor::Table { name, alias, sample: None, .. } => {
                let name = object_name(name)?;
                let shown = alias.as_ref().map_or_else(|| name.clone(), |alias| ident(&alias.name));
                self.check_alias(&shown)?;
                let cte = self.ctes.iter().rev().find(|cte| cte.name == name);
                if let Some(cte) = cte.filter(|cte| !cte.gives_rows) {
                    let message =
                        format!("WITH query \"{}\" does not have a RETURNING clause", cte.name);
                    return Err(SqlError::new("0A000", message));
                }
                if let Some((number, mut columns)) =
                    cte.map(|cte| (cte.number, cte.columns.clone()))
                {
                    if let Some(alias) = alias {
                        rename(&mut columns, alias)?;
                    }
                    self.level()?.add(shown, columns, None);
                    self.mark(EntryKind::Cte)?;
                    return Ok(Plan::Cte(number));
                }
                let def = self.table(&name).map_err(|error| {
                    if error.code != "42P01" || !self.later.contains(&name) {
                        return error;
                    }
                    error
                        .detail(format!(
                            "There is a WITH item named \"{name}\", but it cannot be referenced from this part of the query."
                        ))
                        .hint("Use WITH RECURSIVE, or re-order the WITH items to remove forward references.")
                })?;
                self.level()?.add_table(&def, shown);
                if let (Some(alias), Some(entry)) = (alias, self.level()?.entries.last_mut()) {
                    rename(&mut entry.columns, alias)?;
                }
                Ok(Plan::Scan(def))
            }
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let word = match &*subquery.body {
                    SetExpr::Insert(_) => Some("INTO"),
                    SetExpr::Update(_) => Some("SET"),
                    SetExpr::Delete(_) => Some("FROM"),
                    _ => None,
                };
                if let Some(word) = word {
                    return Err(SqlError::syntax(format!("syntax error at or near \"{word}\"")));
                }
                // It does not see what stands beside it.
                let level = self.levels.pop();
                let names = level.iter().flat_map(|level| &level.entries);
                let names: Vec<String> = names.map(|entry| entry.alias.clone()).collect();
                let beside = std::mem::replace(&mut self.beside, names);
                let analyzed = self.query(subquery);
                self.beside = beside;
                self.levels.extend(level);
                let Some(alias) = alias else {
                    let values = matches!(&*subquery.body, SetExpr::Values(_));
                    let (what, example) =
                        if values { ("VALUES", "VALUES ...") } else { ("subquery", "SELECT ...") };
                    return Err(SqlError::syntax(format!("{what} in FROM must have an alias"))
                        .hint(format!("For example, FROM ({example}) [AS] foo.")));
                };
                let Query { plan, mut columns } = analyzed?;
                rename(&mut columns, alias)?;
                self.check_alias(&ident(&alias.name))?;
                self.level()?.add(ident(&alias.name), columns, None);
                Ok(Plan::Derived(Box::new(plan)))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.joined(table_with_joins)
            }
            other => Err(SqlError::not_supported(format!("in FROM, {other}"))),
        }
    }

    /// Says what the last relation is.
    fn mark(&mut self, kind: EntryKind) -> Result<()> {
        if let Some(entry) = self.level()?.entries.last_mut() {
            entry.kind = kind;
        }
        Ok(())
    }

    fn check_alias(&mut self, alias: &str) -> Result<()> {
        if self.level()?.has(alias) {
            let message = format!("table name \"{alias}\" specified more than once");
            return Err(SqlError::new("42712", message));
        }
        Ok(())
    }

    fn function_relation(
        &mut self,
        name: &ast::ObjectName,
        args: &[FunctionArg],
        alias: Option<&TableAlias>,
    ) -> Result<Plan> {
        let name = object_name(name)?;
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
        if !crate::cast::is_implicit(typed.of, Type::PgSnapshot) {
            let message = format!("function pg_snapshot_xip({}) does not exist", typed.of.name());
            return Err(SqlError::new("42883", message));
        }
        Ok((Plan::Running(self.cast_to(typed, Type::PgSnapshot)?.expr), Type::Xid8))
    }

    /// `generate_series` of whole numbers.
    fn series(&mut self, args: &[FunctionArg]) -> Result<(Plan, Type)> {
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
        if !(2..=3).contains(&typed.len())
            || typed.iter().any(|arg| !crate::cast::is_implicit(arg.of, of))
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

fn project(plan: Plan, items: Vec<Item>) -> Plan {
    let input = Box::new(plan);
    let mut exprs = Vec::with_capacity(items.len());
    let mut series = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        exprs.push(item.typed.expr);
        series.extend(item.series.map(|plan| (at, plan)));
    }
    if series.is_empty() {
        Plan::Project { input, exprs }
    } else {
        Plan::ProjectSeries { input, exprs, series }
    }
}

fn star(entry: &super::Entry, with_hidden: bool) -> Vec<Item> {
    let shown = entry.columns.iter().enumerate();
    let shown = shown.filter(|(at, _)| with_hidden || !entry.hidden.contains(at));
    let item = |(at, (name, of)): (usize, &(String, Type))| Item {
        name: name.clone(),
        typed: Typed::new(Expr::column(entry.base + at), *of),
        series: None,
    };
    shown.map(item).collect()
}

/// The names that an alias gives to columns.
fn rename(columns: &mut [(String, Type)], alias: &TableAlias) -> Result<()> {
    if alias.columns.len() > columns.len() {
        let message = format!(
            "table \"{}\" has {} columns available but {} columns specified",
            ident(&alias.name),
            columns.len(),
            alias.columns.len()
        );
        return Err(SqlError::new("42P10", message));
    }
    for ((name, _), alias) in columns.iter_mut().zip(&alias.columns) {
        *name = ident(&alias.name);
    }
    Ok(())
}

/// A place in the select list, if it is written as a number.
fn ordinal(written: &Ast, width: usize, clause: &str) -> Result<Option<usize>> {
    let not_integer = || Err(SqlError::syntax(format!("non-integer constant in {clause}")));
    let Some(number) = signed_number(written) else {
        return match written {
            Ast::Value(value)
                if matches!(value.value, Value::SingleQuotedString(_) | Value::Boolean(_)) =>
            {
                not_integer()
            }
            _ => Ok(None),
        };
    };
    let Ok(place) = number.parse::<i32>() else { return not_integer() };
    match usize::try_from(place) {
        Ok(place) if (1..=width).contains(&place) => Ok(Some(place - 1)),
        _ => {
            let message = format!("{clause} position {number} is not in select list");
            Err(SqlError::new("42P10", message))
        }
    }
}

fn sort_key(expr: Expr, of: Type, written: &ast::OrderByExpr) -> SortKey {
    let descending = written.options.sort == Some(ast::OrderBySort::Desc);
    let nulls_first = written.options.nulls_first.unwrap_or(descending);
    SortKey { expr, of, descending, nulls_first }
}

/// The name of a column that has none (`FigureColname`).
fn figure_name(written: &Ast) -> Option<String> {
    Some(match written {
        Ast::Identifier(name) => ident(name),
        Ast::CompoundIdentifier(names) => ident(names.last()?),
        Ast::Nested(inner) => return figure_name(inner),
        Ast::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            ident(name?)
        }
        Ast::Cast { expr, data_type, .. } => match cast_name(expr) {
            // The name of a type or of CASE gives way.
            Some(name) => name,
            None => crate::table::data_type(data_type).ok()?.0.internal_name().to_owned(),
        },
        Ast::TypedString(typed) => {
            crate::table::data_type(&typed.data_type).ok()?.0.internal_name().to_owned()
        }
        Ast::Case { else_result, .. } => {
            let name = else_result.as_ref().and_then(|result| figure_name(result));
            name.unwrap_or_else(|| "case".to_owned())
        }
        Ast::Exists { negated: false, .. } => "exists".to_owned(),
        Ast::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => return figure_name(expr),
                SelectItem::ExprWithAlias { alias, .. } => ident(alias),
                _ => return None,
            },
            _ => return None,
        },
        Ast::Tuple(_) => "row".to_owned(),
        Ast::Substring { shorthand: true, .. } => "substr".to_owned(),
        Ast::Substring { .. } => "substring".to_owned(),
        Ast::Trim { trim_where, .. } => match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim".to_owned(),
            Some(ast::TrimWhereField::Trailing) => "rtrim".to_owned(),
            _ => "btrim".to_owned(),
        },
        Ast::Position { .. } => "position".to_owned(),
        Ast::Ceil { .. } => "ceil".to_owned(),
        Ast::Floor { .. } => "floor".to_owned(),
        Ast::Collate { expr, .. } => return figure_name(expr),
        _ => return None,
    })
}

/// The name that a value keeps under a cast.
fn cast_name(written: &Ast) -> Option<String> {
    match written {
        Ast::Cast { expr, .. } => cast_name(expr),
        Ast::Nested(inner) => cast_name(inner),
        Ast::TypedString(_) | Ast::Case { .. } => None,
        other => figure_name(other),
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
