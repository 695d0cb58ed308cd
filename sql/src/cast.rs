//! Text made values of a type, and values of one type made those of another.
//!
//! Invariant: what a cast gives is of the type that it was asked for, within its modifier. Sources: the input functions of
//! the types, `pg_cast.dat`.

use base::{Tid, TimestampTz};

use crate::error::{Result, SqlError};
use crate::numeric::{Numeric, has_far_exponent, overflow};
use crate::types::{Datum, Modifier, Type};

const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

fn invalid(of: Type, text: &str) -> SqlError {
    let code = match of {
        Type::Date | Type::TimestampTz | Type::Timestamp => "22007",
        _ => "22P02",
    };
    SqlError::new(code, format!("invalid input syntax for type {}: \"{text}\"", of.name()))
}

/// Numbers that are no date are out of range, and something else is none at all.
fn no_date(of: Type, text: &str) -> SqlError {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if parts.len() == 3 && parts.iter().all(is_number) {
        let message = format!("date/time field value out of range: \"{text}\"");
        return SqlError::new("22008", message);
    }
    invalid(of, text)
}

fn out_of_range(of: Type) -> SqlError {
    SqlError::new("22003", format!("{} out of range", of.name()))
}

/// The value that a text stands for.
pub(crate) fn input(text: &str, of: Type) -> Result<Datum> {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace());
    Ok(match of {
        Type::Unknown | Type::Text | Type::Varchar | Type::Bpchar => Datum::Text(text.to_owned()),
        Type::PgSnapshot => Datum::Text(crate::function::snapshot::input(text)?.to_string()),
        Type::Bool => Datum::Bool(boolean(trimmed).ok_or_else(|| invalid(of, text))?),
        Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid | Type::Xid | Type::Xid8 => {
            let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid(of, text));
            }
            let refuse = || {
                let message = format!("value \"{text}\" is out of range for type {}", of.name());
                SqlError::new("22003", message)
            };
            let number = trimmed.parse::<i64>().map_err(|_| refuse())?;
            narrow(number, of).map_err(|_| refuse())?
        }
        Type::Float8 => {
            let lower = trimmed.to_ascii_lowercase();
            let is_word =
                matches!(lower.trim_start_matches(['+', '-']), "nan" | "infinity" | "inf");
            let is_number = lower.ends_with(|c: char| c.is_ascii_digit() || c == '.');
            let value: Option<f64> = lower.parse().ok().filter(|_| is_word || is_number);
            let value = value.ok_or_else(|| invalid(of, text))?;
            let has_digit = || {
                lower
                    .split('e')
                    .next()
                    .is_some_and(|digits| digits.contains(|c| ('1'..='9').contains(&c)))
            };
            if !is_word && (value.is_infinite() || value == 0.0 && has_digit()) {
                let message = format!("\"{trimmed}\" is out of range for type double precision");
                return Err(SqlError::new("22003", message));
            }
            Datum::Float8(value)
        }
        Type::Numeric if has_far_exponent(text) => return Err(overflow()),
        Type::Numeric => {
            Datum::Numeric(Numeric::parse(text).ok_or_else(|| invalid(of, text))?.checked()?)
        }
        Type::Date => Datum::Date(date(trimmed).ok_or_else(|| no_date(of, text))?),
        Type::TimestampTz => match trimmed.to_ascii_lowercase().as_str() {
            "infinity" => Datum::TimestampTz(i64::MAX),
            "-infinity" => Datum::TimestampTz(i64::MIN),
            "epoch" => Datum::TimestampTz(TimestampTz::from_unix_seconds(0).0),
            _ => Datum::TimestampTz(TimestampTz::parse(trimmed).map_err(|_| invalid(of, text))?.0),
        },
        Type::Timestamp => match input(text, Type::TimestampTz) {
            Ok(Datum::TimestampTz(micros)) => Datum::Timestamp(micros),
            _ => return Err(no_date(of, text)),
        },
        Type::Uuid => Datum::Uuid(uuid(trimmed).ok_or_else(|| invalid(of, text))?),
        Type::Bytea => Datum::Bytea(bytea(text).ok_or_else(|| invalid(of, text))?),
        Type::Tid => Datum::Tid(tid(trimmed).ok_or_else(|| invalid(of, text))?),
        Type::Void | Type::Regclass | Type::Record => {
            return Err(SqlError::not_supported(format!("text of type {}", of.name())));
        }
    })
}

/// `parse_bool`: any beginning of a word that no other has.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let begins = |word: &str, shortest: usize| text.len() >= shortest && word.starts_with(&text);
    if begins("true", 1) || begins("yes", 1) || text == "on" || text == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

