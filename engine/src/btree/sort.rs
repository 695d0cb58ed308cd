//! The entries of an index that is being made, sorted: in memory, or where they do not fit, in runs on the disk.
//!
//! ```text
//! entries ─► memory is full: sorted ─► a run, behind the others in a temporary file
//! at the end    all in memory: sorted
//!               else: as many runs as have a buffer each are merged to a longer one, until one merge is left, which gives
//!               the entries in order
//! of an entry   length of the tuple (2 bytes) | whether the row is alive (1 byte) | tuple          in memory and in a run
//! ```
//!
//! Invariants: entries are ordered by their tids at last, so what comes out is the same whatever the memory is. Besides what is
//! allowed, only buffers are used that are small ([`SMALLEST_BUFFER`]). What is read back is checked. Source:
//! Knuth, The Art of Computer Programming, volume 3, 5.4.1; `tuplesort.c`.

use std::cmp::Ordering;
use std::ops::Range;

use base::PAGE_SIZE;

use super::error::IndexError;
use super::index::Index;
#[cfg(doc)]
use super::key::Shape;
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

/// An entry, and whether its row is there for those who come.
pub(super) type Sorted<'e> = (&'e [u8], bool);

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
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// An entry's place in memory.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The first column as [`Shape::number`] gives it: most comparisons need no more.
    number: Option<i64>,
    /// Where the entry begins.
    at: u32,
}

/// Entries in order.
#[derive(Debug)]
pub(super) enum InOrder<'s> {
    /// The next of those in memory.
    Held(Held, usize),
    Merge(Merge<'s>),
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
    /// Bytes that are read at once.
    size: usize,
}

impl Held {
    /// Bytes that it has.
    fn size(&self) -> usize {
        self.bytes.len() + size_of_val(&self.places[..])
    }

    fn entry(&self, place: Place) -> Sorted<'_> {
        let from = place.at as usize;
        let (length, is_alive) = prefix(&self.bytes[from..]).expect("written by add");
        (&self.bytes[from + PREFIX_SIZE..][..length], is_alive)
    }
}

/// Appends an entry with its prefix.
fn push((entry, is_alive): Sorted<'_>, bytes: &mut Vec<u8>) {
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
        Sorter { index, memory, held: Held::default(), runs: Vec::new(), file: None }
    }

    /// Adds an entry that the index has formed.
    ///
    /// # Errors
    /// As the disk says.
    pub(super) fn add(&mut self, entry: &[u8], is_alive: bool) -> Result<(), IndexError> {
        let needed = PREFIX_SIZE + entry.len() + size_of::<Place>();
        if self.held.size() + needed > self.memory {
            self.write_run()?;
        }
        let Held { bytes, places } = &mut self.held;
        let number = self.index.shape().number(entry);
        places.push(Place { number, at: bytes.len() as u32 });
        push((entry, is_alive), bytes);
        Ok(())
    }

    /// Writes what is in memory to the disk if a page's rows may not find room: now, while nothing is locked.
    ///
    /// # Errors
    /// As the disk says.
    pub(super) fn make_room(&mut self) -> Result<(), IndexError> {
        if self.held.size() + 2 * PAGE_SIZE > self.memory {
            self.write_run()?;
        }
        Ok(())
    }

    fn sort(&mut self) -> Result<(), IndexError> {
        let (mut failed, index) = (None, &self.index);
        let mut places = std::mem::take(&mut self.held.places);
        let held = &self.held;
        places.sort_unstable_by(|one, other| {
            if let (Some(one), Some(other)) = (one.number, other.number)
                && one != other
            {
                return one.cmp(&other);
            }
            compare(index, held.entry(*one).0, held.entry(*other).0).unwrap_or_else(|error| {
                failed = Some(error);
                Ordering::Equal
            })
        });
        self.held.places = places;
        failed.map_or(Ok(()), Err)
    }

    /// Writes what is in memory to the file, in order.
    fn write_run(&mut self) -> Result<(), IndexError> {
        self.sort()?;
        let storage = self.index.storage;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(TemporaryFile::create(storage)?),
        };
        let mut run = RunWriter::begin(file, self.memory);
        for place in &self.held.places {
            run.add(self.held.entry(*place))?;
        }
        self.runs.push(run.end()?);
        self.held.bytes.clear();
        self.held.places.clear();
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
            self.sort()?;
            return Ok(InOrder::Held(self.held, 0));
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
        push(entry, &mut self.buffer);
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
            InOrder::Held(held, next) => {
                *next += 1;
                Ok(held.places.get(*next - 1).map(|place| held.entry(*place)))
            }
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
            size,
        };
        let readers: Vec<RunReader> = runs.iter().map(reader).collect();
        let mut merge = Merge { index, file, readers, heap: Vec::new(), is_given: false };
        for reader in 0..merge.readers.len() {
            if merge.readers[reader].advance(&merge.file)? {
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
            if !self.readers[first].advance(&self.file)? {
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
        let entry = |reader: usize| self.readers[reader].entry().0;
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if let (Some(&below), Some(&above)) = (self.heap.get(child), self.heap.get(least))
                    && compare(&self.index, entry(below), entry(above))?.is_lt()
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
        (&bytes[PREFIX_SIZE..], is_alive)
    }

    /// Goes to the next entry; whether there is one.
    fn advance(&mut self, file: &TemporaryFile) -> Result<bool, IndexError> {
        let begin = self.current.end;
        self.current = begin..begin;
        if !self.has(PREFIX_SIZE, file)? {
            return match self.current.start == self.buffer.len() {
                true => Ok(false),
                false => Err(file.damaged("a run ends within an entry").into()),
            };
        }
        let found = prefix(&self.buffer[self.current.start..]);
        let (length, _) = found.unwrap_or_default();
        if length > MAX_ITEM_SIZE {
            return Err(file.damaged("an entry is too long").into());
        }
        if !self.has(PREFIX_SIZE + length, file)? {
            return Err(file.damaged("a run ends within an entry").into());
        }
        self.current.end = self.current.start + PREFIX_SIZE + length;
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
    Ok(index.shape().order(index.formed(one)?, index.formed(other)?)?)
}
