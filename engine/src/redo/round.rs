//! Changes of pages that are waiting to be made: those of a stretch of the log, by page.
//!
//! ```text
//! bytes     record | record | record | ...             copied: the reader has gone on
//! changes   what record 0 does to page A ─┐ next
//!           what record 0 does to page B  │
//!           what record 1 does to page A ◄┘ ...
//! pages     A: first, last change | B: first, last change | ...
//! ```
//!
//! Invariants: a page's changes are linked in log order, and nothing that is done to one page looks at another. So pages
//! can be had in any order and by any thread, each once for all its changes, and come out the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use base::{BlockNumber, Lsn};
use wal::Version;
use wal::record::{RawRecord, Record, RecordHeader};

use crate::buffer::PageName;

/// A round is full with so many records, or so many bytes of them.
const MOST_RECORDS: usize = 1 << 14;
const MOST_BYTES: usize = 4 << 20;
/// Behind the last change of a page.
const NONE: u32 = u32::MAX;

/// What a record does to a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageChange {
    /// What a heap record does to the page of this block reference.
    Heap(u8),
    /// What a btree's record does to the page of this block reference.
    Btree(u8),
    /// Its image replaces the page, and that is all.
    Image(u8),
    /// Bits of a heap block are cleared in the visibility map.
    ClearMap {
        /// The heap block.
        heap_block: BlockNumber,
        /// The bits.
        bits: u8,
    },
    /// Bits of a heap block are set in the visibility map, which block reference 0 is.
    SetMap {
        /// The heap block.
        heap_block: BlockNumber,
        /// The bits.
        bits: u8,
    },
}

/// A record whose bytes are kept.
#[derive(Debug)]
struct Kept {
    version: Version,
    start: Lsn,
    end: Lsn,
    at: usize,
    length: u32,
}

#[derive(Debug)]
struct Link {
    record: u32,
    next: u32,
    change: PageChange,
}

#[derive(Debug)]
struct Page {
    name: PageName,
    first: u32,
    last: u32,
}

/// The changes.
#[derive(Debug, Default)]
pub(super) struct Round {
    bytes: Vec<u8>,
    records: Vec<Kept>,
    changes: Vec<Link>,
    pages: Vec<Page>,
    by_name: HashMap<PageName, u32, BuildHasherDefault<NameHasher>>,
}

impl Round {
    /// Adds a change behind all that are there.
    pub(super) fn add(&mut self, record: &Record<'_>, name: PageName, change: PageChange) {
        if self.records.last().is_none_or(|last| last.start != record.start()) {
            let bytes = record.bytes();
            self.records.push(Kept {
                version: record.version(),
                start: record.start(),
                end: record.end(),
                at: self.bytes.len(),
                length: bytes.len() as u32,
            });
            self.bytes.extend_from_slice(bytes);
        }
        let this = self.changes.len() as u32;
        let record = self.records.len() as u32 - 1;
        self.changes.push(Link { record, next: NONE, change });
        match self.by_name.entry(name) {
            Entry::Occupied(known) => {
                let page = &mut self.pages[*known.get() as usize];
                self.changes[page.last as usize].next = this;
                page.last = this;
            }
            Entry::Vacant(unknown) => {
                unknown.insert(self.pages.len() as u32);
                self.pages.push(Page { name, first: this, last: this });
            }
        }
    }

    /// Whether it should be made before more is added.
    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.bytes.len() >= MOST_BYTES
    }

    /// How many pages it changes.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// A page's name.
    pub(super) fn name(&self, page: usize) -> PageName {
        self.pages[page].name
    }

    /// A page's changes in order, each with its record, which is to be decoded again.
    pub(super) fn changes(
        &self,
        page: usize,
    ) -> impl Iterator<Item = (RawRecord<'_>, PageChange)> + '_ {
        let mut next = self.pages[page].first;
        std::iter::from_fn(move || {
            let link = self.changes.get(next as usize)?;
            next = link.next;
            Some((self.raw(&self.records[link.record as usize]), link.change))
        })
    }

    /// The last record, which is to be decoded again.
    pub(super) fn last(&self) -> Option<RawRecord<'_>> {
        self.records.last().map(|record| self.raw(record))
    }

    fn raw(&self, &Kept { version, start, end, at, length }: &Kept) -> RawRecord<'_> {
        let bytes = &self.bytes[at..at + length as usize];
        let header = RecordHeader::read(bytes.first_chunk().expect("a record has a header"));
        RawRecord { version, start, end, header, bytes }
    }

    /// Forgets everything but the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.changes.clear();
        self.pages.clear();
        self.by_name.clear();
    }
}

/// Multiplies and rotates, word by word: what is hashed comes from a log that its maker could have made slow anyway.
#[derive(Debug, Default)]
pub(super) struct NameHasher(u64);

impl Hasher for NameHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    #[inline]
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0xF135_7AEA_2E62_A9C5);
    }

    #[inline]
    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}
