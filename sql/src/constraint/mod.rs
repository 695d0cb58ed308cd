//! What a table asks of its rows: generated columns, not-null and check constraints here, unique keys in [`unique`], foreign
//! keys in [`foreign`].
//!
//! Invariant: a row is checked as it will be stored, after defaults and casts.

pub(crate) mod foreign;
pub(crate) mod unique;

use std::rc::Rc;

pub(crate) use foreign::Check;

use crate::analyze::Analyzer;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::expr::{Expr, Rows};
use crate::index::KeyExpr;
use crate::table::TableDef;
use crate::types::{Datum, Type};

/// What is evaluated for each row that is stored.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    generated: Vec<(usize, Expr)>,
    checks: Vec<(String, Expr)>,
    /// The keys of its indexes, in their order.
    pub(crate) keys: Vec<Vec<KeyExpr>>,
}

impl Rules {
    pub(crate) fn of(table: &Rc<TableDef>, exec: &mut Exec<'_, '_, '_, '_>) -> Result<Rules> {
        let mut rules = Rules::default();
        for (at, column) in table.columns.iter().enumerate() {
            if let (true, Some(expr)) = (column.is_generated, &column.default) {
                let clause = "column generation expressions";
                let analyzer = Analyzer::new(exec.transaction, exec.database);
                let (expr, subplans) =
                    analyzer.over_table(Some(table), expr, Some(column.of), clause)?;
                refuse_subqueries(subplans.len(), "column generation expression")?;
                let expr = Expr::Fit {
                    expr: Box::new(expr),
                    of: column.of,
                    modifier: column.modifier,
                    is_explicit: false,
                };
                rules.generated.push((at, expr));
            }
        }
        for check in &table.checks {
            let analyzer = Analyzer::new(exec.transaction, exec.database);
            let (expr, subplans) = analyzer.over_table(
                Some(table),
                &check.condition,
                Some(Type::Bool),
                "check constraints",
            )?;
            refuse_subqueries(subplans.len(), "check constraint")?;
            rules.checks.push((check.name.clone(), expr));
        }
        for index in &table.indexes {
            let mut analyzer = Analyzer::new(exec.transaction, exec.database);
            rules.keys.push(analyzer.key(table, &index.key)?);
        }
        Ok(rules)
    }

    /// Fills generated columns, and looks whether the row may be stored.
    pub(crate) fn apply(
        &self,
        table: &TableDef,
        row: &mut [Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        self.generate(row, exec)?;
        self.check(table, row, exec)
    }

    /// Fills generated columns.
    pub(crate) fn generate(
        &self,
        row: &mut [Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        for (at, expr) in &self.generated {
            row[*at] = expr.eval(exec, &Rows { row, outer: None })?;
        }
        Ok(())
    }

    /// Whether the row may be stored.
    pub(crate) fn check(
        &self,
        table: &TableDef,
        row: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
    ) -> Result<()> {
        for (column, value) in table.columns.iter().zip(row.iter()) {
            if column.not_null && value.is_null() {
                let message = format!(
                    "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                    column.name,
                    table.name()
                );
                return Err(SqlError::new("23502", message).detail(failing_row(row)));
            }
        }
        for (name, check) in &self.checks {
            if check.eval(exec, &Rows { row, outer: None })?.truth() == Some(false) {
                let message = format!(
                    "new row for relation \"{}\" violates check constraint \"{name}\"",
                    table.name()
                );
                return Err(SqlError::new("23514", message).detail(failing_row(row)));
            }
        }
        Ok(())
    }
}

fn refuse_subqueries(count: usize, what: &str) -> Result<()> {
    if count > 0 {
        return Err(SqlError::new("0A000", format!("cannot use subquery in {what}")));
    }
    Ok(())
}

/// `ExecBuildSlotValueDescription`
pub(crate) fn failing_row(row: &[Datum]) -> String {
    let text = |value: &Datum| value.text().unwrap_or_else(|| "null".to_owned());
    let values: Vec<String> = row.iter().map(text).collect();
    format!("Failing row contains ({}).", values.join(", "))
}

/// `(a, b)=(1, 2)`, as details of unique and foreign keys have it.
pub(crate) fn key_text(names: &[&str], values: &[Datum]) -> String {
    let values: Vec<String> =
        values.iter().map(|value| value.text().unwrap_or_else(|| "null".to_owned())).collect();
    format!("({})=({})", names.join(", "), values.join(", "))
}
