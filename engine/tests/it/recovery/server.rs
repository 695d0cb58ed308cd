//! The log of a PostgreSQL 15 that was killed, redone by the server and by the engine: the same pages of heaps and btrees,
//! once masked, the same transaction logs. Records of resource managers that the engine does not have leave their images.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base::disk::RealDisk;
use base::page::PageBytes;
use base::sync::Arc;
use base::{PAGE_SIZE, PageMut, RawPage};
use engine::checkpoint::{CheckpointKind, CheckpointOptions, Checkpoints, NobodyRuns};
use engine::data_directory::{DataDirectory, SystemProcesses};
use engine::recovery::{RecoveryOptions, recover, start};
use engine::redo::{Redo, RedoCause, RedoManager, RedoManagers, Wanted};
use engine::storage::{Storage, StorageOptions};
use engine::{btree, heap};
use wal::record::Record;
use wal::write::LogOptions;

use crate::programs::{copy, give, place, printed, program, run, take_back};

/// Rows of every kind of change, with checkpoints on the way; and what a crash finds unfinished.
const WORKLOAD: &str = "\
CREATE TABLE rows (k int, n int, b text)
CREATE INDEX ON rows (k)
INSERT INTO rows SELECT g, 0, repeat('x', g % 300) FROM generate_series(1, 6000) g
UPDATE rows SET n = n + 1 WHERE k % 3 = 0
CHECKPOINT
UPDATE rows SET n = n + 1 WHERE k % 4 = 0
UPDATE rows SET b = b || 'a longer value for another page' WHERE k % 5 = 0
DELETE FROM rows WHERE k % 7 = 0
VACUUM rows
COPY rows (k) FROM PROGRAM 'seq 10000 11500'
UPDATE rows SET n = n + 1 WHERE k < 2000
VACUUM (FREEZE) rows
INSERT INTO rows SELECT g, 1, 'again' FROM generate_series(1, 500) g
BEGIN; SAVEPOINT a; INSERT INTO rows VALUES (1, 2, 'kept'); RELEASE a; SAVEPOINT b; INSERT INTO rows VALUES (1, 3, 'not'); ROLLBACK TO b; COMMIT
BEGIN; SELECT * FROM rows WHERE k < 300 FOR KEY SHARE; SAVEPOINT a; UPDATE rows SET n = n + 10 WHERE k < 300; COMMIT
BEGIN; SELECT * FROM rows WHERE k BETWEEN 300 AND 600 FOR SHARE; SAVEPOINT a; SELECT * FROM rows WHERE k BETWEEN 300 AND 600 FOR NO KEY UPDATE; COMMIT
BEGIN; DELETE FROM rows WHERE k < 1000; ROLLBACK
CREATE TABLE wide (k int, b text)
INSERT INTO wide SELECT g, (SELECT string_agg(md5((g * i)::text), '') FROM generate_series(1, 200) i) FROM generate_series(1, 60) g
DELETE FROM wide WHERE k > 30
VACUUM wide
CREATE TABLE keys (k int, t text)
CREATE INDEX ON keys (k)
CREATE UNIQUE INDEX ON keys (t) INCLUDE (k)
INSERT INTO keys SELECT g % 40, md5(g::text) FROM generate_series(1, 4000) g
DELETE FROM keys WHERE k BETWEEN 5 AND 30
VACUUM (INDEX_CLEANUP on) keys
INSERT INTO keys SELECT g % 40, md5(g::text) FROM generate_series(4001, 6000) g
CREATE TABLE gone AS SELECT g FROM generate_series(1, 3000) g
DROP TABLE gone
CREATE TABLE emptied AS SELECT g FROM generate_series(1, 3000) g
TRUNCATE emptied
INSERT INTO emptied VALUES (1)
DELETE FROM rows WHERE k >= 5000
VACUUM (TRUNCATE) rows
CREATE TABLE many (k int)
DO $$ BEGIN FOR i IN 1..2000 LOOP INSERT INTO many VALUES (i); IF i % 3 = 0 THEN COMMIT; END IF; IF i % 7 = 0 THEN ROLLBACK; END IF; END LOOP; END $$
UPDATE many SET k = -k
SELECT count(*) FROM many
";

/// A single-user server's options.
const SETTINGS: [&str; 5] = [
    "track_commit_timestamp=on",
    "wal_level=replica",
    "max_wal_size=8GB",
    "checkpoint_timeout=1d",
    "full_page_writes=on",
];

fn server(data: &Path) -> std::process::Command {
    let mut server = program("postgres");
    server.args(["--single", "-F"]).args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
    server.arg("-D").arg(data).arg("postgres");
    server.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    server
}

