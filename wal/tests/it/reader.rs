//! Properties of the reader: what was written comes back, whatever the segments' size; and reading on
//! several threads finds what reading in order finds, in damaged logs too.

use base::PAGE_SIZE;
use proptest::collection::vec;
use proptest::prelude::*;
use wal::read::{Position, RecordReader};
use wal::segment::{SegmentSize, Timeline};
use wal::version::Version;

use crate::damage::{any_damage, inflict};
use crate::random_logs::{Step, any_shape, any_step, any_version, build, pattern, take};
use crate::reader_ways::{STRETCH, assert_all_ways_agree};
use crate::synthetic::{Draft, LogBuilder, MemoryLog, Shape, Written, repair_crc};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_was_written_comes_back(shape in any_shape(), steps in vec(any_step(), 1..40)) {
        let (log, written) = build(shape, &steps);
        let outcome = assert_all_ways_agree(&log, Position::jump_to(shape.start), None)?;
        let read: Vec<_> = outcome.records.iter().map(|seen| (seen.start, seen.end, &seen.bytes)).collect();
        let expected: Vec<_> =
            written.iter().map(|record| (record.start, record.end, &record.bytes)).collect();
        prop_assert_eq!(read, expected);
        // Taken apart and put together again, a record is what it was.
        for seen in &outcome.records {
            let again = seen.draft.body();
            let long = Draft { long_main: true, ..seen.draft.clone() }.body();
            let body = &seen.bytes[wal::record::HEADER_SIZE..];
            prop_assert!(body == again || body == long, "{:?}", seen);
        }
        // And the log ends as a log ordinarily ends: nothing there, or no further segment.
        let is_ordinary = outcome.stop.contains("InvalidLength") && outcome.stop.contains("got 0")
            || outcome.stop.contains("Magic(0)")
            || outcome.stop.contains("Missing");
        prop_assert!(is_ordinary, "{}", outcome.stop);
        prop_assert_eq!(outcome.aborted, None);
    }

    #[test]
    fn an_ancestor_is_read_up_to_the_switch_point(
        shape in any_shape(), steps in vec(any_step(), 1..20), last in any::<proptest::sample::Index>(),
    ) {
        let (mut log, written) = build(shape, &steps);
        if written.is_empty() { return Ok(()) }
        let switch_point = written[last.index(written.len())].end;
        let number = shape.segment_size.number_of(switch_point);
        if shape.segment_size.offset_of(switch_point) == 0 { return Ok(()) }
        log.leave_timeline(switch_point, Timeline(77));
        let outcome = assert_all_ways_agree(&log, Position::jump_to(shape.start), None)?;
        let read: Vec<_> = outcome.records.iter().map(|seen| seen.start).collect();
        let kept = written.iter().filter(|record| record.end <= switch_point);
        prop_assert_eq!(read, kept.map(|record| record.start).collect::<Vec<_>>());
        let missing = shape.segment_size.file_name(Timeline(77), number);
        prop_assert!(outcome.stop.contains(&missing), "{}", outcome.stop);
    }

    #[test]
    fn every_position_finds_the_record_at_or_behind_it(
        shape in any_shape(), steps in vec(any_step(), 1..20), places in vec(any::<proptest::sample::Index>(), 20),
    ) {
        let (log, written) = build(shape, &steps);
        let Some(last) = written.last() else { return Ok(()) };
        let length = last.end.0 - shape.start.0;
        for place in places {
            let at = shape.start + place.index(length as usize) as u64;
            let mut reader = RecordReader::new(log.shared());
            let expected = written.iter().map(|record| record.start).find(|start| *start >= at);
            // Who enters on a page behind the one that a switch starts on finds what pg_waldump finds: nothing,
            // since only the switch says that the rest of its segment is to be skipped.
            let skips = |record: &&Written| {
                record.is_switch() && record.start < at.page_start() && at < record.end
            };
            let expected = expected.filter(|_| !written.iter().any(|record| skips(&record)));
            match (reader.find_first(at), expected) {
                (Ok(found), Some(expected)) => prop_assert_eq!(found, expected),
                (Err(_), None) => {}
                (found, expected) => prop_assert!(
                    false, "at {}: {:?}, expected {:?}", at, found.map_err(|stop| stop.to_string()), expected
                ),
            }
        }
    }
}

/// A log of several stretches: the given steps again and again, bulk between them, and from some place on
/// a higher timeline.
fn long_log(shape: Shape, steps: &[Step], bulk: &[usize], length: u64, raise: u64) -> MemoryLog {
    let mut builder = LogBuilder::new(shape);
    let mut steps = steps.iter().cycle();
    let mut bulk = bulk.iter().cycle();
    while builder.at() < shape.start + length {
        if builder.at() >= shape.start + raise {
            builder.raise_timeline(9);
        }
        if let Some(&bulk) = bulk.next() {
            builder.append(&Draft::new(130, 0x10, pattern(bulk as u64, bulk)));
        }
        if let Some(step) = steps.next() {
            take(&mut builder, step);
        }
    }
    builder.finish().0
}

