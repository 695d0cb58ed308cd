//! Memory that the processor fetches while something else is done.
//!
//! Of a page that is in no cache the frame's word, a line pointer and what that leads to are waited for one after the other;
//! pinning is a locked instruction, which nothing behind it goes before. A line pointer's place is known before the page is
//! pinned. Where a page is locked already and several items are wanted, reading a byte of each does the same
//! ([`touch_items`](base::Page::touch_items)).

/// Has the processor fetch the line of its cache that lies so many bytes behind `start`. What is there is not looked at; whether it
/// is fetched changes nothing but the time.
#[inline]
pub(crate) fn fetch<T>(start: &T, behind: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(start).cast::<i8>().wrapping_add(behind);
        // SAFETY: the instruction faults for no address, and changes nothing.
        #[expect(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, behind);
}
