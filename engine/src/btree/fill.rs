//! A page of an index that is being made, filled from its end in place.
//!
//! ```text
//! | header | high key's line pointer | line pointers of entries | free | last entry ... first entry | special |
//! ```
//!
//! The page may turn out to be the rightmost of its level, and the high key's place is given up then. Source: `_bt_buildadd`,
//! `_bt_slideleft` of `nbtsort.c`. Invariants: what is free is zeros; entries lie in the order in which they came, the high key
//! behind them.

use base::page::{
    AddError, LINE_POINTER_SIZE, LinePointer, PAGE_HEADER_SIZE, PageBytes, PageHeader,
};
use base::{PAGE_SIZE, RawPage};

use super::page::{self, Opaque, SPECIAL_SIZE};

/// Where the line pointers of entries begin.
const FIRST_POINTER: usize = PAGE_HEADER_SIZE + LINE_POINTER_SIZE;

/// The page.
#[derive(Debug)]
pub(super) struct FilledPage {
    bytes: Box<PageBytes>,
    /// Entries, the high key not among them.
    count: usize,
    /// Where the last of them begins.
    upper: usize,
}

/// Where the line pointer of an entry is.
fn pointer_place(number: usize) -> usize {
    FIRST_POINTER + number * LINE_POINTER_SIZE
}

impl FilledPage {
    /// Without entries, in this memory.
    pub(super) fn empty(mut bytes: Box<PageBytes>) -> FilledPage {
        bytes.fill(0);
        FilledPage { bytes, count: 0, upper: PAGE_SIZE - SPECIAL_SIZE }
    }

    /// How many entries it has.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    fn unused(&self) -> usize {
        self.upper - pointer_place(self.count)
    }

    /// What one more entry may have (`PageGetFreeSpace`).
    pub(super) fn free_space(&self) -> usize {
        self.unused().saturating_sub(LINE_POINTER_SIZE)
    }

    fn pointer(&self, place: usize) -> LinePointer {
        let bytes = self.bytes[place..].first_chunk().copied();
        LinePointer::from_bytes(bytes.unwrap_or_default())
    }

    /// An entry, counted from 0.
    pub(super) fn entry(&self, number: usize) -> Option<&[u8]> {
        (number < self.count).then(|| {
            let pointer = self.pointer(pointer_place(number));
            &self.bytes[usize::from(pointer.offset())..][..usize::from(pointer.length())]
        })
    }

    /// Puts an item before the others, with this place for its line pointer.
    fn put(&mut self, item: &[u8], place: usize) {
        self.upper -= item.len();
        self.bytes[self.upper..][..item.len()].copy_from_slice(item);
        let pointer = LinePointer::normal(self.upper as u16, item.len() as u16);
        self.bytes[place..][..LINE_POINTER_SIZE].copy_from_slice(&pointer.to_bytes());
    }

    /// Adds an entry, whose length is a multiple of 8.
    ///
    /// # Errors
    /// [`AddError::NoRoom`].
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<(), AddError> {
        let (length, free) = (entry.len(), self.free_space());
        if length > free {
            return Err(AddError::NoRoom { length, free });
        }
        self.put(entry, pointer_place(self.count));
        self.count += 1;
        Ok(())
    }

    /// Takes the last entry off.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        let last = self.count.checked_sub(1)?;
        let entry = self.entry(last)?.to_vec();
        self.bytes[self.upper..][..entry.len()].fill(0);
        self.bytes[pointer_place(last)..][..LINE_POINTER_SIZE].fill(0);
        self.upper += entry.len();
        self.count = last;
        Some(entry)
    }

    /// The page, with this at its end, and with a high key unless it is the rightmost.
    ///
    /// # Errors
    /// [`AddError::NoRoom`] for the high key.
    pub(super) fn finish(
        mut self,
        opaque: &Opaque,
        high_key: Option<&[u8]>,
    ) -> Result<Box<PageBytes>, AddError> {
        let mut lower = pointer_place(self.count);
        match high_key {
            Some(high_key) => {
                let (length, free) = (high_key.len(), self.unused());
                if length > free {
                    return Err(AddError::NoRoom { length, free });
                }
                self.put(high_key, PAGE_HEADER_SIZE);
            }
            None => {
                self.bytes.copy_within(FIRST_POINTER..lower, PAGE_HEADER_SIZE);
                lower -= LINE_POINTER_SIZE;
                self.bytes[lower..][..LINE_POINTER_SIZE].fill(0);
            }
        }
        let header = PageHeader {
            lower: lower as u16,
            upper: self.upper as u16,
            ..PageHeader::empty(SPECIAL_SIZE)
        };
        self.bytes[..PAGE_HEADER_SIZE].copy_from_slice(&header.to_bytes());
        self.bytes[PAGE_SIZE - SPECIAL_SIZE..].copy_from_slice(&opaque.to_bytes());
        debug_assert!(RawPage::new(&self.bytes).validate().is_ok(), "a page");
        debug_assert!(page::Opaque::of(&self.bytes).is_ok_and(|found| found == *opaque));
        Ok(self.bytes)
    }
}
