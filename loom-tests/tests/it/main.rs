//! Every schedule, by plain threads and fixed seeds: the short form. `PGSTRATA_SEEDS` says how many seeds;
//! `cargo xtask loom --schedules` has more, and shuttle.

#![cfg(not(any(loom, shuttle)))]

use loom_tests::schedules::{self, Setup};

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let count = std::env::var("PGSTRATA_SEEDS").ok().and_then(|count| count.parse().ok());
    0..count.unwrap_or(usual)
}

#[test]
fn every_schedule_holds_for_8_to_64_threads() {
    for schedule in schedules::all() {
        for (threads, rounds) in [(8, 40), (24, 20), (64, 10)] {
            for seed in seeds(4) {
                (schedule.run)(&Setup { seed, threads, rounds });
            }
        }
    }
}
