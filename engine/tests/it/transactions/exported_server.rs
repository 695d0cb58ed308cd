//! Exported snapshots of a PostgreSQL 15 and of the engine, where the same transactions run: the same text, each imported
//! by the other.

use std::fs;

use base::disk::RealDisk;
use engine::Session;

use super::*;
use crate::live_server::{LiveServer, LiveSession};
use crate::programs::{give, place};

/// What is said of who exports, which is another one each time, apart from the rest.
fn split(text: &str) -> (Vec<&str>, String) {
    let (exporter, rest): (Vec<_>, Vec<_>) =
        text.lines().partition(|line| line.starts_with("vxid:") || line.starts_with("pid:"));
    let rest = rest.into_iter().filter(|line| !line.starts_with("start_ts:"));
    (exporter, rest.map(|line| format!("{line}\n")).collect())
}

/// The text of one, with the exporter of another one.
fn exported_by(text: &str, other: &str) -> String {
    let lines = text.lines().enumerate().map(|(at, line)| match at {
        0 | 1 => other.lines().nth(at).expect("a line"),
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Whether the exporter only reads, at repeatable read, and whether one has more subtransactions than a slot lists.
const CASES: [(bool, bool); 3] = [(false, false), (true, false), (false, true)];

/// Sessions of the server: a writer, one with a subtransaction, one that commits, the exporter, the importer.
struct Theirs {
    server: LiveServer,
    sessions: [LiveSession; 5],
}

impl Theirs {
    /// Has the same transactions run as the test has in the engine. The first one's id, and the text that is exported.
    fn export(&mut self, (is_read_only, overflows): (bool, bool)) -> (u64, String, String) {
        let [writer, nested, passing, exporter, _] = &mut self.sessions;
        let first = writer.run("begin; select pg_current_xact_id();");
        nested.run("begin; select pg_current_xact_id(); savepoint a; insert into t values (1);");
        if overflows {
            for _ in 0..65 {
                nested.run("savepoint b; insert into t values (1);");
            }
        }
        if !is_read_only {
            exporter.run(
                "begin; insert into t values (2); savepoint a; insert into t values (3); release a;",
            );
        }
        passing.run("insert into t values (4);");
        if is_read_only {
            exporter.run("begin isolation level repeatable read read only;");
        }
        let id = exporter.run("select pg_export_snapshot();").remove(0);
        let text = fs::read_to_string(self.server.data().join("pg_snapshots").join(&id));
        (first[0].parse().expect("an id"), id, text.expect("read"))
    }

    fn end(&mut self) {
        let [writer, nested, _, exporter, _] = &mut self.sessions;
        [writer, nested, exporter].into_iter().for_each(|session| drop(session.run("rollback;")));
    }
}

fn insert(table: &Table, transaction: &mut Transaction<'_, '_>) {
    table.insert(transaction, &account(1, 1)).expect("inserted");
}

#[test]
fn a_server_exports_the_same_text_and_imports_it() {
    let server = LiveServer::start(&["max_connections=20"]);
    let mut sessions = [(); 5].map(|()| server.session());
    // The server gives its slots out from the last one on, and lists who runs in their order.
    sessions.reverse();
    sessions[4].run("create table t (id int);");
    let mut theirs = Theirs { server, sessions };
    for case in CASES {
        let (first, their_id, their_text) = theirs.export(case);
        for mode in MODES {
            let place = place();
            let data = place.path().join("data");
            init(&RealDisk, &data, &InitOptions::default(), &BIRTH).expect("a data directory");
            let engine = Engine::open(&data, options(mode)).expect("opened");
            let (table, _) = with_accounts(&engine, 1, 100);
            let mut ours = [(); 5].map(|()| engine.session().expect("a session"));
            burn_to(&mut ours[4], first);

            let (is_read_only, overflows) = case;
            let isolation = match is_read_only {
                true => Isolation::RepeatableRead,
                false => Isolation::ReadCommitted,
            };
            let [writer, nested, passing, exporter, importer] = &mut ours;
            let mut writer = writer.begin(Isolation::ReadCommitted).expect("begun");
            assert_eq!(writer.assigned_xid().expect("an id").0, first);
            let mut nested = nested.begin(Isolation::ReadCommitted).expect("begun");
            nested.assigned_xid().expect("an id");
            for _ in 0..if overflows { 66 } else { 1 } {
                nested.savepoint().expect("begun");
                insert(&table, &mut nested);
            }
            let mut exporter = exporter.begin(isolation).expect("begun");
            if !is_read_only {
                insert(&table, &mut exporter);
                let savepoint = exporter.savepoint().expect("begun");
                insert(&table, &mut exporter);
                exporter.release(savepoint).expect("released");
            }
            let mut passing = passing.begin(Isolation::ReadCommitted).expect("begun");
            insert(&table, &mut passing);
            passing.commit().expect("committed");
            let id = exporter.export_snapshot(is_read_only).expect("exported");
            let directory = data.join("pg_snapshots");
            let text = fs::read_to_string(directory.join(id.to_string())).expect("read");

            // By time nobody knows of lists that were too long.
            if mode != SnapshotMode::CommitTs || !overflows {
                assert_eq!(split(&text).1, split(&their_text).1, "{mode:?}, {case:?}");
            }
            let own = split(&text).0;
            assert_eq!(own[1], format!("pid:{}", std::process::id()));
            assert_eq!(own[0], format!("vxid:{}/{}", id.session, id.transaction));
            assert_eq!(text.contains("start_ts:"), mode != SnapshotMode::Classic);

            // Theirs in ours, as if its exporter were here: the list alone is no snapshot by time.
            let foreign = directory.join("00000001-000000AA-1");
            fs::write(foreign, exported_by(&their_text, &text)).expect("written");
            let mut import = |name: &str| {
                let mut importer = importer.begin(Isolation::RepeatableRead).expect("begun");
                importer.import_snapshot(name)?;
                importer.pg_snapshot().map(|seen| seen.to_string())
            };
            let seen = import(&id.to_string()).expect("imported");
            let foreign = import("00000001-000000AA-1");
            match mode {
                SnapshotMode::Classic => assert_eq!(foreign.expect("imported"), seen),
                _ => assert_eq!(foreign.expect_err("refused").sqlstate(), "22P02"),
            }
            // And ours in theirs.
            let name = "000000AA-00000001-1";
            let path = theirs.server.data().join("pg_snapshots").join(name);
            fs::write(&path, exported_by(&text, &their_text)).expect("written");
            give(&path);
            for name in [name, &their_id] {
                let commands = format!(
                    "begin isolation level repeatable read; set transaction snapshot '{name}'; \
                     select pg_current_snapshot(); commit;"
                );
                assert_eq!(theirs.sessions[4].run(&commands), [&*seen], "{mode:?}, {case:?}");
            }
            fs::remove_file(&path).expect("removed");
        }
        theirs.end();
    }
}

/// Has the next transaction get this id.
fn burn_to(session: &mut Session<'_>, next: u64) {
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let newest = transaction.assigned_xid().expect("an id").0;
    transaction.rollback().expect("rolled back");
    assert!(newest < next, "the server's ids are ahead: {newest}, {next}");
    if newest + 1 < next {
        session.burn_xids(next - 1 - newest).expect("burnt");
    }
}
