//! Prepared transactions of a PostgreSQL 15 read and written again, and the engine's found by one.

use std::fs;
use std::process::Stdio;

use base::disk::RealDisk;
use wal::Version;
use wal::read::{Position, RecordReader};
use wal::rmgr::Payload;
use wal::rmgr::xact::two_phase::{LOCK, MULTIXACT};
use wal::rmgr::xact::{Prepare, Xact, two_phase};
use wal::source::{Log, Options, Segments};

use super::*;
use crate::programs::{copy, give, place, program, run};
use crate::slru_server::Cluster;

/// Rows, row locks, subtransactions, tables made and dropped, an advisory lock.
const WORKLOAD: &str = "\
create table t (id int primary key, v int);
create table gone (id int);
insert into t select n, 0 from generate_series(1, 50) n;
begin;
savepoint a;
update t set v = 1 where id = 5;
savepoint b;
select id from t where id < 4 for share;
insert into t values (100, 1);
rollback to b;
insert into t values (101, 1);
release a;
drop table gone;
create table made (id int);
select pg_advisory_xact_lock(7, 8);
prepare transaction 'a transfer';
checkpoint;
";

/// Padding, which the server does not clear, made zero: of the header, and behind what is not a multiple of 8 long.
fn without_padding(state: &[u8]) -> Vec<u8> {
    let mut state = state.to_vec();
    let word = |state: &[u8], at: usize| {
        u32::from_le_bytes(state[at..at + 4].try_into().expect("4 bytes")) as usize
    };
    state[53] = 0;
    let gid = usize::from(u16::from_le_bytes([state[54], state[55]]));
    let sizes = [4, 12, 12, 12, 12, 16];
    let mut parts = vec![72, gid];
    parts.extend(sizes.iter().enumerate().map(|(at, size)| word(&state, 28 + at * 4) * size));
    let mut at = 0;
    for part in parts {
        let end = (at + part).next_multiple_of(8);
        state[at + part..end].fill(0);
        at = end;
    }
    while at < state.len() {
        let length = word(&state, at);
        state[at + 5] = 0;
        let end = (at + 8 + length).next_multiple_of(8);
        state[at + 8 + length..end].fill(0);
        at = end;
    }
    state
}

#[test]
fn a_servers_state_is_read_and_written_again() {
    let cluster = Cluster::new();
    cluster.run(WORKLOAD);
    let directory = cluster.data().join("pg_twophase");
    let files: Vec<_> =
        fs::read_dir(&directory).expect("listed").map(|file| file.expect("one")).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let file = fs::read(files[0].path()).expect("read");
    let state = two_phase::checked_state(&file).expect("sound");
    let prepare = Prepare::read(Version::V15, state).expect("whole");
    assert_eq!(files[0].file_name().to_str(), Some(&*format!("{:08X}", prepare.prepared_xid.0)));
    assert_eq!((prepare.gid, prepare.database), (&b"a transfer"[..], 5));
    assert_eq!(prepare.subxids.len(), 2);
    assert_eq!((prepare.commit_relations.len(), prepare.abort_relations.len()), (1, 1));
    let records = prepare.records().expect("whole");
    let locks: Vec<_> = records
        .iter()
        .filter(|record| record.manager == LOCK)
        .map(|record| two_phase::LockRecord::read(record.data).expect("whole"))
        .collect();
    let has = |kind, mode| locks.iter().any(|lock| (lock.tag.kind, lock.mode) == (kind, mode));
    // Its tables in several modes, its own id, the advisory lock.
    assert!(has(0, 3) && has(0, 8) && has(5, 7) && has(10, 7), "{locks:?}");
    assert_eq!(records.iter().filter(|record| record.manager == MULTIXACT).count(), 1);

    // Written again, the state is the same, byte for byte.
    let mut again = Vec::new();
    for record in &records {
        record.encode(&mut again);
    }
    two_phase::TwoPhaseRecord::encode_end(&mut again);
    let mut written = Vec::new();
    Prepare { state: &again, ..prepare }.encode(&mut written);
    assert_eq!(written, without_padding(state));
    // And it is what its record in the log has.
    let log = Log::open(Arc::new(RealDisk), &cluster.data().join("pg_wal"), Options::default());
    let log = log.expect("opened");
    let first = log.first_segment().expect("a segment");
    let start = log.segment_size().start_of(first);
    let mut reader = RecordReader::new(Arc::new(log));
    let first = reader.find_first(start).expect("a record");
    reader.resume(Position::jump_to(first));
    let mut found = 0;
    while let Ok(record) = reader.next_record() {
        if let Ok(Payload::Xact(Xact::Prepare(_))) = record.payload() {
            assert_eq!(record.main_data(), state);
            found += 1;
        }
    }
    assert_eq!(found, 1);
}

/// A server that is started on the engine's data directory finds what was prepared, in a file after a shutdown and in the log
/// after a crash. It goes no further: there are no catalogs of its own.
#[test]
fn a_server_recovers_what_the_engine_prepared() {
    for is_closed in [true, false] {
        let place = place();
        let data = place.path().join("data");
        init(&RealDisk, &data, &InitOptions::default(), &BIRTH).expect("a data directory");
        let engine = Engine::open(&data, options(SnapshotMode::Classic)).expect("opened");
        let (table, tids) = with_accounts(&engine, 3, 100);
        let mut session = engine.session().expect("a session");
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        table.update(&mut transaction, tids[0], &account(0, 1)).expect("updated").expect("there");
        transaction.savepoint().expect("begun");
        table.insert(&mut transaction, &account(7, 7)).expect("inserted");
        transaction.create_table("made", &account_columns()).expect("made");
        transaction.prepare("ours").expect("prepared");
        let xid = engine.prepared()[0].xid;
        drop((session, table));
        match is_closed {
            true => engine.close().expect("closed"),
            false => drop(engine),
        }
        let theirs = place.path().join("theirs");
        copy(&data, &theirs);
        let config = place.path().join("empty.conf");
        fs::write(&config, "").expect("written");
        give(place.path());
        let mut server = program("postgres");
        server.args(["--single", "-F", "-c", "max_prepared_transactions=5", "-c"]);
        server.arg(format!("config_file={}", config.display())).arg("-D").arg(&theirs);
        let output = run(server.arg("postgres").stdin(Stdio::null()));
        let messages = String::from_utf8_lossy(&output.stderr);
        let expected = format!("recovering prepared transaction {xid} from shared memory");
        assert!(messages.contains(&expected), "{messages}");
        assert!(!messages.contains("WARNING") && !messages.contains("PANIC"), "{messages}");
    }
}
