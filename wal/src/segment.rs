//! Segments: how log positions map to files, and the files' names.
//!
//! A segment's name is 24 upper-case hexadecimal digits: timeline, then the segment number split as
//! (number / segments per 4 GiB, number modulo that). Invariant: a [`SegmentSize`] is a power of two from
//! 1 MiB to 1 GiB, so a position's segment and offset are shifts and masks.

use std::fmt;

use base::Lsn;
use serde::Serialize;

/// Number of a segment from the start of the log's address space.
pub type SegmentNumber = u64;

/// A timeline's id; history branches get higher ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The size of a log's segments: a power of two from 1 MiB to 1 GiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentSize {
    shift: u32,
}

impl SegmentSize {
    /// 16 MiB, what `initdb` chooses.
    pub const DEFAULT: SegmentSize = SegmentSize { shift: 24 };
    /// 1 GiB, the largest.
    pub const MAX: SegmentSize = SegmentSize { shift: 30 };

    /// `None` unless `bytes` is a legal size.
    pub const fn from_bytes(bytes: u64) -> Option<SegmentSize> {
        if bytes.is_power_of_two() && bytes >= 1 << 20 && bytes <= 1 << 30 {
            Some(SegmentSize { shift: bytes.trailing_zeros() })
        } else {
            None
        }
    }

    /// In bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The segment that `lsn` lies in.
    #[inline]
    pub const fn number_of(self, lsn: Lsn) -> SegmentNumber {
        lsn.0 >> self.shift
    }

    /// Offset of `lsn` in its segment, in bytes.
    #[inline]
    pub const fn offset_of(self, lsn: Lsn) -> u64 {
        lsn.0 & (self.bytes() - 1)
    }

    /// First position of segment `number`; wraps for a number beyond the address space.
    #[inline]
    pub const fn start_of(self, number: SegmentNumber) -> Lsn {
        Lsn(number.wrapping_shl(self.shift))
    }

    /// How many segments share the middle eight digits of their names.
    const fn per_log_id(self) -> u64 {
        1 << (32 - self.shift)
    }

    /// The file's name, `000000010000000A000000FE`.
    pub fn file_name(self, timeline: Timeline, number: SegmentNumber) -> String {
        let (high, low) = (number / self.per_log_id(), number % self.per_log_id());
        format!("{:08X}{high:08X}{low:08X}", timeline.0)
    }

    /// The timeline and number that a file's name says: `None` unless it is 24 upper-case hexadecimal
    /// digits. As PostgreSQL does, a last part that is too large for the segment size is taken by value.
    pub fn parse_file_name(self, name: &str) -> Option<(Timeline, SegmentNumber)> {
        let parts = SegmentFileName::parse(name)?;
        Some((parts.timeline, parts.number(self)))
    }
}

/// The three parts of a segment's file name, whatever the size of the segments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentFileName {
    /// First eight digits.
    pub timeline: Timeline,
    /// Middle eight digits: the high half of the positions in it.
    pub log_id: u32,
    /// Last eight digits.
    pub segment: u32,
}

impl SegmentFileName {
    /// From a name of exactly 24 upper-case hexadecimal digits (`IsXLogFileName`).
    pub fn parse(name: &str) -> Option<SegmentFileName> {
        let legal = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
        if name.len() != 24 || !name.bytes().all(legal) {
            return None;
        }
        let part = |range: std::ops::Range<usize>| u32::from_str_radix(&name[range], 16).ok();
        Some(SegmentFileName {
            timeline: Timeline(part(0..8)?),
            log_id: part(8..16)?,
            segment: part(16..24)?,
        })
    }

    /// The segment's number in a log of segments of `size`.
    pub fn number(self, size: SegmentSize) -> SegmentNumber {
        u64::from(self.log_id) * size.per_log_id() + u64::from(self.segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_size() -> impl Strategy<Value = SegmentSize> {
        (20u32..=30).prop_map(|shift| SegmentSize::from_bytes(1 << shift).expect("legal"))
    }

    #[test]
    fn illegal_sizes_are_refused() {
        for bytes in [0, 1, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31, u64::MAX] {
            assert_eq!(SegmentSize::from_bytes(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn names_are_postgresqls() {
        let size = SegmentSize::DEFAULT;
        let number = size.number_of(Lsn(0x16_B374_D848));
        assert_eq!(size.file_name(Timeline(3), number), "0000000300000016000000B3");
        assert_eq!(size.parse_file_name("0000000300000016000000b3"), None);
        assert_eq!(size.parse_file_name("0000000300000016000000B"), None);
    }

    proptest! {
        #[test]
        fn position_is_segment_and_offset(size in any_size(), position: u64) {
            let lsn = Lsn(position);
            let start = size.start_of(size.number_of(lsn));
            prop_assert_eq!(start.0 + size.offset_of(lsn), position);
            prop_assert!(size.offset_of(lsn) < size.bytes());
        }

        #[test]
        fn names_round_trip(size in any_size(), position: u64, timeline: u32) {
            let number = size.number_of(Lsn(position));
            let name = size.file_name(Timeline(timeline), number);
            prop_assert_eq!(size.parse_file_name(&name), Some((Timeline(timeline), number)));
        }

        #[test]
        fn names_sort_as_their_positions_do(size in any_size(), one: u64, other: u64) {
            let name = |position| size.file_name(Timeline(1), size.number_of(Lsn(position)));
            if size.number_of(Lsn(one)) < size.number_of(Lsn(other)) {
                prop_assert!(name(one) < name(other));
            }
        }
    }
}
