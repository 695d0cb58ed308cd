//! Time as PostgreSQL stores it: microseconds since 2000-01-01 00:00:00 UTC.
//!
//! Three text forms exist: the one of PostgreSQL's command line tools (local time, six digits, the zone's
//! abbreviation), the one of the server (ISO, trailing zeros of the fraction cut, numeric zone), and
//! ISO 8601 in UTC for machines. The zone is the process's own (`TZ`), read once.
//!
//! The tools' form is exact down to what they print before 2000: seconds truncated towards zero, and a
//! signed fraction. Sources: `timestamptz_to_str` of `bin/pg_waldump/compat.c` and of
//! `utils/adt/timestamp.c`.

use std::cell::RefCell;
use std::ffi::CStr;
use std::io::Write as _;

use serde::{Serialize, Serializer};

/// Microseconds since 2000-01-01 00:00:00 UTC (`TimestampTz`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct TimestampTz(pub i64);

/// Seconds from the Unix epoch to PostgreSQL's.
pub const POSTGRES_EPOCH_UNIX_SECONDS: i64 = 946_684_800;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// The first microsecond of Julian day 0, 4714-11-24 BC: the server prints nothing older.
const JULIAN_DAY_ZERO: i64 = -2_451_545 * 86_400 * MICROS_PER_SECOND;
/// `MAXDATELEN`: the tools cut off what is longer, which takes an odd `TZ`.
const MAX_TOOL_LENGTH: usize = 128;

/// The texts of a second: what stands before the fraction, and what behind it.
///
/// Breaking a time down takes the C library's lock and many times as long as copying its texts, and the
/// commit times of a log come in runs of one second. Nothing here is dropped, so that a thread's last
/// second is reached without a check whether it is still there.
struct Second {
    unix_seconds: i64,
    bytes: [u8; 2 * MAX_TOOL_LENGTH],
    before: usize,
    length: usize,
}

/// A second beyond the range of a `TimestampTz`.
const NO_SECOND: Second =
    Second { unix_seconds: i64::MIN, bytes: [0; 2 * MAX_TOOL_LENGTH], before: 0, length: 0 };

thread_local! {
    static LAST_TOOL_SECOND: RefCell<Second> = const { RefCell::new(NO_SECOND) };
    static LAST_SERVER_SECOND: RefCell<Second> = const { RefCell::new(NO_SECOND) };
}

impl Second {
    fn set(&mut self, unix_seconds: i64, before: &[u8], behind: &[u8]) {
        self.unix_seconds = unix_seconds;
        self.before = before.len();
        self.length = before.len() + behind.len();
        self.bytes[..self.before].copy_from_slice(before);
        self.bytes[self.before..self.length].copy_from_slice(behind);
    }

    #[inline]
    fn before(&self) -> &[u8] {
        &self.bytes[..self.before]
    }

    #[inline]
    fn behind(&self) -> &[u8] {
        &self.bytes[self.before..self.length]
    }

    /// `2026-11-20 10:02:53.` and ` CET`.
    #[cold]
    fn set_tool(&mut self, unix_seconds: i64) {
        let parts = local(unix_seconds);
        let mut text = [0; MAX_TOOL_LENGTH + 1];
        let before = format(&mut text, c"%Y-%m-%d %H:%M:%S.", &parts);
        let mut zone = [0; MAX_TOOL_LENGTH + 1];
        let behind = format(&mut zone, c" %Z", &parts);
        self.set(unix_seconds, before, &behind[..behind.len().min(MAX_TOOL_LENGTH)]);
    }

    /// `2026-11-20 10:02:53` and `+01`, `-03:30`, `+00:09:21`; behind a year before 1 also ` BC`.
    #[cold]
    fn set_server(&mut self, unix_seconds: i64) {
        let parts = local(unix_seconds);
        let year = i64::from(parts.tm_year) + 1900;
        let shown_year = if year > 0 { year } else { 1 - year };
        let (month, day) = (parts.tm_mon + 1, parts.tm_mday);
        let (hour, minute, second) = (parts.tm_hour, parts.tm_min, parts.tm_sec);
        let before =
            format!("{shown_year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
        let sign = if parts.tm_gmtoff < 0 { '-' } else { '+' };
        let offset = parts.tm_gmtoff.unsigned_abs();
        let mut behind = format!("{sign}{:02}", offset / 3600);
        if !offset.is_multiple_of(3600) {
            behind.push_str(&format!(":{:02}", offset / 60 % 60));
        }
        if !offset.is_multiple_of(60) {
            behind.push_str(&format!(":{:02}", offset % 60));
        }
        if year <= 0 {
            behind.push_str(" BC");
        }
        self.set(unix_seconds, before.as_bytes(), behind.as_bytes());
    }
}

impl TimestampTz {
    /// `-infinity` (`DT_NOBEGIN`).
    pub const NEGATIVE_INFINITY: TimestampTz = TimestampTz(i64::MIN);
    /// `infinity` (`DT_NOEND`).
    pub const INFINITY: TimestampTz = TimestampTz(i64::MAX);

