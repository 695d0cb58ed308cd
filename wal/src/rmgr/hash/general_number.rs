//! Floating-point numbers as C's `%g` prints them, with PostgreSQL's words for what is no number.
//!
//! Source: `fmtfloat` of `port/snprintf.c`. Six significant digits, without zeros at the end; with an
//! exponent of at least two digits where it is below -4 or above 5.

use std::fmt;

/// Prints as `%g`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeneralNumber(pub f64);

impl fmt::Display for GeneralNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GeneralNumber(number) = *self;
        if number.is_nan() {
            return f.write_str("NaN");
        }
        if number.is_sign_negative() {
            f.write_str("-")?;
        }
        if number.is_infinite() {
            return f.write_str("Infinity");
        }
        // Rounding to six digits settles the exponent.
        let rounded = format!("{:.5e}", number.abs());
        let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
        match exponent.parse::<i32>().unwrap_or(0) {
            exponent @ -4..=5 => {
                let decimals = usize::try_from(5 - exponent).unwrap_or(0);
                f.write_str(without_zeros(&format!("{:.decimals$}", number.abs())))
            }
            exponent => {
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(f, "{}e{sign}{:02}", without_zeros(mantissa), exponent.abs())
            }
        }
    }
}

/// Cuts the zeros behind the point, and then the point.
fn without_zeros(digits: &str) -> &str {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::GeneralNumber;

    #[test]
    fn numbers_print_as_in_c() {
        // Right side: printf("%g"), but for the words.
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (123_456.0, "123456"),
            (999_999.0, "999999"),
            (999_999.5, "1e+06"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.23457e+06"),
            (123_456.5, "123456"),
            (0.000_1, "0.0001"),
            (0.000_099_999_95, "0.0001"),
            (0.000_012_345_67, "1.23457e-05"),
            (1e100, "1e+100"),
            (1.5e-300, "1.5e-300"),
            (f64::MAX, "1.79769e+308"),
            (5e-324, "4.94066e-324"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
        ];
        for (number, text) in cases {
            assert_eq!(GeneralNumber(number).to_string(), text);
        }
    }
}
