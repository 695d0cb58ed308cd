//! Taking back the room of items that are gone.
//!
//! Invariant: items keep their numbers, and end up in the order of those numbers from `special` downwards,
//! wherever they lay before, as `PageRepairFragmentation` leaves them.

use super::{LINE_POINTER_SIZE, LinePointer, PageFlags, PageMut, max_align};

impl PageMut<'_> {
    /// Moves the items together, cuts unused line pointers off the end, and sets the hint about those that
    /// remain (`PageRepairFragmentation`). A page without items keeps no line pointer that is unused at its end.
    pub fn compact(&mut self) {
        let mut header = self.header();
        let special = header.special;
        let (mut upper, mut in_place) = (special, true);
        // The items, copied where the first of them has to move; the moved ones are read from there.
        let mut before = [0; crate::PAGE_SIZE];
        let (mut last_used, mut unused) = (0, 0u16);
        for number in 1..=header.line_pointers() {
            let Some(pointer) = self.as_page().line_pointer(number) else { break };
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
            let is_there = pointer.offset() + aligned == upper;
            if in_place && !is_there {
                in_place = false;
                let rest = usize::from(header.upper)..usize::from(upper);
                before[rest.clone()].copy_from_slice(&self.bytes_mut()[rest]);
            }
            upper -= aligned;
            if !in_place {
                let from = usize::from(pointer.offset());
                let item = &before[from..from + usize::from(aligned)];
                let to = usize::from(upper);
                self.bytes_mut()[to..to + usize::from(aligned)].copy_from_slice(item);
                let (state, length) = (pointer.state(), pointer.length());
                self.put_line_pointer(number, LinePointer::new(state, upper, length));
            }
        }
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
