//! Times as the server prints them in this session: ISO form, in the session's time zone (`timestamptz_to_str`).
#![expect(unsafe_code, reason = "the server's own function, and its own zone")]

use std::cell::RefCell;
use std::ffi::CStr;

use base::TimestampTz;
use pgrx::pg_sys;
use wal::text::Text;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// ` HH:MM:SS`
const TIME_LENGTH: usize = 9;

/// The text of a second. Commit times of a log come in runs of one second, and asking the server for each costs more than
/// the rest of their record.
#[derive(Debug)]
struct Second {
    /// The zone that it is in, by its address: the server keeps one object a zone.
    zone: usize,
    second: i64,
    text: Vec<u8>,
    /// Where the fraction goes; `None` where there is none, as in `infinity`.
    fraction_at: Option<usize>,
}

thread_local! {
    static LAST: RefCell<Second> =
        const { RefCell::new(Second { zone: 0, second: 0, text: Vec::new(), fraction_at: None }) };
}

/// An empty text for descriptions, with times as the server writes them there.
pub(crate) fn description() -> Text {
    Text::with_times(push)
}

/// Appends a time. Only the backend's own thread may call this.
pub(crate) fn push(time: TimestampTz, out: &mut Vec<u8>) {
    // SAFETY: a pointer that the session sets before it runs anything; it is compared, not followed.
    let zone = unsafe { pg_sys::session_timezone } as usize;
    let second = time.0.div_euclid(MICROS_PER_SECOND);
    let micros = time.0.rem_euclid(MICROS_PER_SECOND);
    LAST.with_borrow_mut(|last| {
        if last.zone != zone || last.second != second || last.fraction_at.is_none() {
            let whole = if is_special(time) { time.0 } else { time.0 - micros };
            last.text = server_text(whole);
            let space = last.text.iter().position(|byte| *byte == b' ');
            last.fraction_at = space.map(|space| space + TIME_LENGTH);
            (last.zone, last.second) = (zone, second);
        }
        match last.fraction_at {
            Some(at) if micros != 0 && at <= last.text.len() && !is_special(time) => {
                let digits = format!("{micros:06}");
                out.extend_from_slice(&last.text[..at]);
                out.push(b'.');
                out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
                out.extend_from_slice(&last.text[at..]);
            }
            _ => out.extend_from_slice(&last.text),
        }
    });
}

fn is_special(time: TimestampTz) -> bool {
    time == TimestampTz::INFINITY || time == TimestampTz::NEGATIVE_INFINITY
}

fn server_text(time: i64) -> Vec<u8> {
    // SAFETY: the function takes any time, and returns a string in its own buffer that is copied at once.
    unsafe { CStr::from_ptr(pg_sys::timestamptz_to_str(time)).to_bytes().to_vec() }
}
