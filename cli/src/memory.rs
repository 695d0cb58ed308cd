//! Freed memory goes back to the system.
//!
//! glibc serves a block from the system alone, and gives it back when freed, only above a limit that grows
//! to 32 MB with the first large block freed; what is below stays with the thread that freed it. Decoders
//! of compressed segments take blocks of 1 to 16 MB, so that sixteen threads came to hold 460 MB in this
//! way, and hold 116 MB with a limit that stays.

/// From here on every block of a megabyte or more goes back when it is freed.
#[expect(unsafe_code, reason = "the allocator is set up through C")]
pub(crate) fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt sets a number in the allocator; it may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1024 * 1024);
    }
}
