//! A copy of a heap page: its line pointers, and the tuples behind them.
//!
//! ```text
//! byte 0                24                    lower          upper        special   8192
//!      | page header    | line pointers, 4 each | free space | tuples     | none    |
//! line pointer, 32 bits from the lowest:  offset (15)  state (2)  length (15)
//! ```
//!
//! Invariant: nothing of a page is believed: a line pointer that points out of it is one without a tuple.
//! Source: `storage/bufpage.h`, `storage/itemid.h`.

use base::tuple::TUPLE_HEADER_SIZE;
use base::{HeapTupleHeader, OffsetNumber};

/// The bytes, aligned as the server aligns a page.
#[repr(C, align(8))]
#[derive(Debug, Clone)]
pub(crate) struct HeapPage {
    bytes: [u8; HeapPage::SIZE],
}

/// What a line pointer points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinePointer<'p> {
    /// Nothing; free.
    Unused,
    /// Another line pointer of the page: the version that it pointed at was pruned, and a heap-only one follows.
    Redirect(OffsetNumber),
    /// Nothing any more; an index may still point here.
    Dead,
    /// A tuple, header and all.
    Normal(&'p [u8]),
    /// What lies outside of the page, or is no tuple.
    Damaged,
}

impl HeapPage {
    /// Bytes of a page: no other size is built.
    pub(crate) const SIZE: usize = 8192;
    const HEADER_SIZE: usize = 24;

    /// A page of zeros.
    pub(crate) fn empty() -> Box<HeapPage> {
        Box::new(HeapPage { bytes: [0; HeapPage::SIZE] })
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The number of line pointers; their numbers are from 1 to this.
    pub(crate) fn line_pointers(&self) -> OffsetNumber {
        let lower = usize::from(u16::from_le_bytes([self.bytes[12], self.bytes[13]]));
        let bytes = lower.min(HeapPage::SIZE).saturating_sub(HeapPage::HEADER_SIZE);
        (bytes / 4) as OffsetNumber
    }

    /// A line pointer; one behind the last is unused.
    pub(crate) fn line_pointer(&self, number: OffsetNumber) -> LinePointer<'_> {
        if number == 0 || number > self.line_pointers() {
            return LinePointer::Unused;
        }
        let at = HeapPage::HEADER_SIZE + (usize::from(number) - 1) * 4;
        let word = self.bytes[at..at + 4].iter().rev().fold(0, |word, b| word << 8 | u32::from(*b));
        let (offset, length) = ((word & 0x7FFF) as usize, (word >> 17) as usize);
        match word >> 15 & 3 {
            0 => LinePointer::Unused,
            2 => LinePointer::Redirect(offset as OffsetNumber),
            3 => LinePointer::Dead,
            _ => match self.bytes.get(offset..offset + length) {
                Some(tuple) if length >= TUPLE_HEADER_SIZE && offset % 8 == 0 => {
                    LinePointer::Normal(tuple)
                }
                _ => LinePointer::Damaged,
            },
        }
    }

    /// All line pointers with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (OffsetNumber, LinePointer<'_>)> {
        (1..=self.line_pointers()).map(|number| (number, self.line_pointer(number)))
    }
}

/// The header at the beginning of a tuple that [`HeapPage::line_pointer`] gave.
pub(crate) fn header_of(tuple: &[u8]) -> HeapTupleHeader {
    tuple.first_chunk().map_or_else(HeapTupleHeader::default, HeapTupleHeader::from_bytes)
}
