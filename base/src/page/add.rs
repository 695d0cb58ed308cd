//! Room for items, and adding one.
//!
//! Invariant: which line pointer an item gets, and what becomes of the hint about free ones, is what
//! `PageAddItemExtended` does: redo on a server must come to the same page.

use super::{
    LINE_POINTER_SIZE, LinePointer, MAX_HEAP_TUPLES_PER_PAGE, Page, PageFlags, PageMut, max_align,
};
use crate::OffsetNumber;

/// Which line pointer a new item gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placement {
    /// The first that is unused if the page hints at such, else a new one.
    Free,
    /// This one, unused or the next new one (`PAI_OVERWRITE`).
    At(OffsetNumber),
    /// This one; it and those behind it move on by one number. Indexes do this.
    Before(OffsetNumber),
}

/// Why an item could not be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddError {
    /// There is no room.
    #[error("an item of {length} bytes does not fit the {free} that are free")]
    NoRoom {
        /// Bytes of the item.
        length: usize,
        /// Bytes between the line pointers and the items.
        free: usize,
    },
    /// The line pointer asked for has an item, or stands for one.
    #[error("line pointer {number} is in use")]
    Used {
        /// The line pointer.
        number: OffsetNumber,
    },
    /// The line pointer asked for lies behind the next new one.
    #[error("line pointer {number} cannot be added, the next is {next}")]
    BehindEnd {
        /// The line pointer.
        number: OffsetNumber,
        /// The one behind the last.
        next: OffsetNumber,
    },
    /// A heap page has no more line pointers.
    #[error("a heap page has no more than {MAX_HEAP_TUPLES_PER_PAGE} line pointers")]
    TooMany,
    /// Line pointer 0, or an item of no bytes.
    #[error("neither line pointer 0 nor an item without bytes can be added")]
    Nothing,
}

impl Page<'_> {
    /// Bytes between line pointers and items (`PageGetExactFreeSpace`).
    #[inline]
    pub fn exact_free_space(&self) -> usize {
        let header = self.header();
        usize::from(header.upper.saturating_sub(header.lower))
    }

    /// Bytes that one more item with a new line pointer can have (`PageGetFreeSpace`).
    #[inline]
    pub fn free_space(&self) -> usize {
        self.exact_free_space().saturating_sub(LINE_POINTER_SIZE)
    }

    /// The same of a heap page, which may have no line pointer left (`PageGetHeapFreeSpace`).
    pub fn heap_free_space(&self) -> usize {
        let has_line_pointer = self.last_offset() < MAX_HEAP_TUPLES_PER_PAGE
            || self.header().flags.contains(PageFlags::HAS_FREE_LINES)
                && self.first_unused().is_some();
        if has_line_pointer { self.free_space() } else { 0 }
    }

    /// The first unused line pointer.
    fn first_unused(&self) -> Option<OffsetNumber> {
        let mut pointers = self.line_pointers();
        pointers.find(|(_, pointer)| !pointer.is_used()).map(|(number, _)| number)
    }
}

impl PageMut<'_> {
    /// Adds a heap tuple (`PageAddItem` with `is_heap`), and gives its line pointer's number.
    ///
    /// # Errors
    /// [`AddError`]; of the page at most the hint about free line pointers has changed.
    pub fn add_heap_tuple(
        &mut self,
        tuple: &[u8],
        placement: Placement,
    ) -> Result<OffsetNumber, AddError> {
        self.add(tuple, placement, MAX_HEAP_TUPLES_PER_PAGE)
    }

    /// Adds an item of an index (`PageAddItem`), and gives its line pointer's number.
    ///
    /// # Errors
    /// As [`PageMut::add_heap_tuple`].
    pub fn add_item(
        &mut self,
        item: &[u8],
        placement: Placement,
    ) -> Result<OffsetNumber, AddError> {
        self.add(item, placement, OffsetNumber::MAX)
    }

    fn add(
        &mut self,
        item: &[u8],
        placement: Placement,
        most: OffsetNumber,
    ) -> Result<OffsetNumber, AddError> {
        if item.is_empty() {
            return Err(AddError::Nothing);
        }
        let next = self.as_page().last_offset() + 1;
        let number = match placement {
            Placement::Free => self.free_number(next),
            Placement::At(number) => {
                let used = |pointer: LinePointer| pointer.is_used() || pointer.has_storage();
                if self.as_page().line_pointer(number).is_some_and(used) {
                    return Err(AddError::Used { number });
                }
                number
            }
            Placement::Before(number) => number,
        };
        if number == 0 {
            return Err(AddError::Nothing);
        }
        if number > next {
            return Err(AddError::BehindEnd { number, next });
        }
        if number > most {
            return Err(AddError::TooMany);
        }
        let shifts = matches!(placement, Placement::Before(_)) && number < next;
        let mut header = self.header();
        let (free, length) = (self.as_page().exact_free_space(), item.len());
        let pointer_size = if number == next || shifts { LINE_POINTER_SIZE } else { 0 };
        let aligned = max_align(length as u64) as usize;
        if pointer_size + aligned > free {
            return Err(AddError::NoRoom { length, free });
        }
        header.lower += pointer_size as u16;
        header.upper -= aligned as u16;
        if shifts {
            let from = super::PAGE_HEADER_SIZE + (usize::from(number) - 1) * LINE_POINTER_SIZE;
            let to = usize::from(header.lower) - LINE_POINTER_SIZE;
            self.bytes_mut().copy_within(from..to, from + LINE_POINTER_SIZE);
        }
        self.put_line_pointer(number, LinePointer::normal(header.upper, length as u16));
        let at = usize::from(header.upper);
        self.bytes_mut()[at..at + length].copy_from_slice(item);
        self.set_header(&header);
        Ok(number)
    }

    /// The first unused line pointer if the hint speaks of one, else the next. A wrong hint is taken back.
    fn free_number(&mut self, next: OffsetNumber) -> OffsetNumber {
        if !self.header().flags.contains(PageFlags::HAS_FREE_LINES) {
            return next;
        }
        let unused = self.as_page().first_unused();
        if unused.is_none() {
            self.set_flags(PageFlags::HAS_FREE_LINES, false);
        }
        unused.unwrap_or(next)
    }
}
