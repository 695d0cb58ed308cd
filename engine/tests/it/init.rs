//! A new data directory: what PostgreSQL's programs say of it, and that it is whole or known not to be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base::disk::RealDisk;
use base::disk::faulty::fault::TABLE;
use base::disk::faulty::{Fault, Lasting};
use base::sync::Arc;
use engine::Error;
use engine::data_directory::{DIRECTORIES, DataDirectory, SystemProcesses};

use super::programs::{give, place, printed, program, run};
use super::*;

/// The value of a line of `pg_controldata`.
fn value<'a>(text: &'a str, label: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no line {label} in {text}")).trim()
}

#[test]
fn postgresqls_programs_take_it_for_one_of_theirs() {
    for (megabytes, data_checksums) in [(1, true), (16, false), (64, true)] {
        let place = place();
        let data = place.path().join("data");
        let options = InitOptions {
            segment_size: SegmentSize::from_bytes(megabytes << 20).expect("legal"),
            data_checksums,
            ..InitOptions::default()
        };
        let birth = Birth::now().expect("a birth");
        init(&RealDisk, &data, &options, &birth).expect("a data directory");
        give(&data);
        let data = data.to_str().expect("a plain name");

        let control = printed(program("pg_controldata").arg(data));
        assert_eq!(value(&control, "Database cluster state"), "shut down");
        assert_eq!(
            value(&control, "Database system identifier"),
            birth.system_identifier.to_string()
        );
        assert_eq!(value(&control, "Bytes per WAL segment"), (megabytes << 20).to_string());
        assert_eq!(
            value(&control, "Latest checkpoint's REDO WAL file"),
            "000000010000000000000001"
        );
        let version = if data_checksums { "1" } else { "0" };
        assert_eq!(value(&control, "Data page checksum version"), version);

        let log = printed(
            program("pg_waldump")
                .args(["-p", &format!("{data}/pg_wal"), "-n", "1"])
                .args(["-s", value(&control, "Latest checkpoint location")]),
        );
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("CHECKPOINT_SHUTDOWN redo") && log.contains("; shutdown"), "{log}");

        let checksums = run(program("pg_checksums").args(["--check", data]));
        let messages = String::from_utf8_lossy(&checksums.stderr).into_owned();
        assert_eq!(checksums.status.success(), data_checksums, "{messages}");
        if !data_checksums {
            assert!(messages.contains("data checksums are not enabled"), "{messages}");
        }

        let reset = printed(program("pg_resetwal").args(["-n", "-D", data]));
        assert!(reset.contains("Current pg_control values"), "{reset}");
        assert!(!reset.contains("Guessed"), "{reset}");
    }
}

/// A directory of a real server has each of ours, and the same transaction logs.
#[test]
fn its_layout_is_initdbs() {
    let place = place();
    let (theirs, ours) = (place.path().join("theirs"), place.path().join("ours"));
    printed(
        program("initdb")
            .args(["--no-sync", "--no-instructions", "--auth=trust", "-D"])
            .arg(&theirs),
    );
    init(&RealDisk, &ours, &InitOptions::default(), &BIRTH).expect("a data directory");
    for directory in DIRECTORIES {
        assert!(theirs.join(directory).is_dir(), "{directory}");
        assert!(ours.join(directory).is_dir(), "{directory}");
    }
    for file in ["PG_VERSION", "base/1/PG_VERSION", "base/5/PG_VERSION"] {
        let read = |directory: &Path| std::fs::read(directory.join(file)).expect("there");
        assert_eq!(read(&ours), read(&theirs), "{file}");
    }
    for file in [
        "pg_xact/0000",
        "pg_subtrans/0000",
        "pg_multixact/offsets/0000",
        "pg_multixact/members/0000",
    ] {
        let length =
            |directory: &Path| std::fs::metadata(directory.join(file)).expect("there").len();
        assert_eq!(length(&ours), length(&theirs), "{file}");
    }
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).expect("there").permissions().mode()
    };
    assert_eq!(mode(&ours), mode(&theirs));
    for file in ["global/pg_control", "pg_wal/000000010000000000000001"] {
        assert_eq!(mode(&ours.join(file)), mode(&theirs.join(file)), "{file}");
    }
}

/// All files below a directory, with their content; directories have none.
fn tree(disk: &FaultyDisk, below: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut left = vec![below.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in disk.list(&directory).unwrap_or_default() {
            let path = directory.join(entry.name);
            if entry.is_directory {
                found.insert(path.clone(), None);
                left.push(path);
            } else {
                let bytes = content(disk, &path);
                found.insert(path, bytes);
            }
        }
    }
    found
}

