//! ORDER BY of a SELECT, and items of a select list by number.
//!
//! Invariant: nulls stand last, or first where it is descending, unless it is said. Source: `findTargetlistEntrySQL92`.

use sqlparser::ast::{self, Expr as Ast, OrderByKind, Value};

use super::Analyzer;
use super::literal::signed_number;
use super::targets::Item;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::SortKey;
use crate::types::Type;

impl Analyzer<'_, '_, '_> {
    pub(super) fn sort_keys(
        &mut self,
        order: &ast::OrderBy,
        items: &[Item],
    ) -> Result<Vec<SortKey>> {
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
}

/// A place in the select list, if it is written as a number.
pub(super) fn ordinal(written: &Ast, width: usize, clause: &str) -> Result<Option<usize>> {
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
        Ok(at) if (1..=width).contains(&at) => Ok(Some(at - 1)),
        _ => {
            let message = format!("{clause} position {place} is not in select list");
            Err(SqlError::new("42P10", message))
        }
    }
}

pub(super) fn sort_key(expr: Expr, of: Type, written: &ast::OrderByExpr) -> SortKey {
    let descending = written.options.sort == Some(ast::OrderBySort::Desc);
    let nulls_first = written.options.nulls_first.unwrap_or(descending);
    SortKey { expr, of, descending, nulls_first }
}
