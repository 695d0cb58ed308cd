//! Functions of numbers.
//!
//! Invariant: what is out of a type's range is an error. Sources: `int.c`, `int8.c`, `float.c`, `numeric.c`.

use super::{Function, pure};
use crate::error::{Result, SqlError};
use crate::expr::{Arithmetic, arithmetic};
use crate::numeric::Numeric;
use crate::types::{Datum, Type};

const INT: Type = Type::Int4;
const BIG: Type = Type::Int8;
const NUMERIC: Type = Type::Numeric;
const FLOAT: Type = Type::Float8;

pub(super) static FUNCTIONS: &[Function] = &[
    pure("abs", &[Type::Int2], Type::Int2, absolute),
    pure("abs", &[INT], INT, absolute),
    pure("abs", &[BIG], BIG, absolute),
    pure("abs", &[NUMERIC], NUMERIC, absolute),
    pure("abs", &[FLOAT], FLOAT, absolute),
    pure("round", &[FLOAT], FLOAT, |args| Ok(float(&args[0], f64::round_ties_even))),
    pure("round", &[NUMERIC], NUMERIC, |args| Ok(decimal(&args[0], |number| number.round(0)))),
    pure("round", &[NUMERIC, INT], NUMERIC, |args| {
        Ok(decimal(&args[0], |number| number.round(scale(&args[1]))))
    }),
    pure("trunc", &[FLOAT], FLOAT, |args| Ok(float(&args[0], f64::trunc))),
    pure("trunc", &[NUMERIC], NUMERIC, |args| Ok(decimal(&args[0], |number| number.truncate(0)))),
    pure("trunc", &[NUMERIC, INT], NUMERIC, |args| {
        Ok(decimal(&args[0], |number| number.truncate(scale(&args[1]))))
    }),
    pure("ceil", &[FLOAT], FLOAT, |args| Ok(float(&args[0], f64::ceil))),
    pure("ceil", &[NUMERIC], NUMERIC, |args| Ok(decimal(&args[0], Numeric::ceiling))),
    pure("ceiling", &[FLOAT], FLOAT, |args| Ok(float(&args[0], f64::ceil))),
    pure("ceiling", &[NUMERIC], NUMERIC, |args| Ok(decimal(&args[0], Numeric::ceiling))),
    pure("floor", &[FLOAT], FLOAT, |args| Ok(float(&args[0], f64::floor))),
    pure("floor", &[NUMERIC], NUMERIC, |args| Ok(decimal(&args[0], Numeric::floor))),
    pure("sign", &[FLOAT], FLOAT, |args| {
        Ok(float(
            &args[0],
            |value| if value == 0.0 || value.is_nan() { value } else { value.signum() },
        ))
    }),
    pure("sign", &[NUMERIC], NUMERIC, |args| {
        Ok(decimal(&args[0], |number| match number {
            Numeric::NaN => Numeric::NaN,
            number => Numeric::from_int(i64::from(number.sign())),
        }))
    }),
    pure("sqrt", &[FLOAT], FLOAT, |args| match args[0] {
        Datum::Float8(value) if value < 0.0 => {
            Err(SqlError::new("2201F", "cannot take square root of a negative number"))
        }
        ref value => Ok(float(value, f64::sqrt)),
    }),
    pure("sqrt", &[NUMERIC], NUMERIC, |_| Err(SqlError::not_supported("sqrt(numeric)"))),
    pure("power", &[FLOAT, FLOAT], FLOAT, |args| {
        arithmetic(Arithmetic::Power, FLOAT, &args[0], &args[1])
    }),
    pure("power", &[NUMERIC, NUMERIC], NUMERIC, |_| {
        Err(SqlError::not_supported("power(numeric, numeric)"))
    }),
    pure("mod", &[INT, INT], INT, |args| remainder(INT, args)),
    pure("mod", &[BIG, BIG], BIG, |args| remainder(BIG, args)),
    pure("mod", &[NUMERIC, NUMERIC], NUMERIC, |args| remainder(NUMERIC, args)),
    pure("gcd", &[INT, INT], INT, |args| gcd(INT, args)),
    pure("gcd", &[BIG, BIG], BIG, |args| gcd(BIG, args)),
];

fn out_of_range(of: Type) -> SqlError {
    SqlError::new("22003", format!("{} out of range", of.name()))
}

fn absolute(args: &[Datum]) -> Result<Datum> {
    Ok(match &args[0] {
        Datum::Int2(value) => {
            Datum::Int2(value.checked_abs().ok_or_else(|| out_of_range(Type::Int2))?)
        }
        Datum::Int4(value) => Datum::Int4(value.checked_abs().ok_or_else(|| out_of_range(INT))?),
        Datum::Int8(value) => Datum::Int8(value.checked_abs().ok_or_else(|| out_of_range(BIG))?),
        Datum::Float8(value) => Datum::Float8(value.abs()),
        Datum::Numeric(value) if *value < Numeric::zero() => Datum::Numeric(value.negate()),
        other => other.clone(),
    })
}

fn float(value: &Datum, map: impl Fn(f64) -> f64) -> Datum {
    match value {
        Datum::Float8(value) => Datum::Float8(map(*value)),
        other => other.clone(),
    }
}

fn decimal(value: &Datum, map: impl Fn(&Numeric) -> Numeric) -> Datum {
    match value {
        Datum::Numeric(value) => Datum::Numeric(map(value)),
        other => other.clone(),
    }
}

/// Digits behind the point, within what a number can have (`NUMERIC_MAX_RESULT_SCALE`).
fn scale(value: &Datum) -> i64 {
    value.int().unwrap_or(0).clamp(-2000, 2000)
}

fn remainder(of: Type, args: &[Datum]) -> Result<Datum> {
    arithmetic(Arithmetic::Remainder, of, &args[0], &args[1])
}

fn gcd(of: Type, args: &[Datum]) -> Result<Datum> {
    let [mut one, mut other] = [0, 1].map(|at| args[at].int().unwrap_or(0).unsigned_abs());
    while other != 0 {
        (one, other) = (other, one % other);
    }
    match of {
        Type::Int4 => i32::try_from(one).map(Datum::Int4).map_err(|_| out_of_range(of)),
        _ => i64::try_from(one).map(Datum::Int8).map_err(|_| out_of_range(of)),
    }
}
