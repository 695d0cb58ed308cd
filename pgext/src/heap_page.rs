//! A copy of a heap page: its line pointers, and the tuples behind them.
//!
//! Invariant: nothing of a page is believed ([`RawPage`]): a line pointer that points out of it, or at what is
//! shorter than a tuple's header, is one without a tuple.

use base::page::LinePointerState;
use base::tuple::TUPLE_HEADER_SIZE;
use base::{HeapTupleHeader, OffsetNumber, PAGE_SIZE, RawPage};

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
    pub(crate) const SIZE: usize = PAGE_SIZE;

    /// A page of zeros.
    pub(crate) fn empty() -> Box<HeapPage> {
        Box::new(HeapPage { bytes: [0; HeapPage::SIZE] })
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn raw(&self) -> RawPage<'_> {
        RawPage::new(&self.bytes)
    }

    /// The number of line pointers; their numbers are from 1 to this.
    pub(crate) fn line_pointers(&self) -> OffsetNumber {
        self.raw().header().line_pointers()
    }

    /// A line pointer; one behind the last is unused.
    pub(crate) fn line_pointer(&self, number: OffsetNumber) -> LinePointer<'_> {
        let Some(pointer) = self.raw().line_pointer(number) else { return LinePointer::Unused };
        match pointer.state() {
            LinePointerState::Unused => LinePointer::Unused,
            LinePointerState::Redirect => LinePointer::Redirect(pointer.offset()),
            LinePointerState::Dead => LinePointer::Dead,
            LinePointerState::Normal => match self.raw().item(pointer) {
                Some(tuple) if tuple.len() >= TUPLE_HEADER_SIZE && pointer.offset() % 8 == 0 => {
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
