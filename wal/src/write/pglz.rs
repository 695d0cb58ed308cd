//! PostgreSQL's own LZ compression: the compressor. The format is told where it is read, in `image/pglz.rs`.
//!
//! A chain of earlier places for each hash of three bytes, newest first, of which so many are tried; the
//! longest match wins. PostgreSQL finds its matches with another hash and another bound, so the bytes differ
//! from those that it would write, and both read both.
//!
//! Invariants: gives up where PostgreSQL does: below 32 bytes, without a match in the first 1,024 bytes of
//! input, and where less than a quarter is saved (`PGLZ_strategy_default`). Inputs are at most 64 kB - 1.

const MAX_DISTANCE: usize = 4095;
const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 273;
/// A match from this length on is not bettered.
const GOOD_MATCH: usize = 128;
/// How many earlier places are tried for a match.
const MAX_TRIES: usize = 16;
const MIN_INPUT: usize = 32;
/// What of the output must be there for a first match.
const FIRST_MATCH_BY: usize = 1024;
const HASH_BITS: u32 = 12;
const NOWHERE: u16 = u16::MAX;

/// The working memory, kept from one input to the next.
#[derive(Debug)]
pub(super) struct Compressor {
    /// The newest place of each hash.
    newest: [u16; 1 << HASH_BITS],
    /// For each place the one before it of the same hash.
    older: Vec<u16>,
}

impl Default for Compressor {
    fn default() -> Compressor {
        Compressor { newest: [NOWHERE; 1 << HASH_BITS], older: Vec::new() }
    }
}

/// The output: a control byte before each eight items.
struct Items<'a> {
    output: &'a mut [u8],
    at: usize,
    control_at: usize,
    /// Items since the control byte.
    count: u32,
}

impl Items<'_> {
    /// Appends an item; `None` if it does not fit.
    fn push(&mut self, item: &[u8], is_match: bool) -> Option<()> {
        if self.count == 8 {
            self.control_at = self.at;
            *self.output.get_mut(self.at)? = 0;
            self.at += 1;
            self.count = 0;
        }
        self.output.get_mut(self.at..self.at + item.len())?.copy_from_slice(item);
        self.at += item.len();
        self.output[self.control_at] |= u8::from(is_match) << self.count;
        self.count += 1;
        Some(())
    }
}

impl Compressor {
    /// Compresses `input` into `output` and gives the length. `None` if it does not fit, or is not worth it.
    pub(super) fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        if input.len() < MIN_INPUT || input.len() >= usize::from(NOWHERE) {
            return None;
        }
        // As PostgreSQL computes it: a quarter must be saved.
        let most = (input.len() * 75 / 100).min(output.len());
        self.newest.fill(NOWHERE);
        self.older.clear();
        self.older.resize(input.len(), NOWHERE);
        let mut items = Items { output: &mut output[..most], at: 0, control_at: 0, count: 8 };
        let mut found_any = false;
        let mut at = 0;
        while at < input.len() {
            if !found_any && items.at >= FIRST_MATCH_BY {
                return None;
            }
            match self.longest_match(input, at) {
                Some((distance, length)) => {
                    push_match(&mut items, distance, length)?;
                    for place in at..at + length {
                        self.remember(input, place);
                    }
                    at += length;
                    found_any = true;
                }
                None => {
                    items.push(&input[at..=at], false)?;
                    self.remember(input, at);
                    at += 1;
                }
            }
        }
        Some(items.at)
    }

    fn hash(input: &[u8], at: usize) -> Option<usize> {
        let [a, b, c] = *input.get(at..)?.first_chunk::<3>()?;
        let word = u32::from_le_bytes([a, b, c, 0]);
        Some((word.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize)
    }

    fn remember(&mut self, input: &[u8], at: usize) {
        if let Some(hash) = Self::hash(input, at) {
            self.older[at] = self.newest[hash];
            self.newest[hash] = at as u16;
        }
    }

    /// Distance and length of the longest match at `at`.
    fn longest_match(&self, input: &[u8], at: usize) -> Option<(usize, usize)> {
        let most = (input.len() - at).min(MAX_MATCH);
        let mut place = self.newest[Self::hash(input, at)?];
        let mut best = (0, MIN_MATCH - 1);
        for _ in 0..MAX_TRIES {
            if place == NOWHERE || at - usize::from(place) > MAX_DISTANCE {
                break;
            }
            let from = usize::from(place);
            let same = input[from..].iter().zip(&input[at..at + most]).take_while(|(a, b)| a == b);
            let length = same.count();
            if length > best.1 {
                best = (at - from, length);
                if length >= GOOD_MATCH {
                    break;
                }
            }
            place = self.older[from];
        }
        (best.1 >= MIN_MATCH).then_some(best)
    }
}

fn push_match(items: &mut Items<'_>, distance: usize, length: usize) -> Option<()> {
    let high = (distance >> 4 & 0xF0) as u8;
    let low = distance as u8;
    if length >= 18 {
        items.push(&[high | 0x0F, low, (length - 18) as u8], true)
    } else {
        items.push(&[high | (length - 3) as u8, low], true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::pglz::decompress;
    use proptest::prelude::*;

    fn round_trip(input: &[u8]) -> Option<usize> {
        let mut output = vec![0xEE; input.len()];
        let length = Compressor::default().compress(input, &mut output)?;
        let mut again = vec![0x11; input.len()];
        assert!(decompress(&output[..length], &mut again), "decompresses");
        assert_eq!(again, input);
        Some(length)
    }

    #[test]
    fn what_repeats_gets_small_and_what_does_not_is_left() {
        assert_eq!(round_trip(&[7; 8192]), Some(96));
        assert_eq!(round_trip(&[7; 31]), None);
        let mut state = 1u64;
        let noise: Vec<u8> = (0..8192)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert_eq!(round_trip(&noise), None);
    }

    #[test]
    fn a_match_reaches_back_4095_bytes_and_no_further() {
        for (gap, found) in [(4095, true), (4096, false)] {
            let mut input: Vec<u8> = (0..gap).map(|at| (at / 64) as u8).collect();
            let word = [200, 201, 202, 203, 204, 205, 206, 207];
            input[..8].copy_from_slice(&word);
            let without = round_trip(&[&input[..], &[9; 8]].concat()).expect("compresses");
            input.extend_from_slice(&word);
            let with = round_trip(&input).expect("compresses");
            assert_eq!(with <= without, found, "{gap}: {with} bytes, {without} without a match");
        }
    }

    proptest! {
        #[test]
        fn anything_that_compresses_comes_back(
            pieces in proptest::collection::vec((any::<u8>(), 1usize..400, any::<bool>()), 1..60),
        ) {
            let mut input = Vec::new();
            for (byte, length, runs) in pieces {
                input.extend((0..length).map(|at| if runs { byte } else { byte ^ at as u8 }));
            }
            round_trip(&input);
        }
    }
}
