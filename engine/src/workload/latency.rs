//! How long transactions took, in buckets a sixteenth apart.
//!
//! Invariant: a percentile is at most one sixteenth above what it was.

use std::time::Duration;

/// Buckets for each power of two.
const PARTS: u32 = 16;
/// Nanoseconds below this are exact.
const EXACT: u64 = PARTS as u64;

/// How long transactions took.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

fn bucket(nanos: u64) -> usize {
    if nanos < EXACT {
        return nanos as usize;
    }
    let power = nanos.ilog2();
    let part = (nanos >> (power - PARTS.ilog2())) as u32 - PARTS;
    ((power - PARTS.ilog2() + 1) * PARTS + part) as usize
}

/// The first value above those of a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64 + 1;
    if bucket <= EXACT {
        return bucket;
    }
    let (power, part) = (bucket / EXACT - 1, bucket % EXACT);
    (EXACT + part) << power
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let bucket = bucket(took.as_nanos() as u64);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Latencies) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, more)| *own += more);
        self.count += other.count;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What so many hundredths took at most; zero where none was counted.
    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = ((self.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(end_of(at));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_a_sixteenth_above() {
        for nanos in [0_u64, 1, 15, 16, 17, 31, 32, 1000, 99_999, 1 << 40, (1 << 41) - 1] {
            let mut latencies = Latencies::default();
            latencies.add(Duration::from_nanos(nanos));
            let said = latencies.percentile(50.0).as_nanos() as u64;
            assert!(said > nanos && said <= nanos + nanos / 16 + 1, "{nanos}: {said}");
        }
    }

    #[test]
    fn percentiles_are_of_all_that_were_merged() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        (0..90).for_each(|_| one.add(Duration::from_micros(10)));
        (0..10).for_each(|_| other.add(Duration::from_millis(5)));
        one.merge(&other);
        assert_eq!(one.count(), 100);
        assert!(one.percentile(90.0) < Duration::from_micros(11));
        assert!(one.percentile(91.0) >= Duration::from_millis(5));
        assert_eq!(Latencies::default().percentile(50.0), Duration::ZERO);
    }
}
