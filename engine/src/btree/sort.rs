//! The entries of an index that is being made, sorted: in memory, or where they do not fit, in runs on the disk.
//!
//! ```text
//! entries ─► memory is full: sorted ─► a run, behind the others in a temporary file
//! at the end    all in memory: sorted
//!               else: as many runs as have a buffer each are merged to a longer one, until one merge is left, which gives
//!               the entries in order
//! of an entry   length of the tuple (2 bytes) | whether the row is alive (1 byte) | tuple          in memory and in a run
//!               its rank alone, in memory, where that is the whole of it
//! ```
//!
//! [Ranks](super::rank) are compared first, and entries where those do not decide. Invariants: entries are ordered by their tids
//! at last, so what comes out is the same whatever the memory is. Besides what is allowed, only buffers are used that are small
//! ([`SMALLEST_BUFFER`]). What is read back is checked. Source: Knuth, The Art of Computer Programming, volume 3, 5.4.1;
//! `tuplesort.c`.

use std::cmp::Ordering;
use std::ops::Range;

use base::{PAGE_SIZE, Tid};

use super::error::IndexError;
use super::index::Index;
use super::key::KeyColumn;
use super::rank::{NUMBER_ENTRY, Rank, Ranking};
use super::tuple::MAX_ITEM_SIZE;
use crate::storage::temporary::TemporaryFile;

/// What stands before an entry.
const PREFIX_SIZE: usize = 3;
/// What a run is read by at least, the longest entry among it.
const SMALLEST_BUFFER: usize = 8192;
/// What a run is read by at most, and written by.
const LARGEST_BUFFER: usize = 1 << 18;
/// Runs that are merged at once, at most (`MAXORDER`).
const MOST_MERGED: usize = 500;
/// The least memory that is worth it.
const LEAST_MEMORY: usize = 4 * SMALLEST_BUFFER;
/// Entries between two looks at whether it is to go on.
pub(super) const CHECKED_EVERY: u32 = 1024;
const _: () = assert!(PREFIX_SIZE + MAX_ITEM_SIZE <= SMALLEST_BUFFER);

/// An entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sorted<'e> {
    pub(super) bytes: &'e [u8],
    /// Whether its row is there for those who come.
    pub(super) is_alive: bool,
    pub(super) rank: Rank,
}

/// Entries that come in any order.
#[derive(Debug)]
pub(super) struct Sorter<'s> {
    index: Index<'s>,
    /// Bytes that entries may have in memory.
    memory: usize,
    held: Held,
    /// The runs that were written, in the file.
    runs: Vec<Range<u64>>,
    file: Option<TemporaryFile>,
}

/// Entries in memory.
#[derive(Debug)]
enum Held {
    /// Of one whole number each, in this column.
    Ranks(Vec<Rank>, KeyColumn),
    /// Of any other kind.
    Entries { bytes: Vec<u8>, places: Vec<Place> },
}

/// An entry's place in memory.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The entry's rank, all of which it has in 64 bits.
    rank: u64,
    /// Where the entry begins.
    at: u32,
}

/// Entries in order.
#[derive(Debug)]
pub(super) enum InOrder<'s> {
    Held(Passed),
    Merge(Merge<'s>),
}

/// Entries in memory that are passed one by one.
#[derive(Debug)]
pub(super) struct Passed {
    held: Held,
    next: usize,
    /// The last of them that was given, if it lay nowhere.
    made: [u8; NUMBER_ENTRY],
}

/// Runs that are merged.
#[derive(Debug)]
pub(super) struct Merge<'s> {
    index: Index<'s>,
    file: TemporaryFile,
    readers: Vec<RunReader>,
    /// Those that have an entry, as a heap: the first has the least.
    heap: Vec<usize>,
    /// Whether the first's entry was given already.
    is_given: bool,
}

/// A run that is read.
#[derive(Debug)]
struct RunReader {
    /// What is not in the buffer yet.
    rest: Range<u64>,
    buffer: Vec<u8>,
    /// Where the current entry is in the buffer, its prefix with it; empty before the first.
    current: Range<usize>,
    /// The current entry's.
    rank: Rank,
    /// Bytes that are read at once.
    size: usize,
}

impl Held {
    fn new(ranking: Ranking) -> Held {
        match ranking {
            Ranking::Whole(column) => Held::Ranks(Vec::new(), column),
            Ranking::Beginning => Held::Entries { bytes: Vec::new(), places: Vec::new() },
        }
    }

