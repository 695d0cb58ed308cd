//! Rust values that the server keeps for us: owned by a memory context, and dropped when that goes, whether the query ends
//! well or in an error.
#![expect(unsafe_code, reason = "the server holds the value behind an untyped pointer")]

use std::ffi::c_void;

use pgrx::pg_sys;

/// Gives a value to a memory context. The pointer is good until the context is reset or deleted.
pub(crate) fn give<T>(value: T, context: pg_sys::MemoryContext) -> *mut T {
    unsafe extern "C-unwind" fn drop_value<T>(value: *mut c_void) {
        // A panic must not leave: the server is tidying up.
        let _ = std::panic::catch_unwind(|| {
            // SAFETY: the pointer is that of `Box::into_raw` below, and the server calls this once.
            drop(unsafe { Box::from_raw(value.cast::<T>()) });
        });
    }
    let size = size_of::<pg_sys::MemoryContextCallback>();
    // SAFETY: the callback lives in the context that calls it. It is allocated first: an error there leaks nothing.
    unsafe {
        let callback = pg_sys::MemoryContextAlloc(context, size);
        let callback = callback.cast::<pg_sys::MemoryContextCallback>();
        let value = Box::into_raw(Box::new(value));
        (*callback).func = Some(drop_value::<T>);
        (*callback).arg = value.cast();
        pg_sys::MemoryContextRegisterResetCallback(context, callback);
        value
    }
}
