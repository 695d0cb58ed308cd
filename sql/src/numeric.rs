//! Arithmetic of `numeric`: how many digits a result has, and the values that are no numbers.
//!
//! Invariant: a number's scale, the digits shown behind the point, is at least 0 and at most 16383. Sums have the larger
//! scale of the two, products both together, quotients at least 16 significant digits. Source: `numeric.c`.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode, Signed, ToPrimitive, Zero};

use crate::error::{Result, SqlError};

/// The most digits behind the point that a quotient gets (`NUMERIC_MAX_DISPLAY_SCALE`).
const MOST_SHOWN: i64 = 1000;
/// Significant digits of a quotient (`NUMERIC_MIN_SIG_DIGITS`).
const SIGNIFICANT: i64 = 16;

/// A decimal number.
#[derive(Debug, Clone)]
pub(crate) enum Numeric {
    /// `-Infinity`
    NegativeInfinity,
    /// A number.
    Finite(BigDecimal),
    /// `Infinity`
    Infinity,
    /// `NaN`, above all others.
    NaN,
}

use Numeric::{Finite, Infinity, NaN, NegativeInfinity};

pub(crate) fn overflow() -> SqlError {
    SqlError::new("22003", "value overflows numeric format")
}

fn division_by_zero() -> SqlError {
    SqlError::new("22012", "division by zero")
}

impl Numeric {
    /// Reads a number as it is written in SQL or by a client; `None` if it is none.
    pub(crate) fn parse(text: &str) -> Option<Numeric> {
        let text = text.trim();
        match text.to_ascii_lowercase().as_str() {
            "nan" => return Some(NaN),
            "infinity" | "inf" | "+infinity" | "+inf" => return Some(Infinity),
            "-infinity" | "-inf" => return Some(NegativeInfinity),
            _ => {}
        }
        let is_number = text
            .starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
            && text.ends_with(|last: char| last.is_ascii_digit() || last == '.')
            && !text.contains('_');
        if has_far_exponent(text) {
            return None;
        }
        let number = BigDecimal::from_str(text).ok().filter(|_| is_number)?;
        // Digits before the point are not shown as zeros by an exponent.
        Some(Finite(if number.fractional_digit_count() < 0 {
            number.with_scale(0)
        } else {
            number
        }))
    }

    pub(crate) fn zero() -> Numeric {
        Finite(BigDecimal::zero())
    }

    pub(crate) fn from_int(value: i64) -> Numeric {
        Finite(BigDecimal::from(value))
    }

    /// Of a float, with the 15 digits that are sure (`float8_numeric`).
    pub(crate) fn from_float(value: f64) -> Option<Numeric> {
        if value.is_nan() {
            return Some(NaN);
        }
        if value.is_infinite() {
            return Some(if value > 0.0 { Infinity } else { NegativeInfinity });
        }
        let number = BigDecimal::from_str(&format!("{value:.14e}")).ok()?.normalized();
        Some(Finite(if number.fractional_digit_count() < 0 {
            number.with_scale(0)
        } else {
            number
        }))
    }

    pub(crate) fn to_float(&self) -> f64 {
        match self {
            Finite(number) => number.to_f64().unwrap_or(f64::NAN),
            Infinity => f64::INFINITY,
            NegativeInfinity => f64::NEG_INFINITY,
            NaN => f64::NAN,
        }
    }

    /// The nearest integer, half away from zero; `None` if it does not fit or is no number.
    pub(crate) fn to_int(&self) -> Option<i64> {
        match self {
            Finite(number) => number.with_scale_round(0, RoundingMode::HalfUp).to_i64(),
            _ => None,
        }
    }

    /// Rounded to so many digits behind the point, half away from zero.
    pub(crate) fn round(&self, scale: i64) -> Numeric {
        self.rounded(scale, RoundingMode::HalfUp)
    }

    /// With so many digits behind the point, the others cut off.
    pub(crate) fn truncate(&self, scale: i64) -> Numeric {
        self.rounded(scale, RoundingMode::Down)
    }

    /// The least whole number that is not below it.
    pub(crate) fn ceiling(&self) -> Numeric {
        self.rounded(0, RoundingMode::Ceiling)
    }

    /// The greatest whole number that is not above it.
    pub(crate) fn floor(&self) -> Numeric {
        self.rounded(0, RoundingMode::Floor)
    }

    fn rounded(&self, scale: i64, mode: RoundingMode) -> Numeric {
        match self {
            Finite(number) => {
                let rounded = number.with_scale_round(scale, mode);
                Finite(if scale < 0 { rounded.with_scale(0) } else { rounded })
            }
            other => other.clone(),
        }
    }

