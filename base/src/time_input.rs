//! Reading a time that a person wrote: the forms of ISO 8601 and RFC 3339 that PostgreSQL prints or takes.
//!
//! `2026-11-20`, `2026-11-20T10:02`, `2026-11-20 10:02:53.123456`, each with or without a zone: `Z`, `UTC`,
//! `+01`, `-0530`, `+05:30`. Without one the time is local, as the process's zone (`TZ`) has it.
//! Invariant: nothing is guessed; what is not of these forms is an error.

use crate::time::{POSTGRES_EPOCH_UNIX_SECONDS, TimestampTz};

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseTimeError {
    /// Not one of the forms.
    #[error(
        "a time is written as in 2026-11-20T10:02:53.5+01:00, or without zone, fraction or time of day"
    )]
    Form,
    /// A field that no calendar or clock has.
    #[error("the {0} is out of range")]
    Range(&'static str),
    /// A local time that the C library cannot place.
    #[error("this local time does not exist")]
    Local,
}

/// The fields of a time before they are put together.
struct Fields {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    micros: i64,
}

impl TimestampTz {
    /// Reads a time; see the forms in this file's head.
    ///
    /// # Errors
    /// Where the text is not of such a form, or names a time that does not exist.
    pub fn parse(text: &str) -> Result<TimestampTz, ParseTimeError> {
        let text = text.trim();
        let (date, rest) = text.split_at_checked(10).ok_or(ParseTimeError::Form)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let mut fields = Fields { year, month, day, hour: 0, minute: 0, second: 0, micros: 0 };
        let mut zone = rest;
        if let Some(clock) = rest.strip_prefix(['T', 't', ' '])
            && clock.starts_with(|first: char| first.is_ascii_digit())
        {
            let end = clock
                .find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')
                .unwrap_or(clock.len());
            read_clock(&clock[..end], &mut fields)?;
            zone = &clock[end..];
        }
        fields.check()?;
        let seconds = match read_zone(zone.trim_start())? {
            Some(east) => fields.utc_seconds() - east,
            None => fields.local_seconds()?,
        };
        let micros = (seconds - POSTGRES_EPOCH_UNIX_SECONDS) * 1_000_000 + fields.micros;
        Ok(TimestampTz(micros))
    }
}

/// Numbers of exactly these many digits, with a separator in between.
fn numbers<const N: usize>(
    text: &str,
    separator: char,
    digits: [usize; N],
) -> Result<[i32; N], ParseTimeError> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next().ok_or(ParseTimeError::Form)?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseTimeError::Form);
        }
        *number = part.parse().map_err(|_| ParseTimeError::Form)?;
    }
    if parts.next().is_some() { Err(ParseTimeError::Form) } else { Ok(numbers) }
}

/// `10:02`, `10:02:53`, `10:02:53.123456`
fn read_clock(text: &str, fields: &mut Fields) -> Result<(), ParseTimeError> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    if whole.len() == 5 && fraction.is_none() {
        [fields.hour, fields.minute] = numbers(whole, ':', [2, 2])?;
        return Ok(());
    }
    [fields.hour, fields.minute, fields.second] = numbers(whole, ':', [2, 2, 2])?;
    if let Some(fraction) = fraction {
        if fraction.is_empty()
            || fraction.len() > 6
            || !fraction.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(ParseTimeError::Form);
        }
        let padded = format!("{fraction:0<6}");
        fields.micros = padded.parse().map_err(|_| ParseTimeError::Form)?;
    }
    Ok(())
}

/// Seconds east of Greenwich; `None` if no zone is given.
fn read_zone(text: &str) -> Result<Option<i64>, ParseTimeError> {
    if text.is_empty() {
        return Ok(None);
    }
    if ["Z", "UTC", "GMT"].iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return Ok(Some(0));
    }
    let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return Err(ParseTimeError::Form),
    };
    let [hours, minutes] = match digits.len() {
        2 => [numbers::<1>(digits, ':', [2])?[0], 0],
        4 if digits.is_ascii() => {
            [numbers::<1>(&digits[..2], ':', [2])?[0], numbers::<1>(&digits[2..], ':', [2])?[0]]
        }
        _ => numbers(digits, ':', [2, 2])?,
    };
    // PostgreSQL's own bound (MAX_TZDISP_HOUR).
    if hours > 15 || minutes > 59 {
        return Err(ParseTimeError::Range("time zone"));
    }
    Ok(Some(sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60)))
}

