//! Updates of the control file: old or new after a crash, and no second try after a failure.

use base::Lsn;
use base::disk::faulty::{Fault, FaultKind, Lasting, Operation, Site};
use engine::data_directory::Control;
use wal::control::{ClusterState, StateNumber};

use super::*;

fn update(control: &mut Control, lsn: u64) -> Result<(), engine::Error> {
    control.update(UnixTime(lsn as i64), |data| {
        data.checkpoint = Lsn(lsn);
        data.state = StateNumber(ClusterState::InProduction as u32);
    })
}

fn open(disk: &FaultyDisk) -> Control {
    Control::open(disk, Path::new(DATA)).expect("a sound control file")
}

#[test]
fn an_update_is_read_back_and_the_rest_stays() {
    let (disk, first) = initialized();
    let mut control = open(&disk);
    assert_eq!(*control.data(), first);
    update(&mut control, 0x0123_4567).expect("written");
    assert!(disk.is_durable());
    let again = open(&disk);
    assert_eq!(again.data(), control.data());
    assert_eq!(again.data().checkpoint, Lsn(0x0123_4567));
    assert_eq!(again.data().system_identifier, first.system_identifier);
    let bytes = content(&disk, Path::new("data/global/pg_control")).expect("there");
    assert_eq!(bytes.len(), 8192);
    assert!(bytes[512..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_crash_leaves_the_old_or_the_new() {
    let (disk, _) = initialized();
    let before = disk.changing_calls();
    update(&mut open(&disk), 1).expect("written");
    let calls = disk.changing_calls();
    for call in before + 1..=calls + 1 {
        let (disk, first) = initialized();
        disk.crash_at(call);
        let opened = Control::open(&disk, Path::new(DATA));
        let acknowledged = opened.and_then(|mut control| update(&mut control, 1)).is_ok();
        assert_eq!(acknowledged, call > calls);
        for seed in 0..40 {
            let left = open(&disk.after_crash(seed)).data().checkpoint;
            let is_old = left == first.checkpoint && !acknowledged;
            assert!(is_old || left == Lsn(1), "call {call}, seed {seed}: {left}");
        }
    }
}

#[test]
fn after_a_failure_it_is_not_written_again() {
    for (operation, kind) in [
        (Operation::Write, FaultKind::InputOutput),
        (Operation::Write, FaultKind::NoSpace),
        (Operation::SyncData, FaultKind::FailedSync),
    ] {
        for seed in 0..20 {
            let (durable, first) = initialized();
            let disk = durable.after_crash(seed);
            let site = Site::new(operation, Path::new("data/global/pg_control"));
            disk.inject(Fault { site, at: 1, lasting: Lasting::Once, kind });
            let mut control = open(&disk);
            assert!(update(&mut control, 1).is_err());
            assert_eq!(*control.data(), first);
            let writes = disk.changing_calls();
            let error = update(&mut control, 2).expect_err("it failed before");
            assert!(error.to_string().contains("not written any more"), "{error}");
            assert_eq!(disk.changing_calls(), writes, "nothing was tried");
            // A torn sector there is not, but a write that failed may have stopped within it: then the
            // checksum tells.
            match Control::open(&disk.after_crash(seed), Path::new(DATA)) {
                Ok(left) => assert!([first.checkpoint, Lsn(1)].contains(&left.data().checkpoint)),
                Err(error) => assert!(
                    operation == Operation::Write && error.to_string().contains("checksum"),
                    "{error}"
                ),
            }
        }
    }
}

#[test]
#[should_panic(expected = "a control file is to be written")]
fn what_no_server_would_start_with_is_not_written() {
    let (disk, _) = initialized();
    let _ = open(&disk).update(UnixTime(0), |data| data.wal_segment_size = 3);
}