fn date(text: &str) -> Option<i32> {
    match text.to_ascii_lowercase().as_str() {
        "infinity" => return Some(i32::MAX),
        "-infinity" => return Some(i32::MIN),
        "epoch" => return Some(-10_957),
        _ => {}
    }
    let midnight = TimestampTz::parse(&format!("{}T00:00Z", text.get(..10)?)).ok()?;
    // A time of day is read and left out.
    TimestampTz::parse(text).ok()?;
    i32::try_from(midnight.0.div_euclid(MICROSECONDS_A_DAY)).ok()
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let inner = text.strip_prefix('{').map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    let digits: String = inner.chars().filter(|c| *c != '-').collect();
    hex(&digits)?.try_into().ok()
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (0..digits.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>().filter(|_| is_plain)
}

/// `byteain`: hexadecimal behind `\x`, or text with `\\` and octal `\nnn`.
fn bytea(text: &str) -> Option<Vec<u8>> {
    if let Some(digits) = text.strip_prefix("\\x") {
        return hex(&digits.replace(|c: char| c.is_ascii_whitespace(), ""));
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
        } else if let Some(behind) = rest.strip_prefix(b"\\") {
            bytes.push(b'\\');
            rest = behind;
        } else {
            let octal = std::str::from_utf8(rest.get(..3)?).ok()?;
            bytes.push(u8::from_str_radix(octal, 8).ok()?);
            rest = &rest[3..];
        }
    }
    Some(bytes)
}

fn tid(text: &str) -> Option<Tid> {
    let (block, offset) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some(Tid { block: block.parse().ok()?, offset: offset.parse().ok()? })
}

/// A whole number in the width of a type.
fn narrow(value: i64, to: Type) -> Result<Datum> {
    let refuse = |_| out_of_range(to);
    Ok(match to {
        Type::Int2 => Datum::Int2(i16::try_from(value).map_err(refuse)?),
        Type::Int4 => Datum::Int4(i32::try_from(value).map_err(refuse)?),
        Type::Oid | Type::Xid | Type::Regclass => {
            let refuse = |_| SqlError::new("22003", "OID out of range");
            Datum::Oid(u32::try_from(value).map_err(refuse)?)
        }
        _ => Datum::Int8(value),
    })
}

/// A value made one of another type.
pub(crate) fn cast(value: &Datum, from: Type, to: Type) -> Result<Datum> {
    if value.is_null() || from == to {
        return Ok(value.clone());
    }
    if let Some(number) = value.int() {
        return Ok(match to {
            Type::Numeric => Datum::Numeric(Numeric::from_int(number)),
            Type::Float8 => Datum::Float8(number as f64),
            Type::Bool => Datum::Bool(number != 0),
            to if to.is_string() => Datum::Text(value.text().unwrap_or_default()),
            // Of the same width, they are taken as they are.
            Type::Oid | Type::Regclass if matches!(from, Type::Int2 | Type::Int4) => {
                Datum::Oid(number as u32)
            }
            Type::Int4 if matches!(from, Type::Oid | Type::Regclass) => Datum::Int4(number as i32),
            to => narrow(number, to)?,
        });
    }
    Ok(match (value, to) {
        (Datum::Numeric(number), to) if to.is_integer() => {
            if matches!(number, Numeric::NaN | Numeric::Infinity | Numeric::NegativeInfinity) {
                let what = if *number == Numeric::NaN { "NaN" } else { "infinity" };
                let message = format!("cannot convert {what} to {}", to.name());
                return Err(SqlError::new("0A000", message));
            }
            narrow(number.to_int().ok_or_else(|| out_of_range(to))?, to)?
        }
        (Datum::Numeric(number), Type::Float8) => Datum::Float8(number.to_float()),
        (Datum::Float8(number), Type::Numeric) => {
            Datum::Numeric(Numeric::from_float(*number).ok_or_else(|| out_of_range(to))?)
        }
        (Datum::Float8(number), to) if to.is_integer() => {
            let rounded = number.round_ties_even();
            if !(-9.223_372_036_854_775e18..9.223_372_036_854_775e18).contains(&rounded) {
                return Err(out_of_range(to));
            }
            narrow(rounded as i64, to)?
        }
        (Datum::Bool(value), Type::Int4) => Datum::Int4(i32::from(*value)),
        (Datum::Bool(value), to) if to.is_string() => {
            Datum::Text(if *value { "true" } else { "false" }.to_owned())
        }
        (Datum::Date(days), Type::TimestampTz | Type::Timestamp) => {
            let mut text = Vec::new();
            engine::copy_text::push_date(*days, &mut text);
            return input(&String::from_utf8_lossy(&text), to);
        }
        (Datum::TimestampTz(micros), Type::Timestamp) => Datum::Timestamp(*micros),
        (Datum::Timestamp(micros), Type::TimestampTz) => Datum::TimestampTz(*micros),
        (Datum::TimestampTz(_) | Datum::Timestamp(_), Type::Date) => {
            let text = value.text().unwrap_or_default();
            return input(text.get(..10).unwrap_or(&text), Type::Date);
        }
        (Datum::Text(text), to) if to.is_string() => {
            // The blanks of char(n) are no part of a text.
            let is_padded = from == Type::Bpchar && to != Type::Bpchar;
            Datum::Text(if is_padded { text.trim_end_matches(' ') } else { text }.to_owned())
        }
        (Datum::Text(text), to) => input(text, to)?,
        (value, to) if to.is_string() => Datum::Text(value.text().unwrap_or_default()),
        _ => return Err(cannot_cast(from, to)),
    })
}

