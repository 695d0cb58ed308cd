//! Tables that the engine wrote and vacuumed in a server's own data directory, put in the place of a table of that server's,
//! which then checks them: `verify_heapam`, `pg_visibility`, and the rows.

use std::fs;
use std::path::Path;

use engine::heap::Value;
use engine::vacuum::VacuumOptions;
use engine::{Engine, EngineOptions, RowLock, SnapshotMode, WaitPolicy};

use super::*;
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::{MODES, committed, options, with_accounts};

/// Every kind of change, with vacuums between.
fn work(engine: &Engine) -> Table {
    let (table, _) = with_accounts(engine, 3000, 100);
    let mut session = engine.session().expect("a session");
    delete(engine, &table, |id| id % 4 == 1);
    vacuum(&mut session, "account", &VacuumOptions::freeze());
    update(engine, &table, 5, |id| id < 700);
    let mut other = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let mut sharing = other.begin(Isolation::ReadCommitted).expect("begun");
    let rows: Vec<_> = table
        .scan(&mut transaction)
        .expect("a scan")
        .map(|row| row.map(|row| (row.tid(), crate::transactions::read(&row).0)))
        .collect::<Result<_, _>>()
        .expect("rows");
    for (tid, id) in rows.into_iter().filter(|(_, id)| id % 5 == 0) {
        let (strength, policy) = (RowLock::KeyShare, WaitPolicy::Wait);
        for transaction in [&mut transaction, &mut sharing] {
            table.lock_row(transaction, tid, strength, policy).expect("locked");
        }
        if id % 3 == 0 {
            let row = [Value::Int4(id), Value::Int8(6), Value::Null];
            table.update(&mut transaction, tid, &row).expect("updated").expect("there");
        }
    }
    sharing.commit().expect("committed");
    transaction.commit().expect("committed");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    table
        .insert(&mut transaction, &[Value::Int4(9000), Value::Null, Value::Text("not")])
        .expect("inserted");
    transaction.rollback().expect("rolled back");
    table
}

/// The file of a fork, or nothing.
fn fork(directory: &Path, relation: u32, suffix: &str) -> std::path::PathBuf {
    directory.join(format!("base/5/{relation}{suffix}"))
}

#[test]
fn a_server_finds_nothing_wrong_with_vacuumed_tables() {
    for (mode, freezes) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        if mode != SnapshotMode::Classic && !freezes {
            continue;
        }
        let cluster = Cluster::with(&["--data-checksums"]);
        let values = cluster.run(
            "create extension amcheck;\ncreate extension pg_visibility;\n\
             create table account (id int4 not null, amount int8, note text);\n\
             select pg_relation_filenode('account')::text as v;\n",
        );
        let theirs: u32 = values[0].parse().expect("a number");
        take_back(cluster.data());
        let engine = Engine::open(cluster.data(), EngineOptions { buffers: 60, ..options(mode) });
        let engine = engine.expect("opened");
        let table = work(&engine);
        let how = if freezes { VacuumOptions::freeze() } else { VacuumOptions::default() };
        let report = vacuum(&mut engine.session().expect("a session"), "account", &how);
        let rows = committed(&engine);
        let frozen = report.frozen_to.expect("known");
        let ours = table.locator().relation;
        engine.close().expect("closed");
        for suffix in ["", "_vm"] {
            let (from, to) =
                (fork(cluster.data(), ours, suffix), fork(cluster.data(), theirs, suffix));
            if from.exists() {
                fs::copy(from, to).expect("copied");
            }
        }
        cluster.give();
        let values = cluster.run(&format!(
            "update pg_class set relfrozenxid = '{}', relminmxid = '{}' where relname = 'account';\n\
             select coalesce(string_agg(blkno || ',' || offnum || ': ' || msg, '; '), 'sound') as v \
             from verify_heapam('account');\n\
             select count(*)::text as v from pg_check_visible('account');\n\
             select count(*)::text as v from pg_check_frozen('account');\n\
             select string_agg(id || ' ' || coalesce(amount::text, '-'), ',' order by id) as v from account;\n\
             select all_visible || ' ' || all_frozen as v from pg_visibility_map_summary('account');\n",
            frozen.xid, frozen.multi
        ));
        let expected: Vec<_> = rows.iter().map(|(id, amount)| format!("{id} {amount}")).collect();
        assert_eq!(values[0], "sound", "{mode:?}, freezes {freezes}: {report:?}");
        assert_eq!(values[1..3], ["0", "0"], "{mode:?}, freezes {freezes}");
        assert_eq!(values[3], expected.join(","), "{mode:?}, freezes {freezes}");
        let vouched = format!("{} {}", report.pages, report.pages);
        if freezes {
            assert_eq!(values[4], vouched, "{mode:?}: {report:?}");
        }
        // And the server goes on with it.
        let values = cluster.run(
            "vacuum (freeze, disable_page_skipping) account;\n\
             select count(*)::text as v from account;\n\
             select coalesce(string_agg(msg, '; '), 'sound') as v from verify_heapam('account');\n",
        );
        assert_eq!(values, [rows.len().to_string(), "sound".to_owned()]);
    }
}
