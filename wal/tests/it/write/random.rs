//! Random records of all lengths, by 1 to 32 threads, in segments of every legal size: each is there once, where
//! its inserter was told, with its bytes; the chain is whole; pg_waldump reads it all and prints what is printed
//! here.

use base::Lsn;
use base::sync::Arc;
use wal::write::{ImageCompression, LogOptions, SyncMethod};

use super::workload::{Place, run};

fn check(segment: u64, threads: u32, records: u32, longest: usize, options: LogOptions) {
    let place = Place::new(segment);
    let log = Arc::new(place.create(options));
    let written = run(&log, threads, records, longest, segment ^ u64::from(threads));
    let end = log.end();
    let statistics = log.statistics();
    Arc::into_inner(log).expect("all threads have ended").close().expect("flushes");
    let found = place.read();
    found.assert_holds(&written);
    assert_eq!(found.last().end, end);
    assert_eq!(statistics.records, found.records.len() as u64);
    assert_eq!(found.first().start, place.size().start_of(1) + 40);
    assert_eq!(found.first().previous, Lsn::INVALID);
    place.judge(&found);
}

#[test]
fn one_thread_over_many_segments() {
    check(1 << 20, 1, 2_000, 3 << 20, LogOptions::default());
}

#[test]
fn threads_in_buffers_that_are_smaller_than_a_record() {
    for (threads, pages) in [(2, 4), (8, 5), (32, 16)] {
        let options = LogOptions { buffer_pages: pages, ..LogOptions::default() };
        check(1 << 20, threads, 2_000 / threads, 400_000, options);
    }
}

#[test]
fn more_threads_than_insertion_slots() {
    let options = LogOptions { insertion_slots: 2, ..LogOptions::default() };
    check(2 << 20, 32, 100, 100_000, options);
}

#[test]
fn every_legal_segment_size() {
    for shift in 20..=30 {
        let longest = if shift < 24 { 3 << shift } else { 1 << 20 };
        check(1 << shift, 3, 60, longest, LogOptions { buffer_pages: 64, ..LogOptions::default() });
    }
}

#[test]
fn every_sync_method_and_compression() {
    for (sync_method, compression) in [
        (SyncMethod::Fdatasync, ImageCompression::None),
        (SyncMethod::Fsync, ImageCompression::Pglz),
        (SyncMethod::OpenDatasync, ImageCompression::Lz4),
        (SyncMethod::None, ImageCompression::Zstd),
    ] {
        let options = LogOptions { sync_method, compression, ..LogOptions::default() };
        check(1 << 20, 4, 200, 50_000, options);
    }
}
