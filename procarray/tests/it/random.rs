//! Random numbers that a seed repeats, and how many seeds a test goes through.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((word ^ (word >> 31)) % bound as u64) as usize
    }
}

/// `usual` seeds, or as many as `PGSTRATA_SEEDS` says.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let count = std::env::var("PGSTRATA_SEEDS").ok().and_then(|count| count.parse().ok());
    0..count.unwrap_or(usual)
}
