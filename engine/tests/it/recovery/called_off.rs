//! What follows a shutdown, and a recovery that was called off. (What follows a crash: `crash`.)

use std::ops::ControlFlow;
use std::path::Path;

use engine::Error;
use engine::checkpoint::CheckpointKind;
use engine::recovery::{RecoveryError, recover};
use wal::control::ClusterState;

use super::writer::Writer;
use super::{NobodyRuns, checkpoints, open, options, storage};
use crate::{DATA, initialized};

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
    let model = {
        let (storage, _) = open(&disk, &options()).expect("opened");
        let checkpoints = checkpoints();
        let mut writer = Writer::new(&storage, 5);
        for number in 0..1500 {
            writer.step((number < 10).then_some(&checkpoints)).expect("room");
        }
        writer.model.clone()
    };
    let left = disk.after_crash(1);
    let one = storage(&left).expect("opened");
    let mut calls = 0;
    let cancelled = recover(&one, &options(), &mut |progress| {
        calls += 1;
        if calls == 1 {
            assert_eq!(progress.redo, progress.at, "before the first record");
            return ControlFlow::Continue(());
        }
        assert!(progress.redo < progress.at && progress.at <= progress.last, "{progress:?}");
        ControlFlow::Break(())
    });
    assert!(matches!(cancelled, Err(Error::Recovery(RecoveryError::Cancelled { .. }))));
    assert_eq!(calls, 2);
    drop(one);
    let (storage, _) = open(&left, &options()).expect("recovered");
    model.check(&storage, "begun again");
    assert!(crate::content(&left, &Path::new(DATA).join("global/pg_control")).is_some());
}
