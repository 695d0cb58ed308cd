//! LIMIT, OFFSET and FETCH.
//!
//! Invariant: they are numbers of rows, of type `bigint`, and see no column. Source: `transformLimitClause`.

use sqlparser::ast::{self, Expr as Ast, LimitClause};

use super::{Analyzer, Level, Query};
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::Plan;
use crate::types::{Datum, Type};

impl Analyzer<'_, '_, '_> {
    /// A query cut off as its LIMIT, OFFSET and FETCH say.
    pub(super) fn limited(&mut self, mut analyzed: Query, query: &ast::Query) -> Result<Query> {
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
}