    /// Bytes that it has.
    fn size(&self) -> usize {
        match self {
            Held::Ranks(ranks, _) => size_of_val(&ranks[..]),
            Held::Entries { bytes, places } => bytes.len() + size_of_val(&places[..]),
        }
    }

    fn clear(&mut self) {
        match self {
            Held::Ranks(ranks, _) => ranks.clear(),
            Held::Entries { bytes, places } => {
                bytes.clear();
                places.clear();
            }
        }
    }

    fn sort(&mut self, index: &Index<'_>) -> Result<(), IndexError> {
        let (bytes, places) = match self {
            Held::Ranks(ranks, _) => {
                ranks.sort_unstable();
                return Ok(());
            }
            Held::Entries { bytes, places } => (&*bytes, places),
        };
        let mut failed = None;
        let entry = |place: &Place| entry_at(bytes, place.at).0;
        places.sort_unstable_by(|one, other| {
            one.rank.cmp(&other.rank).then_with(|| {
                compare(index, entry(one), entry(other)).unwrap_or_else(|error| {
                    failed = Some(error);
                    Ordering::Equal
                })
            })
        });
        failed.map_or(Ok(()), Err)
    }

    /// Begins to pass them.
    fn pass(self) -> Passed {
        Passed { held: self, next: 0, made: [0; NUMBER_ENTRY] }
    }
}

impl Passed {
    fn next(&mut self) -> Option<Sorted<'_>> {
        let next = self.next;
        self.next += 1;
        match &self.held {
            Held::Ranks(ranks, column) => {
                let rank = *ranks.get(next)?;
                let (made, is_alive) = rank.entry(*column);
                self.made = made;
                Some(Sorted { bytes: &self.made, is_alive, rank })
            }
            Held::Entries { bytes, places } => {
                let place = places.get(next)?;
                let (bytes, is_alive) = entry_at(bytes, place.at);
                Some(Sorted { bytes, is_alive, rank: Rank(place.rank.into()) })
            }
        }
    }
}

/// The entry that begins here, and whether its row is alive.
fn entry_at(bytes: &[u8], at: u32) -> (&[u8], bool) {
    let from = at as usize;
    let (length, is_alive) = prefix(&bytes[from..]).expect("written by add");
    (&bytes[from + PREFIX_SIZE..][..length], is_alive)
}

/// Appends an entry with its prefix.
fn push(entry: &[u8], is_alive: bool, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(entry.len() as u16).to_le_bytes());
    bytes.push(u8::from(is_alive));
    bytes.extend_from_slice(entry);
}

fn prefix(bytes: &[u8]) -> Option<(usize, bool)> {
    let &[low, high, is_alive] = bytes.first_chunk()?;
    Some((usize::from(u16::from_le_bytes([low, high])), is_alive != 0))
}

impl<'s> Sorter<'s> {
    /// Of no entries yet, which may have so many bytes in memory.
    pub(super) fn new(index: Index<'s>, memory: usize) -> Sorter<'s> {
        let memory = memory.clamp(LEAST_MEMORY, u32::MAX as usize);
        let held = Held::new(index.shape().ranking());
        Sorter { index, memory, held, runs: Vec::new(), file: None }
    }

    /// Adds an entry that the index has formed.
    ///
    /// # Errors
    /// As the disk says.
    pub(super) fn add(&mut self, entry: &[u8], is_alive: bool) -> Result<(), IndexError> {
        let rank = self.index.shape().rank(self.index.formed(entry)?, is_alive)?;
        if let Held::Ranks(..) = self.held {
            return self.add_ranked(rank);
        }
        self.make_room_for(PREFIX_SIZE + entry.len() + size_of::<Place>())?;
        if let Held::Entries { bytes, places } = &mut self.held {
            places.push(Place { rank: rank.0 as u64, at: bytes.len() as u32 });
            push(entry, is_alive, bytes);
        }
        Ok(())
    }

    /// Adds an entry that is ranked as a whole.
    ///
    /// # Errors
    /// As the disk says.
    #[inline]
    pub(super) fn add_ranked(&mut self, rank: Rank) -> Result<(), IndexError> {
        self.make_room_for(size_of::<Rank>())?;
        if let Held::Ranks(ranks, _) = &mut self.held {
            ranks.push(rank);
        }
        Ok(())
    }

    #[inline]
    fn make_room_for(&mut self, needed: usize) -> Result<(), IndexError> {
        match self.held.size() + needed > self.memory {
            true => self.write_run(),
            false => Ok(()),
        }
    }

    /// Writes what is in memory to the disk if a page's rows may not find room: now, while nothing is locked.
    ///
    /// # Errors
    /// As the disk says.
    pub(super) fn make_room(&mut self) -> Result<(), IndexError> {
        self.make_room_for(2 * PAGE_SIZE)
    }

    /// Writes what is in memory to the file, in order.
    fn write_run(&mut self) -> Result<(), IndexError> {
        self.held.sort(&self.index)?;
        let storage = self.index.storage;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(TemporaryFile::create(storage)?),
        };
        let mut run = RunWriter::begin(file, self.memory);
        let mut sorted = std::mem::replace(&mut self.held, Held::new(Ranking::Beginning)).pass();
        let mut written = Ok(());
        while let Some(entry) = sorted.next()
            && written.is_ok()
        {
            written = run.add(entry);
        }
        let run = written.and_then(|()| run.end());
        self.held = sorted.held;
        self.held.clear();
        self.runs.push(run?);
        Ok(())
    }

