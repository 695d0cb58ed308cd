//! WITH: queries that others name.
//!
//! Invariants: each has a number in the statement, by which plans name it; it sees those before it and no query around it.
//! Source: `transformWithClause`.

use sqlparser::ast::{self, SetExpr};

use super::from::rename;
use super::{Analyzer, Cte, Query};
use crate::error::{Result, SqlError};
use crate::plan::Plan;
use crate::table::ident;

impl Analyzer<'_, '_, '_> {
    /// The queries of a WITH, each of which the later ones see.
    pub(super) fn with_clause(&mut self, with: &ast::With) -> Result<()> {
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
        Ok(())
    }

    fn with_query(&mut self, cte: &ast::Cte) -> Result<()> {
        let number = self.cte_plans.len();
        self.cte_plans.push(None);
        if matches!(&*cte.query.body, SetExpr::Merge(_)) {
            return Err(SqlError::new("0A000", "MERGE not supported in WITH query"));
        }
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
}
