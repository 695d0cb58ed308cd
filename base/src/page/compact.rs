//! Taking back the room of items that are gone.
//!
//! Invariant: items keep their numbers, and end up in the order of those numbers from `special` downwards,
//! wherever they lay before, as `PageRepairFragmentation` leaves them.

use super::{
    LINE_POINTER_SIZE, LinePointer, PAGE_HEADER_SIZE, PageBytes, PageFlags, PageMut, max_align,
};

/// Items that lie one below the other, in the order of their numbers, and are moved at once.
struct Run {
    /// Where the last of them lies.
    from: u16,
    /// Where it goes.
    to: u16,
    /// Bytes of all of them.
    length: u16,
}

impl Run {
    fn copy(&self, before: &PageBytes, page: &mut PageBytes) {
        if self.from != self.to {
            let [from, to, length] = [self.from, self.to, self.length].map(usize::from);
            page[to..to + length].copy_from_slice(&before[from..from + length]);
        }
    }
}

impl PageMut<'_> {
    /// Moves the items together, cuts unused line pointers off the end, and sets the hint about those that
    /// remain (`PageRepairFragmentation`). A page without items keeps no line pointer that is unused at its end.
    pub fn compact(&mut self) {
        let mut header = self.header();
        let count = usize::from(header.line_pointers());
        // Where the items lay, and their line pointers: what is moved may lie where another belongs.
        let before = *self.bytes_mut();
        let pointers = &before[PAGE_HEADER_SIZE..].as_chunks::<LINE_POINTER_SIZE>().0[..count];
        let mut upper = header.special;
        let (mut last_used, mut unused) = (0, 0u16);
        let mut run = Run { from: upper, to: upper, length: 0 };
        for (number, pointer) in (1..).zip(pointers) {
            let pointer = LinePointer::from_bytes(*pointer);
            if !pointer.is_used() {
                self.put_line_pointer(number, LinePointer::UNUSED);
                unused += 1;
                continue;
            }
            last_used = number;
            if !pointer.has_storage() {
                continue;
            }
            let aligned = max_align(u64::from(pointer.length())) as u16;
            upper -= aligned;
            if pointer.offset() + aligned == run.from {
                run = Run { from: pointer.offset(), to: upper, length: run.length + aligned };
            } else {
                run.copy(&before, self.bytes_mut());
                run = Run { from: pointer.offset(), to: upper, length: aligned };
            }
            if pointer.offset() != upper {
                let (state, length) = (pointer.state(), pointer.length());
                self.put_line_pointer(number, LinePointer::new(state, upper, length));
            }
        }
        run.copy(&before, self.bytes_mut());
        header.upper = upper;
        let cut = header.line_pointers() - last_used;
        header.lower -= cut * LINE_POINTER_SIZE as u16;
        header.flags.set(PageFlags::HAS_FREE_LINES, unused > cut);
        self.set_header(&header);
    }

    /// Cuts unused line pointers off the end, but not the first, and sets the hint about those that remain
    /// (`PageTruncateLinePointerArray`). VACUUM does this, without moving items.
    pub fn truncate_line_pointers(&mut self) {
        let mut header = self.header();
        let last = header.line_pointers();
        let is_unused = |page: &PageMut<'_>, number| {
            page.as_page().line_pointer(number).is_some_and(|pointer| !pointer.is_used())
        };
        let mut kept = last;
        while kept > 1 && is_unused(self, kept) {
            kept -= 1;
        }
        header.lower -= (last - kept) * LINE_POINTER_SIZE as u16;
        let some_unused = (1..=kept).any(|number| is_unused(self, number));
        header.flags.set(PageFlags::HAS_FREE_LINES, some_unused);
        self.set_header(&header);
    }
}

impl PageMut<'_> {
    /// Fills what belongs to nothing with one byte: the free space, and what pads items to a multiple of 8.
    pub fn fill_free_space(&mut self, byte: u8) {
        let header = self.header();
        self.bytes_mut()[usize::from(header.lower)..usize::from(header.upper)].fill(byte);
        for number in 1..=header.line_pointers() {
            let Some(pointer) = self.as_page().line_pointer(number) else { break };
            let end = usize::from(pointer.offset()) + usize::from(pointer.length());
            if pointer.has_storage() {
                self.bytes_mut()[end..max_align(end as u64) as usize].fill(byte);
            }
        }
    }
}