    /// The Unix second that PostgreSQL's tools attribute this time to: the division truncates towards
    /// zero, as theirs does, also before 2000.
    #[inline]
    pub const fn unix_seconds(self) -> i64 {
        self.0 / MICROS_PER_SECOND + POSTGRES_EPOCH_UNIX_SECONDS
    }

    /// From microseconds since the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> TimestampTz {
        TimestampTz(micros.wrapping_sub(POSTGRES_EPOCH_UNIX_SECONDS * MICROS_PER_SECOND))
    }

    /// From seconds since the Unix epoch (`pg_time_t`); the nearest time where they are out of range.
    pub const fn from_unix_seconds(seconds: i64) -> TimestampTz {
        let seconds = seconds.saturating_sub(POSTGRES_EPOCH_UNIX_SECONDS);
        TimestampTz(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// Appends `2026-11-20 10:02:53.123456 UTC`: what `pg_waldump` and `pg_controldata`'s relatives print
    /// (`timestamptz_to_str` of the front end).
    #[inline]
    pub fn push_tool_text(self, out: &mut Vec<u8>) {
        let start = out.len();
        LAST_TOOL_SECOND.with_borrow_mut(|second| {
            let unix_seconds = self.unix_seconds();
            if second.unix_seconds != unix_seconds {
                second.set_tool(unix_seconds);
            }
            out.extend_from_slice(second.before());
            let micros = self.0 % MICROS_PER_SECOND;
            if micros < 0 {
                // Writing into memory does not fail.
                let _ = write!(out, "{micros:06}");
            } else {
                out.extend_from_slice(&six_digits(micros as u32));
            }
            out.extend_from_slice(second.behind());
        });
        out.truncate(start + MAX_TOOL_LENGTH);
    }

    /// Appends `2026-11-20 10:02:53.1234+00`: what the server prints (`timestamptz_to_str` of the back
    /// end, ISO style, in the time zone of this process).
    #[inline]
    pub fn push_server_text(self, out: &mut Vec<u8>) {
        match self {
            TimestampTz::INFINITY => return out.extend_from_slice(b"infinity"),
            TimestampTz::NEGATIVE_INFINITY => return out.extend_from_slice(b"-infinity"),
            TimestampTz(..JULIAN_DAY_ZERO) => {
                return out.extend_from_slice(b"(timestamp out of range)");
            }
            TimestampTz(_) => {}
        }
        LAST_SERVER_SECOND.with_borrow_mut(|second| {
            let unix_seconds = self.0.div_euclid(MICROS_PER_SECOND) + POSTGRES_EPOCH_UNIX_SECONDS;
            if second.unix_seconds != unix_seconds {
                second.set_server(unix_seconds);
            }
            out.extend_from_slice(second.before());
            let micros = self.0.rem_euclid(MICROS_PER_SECOND);
            if micros != 0 {
                out.push(b'.');
                out.extend_from_slice(without_trailing_zeros(&six_digits(micros as u32)));
            }
            out.extend_from_slice(second.behind());
        });
    }
}

/// The digits of a number below 1,000,000, leading zeros included.
#[inline]
fn six_digits(number: u32) -> [u8; 6] {
    [100_000, 10_000, 1000, 100, 10, 1].map(|unit| b'0' + (number / unit % 10) as u8)
}

fn without_trailing_zeros(digits: &[u8]) -> &[u8] {
    &digits[..digits.iter().rposition(|&digit| digit != b'0').map_or(0, |last| last + 1)]
}

/// A time in the local zone; all zero if its year does not fit, which none of a `TimestampTz` does.
#[expect(unsafe_code, reason = "the C library owns the time zone database and the meaning of TZ")]
fn local(unix_seconds: i64) -> libc::tm {
    let mut parts = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live objects of the right type; all-zero is a valid `tm`, so that the
    // value may be read even if the call fails.
    unsafe {
        libc::localtime_r(&unix_seconds, parts.as_mut_ptr());
        parts.assume_init()
    }
}

/// What `strftime` makes of `pattern`; nothing where that does not fit.
#[expect(unsafe_code, reason = "the tools' form of a year or zone is the C library's")]
fn format<'a>(into: &'a mut [u8], pattern: &CStr, parts: &libc::tm) -> &'a [u8] {
    // SAFETY: the buffer is valid for writes of its length; the pattern ends in a zero; `parts` has valid
    // fields, its zone is null or a string of the C library's zone table, which lives as long as the
    // process does.
    let length =
        unsafe { libc::strftime(into.as_mut_ptr().cast(), into.len(), pattern.as_ptr(), parts) };
    into.get(..length).unwrap_or_default()
}

