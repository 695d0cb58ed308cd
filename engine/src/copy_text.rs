//! Rows as PostgreSQL's `COPY` writes them in its text format, so that `psql` can take them in.
//!
//! ```text
//! 4711 TAB t TAB \\xdeadbeef TAB \N TAB a\tb\\c LF
//! ```
//!
//! A line a row, values separated by tabs; `\N` is a null. Within a value, a backslash and six control characters are
//! escaped. Values have the text form of the server: floats with the fewest digits that give the same number back,
//! times as `DateStyle` ISO has them, in the zone of the process. Sources: `copyto.c`, `float8out`, `byteaout`.

use std::io::Write as _;

use crate::heap::{Value, numeric};

/// From 1970-01-01.
const DAYS_TO_2000: i64 = 10_957;

/// Appends a row, its line end included.
pub fn push_row<'v>(values: impl IntoIterator<Item = Value<'v>>, out: &mut Vec<u8>) {
    let mut is_first = true;
    for value in values {
        if !std::mem::take(&mut is_first) {
            out.push(b'\t');
        }
        push_value(&value, out);
    }
    out.push(b'\n');
}

/// Appends a value.
pub fn push_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"\\N"),
        Value::Bool(value) => out.push(if *value { b't' } else { b'f' }),
        Value::Int2(value) => push_number(value, out),
        Value::Int4(value) => push_number(value, out),
        Value::Int8(value) => push_number(value, out),
        Value::Oid(value) => push_number(value, out),
        Value::Float8(value) => push_float(*value, out),
        Value::Text(value) | Value::Bpchar(value) => push_escaped(value.as_bytes(), out),
        Value::Numeric(value) => match numeric::to_text(value) {
            Some(text) => push_number(text, out),
            // No number is written like this, so psql stops at it.
            None => push_number("(damaged numeric)", out),
        },
        Value::Date(value) => push_date(*value, out),
        Value::Bytea(value) => {
            out.extend_from_slice(b"\\\\x");
            value.iter().for_each(|byte| push_hex(*byte, out));
        }
        Value::TimestampTz(value) => value.push_server_text(out),
        Value::Uuid(value) => {
            for (place, byte) in value.iter().enumerate() {
                if matches!(place, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                push_hex(*byte, out);
            }
        }
    }
}

/// A date as `DateStyle` ISO has it; days are counted from 2000-01-01 (`date_out`).
pub fn push_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => return push_number("infinity", out),
        i32::MIN => return push_number("-infinity", out),
        _ => {}
    }
    let (year, month, day) = base::civil_from_days(i64::from(days) + DAYS_TO_2000);
    let (shown, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    push_number(format_args!("{shown:04}-{month:02}-{day:02}{era}"), out);
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn push_number(number: impl std::fmt::Display, out: &mut Vec<u8>) {
    // Memory takes all that is written to it.
    let _ = write!(out, "{number}");
}

fn push_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        let letter = match byte {
            b'\\' => b'\\',
            0x08 => b'b',
            0x0C => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0B => b'v',
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend([b'\\', letter]);
    }
}

/// With an exponent where `printf`'s `%.15g` would have one: below 0.0001, and from 10^15 on.
fn push_float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let name = if value.is_nan() { "NaN" } else { "Infinity" };
        let sign = if value == f64::NEG_INFINITY { "-" } else { "" };
        return push_number(format_args!("{sign}{name}"), out);
    }
    let mut text = format!("{value:e}");
    // As many digits behind the first one as there are, then one more at a time.
    let mut digits_behind = 0;
    loop {
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let power: i32 = power.parse().unwrap_or(0);
        let behind = digits.split_once('.').map_or(0, |(_, behind)| behind.len());
        if is_midway(digits, power - behind as i32, value) {
            digits_behind = digits_behind.max(behind) + 1;
            text = format!("{value:.digits_behind$e}");
        } else if (-4..15).contains(&power) {
            return push_number(value, out);
        } else {
            let sign = if power < 0 { '-' } else { '+' };
            return push_number(format_args!("{digits}e{sign}{:02}", power.abs()), out);
        }
    }
}

/// Whether a decimal, `digits` without the point times ten to `power`, lies as near to another float as to `value`. It
/// may then be the shortest that is read back as `value`, but only by a reader that rounds to even; PostgreSQL does not
/// rely on that (`acceptBounds` in its `d2s.c`).
fn is_midway(digits: &str, power: i32, value: f64) -> bool {
    let digits = digits.bytes().filter(u8::is_ascii_digit);
    let number = digits.fold(0, |number, digit| number * 10 + u128::from(digit - b'0'));
    // An odd 54-bit number times a power of two lies in the middle, which has few factors of five.
    let (Ok(power), true) = (u32::try_from(power), number > 0 && power <= 23) else { return false };
    let product = number * 5_u128.pow(power);
    let twos = product.trailing_zeros();
    let (odd, twos) = (product >> twos, (twos + power) as i32);
    let bits = value.abs().to_bits();
    // A number with a power here is an integer far from the subnormal ones.
    let (mantissa, exponent) = (bits & ((1 << 52) - 1) | 1 << 52, (bits >> 52) as i32 - 1075);
    let mantissa = u128::from(mantissa);
    // Below a power of two the floats lie twice as dense.
    let is_power_of_two = mantissa == 1 << 52;
    exponent - 1 == twos && odd.abs_diff(2 * mantissa) == 1
        || is_power_of_two && exponent - 2 == twos && odd == 4 * mantissa - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line() {
        let mut out = Vec::new();
        let values = [
            Value::Int4(-7),
            Value::Null,
            Value::Text("a\tb\\c\n"),
            Value::Bytea(&[0, 0xAB]),
            Value::Bool(true),
            Value::Uuid(*b"0123456789abcdef"),
            Value::Date(3278),
            Value::Date(-730_122),
            Value::Bpchar("a  "),
        ];
        push_row(values, &mut out);
        push_row([], &mut out);
        let expected = "-7\t\\N\ta\\tb\\\\c\\n\t\\\\x00ab\tt\t30313233-3435-3637-3839-616263646566\t\
             2008-12-22\t0001-12-29 BC\ta  \n\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn floats_have_an_exponent_where_the_servers_have() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (0.0001, "0.0001"),
            (0.000_012, "1.2e-05"),
            (-1e300, "-1e+300"),
            (5e-324, "5e-324"),
            // 4.431588177410946e+16 lies midway to the next one.
            (44_315_881_774_109_456.0, "4.4315881774109456e+16"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            let mut out = Vec::new();
            push_value(&Value::Float8(value), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