/// Paths of the server's relations. All its indexes are btrees.
struct Relations {
    heaps: Vec<PathBuf>,
    btrees: Vec<PathBuf>,
}

/// Runs the workload and kills the server.
fn killed(data: &Path) -> Relations {
    let mut child = server(data).spawn().expect("postgres runs");
    let mut input = child.stdin.take().expect("a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut answers = |input: &mut std::process::ChildStdin, commands: &str| {
        input.write_all(commands.as_bytes()).expect("it reads");
        input.write_all(b"SELECT 'all of it' AS done\n").expect("it reads");
        input.flush().expect("it reads");
        let mut lines = Vec::new();
        for line in output.by_ref() {
            let line = line.expect("text");
            if line.contains("all of it") {
                return lines;
            }
            lines.push(line);
        }
        panic!("the server ended: {lines:?}");
    };
    answers(&mut input, WORKLOAD);
    let mut paths = |input: &mut std::process::ChildStdin, kinds: &str| {
        let query = format!(
            "SELECT pg_relation_filepath(oid) AS path FROM pg_class WHERE relkind IN ({kinds})\n"
        );
        let path = |line: &String| {
            let (_, rest) = line.split_once("path = \"")?;
            rest.split_once('"').map(|(path, _)| PathBuf::from(path))
        };
        answers(input, &query).iter().filter_map(path).collect()
    };
    let relations =
        Relations { heaps: paths(&mut input, "'r', 't', 'm'"), btrees: paths(&mut input, "'i'") };
    // Unfinished when it is killed; a switch flushes the log.
    let unfinished = "BEGIN; INSERT INTO rows VALUES (-1, 0, 'never'); CREATE TABLE never (k int); \
                      SELECT pg_switch_wal()\n";
    answers(&mut input, unfinished);
    child.kill().expect("killed");
    child.wait().expect("ended");
    relations
}

/// Redo of a resource manager whose relations are not looked at.
#[derive(Debug)]
struct ImagesAlone;

impl RedoManager for ImagesAlone {
    fn redo(&self, redo: &mut Redo<'_>, record: &Record<'_>) -> Result<(), RedoCause> {
        for block in record.blocks().iter().filter(|block| block.applies_image()) {
            redo.page(record, block, Wanted::Existing, |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Recovers the directory on so many threads, ends that with a checkpoint and stops.
fn recovered(data: &Path, threads: usize) -> engine::recovery::Recovered {
    let now = base::UnixTime(1_795_169_300);
    let directory = DataDirectory::open(Arc::new(RealDisk), data, &SystemProcesses, now);
    let sizes = StorageOptions { buffers: 400, slru_buffers: 8, committers: 1 };
    let storage = Storage::new(directory.expect("a data directory"), sizes);
    let mut managers = RedoManagers::new();
    for id in [4, 5, 7, 12, 13, 14, 15, 16, 17, 19, 20] {
        managers.insert(id, Box::new(ImagesAlone));
    }
    let options = RecoveryOptions { managers, threads, ..RecoveryOptions::default() };
    let recovered = recover(&storage, &options, &mut |_| ControlFlow::Continue(()));
    let recovered = recovered.unwrap_or_else(|error| panic!("{error}"));
    start(&storage, &recovered, LogOptions::default()).expect("the log opens");
    let checkpoints = Checkpoints::new(CheckpointOptions::default());
    for kind in [CheckpointKind::EndOfRecovery, CheckpointKind::Shutdown] {
        checkpoints.at_once(&storage, &NobodyRuns(&storage), kind).expect("room");
    }
    recovered
}

/// A relation's pages, masked; those that were never initialised are not there to be compared.
fn pages(path: &Path, mask: fn(&mut PageBytes, u32)) -> Vec<Option<Box<PageBytes>>> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (chunks, rest) = bytes.as_chunks::<PAGE_SIZE>();
    assert!(rest.is_empty(), "{}: whole pages", path.display());
    let masked = |(block, page): (u32, &PageBytes)| {
        let mut page = Box::new(*page);
        if RawPage::new(&page).header().upper == 0 {
            return None;
        }
        mask(&mut page, block);
        Some(page)
    };
    (0..).zip(chunks).map(masked).collect()
}

/// How many pages of a relation are alike, which all are that are there at either side.
fn compare(path: &Path, [server, engine]: [&Path; 2], mask: fn(&mut PageBytes, u32)) -> u64 {
    let (server, engine) = (pages(&server.join(path), mask), pages(&engine.join(path), mask));
    // Pages behind the last one that is used may be there or not.
    let blocks = server.len().max(engine.len());
    for block in 0..blocks {
        let (one, other) = (server.get(block), engine.get(block));
        let (one, other) = (one.unwrap_or(&None), other.unwrap_or(&None));
        let differs = match (one, other) {
            (Some(one), Some(other)) => (0..PAGE_SIZE).find(|at| one[*at] != other[*at]),
            (None, None) => None,
            _ => Some(0),
        };
        assert_eq!(differs, None, "block {block} of {}", path.display());
    }
    blocks as u64
}

/// Recovered by one thread and by several, a relation's file is the same.
fn same_files(path: &Path, [one, other]: [&Path; 2]) {
    let bytes = |data: &Path| fs::read(data.join(path)).expect("a file");
    assert!(bytes(one) == bytes(other), "{}: threads make a difference", path.display());
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).expect("a directory");
    let file = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry");
        let bytes = fs::read(entry.path()).expect("a file");
        (entry.file_name().into_string().expect("ASCII"), bytes)
    };
    entries.map(file).collect()
}

#[test]
fn a_killed_servers_log_is_redone_as_the_server_redoes_it() {
    let place = place();
    let data = place.path().join("data");
    printed(
        program("initdb")
            .args(["--no-sync", "--no-instructions", "--auth=trust", "--data-checksums", "-D"])
            .arg(&data),
    );
    let relations = killed(&data);
    let counts = (relations.heaps.len(), relations.btrees.len());
    assert!(counts.0 > 60 && counts.1 > 100, "{counts:?}");
    let ours = place.path().join("ours");
    copy(&data, &ours);
    let again = place.path().join("again");
    copy(&data, &again);
    // The server's own recovery, and its stop.
    let mut theirs = server(&data).spawn().expect("postgres runs");
    drop(theirs.stdin.take());
    let output = theirs.wait_with_output().expect("it ends");
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && messages.contains("redo done"), "{messages}");

