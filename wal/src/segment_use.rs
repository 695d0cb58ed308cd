//! How far a segment's file has been written, and what a recycled one still holds.
//!
//! ```text
//! full        |hhhhhhhhhhhhhhhhhhhhhhhhhhhhhh|
//! switched    |hhhhhhhhhhhhh_________________|   _ pages with a header and nothing behind it
//! in use      |hhhhhhhhhhhhhoooooooooooooooooo|   o pages of the segment that the file was before
//! new         |hhhhhhhhhhhhh00000000000000000|   0 zeroes, as initdb and preallocation leave them
//! ```
//!
//! Invariant: a file is written from its start on, page by page. So a binary search over the page headers finds the
//! last page in use, and a few reads do for a file of 1 GiB. Records are not checked, only their lengths followed: on a
//! damaged segment the answer says how far it looks written, and `read::damage` what is wrong with it.

use std::io;

use base::disk::DiskFile;
use base::{Lsn, PAGE_SIZE};

use crate::page::{Expected, PageHeader};
use crate::record::HEADER_SIZE;
use crate::segment::{SegmentNumber, Timeline};
use crate::version::Version;

/// What a segment's file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentUse {
    /// From the start to the end of the last record, or of its part in this segment, in bytes.
    pub bytes_used: u64,
    /// The segment that the file was before, if its end still carries pages of that one.
    pub recycled_from: Option<(Timeline, SegmentNumber)>,
}

impl SegmentUse {
    /// Of the file of segment `number`, as far as it is long.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn of(
        file: &dyn DiskFile,
        number: SegmentNumber,
        expected: &Expected,
    ) -> io::Result<SegmentUse> {
        let size = expected.segment_size;
        let pages = file.length()?.min(size.bytes()) / PAGE_SIZE as u64;
        let place = Place { file, start: size.start_of(number), expected };
        let mut written = 0;
        let mut beyond = pages;
        // Most segments are full.
        if pages > 0 && place.used_on_page(pages - 1)?.is_some() {
            written = pages;
        }
        while written < beyond {
            let middle = written + (beyond - written) / 2;
            match place.used_on_page(middle)? {
                Some(_) => written = middle + 1,
                None => beyond = middle,
            }
        }
        let bytes_used = match written.checked_sub(1) {
            Some(last) => {
                let on_page = place.used_on_page(last)?.unwrap_or(PAGE_SIZE);
                last * PAGE_SIZE as u64 + on_page as u64
            }
            None => 0,
        };
        let recycled_from = if written < pages { place.other_segment(pages - 1)? } else { None };
        Ok(SegmentUse { bytes_used, recycled_from })
    }
}

/// A segment's file, and where in the log it belongs.
struct Place<'a> {
    file: &'a dyn DiskFile,
    start: Lsn,
    expected: &'a Expected,
}

