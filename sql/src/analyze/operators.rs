//! Which operator two types have, and what they become for it.
//!
//! Invariant: both sides of what comes out are of the type that is named in it. Source: `parse_oper.c`, `parse_coerce.c`,
//! for the types that there are.

use sqlparser::ast::BinaryOperator;

use super::{Analyzer, Typed};
use crate::cast;
use crate::error::{Result, SqlError};
use crate::expr::{Arithmetic, Comparison, Expr};
use crate::types::{Datum, Modifier, Type};

/// The wider of two types of numbers.
fn wider(one: Type, other: Type) -> Type {
    if cast::is_implicit(one, other) { other } else { one }
}

impl Analyzer<'_, '_, '_> {
    /// Makes an expression one of another type; the caller knows that there is a cast.
    pub(super) fn cast_to(&self, typed: Typed, to: Type) -> Result<Typed> {
        if typed.of == to {
            return Ok(typed);
        }
        // A literal is read now, so that its error comes before anything is run.
        if let (Type::Unknown, Expr::Const(value)) = (typed.of, &typed.expr)
            && to != Type::Regclass
        {
            let value = match value {
                Datum::Text(text) => cast::input(text, to)?,
                other => other.clone(),
            };
            return Ok(Typed::new(Expr::Const(value), to));
        }
        let from = if typed.of == Type::Unknown { Type::Text } else { typed.of };
        Ok(Typed::new(Expr::Cast { expr: Box::new(typed.expr), from, to }, to))
    }

    /// The one type that several expressions become (`select_common_type`).
    pub(super) fn common(&self, all: Vec<Typed>, context: &str) -> Result<(Vec<Expr>, Type)> {
        let mut of = Type::Unknown;
        for typed in &all {
            of = match (of, typed.of) {
                (Type::Unknown, other) => other,
                (of, Type::Unknown) => of,
                (of, other) if of == other => of,
                (of, other) if of.is_number() && other.is_number() => wider(of, other),
                (of, other) if cast::is_implicit(of, other) && !other.is_string() => other,
                (of, other) if cast::is_implicit(other, of) => of,
                (of, other) => {
                    let (of, other) = (of.name(), other.name());
                    let message = format!("{context} types {of} and {other} cannot be matched");
                    return Err(SqlError::new("42804", message));
                }
            };
        }
        if of == Type::Unknown {
            of = Type::Text;
        }
        let exprs = all.into_iter().map(|typed| Ok(self.cast_to(typed, of)?.expr));
        Ok((exprs.collect::<Result<_>>()?, of))
    }

    /// The type in which two values are compared.
    pub(super) fn compared(
        &self,
        symbol: &str,
        left: Typed,
        right: Typed,
    ) -> Result<(Expr, Expr, Type)> {
        let of = match (left.of, right.of) {
            (Type::Unknown, Type::Unknown) => Type::Text,
            (Type::Unknown, Type::Regclass) | (Type::Regclass, Type::Unknown) => Type::Regclass,
            (Type::Unknown, of) | (of, Type::Unknown) => of,
            (one, other) if one == other => one,
            (one, other) if one.is_number() && other.is_number() => wider(one, other),
            // A varchar is cast to either; that char(n) is one side's own decides.
            (Type::Bpchar, Type::Varchar) | (Type::Varchar, Type::Bpchar) => Type::Bpchar,
            (one, other) if one.is_string() && other.is_string() => Type::Text,
            (Type::Date | Type::Timestamp, Type::TimestampTz)
            | (Type::TimestampTz, Type::Date | Type::Timestamp) => Type::TimestampTz,
            (Type::Date, Type::Timestamp) | (Type::Timestamp, Type::Date) => Type::Timestamp,
            (Type::Oid | Type::Regclass, other) | (other, Type::Oid | Type::Regclass)
                if other.is_integer() || matches!(other, Type::Oid | Type::Regclass) =>
            {
                Type::Oid
            }
            (one, other) => return Err(no_operator(symbol, one, other)),
        };
        if matches!(of, Type::Void | Type::PgSnapshot) {
            return Err(no_operator(symbol, of, of));
        }
        // varchar has text's operators.
        let of = if of == Type::Varchar { Type::Text } else { of };
        let (left, right) = (self.cast_to(left, of)?, self.cast_to(right, of)?);
        Ok((left.expr, right.expr, of))
    }

    pub(super) fn comparison(&self, op: Comparison, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right, of) = self.compared(op.symbol(), left, right)?;
        let (left, right) = (Box::new(left), Box::new(right));
        Ok(Typed::new(Expr::Compare { op, of, left, right }, Type::Bool))
    }

    /// Two values in the type in which they are compared by `=`.
    pub(super) fn equated(&self, left: Typed, right: Typed) -> Result<(Expr, Expr, Type)> {
        self.compared("=", left, right)
    }

    pub(super) fn binary(&self, left: Typed, op: &BinaryOperator, right: Typed) -> Result<Typed> {
        if let Some(op) = comparison_of(op) {
            return self.comparison(op, left, right);
        }
        let arithmetic = match op {
            BinaryOperator::Plus => Arithmetic::Add,
            BinaryOperator::Minus => Arithmetic::Subtract,
            BinaryOperator::Multiply => Arithmetic::Multiply,
            BinaryOperator::Divide => Arithmetic::Divide,
            BinaryOperator::Modulo => Arithmetic::Remainder,
            BinaryOperator::PGExp => Arithmetic::Power,
            BinaryOperator::BitwiseAnd => Arithmetic::BitAnd,
            BinaryOperator::BitwiseOr => Arithmetic::BitOr,
            BinaryOperator::PGBitwiseXor => Arithmetic::BitXor,
            BinaryOperator::PGBitwiseShiftLeft => Arithmetic::ShiftLeft,
            BinaryOperator::PGBitwiseShiftRight => Arithmetic::ShiftRight,
            BinaryOperator::StringConcat => return self.concatenation(left, right),
            other => return Err(SqlError::not_supported(format!("the operator {other}"))),
        };
        let symbol = op.to_string();
        let (one, other) = (left.of, right.of);
        let is_sum = matches!(arithmetic, Arithmetic::Add | Arithmetic::Subtract);
        let made = |left: Typed, right: Typed, of: Type, result: Type| {
            let (left, right) = (Box::new(left.expr), Box::new(right.expr));
            Typed::new(Expr::Arithmetic { op: arithmetic, of, left, right }, result)
        };
        let of = match (one, other) {
            (Type::Unknown, of) if of.is_number() => of,
            (of, Type::Unknown) if of.is_number() => of,
            (one, other) if one.is_number() && other.is_number() => wider(one, other),
            (Type::Date, Type::Date) if arithmetic == Arithmetic::Subtract => {
                return Ok(made(left, right, Type::Date, Type::Int4));
            }
            (Type::Date, Type::Int2 | Type::Int4) if is_sum => {
                let right = self.cast_to(right, Type::Int4)?;
                return Ok(made(left, right, Type::Date, Type::Date));
            }
            (Type::Int2 | Type::Int4, Type::Date) if arithmetic == Arithmetic::Add => {
                let left = self.cast_to(left, Type::Int4)?;
                return Ok(made(right, left, Type::Date, Type::Date));
            }
            (Type::Unknown, Type::Unknown) => {
                let message = format!("operator is not unique: unknown {symbol} unknown");
                return Err(SqlError::new("42725", message).hint(
                    "Could not choose a best candidate operator. You might need to add explicit type casts.",
                ));
            }
            (one, other) => return Err(no_operator(&symbol, one, other)),
        };
        let of = match arithmetic {
            // There is no power of whole numbers but that of floats.
            Arithmetic::Power if of != Type::Numeric => Type::Float8,
            Arithmetic::BitAnd | Arithmetic::BitOr | Arithmetic::BitXor if of.is_integer() => of,
            Arithmetic::ShiftLeft | Arithmetic::ShiftRight
                if one.is_integer() && (other.is_integer() || other == Type::Unknown) =>
            {
                let (left, right) = (self.cast_to(left, one)?, self.cast_to(right, Type::Int4)?);
                return Ok(made(left, right, one, one));
            }
            Arithmetic::Remainder if of == Type::Float8 => {
                return Err(no_operator(&symbol, one, other));
            }
            Arithmetic::Add
            | Arithmetic::Subtract
            | Arithmetic::Multiply
            | Arithmetic::Divide
            | Arithmetic::Remainder
            | Arithmetic::Power => of,
            _ => return Err(no_operator(&symbol, one, other)),
        };
        let (left, right) = (self.cast_to(left, of)?, self.cast_to(right, of)?);
        Ok(made(left, right, of, of))
    }

    fn concatenation(&self, left: Typed, right: Typed) -> Result<Typed> {
        let is_text = |of: Type| of.is_string() || of == Type::Unknown;
        if !is_text(left.of) && !is_text(right.of) {
            return Err(no_operator("||", left.of, right.of));
        }
        let (left, right) = (self.cast_to(left, Type::Text)?, self.cast_to(right, Type::Text)?);
        Ok(Typed::new(Expr::Concat(Box::new(left.expr), Box::new(right.expr)), Type::Text))
    }

    /// An expression as the value of a column.
    pub(super) fn assign(
        &self,
        typed: Typed,
        of: Type,
        modifier: Modifier,
        column: &str,
    ) -> Result<Typed> {
        if !cast::is_assignable(typed.of, of) {
            let (wanted, got) = (of.name(), typed.of.name());
            let message =
                format!("column \"{column}\" is of type {wanted} but expression is of type {got}");
            let hint = "You will need to rewrite or cast the expression.";
            return Err(SqlError::new("42804", message).hint(hint));
        }
        let typed = self.cast_to(typed, of)?;
        if modifier == Modifier::None {
            return Ok(typed);
        }
        let expr = Box::new(typed.expr);
        Ok(Typed::new(Expr::Fit { expr, of, modifier, is_explicit: false }, of))
    }

    /// A condition, as WHERE has one.
    pub(super) fn condition(&self, typed: Typed, clause: &str) -> Result<Expr> {
        if !matches!(typed.of, Type::Bool | Type::Unknown) {
            let of = typed.of.name();
            let message = format!("argument of {clause} must be type boolean, not type {of}");
            return Err(SqlError::new("42804", message));
        }
        Ok(self.cast_to(typed, Type::Bool)?.expr)
    }
}

pub(super) fn comparison_of(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::NotEqual,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

pub(super) fn no_operator(symbol: &str, left: Type, right: Type) -> SqlError {
    let message = format!("operator does not exist: {} {symbol} {}", left.name(), right.name());
    SqlError::new("42883", message)
        .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
}
