//! Memory for the frames in large pages, where the kernel has them: a page that is read anywhere in the pool then seldom costs
//! a walk through the tables of memory.
//!
//! Source: `madvise(2)`, `MADV_HUGEPAGE`.

use rustix::mm::{Advice, madvise};

/// Bytes of a large page.
const LARGE: usize = 2 << 20;

/// Room for so many, not used yet, which the kernel is asked to put into large pages. That it does not is no error.
pub(super) fn room<T>(count: usize) -> Vec<T> {
    let mut room = Vec::with_capacity(count);
    let whole: &mut [std::mem::MaybeUninit<T>] = room.spare_capacity_mut();
    let size = size_of_val(whole);
    let start = whole.as_mut_ptr().cast::<u8>();
    let skipped = start.addr().next_multiple_of(LARGE) - start.addr();
    let size = size.saturating_sub(skipped) / LARGE * LARGE;
    if size > 0 {
        // SAFETY: the bytes lie within memory that this vector alone has, and the advice changes nothing of what they are.
        #[expect(unsafe_code)]
        let _ = unsafe { madvise(start.add(skipped).cast(), size, Advice::LinuxHugepage) };
    }
    room
}