    /// Digits before the point, without leading zeros.
    pub(crate) fn digits_before_point(&self) -> u64 {
        match self {
            Finite(number) => {
                let whole = number.with_scale_round(0, RoundingMode::Down);
                if whole.is_zero() { 0 } else { whole.digits() }
            }
            _ => u64::MAX,
        }
    }

    /// Refuses a number that is too long to be kept.
    pub(crate) fn checked(self) -> Result<Numeric> {
        if let Finite(number) = &self {
            let (digits, scale) = number.as_bigint_and_exponent();
            // A bit is less than a third of a digit.
            let most = (MOST_DIGITS + scale.max(0) as u64) * 10 / 3;
            if scale > 16_383 || digits.bits() > most {
                return Err(overflow());
            }
        }
        Ok(self)
    }

    pub(crate) fn is_zero(&self) -> bool {
        matches!(self, Finite(number) if number.is_zero())
    }

    pub(crate) fn negate(&self) -> Numeric {
        match self {
            Finite(number) => Finite(-number),
            Infinity => NegativeInfinity,
            NegativeInfinity => Infinity,
            NaN => NaN,
        }
    }

    pub(crate) fn add(&self, other: &Numeric) -> Numeric {
        match (self, other) {
            (Finite(one), Finite(other)) => {
                // A zero has a scale, too.
                let scale = one.fractional_digit_count().max(other.fractional_digit_count());
                Finite((one + other).with_scale(scale))
            }
            (NaN, _) | (_, NaN) | (Infinity, NegativeInfinity) | (NegativeInfinity, Infinity) => {
                NaN
            }
            (Infinity, _) | (_, Infinity) => Infinity,
            (NegativeInfinity, _) | (_, NegativeInfinity) => NegativeInfinity,
        }
    }

    pub(crate) fn subtract(&self, other: &Numeric) -> Numeric {
        self.add(&other.negate())
    }

    pub(crate) fn sign(&self) -> i32 {
        match self {
            Finite(number) => number.signum().to_i32().unwrap_or(0),
            Infinity | NaN => 1,
            NegativeInfinity => -1,
        }
    }

    pub(crate) fn multiply(&self, other: &Numeric) -> Numeric {
        match (self, other) {
            (Finite(one), Finite(other)) => {
                let scale = one.fractional_digit_count() + other.fractional_digit_count();
                Finite((one * other).with_scale(scale))
            }
            (NaN, _) | (_, NaN) => NaN,
            _ => match self.sign() * other.sign() {
                0 => NaN,
                1.. => Infinity,
                _ => NegativeInfinity,
            },
        }
    }

    pub(crate) fn divide(&self, other: &Numeric) -> Result<Numeric> {
        match (self, other) {
            (NaN, _) | (_, NaN) => Ok(NaN),
            (_, other) if other.is_zero() => Err(division_by_zero()),
            (Finite(one), Finite(other)) => Ok(Finite(quotient(one, other))),
            (Finite(_), _) => Ok(Numeric::zero()),
            (_, Finite(_)) => {
                Ok(if self.sign() * other.sign() > 0 { Infinity } else { NegativeInfinity })
            }
            _ => Ok(NaN),
        }
    }

    pub(crate) fn remainder(&self, other: &Numeric) -> Result<Numeric> {
        match (self, other) {
            (NaN, _) | (_, NaN) => Ok(NaN),
            (_, other) if other.is_zero() => Err(division_by_zero()),
            (Finite(one), Finite(other)) => {
                let scale = one.fractional_digit_count().max(other.fractional_digit_count());
                Ok(Finite((one % other).with_scale(scale)))
            }
            (Finite(_), _) => Ok(self.clone()),
            _ => Ok(NaN),
        }
    }
}

/// Digits before the point (`NUMERIC_WEIGHT_MAX`).
const MOST_DIGITS: u64 = 131_072;

/// Whether a number is written with an exponent that no number can have.
pub(crate) fn has_far_exponent(text: &str) -> bool {
    let exponent = text.trim().rsplit_once(['e', 'E']).map(|(_, exponent)| exponent);
    let is_far = |exponent: &str| exponent.parse::<i64>().map_or(true, |e| e.abs() > 16_383);
    exponent.is_some_and(|exponent| {
        let digits = exponent.trim_start_matches(['+', '-']);
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && is_far(exponent)
    })
}

