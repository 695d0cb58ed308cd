//! Properties of the damage report: a sound log is called sound, what is lost behind a damage is found
//! again, and no log, however broken, keeps the report from ending.

use std::ops::ControlFlow;

use base::{Lsn, PAGE_SIZE};
use proptest::collection::vec;
use proptest::prelude::*;
use wal::read::damage::{Cause, Report, Run, verify};
use wal::segment::SegmentSize;
use wal::version::Version;

use crate::damage::{Damage, any_damage, inflict};
use crate::random_logs::{Step, any_shape, any_step, pattern, take};
use crate::synthetic::{Draft, LogBuilder, MemoryLog, Shape, Written};

/// A log, what was written to it, and which records were torn in the making.
fn build(shape: Shape, steps: &[Step]) -> (MemoryLog, Vec<Written>, Vec<Lsn>) {
    let mut builder = LogBuilder::new(shape);
    for step in steps {
        take(&mut builder, step);
    }
    let torn = builder.torn().to_vec();
    let (log, written) = builder.finish();
    (log, written, torn)
}

fn report(log: &MemoryLog, from: Lsn, threads: usize) -> Report {
    let last = log.numbers().last().copied().unwrap_or(0);
    verify(&log.shared(), from, last, threads, |_| ControlFlow::Continue(()))
}

/// The runs of valid records, as they are reported.
fn runs(report: &Report) -> Vec<Run> {
    let stranded = report.breaks.iter().filter_map(|stop| stop.stranded);
    report.verified.into_iter().chain(stranded).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sound_log_is_called_sound(shape in any_shape(), steps in vec(any_step(), 1..30)) {
        let (log, written, torn) = build(shape, &steps);
        let report = report(&log, shape.start, 2);
        let Some(run) = report.verified else {
            // Nothing but what raises the timeline, or is torn and nothing behind.
            prop_assert!(written.is_empty());
            return Ok(());
        };
        prop_assert!(report.is_sound(), "{:?}", report);
        prop_assert_eq!(run.records, written.len() as u64);
        prop_assert_eq!(Some((run.last, run.end)), written.last().map(|last| (last.start, last.end)));
        prop_assert_eq!(report.overwritten, torn);
    }

    #[test]
    fn one_flipped_bit_costs_one_record(
        shape in any_shape(), steps in vec(any_step(), 2..30),
        which in any::<proptest::sample::Index>(), place in any::<proptest::sample::Index>(), bit in 0..8,
    ) {
        let (mut log, written, _) = build(shape, &steps);
        prop_assume!(!written.is_empty());
        let which = which.index(written.len());
        let record = &written[which];
        // Within the record's first page, behind its header, where it has that much.
        let room = (PAGE_SIZE - record.start.page_offset()).min(record.bytes.len());
        log.flip(record.start + place.index(room) as u64, 1u8 << bit);
        let report = report(&log, shape.start, 1);
        let found = runs(&report);
        let before = &written[..which];
        let behind = &written[which + 1..];
        let expected: Vec<_> = [before, behind]
            .iter()
            .filter_map(|run| Some((run.first()?.start, run.last()?.start, run.len() as u64)))
            .collect();
        let found: Vec<_> = found.iter().map(|run| (run.first, run.last, run.records)).collect();
        prop_assert_eq!(found, expected, "{:?}", report);
        prop_assert!(!report.is_sound() || behind.is_empty());
    }

    #[test]
    fn only_what_was_written_is_found_again(
        shape in any_shape(), steps in vec(any_step(), 1..30), damages in vec(any_damage(1 << 22), 1..6),
    ) {
        let (mut log, written, _) = build(shape, &steps);
        let length = written.last().map_or(1, |last| last.end.0 - shape.start.0).max(1);
        for damage in &damages {
            // Near what was written, wherever that is.
            let within = |at: u64| at % length;
            let damage = match damage.clone() {
                Damage::Flip { at, bits } => Damage::Flip { at: within(at), bits },
                Damage::ZeroPage { at } => Damage::ZeroPage { at: within(at) },
                Damage::SwapPages { one, other } => {
                    Damage::SwapPages { one: within(one), other: within(other) }
                }
                Damage::Truncate { at } => Damage::Truncate { at: within(at) },
                Damage::Remove { at } => Damage::Remove { at: within(at) },
            };
            inflict(&mut log, shape.start, &damage);
        }
        let in_order = report(&log, shape.start, 1);
        prop_assert_eq!(&in_order, &report(&log, shape.start, 3));
        let mut end = Lsn::INVALID;
        for run in runs(&in_order) {
            prop_assert!(run.first >= end, "{:?}", in_order);
            end = run.end;
            let is_inside = |record: &&Written| run.first <= record.start && record.start <= run.last;
            let inside: Vec<_> = written.iter().filter(is_inside).collect();
            prop_assert_eq!(run.records, inside.len() as u64);
            prop_assert_eq!(Some(run.first), inside.first().map(|record| record.start));
            prop_assert_eq!(Some((run.last, run.end)), inside.last().map(|last| (last.start, last.end)));
        }
    }
}

