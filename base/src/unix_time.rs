//! Time as PostgreSQL's control file and checkpoints store it: whole seconds since 1970-01-01 00:00:00 UTC.
//!
//! Two text forms exist: the one of the C library's `%c` in the C locale and the process's own zone (`TZ`),
//! which PostgreSQL's tools print, and ISO 8601 in UTC for machines.

use std::ffi::CStr;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::time::civil_from_days;

/// Seconds since 1970-01-01 00:00:00 UTC (`pg_time_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// `Fri Nov 20 16:07:20 2026` in the process's zone, as `pg_controldata` prints it under `LC_ALL=C`;
    /// `None` for a year that the C library cannot count, where it prints `???`.
    #[expect(
        unsafe_code,
        reason = "the C library owns the time zone database and the meaning of TZ"
    )]
    pub fn local_text(self) -> Option<String> {
        let mut parts = std::mem::MaybeUninit::<libc::tm>::uninit();
        let mut text = [0_u8; 128];
        // SAFETY: both pointers are to live objects of the right type. What localtime_r could not fill
        // in is not read, for it returns null then. strftime writes within the length that it is told, a
        // terminating zero included, and reads the locale, which nothing in this process sets.
        unsafe {
            if libc::localtime_r(&self.0, parts.as_mut_ptr()).is_null() {
                return None;
            }
            libc::strftime(text.as_mut_ptr().cast(), text.len(), c"%c".as_ptr(), parts.as_ptr());
        }
        let text = CStr::from_bytes_until_nul(&text).ok()?;
        Some(text.to_string_lossy().into_owned())
    }
}

/// ISO 8601 in UTC, `2026-11-20T10:37:20Z`, whatever the process's zone: the form for machines.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Serialized as its text form.
impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_form_is_iso_8601_in_utc() {
        assert_eq!(UnixTime(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(UnixTime(-1).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(UnixTime(1_795_169_240).to_string(), "2026-11-20T10:07:20Z");
    }

    #[test]
    fn extremes_have_a_text_or_none() {
        for seconds in [i64::MIN, i64::MAX] {
            assert!(!UnixTime(seconds).to_string().is_empty());
            assert_eq!(UnixTime(seconds).local_text(), None);
        }
        assert!(UnixTime(1_795_169_240).local_text().is_some_and(|text| text.contains(" 2026")));
    }
}
