//! Literals: constants as they are written.
//!
//! Invariant: a number is of the narrowest of `integer`, `bigint` and `numeric` that has it, its sign looked at. Source:
//! `make_const`, `doNegate`.

use sqlparser::ast::{Expr as Ast, UnaryOperator, Value};

use super::Typed;
use crate::error::{Result, SqlError};
use crate::expr::Expr;
use crate::numeric::{Numeric, has_far_exponent, overflow};
use crate::types::{Datum, Type};

pub(super) fn literal(value: &Value) -> Result<Typed> {
    Ok(match value {
        Value::Null => Typed::new(Expr::Const(Datum::Null), Type::Unknown),
        Value::Boolean(value) => Typed::new(Expr::Const(Datum::Bool(*value)), Type::Bool),
        Value::Number(number, _) => return number_literal(number),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
            Typed::new(Expr::Const(Datum::Text(text.clone())), Type::Unknown)
        }
        Value::DollarQuotedString(text) => {
            Typed::new(Expr::Const(Datum::Text(text.value.clone())), Type::Unknown)
        }
        other => return Err(SqlError::not_supported(format!("the literal {other}"))),
    })
}

/// The narrowest type that has the number.
pub(super) fn number_literal(text: &str) -> Result<Typed> {
    if let Ok(value) = text.parse::<i32>() {
        return Ok(Typed::new(Expr::Const(Datum::Int4(value)), Type::Int4));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Typed::new(Expr::Const(Datum::Int8(value)), Type::Int8));
    }
    if has_far_exponent(text) {
        return Err(overflow());
    }
    let number = Numeric::parse(text)
        .ok_or_else(|| SqlError::syntax(format!("syntax error at or near \"{text}\"")))?;
    Ok(Typed::new(Expr::Const(Datum::Numeric(number.checked()?)), Type::Numeric))
}

/// A number literal with the signs and parentheses around it.
pub(super) fn signed_number(written: &Ast) -> Option<String> {
    match written {
        Ast::Nested(inner) => signed_number(inner),
        Ast::UnaryOp { op: UnaryOperator::Minus, expr } => {
            let number = signed_number(expr)?;
            Some(match number.strip_prefix('-') {
                Some(number) => number.to_owned(),
                None => format!("-{number}"),
            })
        }
        Ast::Value(value) => match &value.value {
            Value::Number(number, _) => Some(number.clone()),
            _ => None,
        },
        _ => None,
    }
}
