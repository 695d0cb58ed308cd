//! Each fault that the disk in memory may make is shown once, without faults it does what a real one does, and a protocol
//! that leaves out a sync is found out.

use std::ops::Range;
use std::path::PathBuf;

use super::*;
use crate::disk::tests::keeps_its_promises;

const SEEDS: Range<u64> = 0..200;

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn create(disk: &FaultyDisk, name: &str) -> io::Result<Box<dyn WritableFile>> {
    disk.open_for_writing(&path(name), Opening::CREATE)
}

fn content(disk: &FaultyDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(&path(name)).ok()?;
    let mut bytes = vec![0; 1 << 16];
    let length = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

/// What each seed leaves of a file.
fn survivors(disk: &FaultyDisk, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    SEEDS.map(|seed| content(&disk.after_crash(seed), name)).collect()
}

/// A durable file of three sectors of `a`.
fn three_sectors() -> io::Result<(FaultyDisk, Box<dyn WritableFile>)> {
    let disk = FaultyDisk::new(7);
    let file = create(&disk, "f")?;
    file.write_at(&[b'a'; 3 * SECTOR], 0)?;
    file.sync_data()?;
    disk.sync_directory(&path("/"))?;
    assert!(disk.is_durable());
    Ok((disk, file))
}

fn shape(bytes: &[u8]) -> String {
    bytes
        .chunks(SECTOR)
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is never torn");
            char::from(sector[0])
        })
        .collect()
}

#[test]
fn the_faulty_disk_keeps_every_disks_promises() -> io::Result<()> {
    keeps_its_promises(&FaultyDisk::new(1), Path::new("/"))
}

#[test]
fn unsynced_sectors_are_kept_dropped_torn_and_reordered() -> io::Result<()> {
    let (disk, file) = three_sectors()?;
    file.write_at(&[b'b'; 2 * SECTOR], 0)?;
    file.write_at(&[b'c'; 2 * SECTOR], SECTOR as u64)?;
    let left = survivors(&disk, "f").into_iter().flatten();
    let shapes: BTreeSet<String> = left.map(|bytes| shape(&bytes)).collect();
    let mut all = BTreeSet::new();
    for first in ["a", "b"] {
        for second in ["a", "b", "c"] {
            for third in ["a", "c"] {
                all.insert(format!("{first}{second}{third}"));
            }
        }
    }
    assert_eq!(shapes, all);
    assert_eq!(shape(&content(&disk.after_crash(0), "f").expect("there")), "aaa");
    assert_eq!(shape(&content(&disk.after_crash(1), "f").expect("there")), "bcc");
    file.sync_data()?;
    assert_eq!(survivors(&disk, "f").len(), 1);
    Ok(())
}

#[test]
fn lengths_survive_or_not_and_what_was_cut_off_stays_away() -> io::Result<()> {
    let (disk, file) = three_sectors()?;
    file.set_length(SECTOR as u64)?;
    file.set_length(4 * SECTOR as u64)?;
    assert_eq!(shape(&content(&disk, "f").expect("there")), "a\0\0\0");
    assert_eq!(shape(&content(&disk.after_crash(1), "f").expect("there")), "a\0\0\0");
    let lengths: BTreeSet<usize> =
        survivors(&disk, "f").into_iter().flatten().map(|bytes| bytes.len() / SECTOR).collect();
    assert_eq!(lengths, [1, 3, 4].into());
    file.sync_all()?;
    assert_eq!(survivors(&disk, "f").len(), 1);
    Ok(())
}

#[test]
fn a_synchronous_write_is_durable_by_itself() -> io::Result<()> {
    let (disk, _) = three_sectors()?;
    let file = disk.open_for_writing(&path("f"), Opening::EXISTING.synchronous())?;
    file.write_at(&[b'b'; SECTOR], 3 * SECTOR as u64)?;
    assert!(disk.is_durable());
    assert_eq!(shape(&content(&disk.after_crash(0), "f").expect("there")), "aaab");
    Ok(())
}

