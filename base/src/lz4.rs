//! LZ4 as PostgreSQL compresses by it: values in tuples, and images of pages in the log.
//!
//! A block alone: neither its length nor the value's is in it, and there is no frame round it. One value has many compressions, and
//! each compressor finds another. Those in PostgreSQL's files are of `LZ4_compress_default`, so that very function is called, of
//! the liblz4 that the crate `lz4` brings along. C sees only what is to be compressed; compressed bytes that come from files are
//! given to `lz4_flex`, which is safe Rust.
//!
//! Source: `lz4_compress_datum` in `toast_compression.c`, `XLogCompressBackupBlock` in `xloginsert.c` of PostgreSQL 15. Invariant:
//! whoever finds a compression too long finds it so afterwards. While it is made, it has room however long it gets
//! (`LZ4_compressBound`), as in PostgreSQL.

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer};

/// Appends the value, compressed, to `output`; of how many bytes that is. `None`, and `output` as it was, of a value of more than
/// 2,113,929,216 bytes (`LZ4_MAX_INPUT_SIZE`).
pub fn compress(value: &[u8], output: &mut Vec<u8>) -> Option<usize> {
    let start = output.len();
    output.resize(start + compress_bound(value.len()).ok()?, 0);
    let (mode, room) = (Some(CompressionMode::DEFAULT), &mut output[start..]);
    let compressed = compress_to_buffer(value, mode, false, room).ok();
    output.truncate(start + compressed.unwrap_or(0));
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(pieces in prop::collection::vec((any::<u8>(), 0usize..300), 0..20)) {
            let value: Vec<u8> = pieces
                .into_iter()
                .flat_map(|(byte, length)| (0..length).map(move |at| byte ^ ((at * at) >> 7) as u8))
                .collect();
            let mut output = vec![1, 2, 3];
            let length = compress(&value, &mut output).expect("it has room");
            prop_assert_eq!(output.len(), 3 + length);
            prop_assert_eq!(&output[..3], [1, 2, 3]);
            prop_assert_eq!(lz4_flex::block::decompress(&output[3..], value.len()).ok(), Some(value));
        }
    }
}
