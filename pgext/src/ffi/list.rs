//! The server's lists (`List`): of nodes and of integers.
#![expect(unsafe_code, reason = "a list is a C struct with an array behind a pointer")]

use std::ffi::{CStr, c_void};

use pgrx::pg_sys;

/// The cells of a list; none for `NIL`.
///
/// # Safety
/// `list` must be `NIL` or a valid list, which nobody changes as long as the cells are used.
unsafe fn cells<'a>(list: *mut pg_sys::List) -> &'a [pg_sys::ListCell] {
    if list.is_null() {
        return &[];
    }
    // SAFETY: as the caller says; `length` cells are at `elements`.
    unsafe {
        let length = usize::try_from((*list).length).unwrap_or(0);
        std::slice::from_raw_parts((*list).elements, length)
    }
}

/// The pointers of a list of nodes.
///
/// # Safety
/// `list` must be `NIL` or a valid list of pointers to `T`, which nobody changes as long as the iterator is used.
pub(crate) unsafe fn pointers<'a, T>(
    list: *mut pg_sys::List,
) -> impl ExactSizeIterator<Item = *mut T> + 'a {
    // SAFETY: as the caller says.
    unsafe { cells(list) }.iter().map(|cell| unsafe { cell.ptr_value }.cast())
}

/// The integers of a list of integers.
///
/// # Safety
/// `list` must be `NIL` or a valid list of integers.
pub(crate) unsafe fn integers(list: *mut pg_sys::List) -> Vec<i32> {
    // SAFETY: as the caller says.
    unsafe { cells(list).iter().map(|cell| cell.int_value).collect() }
}

/// A list of these pointers, in the current memory context.
pub(crate) fn of_pointers<T>(pointers: impl IntoIterator<Item = *mut T>) -> *mut pg_sys::List {
    let mut list = std::ptr::null_mut();
    for pointer in pointers {
        // SAFETY: `list` is NIL or what the last call returned.
        list = unsafe { pg_sys::lappend(list, pointer.cast::<c_void>()) };
    }
    list
}

/// A list of these integers, in the current memory context.
pub(crate) fn of_integers(integers: impl IntoIterator<Item = i32>) -> *mut pg_sys::List {
    let mut list = std::ptr::null_mut();
    for integer in integers {
        // SAFETY: `list` is NIL or what the last call returned.
        list = unsafe { pg_sys::lappend_int(list, integer) };
    }
    list
}

/// The options of a list of `DefElem`, as name and value.
///
/// # Safety
/// `list` must be `NIL` or a valid list of `DefElem` with values, as the server makes of options.
pub(crate) unsafe fn options(list: *mut pg_sys::List) -> Vec<(String, String)> {
    // SAFETY: as the caller says; names and values are strings that end in a zero.
    unsafe {
        pointers::<pg_sys::DefElem>(list)
            .map(|option| {
                let text = |text| CStr::from_ptr(text).to_string_lossy().into_owned();
                (text((*option).defname), text(pg_sys::defGetString(option)))
            })
            .collect()
    }
}