impl Fields {
    fn check(&self) -> Result<(), ParseTimeError> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            2 => 28 + i32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        for (name, value, range) in [
            ("year", self.year, 1..=9999),
            ("month", self.month, 1..=12),
            ("day", self.day, 1..=days),
            ("hour", self.hour, 0..=23),
            ("minute", self.minute, 0..=59),
            ("second", self.second, 0..=59),
        ] {
            if !range.contains(&value) {
                return Err(ParseTimeError::Range(name));
            }
        }
        Ok(())
    }

    /// Unix seconds, the fields being in UTC. Algorithm: civil date to days (Howard Hinnant,
    /// chrono-compatible date algorithms).
    fn utc_seconds(&self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (month + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        days * 86_400
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
    }

    /// Unix seconds, the fields being in the process's zone.
    #[expect(
        unsafe_code,
        reason = "the C library owns the time zone database and the meaning of TZ"
    )]
    fn local_seconds(&self) -> Result<i64, ParseTimeError> {
        // SAFETY: all-zero is a valid `tm`: integers and a null pointer.
        let mut parts: libc::tm = unsafe { std::mem::zeroed() };
        parts.tm_year = self.year - 1900;
        parts.tm_mon = self.month - 1;
        parts.tm_mday = self.day;
        parts.tm_hour = self.hour;
        parts.tm_min = self.minute;
        parts.tm_sec = self.second;
        parts.tm_isdst = -1; // whichever holds then
        // SAFETY: the pointer is to a live `tm`.
        let seconds = unsafe { libc::mktime(&raw mut parts) };
        // mktime moves a time that a clock change skips; -1 is its error, and the last second of 1969.
        let kept = parts.tm_hour == self.hour && parts.tm_min == self.minute;
        if kept { Ok(seconds) } else { Err(ParseTimeError::Local) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> String {
        TimestampTz::parse(text).expect(text).to_string()
    }

    #[test]
    fn forms_with_a_zone() {
        for text in [
            "2026-11-20T10:02:53Z",
            "2026-11-20 10:02:53 UTC",
            "2026-11-20 10:02:53+00",
            "2026-11-20t11:02:53+01:00",
            "2026-11-20 04:32:53-0530",
            " 2026-11-20 15:32:53.000000+05:30 ",
        ] {
            assert_eq!(utc(text), "2026-11-20T10:02:53.000000Z", "{text}");
        }
        assert_eq!(utc("2026-11-20T10:02:53.5Z"), "2026-11-20T10:02:53.500000Z");
        assert_eq!(utc("2026-11-20T10:02Z"), "2026-11-20T10:02:00.000000Z");
        assert_eq!(utc("2026-11-20Z"), "2026-11-20T00:00:00.000000Z");
    }

    #[test]
    fn without_a_zone_the_time_is_local() {
        let local = TimestampTz::parse("2026-11-20 10:02:53.25").expect("a time");
        let mut text = Vec::new();
        local.push_tool_text(&mut text);
        assert!(text.starts_with(b"2026-11-20 10:02:53.250000"), "{}", text.escape_ascii());
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026",
            "2026-11",
            "20261120",
            "2026-11-20T",
            "2026-11-20T10",
            "2026-11-20T1:02",
            "2026-11-20T10:02:53.",
            "2026-11-20T10:02:53.1234567Z",
            "2026-11-20T10:02:53+1",
            "2026-11-20T10:02:53 CET",
            "2026-11-20x",
            "2026-11-20T10:02.5Z",
            "äöü-äöü-äöü",
            "2026-11-20T10:02:53+ä1",
        ] {
            assert_eq!(TimestampTz::parse(text), Err(ParseTimeError::Form), "{text}");
        }
        for text in [
            "2026-13-01Z",
            "2026-02-29Z",
            "2026-04-31Z",
            "0000-01-01Z",
            "2026-11-20T24:00Z",
            "2026-11-20T10:60Z",
            "2026-11-20T10:02:60Z",
            "2026-11-20T10:02:53+16",
        ] {
            assert!(matches!(TimestampTz::parse(text), Err(ParseTimeError::Range(_))), "{text}");
        }
        assert!(TimestampTz::parse("2024-02-29Z").is_ok());
    }

    proptest! {
        #[test]
        fn reads_back_what_display_prints(micros in -62_000_000_000_000_000i64..250_000_000_000_000_000) {
            let time = TimestampTz(micros);
            prop_assert_eq!(TimestampTz::parse(&time.to_string()), Ok(time));
        }

        #[test]
        fn never_panics(text: String) {
            let _ = TimestampTz::parse(&text);
        }
    }
}
