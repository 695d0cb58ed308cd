//! The server's own lightweight locks, held shared for as long as shared memory is copied.
//!
//! Invariant: whoever holds one copies into memory that is there already and calls nothing of the server: nothing then
//! allocates, raises an error or looks for interrupts. After an error nothing is released here: the server's clean-up
//! gives back all locks, and counts them itself.

use pgrx::pg_sys;

/// Locks by their numbers, which no major changes (`lwlocklist.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NamedLock {
    /// `ProcArrayLock`
    ProcArray = 4,
}

/// A lock, held shared until this is dropped.
#[derive(Debug)]
pub(crate) struct SharedLock {
    lock: *mut pg_sys::LWLock,
}

impl SharedLock {
    /// Waits for it.
    #[expect(unsafe_code)]
    pub(crate) fn acquire(name: NamedLock) -> SharedLock {
        // SAFETY: the array of the named locks is there once a backend runs, and has an element for each number.
        let lock = unsafe {
            let lock = &raw mut (*pg_sys::MainLWLockArray.add(name as usize)).lock;
            pg_sys::LWLockAcquire(lock, pg_sys::LWLockMode::LW_SHARED);
            lock
        };
        SharedLock { lock }
    }
}

impl Drop for SharedLock {
    #[expect(unsafe_code)]
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: this backend acquired it, once.
            unsafe { pg_sys::LWLockRelease(self.lock) }
        }
    }
}