    /// All entries, in order. `check` is called now and then.
    ///
    /// # Errors
    /// As the disk says; those of `check`.
    pub(super) fn finish<E: From<IndexError>>(
        mut self,
        check: &mut dyn FnMut() -> Result<(), E>,
    ) -> Result<InOrder<'s>, E> {
        if self.runs.is_empty() {
            self.held.sort(&self.index)?;
            return Ok(InOrder::Held(self.held.pass()));
        }
        self.write_run()?;
        let Sorter { index, memory, held, mut runs, file } = self;
        drop(held);
        let mut file = file.expect("has the runs");
        let at_once = (memory / SMALLEST_BUFFER).clamp(2, MOST_MERGED);
        while runs.len() > at_once {
            let mut longer = TemporaryFile::create(index.storage).map_err(IndexError::from)?;
            let mut merged = Vec::new();
            for runs in runs.chunks(at_once) {
                let mut run = RunWriter::begin(&mut longer, memory);
                let mut merge = Merge::new(index.clone(), file, runs, memory)?;
                while let Some(entry) = merge.next()? {
                    run.add(entry)?;
                    if run.count.is_multiple_of(CHECKED_EVERY) {
                        check()?;
                    }
                }
                merged.push(run.end()?);
                file = merge.file;
            }
            (runs, file) = (merged, longer);
        }
        Ok(InOrder::Merge(Merge::new(index, file, &runs, memory)?))
    }
}

/// A run that is written.
struct RunWriter<'f> {
    file: &'f mut TemporaryFile,
    begin: u64,
    buffer: Vec<u8>,
    /// Bytes that are written at once.
    size: usize,
    count: u32,
}

impl<'f> RunWriter<'f> {
    fn begin(file: &'f mut TemporaryFile, memory: usize) -> RunWriter<'f> {
        let begin = file.length();
        let size = (memory / 16).clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        RunWriter { file, begin, buffer: Vec::new(), size, count: 0 }
    }

    fn add(&mut self, entry: Sorted<'_>) -> Result<(), IndexError> {
        push(entry.bytes, entry.is_alive, &mut self.buffer);
        self.count = self.count.wrapping_add(1);
        if self.buffer.len() >= self.size {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn end(mut self) -> Result<Range<u64>, IndexError> {
        self.flush()?;
        Ok(self.begin..self.file.length())
    }
}

impl InOrder<'_> {
    /// The next entry; `None` after the last.
    ///
    /// # Errors
    /// As the disk says; where a run is not what was written.
    pub(super) fn next(&mut self) -> Result<Option<Sorted<'_>>, IndexError> {
        match self {
            InOrder::Held(passed) => Ok(passed.next()),
            InOrder::Merge(merge) => merge.next(),
        }
    }
}

impl<'s> Merge<'s> {
    /// Of runs of a file; their buffers have about so many bytes together.
    fn new(
        index: Index<'s>,
        file: TemporaryFile,
        runs: &[Range<u64>],
        memory: usize,
    ) -> Result<Merge<'s>, IndexError> {
        let size = (memory / runs.len().max(1)).clamp(SMALLEST_BUFFER, LARGEST_BUFFER);
        let reader = |run: &Range<u64>| RunReader {
            rest: run.clone(),
            buffer: Vec::new(),
            current: 0..0,
            rank: Rank::default(),
            size,
        };
        let readers: Vec<RunReader> = runs.iter().map(reader).collect();
        let mut merge = Merge { index, file, readers, heap: Vec::new(), is_given: false };
        for reader in 0..merge.readers.len() {
            if merge.readers[reader].advance(&merge.file, &merge.index)? {
                merge.heap.push(reader);
            }
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sift_down(at)?;
        }
        Ok(merge)
    }

