//! GROUP BY, and what expressions mean behind it.
//!
//! Invariant: a row behind an aggregation holds the keys, then the aggregates; a column that is in no key cannot be named.
//! Source: `parse_agg.c`.

use sqlparser::ast::Expr as Ast;

use super::Analyzer;
use super::order::ordinal;
use super::targets::Item;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::function::size::asks_of_stored;
use crate::types::{Datum, Type};

impl Analyzer<'_, '_, '_> {
    pub(super) fn group_keys(
        &mut self,
        written: &[Ast],
        items: &[Item],
    ) -> Result<Vec<(Expr, Type)>> {
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

    /// Has an expression mean the rows that an aggregation gives: the keys, then the aggregates.
    pub(super) fn after_grouping(&self, expr: &mut Expr, keys: &[(Expr, Type)]) -> Result<()> {
        let entries = self.levels.last().map_or(&[][..], |level| &level.entries);
        expr.rewrite(&mut |expr| {
            if let Some(at) = keys.iter().position(|(key, _)| key == expr) {
                *expr = Expr::column(at);
                return Ok(true);
            }
            match expr {
                // Rows that an aggregation gives are stored nowhere.
                Expr::Call { function, args } if asks_of_stored(function) => {
                    args.iter_mut().take(1).try_for_each(|arg| self.after_grouping(arg, keys))?;
                    *expr = Expr::Const(Datum::Null);
                    Ok(true)
                }
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
}