#[test]
fn a_name_lasts_by_its_directorys_sync_alone() -> io::Result<()> {
    let disk = FaultyDisk::new(0);
    disk.create_directory(&path("d"))?;
    let file = create(&disk, "d/f")?;
    file.write_at(b"x", 0)?;
    file.sync_all()?;
    assert_eq!(survivors(&disk, "d/f"), [None, Some(b"x".to_vec())].into());
    disk.sync_directory(&path("d"))?;
    assert_eq!(
        content(&disk.after_crash(0), "d/f"),
        None,
        "the directory itself has no lasting name"
    );
    disk.sync_directory(&path("/"))?;
    assert_eq!(survivors(&disk, "d/f"), [Some(b"x".to_vec())].into());

    disk.remove_file(&path("d/f"))?;
    assert_eq!(survivors(&disk, "d/f"), [None, Some(b"x".to_vec())].into());
    disk.sync_directory(&path("d"))?;
    assert_eq!(survivors(&disk, "d/f"), [None].into());
    Ok(())
}

#[test]
fn a_renaming_survives_as_a_whole_or_not_at_all() -> io::Result<()> {
    let disk = FaultyDisk::new(0);
    disk.create_directory(&path("d"))?;
    for name in ["f", "d/g"] {
        let file = create(&disk, name)?;
        file.write_at(name.as_bytes(), 0)?;
        file.sync_all()?;
    }
    disk.sync_directory(&path("/"))?;
    disk.sync_directory(&path("d"))?;
    disk.rename(&path("f"), &path("d/g"))?;
    let states = |disk: &FaultyDisk| -> BTreeSet<_> {
        let look = |disk: FaultyDisk| (content(&disk, "f"), content(&disk, "d/g"));
        SEEDS.map(|seed| look(disk.after_crash(seed))).collect()
    };
    let before = (Some(b"f".to_vec()), Some(b"d/g".to_vec()));
    let after = (None, Some(b"f".to_vec()));
    assert_eq!(states(&disk), [before.clone(), after.clone()].into());
    disk.sync_directory(&path("d"))?;
    assert_eq!(
        states(&disk),
        [before, after.clone()].into(),
        "the old name's directory is not synced"
    );
    disk.sync_directory(&path("/"))?;
    assert_eq!(states(&disk), [after].into());
    Ok(())
}

#[test]
fn names_of_different_files_survive_in_any_combination() -> io::Result<()> {
    let disk = FaultyDisk::new(0);
    create(&disk, "1")?;
    create(&disk, "2")?;
    disk.rename(&path("2"), &path("3"))?;
    let states: BTreeSet<[bool; 3]> = SEEDS
        .map(|seed| disk.after_crash(seed))
        .map(|left| ["1", "2", "3"].map(|name| content(&left, name).is_some()))
        .collect();
    let mut all = BTreeSet::new();
    for first in [false, true] {
        all.extend([[first, false, false], [first, true, false], [first, false, true]]);
    }
    assert_eq!(states, all);
    Ok(())
}