impl Place<'_> {
    fn read(&self, page: u64) -> io::Result<Box<[u8; PAGE_SIZE]>> {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        // What the file has lost meanwhile counts as zeroes.
        self.file.read_at(&mut bytes[..], page * PAGE_SIZE as u64)?;
        Ok(bytes)
    }

    /// How many bytes of a page hold records and the header in front of them; `None` if no record has a part on it.
    fn used_on_page(&self, page: u64) -> io::Result<Option<usize>> {
        let bytes = self.read(page)?;
        let at = Lsn(self.start.0.wrapping_add(page * PAGE_SIZE as u64));
        let Some(header) = PageHeader::read(&bytes[..]) else { return Ok(None) };
        if header.check(at, self.expected).is_err() {
            return Ok(None);
        }
        let mut used = header.size();
        let mut has_part = false;
        if header.continues_record() {
            used = used.saturating_add(header.remaining as usize).saturating_add(7) & !7;
            has_part = true;
        }
        while let Some(length) = bytes.get(used..).and_then(|rest| rest.first_chunk()) {
            let length = u32::from_le_bytes(*length) as usize;
            if length < HEADER_SIZE {
                break;
            }
            used = used.saturating_add(length).saturating_add(7) & !7;
            has_part = true;
        }
        Ok(has_part.then_some(used.min(PAGE_SIZE)))
    }

    /// The segment that a page is of, if it is of another one.
    fn other_segment(&self, page: u64) -> io::Result<Option<(Timeline, SegmentNumber)>> {
        let bytes = self.read(page)?;
        let Some(header) = PageHeader::read(&bytes[..]) else { return Ok(None) };
        let number = self.expected.segment_size.number_of(header.address);
        let is_other = number != self.expected.segment_size.number_of(self.start);
        let is_page = Version::from_page_magic(header.magic).is_some();
        Ok((is_page && is_other).then_some((Timeline(header.timeline), number)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::page::{
        FIRST_IS_CONTRECORD, HAS_LONG_HEADER, LONG_HEADER_SIZE, LongHeader, SHORT_HEADER_SIZE,
    };
    use crate::segment::SegmentSize;

    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl DiskFile for Bytes {
        fn length(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.0.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
    }

    const PAGES: usize = 128;
    const NUMBER: SegmentNumber = 7;

    fn expected() -> Expected {
        Expected {
            version: Version::V15,
            segment_size: SegmentSize::from_bytes(1 << 20).expect("legal"),
            system_identifier: Some(42),
        }
    }

    /// A segment of `number` with records of these lengths one after the other, and empty pages behind if it was switched.
    fn segment(number: SegmentNumber, lengths: &[usize], switched: bool) -> (Vec<u8>, usize) {
        let mut bytes = vec![0; PAGES * PAGE_SIZE];
        let mut pages = 0;
        let mut at = 0;
        let mut begin_page = |bytes: &mut Vec<u8>, remaining: usize| {
            let start = pages * PAGE_SIZE;
            let long = (pages == 0).then_some(LongHeader {
                system_identifier: 42,
                segment_size: 1 << 20,
                block_size: PAGE_SIZE as u32,
            });
            let header = PageHeader {
                magic: Version::V15.page_magic(),
                info: if pages == 0 { HAS_LONG_HEADER } else { 0 }
                    | if remaining > 0 { FIRST_IS_CONTRECORD } else { 0 },
                timeline: 1,
                address: Lsn((number << 20) + start as u64),
                remaining: remaining as u32,
                long,
            };
            let header = header.encode();
            bytes[start..start + header.len()].copy_from_slice(&header);
            pages += 1;
            start + if long.is_some() { LONG_HEADER_SIZE } else { SHORT_HEADER_SIZE }
        };
        for &length in lengths {
            if at % PAGE_SIZE == 0 {
                at = begin_page(&mut bytes, 0);
            }
            bytes[at..at + 4].copy_from_slice(&(length as u32).to_le_bytes());
            let mut rest = length;
            loop {
                let room = PAGE_SIZE - at % PAGE_SIZE;
                if rest <= room {
                    at += rest.next_multiple_of(8);
                    break;
                }
                rest -= room;
                at = begin_page(&mut bytes, rest);
            }
        }
        let used = at;
        if switched {
            while pages_of(&bytes) < PAGES {
                begin_page(&mut bytes, 0);
            }
        }
        (bytes, used)
    }

    fn pages_of(bytes: &[u8]) -> usize {
        bytes.chunks(PAGE_SIZE).take_while(|page| page[0] != 0).count()
    }

    fn use_of(bytes: Vec<u8>) -> SegmentUse {
        SegmentUse::of(&Bytes(bytes), NUMBER, &expected()).expect("memory is read")
    }

    #[test]
    fn nothing_is_used_of_an_empty_or_foreign_file() {
        let nothing = SegmentUse { bytes_used: 0, recycled_from: None };
        assert_eq!(use_of(Vec::new()), nothing);
        assert_eq!(use_of(vec![0; 100]), nothing);
        assert_eq!(use_of(vec![0; PAGES * PAGE_SIZE]), nothing);
        assert_eq!(use_of(vec![0xFF; PAGES * PAGE_SIZE]), nothing);
        let (old, _) = segment(3, &[30_000; 30], true);
        let recycled = SegmentUse { bytes_used: 0, recycled_from: Some((Timeline(1), 3)) };
        assert_eq!(use_of(old), recycled);
    }

    proptest! {
        #[test]
        fn used_is_what_was_written(
            lengths in proptest::collection::vec(24usize..30_000, 1..30),
            switched: bool,
            is_over_old: bool,
        ) {
            let (mut bytes, used) = segment(NUMBER, &lengths, switched);
            let is_full = pages_of(&bytes) == PAGES;
            if is_over_old {
                let (old, _) = segment(3, &[30_000; 30], true);
                let end = pages_of(&bytes) * PAGE_SIZE;
                bytes[end..].copy_from_slice(&old[end..]);
            }
            let found = use_of(bytes);
            prop_assert_eq!(found.bytes_used, used as u64);
            let old = (is_over_old && !is_full).then_some((Timeline(1), 3));
            prop_assert_eq!(found.recycled_from, old);
        }

        #[test]
        fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..4 * PAGE_SIZE)) {
            prop_assert!(use_of(bytes.clone()).bytes_used <= bytes.len() as u64);
        }
    }
}