/// ISO 8601 in UTC with six digits, `2026-11-20T10:02:53.123456Z`, whatever the process's zone: the form
/// for machines. Algorithm: days to civil date (Howard Hinnant, chrono-compatible date algorithms).
impl std::fmt::Display for TimestampTz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.rem_euclid(1_000_000);
        let seconds = self.0.div_euclid(1_000_000) + POSTGRES_EPOCH_UNIX_SECONDS;
        let (days, second_of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (second_of_day / 3600, second_of_day / 60 % 60);
        let second = second_of_day % 60;
        if !(0..=9999).contains(&year) {
            let date = format_args!("{year:04}-{month:02}-{day:02}");
            return write!(f, "{date}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
        }
        // Every commit has a time, and `write!` takes three times as long.
        let mut text = *b"yyyy-mm-ddThh:mm:ss.uuuuuuZ";
        set_digits(&mut text[0..4], year);
        set_digits(&mut text[5..7], month);
        set_digits(&mut text[8..10], day);
        set_digits(&mut text[11..13], hour);
        set_digits(&mut text[14..16], minute);
        set_digits(&mut text[17..19], second);
        set_digits(&mut text[20..26], micros);
        f.write_str(std::str::from_utf8(&text).map_err(|_| std::fmt::Error)?)
    }
}

