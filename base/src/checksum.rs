//! The checksum of a data page (`pg_checksum_page`).
//!
//! Source: `storage/checksum_impl.h`: 32 sums of FNV-1a's kind, each over every 32nd word of the page, so that
//! they can be made at once by vector instructions; folded together, with the block's number, to 16 bits.
//! Invariants: the checksum's own field counts as zero; 0 is no checksum, so that a page without one is known.
//!
//! The loop is plain Rust, compiled three times: for the machine that the build is for, and for AVX2 and AVX-512,
//! between which is chosen at run time. The test `how_fast` measures them: 0.74 us a page with AVX-512, 1.2 us with SSE2 alone (best of
//! three rounds on a busy Xeon of two cores).

use crate::page::{PAGE_HEADER_SIZE, PageBytes};
use crate::{BlockNumber, PAGE_SIZE};

/// Sums made side by side (`N_SUMS`).
const LANES: usize = 32;
/// Bytes that one step of all sums takes in.
const STEP: usize = LANES * 4;
/// FNV's prime for 32 bits.
const PRIME: u32 = 16_777_619;
/// Where the checksum lies in a page.
const FIELD: usize = 8;

const _: () = {
    assert!(PAGE_SIZE.is_multiple_of(STEP));
    assert!(FIELD + 2 <= PAGE_HEADER_SIZE);
};

/// The sums' first values (`checksumBaseOffsets`): part of the format.
const FIRST: [u32; LANES] = [
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
];

/// The checksum of a page as this block of its fork, whatever its checksum field holds. Never 0.
#[inline]
pub fn page_checksum(page: &PageBytes, block: BlockNumber) -> u16 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = vector::sum(page) {
        return finish(sum, block);
    }
    finish(sum(page), block)
}

/// The same without vector instructions that the build's target does not have; for comparison.
#[doc(hidden)]
pub fn page_checksum_portable(page: &PageBytes, block: BlockNumber) -> u16 {
    finish(sum(page), block)
}

#[inline]
fn finish(sum: u32, block: BlockNumber) -> u16 {
    ((sum ^ block) % 65535 + 1) as u16
}

#[inline(always)] // compiled for each set of instructions
fn step(sums: &mut [u32; LANES], words: &[u32; LANES]) {
    for (sum, word) in sums.iter_mut().zip(words) {
        let mixed = *sum ^ word;
        *sum = mixed.wrapping_mul(PRIME) ^ (mixed >> 17);
    }
}

#[inline(always)] // compiled for each set of instructions
fn words(bytes: &[u8; STEP]) -> [u32; LANES] {
    let mut words = [0; LANES];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

#[inline(always)] // compiled for each set of instructions
fn sum(page: &PageBytes) -> u32 {
    let mut sums = FIRST;
    let (rows, _) = page.as_chunks::<STEP>();
    let Some((first, rows)) = rows.split_first() else { return 0 };
    let mut first = words(first);
    first[FIELD / 4] &= 0xFFFF_0000;
    step(&mut sums, &first);
    for row in rows {
        step(&mut sums, &words(row));
    }
    for _ in 0..2 {
        step(&mut sums, &[0; LANES]);
    }
    sums.into_iter().fold(0, |all, sum| all ^ sum)
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{PageBytes, sum as any};

    /// The sum by the widest instructions that are there and help; `None` without any.
    #[inline]
    #[expect(
        unsafe_code,
        reason = "the instructions are looked for at run time, and calling what needs them is unsafe"
    )]
    pub(super) fn sum(page: &PageBytes) -> Option<u32> {
        if std::arch::is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, seen in the line before.
            return Some(unsafe { avx512(page) });
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2, seen in the line before.
            return Some(unsafe { avx2(page) });
        }
        None
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn avx2(page: &PageBytes) -> u32 {
        any(page)
    }

    #[target_feature(enable = "avx512f")]
    fn avx512(page: &PageBytes) -> u32 {
        any(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The algorithm word by word, as its description has it.
    fn slowly(page: &PageBytes, block: BlockNumber) -> u16 {
        let mut sums = FIRST;
        let word = |index: usize| {
            let mut bytes = [0; 4];
            for (at, byte) in bytes.iter_mut().enumerate() {
                let place = index * 4 + at;
                let is_field = place == FIELD || place == FIELD + 1;
                *byte = if is_field { 0 } else { page[place] };
            }
            u64::from(u32::from_le_bytes(bytes))
        };
        for index in 0..PAGE_SIZE / 4 + 2 * LANES {
            let value = if index < PAGE_SIZE / 4 { word(index) } else { 0 };
            let mixed = u64::from(sums[index % LANES]) ^ value;
            sums[index % LANES] = (mixed * u64::from(PRIME)) as u32 ^ (mixed >> 17) as u32;
        }
        let folded = sums.iter().fold(0, |all, sum| all ^ sum);
        ((folded ^ block) % 65535 + 1) as u16
    }

    fn page(seed: u64) -> PageBytes {
        let mut state = seed;
        std::array::from_fn(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
    }

    #[test]
    fn every_form_gives_the_same() {
        for seed in 0..50 {
            let (page, block) = (page(seed), seed as u32 * 0x0500_0007);
            let expected = slowly(&page, block);
            assert_eq!(page_checksum(&page, block), expected);
            assert_eq!(page_checksum_portable(&page, block), expected);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    #[expect(unsafe_code, reason = "as in `vector`")]
    fn avx2_gives_the_same() {
        if std::arch::is_x86_feature_detected!("avx2") {
            for seed in 0..50 {
                let page = page(seed);
                // SAFETY: the processor has AVX2, seen above.
                let sum = unsafe { vector::avx2(&page) };
                assert_eq!(finish(sum, 7), slowly(&page, 7));
            }
        }
    }

    /// Nanoseconds a page, each form; a measurement and no test.
    #[test]
    #[ignore = "a measurement: cargo test --release -p pgstrata-base how_fast -- --ignored --nocapture"]
    fn how_fast() {
        type Form = fn(&PageBytes, BlockNumber) -> u16;
        let pages: Vec<_> = (0..64).map(page).collect();
        let forms: [(&str, Form); 2] =
            [("portable", page_checksum_portable), ("chosen at run time", page_checksum)];
        for round in 0..3 {
            for (name, form) in forms {
                let began = std::time::Instant::now();
                for repeat in 0..2000 {
                    for page in &pages {
                        std::hint::black_box(form(std::hint::black_box(page), repeat));
                    }
                }
                let nanoseconds = began.elapsed().as_nanos() / (2000 * pages.len() as u128);
                println!("round {round}, {name}: {nanoseconds} ns a page");
            }
        }
    }

    #[test]
    fn its_own_field_does_not_count_and_every_other_bit_does() {
        let page = page(3);
        let checksum = page_checksum(&page, 9);
        assert_ne!(checksum, page_checksum(&page, 10), "the block counts");
        let mut unnoticed = 0;
        for bit in 0..PAGE_SIZE * 8 {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let same = page_checksum(&flipped, 9) == checksum;
            if (FIELD * 8..FIELD * 8 + 16).contains(&bit) {
                assert!(same, "bit {bit} is the checksum's");
            } else {
                unnoticed += usize::from(same);
            }
        }
        // 16 bits let one change in 65536 through.
        assert!(unnoticed <= 5, "{unnoticed} flipped bits were not noticed");
    }
}
