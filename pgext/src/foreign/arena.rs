//! Texts and byte strings as the server has them, in memory that is used again and again.
//!
//! The length is `SET_VARSIZE`'s: of the whole, shifted by two, in the four bytes before the data. Values are aligned to
//! four bytes, as `text` and `bytea` want it. No server function is called, so other threads may do this, too.

use pgrx::pg_sys::Datum;
use zerocopy::IntoBytes as _;

use crate::error::SqlError;
use crate::ffi::value;

/// Values of a variable length.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    words: Vec<u32>,
}

const LENGTH_SIZE: usize = 4;
/// The longest value of a variable length that the server has, its length included (`MaxAllocSize`).
const MAX_SIZE: usize = 0x3FFF_FFFF;

impl Arena {
    /// Forgets all values, keeps the space.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.words.clear();
    }

    /// Puts a value in; returns where.
    #[inline]
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<usize, SqlError> {
        let size = LENGTH_SIZE + bytes.len();
        if size > MAX_SIZE {
            return Err(value::too_long(bytes.len()));
        }
        let at = self.words.len();
        self.words.resize(at + size.div_ceil(size_of::<u32>()), 0);
        let place = &mut self.words[at..].as_mut_bytes()[..size];
        place[..LENGTH_SIZE].copy_from_slice(&((size as u32) << 2).to_le_bytes());
        place[LENGTH_SIZE..].copy_from_slice(bytes);
        Ok(at)
    }

    /// The value that was put there. The pointer is good until something more is put in, or the arena goes.
    #[inline]
    pub(crate) fn datum(&self, at: usize) -> Datum {
        Datum::from(self.words[at..].as_ptr())
    }
}
