//! Which timeline each segment is read from.

use wal::source::TimelineChoice;

use super::*;

const HISTORY_2: &[u8] = b"1\t0/300100\tno recovery target specified\n";
const HISTORY_3: &[u8] = b"1\t0/300100\tno recovery target specified\n2\t0/500000\tat timestamp\n";

/// Timeline 1 was left in segment 3, timeline 2 exactly where segment 5 begins; both went on.
fn three_timelines() -> Arc<MemoryDisk> {
    let disk = MemoryDisk::default();
    for (timeline, numbers) in [(1, 1..=4), (2, 3..=6), (3, 5..=6)] {
        for number in numbers {
            disk.put(&format!("dir/{}", name(timeline, number)), segment(timeline, number));
        }
    }
    disk.put("dir/00000002.history", HISTORY_2.to_vec());
    disk.put("dir/00000003.history", HISTORY_3.to_vec());
    Arc::new(disk)
}

fn open_timeline(disk: &Arc<MemoryDisk>, timeline: TimelineChoice) -> Result<Log, SourceError> {
    open_with(disk, "dir", Options { timeline, ..Options::default() })
}

#[test]
fn a_history_is_followed() {
    let disk = three_timelines();
    let log = open(&disk, "dir").expect("open");
    assert_eq!(log.history().timeline(), Timeline(3));
    assert_segments(&log, &[(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)]);
    assert_eq!(log.timeline_of(7), Timeline(3));
    assert_eq!(log.timeline_of(0), Timeline(1));
    assert!((0..8).all(|number| log.switch_point(number).is_none()));
    let read = log.segments().filter(|segment| segment.is_read).count();
    assert_eq!((read, log.segments().count()), (6, 10));

    let log = open_timeline(&disk, TimelineChoice::Exact(Timeline(2))).expect("open");
    assert_segments(&log, &[(1, 1), (1, 2), (2, 3), (2, 4), (2, 5), (2, 6)]);
    let log = open_timeline(&disk, TimelineChoice::Exact(Timeline(1))).expect("open");
    assert_segments(&log, &[(1, 1), (1, 2), (1, 3), (1, 4)]);
    assert_missing(&log, 5);
    let log = open_timeline(&disk, TimelineChoice::Only(Timeline(2))).expect("open");
    assert_missing(&log, 2);
    assert_segments(&log, &[(2, 3), (2, 4), (2, 5), (2, 6)]);
    assert_eq!((log.first_segment(), log.last_segment()), (Some(3), Some(6)));
}

#[test]
fn an_ancestor_helps_out_up_to_the_switch_point() {
    let disk = three_timelines();
    disk.remove("dir/000000020000000000000003");
    let log = open(&disk, "dir").expect("open");
    assert_segments(&log, &[(1, 3), (2, 4)]);
    assert_eq!(log.switch_point(3), Some((lsn(3, 0x100), Timeline(2))));
    // Segment 4 of timeline 1 holds nothing of this history, and 5 of timeline 2 does not either.
    disk.remove("dir/000000020000000000000004");
    disk.remove("dir/000000030000000000000005");
    let log = open(&disk, "dir").expect("open");
    assert_missing(&log, 4);
    assert_eq!(log.timeline_of(4), Timeline(2));
    assert_missing(&log, 5);
    assert_eq!(log.timeline_of(5), Timeline(3));
}

#[test]
fn the_partial_segment_of_a_timeline_that_was_left() {
    let disk = three_timelines();
    disk.remove("dir/000000010000000000000003");
    disk.remove("dir/000000020000000000000003");
    disk.put("dir/000000010000000000000003.partial", segment(1, 3));
    let log = open(&disk, "dir").expect("open");
    assert_segments(&log, &[(1, 3)]);
    assert_eq!(log.switch_point(3), Some((lsn(3, 0x100), Timeline(2))));
}

#[test]
fn histories_may_be_compressed_or_archived() {
    for suffix in ["", ".gz", ".lz4", ".zst"] {
        let disk = three_timelines();
        disk.remove("dir/00000003.history");
        let history = compressed(HISTORY_3, suffix);
        disk.put(&format!("dir/00000003.history{suffix}"), history.clone());
        let log = open(&disk, "dir").expect("open");
        assert_eq!(log.history().branches().len(), 3, "{suffix}");

        disk.remove(&format!("dir/00000003.history{suffix}"));
        let member = format!("pg_wal/00000003.history{suffix}");
        disk.put("dir/x.tar.gz", compressed(&tar(&[(&member, &history)]), ".gz"));
        let log = open(&disk, "dir").expect("open");
        assert_eq!(log.history().branches().len(), 3, "{member}");
    }
}

#[test]
fn a_missing_history_is_told() {
    let disk = three_timelines();
    disk.remove("dir/00000003.history");
    let log = open(&disk, "dir").expect("open");
    assert_eq!(
        log.complaints(),
        [
            "history file \"00000003.history\" is missing: of the log before timeline 3 nothing is read"
        ]
    );
    assert_missing(&log, 4);
    assert_segments(&log, &[(3, 5), (3, 6)]);
}

#[test]
fn a_history_without_segments_of_its_own() {
    // Timeline 3 has been begun, and its first segment is not archived yet.
    let disk = three_timelines();
    disk.remove("dir/000000030000000000000005");
    disk.remove("dir/000000030000000000000006");
    let log = open(&disk, "dir").expect("open");
    assert_eq!(log.history().timeline(), Timeline(3));
    assert_segments(&log, &[(1, 2), (2, 3), (2, 4)]);
    assert_missing(&log, 5);
}

#[test]
fn a_malformed_history_is_an_error_with_its_line() {
    let disk = three_timelines();
    disk.put("dir/00000003.history", b"1\t0/300100\tx\nnonsense\n".to_vec());
    let error = open(&disk, "dir").expect_err("malformed").to_string();
    assert_eq!(
        error,
        "dir/00000003.history:2: syntax error in history file: nonsense (expected a numeric timeline \
         ID)"
    );
    assert!(open_timeline(&disk, TimelineChoice::Only(Timeline(3))).is_ok());
    assert!(open_timeline(&disk, TimelineChoice::Exact(Timeline(2))).is_ok());
    disk.put("dir/00000003.history", vec![b'#'; 2 << 20]);
    let error = open(&disk, "dir").expect_err("too long").to_string();
    assert!(error.contains("00000003.history") && error.contains("too long"), "{error}");
    disk.remove("dir/00000003.history");
    disk.put("dir/00000003.history.zst", compressed(&vec![b'#'; 2 << 20], ".zst"));
    let error = open(&disk, "dir").expect_err("too long").to_string();
    assert!(error.contains("decompresses to more than"), "{error}");
}

#[test]
fn a_timeline_that_is_not_there() {
    let error = open_timeline(&three_timelines(), TimelineChoice::Exact(Timeline(7)));
    assert_eq!(
        error.expect_err("no such timeline").to_string(),
        "timeline 7 has no segments here: there are 1, 2, 3"
    );
}