    take_back(&ours);
    take_back(&again);
    let on_threads = recovered(&again, 4);
    let recovered = recovered(&ours, 1);
    assert_eq!((recovered.end, recovered.counts), (on_threads.end, on_threads.counts));
    let counts = recovered.counts;
    assert!(counts.records > 20_000 && counts.changed > 10_000, "{counts:?}");
    assert!(counts.commits > 500 && counts.aborts > 100 && counts.images > 100, "{counts:?}");
    assert!(!recovered.removed.is_empty(), "the table of nobody");

    let mut compared = 0;
    for path in &relations.heaps {
        same_files(path, [&ours, &again]);
        compared += compare(path, [&data, &ours], |bytes, block| {
            let mut page = PageMut::validate(bytes).expect("a page");
            heap::mask::mask(&mut page, block);
        });
        let map = |data: &Path| {
            let path = data.join(format!("{}_vm", path.display()));
            let mut bytes = fs::read(path).unwrap_or_default();
            // Headers are another matter, and so are zeros at the end.
            bytes.chunks_mut(PAGE_SIZE).for_each(|page| page[..24].fill(0));
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            bytes.truncate(used);
            bytes
        };
        assert_eq!(map(&data), map(&ours), "the visibility map of {}", path.display());
    }
    assert!(compared > 500, "only {compared} pages");
    let mut compared = 0;
    for path in &relations.btrees {
        same_files(path, [&ours, &again]);
        compared += compare(path, [&data, &ours], |bytes, _| {
            btree::mask::mask(bytes).expect("a page of a btree");
        });
    }
    assert!(compared > 400, "only {compared} pages of indexes");
    for log in ["pg_xact", "pg_commit_ts", "pg_multixact/members"] {
        assert_eq!(files(&data.join(log)), files(&ours.join(log)), "{log}");
    }
    // The server notes where the next set begins before there is one (15.15 and later).
    let offsets = |data: &Path| files(&data.join("pg_multixact/offsets"));
    for (name, bytes) in offsets(&ours) {
        let theirs = &offsets(&data)[&name];
        for (at, (one, other)) in
            bytes.as_chunks::<4>().0.iter().zip(theirs.as_chunks::<4>().0).enumerate()
        {
            assert!(one == other || *one == [0; 4], "offset {at} of {name}");
        }
    }

    give(&ours);
    let control = printed(program("pg_controldata").arg(&ours));
    assert!(control.contains("shut down\n"), "{control}");
    printed(program("pg_checksums").arg("--check").arg("--pgdata").arg(&ours));
    // The end of recovery's checkpoint has made the log before it superfluous.
    let mut waldump = program("pg_waldump");
    waldump
        .arg("--path")
        .arg(ours.join("pg_wal"))
        .arg("--start")
        .arg(recovered.end.end.to_string());
    let output = run(&mut waldump);
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.matches("CHECKPOINT_SHUTDOWN").count(), 2, "{text}{messages}");
}
