//! Full segments are archived, and stay until they are.

use base::sync::thread;
use wal::write::{ArchiveTo, Log, LogOptions};

use super::workload::{Place, insert};

/// Three segments by switches.
fn write_three(log: &Log) {
    let mut inserter = log.inserter();
    for turn in 0..3 {
        insert(log, &mut inserter, 0, turn, 1000);
        log.switch(&mut inserter).expect("switches");
    }
    insert(log, &mut inserter, 0, 3, 1000);
}

fn wait_for(log: &Log, is_reached: impl Fn(&wal::write::ArchiveStatus) -> bool) {
    while !is_reached(&log.archive_status().expect("there is an archiver")) {
        thread::yield_now();
    }
}

fn check_archive(place: &Place, archive: &std::path::Path) {
    for number in 1..=3 {
        let segment = place.segment(number);
        let name = segment.file_name().expect("a name");
        let copy = std::fs::read(archive.join(name)).expect("a copy");
        assert!(copy == std::fs::read(&segment).expect("the segment"), "the same bytes");
        let mark = |mark: &str| {
            let name = format!("{}.{mark}", name.to_string_lossy());
            place.path().join("archive_status").join(name).exists()
        };
        assert!(mark("done") && !mark("ready"));
    }
}

#[test]
fn a_directory_gets_a_copy_of_each_full_segment() {
    let place = Place::new(1 << 20);
    let archive = tempfile::tempdir().expect("a temporary directory");
    let to = ArchiveTo::Directory(archive.path().to_owned());
    let log =
        place.create(LogOptions { archive: Some(to), minimum_size: 0, ..LogOptions::default() });
    write_three(&log);
    wait_for(&log, |status| status.archived == 3);
    check_archive(&place, archive.path());
    let removal = log.remove_old(log.end(), 0).expect("removes");
    assert_eq!((removal.recycled + removal.removed, removal.awaiting_archive), (3, 0));
    let marks = std::fs::read_dir(place.path().join("archive_status")).expect("marks");
    assert_eq!(marks.count(), 0, "the marks of segments that are gone are gone");
}

#[test]
fn a_command_gets_path_and_name() {
    let place = Place::new(1 << 20);
    let archive = tempfile::tempdir().expect("a temporary directory");
    let to = ArchiveTo::Command(format!("cp %p {}/%f", archive.path().display()));
    let log = place.create(LogOptions { archive: Some(to), ..LogOptions::default() });
    write_three(&log);
    wait_for(&log, |status| status.archived == 3);
    check_archive(&place, archive.path());
}

#[test]
fn what_is_ready_is_archived_before_the_log_is_closed() {
    for by_command in [false, true] {
        let place = Place::new(1 << 20);
        let archive = tempfile::tempdir().expect("a temporary directory");
        let to = match by_command {
            true => ArchiveTo::Command(format!("cp %p {}/%f", archive.path().display())),
            false => ArchiveTo::Directory(archive.path().to_owned()),
        };
        let log = place.create(LogOptions { archive: Some(to), ..LogOptions::default() });
        write_three(&log);
        log.close().expect("closed");
        check_archive(&place, archive.path());
    }
}

#[test]
fn an_archive_that_takes_nothing_does_not_keep_the_log_open() {
    let place = Place::new(1 << 20);
    let to = ArchiveTo::Command("false".to_owned());
    let log = place.create(LogOptions { archive: Some(to), ..LogOptions::default() });
    write_three(&log);
    log.close().expect("closed");
    assert!((1..=3).all(|number| place.segment(number).exists()));
}

#[test]
fn what_cannot_be_archived_is_not_removed() {
    let place = Place::new(1 << 20);
    let to = ArchiveTo::Command("false".to_owned());
    let log = place.create(LogOptions { archive: Some(to), ..LogOptions::default() });
    write_three(&log);
    wait_for(&log, |status| status.failed >= 1);
    let status = log.archive_status().expect("there is an archiver");
    let (name, why) = status.last_failure.expect("a failure");
    assert_eq!(Some(name.as_str()), place.segment(1).file_name().and_then(|name| name.to_str()));
    assert!(why.contains("`false` gave exit status: 1"), "{why}");
    let removal = log.remove_old(log.end(), 0).expect("removes nothing");
    assert_eq!((removal.recycled, removal.removed, removal.awaiting_archive), (0, 0, 3));
    assert!((1..=3).all(|number| place.segment(number).exists()));
}

#[test]
fn nothing_in_an_archive_is_overwritten() {
    let place = Place::new(1 << 20);
    let archive = tempfile::tempdir().expect("a temporary directory");
    let name = place.segment(1).file_name().expect("a name").to_owned();
    std::fs::write(archive.path().join(&name), b"another log").expect("writes");
    let to = ArchiveTo::Directory(archive.path().to_owned());
    let log = place.create(LogOptions { archive: Some(to), ..LogOptions::default() });
    write_three(&log);
    wait_for(&log, |status| status.failed >= 1);
    let status = log.archive_status().expect("there is an archiver");
    assert!(status.last_failure.is_some_and(|(_, why)| why.contains("is there with other bytes")));
    assert_eq!(std::fs::read(archive.path().join(&name)).expect("reads"), b"another log");
}
