//! Expressions of keys analyzed, and keys found by what they are made of.
//!
//! Invariant: what comes out is over the row of one table, and immutable. Sources: `ComputeIndexAttrs`,
//! `CheckMutability`, `infer_arbiter_indexes`.

use std::rc::Rc;

use sqlparser::ast;

use super::Analyzer;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::index::{KeyElement, KeyExpr, KeyPart, no_column};
use crate::table::{ColumnDef, TableDef};
use crate::types::Type;

impl Analyzer<'_, '_, '_> {
    /// The elements of a key of a table, to be evaluated over its rows.
    ///
    /// # Errors
    /// Where an expression cannot be had in an index.
    pub(crate) fn key(&mut self, def: &Rc<TableDef>, key: &[KeyPart]) -> Result<Vec<KeyExpr>> {
        key.iter().map(|part| self.key_element(def, &part.element)).collect()
    }

    fn key_element(&mut self, def: &Rc<TableDef>, element: &KeyElement) -> Result<KeyExpr> {
        let written = match element {
            KeyElement::Column(column) => {
                let of = def.columns[*column].of;
                return Ok(KeyExpr { expr: Expr::column(*column), of });
            }
            KeyElement::Computed(written) => written,
        };
        let alone = Analyzer::new(self.transaction, self.database);
        let (typed, subplans) = alone.over_row(Some(def), written, "index expressions")?;
        if !subplans.is_empty() {
            return Err(SqlError::new("0A000", "cannot use subquery in index expression"));
        }
        let typed = match typed.of {
            Type::Unknown => self.cast_to(typed, Type::Text)?,
            _ => typed,
        };
        if typed.of.stored().is_none() {
            return Err(SqlError::not_supported(format!("a key of type {}", typed.of.name())));
        }
        let mut expr = typed.expr;
        expr.rewrite(&mut |part| refuse_mutable(part).map(|()| false))?;
        Ok(KeyExpr { expr, of: typed.of })
    }

    /// Refuses a generated column of a table that would be another value at another time.
    ///
    /// # Errors
    /// So, and where the expression cannot be had.
    pub(crate) fn check_generated(self, def: &Rc<TableDef>, column: &ColumnDef) -> Result<()> {
        let Some(written) = column.default.as_ref().filter(|_| column.is_generated) else {
            return Ok(());
        };
        let clause = "column generation expressions";
        let (mut expr, _) = self.over_table(Some(def), written, Some(column.of), clause)?;
        expr.rewrite(&mut |part| match is_mutable(part) {
            true => Err(SqlError::new("42P17", "generation expression is not immutable")),
            false => Ok(false),
        })
    }

    /// The unique indexes that an `ON CONFLICT` means, by number.
    ///
    /// # Errors
    /// `42P10` if there is none.
    pub(super) fn inferred(
        &mut self,
        table: &Rc<TableDef>,
        names: &[ast::Ident],
    ) -> Result<Vec<usize>> {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let mut wanted = Vec::with_capacity(names.len());
        for name in names {
            let element = KeyElement::named(name, &columns)?.ok_or_else(|| {
                let name = crate::table::ident(name);
                no_column(&name)
            })?;
            wanted.push(self.key_element(table, &element)?);
        }
        let mut found = Vec::new();
        for (number, index) in table.indexes.iter().enumerate() {
            if !index.is_unique {
                continue;
            }
            let key = self.key(table, &index.key)?;
            if key.iter().all(|element| wanted.contains(element))
                && wanted.iter().all(|element| key.contains(element))
            {
                found.push(number);
            }
        }
        if found.is_empty() {
            return Err(SqlError::new(
                "42P10",
                "there is no unique or exclusion constraint matching the ON CONFLICT specification",
            ));
        }
        Ok(found)
    }
}

/// Refuses what may be another value at another time, or for another session.
fn refuse_mutable(part: &Expr) -> Result<()> {
    if matches!(part, Expr::Routine { .. }) {
        return Err(SqlError::not_supported("a function made by SQL in an index"));
    }
    if is_mutable(part) {
        let message = "functions in index expression must be marked IMMUTABLE";
        return Err(SqlError::new("42P17", message));
    }
    Ok(())
}

/// Whether it may be another value at another time, what it is made of aside.
fn is_mutable(part: &Expr) -> bool {
    let is_time = |of: Type| matches!(of, Type::Date | Type::TimestampTz | Type::Timestamp);
    match part {
        // Those of any arguments have output functions called, some of which look at settings.
        Expr::Call { function, .. } => !function.is_pure() || function.least.is_some(),
        Expr::Cast { from: Type::Regclass, .. } | Expr::Cast { to: Type::Regclass, .. } => true,
        Expr::Cast { from, to, .. } => {
            is_time(*from) && to.is_string()
                || from.is_string() && is_time(*to)
                || (*from == Type::TimestampTz) != (*to == Type::TimestampTz)
                    && is_time(*from)
                    && is_time(*to)
        }
        _ => false,
    }
}