/// Does one operation on a disk that has the directories `d` and `e` and the file `f`.
fn perform(disk: &FaultyDisk, file: &dyn WritableFile, operation: Operation) -> io::Result<usize> {
    let mut buffer = [0; 3 * SECTOR];
    match operation {
        Operation::Open => disk.open(&path("f")).map(|_| 0),
        Operation::OpenForWriting => create(disk, "f").map(|_| 0),
        Operation::List => disk.list(&path("d")).map(|entries| entries.len()),
        Operation::Look => Ok(usize::from(disk.is_directory(&path("d")))),
        Operation::Owner => disk.belongs_to_us(&path("d")).map(usize::from),
        Operation::Lock => file.try_lock().map(usize::from),
        Operation::Rename => disk.rename(&path("f"), &path("f")).map(|()| 0),
        Operation::Remove => disk.remove_file(&path("g")).map(|()| 0),
        Operation::RemoveDirectory => disk.remove_directory(&path("e")).map(|()| 0),
        Operation::CreateDirectory => disk.create_directory(&path("n")).map(|()| 0),
        Operation::SyncDirectory => disk.sync_directory(&path("d")).map(|()| 0),
        Operation::Read => file.read_at(&mut buffer, 0),
        Operation::Length => file.length().map(|length| length as usize),
        Operation::Write => file.write_at(&[b'b'; 3 * SECTOR], 0).map(|()| 0),
        Operation::SetLength => file.set_length(10_000).map(|()| 0),
        Operation::Allocate => file.allocate(20_000).map(|()| 0),
        Operation::SyncData => file.sync_data().map(|()| 0),
        Operation::SyncAll => file.sync_all().map(|()| 0),
    }
}

fn site_of(operation: Operation) -> Site {
    Site::new(
        operation,
        &path(match operation {
            Operation::List | Operation::Look | Operation::Owner | Operation::SyncDirectory => "d",
            Operation::Remove => "g",
            Operation::RemoveDirectory => "e",
            Operation::CreateDirectory => "n",
            _ => "f",
        }),
    )
}

#[test]
fn each_fault_of_the_table_happens_where_and_as_long_as_it_is_told_to() -> io::Result<()> {
    for (kind, operations) in fault::TABLE {
        for &operation in operations {
            for lasting in [Lasting::Once, Lasting::ForEver] {
                let (disk, file) = three_sectors()?;
                disk.create_directory(&path("d"))?;
                disk.create_directory(&path("e"))?;
                drop(create(&disk, "g")?);
                let site = site_of(operation);
                let before = disk.sites().get(&site).copied().unwrap_or(0);
                disk.inject(Fault { site: site.clone(), at: before + 1, lasting, kind });
                let what = format!("{kind:?} {lasting:?} at {site}");
                let first = perform(&disk, &*file, operation);
                assert_eq!(disk.faults_made(), 1, "{what}");
                match (kind, &first) {
                    (FaultKind::NoSpace, Err(error)) => {
                        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{what}");
                    }
                    (FaultKind::InputOutput | FaultKind::FailedSync, Err(error)) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EIO), "{what}");
                    }
                    (FaultKind::Interrupted | FaultKind::Short, Ok(count)) => {
                        assert!(operation != Operation::Read || *count == 3 * SECTOR, "{what}");
                    }
                    _ => panic!("{what}: {first:?}"),
                }
                if operation == Operation::Write && first.is_ok() {
                    assert_eq!(shape(&content(&disk, "f").expect("there")), "bbb");
                }
                // What did not happen can be tried again; where it did, there is nothing left to do.
                if kind.is_told() {
                    let second = perform(&disk, &*file, operation);
                    assert_eq!(second.is_ok(), lasting == Lasting::Once, "{what}: {second:?}");
                }
                let calls = if kind.is_told() { 2 } else { 1 };
                assert_eq!(disk.sites()[&site], before + calls, "{what}");
            }
        }
    }
    Ok(())
}

#[test]
#[should_panic(expected = "is not in the table")]
fn a_fault_that_cannot_be_is_refused() {
    let site = Site::new(Operation::Read, &path("f"));
    let kind = FaultKind::FailedSync;
    FaultyDisk::new(0).inject(Fault { site, at: 1, lasting: Lasting::Once, kind });
}

