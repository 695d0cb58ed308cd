//! What an engine was opened with, in the control file and in the log: as PostgreSQL's programs read it, and as a server
//! that recovers redoes it.

use std::fs;
use std::process::Stdio;

use base::disk::RealDisk;
use engine::data_directory::StandbyParameters;
use engine::{Engine, EngineOptions};

use super::programs::{copy, give, place, printed, program, run, take_back};
use super::*;

/// Those of `pg_controldata`.
const NAMES: [&str; 8] = [
    "wal_level setting",
    "wal_log_hints setting",
    "max_connections setting",
    "max_worker_processes setting",
    "max_wal_senders setting",
    "max_prepared_xacts setting",
    "max_locks_per_xact setting",
    "track_commit_timestamp setting",
];

fn parameters(data: &Path) -> Vec<String> {
    let control = printed(program("pg_controldata").arg(data));
    let value = |name: &&str| {
        let line = control.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no line \"{name}\" in {control}")).trim().to_owned()
    };
    NAMES.iter().map(value).collect()
}

/// The changes that `pg_waldump` finds, from the log's first record on.
fn changes(data: &Path) -> Vec<String> {
    let mut dump = program("pg_waldump");
    dump.arg("-p").arg(data.join("pg_wal")).args(["-s", "0/1000028", "-r", "XLOG"]);
    // It ends with an error where the log does.
    let text = String::from_utf8(run(&mut dump).stdout).expect("text");
    let changes = text.lines().filter_map(|line| line.split_once("desc: PARAMETER_CHANGE "));
    changes.map(|(_, change)| change.to_owned()).collect()
}

fn options(sessions: u32, prepared_transactions: u32) -> EngineOptions {
    EngineOptions {
        sessions,
        prepared_transactions,
        parameters: StandbyParameters {
            max_worker_processes: 9,
            max_wal_senders: 3,
            max_locks_per_transaction: 77,
        },
        ..EngineOptions::default()
    }
}

/// As the record has it.
fn change(sessions: u32, prepared: u32) -> String {
    format!(
        "max_connections={sessions} max_worker_processes=9 max_wal_senders=3 max_prepared_xacts={prepared} \
         max_locks_per_xact=77 wal_level=replica wal_log_hints=off track_commit_timestamp=on"
    )
}

/// As the control file has it.
fn expected(sessions: u32, prepared: u32) -> Vec<String> {
    ["replica", "off", &sessions.to_string(), "9", "3", &prepared.to_string(), "77", "on"]
        .map(str::to_owned)
        .to_vec()
}

#[test]
fn what_it_was_opened_with_is_logged_once_and_redone() {
    let place = place();
    let data = place.path().join("data");
    init(&RealDisk, &data, &InitOptions::default(), &BIRTH).expect("a data directory");
    let at_first = ["replica", "off", "100", "8", "10", "0", "64", "on"].map(str::to_owned);
    let judged = || {
        give(place.path());
        let judged = (parameters(&data), changes(&data));
        take_back(place.path());
        judged
    };
    assert_eq!(judged(), (at_first.to_vec(), vec![]));
    // As initdb has it: nothing changes.
    Engine::open(&data, EngineOptions::default()).expect("opened").close().expect("closed");
    assert_eq!(judged(), (at_first.to_vec(), vec![]));
    for _ in 0..2 {
        Engine::open(&data, options(17, 4)).expect("opened").close().expect("closed");
        assert_eq!(judged(), (expected(17, 4), vec![change(17, 4)]));
    }
    // Killed; and the control file as if the crash had come before it was written.
    let control = data.join("global/pg_control");
    let before = fs::read(&control).expect("there");
    drop(Engine::open(&data, options(23, 6)).expect("opened"));
    let changed = vec![change(17, 4), change(23, 6)];
    assert_eq!(judged(), (expected(23, 6), changed.clone()));
    fs::write(&control, &before).expect("written");
    assert_eq!(judged().0, expected(17, 4));

    // A server finds no catalogs of its own, but recovers before it looks for them.
    let theirs = place.path().join("theirs");
    let config = place.path().join("empty.conf");
    // What stands there says that it was shut down, and so that there is nothing to redo.
    mark_in_production(&data);
    copy(&data, &theirs);
    fs::write(&config, "").expect("written");
    give(place.path());
    let mut server = program("postgres");
    server.args(["--single", "-F", "-c", "track_commit_timestamp=on", "-c", "max_connections=23"]);
    server.args(["-c", "max_worker_processes=9", "-c", "max_wal_senders=3"]);
    server.args(["-c", "max_prepared_transactions=6", "-c", "max_locks_per_transaction=77", "-c"]);
    server.arg(format!("config_file={}", config.display())).arg("-D").arg(&theirs);
    let output = run(server.arg("postgres").stdin(Stdio::null()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let redone = (parameters(&theirs), changes(&theirs));
    take_back(place.path());
    assert!(said.contains("redo done at"), "{said}");
    // It was given the same, and so has nothing to log but what it redid.
    assert_eq!(redone, (expected(23, 6), changed.clone()), "{said}");

    // The engine redoes it, and has nothing to add.
    Engine::open(&data, options(23, 6)).expect("opened").close().expect("closed");
    assert_eq!(judged(), (expected(23, 6), changed));
}

/// Has the control file say what it says of a server that was killed.
fn mark_in_production(data: &Path) {
    let mut control = engine::data_directory::Control::open(&RealDisk, data).expect("sound");
    let time = control.data().time;
    let state = wal::control::StateNumber(wal::control::ClusterState::InProduction as u32);
    control.update(time, |data| data.state = state).expect("written");
}