pub(crate) fn cannot_cast(from: Type, to: Type) -> SqlError {
    let message = format!("cannot cast type {} to {}", from.name(), to.name());
    SqlError::new("42846", message)
}

/// Whether there is a cast, if it is asked for (`CAST`).
pub(crate) fn is_castable(from: Type, to: Type) -> bool {
    let is_text = |of: Type| of.is_string() || of == Type::Unknown;
    let is_int = |of: Type| of.is_integer() || matches!(of, Type::Oid | Type::Regclass);
    from == to
        || is_text(from) && to != Type::Void && to != Type::Record
        || is_text(to) && from != Type::Void
        || from.is_number() && to.is_number()
        || is_int(from) && is_int(to)
        || matches!((from, to), (Type::Int4, Type::Bool) | (Type::Bool, Type::Int4))
        || is_time(from) && is_time(to)
}

/// Whether a value may be stored in a column of another type without a cast in the statement (`COERCION_ASSIGNMENT`).
pub(crate) fn is_assignable(from: Type, to: Type) -> bool {
    from == to
        || from == Type::Unknown && to != Type::Void
        || to.is_string() && from != Type::Void
        || from.is_number() && to.is_number()
        || is_time(from) && is_time(to)
        || matches!(from, Type::Oid | Type::Regclass) && matches!(to, Type::Int4 | Type::Int8)
        || is_implicit(from, to)
}

fn is_time(of: Type) -> bool {
    matches!(of, Type::Date | Type::Timestamp | Type::TimestampTz)
}

/// Whether a value becomes one of another type by itself (`COERCION_IMPLICIT`).
pub(crate) fn is_implicit(from: Type, to: Type) -> bool {
    let width = |of: Type| match of {
        Type::Int2 => 1,
        Type::Int4 => 2,
        Type::Int8 => 3,
        Type::Numeric => 4,
        Type::Float8 => 5,
        _ => 0,
    };
    from == to
        || from == Type::Unknown && to != Type::Void
        || from.is_string() && to.is_string()
        || from.is_number() && to.is_number() && width(from) < width(to)
        || from.is_integer() && matches!(to, Type::Oid | Type::Regclass)
        || matches!(
            (from, to),
            (Type::Date, Type::Timestamp | Type::TimestampTz)
                | (Type::Timestamp, Type::TimestampTz)
                | (Type::Regclass, Type::Oid)
                | (Type::Oid, Type::Regclass)
        )
}

/// Fits a value to what its column's type is told besides; `is_explicit` of a cast, which cuts off silently.
pub(crate) fn apply(
    value: Datum,
    of: Type,
    modifier: Modifier,
    is_explicit: bool,
) -> Result<Datum> {
    match (value, modifier) {
        (Datum::Text(text), Modifier::Length(length)) => {
            let count = text.chars().count();
            if count > length {
                let at = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
                if !is_explicit && text[at..].contains(|c| c != ' ') {
                    let name = if of == Type::Bpchar { "character" } else { "character varying" };
                    let message = format!("value too long for type {name}({length})");
                    return Err(SqlError::new("22001", message));
                }
                return Ok(Datum::Text(text[..at].to_owned()));
            }
            if of == Type::Bpchar {
                return Ok(Datum::Text(format!("{text}{}", " ".repeat(length - count))));
            }
            Ok(Datum::Text(text))
        }
        (Datum::Numeric(number), Modifier::Digits { precision, scale }) => {
            let rounded = number.round(i64::from(scale));
            let before = i64::from(precision) - i64::from(scale);
            if !matches!(rounded, Numeric::NaN)
                && !rounded.is_zero()
                && i64::try_from(rounded.digits_before_point()).unwrap_or(i64::MAX) > before
            {
                let detail = format!(
                    "A field with precision {precision}, scale {scale} must round to an absolute value less than {}.",
                    if before == 0 { "1".to_owned() } else { format!("10^{before}") }
                );
                return Err(SqlError::new("22003", "numeric field overflow").detail(detail));
            }
            Ok(Datum::Numeric(rounded))
        }
        (value, _) => Ok(value),
    }
}
