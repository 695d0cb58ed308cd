//! `MERGE` analyzed.
//!
//! Invariants: what is no `MERGE` of PostgreSQL 15 was refused by [`parse`](crate::parse). The source's columns stand before the table's. A `WHEN NOT MATCHED` sees the source alone, the others both.
//! Source: `parse_merge.c`.

use std::rc::Rc;

use sqlparser::ast::{
    self, MergeAction as Written, MergeClauseKind, MergeInsertKind, MergeUpdateKind, TableFactor,
    TableWithJoins,
};

use super::Analyzer;
use crate::error::{Result, SqlError};
use crate::plan::{Change, ChangeKind, JoinKind, MergeAction, Plan, When};
use crate::table::{TableDef, ident, relation_name};

impl Analyzer<'_, '_, '_> {
    /// A `MERGE`, at a level of its own.
    pub(super) fn merge(&mut self, merge: &ast::Merge) -> Result<Change> {
        let TableFactor::Table { name, alias, .. } = &merge.table else {
            return Err(SqlError::syntax("syntax error at or near \"(\""));
        };
        refuse_unreachable(&merge.clauses)?;
        let (name, only) = relation_name(name)?;
        let family = self.target_family((&name, only))?;
        let alias = alias.as_ref().map_or(name, |alias| ident(&alias.name));
        let source = TableWithJoins { relation: merge.source.clone(), joins: Vec::new() };
        let source = self.from(std::slice::from_ref(&source))?;
        let level = self.level()?;
        if level.has(&alias) {
            let message = format!("name \"{alias}\" specified more than once");
            let detail = "The name is used both as MERGE target table and data source.";
            return Err(SqlError::new("42712", message).detail(detail));
        }
        let base = level.add_family(&family, alias);
        let widths = [base, level.width - base];
        let on = Some(self.join_condition(&merge.on)?);
        let mut whens = Vec::with_capacity(merge.clauses.len());
        for clause in &merge.clauses {
            let is_matched = clause.clause_kind == MergeClauseKind::Matched;
            if let Some(entry) = self.level()?.entries.last_mut() {
                entry.is_out_of_reach = !is_matched;
            }
            let condition = match &clause.predicate {
                Some(condition) => Some(self.when_condition(condition)?),
                None => None,
            };
            let action = self.merge_action(&family.head, &clause.action)?;
            whens.push(When { is_matched, condition, action });
        }
        // Rows of the source that match none are wanted for what inserts them alone.
        let inserts = whens.iter().any(|when| matches!(when.action, MergeAction::Insert(_)));
        let kind = if inserts { JoinKind::Left } else { JoinKind::Inner };
        let target = Plan::Scan(Rc::clone(&family));
        let input = Plan::join(kind, [source, target].map(Box::new), on, 0, widths);
        Ok(Change { family, input, base, kind: ChangeKind::Merge { whens }, returning: None })
    }

    fn when_condition(&mut self, written: &ast::Expr) -> Result<crate::expr::Expr> {
        let before = self.level()?.no_aggregates.replace("MERGE WHEN conditions");
        let typed = self.expr(written);
        self.level()?.no_aggregates = before;
        self.condition(typed?, "WHEN")
    }

    fn merge_action(&mut self, table: &Rc<TableDef>, written: &Written) -> Result<MergeAction> {
        Ok(match written {
            Written::DoNothing { .. } => MergeAction::Nothing,
            Written::Delete { .. } => MergeAction::Delete,
            Written::Update(update) => match &update.kind {
                MergeUpdateKind::Set(assignments) => {
                    MergeAction::Update(self.sets(table, assignments)?)
                }
                MergeUpdateKind::Wildcard => return Err(SqlError::not_supported("UPDATE SET *")),
            },
            Written::Insert(insert) => {
                let MergeInsertKind::Values(values) = &insert.kind else {
                    return Err(SqlError::not_supported("INSERT without VALUES"));
                };
                let row = values.rows.first().map_or(&[][..], |row| row.content.as_slice());
                let targets = self.insert_targets(table, &insert.columns)?;
                let may_be_short = insert.columns.is_empty();
                MergeAction::Insert(self.values_row(table, &targets, row, may_be_short)?)
            }
        })
    }
}

/// What stands behind a `WHEN` without condition is never come to.
fn refuse_unreachable(clauses: &[ast::MergeClause]) -> Result<()> {
    let mut is_over = [false; 2];
    for clause in clauses {
        let is_over = &mut is_over[usize::from(clause.clause_kind == MergeClauseKind::Matched)];
        if *is_over {
            let message = "unreachable WHEN clause specified after unconditional WHEN clause";
            return Err(SqlError::syntax(message));
        }
        *is_over = clause.predicate.is_none();
    }
    Ok(())
}
