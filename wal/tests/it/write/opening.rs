//! Going on with a log: behind any record, behind what a crash left, behind the beginning of a record.

use std::fs::File;
use std::os::unix::fs::FileExt;

use base::{Lsn, PAGE_SIZE};
use wal::write::{CutOff, EndOfLog, Log, LogError, LogOptions};

use super::workload::{NOTICED, Place, insert, length};
use crate::flips_targets::Dice;

#[test]
fn a_log_goes_on_behind_whatever_was_its_last_record() {
    let place = Place::new(1 << 20);
    let mut written = Vec::new();
    let mut dice = Dice::new(11);
    place.create(LogOptions::default()).close().expect("flushes");
    for turn in 0..40 {
        let end = place.read().end();
        let log = place.open(LogOptions { buffer_pages: 4, ..LogOptions::default() }, end);
        assert_eq!((log.end(), log.flushed()), (end.end, end.end));
        let mut inserter = log.inserter();
        for _ in 0..dice.below(4) {
            let length = length(&mut dice, 100_000);
            written.push(insert(&log, &mut inserter, turn, written.len() as u32, length));
        }
        if dice.below(2) == 0 {
            // To the very end of a page, where there is room for that.
            let room = PAGE_SIZE as u64 - log.end().0 % PAGE_SIZE as u64;
            if room < PAGE_SIZE as u64 && room > 300 {
                let filling = room as usize - 24 - 5;
                written.push(insert(&log, &mut inserter, turn, written.len() as u32, filling));
                assert_eq!(log.end().page_offset(), 0);
            }
        }
        log.close().expect("flushes");
    }
    let found = place.read();
    found.assert_holds(&written);
    place.judge(&found);
}

/// The log is cut back to an earlier record, as if later pages had arrived and this one had not; what goes on
/// writes the very same records again up to a page's end. The old ones behind must not come back.
#[test]
fn what_a_crash_left_behind_the_end_never_comes_back() {
    let place = Place::new(1 << 20);
    let log = place.create(LogOptions::default());
    let mut inserter = log.inserter();
    let mut written = Vec::new();
    // Records of 64 bytes: the first ends within a page, and some end at a page's end.
    let same = |log: &Log, inserter: &mut _, count: u32| -> Vec<_> {
        (0..count).map(|turn| insert(log, inserter, 0, turn, 64 - 24 - 2)).collect()
    };
    written.extend(same(&log, &mut inserter, 1000));
    log.close().expect("flushes");
    let all = place.read();
    let kept = 5;
    let last_kept = &all.records[kept];
    let end = EndOfLog { end: last_kept.end, last_record: last_kept.start, ..all.end() };
    let log = place.open(LogOptions::default(), end);
    let mut inserter = log.inserter();
    let mut turn = kept as u32;
    while log.end().page_offset() != 0 && turn < 500 {
        insert(&log, &mut inserter, 0, turn, 64 - 24 - 2);
        turn += 1;
    }
    let end = log.end();
    log.close().expect("flushes");
    let found = place.read();
    assert_eq!(found.last().end, end, "nothing behind the end is read");
    assert!(found.records.len() < 600 && found.records.len() > 50);
}

#[test]
fn the_beginning_of_a_record_is_said_not_to_count() {
    let place = Place::new(1 << 20);
    let log = place.create(LogOptions::default());
    let mut inserter = log.inserter();
    let first = insert(&log, &mut inserter, 0, 0, 5000);
    let cut = insert(&log, &mut inserter, 0, 1, 30_000);
    log.close().expect("flushes");
    // The second page of the second record is lost.
    let missing_page = Lsn(cut.placed.start.page_start().0 + 2 * PAGE_SIZE as u64);
    let file = File::options().write(true).open(place.segment(1)).expect("the segment");
    file.write_all_at(&[0; 5 * PAGE_SIZE], missing_page.0 % (1 << 20)).expect("writes");
    let found = place.read();
    assert_eq!(found.aborted, Some(cut.placed.start));
    let cut_off = CutOff { record: cut.placed.start, missing_page, noticed_at: NOTICED };
    let end = EndOfLog { cut_off: Some(cut_off), ..found.end() };
    let log = place.open(LogOptions::default(), end);
    let third = insert(&log, &mut log.inserter(), 0, 2, 9000);
    log.close().expect("flushes");
    let found = place.read();
    found.assert_holds(&[first, third]);
    let text = String::from_utf8_lossy(found.text.as_bytes()).into_owned();
    assert!(text.contains(&format!("OVERWRITE_CONTRECORD lsn {};", cut.placed.start)), "{text}");
    place.judge(&found);
}

#[test]
fn where_no_log_can_go_on_is_an_error() {
    let place = Place::new(1 << 20);
    place.create(LogOptions::default()).close().expect("flushes");
    let good = place.read().end();
    let at = |end| EndOfLog { end: Lsn(end), ..good };
    for (end, why) in [
        (at(0x10_0010), "page header"),
        (at(0x10_009C), "multiple of 8"),
        (at(0x28), "first segment"),
        (at(1 << 63 | 0x28), "beyond 80000000/0"),
        (EndOfLog { last_record: good.end, ..good }, "behind its end"),
    ] {
        let error = Log::open(place.log_place(), LogOptions::default(), end).expect_err("refused");
        assert!(matches!(error, LogError::Opening { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}: {why}");
    }
    let options = LogOptions { buffer_pages: 3, ..LogOptions::default() };
    Log::open(place.log_place(), options, good).expect_err("too few buffers");
    let again =
        Log::create(place.log_place(), LogOptions::default(), &super::workload::checkpoint());
    assert!(again.expect_err("there is a log").to_string().contains("already"));
}