fn one_megabyte() -> SegmentSize {
    SegmentSize::from_bytes(1 << 20).expect("legal")
}

#[test]
fn a_gap_of_a_trillion_segments_is_one_gap() {
    let shape = Shape::small(Version::V17);
    let mut near = LogBuilder::new(shape);
    near.append(&Draft::new(130, 0, pattern(1, 100)));
    let (mut log, _) = near.finish();
    let start = one_megabyte().start_of(1 << 43);
    let mut far = LogBuilder::new(Shape { start, ..shape });
    let expected = far.append(&Draft::new(130, 0, pattern(2, 100))).start;
    log.adopt(far.finish().0);
    // So that reading stops in the gap.
    log.remove_segment(2);
    let report = report(&log, shape.start, 2);
    let stranded = report.breaks[0].stranded.expect("a record behind the gap");
    assert_eq!((stranded.first, stranded.records), (expected, 1));
}

#[test]
fn the_end_of_the_address_space_is_the_end() {
    for shift in [20, 24, 30] {
        let size = SegmentSize::from_bytes(1 << shift).expect("legal");
        let last = (1 << (64 - shift)) - 1;
        let start = size.start_of(last) + (size.bytes() - 2 * PAGE_SIZE as u64);
        let shape = Shape { version: Version::V18, segment_size: size, start, timeline: 1 };
        let mut builder = LogBuilder::new(shape);
        builder.append(&Draft::new(130, 0, pattern(3, 100)));
        // Up to the very last byte.
        let length = builder.main_length_to(0, PAGE_SIZE);
        builder.append(&Draft { long_main: true, ..Draft::new(130, 0, pattern(4, length)) });
        let (log, written) = builder.finish();
        for threads in [1, 2] {
            let sound = report(&log, start, threads);
            assert_eq!(sound.verified.expect("records").records, written.len() as u64);
            let mut damaged = log.clone();
            damaged.flip(written[1].start + 30, 1);
            let found = report(&damaged, start, threads);
            assert_eq!(found.verified.expect("a record").records, 1);
            assert_eq!(found.breaks[0].cause, Cause::Checksum);
            assert_eq!(found.stranded_records(), 0);
        }
    }
}

#[test]
fn a_log_with_every_other_record_broken_is_told_piece_by_piece() {
    let shape = Shape::small(Version::V15);
    let mut builder = LogBuilder::new(shape);
    while builder.at() < shape.start + (3 << 20) {
        builder.append(&Draft::new(130, 0, pattern(5, 300)));
    }
    let (mut log, written) = builder.finish();
    for record in written.iter().skip(1).step_by(2) {
        let place = record.start + if record.start.page_offset() < PAGE_SIZE - 40 { 30 } else { 0 };
        log.flip(place, 1);
    }
    let report = report(&log, shape.start, 3);
    let found: Vec<_> = runs(&report).iter().map(|run| run.first).collect();
    let expected: Vec<_> = written.iter().step_by(2).map(|record| record.start).collect();
    assert_eq!(found.len(), expected.len());
    assert_eq!(found, expected);
}
