//! FROM: relations and joins.
//!
//! Invariants: every relation's columns stand beside each other in the row, in the order in which they are written. A join's
//! condition sees the relations of that join alone. Source: `transformFromClause`.

use sqlparser::ast::{
    Expr as Ast, JoinConstraint, JoinOperator, SetExpr, TableAlias, TableFactor, TableWithJoins,
};

use super::from_prepared;
use super::{Analyzer, Entry, EntryKind, Query, Typed};
use crate::error::{Result, SqlError};
use crate::expr::{Comparison, Expr};
use crate::plan::{JoinKind, Plan};
use crate::table::{ident, object_name, relation_name};
use crate::types::Type;

impl Analyzer<'_, '_, '_> {
    /// FROM: every relation's columns beside each other.
    pub(super) fn from(&mut self, from: &[TableWithJoins]) -> Result<Plan> {
        let mut plan = None;
        for item in from {
            let left_width = self.level()?.width;
            let right = Box::new(self.joined(item)?);
            plan = Some(match plan {
                None => *right,
                Some(left) => {
                    let widths = [left_width, self.level()?.width - left_width];
                    Plan::join(JoinKind::Inner, [Box::new(left), right], None, 0, widths)
                }
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
                    let names_of = |entries: &[Entry]| -> Vec<String> {
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
            plan = Plan::join(kind, [Box::new(plan), right], on, base, widths);
        }
        Ok(plan)
    }

    pub(super) fn join_condition(&mut self, written: &Ast) -> Result<Expr> {
        let before = self.level()?.no_aggregates.replace("JOIN conditions");
        let typed = self.expr(written);
        self.level()?.no_aggregates = before;
        self.condition(typed?, "JOIN/ON")
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
                let (name, only) = relation_name(name)?;
                let shown = alias.as_ref().map_or_else(|| name.clone(), |alias| ident(&alias.name));
                self.check_alias(&shown)?;
                let cte = self.ctes.iter().rev().find(|cte| cte.name == name && !only);
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
                if name == from_prepared::PREPARED_XACTS {
                    return self.prepared_transactions(true, alias.as_ref());
                }
                let family = self.family((&name, only)).map_err(|error| {
                    if error.code != "42P01" || !self.later.contains(&name) {
                        return error;
                    }
                    error
                        .detail(format!(
                            "There is a WITH item named \"{name}\", but it cannot be referenced from this part of the query."
                        ))
                        .hint("Use WITH RECURSIVE, or re-order the WITH items to remove forward references.")
                })?;
                self.level()?.add_family(&family, shown);
                if let (Some(alias), Some(entry)) = (alias, self.level()?.entries.last_mut()) {
                    rename(&mut entry.columns, alias)?;
                }
                Ok(Plan::Scan(family))
            }
            TableFactor::Derived { lateral: false, subquery, alias, .. } => {
                let word = match &*subquery.body {
                    SetExpr::Insert(_) => Some("INTO"),
                    SetExpr::Update(_) => Some("SET"),
                    SetExpr::Delete(_) => Some("FROM"),
                    SetExpr::Merge(_) => Some("INTO"),
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
                if plan.reads_tables() {
                    self.mark(EntryKind::Reading)?;
                }
                Ok(Plan::Derived(Box::new(plan)))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.joined(table_with_joins)
            }
            other => Err(SqlError::not_supported(format!("in FROM, {other}"))),
        }
    }

    /// Says what the last relation is.
    pub(super) fn mark(&mut self, kind: EntryKind) -> Result<()> {
        if let Some(entry) = self.level()?.entries.last_mut() {
            entry.kind = kind;
        }
        Ok(())
    }

    pub(super) fn check_alias(&mut self, alias: &str) -> Result<()> {
        if self.level()?.has(alias) {
            let message = format!("table name \"{alias}\" specified more than once");
            return Err(SqlError::new("42712", message));
        }
        Ok(())
    }
}

/// The names that an alias gives to columns.
pub(super) fn rename(columns: &mut [(String, Type)], alias: &TableAlias) -> Result<()> {
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