#[test]
fn after_a_crash_in_any_call_it_is_whole_or_is_none() {
    let (whole, _) = initialized();
    assert!(whole.is_durable());
    let calls = whole.changing_calls();
    let expected = tree(&whole, Path::new(DATA));
    let (mut seen_whole, mut seen_none) = (0, 0);
    for call in 1..=calls {
        let disk = FaultyDisk::new(0);
        disk.crash_at(call);
        assert!(init(&disk, Path::new(DATA), &small(), &BIRTH).is_err());
        for seed in 0..6 {
            let left = disk.after_crash(seed);
            let before = tree(&left, Path::new(DATA));
            let opened = DataDirectory::open(
                Arc::new(left.clone()),
                Path::new(DATA),
                &SystemProcesses,
                UnixTime(0),
            );
            match opened {
                Ok(_) => {
                    assert!(before == expected, "call {call}, seed {seed}");
                    seen_whole += 1;
                }
                Err(Error::NotInitialized(_)) => seen_none += 1,
                Err(error) => panic!("call {call}, seed {seed}: {error}"),
            }
        }
    }
    assert!(seen_whole > 0 && seen_none > 0);
}

#[test]
fn each_call_failing_is_told_and_leaves_nothing() {
    let (whole, control) = initialized();
    let mut failed = 0;
    for (site, count) in whole.sites() {
        for (kind, operations) in TABLE {
            if !operations.contains(&site.operation) {
                continue;
            }
            for lasting in [Lasting::Once, Lasting::ForEver] {
                for at in [1, count] {
                    let disk = FaultyDisk::new(at);
                    disk.inject(Fault { site: site.clone(), at, lasting, kind });
                    let outcome = init(&disk, Path::new(DATA), &small(), &BIRTH);
                    assert!(disk.faults_made() > 0, "{site} {kind:?}");
                    if kind.is_told() {
                        let error = outcome.expect_err("told").to_string();
                        assert!(error.starts_with("could not "), "{site} {kind:?}: {error}");
                        assert!(tree(&disk, Path::new("")).is_empty(), "{site} {kind:?}: {error}");
                        failed += 1;
                    } else {
                        assert_eq!(outcome.expect("nobody notices"), control);
                        assert!(disk.is_durable());
                    }
                }
            }
        }
    }
    assert!(failed > 100, "{failed}");
}

#[test]
fn only_an_empty_place_is_taken() {
    let (disk, _) = initialized();
    let error = init(&disk, Path::new(DATA), &small(), &BIRTH).expect_err("it is there");
    assert_eq!(
        error.to_string(),
        "directory \"data\" exists and is not empty (remove it, or name another one)"
    );
    assert!(content(&disk, Path::new("data/PG_VERSION")).is_some(), "it is left alone");
    disk.create_directory(Path::new("empty")).expect("made");
    init(&disk, Path::new("empty"), &small(), &BIRTH).expect("a data directory");
    let error = init(&disk, Path::new("no/where"), &small(), &BIRTH).expect_err("no such place");
    assert!(error.to_string().starts_with("could not create \"no/where\": "), "{error}");
}

#[test]
fn what_is_no_data_directory_is_told() {
    let open = |disk: &FaultyDisk| {
        let disk = Arc::new(disk.clone());
        let opened = DataDirectory::open(disk, Path::new(DATA), &SystemProcesses, UnixTime(0));
        opened.map(|_| ()).map_err(|error| error.to_string())
    };
    let (disk, _) = initialized();
    assert_eq!(open(&disk), Ok(()));
    let write = |name: &str, bytes: &[u8]| {
        let how = base::disk::Opening::EXISTING;
        let file = disk.open_for_writing(&Path::new(DATA).join(name), how).expect("there");
        file.set_length(0).and_then(|()| file.write_at(bytes, 0)).expect("written");
    };
    write("PG_VERSION", b"17\n");
    assert!(open(&disk).is_err_and(|error| error.contains("is of PostgreSQL 17")));
    write("PG_VERSION", b"");
    assert!(open(&disk).is_err_and(|error| error.contains("strata init")));
    write("PG_VERSION", b"15\n");
    write("global/pg_control", &[1; 8192]);
    assert!(open(&disk).is_err_and(|error| error.contains("pg_control has version")));
}
