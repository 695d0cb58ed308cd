//! The lock of a data directory: engines and servers keep each other out, and what is stale is recognised.

use std::cell::RefCell;
use std::process::{Command, Stdio};

use base::disk::{Opening, RealDisk};
use base::sync::Arc;
use engine::Error;
use engine::data_directory::{LOCK_FILE, LockFile, LockHolder, Processes};

use super::programs::{as_server_user, give, place, printed, program, run};
use super::*;

const OWN: i32 = 4000;
const PARENT: i32 = 3999;

/// Processes as a test says.
#[derive(Debug, Default)]
struct Fake {
    alive: RefCell<Vec<i32>>,
    attached: Vec<(u64, u64)>,
}

impl Processes for Fake {
    fn own_id(&self) -> i32 {
        OWN
    }
    fn is_parent(&self, id: i32) -> bool {
        id == PARENT
    }
    fn is_alive(&self, id: i32) -> bool {
        id == OWN || id == PARENT || self.alive.borrow().contains(&id)
    }
    fn is_attached(&self, key: u64, id: u64) -> bool {
        self.attached.contains(&(key, id))
    }
}

fn acquire(disk: &FaultyDisk, processes: &Fake) -> Result<LockFile, Error> {
    LockFile::acquire(Arc::new(disk.clone()), Path::new(DATA), processes, UnixTime(1000))
}

fn holder(disk: &FaultyDisk, processes: &Fake) -> LockHolder {
    match acquire(disk, processes) {
        Err(Error::Locked { holder, .. }) => holder,
        other => panic!("{other:?}"),
    }
}

fn lock_path() -> std::path::PathBuf {
    Path::new(DATA).join(LOCK_FILE)
}

fn leave(disk: &FaultyDisk, text: &str) {
    let file = disk.open_for_writing(&lock_path(), Opening::CREATE).expect("opened");
    file.set_length(0).and_then(|()| file.write_at(text.as_bytes(), 0)).expect("written");
}

#[test]
fn its_form_is_that_of_a_single_user_server() {
    let (disk, _) = initialized();
    let lock = acquire(&disk, &Fake::default()).expect("free");
    let text = content(&disk, &lock_path()).expect("there");
    assert_eq!(String::from_utf8_lossy(&text), "-4000\ndata\n1000\n0\n\n\n");
    lock.release().expect("given back");
    assert_eq!(content(&disk, &lock_path()), None);
}

#[test]
fn two_in_one_process_keep_each_other_out() {
    let (disk, _) = initialized();
    let processes = Fake::default();
    let first = acquire(&disk, &processes).expect("free");
    assert_eq!(holder(&disk, &processes), LockHolder::Standalone(OWN));
    drop(first);
    assert!(acquire(&disk, &processes).is_ok());
}

#[test]
fn what_a_living_process_has_is_refused_and_what_is_stale_is_not() {
    let (disk, _) = initialized();
    let mut processes = Fake { alive: vec![77].into(), attached: vec![(5, 6)] };
    leave(&disk, "77\n/data\n1\n5432\n/tmp\nlocalhost\n  5432001  3\nready   \n");
    assert_eq!(holder(&disk, &processes), LockHolder::Postmaster(77));
    leave(&disk, "-77\n/data\n1\n5432\n\n\n");
    assert_eq!(holder(&disk, &processes), LockHolder::Standalone(77));
    leave(&disk, "78\n/data\n1\n5432\n/tmp\nlocalhost\n 5 6\nready   \n");
    assert_eq!(holder(&disk, &processes), LockHolder::Orphans { key: 5, id: 6 });
    leave(&disk, "");
    assert_eq!(holder(&disk, &processes), LockHolder::Unknown);
    leave(&disk, "what?\n");
    let error = acquire(&disk, &processes).expect_err("bogus").to_string();
    assert_eq!(error, "bogus data in lock file \"data/postmaster.pid\": \"what?\"");

    processes.attached.clear();
    for stale in [
        "78\n/data\n1\n5432\n/tmp\nlocalhost\n 5 6\nready   \n",
        "-78\n/data\n1\n0\n\n\n",
        "78\n",
        // Ids come again after a reboot.
        "4000\n/data\n1\n5432\n",
        "-4000\n/data\n1\n0\n\n\n",
        "3999\n/data\n1\n5432\n",
    ] {
        leave(&disk, stale);
        assert!(acquire(&disk, &processes).is_ok(), "{stale}");
    }
}

#[test]
fn the_lock_of_an_engine_that_lost_power_is_stale() {
    let (disk, _) = initialized();
    let lock = acquire(&disk, &Fake::default()).expect("free");
    disk.sync_directory(Path::new(DATA)).expect("synced");
    disk.crash();
    drop(lock);
    let left = disk.after_crash(0);
    assert!(content(&left, &lock_path()).is_some());
    assert!(acquire(&left, &Fake::default()).is_ok());
}

/// A directory made by initdb, on the real disk, with a real process in the engine's part.
#[test]
fn a_server_and_an_engine_keep_each_other_out() {
    let place = place();
    let data = place.path().join("data");
    printed(
        program("initdb").args(["--no-sync", "--no-instructions", "--auth=trust", "-D"]).arg(&data),
    );
    let single = || {
        let mut command = program("postgres");
        command.args(["--single", "-D"]).arg(&data).arg("template1").stdin(Stdio::null());
        command
    };
    let mut sleeper = as_server_user(Command::new("cat"));
    let mut sleeper = sleeper.stdin(Stdio::piped()).spawn().expect("cat runs");
    let id = sleeper.id();
    let engines = format!("-{id}\n{}\n1000\n0\n\n\n", data.display());
    std::fs::write(data.join(LOCK_FILE), engines).expect("written");
    give(&data.join(LOCK_FILE));
    let refused = run(&mut single());
    let messages = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{messages}");
    assert!(messages.contains("lock file \"postmaster.pid\" already exists"), "{messages}");
    assert!(messages.contains(&format!("Is another postgres (PID {id})")), "{messages}");
    let status = run(program("pg_ctl").args(["status", "-D"]).arg(&data));
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains(&format!("single-user server is running (PID: {id})")), "{text}");

    // The same for an engine that meets a server's lock; it may look at it only as its owner.
    let theirs = |id| format!("{id}\n{}\n1000\n5432\n/tmp\n\n\nready   \n", data.display());
    let own = place.path().join("own");
    std::fs::create_dir(&own).expect("made");
    std::fs::write(own.join(LOCK_FILE), theirs(id)).expect("written");
    let acquire = || {
        let processes = &engine::data_directory::SystemProcesses;
        LockFile::acquire(Arc::new(RealDisk), &own, processes, UnixTime(0))
    };
    let error = acquire().expect_err("it runs").to_string();
    assert!(error.ends_with(&format!("a postmaster (PID {id}) runs there")), "{error}");

    // What a killed engine leaves is stale for both.
    drop(sleeper.stdin.take());
    sleeper.wait().expect("it ends");
    let accepted = run(&mut single());
    let messages = String::from_utf8_lossy(&accepted.stderr).into_owned();
    assert!(accepted.status.success(), "{messages}");
    let lock = acquire().expect("stale");
    assert!(acquire().is_err(), "another open file of the same process");
    lock.release().expect("given back");
    assert!(!own.join(LOCK_FILE).exists());
}
