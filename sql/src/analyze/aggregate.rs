//! Calls of aggregates.
//!
//! Invariants: an aggregate belongs to the innermost level, which holds each call once; there is none within another. Source:
//! `transformAggregateCall`.

use sqlparser::ast::{Expr as Ast, FunctionArg, FunctionArgExpr};

use super::call::no_function;
use super::{Analyzer, Typed};
use crate::cast;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::plan::{AggregateCall, AggregateKind};
use crate::types::Type;

/// Within an aggregate's arguments.
const NESTED: &str = "aggregate function calls";

impl Analyzer<'_, '_, '_> {
    pub(super) fn aggregate(
        &mut self,
        name: &str,
        kind: AggregateKind,
        arguments: &[FunctionArg],
        distinct: bool,
        filter: Option<&Ast>,
    ) -> Result<Typed> {
        if let Some(clause) = self.level()?.no_aggregates {
            let message = match clause {
                NESTED => "aggregate function calls cannot be nested".to_owned(),
                clause => format!("aggregate functions are not allowed in {clause}"),
            };
            return Err(SqlError::new("42803", message));
        }
        // Within an aggregate there is no other.
        self.level()?.no_aggregates = Some(NESTED);
        let analyzed = self.aggregate_arguments(arguments, filter);
        self.level()?.no_aggregates = None;
        let (mut args, filter) = analyzed?;
        let of = args.first().map_or(Type::Void, |arg| arg.of);
        let given = args.clone();
        let wrong = || Err(no_function(name, &given));
        let (input, result) = match kind {
            AggregateKind::Count => (of, Type::Int8),
            AggregateKind::Sum => match of {
                Type::Int2 | Type::Int4 => (Type::Int8, Type::Int8),
                Type::Int8 | Type::Numeric => (Type::Numeric, Type::Numeric),
                Type::Float8 => (Type::Float8, Type::Float8),
                _ => return wrong(),
            },
            AggregateKind::Average => match of {
                of if of.is_integer() || of == Type::Numeric => (Type::Numeric, Type::Numeric),
                Type::Float8 => (Type::Float8, Type::Float8),
                _ => return wrong(),
            },
            AggregateKind::Min | AggregateKind::Max => match of {
                Type::Bool | Type::Uuid | Type::Bytea | Type::Void | Type::Record => {
                    return wrong();
                }
                Type::Unknown | Type::Varchar => (Type::Text, Type::Text),
                of => (of, of),
            },
            AggregateKind::And | AggregateKind::Or => match of {
                Type::Bool | Type::Unknown => (Type::Bool, Type::Bool),
                _ => return wrong(),
            },
            AggregateKind::StringAgg => (Type::Text, Type::Text),
        };
        let takes = match kind {
            AggregateKind::Count if args.is_empty() => has_wildcard(arguments),
            AggregateKind::Count => args.len() <= 1,
            AggregateKind::StringAgg => args.len() == 2,
            _ => args.len() == 1,
        };
        if !takes {
            return wrong();
        }
        if kind == AggregateKind::StringAgg
            && args.iter().any(|arg| !cast::is_implicit(arg.of, Type::Text))
        {
            return wrong();
        }
        for arg in &mut args {
            *arg = self.cast_to(arg.clone(), input)?;
        }
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let call = AggregateCall { kind, args, of: input, distinct, filter };
        let aggregates = &mut self.level()?.aggregates;
        let known = aggregates.iter().position(|known| *known == call);
        let place = known.unwrap_or_else(|| {
            aggregates.push(call);
            aggregates.len() - 1
        });
        Ok(Typed::new(Expr::Aggregate(place), result))
    }

    fn aggregate_arguments(
        &mut self,
        arguments: &[FunctionArg],
        filter: Option<&Ast>,
    ) -> Result<(Vec<Typed>, Option<Expr>)> {
        let mut args = Vec::new();
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => {}
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(self.expr(expr)?),
                other => return Err(SqlError::not_supported(format!("the argument {other}"))),
            }
        }
        let filter = match filter {
            Some(filter) => {
                let typed = self.expr(filter)?;
                Some(self.condition(typed, "FILTER")?)
            }
            None => None,
        };
        Ok((args, filter))
    }
}

fn has_wildcard(arguments: &[FunctionArg]) -> bool {
    matches!(arguments, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)])
}

pub(super) fn aggregate_kind(name: &str) -> Option<AggregateKind> {
    Some(match name {
        "count" => AggregateKind::Count,
        "sum" => AggregateKind::Sum,
        "avg" => AggregateKind::Average,
        "min" => AggregateKind::Min,
        "max" => AggregateKind::Max,
        "bool_and" | "every" => AggregateKind::And,
        "bool_or" => AggregateKind::Or,
        "string_agg" => AggregateKind::StringAgg,
        _ => return None,
    })
}