    fn next(&mut self) -> Result<Option<Sorted<'_>>, IndexError> {
        if self.is_given {
            let first = self.heap[0];
            if !self.readers[first].advance(&self.file, &self.index)? {
                self.heap.swap_remove(0);
            }
            self.sift_down(0)?;
        }
        let Some(&first) = self.heap.first() else {
            self.is_given = false;
            return Ok(None);
        };
        self.is_given = true;
        Ok(Some(self.readers[first].entry()))
    }

    /// Has an element of the heap sink until none below it is less.
    fn sift_down(&mut self, mut at: usize) -> Result<(), IndexError> {
        let ranking = self.index.shape().ranking();
        let order = |one: usize, other: usize| {
            let (one, other) = (&self.readers[one], &self.readers[other]);
            match one.rank.cmp(&other.rank) {
                Ordering::Equal if ranking == Ranking::Beginning => {
                    compare(&self.index, one.entry().bytes, other.entry().bytes)
                }
                order => Ok(order),
            }
        };
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if let (Some(&below), Some(&above)) = (self.heap.get(child), self.heap.get(least))
                    && order(below, above)?.is_lt()
                {
                    least = child;
                }
            }
            if least == at {
                return Ok(());
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

impl RunReader {
    /// The current entry.
    fn entry(&self) -> Sorted<'_> {
        let bytes = &self.buffer[self.current.clone()];
        let (_, is_alive) = prefix(bytes).expect("read by advance");
        Sorted { bytes: &bytes[PREFIX_SIZE..], is_alive, rank: self.rank }
    }

    /// Goes to the next entry; whether there is one.
    fn advance(&mut self, file: &TemporaryFile, index: &Index<'_>) -> Result<bool, IndexError> {
        let begin = self.current.end;
        self.current = begin..begin;
        if !self.has(PREFIX_SIZE, file)? {
            return match self.current.start == self.buffer.len() {
                true => Ok(false),
                false => Err(file.damaged("a run ends within an entry").into()),
            };
        }
        let found = prefix(&self.buffer[self.current.start..]);
        let (length, is_alive) = found.unwrap_or_default();
        if length > MAX_ITEM_SIZE {
            return Err(file.damaged("an entry is too long").into());
        }
        if !self.has(PREFIX_SIZE + length, file)? {
            return Err(file.damaged("a run ends within an entry").into());
        }
        self.current.end = self.current.start + PREFIX_SIZE + length;
        let entry = &self.buffer[self.current.start + PREFIX_SIZE..self.current.end];
        let tuple = index.formed(entry)?;
        if tuple.is_pivot() || tuple.is_posting() {
            return Err(file.damaged("an entry is not of one row").into());
        }
        self.rank = index.shape().rank(tuple, is_alive)?;
        Ok(true)
    }

    /// Whether so many bytes follow in the run; they are in the buffer then.
    fn has(&mut self, count: usize, file: &TemporaryFile) -> Result<bool, IndexError> {
        if self.buffer.len() - self.current.start >= count {
            return Ok(true);
        }
        self.buffer.drain(..self.current.start);
        self.current = 0..0;
        let left = self.buffer.len();
        let more = (self.size - left).min((self.rest.end - self.rest.start) as usize);
        self.buffer.resize(left + more, 0);
        if more > 0 {
            file.read(&mut self.buffer[left..], self.rest.start)?;
            self.rest.start += more as u64;
        }
        Ok(self.buffer.len() >= count)
    }
}

fn compare(index: &Index<'_>, one: &[u8], other: &[u8]) -> Result<Ordering, IndexError> {
    if has_same_values(one, other) {
        return Ok(tid_of(one).cmp(&tid_of(other)));
    }
    Ok(index.shape().order(index.formed(one)?, index.formed(other)?)?)
}

/// Whether two entries that stand for a row each have the same bytes but for their tids.
pub(super) fn has_same_values(one: &[u8], other: &[u8]) -> bool {
    one.get(Tid::SIZE..) == other.get(Tid::SIZE..)
}

/// The row of an entry that stands for one.
pub(super) fn tid_of(entry: &[u8]) -> Tid {
    entry.first_chunk().map_or(Tid::default(), |tid| Tid::from_bytes(*tid))
}
