//! How many seeds a test goes through.

/// `usual` seeds, or as many as `PGSTRATA_SEEDS` says.
pub(crate) fn seeds(usual: u64) -> std::ops::Range<u64> {
    let count = std::env::var("PGSTRATA_SEEDS").ok().and_then(|count| count.parse().ok());
    0..count.unwrap_or(usual)
}
