//! What the running server says of itself.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pgrx::pg_sys;

/// The data directory, as an absolute path.
#[expect(unsafe_code)]
pub(crate) fn data_directory() -> PathBuf {
    // SAFETY: a backend has it set before it runs anything, and never changes it.
    let path = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()))
}