/// Ten-thousands before the first one, and that one: `numeric` counts in these.
fn first_digit(number: &BigDecimal) -> (i64, i64) {
    let (digits, scale) = number.as_bigint_and_exponent();
    let digits = digits.abs().to_string();
    if digits == "0" {
        return (0, 0);
    }
    // The power of ten of the first decimal digit.
    let power = digits.len() as i64 - 1 - scale;
    let weight = power.div_euclid(4);
    let wanted = (power.rem_euclid(4) + 1) as usize;
    let first: String = digits.chars().chain(std::iter::repeat('0')).take(wanted).collect();
    (weight, first.parse().unwrap_or(0))
}

/// `select_div_scale` and `div_var`, rounded half away from zero.
fn quotient(one: &BigDecimal, other: &BigDecimal) -> BigDecimal {
    let ((weight_one, first_one), (weight_other, first_other)) =
        (first_digit(one), first_digit(other));
    let mut weight = weight_one - weight_other;
    if first_one <= first_other {
        weight -= 1;
    }
    let scales = [one, other].map(BigDecimal::fractional_digit_count);
    let scale = (SIGNIFICANT - weight * 4).max(scales[0]).max(scales[1]).clamp(0, MOST_SHOWN);
    let (dividend, dividend_scale) = one.as_bigint_and_exponent();
    let (divisor, divisor_scale) = other.as_bigint_and_exponent();
    // The quotient of the digits, with one more than is asked for.
    let shift = scale + 1 - dividend_scale + divisor_scale;
    let power = |exponent: i64| BigInt::from(10).pow(exponent.unsigned_abs() as u32);
    let digits = if shift >= 0 {
        dividend * power(shift) / divisor
    } else {
        dividend / (divisor * power(shift))
    };
    BigDecimal::new(digits, scale + 1).with_scale_round(scale, RoundingMode::HalfUp)
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        let class = |number: &Numeric| match number {
            NegativeInfinity => 0,
            Finite(_) => 1,
            Infinity => 2,
            NaN => 3,
        };
        match (self, other) {
            (Finite(one), Finite(other)) => one.cmp(other),
            _ => class(self).cmp(&class(other)),
        }
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numeric {
    fn eq(&self, other: &Numeric) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Numeric {}

impl Hash for Numeric {
    /// Of a number, whatever its scale.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            NegativeInfinity => 0_u8.hash(state),
            Finite(number) => number.normalized().into_bigint_and_exponent().hash(state),
            Infinity => 2_u8.hash(state),
            NaN => 3_u8.hash(state),
        }
    }
}

/// `numeric_out`
impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NaN => f.write_str("NaN"),
            Infinity => f.write_str("Infinity"),
            NegativeInfinity => f.write_str("-Infinity"),
            Finite(number) => {
                let (digits, scale) = number.as_bigint_and_exponent();
                if digits.sign() == Sign::NoSign && scale > 0 {
                    return write!(f, "0.{}", "0".repeat(scale as usize));
                }
                f.write_str(&number.to_plain_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Numeric {
        Numeric::parse(text).expect("a number")
    }

    // What PostgreSQL 15 says.
    #[test]
    fn results_have_the_digits_of_the_servers() {
        let quotient = |one: &str, other: &str| {
            number(one).divide(&number(other)).map(|quotient| quotient.to_string())
        };
        assert_eq!(quotient("1", "3").as_deref(), Ok("0.33333333333333333333"));
        assert_eq!(quotient("10", "4").as_deref(), Ok("2.5000000000000000"));
        assert_eq!(quotient("2", "3").as_deref(), Ok("0.66666666666666666667"));
        assert_eq!(quotient("100000", "7").as_deref(), Ok("14285.714285714286"));
        assert_eq!(quotient("-1", "3").as_deref(), Ok("-0.33333333333333333333"));
        assert!(quotient("1", "0.0").is_err());
        assert_eq!(number("1.10").add(&number("2")).to_string(), "3.10");
        assert_eq!(number("1.10").multiply(&number("2.0")).to_string(), "2.200");
        assert_eq!(
            number("7.5").remainder(&number("2")).map(|r| r.to_string()).as_deref(),
            Ok("1.5")
        );
        assert_eq!(number("2.5").round(0).to_string(), "3");
        assert_eq!(number("-2.5").round(0).to_string(), "-3");
        assert_eq!(number("1e3").to_string(), "1000");
        assert_eq!(number("0.00").to_string(), "0.00");
        assert!(Numeric::parse("1x").is_none() && Numeric::parse("").is_none());
        assert!(number("NaN") > number("Infinity"));
    }
}
