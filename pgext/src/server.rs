//! What the running server says of itself: where its data lie, how far its log is written, on which timeline; and the
//! check for cancellation.

use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use base::Lsn;
use pgrx::pg_sys;
use wal::segment::{SegmentNumber, SegmentSize, Timeline};

/// The data directory, as an absolute path.
#[expect(unsafe_code)]
pub(crate) fn data_directory() -> PathBuf {
    // SAFETY: a backend has it set before it runs anything, and never changes it.
    let path = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes()))
}

/// How far the log may be read: what is flushed or, in recovery, replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownEnd {
    /// The end of the last record that may be read.
    pub(crate) lsn: Lsn,
    /// The timeline that is written, or was replayed last.
    pub(crate) timeline: Timeline,
}

/// The log's end, as of now.
#[expect(unsafe_code)]
pub(crate) fn known_end() -> KnownEnd {
    let mut timeline = 0;
    // SAFETY: both functions write to the pointer, which is to a local of the right type; GetFlushRecPtr is called outside
    // recovery alone, which never begins again.
    let lsn = unsafe {
        if pg_sys::RecoveryInProgress() {
            pg_sys::GetXLogReplayRecPtr(&raw mut timeline)
        } else {
            pg_sys::GetFlushRecPtr(&raw mut timeline)
        }
    };
    KnownEnd { lsn: Lsn(lsn), timeline: Timeline(timeline) }
}

/// Whose rights count now.
#[expect(unsafe_code)]
pub(crate) fn current_user() -> pg_sys::Oid {
    // SAFETY: it reads the session's state.
    unsafe { pg_sys::GetUserId() }
}

/// The size of this server's segments; `None` for one that no server has.
#[expect(unsafe_code)]
pub(crate) fn segment_size() -> Option<SegmentSize> {
    // SAFETY: it is set from the control file when the server starts, and never changes.
    let bytes = unsafe { pg_sys::wal_segment_size };
    SegmentSize::from_bytes(u64::try_from(bytes).ok()?)
}

/// What tells this cluster from all others.
#[expect(unsafe_code)]
pub(crate) fn system_identifier() -> u64 {
    // SAFETY: it reads the backend's copy of the control file, which is there once a backend runs.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// The highest segment that this server has removed or begun to use again since it was started; 0 for none.
#[expect(unsafe_code)]
pub(crate) fn last_removed_segment() -> SegmentNumber {
    // SAFETY: it reads shared memory under its lock.
    unsafe { pg_sys::XLogGetLastRemovedSegno() }
}

/// `max_parallel_workers_per_gather`: how many helpers a part of a query may have.
#[expect(unsafe_code)]
pub(crate) fn parallel_workers_per_gather() -> usize {
    // SAFETY: a setting, which only this backend changes.
    usize::try_from(unsafe { pg_sys::max_parallel_workers_per_gather }).unwrap_or(0)
}

/// Whether somebody wants this query to end: cheap enough for every record.
#[expect(unsafe_code)]
#[inline]
pub(crate) fn is_interrupted() -> bool {
    // SAFETY: a flag that signal handlers set; the volatile read is what C does with it.
    unsafe { (&raw const pg_sys::InterruptPending).read_volatile() != 0 }
}

/// `CHECK_FOR_INTERRUPTS`: raises the error if somebody wants this query to end.
#[expect(unsafe_code)]
#[inline]
pub(crate) fn check_for_interrupts() {
    if is_interrupted() {
        // SAFETY: a backend may do this wherever it holds no lock; the error unwinds as a panic.
        unsafe { pg_sys::ProcessInterrupts() }
    }
}

/// For how many transactions longer than anyone asks for rows are kept; 16 dropped the setting.
#[cfg(feature = "pg15")]
#[expect(unsafe_code)]
pub(crate) fn vacuum_defer_cleanup_age() -> u32 {
    // SAFETY: a setting, which this backend alone changes.
    u32::try_from(unsafe { pg_sys::vacuum_defer_cleanup_age }).unwrap_or(0)
}

/// For how many transactions longer than anyone asks for rows are kept: 16 dropped the setting.
#[cfg(not(feature = "pg15"))]
pub(crate) fn vacuum_defer_cleanup_age() -> u32 {
    0
}
