//! Compression, with PostgreSQL's default strategy.
//!
//! The last 4,096 places of the input are kept in chains, the newest first, by a hash of four bytes. At each place its chain is
//! gone along until a match is good enough, and what is good enough gets less with each step: 128 bytes, then a tenth less
//! each time. The first of the longest wins.
//!
//! | given up | |
//! |---|---|
//! | at once | below 32 bytes |
//! | on the way | 1,024 bytes came out without a match |
//! | on the way, or at the end | less than a quarter is saved |
//!
//! Source: `pglz_compress`, `pglz_find_match`, `PGLZ_strategy_default`.
//!
//! Invariants: place 0 of the chains is nobody's and ends each. A chain may lead to a place that is too far back, never to one
//! that was given to another byte since.

/// A match lies less than this far back, though a distance could say it (`0x0fff`).
const TOO_FAR: usize = 0x0FFF;
const MIN_MATCH: usize = 3;
const MAX_MATCH: usize = 273;
/// Places kept (`PGLZ_HISTORY_SIZE`).
const PLACES: usize = 4096;
/// Chains at most (`PGLZ_MAX_HISTORY_LISTS`).
const CHAINS: usize = 8192;
/// The default strategy's `min_input_size`.
const MIN_INPUT: usize = 32;
/// Its `min_comp_rate`: how many of 100 bytes are to be saved.
const SAVED: usize = 25;
/// Its `first_success_by`.
const FIRST_MATCH_BY: usize = 1024;
/// Its `match_size_good`: at first.
const GOOD_MATCH: usize = 128;
/// Its `match_size_drop`: by how many of 100 bytes a match may be shorter after each step.
const GOOD_MATCH_DROP: usize = 10;
/// Above this length the bound is computed as to not overflow 32 bits (`INT_MAX / 100`).
const ROUNDED_ABOVE: usize = 21_474_836;
/// The longest value.
const MAX_INPUT: usize = i32::MAX as usize;

/// No place.
const NONE: u16 = 0;

/// A place of the input in its chain.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    next: u16,
    previous: u16,
    chain: u16,
    at: u32,
}

/// The working memory, kept from one input to the next.
#[derive(Debug)]
pub struct Compressor {
    /// The newest place of each chain.
    newest: Box<[u16; CHAINS]>,
    /// The first is not used.
    entries: Box<[Entry; PLACES + 1]>,
}

