//! A page's image as a record stores it: without its hole, compressed if that is asked for and helps.
//!
//! The way back is [`crate::image::restore`]. Source: `XLogCompressBackupBlock` and the part of
//! `XLogRecordAssemble` that finds the hole. Invariant: an image that compression does not make smaller, the
//! two bytes of the hole's length counted in, is stored as it is.

use base::page::{PAGE_HEADER_SIZE, PageHeader, RawPage};
use base::{PAGE_SIZE, lz4, pglz};

use crate::record::{IMAGE_LZ4, IMAGE_PGLZ, IMAGE_ZSTD};

/// Size of the field that a compressed image with a hole has more than others, in bytes.
const COMPRESS_HEADER_SIZE: usize = 2;
/// `ZSTD_CLEVEL_DEFAULT`
const ZSTD_LEVEL: i32 = 3;

/// How images are compressed (`wal_compression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ImageCompression {
    /// Not at all.
    #[default]
    None,
    /// By PostgreSQL's own method.
    Pglz,
    /// By lz4, in blocks.
    Lz4,
    /// By zstd, at its ordinary level.
    Zstd,
}

impl ImageCompression {
    /// The bit of `bimg_info`.
    pub(super) const fn flag(self) -> u8 {
        match self {
            ImageCompression::None => 0,
            ImageCompression::Pglz => IMAGE_PGLZ,
            ImageCompression::Lz4 => IMAGE_LZ4,
            ImageCompression::Zstd => IMAGE_ZSTD,
        }
    }
}

/// What a page need not store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Hole {
    pub(super) offset: u16,
    pub(super) length: u16,
}

impl Hole {
    /// Of a page with the standard header. A header that makes no sense has no hole.
    pub(super) fn of(page: &[u8; PAGE_SIZE]) -> Hole {
        let PageHeader { lower, upper, .. } = RawPage::new(page).header();
        let is_sensible = usize::from(lower) >= PAGE_HEADER_SIZE && usize::from(upper) <= PAGE_SIZE;
        if is_sensible && upper > lower {
            Hole { offset: lower, length: upper - lower }
        } else {
            Hole::default()
        }
    }

    /// What lies before and behind it.
    pub(super) fn around(self, page: &[u8; PAGE_SIZE]) -> [&[u8]; 2] {
        let offset = usize::from(self.offset);
        [&page[..offset], &page[offset + usize::from(self.length)..]]
    }
}

/// Compresses images; keeps its working memory from one to the next.
#[derive(Default)]
pub(super) struct Compressor {
    pglz: Option<Box<pglz::Compressor>>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// Appends the page without its hole, compressed, to `output`. `None`, and `output` as it was, where that
    /// is no smaller.
    pub(super) fn compress(
        &mut self,
        method: ImageCompression,
        page: &[u8; PAGE_SIZE],
        hole: Hole,
        output: &mut Vec<u8>,
    ) -> Option<usize> {
        let mut joined = [0; PAGE_SIZE];
        let length = PAGE_SIZE - usize::from(hole.length);
        let [before, behind] = hole.around(page);
        joined[..before.len()].copy_from_slice(before);
        joined[before.len()..length].copy_from_slice(behind);
        let extra = if hole.length > 0 { COMPRESS_HEADER_SIZE } else { 0 };
        // Only what is shorter than this is of use.
        let most = length.checked_sub(extra + 1)?;
        let (source, start) = (&joined[..length], output.len());
        let compressed = match method {
            ImageCompression::None => None,
            ImageCompression::Pglz => {
                output.resize(start + most, 0);
                self.pglz.get_or_insert_default().compress(source, &mut output[start..])
            }
            ImageCompression::Lz4 => lz4::compress(source, output),
            ImageCompression::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
                }
                output.resize(start + zstd::zstd_safe::compress_bound(length), 0);
                let target = &mut output[start..];
                self.zstd.as_mut().and_then(|zstd| zstd.compress_to_buffer(source, target).ok())
            }
        };
        let compressed = compressed.filter(|length| *length <= most);
        output.truncate(start + compressed.unwrap_or(0));
        compressed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_with(lower: u16, upper: u16) -> Box<[u8; PAGE_SIZE]> {
        let mut page = Box::new([0xA5; PAGE_SIZE]);
        page[12..14].copy_from_slice(&lower.to_le_bytes());
        page[14..16].copy_from_slice(&upper.to_le_bytes());
        page
    }

    #[test]
    fn a_hole_is_what_the_header_says_unless_it_makes_no_sense() {
        let hole = |lower, upper| {
            let hole = Hole::of(&page_with(lower, upper));
            (hole.offset, hole.length)
        };
        assert_eq!(hole(28, 8000), (28, 7972));
        assert_eq!(hole(24, 8192), (24, 8168));
        for (lower, upper) in [(23, 8000), (0, 0), (100, 100), (101, 100), (28, 8193)] {
            assert_eq!(hole(lower, upper), (0, 0), "{lower} {upper}");
        }
    }

    #[test]
    fn what_does_not_get_smaller_is_not_compressed() {
        let mut page = page_with(24, 8192);
        // Twenty-four bytes are left, all different.
        for at in (0..12).chain(16..24) {
            page[at] = at as u8;
        }
        let mut compressor = Compressor::default();
        let mut output = vec![1, 2, 3];
        for method in [ImageCompression::Pglz, ImageCompression::Lz4, ImageCompression::Zstd] {
            let hole = Hole::of(&page);
            assert_eq!(compressor.compress(method, &page, hole, &mut output), None, "{method:?}");
            assert_eq!(output, [1, 2, 3]);
        }
    }
}
