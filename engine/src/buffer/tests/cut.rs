//! Relations cut off and removed: what is left is a relation still, and syncs go on.

use super::*;
use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use std::ops::ControlFlow;
use std::path::Path;

const MAIN: ForkNumber = ForkNumber::Main;

fn files(disk: &FaultyDisk) -> RelationFiles {
    RelationFiles::with_segments(Arc::new(disk.clone()), "data", 4)
}

fn relation() -> (FaultyDisk, RelationFiles) {
    let disk = FaultyDisk::new(1);
    for (holder, directory) in [("", "data"), ("data", "data/base"), ("data/base", "data/base/5")] {
        disk.create_directory(Path::new(directory)).expect("room");
        disk.sync_directory(Path::new(holder)).expect("synced");
    }
    let relation = files(&disk);
    relation.create(RELATION, MAIN).expect("room");
    (disk, relation)
}

fn names(disk: &FaultyDisk) -> Vec<(String, u64)> {
    let entries = disk.list(Path::new("data/base/5")).expect("a directory");
    let mut names: Vec<_> = entries
        .into_iter()
        .map(|entry| (entry.name.into_string().expect("ASCII"), entry.length / PAGE_SIZE as u64))
        .collect();
    names.sort();
    names
}

#[test]
fn a_fork_is_cut_off_anywhere() {
    for blocks in 0..=13 {
        let (disk, files) = relation();
        files.extend_to(RELATION, MAIN, 10).expect("room");
        files.truncate(RELATION, MAIN, blocks).expect("cut");
        let left = blocks.min(10);
        assert_eq!(files.blocks(RELATION, MAIN).expect("counted"), left);
        let last = if left == 0 { 0 } else { (left - 1) / 4 };
        let lengths: Vec<_> = names(&disk).into_iter().map(|(_, length)| length).collect();
        assert_eq!(lengths.len() as u32, last + 1, "{left} blocks");
        assert_eq!(lengths.iter().sum::<u64>(), u64::from(left));
        assert_eq!(files.extend(RELATION, MAIN).expect("room"), left);
        // Files that are gone are not missed.
        let syncs = files.sync_counted().expect("synced");
        assert!(syncs.files > 0 && syncs.longest <= syncs.total);
    }
}

#[test]
fn a_fork_that_is_removed_is_gone_for_good() {
    let (disk, files) = relation();
    files.extend_to(RELATION, MAIN, 10).expect("room");
    assert!(files.exists(RELATION, MAIN).expect("looked at"));
    assert!(files.remove(RELATION, MAIN).expect("removed"));
    assert!(!files.remove(RELATION, MAIN).expect("nothing to do"));
    assert!(!files.exists(RELATION, MAIN).expect("looked at"));
    files.sync().expect("synced");
    assert_eq!(names(&disk), []);
    assert_eq!(names(&disk.after_crash(0)), [], "the names are gone durably");
    files.create_if_missing(RELATION, MAIN).expect("room");
    files.create_if_missing(RELATION, MAIN).expect("there");
    assert_eq!(files.blocks(RELATION, MAIN).expect("counted"), 0);
}

#[test]
fn a_sweep_goes_in_order_and_can_be_ended() {
    let pool = pool(16);
    make_pages(&pool, 12);
    pool.write_all().expect("room");
    for block in [7, 3, 11, 5] {
        count(&mut pool.get(name(block)).expect("a frame").write(), block, 5);
    }
    let picture = pool.picture();
    assert_eq!((picture.frames, picture.used, picture.dirty), (16, 12, 4));
    assert_eq!(picture.forks, [(RELATION, MAIN, 4)]);
    let end_after = |count: usize| {
        move |sweep: &Sweep| match sweep.done < count {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    let sweep = pool.write_dirty(end_after(3)).expect("room");
    assert_eq!(sweep, Sweep { dirty: 4, done: 3, written: 3 });
    assert_eq!(pool.dirty(), (1, 16));
    assert_eq!(counter(&pool.store().pages.lock().expect("no panic")[11], 11), 0, "the last one");
    let sweep = pool.write_dirty(end_after(9)).expect("room");
    assert_eq!(sweep, Sweep { dirty: 1, done: 1, written: 1 });
    assert_eq!(pool.write_dirty(end_after(9)).expect("room"), Sweep::default());
}
