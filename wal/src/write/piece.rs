//! The bytes of a record that its builder puts together itself: headers and, of a short record, all of it.
//!
//! The memory has a fixed size that every record's headers fit into, so that adding a field is a store and one
//! comparison. Invariant: what is added beyond that size is a panic; it never happens for what
//! [`Builder`](super::Builder) has checked.

use crate::record::{HEADER_SIZE, MAX_BLOCK_ID};

/// Up to this length a record is put together in one piece.
pub(super) const ONE_PIECE: usize = 2048;

/// The most that part headers take: of each block, header, image header, hole, locator, number; then origin,
/// top-level transaction, main data.
const LONGEST_HEADERS: usize =
    HEADER_SIZE + (MAX_BLOCK_ID as usize + 1) * (4 + 5 + 2 + 12 + 4) + 3 + 5 + 5;
const SIZE: usize = ONE_PIECE + 8;
const _: () = assert!(LONGEST_HEADERS <= SIZE);

/// The piece.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Box<[u8; SIZE]>,
    length: usize,
}

impl Default for Piece {
    fn default() -> Piece {
        Piece { bytes: Box::new([0; SIZE]), length: 0 }
    }
}

impl Piece {
    /// Begins with a header.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.length = HEADER_SIZE;
    }

    /// Adds a field.
    #[inline]
    pub(super) fn field<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.length..self.length + N].copy_from_slice(&field);
        self.length += N;
    }

    /// Adds bytes.
    #[inline]
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Fills with zeros up to where the next record is aligned.
    #[inline]
    pub(super) fn align(&mut self) {
        // A whole word of zeros, of which the length takes what is needed.
        self.bytes[self.length..].iter_mut().take(8).for_each(|byte| *byte = 0);
        self.length = self.length.next_multiple_of(8);
    }

    /// Length in bytes.
    #[inline]
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The header.
    #[inline]
    pub(super) fn header(&mut self) -> &mut [u8; HEADER_SIZE] {
        let Some(header) = self.bytes.first_chunk_mut() else { unreachable!("it is longer") };
        header
    }

    /// All that was added.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