/// Fills `digits` with those of a number that is not negative and has no more.
#[inline]
fn set_digits(digits: &mut [u8], number: i64) {
    let mut rest = number as u32;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Serialize for TimestampTz {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_form_is_iso_8601_in_utc() {
        assert_eq!(TimestampTz(0).to_string(), "2000-01-01T00:00:00.000000Z");
        assert_eq!(TimestampTz(-1).to_string(), "1999-12-31T23:59:59.999999Z");
        assert_eq!(TimestampTz(848_484_173_000_001).to_string(), "2026-11-20T10:02:53.000001Z");
        assert_eq!(TimestampTz::from_unix_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(
            TimestampTz(8000 * YEAR - 60 * DAY - 1).to_string(),
            "9999-12-31T23:59:59.999999Z"
        );
        assert_eq!(TimestampTz(9000 * YEAR).to_string(), "11000-03-09T00:00:00.000000Z");
        assert_eq!(TimestampTz(-2500 * YEAR).to_string(), "-501-12-13T00:00:00.000000Z");
    }

    /// Runs the check in a process of its own that has `TZ` from its start: the C library reads it once,
    /// and other tests run beside this one. That process is this test again, told by `IN_ZONE`.
    fn in_zone(zone: &str, test: &str, check: fn()) {
        const IN_ZONE: &str = "PGSTRATA_TEST_IN_ZONE";
        if std::env::var_os(IN_ZONE).is_some() {
            return check();
        }
        let program = std::env::current_exe().expect("a test has a program");
        let output = std::process::Command::new(program)
            .args(["--exact", &format!("time::tests::{test}"), "--nocapture"])
            .envs([("TZ", zone), (IN_ZONE, "1")])
            .output()
            .expect("a test can be started");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success() && said.contains("1 passed"), "{zone}: {said}");
    }

    fn tool(micros: i64) -> String {
        let mut text = Vec::new();
        TimestampTz(micros).push_tool_text(&mut text);
        String::from_utf8(text).expect("ASCII")
    }

    fn server(micros: i64) -> String {
        let mut text = Vec::new();
        TimestampTz(micros).push_server_text(&mut text);
        String::from_utf8(text).expect("ASCII")
    }

    const NEWFOUNDLAND: &str = "NST3:30NDT,M3.2.0/2,M11.1.0/2";
    const PARIS_BEFORE_1911: &str = "PMT-0:09:21";
    const YEAR: i64 = 365 * DAY + DAY / 4;
    const DAY: i64 = 86_400_000_000;

    // Expected texts: pg_waldump's own function compiled with this C library, and PostgreSQL 15's
    // timestamptz output with the same TimeZone (Europe/Paris in 1900 for the offset with seconds).

    #[test]
    fn tools_and_server_print_utc() {
        in_zone("UTC", "tools_and_server_print_utc", || {
            assert_eq!(tool(848_484_173_000_001), "2026-11-20 10:02:53.000001 UTC");
            assert_eq!(tool(0), "2000-01-01 00:00:00.000000 UTC");
            // Towards zero: a second too late, and signed.
            assert_eq!(tool(-1), "2000-01-01 00:00:00.-00001 UTC");
            assert_eq!(tool(-1_000_000), "1999-12-31 23:59:59.000000 UTC");
            assert_eq!(tool(-1_123_456), "1999-12-31 23:59:59.-123456 UTC");
            assert_eq!(tool(9000 * YEAR), "11000-03-09 00:00:00.000000 UTC");
            assert_eq!(tool(-1950 * YEAR), "49-12-16 12:00:00.000000 UTC");
            assert_eq!(tool(-2500 * YEAR), "-501-12-13 00:00:00.000000 UTC");
            assert_eq!(tool(i64::MAX), "294277-01-09 04:00:54.775807 UTC");
            assert_eq!(tool(i64::MIN), "-290278-12-22 19:59:06.-775808 UTC");
            assert_eq!(server(848_484_173_000_000), "2026-11-20 10:02:53+00");
            assert_eq!(server(848_484_173_123_400), "2026-11-20 10:02:53.1234+00");
            assert_eq!(server(-1), "1999-12-31 23:59:59.999999+00");
            assert_eq!(server(9000 * YEAR), "11000-03-09 00:00:00+00");
            assert_eq!(server(-1950 * YEAR + 1), "0049-12-16 12:00:00.000001+00");
            assert_eq!(server(-1950 * YEAR), "0049-12-16 12:00:00+00");
            assert_eq!(server(-2500 * YEAR), "0502-12-13 00:00:00+00 BC");
            assert_eq!(server(JULIAN_DAY_ZERO), "4714-11-24 00:00:00+00 BC");
            assert_eq!(server(JULIAN_DAY_ZERO - 1), "(timestamp out of range)");
            assert_eq!(server(i64::MAX), "infinity");
            assert_eq!(server(i64::MIN), "-infinity");
            assert_eq!(server(i64::MAX - 1), "294277-01-09 04:00:54.775806+00");
        });
    }

    #[test]
    fn daylight_saving_changes_zone_and_offset() {
        in_zone(NEWFOUNDLAND, "daylight_saving_changes_zone_and_offset", || {
            assert_eq!(tool(848_484_173_000_001), "2026-11-20 06:32:53.000001 NST");
            assert_eq!(server(848_484_173_000_001), "2026-11-20 06:32:53.000001-03:30");
            assert_eq!(tool(848_484_173_000_001 - 150 * DAY), "2026-06-23 07:32:53.000001 NDT");
            assert_eq!(server(848_484_173_000_001 - 150 * DAY), "2026-06-23 07:32:53.000001-02:30");
            // And back to a second that was printed before.
            assert_eq!(tool(848_484_173_900_000), "2026-11-20 06:32:53.900000 NST");
            assert_eq!(server(JULIAN_DAY_ZERO), "4714-11-23 20:30:00-03:30 BC");
        });
    }

    #[test]
    fn an_offset_may_have_seconds() {
        in_zone(PARIS_BEFORE_1911, "an_offset_may_have_seconds", || {
            assert_eq!(tool(0), "2000-01-01 00:09:21.000000 PMT");
            assert_eq!(server(0), "2000-01-01 00:09:21+00:09:21");
        });
    }

    #[test]
    fn a_long_zone_is_cut_off() {
        in_zone(&format!("<{}>0", "A".repeat(110)), "a_long_zone_is_cut_off", || {
            assert_eq!(tool(0).len(), MAX_TOOL_LENGTH);
        });
    }

    #[test]
    fn extremes_have_a_text() {
        for micros in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
            assert!(!tool(micros).is_empty());
            assert!(!server(micros).is_empty());
            assert!(!TimestampTz(micros).to_string().is_empty());
        }
        assert_eq!(TimestampTz::from_unix_seconds(i64::MIN), TimestampTz::NEGATIVE_INFINITY);
        assert_eq!(TimestampTz::from_unix_seconds(946_684_801), TimestampTz(1_000_000));
    }
}