impl Default for Compressor {
    fn default() -> Compressor {
        let entries = vec![Entry::default(); PLACES + 1].into_boxed_slice();
        let newest = vec![NONE; CHAINS].into_boxed_slice();
        Compressor {
            newest: newest.try_into().expect("of that length"),
            entries: entries.try_into().expect("of that length"),
        }
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
    #[inline]
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

    fn push_match(&mut self, distance: usize, length: usize) -> Option<()> {
        let high = (distance >> 4 & 0xF0) as u8;
        let low = distance as u8;
        if length > 17 {
            self.push(&[high | 0x0F, low, (length - 18) as u8], true)
        } else {
            self.push(&[high | (length - MIN_MATCH) as u8, low], true)
        }
    }
}

/// Where the next place is kept.
struct Turn {
    entry: u16,
    /// Whether it was another place's before.
    is_again: bool,
}

/// How many chains there are for an input of this length.
fn chains(length: usize) -> usize {
    match length {
        0..128 => 512,
        128..256 => 1024,
        256..512 => 2048,
        512..1024 => 4096,
        _ => CHAINS,
    }
}

/// The chain of a place. Bytes count as signed, as `char` is on x86.
#[inline]
fn chain_of(input: &[u8], at: usize, mask: usize) -> usize {
    let signed = |byte: u8| i32::from(byte as i8);
    let hash = match input[at..].first_chunk::<4>() {
        Some(&[a, b, c, d]) => signed(a) << 6 ^ signed(b) << 4 ^ signed(c) << 2 ^ signed(d),
        None => signed(input[at]),
    };
    hash as usize & mask
}

/// How many bytes are the same from two places on, `most` at most.
#[inline]
fn same(input: &[u8], from: usize, at: usize, most: usize) -> usize {
    let (one, other) = (&input[from..from + most], &input[at..at + most]);
    let mut length = 0;
    for (one, other) in one.chunks_exact(8).zip(other.chunks_exact(8)) {
        let word = |bytes: &[u8]| u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes"));
        let differ = word(one) ^ word(other);
        if differ != 0 {
            return length + differ.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = one[length..].iter().zip(&other[length..]);
    length + rest.take_while(|(one, other)| one == other).count()
}

impl Compressor {
    /// Compresses `input` into `output`, and gives the length. `None` if it does not fit, or is not worth it.
    pub fn compress(&mut self, input: &[u8], output: &mut [u8]) -> Option<usize> {
        if !(MIN_INPUT..=MAX_INPUT).contains(&input.len()) {
            return None;
        }
        let most = match input.len() {
            length if length > ROUNDED_ABOVE => length / 100 * (100 - SAVED),
            length => length * (100 - SAVED) / 100,
        };
        let mask = chains(input.len()) - 1;
        self.newest[..=mask].fill(NONE);
        let mut turn = Turn { entry: 1, is_again: false };
        // What is as long as that is not worth it.
        let fits = most.saturating_sub(1).min(output.len());
        let mut items = Items { output: &mut output[..fits], at: 0, control_at: 0, count: 8 };
        let (mut at, mut found_any) = (0, false);
        while at < input.len() {
            if !found_any && items.at >= FIRST_MATCH_BY {
                return None;
            }
            match self.longest_match(input, at, mask) {
                Some((distance, length)) => {
                    items.push_match(distance, length)?;
                    for place in at..at + length {
                        self.remember(input, place, mask, &mut turn);
                    }
                    at += length;
                    found_any = true;
                }
                None => {
                    items.push(&input[at..=at], false)?;
                    self.remember(input, at, mask, &mut turn);
                    at += 1;
                }
            }
        }
        Some(items.at)
    }

    /// Puts a place in front of its chain, in the room of the oldest one that is kept.
    #[inline]
    fn remember(&mut self, input: &[u8], at: usize, mask: usize, turn: &mut Turn) {
        let chain = chain_of(input, at, mask);
        let own = turn.entry;
        if turn.is_again {
            let Entry { next, previous, chain, .. } = self.entries[usize::from(own)];
            match previous {
                NONE => self.newest[usize::from(chain)] = next,
                previous => self.entries[usize::from(previous)].next = next,
            }
            self.entries[usize::from(next)].previous = previous;
        }
        let next = std::mem::replace(&mut self.newest[chain], own);
        self.entries[usize::from(own)] =
            Entry { next, previous: NONE, chain: chain as u16, at: at as u32 };
        self.entries[usize::from(next)].previous = own;
        turn.entry += 1;
        if usize::from(turn.entry) > PLACES {
            *turn = Turn { entry: 1, is_again: true };
        }
    }

    /// Distance and length of the match that is taken at a place.
    #[inline]
    fn longest_match(&self, input: &[u8], at: usize, mask: usize) -> Option<(usize, usize)> {
        let most = (input.len() - at).min(MAX_MATCH);
        let mut entry = self.newest[chain_of(input, at, mask)];
        let (mut distance, mut length, mut good) = (0, 0, GOOD_MATCH);
        while entry != NONE {
            let Entry { next, at: from, .. } = self.entries[usize::from(entry)];
            let from = from as usize;
            if at - from >= TOO_FAR {
                break;
            }
            // Only a longer one counts, which has the byte behind the longest so far.
            if length < most && input[from + length] == input[at + length] {
                let found = same(input, from, at, most);
                if found > length {
                    (distance, length) = (at - from, found);
                }
            }
            entry = next;
            if length >= good {
                break;
            }
            good -= good * GOOD_MATCH_DROP / 100;
        }
        (length >= MIN_MATCH).then_some((distance, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pglz::decompress;
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
        assert_eq!(round_trip(&[7; 32]), Some(5));
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
    fn memory_that_was_used_before_changes_nothing() {
        let mut compressor = Compressor::default();
        let inputs: Vec<Vec<u8>> = (1..40usize)
            .map(|seed| (0..seed * 300).map(|at| (at * at / (seed + 7)) as u8).collect())
            .collect();
        for input in inputs.iter().rev().chain(&inputs) {
            let (mut one, mut other) = (vec![0; input.len()], vec![1; input.len()]);
            let length = compressor.compress(input, &mut one);
            assert_eq!(Compressor::default().compress(input, &mut other), length);
            if let Some(length) = length {
                assert_eq!(one[..length], other[..length]);
            }
        }
    }

    #[test]
    fn a_match_reaches_back_4094_bytes_and_no_further() {
        for (gap, found) in [(4094, true), (4095, false)] {
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
