//! History files, well-formed and otherwise.

use proptest::prelude::*;

use super::*;

const SIZE: SegmentSize = SegmentSize::DEFAULT;

fn parse(timeline: u32, file: &str) -> Result<History, (u64, HistoryFault)> {
    History::parse(Timeline(timeline), file.as_bytes())
}

fn timelines_of(history: &History, number: SegmentNumber) -> Vec<(u32, Option<Lsn>)> {
    history.timelines_of(number, SIZE).map(|(timeline, end)| (timeline.0, end)).collect()
}

#[test]
fn a_file_as_the_server_writes_it() {
    let history = parse(
        3,
        "1\t0/5000060\tno recovery target specified\n\n2\t0/7000000\tat restore point \"x\"\n",
    )
    .expect("a history");
    let branches: Vec<_> =
        history.branches().iter().map(|b| (b.timeline.0, b.begin.0, b.end.map(|e| e.0))).collect();
    assert_eq!(
        branches,
        [(3, 0x700_0000, None), (2, 0x500_0060, Some(0x700_0000)), (1, 0, Some(0x500_0060))]
    );
    assert_eq!(history.timeline(), Timeline(3));
    for (position, timeline) in [(0x500_005F, 1), (0x500_0060, 2), (0x6FF_FFFF, 2), (0x700_0000, 3)]
    {
        assert_eq!(history.timeline_at(Lsn(position)), Timeline(timeline));
    }
    let inside = Some(Lsn(0x500_0060));
    assert_eq!(timelines_of(&history, 4), [(1, None)]);
    assert_eq!(timelines_of(&history, 5), [(2, None), (1, inside)]);
    assert_eq!(timelines_of(&history, 6), [(2, None)]);
    assert_eq!(timelines_of(&history, 7), [(3, None)]);
}

#[test]
fn a_branch_that_was_recovered_past() {
    // Timeline 3 was recovered along 2, up to a position before 2 had begun.
    let history = parse(3, "1 0/5000000 x\n2 0/3000100 x\n").expect("a history");
    assert_eq!(history.timeline_at(Lsn(0x300_00FF)), Timeline(1));
    assert_eq!(history.timeline_at(Lsn(0x300_0100)), Timeline(3));
    assert_eq!(history.timeline_at(Lsn(0x500_0000)), Timeline(3));
    assert_eq!(timelines_of(&history, 3), [(3, None), (1, Some(Lsn(0x300_0100)))]);
    assert_eq!(timelines_of(&history, 4), [(3, None)]);
    assert_eq!(timelines_of(&history, 2), [(1, None)]);
}

#[test]
fn what_the_server_reads_too() {
    for file in ["", "\n \n", "# a comment\n", "   # another", "1 2/3", " 1 2/3 x\r\n", "1 a/ b\n"]
    {
        assert!(parse(2, file).is_ok(), "{file:?}");
    }
    assert_eq!(parse(2, "# nothing\n"), Ok(History::alone(Timeline(2))));
}

#[test]
fn what_is_refused_and_where() {
    use HistoryFault::{NoSwitchPoint, NoTimeline, NotBelowChild, NotIncreasing};
    let text = String::from;
    for (file, expected) in [
        ("x", (1, NoTimeline(text("x")))),
        ("1 0/1\nx 0/2", (2, NoTimeline(text("x 0/2")))),
        ("-1 0/1", (1, NoTimeline(text("-1 0/1")))),
        ("4294967296 0/1", (1, NoTimeline(text("4294967296 0/1")))),
        ("\0\0\0", (1, NoTimeline(text("   ")))),
        ("1", (1, NoSwitchPoint(text("1")))),
        ("1 0", (1, NoSwitchPoint(text("1 0")))),
        ("1 0 /1", (1, NoSwitchPoint(text("1 0 /1")))),
        ("1 0/123456789", (1, NoSwitchPoint(text("1 0/123456789")))),
        ("2 0/1\n2 0/2", (2, NotIncreasing(text("2 0/2")))),
        ("2 0/1\n\n1 0/2", (3, NotIncreasing(text("1 0/2")))),
        ("1 0/1\n9 0/2\n", (3, NotBelowChild)),
    ] {
        assert_eq!(parse(9, file), Err(expected), "{file:?}");
    }
}

/// Branches with rising timelines, and any switch points.
fn branches() -> impl Strategy<Value = Vec<(u32, u64)>> {
    proptest::collection::btree_map(1u32..1000, 1u64..0x1000_0000, 0..8)
        .prop_map(|branches| branches.into_iter().collect())
}

fn written(branches: &[(u32, u64)]) -> String {
    branches.iter().map(|(timeline, end)| format!("{timeline}\t{}\tx\n", Lsn(*end))).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read(branches in branches()) {
        let history = parse(1000, &written(&branches)).expect("a history");
        let read = history.branches().iter().rev();
        let read: Vec<_> = read.filter_map(|b| b.end.map(|end| (b.timeline.0, end.0))).collect();
        prop_assert_eq!(read, branches);
    }

    #[test]
    fn a_position_is_read_from_the_timeline_that_it_belongs_to(
        branches in branches(), position in 0u64..0x1100_0000,
    ) {
        let history = parse(1000, &written(&branches)).expect("a history");
        let position = Lsn(position);
        let owner = history.timeline_at(position);
        let number = SIZE.number_of(position);
        let candidates: Vec<_> = history.timelines_of(number, SIZE).collect();
        let owners_end = candidates.iter().find(|(timeline, _)| *timeline == owner);
        prop_assert!(owners_end.is_some_and(|(_, end)| end.is_none_or(|end| position < end)));
        // A younger candidate holds the segment's beginning as a copy; an older one was left before.
        for (timeline, end) in candidates {
            let before = end.is_none_or(|end| position < end);
            prop_assert_eq!(before, timeline >= owner, "{} of {}", timeline, owner);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        file in proptest::collection::vec(any::<u8>(), 0..200), timeline: u32,
    ) {
        let _ = History::parse(Timeline(timeline), &file);
    }

    #[test]
    fn any_text_like_a_history_is_read_or_refused(file in "([0-9]{0,3}[ \t]?[0-9A-F/ ]{0,6}x?\n){0,6}") {
        if let Ok(history) = parse(500, &file) {
            let falling = history.branches().windows(2).all(|pair| {
                pair[0].timeline > pair[1].timeline && Some(pair[0].begin) == pair[1].end
            });
            prop_assert!(falling);
        }
    }
}
