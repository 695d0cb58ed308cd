//! The bytes of the log's buffers, which many threads fill at once, each its own part.
//!
//! Pages lie one behind the other; page p of the log is in buffer p modulo their number, which is a power of two, so that
//! no division stands between a record and its place. Invariants: who
//! writes a range has reserved it, and the ring says that its page is there; who reads a range knows that it
//! is written and that its page is not given away. Both are orderings of `slots` and `ring`; here is only the
//! access. Under loom every eight bytes are a cell of their own, in which loom sees an access that no edge
//! orders.

use base::Lsn;
use base::sync::UnsafeCell;

use super::layout::{Layout, PAGE};

#[cfg(not(loom))]
const CELL: usize = PAGE as usize;
#[cfg(loom)]
const CELL: usize = 8;

#[cfg_attr(not(loom), repr(C, align(4096)))]
#[cfg_attr(loom, repr(C))]
struct Cell([u8; CELL]);

/// The buffers.
pub(super) struct Memory {
    cells: Box<[UnsafeCell<Cell>]>,
    /// Their size in bytes, all together: a power of two.
    size: u64,
}

// SAFETY: cells are only accessed through `write` and `with_bytes`, whose callers keep writers of a range away
// from everybody else (see the module).
#[expect(unsafe_code)]
unsafe impl Sync for Memory {}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Memory {
    /// Memory for so many pages, a power of two.
    pub(super) fn new(pages: u64) -> Memory {
        assert!(pages.is_power_of_two());
        let size = pages * PAGE;
        let cells = size / CELL as u64;
        Memory { cells: (0..cells).map(|_| UnsafeCell::new(Cell([0; CELL]))).collect(), size }
    }

    /// Size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    #[inline]
    fn offset_of(&self, at: Lsn) -> usize {
        (at.0 & (self.size - 1)) as usize
    }

    /// Copies bytes to the log position `at`, within its page.
    ///
    /// # Safety
    /// The range is the caller's: reserved by it, its page in the buffer, nobody else reading or writing it.
    #[inline]
    #[expect(unsafe_code)]
    pub(super) unsafe fn write(&self, at: Lsn, bytes: &[u8]) {
        assert!(Layout::offset_in_page(at) + bytes.len() as u64 <= PAGE);
        let mut offset = self.offset_of(at);
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let (cell, within) = (offset / CELL, offset % CELL);
            let (part, rest) = bytes.split_at(bytes.len().min(CELL - within));
            self.cells[cell].with_mut(|cell| {
                // SAFETY: within the cell, and the caller's alone; `part` is no part of it, since no
                // reference to a cell is handed out for a range that is written.
                unsafe {
                    let target = cell.cast::<u8>().add(within);
                    std::ptr::copy_nonoverlapping(part.as_ptr(), target, part.len());
                }
            });
            offset += part.len();
            bytes = rest;
        }
    }

    /// Lends the bytes from `from` to `to`, at most all that there are, in one or two pieces.
    ///
    /// # Safety
    /// The range is written, its pages are in the buffers, and nobody writes to them meanwhile.
    #[expect(unsafe_code)]
    pub(super) unsafe fn with_bytes<R>(
        &self,
        from: Lsn,
        to: Lsn,
        read: impl FnOnce([&[u8]; 2]) -> R,
    ) -> R {
        let length = to.0 - from.0;
        assert!(length <= self.size);
        let start = self.offset_of(from) as u64;
        let first = length.min(self.size - start);
        // SAFETY: within the buffers; the rest is the caller's promise.
        unsafe {
            self.with_range(start, first, |one| {
                self.with_range(0, length - first, |other| read([one, other]))
            })
        }
    }

    #[cfg(not(loom))]
    #[expect(unsafe_code)]
    unsafe fn with_range<R>(&self, start: u64, length: u64, read: impl FnOnce(&[u8]) -> R) -> R {
        let first = self.cells.as_ptr().cast::<u8>();
        // SAFETY: the cells are one allocation of `size` bytes (a transparent wrapper each, no padding), and the
        // range lies in it; the caller promises that nobody writes to it.
        read(unsafe { std::slice::from_raw_parts(first.add(start as usize), length as usize) })
    }

    #[cfg(loom)]
    #[expect(unsafe_code)]
    unsafe fn with_range<R>(&self, start: u64, length: u64, read: impl FnOnce(&[u8]) -> R) -> R {
        let range = (start / 8) as usize..((start + length) / 8) as usize;
        let mut bytes = Vec::new();
        for cell in &self.cells[range] {
            // SAFETY: a valid cell, which nobody writes to now.
            cell.with(|cell| bytes.extend_from_slice(unsafe { &(*cell).0 }));
        }
        read(&bytes)
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<UnsafeCell<Cell>>() == PAGE as usize);
