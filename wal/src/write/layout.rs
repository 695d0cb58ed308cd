//! Positions in the log counted without page headers, and back.
//!
//! ```text
//! log      |long header|.......|header|.......|header|.......|long header|.....
//! usable                0  ...          ...             ...               n
//! ```
//!
//! Of usable positions a record takes exactly its aligned length, so that reserving a place is an addition.
//! A usable position that falls on a page's boundary is two positions in the log: where a record *ends*
//! there is the page's start, where one *starts* there is behind the header. Source: `XLogBytePosToRecPtr`,
//! `XLogBytePosToEndRecPtr`, `XLogRecPtrToBytePos`.
//!
//! Invariant: both ways are inverse for every multiple of 8.

use base::{Lsn, PAGE_SIZE};

use crate::page::{LONG_HEADER_SIZE, SHORT_HEADER_SIZE};

/// Size of a log page in bytes. Small under loom, so that a few records cross several pages.
pub(super) const PAGE: u64 = if cfg!(loom) { 64 } else { PAGE_SIZE as u64 };

const SHORT: u64 = SHORT_HEADER_SIZE as u64;
const LONG: u64 = LONG_HEADER_SIZE as u64;
/// Usable bytes of an ordinary page.
const USABLE: u64 = PAGE - SHORT;
/// Usable bytes of a segment's first page.
const USABLE_FIRST: u64 = PAGE - LONG;

/// How a log's positions are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Size of a segment in bytes, a power of two and a multiple of the page's.
    segment: u64,
    /// Usable bytes of a segment.
    usable: u64,
}

impl Layout {
    pub(super) const fn new(segment: u64) -> Layout {
        assert!(segment.is_power_of_two() && segment >= 2 * PAGE);
        Layout { segment, usable: USABLE_FIRST + (segment / PAGE - 1) * USABLE }
    }

    /// Size of a segment in bytes.
    pub(super) const fn segment(self) -> u64 {
        self.segment
    }

    /// Start of the page of a position.
    pub(super) const fn page_of(at: Lsn) -> Lsn {
        Lsn(at.0 & !(PAGE - 1))
    }

    /// Offset of a position in its page.
    pub(super) const fn offset_in_page(at: Lsn) -> u64 {
        at.0 & (PAGE - 1)
    }

    /// Offset of a position in its segment.
    pub(super) const fn offset_in_segment(self, at: Lsn) -> u64 {
        at.0 & (self.segment - 1)
    }

    /// Size of the header of the page that starts at `page`.
    pub(super) const fn header_size(self, page: Lsn) -> u64 {
        if self.offset_in_segment(page) == 0 { LONG } else { SHORT }
    }

    /// Where a record at this usable position starts.
    #[inline]
    pub(super) const fn start_of(self, usable: u64) -> Lsn {
        let (segment, rest) = (usable / self.usable * self.segment, usable % self.usable);
        if rest < USABLE_FIRST {
            return Lsn(segment + LONG + rest);
        }
        let rest = rest - USABLE_FIRST;
        Lsn(segment + PAGE + rest / USABLE * PAGE + SHORT + rest % USABLE)
    }

    /// Where a record before this usable position ends.
    #[inline]
    pub(super) const fn end_of(self, usable: u64) -> Lsn {
        let start = self.start_of(usable);
        let page = Layout::page_of(start);
        if Layout::offset_in_page(start) == self.header_size(page) { page } else { start }
    }

    /// The usable position of either.
    pub(super) const fn usable_of(self, at: Lsn) -> u64 {
        let whole = at.0 / self.segment * self.usable;
        let in_segment = self.offset_in_segment(at);
        let (page, offset) = (in_segment / PAGE, in_segment % PAGE);
        if page == 0 {
            whole + offset.saturating_sub(LONG)
        } else {
            whole + USABLE_FIRST + (page - 1) * USABLE + offset.saturating_sub(SHORT)
        }
    }

    /// Start of the segment behind the one that holds the byte before `at`, if `at` is not itself one.
    pub(super) const fn next_segment(self, at: Lsn) -> Lsn {
        Lsn(at.0.next_multiple_of(self.segment))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_layout() -> impl Strategy<Value = Layout> {
        (20u32..=30).prop_map(|shift| Layout::new(1 << shift))
    }

    #[test]
    fn at_a_boundary_a_record_ends_before_the_header_and_starts_behind_it() {
        let layout = Layout::new(1 << 24);
        let first = layout.usable_of(Lsn(0x100_0028));
        assert_eq!(layout.start_of(first), Lsn(0x100_0028));
        assert_eq!(layout.end_of(first), Lsn(0x100_0000));
        let second_page = first + 8192 - 40;
        assert_eq!(layout.end_of(second_page), Lsn(0x100_2000));
        assert_eq!(layout.start_of(second_page), Lsn(0x100_2018));
        assert_eq!(layout.usable_of(Lsn(0x100_2000)), second_page);
        assert_eq!(layout.usable_of(Lsn(0x100_2018)), second_page);
        assert_eq!(layout.end_of(second_page + 8), Lsn(0x100_2020));
        assert_eq!(layout.next_segment(Lsn(0x100_0028)), Lsn(0x200_0000));
        assert_eq!(layout.next_segment(Lsn(0x200_0000)), Lsn(0x200_0000));
    }

    proptest! {
        #[test]
        fn usable_positions_round_trip(layout in any_layout(), units in 0u64..1 << 50) {
            let usable = units * 8;
            let (start, end) = (layout.start_of(usable), layout.end_of(usable));
            prop_assert_eq!(layout.usable_of(start), usable);
            prop_assert_eq!(layout.usable_of(end), usable);
            prop_assert!(end <= start && start.0 - end.0 <= LONG);
            let page = Layout::page_of(start);
            prop_assert!(Layout::offset_in_page(start) >= layout.header_size(page));
        }
    }
}