#[test]
fn after_a_failed_sync_data_are_lost_though_the_next_succeeds() -> io::Result<()> {
    let mut lost = BTreeSet::new();
    for seed in SEEDS {
        let disk = FaultyDisk::new(seed);
        let file = create(&disk, "f")?;
        file.write_at(&[b'a'; 2 * SECTOR], 0)?;
        file.sync_all()?;
        disk.sync_directory(&path("/"))?;
        let site = Site::new(Operation::SyncData, &path("f"));
        let kind = FaultKind::FailedSync;
        disk.inject(Fault { site, at: 1, lasting: Lasting::Once, kind });
        file.write_at(&[b'b'; 2 * SECTOR], 0)?;
        assert!(file.sync_data().is_err());
        file.sync_data()?;
        let seen = shape(&content(&disk, "f").expect("there"));
        let left = survivors(&disk, "f").into_iter().flatten().map(|bytes| shape(&bytes));
        let left: Vec<String> = left.collect();
        assert_eq!(left.len(), 1, "nothing is unsynced any more");
        lost.insert(format!("seen {seen}, left {}", left[0]));
    }
    for outcome in ["seen bb, left aa", "seen bb, left ab", "seen aa, left aa", "seen bb, left bb"]
    {
        assert!(lost.contains(outcome), "{outcome} is not in {lost:?}");
    }
    Ok(())
}

#[test]
fn after_a_failed_sync_of_a_directory_names_are_lost() -> io::Result<()> {
    let disk = FaultyDisk::new(0);
    create(&disk, "f")?;
    let site = Site::new(Operation::SyncDirectory, &path("/"));
    let kind = FaultKind::FailedSync;
    disk.inject(Fault { site, at: 1, lasting: Lasting::Once, kind });
    assert!(disk.sync_directory(&path("/")).is_err());
    disk.sync_directory(&path("/"))?;
    assert!(content(&disk, "f").is_some());
    assert_eq!(survivors(&disk, "f"), [None].into());
    Ok(())
}

#[test]
fn nothing_works_without_power() -> io::Result<()> {
    let (disk, file) = three_sectors()?;
    let calls = disk.changing_calls();
    disk.crash_at(calls + 2);
    file.write_at(b"b", 0)?;
    assert!(file.sync_data().is_err() && disk.has_crashed());
    assert_eq!(survivors(&disk, "f").len(), 2, "it failed during the sync, before or after");
    for (_, operations) in fault::TABLE {
        for &operation in operations {
            let error = perform(&disk, &*file, operation).expect_err("no power");
            assert_eq!(error.to_string(), "the power is off", "{operation:?}");
        }
    }
    assert_eq!(disk.changing_calls(), calls + 2);
    Ok(())
}

#[test]
fn paths_are_told_apart_by_all_but_their_numbers() {
    for (path, expected) in [
        ("pg_wal/0000000100000000000000A1", "pg_wal/*"),
        ("/data/base/5/16384_fsm", "/data/base/*/*_fsm"),
        ("base/5/16384.1", "base/*/*.*"),
        ("global/pg_control", "global/pg_control"),
        ("pg_wal/00000002.history", "pg_wal/*.history"),
        ("PG_VERSION", "PG_VERSION"),
        ("pg_xact/00FF", "pg_xact/*"),
    ] {
        assert_eq!(fault::place(Path::new(path)), expected);
    }
}

/// Replaces the content of `f` by way of a new file, in the way of `durable_rename`, or with one step of it
/// left out. Returns whether it says that it has done so.
fn replace(disk: &FaultyDisk, bytes: &[u8], left_out: Option<&str>) -> io::Result<()> {
    let does = |step| left_out != Some(step);
    let file = create(disk, "f.new")?;
    file.set_length(0)?;
    file.write_at(bytes, 0)?;
    if does("sync of the file") {
        file.sync_all()?;
    }
    disk.rename(&path("f.new"), &path("f"))?;
    if does("sync of the directory") {
        disk.sync_directory(&path("/"))?;
    }
    Ok(())
}

