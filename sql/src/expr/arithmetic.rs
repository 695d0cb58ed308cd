//! Arithmetic of whole numbers, `numeric`, `double precision` and dates.
//!
//! Invariant: a sum, product or power out of its type's range is an error, never a value that went round; only shifts drop
//! bits. Source: `int.c`, `int8.c`, `float.c`, `date.c`.

use crate::error::{Result, SqlError};
use crate::numeric::Numeric;
use crate::types::{Datum, Type};

/// An operation of numbers; of dates, `+` and `-` count in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

/// An operation on two values that are no nulls, both of the type `of`; of a date and a number of days if it is `date`.
pub(crate) fn arithmetic(op: Arithmetic, of: Type, left: &Datum, right: &Datum) -> Result<Datum> {
    let overflow = || SqlError::new("22003", format!("{} out of range", of.name()));
    let by_zero = || SqlError::new("22012", "division by zero");
    if let (Datum::Numeric(left), Datum::Numeric(right)) = (left, right) {
        let made = match op {
            Arithmetic::Add => left.add(right),
            Arithmetic::Subtract => left.subtract(right),
            Arithmetic::Multiply => left.multiply(right),
            Arithmetic::Divide => left.divide(right)?,
            Arithmetic::Remainder => left.remainder(right)?,
            op => return Err(SqlError::not_supported(format!("{op:?} of numeric"))),
        };
        return made.checked().map(Datum::Numeric);
    }
    if let (Datum::Float8(left), Datum::Float8(right)) = (left, right) {
        let value = match op {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide | Arithmetic::Remainder if *right == 0.0 => return Err(by_zero()),
            Arithmetic::Divide => left / right,
            Arithmetic::Remainder => left % right,
            Arithmetic::Power if *left == 0.0 && *right < 0.0 => {
                let message = "zero raised to a negative power is undefined";
                return Err(SqlError::new("2201F", message));
            }
            Arithmetic::Power if *left < 0.0 && right.fract() != 0.0 => {
                let message =
                    "a negative number raised to a non-integer power yields a complex result";
                return Err(SqlError::new("2201F", message));
            }
            Arithmetic::Power => left.powf(*right),
            op => return Err(SqlError::not_supported(format!("{op:?} of double precision"))),
        };
        if value == 0.0
            && matches!(op, Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Power)
            && *left != 0.0
            && right.is_finite()
            && (op != Arithmetic::Multiply || *right != 0.0)
        {
            return Err(SqlError::new("22003", "value out of range: underflow"));
        }
        if value.is_infinite() && left.is_finite() && right.is_finite() {
            return Err(SqlError::new("22003", "value out of range: overflow"));
        }
        return Ok(Datum::Float8(value));
    }
    match (left, right) {
        (Datum::Date(left), Datum::Date(right)) => {
            return Ok(Datum::Int4(left.wrapping_sub(*right)));
        }
        (Datum::Date(days), other) => {
            let other = other.int().and_then(|other| i32::try_from(other).ok());
            let moved = other.and_then(|other| match op {
                Arithmetic::Add => days.checked_add(other),
                _ => days.checked_sub(other),
            });
            return moved
                .map(Datum::Date)
                .ok_or_else(|| SqlError::new("22008", "date out of range"));
        }
        _ => {}
    }
    let (Some(left), Some(right)) = (left.int(), right.int()) else {
        return Err(SqlError::new("XX000", format!("no arithmetic of {}", of.name())));
    };
    let value = match op {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide | Arithmetic::Remainder if right == 0 => return Err(by_zero()),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => Some(left.wrapping_rem(right)),
        Arithmetic::BitAnd => Some(left & right),
        Arithmetic::BitOr => Some(left | right),
        Arithmetic::BitXor => Some(left ^ right),
        // As the processor does it: a distance counts by the width of the type.
        Arithmetic::ShiftLeft | Arithmetic::ShiftRight => return Ok(shifted(op, of, left, right)),
        Arithmetic::Power => return Err(SqlError::not_supported("a power of whole numbers")),
    };
    let value = value.ok_or_else(overflow)?;
    match of {
        Type::Int2 => i16::try_from(value).map(Datum::Int2).map_err(|_| overflow()),
        Type::Int4 => i32::try_from(value).map(Datum::Int4).map_err(|_| overflow()),
        _ => Ok(Datum::Int8(value)),
    }
}

fn shifted(op: Arithmetic, of: Type, value: i64, distance: i64) -> Datum {
    let (distance, is_left) = (distance as u32, op == Arithmetic::ShiftLeft);
    match of {
        Type::Int2 => {
            // A smallint is shifted as an integer.
            let value = value as i32;
            let shifted =
                if is_left { value.wrapping_shl(distance) } else { value.wrapping_shr(distance) };
            Datum::Int2(shifted as i16)
        }
        Type::Int4 => {
            let value = value as i32;
            Datum::Int4(if is_left {
                value.wrapping_shl(distance)
            } else {
                value.wrapping_shr(distance)
            })
        }
        _ => Datum::Int8(if is_left {
            value.wrapping_shl(distance)
        } else {
            value.wrapping_shr(distance)
        }),
    }
}

/// Adds to a sum of numbers of the type.
pub(crate) fn add(of: Type, sum: &Datum, value: &Datum) -> Result<Datum> {
    match (sum, value) {
        (Datum::Numeric(sum), value) if value.int().is_some() => {
            Ok(Datum::Numeric(sum.add(&Numeric::from_int(value.int().unwrap_or_default()))))
        }
        _ => arithmetic(Arithmetic::Add, of, sum, value),
    }
}
