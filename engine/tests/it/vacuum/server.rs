//! Tables that the engine wrote and vacuumed in a server's own data directory, put in the place of a table of that server's,
//! which then checks them: `verify_heapam`, `pg_visibility`, and the rows.

use std::fs;
use std::path::Path;

use engine::heap::Value;
use engine::vacuum::{Frozen, VacuumOptions};
use engine::{Engine, EngineOptions, RowLock, SnapshotMode, WaitPolicy};

use super::*;
use crate::programs::take_back;
use crate::slru_server::Cluster;
use crate::transactions::{committed, options, with_accounts};

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
    let rows = places(&table, &mut transaction);
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

/// The file of a fork.
pub(crate) fn fork(directory: &Path, relation: u32, suffix: &str) -> std::path::PathBuf {
    directory.join(format!("base/5/{relation}{suffix}"))
}

/// Makes a table of accounts in a server's directory, everything frozen; the number of its file.
pub(super) fn prepare(cluster: &Cluster) -> u32 {
    let values = cluster.run(
        "create extension amcheck;\ncreate extension pg_visibility;\n\
         create table account (id int4 not null, amount int8, note text);\n\
         select pg_relation_filenode('account')::text as v;\nvacuum freeze;\n",
    );
    values[0].parse().expect("a number")
}

/// What a server finds in a table.
#[derive(Debug)]
pub(super) struct Judged {
    /// Of `verify_heapam`.
    pub(super) verdict: String,
    /// How many rows are not as visible as the map says.
    pub(super) visible: String,
    /// How many are not frozen that it says are.
    pub(super) frozen: String,
    /// Identifier and amount of all rows.
    pub(super) rows: String,
    /// Pages that the map says are all-visible, and all-frozen.
    pub(super) map: String,
}

impl Judged {
    /// The server finds nothing wrong, and the rows that the engine has.
    pub(super) fn assert_sound(&self, rows: &[(i32, i64)], what: &str) {
        let expected: Vec<_> = rows.iter().map(|(id, amount)| format!("{id} {amount}")).collect();
        assert_eq!(self.verdict, "sound", "{what}");
        assert_eq!((self.visible.as_str(), self.frozen.as_str()), ("0", "0"), "{what}");
        assert_eq!(self.rows, expected.join(","), "{what}");
    }
}

/// Puts the engine's table in the place of the server's, and has the server look at it.
pub(super) fn judged_by_server(
    cluster: &Cluster,
    ours: u32,
    theirs: u32,
    frozen: Frozen,
) -> Judged {
    for suffix in ["", "_vm"] {
        let (from, to) = (fork(cluster.data(), ours, suffix), fork(cluster.data(), theirs, suffix));
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
    let [verdict, visible, frozen, rows, map] = values.try_into().expect("five values");
    Judged { verdict, visible, frozen, rows, map }
}

#[test]
fn a_server_finds_nothing_wrong_with_vacuumed_tables() {
    for (mode, freezes) in [
        (SnapshotMode::Classic, false),
        (SnapshotMode::Classic, true),
        (SnapshotMode::CommitTs, true),
        (SnapshotMode::Mirror, true),
    ] {
        let cluster = Cluster::with(&["--data-checksums"]);
        let theirs = prepare(&cluster);
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
        let judged = judged_by_server(&cluster, ours, theirs, frozen);
        judged.assert_sound(&rows, &format!("{mode:?}, freezes {freezes}: {report:?}"));
        if freezes {
            assert_eq!(judged.map, format!("{0} {0}", report.pages), "{mode:?}: {report:?}");
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
