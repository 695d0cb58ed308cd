//! Values compressed in a tuple, or in chunks: a word that says how long the value is and how it is compressed, and behind it
//! what the method makes of it.
//!
//! Source: `toast_compression.c`, `toast_compress_datum`. Invariant: what is compressed takes at least two bytes less than the
//! value, its own header included. Damaged bytes are refused before memory is had for more than they could stand for.

use std::cell::RefCell;

use base::lz4;
use base::pglz::{self, Compressor};

use super::error::ToastError;
use crate::heap::Compression;
use crate::heap::varlena::{
    COMPRESSED_HEADER, LONG_HEADER, compressed_header, read_compressed_header,
};

/// How many bytes a byte of LZ4 stands for at most, and a few more.
const LZ4_MOST: usize = 255;

thread_local! {
    static PGLZ: RefCell<Compressor> = RefCell::default();
}

/// A value compressed, with the word in front of it; `None` where that is not worth it.
pub(crate) fn compress(value: &[u8], method: Compression) -> Option<Vec<u8>> {
    let mut stored = compressed_header(value.len(), method).to_vec();
    match method {
        Compression::Pglz => {
            stored.resize(COMPRESSED_HEADER + value.len(), 0);
            let output = &mut stored[COMPRESSED_HEADER..];
            let length = PGLZ.with_borrow_mut(|pglz| pglz.compress(value, output))?;
            stored.truncate(COMPRESSED_HEADER + length);
        }
        Compression::Lz4 => {
            lz4::compress(value, &mut stored)?;
        }
    }
    let is_worth_it = LONG_HEADER + stored.len() + 2 < value.len();
    is_worth_it.then(|| {
        stored.shrink_to_fit();
        stored
    })
}

/// The reverse.
///
/// # Errors
/// [`ToastError::Corrupt`], [`ToastError::Method`].
pub(crate) fn decompress(stored: &[u8]) -> Result<Vec<u8>, ToastError> {
    let Some((header, data)) = stored.split_first_chunk::<COMPRESSED_HEADER>() else {
        return Err(ToastError::Corrupt { method: Compression::Pglz.name() });
    };
    let (length, method) = read_compressed_header(*header);
    let method = method.ok_or(ToastError::Method(u32::from(header[3]) >> 6))?;
    let most = match method {
        Compression::Pglz => pglz::longest_output(data.len()),
        Compression::Lz4 => data.len().saturating_mul(LZ4_MOST),
    };
    let corrupt = ToastError::Corrupt { method: method.name() };
    if length > most {
        return Err(corrupt);
    }
    let mut value = vec![0; length];
    let is_whole = match method {
        Compression::Pglz => pglz::decompress(data, &mut value),
        Compression::Lz4 => {
            lz4_flex::block::decompress_into(data, &mut value).is_ok_and(|filled| filled == length)
        }
    };
    if is_whole { Ok(value) } else { Err(corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Vec<u8>> {
        let piece = (any::<u8>(), 1usize..300, any::<bool>());
        prop::collection::vec(piece, 0..20).prop_map(|pieces| {
            let of = |(byte, length, runs): (u8, usize, bool)| {
                (0..length).map(move |at| if runs { byte } else { byte ^ (at * at) as u8 })
            };
            pieces.into_iter().flat_map(of).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(value in values(), is_lz4 in any::<bool>()) {
            let method = if is_lz4 { Compression::Lz4 } else { Compression::Pglz };
            if let Some(stored) = compress(&value, method) {
                prop_assert!(stored.len() + 6 < value.len());
                prop_assert_eq!(decompress(&stored), Ok(value));
            }
        }

        #[test]
        fn damaged_bytes_are_refused_or_read(mut value in values(), is_lz4 in any::<bool>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            value.extend_from_slice(&[7; 100]);
            let method = if is_lz4 { Compression::Lz4 } else { Compression::Pglz };
            if let Some(mut stored) = compress(&value, method) {
                let at = at.index(stored.len());
                stored[at] ^= 1 << bit;
                let _ = decompress(&stored);
                let _ = decompress(&stored[..at]);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(stored in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decompress(&stored);
        }
    }

    #[test]
    fn a_claim_of_more_than_can_be_is_refused() {
        for method in [Compression::Pglz, Compression::Lz4] {
            let stored = compress(&[7; 5000], method).expect("it repeats");
            let mut longer = stored.clone();
            longer[..4].copy_from_slice(&compressed_header((1 << 30) - 1, method));
            assert_eq!(decompress(&longer), Err(ToastError::Corrupt { method: method.name() }));
            let mut of_nothing = stored;
            of_nothing[3] |= 0x80;
            assert_eq!(decompress(&of_nothing), Err(ToastError::Method(2 | method.id())));
        }
    }
}
