//! A file's bytes: what is durable, what is cached, and by which steps the one may become the other.
//!
//! ```text
//! cache      AAAA BBBB CCCC DDDD      what reads see
//! unsynced         B1,B2     D1       per sector, the contents that writes gave it since the last sync
//! durable    AAAA B0B0 CCCC           what a crash leaves for certain
//! ```
//!
//! Invariants: a sector of [`SECTOR`] bytes is written as a whole or not at all; after a crash it has its
//! durable content or any one that was written since, whatever its neighbours have; so does the length.
//! After a sync that failed, what was unsynced is neither durable nor unsynced any more: only the
//! cache may still show it.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;

/// Bytes that reach the disk together or not at all.
pub const SECTOR: usize = 512;

/// Contents of a sector kept between two syncs; of more, the oldest are forgotten.
const MOST_VERSIONS: usize = 8;

type Sector = Box<[u8; SECTOR]>;

/// Which of several unsynced steps survives a crash: given their sequence numbers, oldest first, how many
/// have happened. 0 is what was durable.
pub(super) type Choose<'a> = &'a mut dyn FnMut(&mut dyn Iterator<Item = u64>) -> usize;

#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    cache: Vec<u8>,
    durable: Vec<u8>,
    unsynced: BTreeMap<u64, Vec<(u64, Sector)>>,
    lengths: Vec<(u64, u64)>,
}

impl Content {
    pub(super) fn of(bytes: Vec<u8>) -> Content {
        Content { cache: bytes.clone(), durable: bytes, ..Content::default() }
    }

    pub(super) fn length(&self) -> u64 {
        self.cache.len() as u64
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let bytes = usize::try_from(offset).ok().and_then(|at| self.cache.get(at..));
        let bytes = bytes.unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        count
    }

    pub(super) fn write(&mut self, sequence: u64, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if end > self.cache.len() {
            self.cache.resize(end, 0);
            self.lengths.push((sequence, end as u64));
        }
        self.cache[start..end].copy_from_slice(bytes);
        self.touch(sequence, start..end);
    }

    pub(super) fn set_length(&mut self, sequence: u64, length: u64) {
        let (before, after) = (self.cache.len(), length as usize);
        if before == after {
            return;
        }
        self.cache.resize(after, 0);
        self.lengths.push((sequence, length));
        if after < before {
            // What is cut off is not to come back when the file grows again.
            self.touch(sequence, after..before);
        }
    }

    /// Notes the present content of the sectors of `bytes` as one that may survive.
    fn touch(&mut self, sequence: u64, bytes: Range<usize>) {
        for number in sectors(&bytes) {
            let start = number as usize * SECTOR;
            let mut sector = Box::new([0; SECTOR]);
            let there = self.cache.get(start..).unwrap_or_default();
            let count = there.len().min(SECTOR);
            sector[..count].copy_from_slice(&there[..count]);
            let versions = self.unsynced.entry(number).or_default();
            if versions.len() == MOST_VERSIONS {
                versions.remove(0);
            }
            versions.push((sequence, sector));
        }
    }

    /// Makes the sectors of `bytes` durable, and the length.
    pub(super) fn sync(&mut self, bytes: Range<u64>) {
        if let Some((_, length)) = self.lengths.drain(..).next_back() {
            self.durable.resize(length as usize, 0);
        }
        for (number, mut versions) in self.take_unsynced(bytes) {
            if let Some((_, sector)) = versions.pop() {
                put(&mut self.durable, number, &sector);
            }
        }
    }

    /// A sync of the sectors of `bytes` that fails: some have been written before that, the others never will
    /// be, and of those some have left the cache, too.
    pub(super) fn lose(&mut self, bytes: Range<u64>, random: &mut Rng) {
        if let Some((_, length)) = self.lengths.drain(..).next_back()
            && random.bool()
        {
            self.durable.resize(length as usize, 0);
        }
        for (number, mut versions) in self.take_unsynced(bytes) {
            let Some((_, sector)) = versions.pop() else { continue };
            if random.bool() {
                put(&mut self.durable, number, &sector);
            } else if random.bool() {
                let mut before = [0; SECTOR];
                let start = number as usize * SECTOR;
                let there = self.durable.get(start..).unwrap_or_default();
                let count = there.len().min(SECTOR);
                before[..count].copy_from_slice(&there[..count]);
                put(&mut self.cache, number, &before);
            }
        }
    }

    fn take_unsynced(&mut self, bytes: Range<u64>) -> BTreeMap<u64, Vec<(u64, Sector)>> {
        let first = bytes.start / SECTOR as u64;
        let behind = bytes.end.div_ceil(SECTOR as u64);
        let mut taken = self.unsynced.split_off(&first);
        let mut rest = taken.split_off(&behind);
        self.unsynced.append(&mut rest);
        taken
    }

    /// What a crash leaves.
    pub(super) fn survivor(&self, choose: Choose<'_>) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let lengths = choose(&mut self.lengths.iter().map(|(sequence, _)| *sequence));
        let length = match lengths.checked_sub(1).and_then(|last| self.lengths.get(last)) {
            Some((_, length)) => *length as usize,
            None => self.durable.len(),
        };
        // Longer than either while sectors are put, and the bytes behind the end are zero.
        bytes.resize(length.max(self.durable.len()), 0);
        for (number, versions) in &self.unsynced {
            let count = choose(&mut versions.iter().map(|(sequence, _)| *sequence));
            if let Some((_, sector)) = count.checked_sub(1).and_then(|last| versions.get(last)) {
                put(&mut bytes, *number, sector);
            }
        }
        bytes.truncate(length);
        bytes
    }

    /// Whether a crash leaves this very content.
    pub(super) fn is_durable(&self) -> bool {
        self.lengths.is_empty() && self.unsynced.is_empty() && self.cache == self.durable
    }
}

fn sectors(bytes: &Range<usize>) -> Range<u64> {
    (bytes.start / SECTOR) as u64..bytes.end.div_ceil(SECTOR) as u64
}

/// Puts as much of a sector into `bytes` as lies within.
fn put(bytes: &mut [u8], number: u64, sector: &[u8; SECTOR]) {
    if let Some(place) = bytes.get_mut(number as usize * SECTOR..) {
        let count = place.len().min(SECTOR);
        place[..count].copy_from_slice(&sector[..count]);
    }
}
