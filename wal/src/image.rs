//! Full-page images: from what a record carries back to the 8 kB page.
//!
//! ```text
//! page    |<--- hole_offset --->|<--- hole_length --->|<------- rest ------->|
//! stored  |<--- hole_offset --->|<------- rest ------->|    plain, or compressed as a whole
//! ```
//!
//! The hole is the free space between a page's line pointers and its tuples; it comes back as zeroes.
//! Source: `RestoreBlockImage`, with its messages and its precedence (pglz before lz4 before zstd) where
//! several methods' bits are set.
//!
//! Invariants: every byte of the page is written or the call fails. lz4 and zstd images that turn out
//! shorter than page minus hole pass, as in PostgreSQL; where PostgreSQL then shows what lay on its
//! stack, the bytes are zero here. pglz images must have the exact length.

use std::cell::RefCell;

use base::{Lsn, PAGE_SIZE, pglz};

use crate::record::{BlockRef, IMAGE_LZ4, IMAGE_PGLZ, IMAGE_ZSTD, Record};

/// Why an image cannot be restored, in PostgreSQL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The block reference carries no image.
    #[error("could not restore image at {at} with invalid state, block {block}")]
    NoImage {
        /// Start of the record.
        at: Lsn,
        /// Id of the block reference.
        block: u8,
    },
    /// The stored bytes are not what their compression method says.
    #[error("could not decompress image at {at}, block {block}")]
    NotDecompressed {
        /// Start of the record.
        at: Lsn,
        /// Id of the block reference.
        block: u8,
    },
    /// A compressed image, with no method that is known.
    #[error("could not restore image at {at} compressed with unknown method, block {block}")]
    UnknownMethod {
        /// Start of the record.
        at: Lsn,
        /// Id of the block reference.
        block: u8,
    },
}

/// Restores the image of one of the record's block references into `page`.
///
/// # Errors
/// If there is no image, or it does not decompress; `page` then holds nothing of use.
pub fn restore(
    record: &Record<'_>,
    block: &BlockRef,
    page: &mut [u8; PAGE_SIZE],
) -> Result<(), ImageError> {
    let (at, id) = (record.start(), block.id);
    if !block.has_image() {
        return Err(ImageError::NoImage { at, block: id });
    }
    let stored = record.image_data(block);
    let (offset, hole) = (usize::from(block.hole_offset), usize::from(block.hole_length));
    // The checks of a record have seen to it; a reference from elsewhere is no reason to panic.
    let length = PAGE_SIZE.checked_sub(hole).filter(|length| offset <= *length);
    let length = length.ok_or(ImageError::NotDecompressed { at, block: id })?;
    if block.is_compressed() {
        let method = Method::of(block.image_info);
        let method = method.ok_or(ImageError::UnknownMethod { at, block: id })?;
        let filled = method.decompress(stored, &mut page[..length]);
        let filled = filled.ok_or(ImageError::NotDecompressed { at, block: id })?;
        page[filled..length].fill(0);
    } else {
        let plain = stored.get(..length).ok_or(ImageError::NotDecompressed { at, block: id })?;
        page[..length].copy_from_slice(plain);
    }
    page.copy_within(offset..length, offset + hole);
    page[offset..offset + hole].fill(0);
    Ok(())
}

#[derive(Clone, Copy)]
enum Method {
    Pglz,
    Lz4,
    Zstd,
}

thread_local! {
    /// A zstd context is 150 kB and costs more to set up than an image to decompress.
    static ZSTD: RefCell<zstd::bulk::Decompressor<'static>> = RefCell::default();
}

impl Method {
    fn of(image_info: u8) -> Option<Method> {
        match image_info {
            info if info & IMAGE_PGLZ != 0 => Some(Method::Pglz),
            info if info & IMAGE_LZ4 != 0 => Some(Method::Lz4),
            info if info & IMAGE_ZSTD != 0 => Some(Method::Zstd),
            _ => None,
        }
    }

    /// How many bytes of `output` hold the image now; what lies behind them is undefined.
    fn decompress(self, stored: &[u8], output: &mut [u8]) -> Option<usize> {
        match self {
            Method::Pglz => pglz::decompress(stored, output).then_some(output.len()),
            // PostgreSQL takes a result of 0 for a failure here, and not with zstd.
            Method::Lz4 => {
                lz4_flex::block::decompress_into(stored, output).ok().filter(|filled| *filled > 0)
            }
            Method::Zstd => {
                ZSTD.with_borrow_mut(|zstd| zstd.decompress_to_buffer(stored, output).ok())
            }
        }
    }
}

#[cfg(test)]
mod tests;
