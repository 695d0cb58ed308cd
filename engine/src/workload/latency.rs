//! How long transactions took.
//!
//! Invariant: a percentile is within a thousandth of what it was, for times up to an hour; longer ones count as an hour.

use std::time::Duration;

use hdrhistogram::Histogram;

/// An hour in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;
/// Significant decimal digits.
const DIGITS: u8 = 3;

/// How long transactions took.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        let made = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        Latencies(made.expect("bounds and digits that a histogram can have"))
    }
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("two histograms of the same bounds");
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// What so many hundredths took at most; zero where none was counted.
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_percentile(percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        one.add(Duration::from_secs(10_000));
        assert!(one.percentile(100.0) >= Duration::from_secs(3600));
    }
}
