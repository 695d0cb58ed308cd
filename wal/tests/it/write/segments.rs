//! Segments: switches, files made ahead, used again, removed.

use base::Lsn;
use wal::read::Stop;
use wal::write::LogOptions;

use super::workload::{Place, insert};
use crate::flips_targets::Dice;

#[test]
fn a_switch_ends_its_segment_and_the_log_goes_on_in_the_next() {
    let place = Place::new(1 << 20);
    let log = place.create(LogOptions { buffer_pages: 8, ..LogOptions::default() });
    let mut inserter = log.inserter();
    let mut written = Vec::new();
    let mut dice = Dice::new(7);
    for turn in 0..12 {
        written.push(insert(&log, &mut inserter, 0, turn, dice.below(200_000)));
        let before = log.end();
        let end = log.switch(&mut inserter).expect("switches");
        assert!(end.0 - before.0 >= 24 && end.0 - before.0 <= 24 + 40, "{before} to {end}");
        let segment_end = place.size().start_of(place.size().number_of(before) + 1);
        assert_eq!((log.end(), log.flushed()), (segment_end, segment_end));
        assert_eq!(log.switch(&mut inserter).expect("nothing to do"), segment_end);
    }
    written.push(insert(&log, &mut inserter, 0, 99, 10));
    log.close().expect("flushes");
    let found = place.read();
    found.assert_holds(&written);
    assert_eq!(
        found.records.iter().filter(|record| (record.rmid, record.info) == (0, 0x40)).count(),
        12
    );
    place.judge(&found);
}

/// A record and a switch of which the header ends at each of the last places of a segment.
#[test]
fn a_switch_fits_into_whatever_is_left_of_a_segment() {
    for left in (0..=80).step_by(8) {
        let place = Place::new(1 << 20);
        let log = place.create(LogOptions::default());
        let mut inserter = log.inserter();
        // What remains of the segment behind a record of this length: page headers and its own are taken off.
        let room = (1 << 20) - log.end().0 % (1 << 20) - 127 * 24;
        let first = insert(&log, &mut inserter, 0, 0, (room - 24 - 5 - left) as usize);
        assert_eq!(Lsn(first.placed.end.0 + left).0 % (1 << 20), 0, "{left}");
        log.switch(&mut inserter).expect("switches");
        let second = insert(&log, &mut inserter, 0, 1, 100);
        log.close().expect("flushes");
        let found = place.read();
        found.assert_holds(&[first, second]);
        place.judge(&found);
    }
}

#[test]
fn old_segments_are_used_again_and_their_content_is_not_read() {
    let place = Place::new(1 << 20);
    let options = LogOptions { minimum_size: 4 << 20, ..LogOptions::default() };
    let log = place.create(options);
    let mut inserter = log.inserter();
    for turn in 0..60 {
        insert(&log, &mut inserter, 0, turn, 100_000);
    }
    let redo = log.end();
    log.flush(redo).expect("flushes");
    let removal = log.remove_old(redo, 0).expect("removes");
    assert!(removal.recycled >= 2 && removal.removed >= 1, "{removal:?}");
    assert!(!place.segment(1).exists());
    let first_new = insert(&log, &mut inserter, 0, 1000, 10).placed.start;
    let (mut turn, size) = (0, place.size());
    // Into the recycled ones, and on to the exact end of a page.
    while size.number_of(log.end()) < size.number_of(redo) + 2 {
        insert(&log, &mut inserter, 1, turn, 3_000);
        turn += 1;
    }
    let room = 8192 - log.end().0 % 8192;
    if room > 60 {
        insert(&log, &mut inserter, 2, 0, room as usize - 24 - if room - 24 > 258 { 5 } else { 2 });
    }
    let end = log.end();
    log.close().expect("flushes");
    let found = place.read_from(first_new);
    assert_eq!(found.last().end, end);
    assert!(matches!(found.stop, Some(Stop::Record(_))), "{:?}", found.stop);
    place.judge(&found);
}

#[test]
fn what_is_needed_or_kept_is_not_removed() {
    let place = Place::new(1 << 20);
    let options = LogOptions { keep_size: 3 << 20, minimum_size: 0, ..LogOptions::default() };
    let log = place.create(options);
    let mut inserter = log.inserter();
    for turn in 0..60 {
        insert(&log, &mut inserter, 0, turn, 100_000);
    }
    log.flush(log.end()).expect("flushes");
    let size = place.size();
    let last = size.number_of(log.end());
    log.remove_old(log.end(), 0).expect("removes");
    assert!(!place.segment(last - 4).exists());
    assert!((last - 3..=last).all(|number| place.segment(number).exists()), "3 MB are kept");
    log.remove_old(size.start_of(last - 1), 0).expect("removes");
    assert!(place.segment(last - 3).exists());
}