/// Runs the protocol with a crash at each call and looks for a state that it must not leave.
fn breaks(left_out: Option<&str>) -> io::Result<bool> {
    let (old, new) = (vec![b'o'; 3000], vec![b'n'; 2000]);
    let prepared = || -> io::Result<FaultyDisk> {
        let disk = FaultyDisk::new(0);
        replace(&disk, &old, None)?;
        Ok(disk)
    };
    let disk = prepared()?;
    let first = disk.changing_calls();
    replace(&disk, &new, left_out)?;
    let last = disk.changing_calls();
    // One more: the crash comes when all is done.
    for call in first + 1..=last + 1 {
        let disk = prepared()?;
        disk.crash_at(call);
        let acknowledged = replace(&disk, &new, left_out).is_ok();
        for left in survivors(&disk, "f") {
            let is_new = left.as_ref() == Some(&new);
            let is_old = left.as_ref() == Some(&old);
            if !(is_new || is_old && !acknowledged) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[test]
fn a_protocol_without_its_syncs_is_caught() -> io::Result<()> {
    assert!(!breaks(None)?);
    assert!(breaks(Some("sync of the file"))?);
    assert!(breaks(Some("sync of the directory"))?);
    Ok(())
}

#[test]
fn a_sync_that_is_left_out_does_nothing_and_says_that_it_has() -> io::Result<()> {
    let (disk, file) = three_sectors()?;
    disk.leave_out(Site::new(Operation::SyncData, &path("f")));
    disk.leave_out(Site::new(Operation::SyncDirectory, &path("/")));
    file.write_at(&[b'b'; SECTOR], 0)?;
    file.sync_data()?;
    drop(create(&disk, "g")?);
    disk.sync_directory(&path("/"))?;
    let left = disk.after_crash(0);
    assert_eq!(shape(&content(&left, "f").expect("there")), "aaa");
    assert_eq!(content(&left, "g"), None);
    file.sync_all()?;
    assert_eq!(shape(&content(&disk.after_crash(0), "f").expect("there")), "baa");
    Ok(())
}

#[test]
fn an_observer_is_told_of_each_call() -> io::Result<()> {
    let (disk, file) = three_sectors()?;
    let (told, seen) = std::sync::mpsc::channel();
    disk.observe(move |site, number| {
        let _ = told.send((site.to_string(), number));
    });
    file.write_at(b"x", 0)?;
    assert!(!disk.is_directory(&path("f")) && disk.is_directory(&path("/")));
    file.write_at(b"x", 1)?;
    let seen: Vec<_> = seen.try_iter().collect();
    let expected = [("Write f", 2), ("Look f", 1), ("Look /", 1), ("Write f", 3)];
    assert_eq!(seen, expected.map(|(site, number)| (site.to_owned(), number)));
    Ok(())
}

#[test]
fn the_same_seed_gives_the_same_bytes() -> io::Result<()> {
    let run = || -> io::Result<Vec<_>> {
        let disk = FaultyDisk::new(3);
        let file = create(&disk, "f")?;
        let site = Site::new(Operation::Write, &path("f"));
        let kind = FaultKind::NoSpace;
        disk.inject(Fault { site, at: 2, lasting: Lasting::Once, kind });
        file.write_at(&[b'a'; 20 * SECTOR], 0)?;
        disk.sync_directory(&path("/"))?;
        assert!(file.write_at(&[b'b'; 20 * SECTOR], 100).is_err());
        Ok(SEEDS.map(|seed| content(&disk.after_crash(seed), "f")).collect())
    };
    assert_eq!(run()?, run()?);
    Ok(())
}

#[test]
fn files_that_nobody_can_reach_any_more_are_forgotten() -> io::Result<()> {
    let (disk, file) = three_sectors()?;
    disk.remove_file(&path("f"))?;
    drop(file);
    assert_eq!(disk.state().files.len(), 1, "a crash would bring it back");
    disk.sync_directory(&path("/"))?;
    assert_eq!(disk.state().files.len(), 0);
    let scratch = disk.scratch()?;
    scratch.write_at(b"x", 0)?;
    drop(scratch);
    assert_eq!(disk.state().files.len(), 0);
    Ok(())
}
