//! A crash at every call of a workload, and at every call of the recovery from it.

use std::ops::ControlFlow;
use std::path::Path;

use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use engine::Error;
use engine::checkpoint::CheckpointKind;
use engine::data_directory::LOCK_FILE;
use engine::recovery::{RecoveryError, recover};
use wal::control::ClusterState;

use super::writer::{Model, Writer};
use super::{NobodyRuns, checkpoints, contents, open, options, storage};
use crate::{DATA, initialized};

/// Runs transactions until the disk crashes or there were so many, with checkpoints among the first `checkpointed`. What
/// was acknowledged.
fn work(disk: &FaultyDisk, seed: u64, transactions: u64, checkpointed: u64) -> Model {
    let mut model = Model::default();
    let Ok((storage, _)) = open(disk, &options()) else { return model };
    let checkpoints = checkpoints();
    let mut writer = Writer::new(&storage, seed);
    for number in 0..transactions {
        let stepped = writer.step((number < checkpointed).then_some(&checkpoints));
        model = writer.model.clone();
        if let Err(error) = stepped {
            assert!(disk.has_crashed(), "{error}");
            break;
        }
    }
    model
}

/// What a crash leaves. A lock file that was being written is removed, as its message asks for.
pub(super) fn left(disk: &FaultyDisk, survival: u64) -> FaultyDisk {
    let left = disk.after_crash(survival);
    let lock = Path::new(DATA).join(LOCK_FILE);
    if crate::content(&left, &lock).is_some_and(|text| text.iter().all(|byte| *byte == 0)) {
        left.remove_file(&lock).expect("there");
    }
    left
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_in_any_call() {
    let (fresh, _) = initialized();
    for (seed, transactions) in [(1, 24), (2, 40)] {
        let whole = fresh.after_crash(1);
        work(&whole, seed, transactions, transactions);
        let calls = whole.changing_calls();
        for call in 1..=calls {
            let disk = fresh.after_crash(1);
            disk.crash_at(call);
            let model = work(&disk, seed, transactions, transactions);
            for survival in [0, 1, 2 + call] {
                let what = format!("seed {seed}, call {call} of {calls}, survival {survival}");
                let left = left(&disk, survival);
                let (storage, _) =
                    open(&left, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
                model.check(&storage, &what);
            }
        }
    }
}

#[test]
fn recovery_that_crashes_in_any_call_is_begun_again_and_comes_to_the_same_end() {
    let (disk, _) = initialized();
    let model = work(&disk, 7, 60, 30);
    let crashed = disk.after_crash(3);
    let whole = crashed.after_crash(1);
    let (storage, recovered) = open(&whole, &options()).expect("recovered");
    assert!(recovered.checkpoint_is_due && recovered.counts.records > 50, "{recovered:?}");
    let calls = whole.changing_calls();
    model.check(&storage, "recovered");
    drop(storage);
    let expected = contents(&whole);
    for call in 1..=calls {
        let disk = crashed.after_crash(1);
        disk.crash_at(call);
        assert!(open(&disk, &options()).is_err(), "call {call}");
        let left = left(&disk, call);
        drop(open(&left, &options()).unwrap_or_else(|error| panic!("call {call}: {error}")));
        assert_same(&expected, &contents(&left), &format!("call {call}"));
    }
}

fn assert_same(
    expected: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>,
    found: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>,
    what: &str,
) {
    assert_eq!(
        expected.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>(),
        "{what}: other files"
    );
    for (path, bytes) in expected {
        let other = &found[path];
        let differs = (0..bytes.len().max(other.len())).find(|at| bytes.get(*at) != other.get(*at));
        assert_eq!(differs, None, "{what}: {}", path.display());
    }
}

#[test]
fn a_second_recovery_gives_the_same_bytes() {
    let (disk, _) = initialized();
    work(&disk, 11, 80, 60);
    let one = disk.after_crash(5);
    let other = one.after_crash(1);
    for disk in [&one, &other] {
        drop(open(disk, &options()).expect("recovered"));
    }
    assert_same(&contents(&one), &contents(&other), "twice from the same");
    // Nothing was done since: the checkpoint that ended the first is where the second begins.
    let again = one.after_crash(1);
    let (storage, recovered) = open(&again, &options()).expect("recovered");
    assert_eq!(recovered.counts.changed + recovered.counts.images, 0);
    drop(storage);
    assert_same(&contents(&one), &contents(&again), "after a recovery");
}

#[test]
fn after_a_shutdown_nothing_is_redone() {
    let (disk, _) = initialized();
    let (one, _) = open(&disk, &options()).expect("opened");
    let mut writer = Writer::new(&one, 3);
    for _ in 0..10 {
        writer.step(Some(&checkpoints())).expect("room");
    }
    let model = writer.model.clone();
    let kind = CheckpointKind::Shutdown;
    checkpoints().at_once(&one, &NobodyRuns(&one), kind).expect("room");
    drop(one);
    let left = disk.after_crash(0);
    let storage = storage(&left).expect("opened");
    let state = storage.directory.control().data().state.state();
    assert_eq!(state, Some(ClusterState::ShutDown));
    let recovered = recover(&storage, &options(), &mut |_| panic!("nothing to tell"));
    let recovered = recovered.expect("there is nothing to do");
    assert!(!recovered.checkpoint_is_due);
    drop(storage);
    let (storage, recovered) = open(&left, &options()).expect("opened");
    assert_eq!(recovered.counts.records, 0);
    model.check(&storage, "after a shutdown");
}

#[test]
fn recovery_can_be_cancelled_and_begun_again() {
    let (disk, _) = initialized();
    let model = work(&disk, 5, 1500, 10);
    let left = disk.after_crash(1);
    let one = storage(&left).expect("opened");
    let mut calls = 0;
    let cancelled = recover(&one, &options(), &mut |progress| {
        calls += 1;
        assert!(progress.redo < progress.at && progress.at <= progress.last, "{progress:?}");
        ControlFlow::Break(())
    });
    assert!(matches!(cancelled, Err(Error::Recovery(RecoveryError::Cancelled { .. }))));
    assert_eq!(calls, 1);
    drop(one);
    let (storage, _) = open(&left, &options()).expect("recovered");
    model.check(&storage, "begun again");
    assert!(crate::content(&left, &Path::new(DATA).join("global/pg_control")).is_some());
}
