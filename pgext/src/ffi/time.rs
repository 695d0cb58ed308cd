//! Times as the session shows them.

use std::ffi::CStr;

use base::TimestampTz;
use pgrx::pg_sys;
use wal::text::Text;

/// An empty text for descriptions, with times as the server writes them there: ISO, in the session's time zone.
pub(crate) fn description() -> Text {
    Text::with_times(push)
}

#[expect(unsafe_code)]
fn push(time: TimestampTz, out: &mut Vec<u8>) {
    // SAFETY: the text ends in a zero, and stays in a buffer of the server's until the next call.
    let text = unsafe { CStr::from_ptr(pg_sys::timestamptz_to_str(time.0)) };
    out.extend_from_slice(text.to_bytes());
}