fn any_long_shape() -> impl Strategy<Value = Shape> {
    // Stretches begin at multiples of their length in the address space, or where the log begins.
    let page = prop_oneof![Just(0u64), 0u64..512];
    (any_version(), 20u32..=26, 1u64..1 << 20, page).prop_map(|(version, shift, number, page)| {
        let segment_size = SegmentSize::from_bytes(1 << shift).expect("legal");
        let page = page % (segment_size.bytes() / PAGE_SIZE as u64);
        let start = segment_size.start_of(number) + page * PAGE_SIZE as u64;
        Shape { version, segment_size, start, timeline: 1 }
    })
}

/// Length of such a log in bytes.
const LONG: u64 = 5 * STRETCH;

fn any_bulk() -> impl Strategy<Value = Vec<usize>> {
    let some = prop_oneof![4 => 1usize..100, 2 => 4000usize..60_000, 1 => 1usize..3_000_000];
    vec(some, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn threads_find_what_reading_in_order_finds_in_damaged_logs(
        shape in any_long_shape(),
        steps in vec(any_step(), 1..30),
        bulk in any_bulk(),
        damages in vec(vec(any_damage(LONG), 1..4), 4),
        end in proptest::option::weighted(0.3, 1..LONG),
        raise in 0..LONG,
    ) {
        let sound = long_log(shape, &steps, &bulk, LONG, raise);
        let end = end.map(|end| shape.start + end);
        assert_all_ways_agree(&sound, Position::jump_to(shape.start), end)?;
        for damages in &damages {
            let mut log = sound.clone();
            for damage in damages {
                inflict(&mut log, shape.start, damage);
            }
            assert_all_ways_agree(&log, Position::jump_to(shape.start), end)?;
        }
    }
}

/// After a promotion the first pages of a segment are of the old timeline, the rest of the new one. Who
/// takes up reading behind the change must not hold the segment's first page against the new timeline.
#[test]
fn a_timeline_may_change_within_a_segment() {
    let segment_size = SegmentSize::from_bytes(8 << 20).expect("legal");
    // So far before the segment that the stretch across its beginning is not the first, which is read by
    // the one who takes up reading at the end.
    let start = segment_size.start_of(2) + (segment_size.bytes() - 3 * STRETCH / 2);
    let mut builder =
        LogBuilder::new(Shape { version: Version::V15, segment_size, start, timeline: 1 });
    while builder.at() < start + 4 * STRETCH {
        builder.append(&Draft::new(130, 0, pattern(7, 900)));
        if builder.at() > start + 2 * STRETCH {
            builder.raise_timeline(2);
        }
    }
    let (log, written) = builder.finish();
    let outcome = assert_all_ways_agree(&log, Position::jump_to(start), None).expect("the same");
    assert_eq!(outcome.records.len(), written.len());
    assert_eq!(outcome.position.timeline, 2);
    assert!(outcome.stop.contains("wanted 24, got 0"), "{}", outcome.stop);
}

/// Each thing that is compared where two stretches meet can be wrong alone; then reading in order must have
/// the last word.
#[test]
fn seams_are_checked() {
    let segment_size = SegmentSize::from_bytes(16 << 20).expect("legal");
    let start = segment_size.start_of(1);
    let seam = start + 2 * STRETCH;
    let mut builder =
        LogBuilder::new(Shape { version: Version::V16, segment_size, start, timeline: 7 });
    while builder.at().0 < seam.0 - 40_000 {
        builder.append(&Draft::new(130, 0, pattern(7, 900)));
    }
    let across = builder.clone();
    // Up to the seam exactly, or across it.
    while builder.at() < seam {
        let main = pattern(8, builder.main_length_to(0, 0));
        builder.append(&Draft { long_main: true, ..Draft::new(131, 0, main) });
    }
    assert_eq!(builder.at(), seam);
    for (mut builder, crosses) in [(builder, false), (across, true)] {
        while builder.at() < seam + STRETCH * 2 {
            builder.append(&Draft::new(130, 0, pattern(9, 900)));
        }
        let (log, written) = builder.finish();
        let read = |log: &MemoryLog| {
            assert_all_ways_agree(log, Position::jump_to(start), None).expect("the same")
        };
        assert_eq!(read(&log).records.len(), written.len());

        let first = written.iter().find(|record| record.start >= seam).expect("behind the seam");
        assert!(crosses == (first.start > seam + 40));
        let mut relinked = log.clone();
        let mut bytes = first.bytes.clone();
        bytes[8] ^= 8;
        repair_crc(&mut bytes);
        relinked.write(first.start, &bytes);
        assert!(read(&relinked).stop.contains("incorrect prev-link"));

        let mut fallen = log.clone();
        fallen.flip(seam + 4, 1);
        assert!(read(&fallen).stop.contains("out-of-sequence timeline ID 6 (after 7)"));

        let mut continued = log.clone();
        continued.flip(seam + 2, 1);
        continued.write(seam + 16, &16u32.to_le_bytes());
        let expected = if crosses { "no contrecord flag" } else { "contrecord is requested" };
        assert!(read(&continued).stop.contains(expected));

        let mut longer = log.clone();
        longer.write(seam + 16, &(first.start.0 as u32 - seam.0 as u32 + 1000).to_le_bytes());
        let outcome = read(&longer);
        assert_eq!(outcome.records.len() == written.len(), !crosses, "{}", outcome.stop);
    }
}
