//! CRC-32C (Castagnoli), as records, pg_control and two-phase files carry it.
//!
//! Records are short (60 bytes is common), and a call into a general routine costs more than the sum; so
//! the loop over eight bytes a step is written here, with the processor's instruction where it has one,
//! and what is long goes to the `crc32c` crate, which runs three streams at once.
//! Measured: see docs/benchmarks/wal.md.

/// From this length on the crate's three interleaved streams win over the one chain here.
const LONG: usize = 512;

/// The CRC-32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// The CRC-32C of what `crc` is the sum of, followed by `bytes`.
#[inline]
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < LONG && std::arch::is_x86_feature_detected!("sse4.2") {
        return hardware::append(crc, bytes);
    }
    crc32c::crc32c_append(crc, bytes)
}

/// The sum of a record of at least a header's length: of everything behind the header, then of the header
/// before the sum itself.
#[inline(always)] // part of the loop over all records; measured
pub(crate) fn of_record(record: &[u8]) -> u32 {
    const HEADER: usize = crate::record::HEADER_SIZE;
    #[cfg(target_arch = "x86_64")]
    if record.len() < LONG && std::arch::is_x86_feature_detected!("sse4.2") {
        return hardware::of_record(record);
    }
    let (header, rest) = record.split_at(HEADER);
    append(append(0, rest), &header[..HEADER - size_of::<u32>()])
}

/// The sum by the processor's own instruction.
#[cfg(target_arch = "x86_64")]
mod hardware {
    use std::arch::x86_64::{_mm_crc32_u32, _mm_crc32_u64};

    use crate::record::HEADER_SIZE;

    #[inline]
    #[expect(
        unsafe_code,
        reason = "the instruction needs SSE 4.2, which is looked for at run time"
    )]
    pub(super) fn append(crc: u32, bytes: &[u8]) -> u32 {
        // SAFETY: the caller has seen that the processor has SSE 4.2.
        unsafe { chain(crc, bytes) }
    }

    #[inline(always)]
    #[expect(
        unsafe_code,
        reason = "the instruction needs SSE 4.2, which is looked for at run time"
    )]
    pub(super) fn of_record(record: &[u8]) -> u32 {
        // SAFETY: the caller has seen that the processor has SSE 4.2.
        unsafe { record_chain(record) }
    }

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn words(mut state: u64, bytes: &[u8]) -> u64 {
        let (quads, rest) = bytes.as_chunks::<32>();
        for quad in quads {
            for word in quad.as_chunks::<8>().0 {
                state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
            }
        }
        for word in rest.as_chunks::<8>().0 {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        state
    }

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn chain(crc: u32, bytes: &[u8]) -> u32 {
        let mut state = words(u64::from(!crc), bytes) as u32;
        let (fours, rest) = bytes.as_chunks::<8>().1.as_chunks::<4>();
        for four in fours {
            state = _mm_crc32_u32(state, u32::from_le_bytes(*four));
        }
        for &byte in rest {
            state = std::arch::x86_64::_mm_crc32_u8(state, byte);
        }
        !state
    }

    /// The bytes behind the last whole word are taken in one step: the sum over n < 8 bytes `b` from state
    /// `s` is that over (8 - n) zero bytes followed by `b ^ s` from state 0, and what `s` has beyond n
    /// bytes. They are loaded as the top of the record's last eight bytes, which a header always fills.
    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn record_chain(record: &[u8]) -> u32 {
        let (Some((header, body)), Some(last)) =
            (record.split_first_chunk::<HEADER_SIZE>(), record.last_chunk::<8>())
        else {
            return 0;
        };
        let mut state = words(u64::from(!0u32), body);
        let bits = 8 * (body.len() as u32 % 8);
        if bits != 0 {
            let tail = u64::from_le_bytes(*last) >> (64 - bits);
            state = _mm_crc32_u64(0, (tail ^ state) << (64 - bits)) ^ state >> bits;
        }
        for word in header.as_chunks::<8>().0.iter().take(2) {
            state = _mm_crc32_u64(state, u64::from_le_bytes(*word));
        }
        let [.., r0, r1, r2, r3, _, _, _, _] = *header;
        !_mm_crc32_u32(state as u32, u32::from_le_bytes([r0, r1, r2, r3]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_value_of_the_polynomial() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    proptest! {
        #[test]
        fn agrees_with_the_crate_for_every_length_and_split(
            bytes in proptest::collection::vec(any::<u8>(), 0..1500), split in 0usize..1500,
        ) {
            let split = split.min(bytes.len());
            let whole = crc32c::crc32c(&bytes);
            prop_assert_eq!(crc32c(&bytes), whole);
            prop_assert_eq!(append(crc32c(&bytes[..split]), &bytes[split..]), whole);
        }

        #[test]
        fn of_a_record_is_of_its_body_and_then_its_header(
            record in proptest::collection::vec(any::<u8>(), 24..700),
        ) {
            let body_then_header = [&record[24..], &record[..20]].concat();
            prop_assert_eq!(of_record(&record), crc32c::crc32c(&body_then_header));
        }
    }
}
