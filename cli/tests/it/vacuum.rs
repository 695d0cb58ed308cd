//! `strata vacuum`: what it says of each table is what was there, and nothing else is changed.

use std::path::Path;
use std::process::Output;

use engine::heap::{ColumnType, Value};
use engine::{Column, Engine, EngineOptions, IndexDefinition, Isolation};

use super::strata;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = strata(arguments).output().expect("strata runs");
    (status.code(), text(&stdout), text(&stderr))
}

/// A table of 300 rows with an index, of which 100 were deleted; if asked for, a prepared transaction has deleted 100 more.
fn with_dead_rows(data: &Path, is_prepared: bool) {
    let options = EngineOptions { prepared_transactions: 1, ..EngineOptions::default() };
    let engine = Engine::open(data, options).expect("opened");
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let column = Column::new("id", ColumnType::Int4);
    let table = transaction.create_table("t", &[column]).expect("made");
    transaction.create_index(&table, &IndexDefinition::new("t_id", &[0])).expect("made");
    let rows: Vec<_> = (0..300).map(|id| vec![Value::Int4(id)]).collect();
    table.insert_many(&mut transaction, &rows).expect("inserted");
    transaction.commit().expect("committed");
    let mut delete = |from: i32, prepared: Option<&str>| {
        let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
        let table = transaction.table("t").expect("there");
        let rows: Vec<_> = table.scan(&mut transaction).expect("a scan").collect();
        for row in rows {
            let row = row.expect("a row");
            if matches!(row.values().expect("values")[0], Value::Int4(id) if (from..from + 100).contains(&id))
            {
                assert!(table.delete(&mut transaction, row.root()).expect("deleted"));
            }
        }
        match prepared {
            Some(gid) => transaction.prepare(gid).expect("prepared"),
            None => transaction.commit().expect("committed"),
        }
    };
    delete(0, None);
    if is_prepared {
        delete(100, Some("a pause"));
    }
    drop(session);
    engine.close().expect("closed");
}

#[test]
fn what_is_dead_goes_and_each_table_is_told_of() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    assert_eq!(run(&["init", "-D", path]).0, Some(0));
    with_dead_rows(&data, false);
    let (code, out, said) = run(&["vacuum", path, "t", "--freeze"]);
    assert_eq!((code, &said[..]), (Some(0), ""));
    let (head, cutoff) = out.split_once("removable cutoff: ").expect("a line of it");
    assert_eq!(
        head,
        "aggressively vacuumed \"t\": 2 pages, 2 scanned (100.00% of total)\n\
         tuples: 100 removed, 200 remain, 0 are dead but not yet removable, 0 missed\n\
         line pointers: 100 freed\n\
         frozen: 200 tuples\n\
         visibility map: 2 pages set all-visible, 2 of them all-frozen\n"
    );
    let (cutoff, rest) = cutoff.split_once('\n').expect("a line");
    assert_eq!(
        rest,
        format!(
            "relfrozenxid: {cutoff}, relminmxid: 1\n\
             index \"t_id\": 100 rows removed, 200 remain; pages: 2 in total, 0 newly deleted, 0 currently deleted, 0 \
             reusable\n\n"
        )
    );
    // Nothing is left to do, in this table; all of them are told of.
    let (code, out, _) = run(&["vacuum", path]);
    assert_eq!(code, Some(0));
    let of =
        "vacuumed \"t\": 2 pages, 2 scanned (100.00% of total)\ntuples: 0 removed, 200 remain, ";
    assert!(out.contains(of) && out.contains("vacuumed \"strata_table\": "), "{out}");
    assert_eq!(run(&["check-index", path]).0, Some(0));

    let (code, out, said) = run(&["vacuum", path, "u"]);
    assert_eq!((code, &out[..]), (Some(1), ""));
    assert_eq!(said, "strata: error: table \"u\" does not exist\n");
    assert_eq!(
        run(&["vacuum"]).2,
        "strata: error: <DATADIR> is missing (try \"strata vacuum --help\")\n"
    );
}

#[test]
fn what_a_prepared_transaction_may_need_stays() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    assert_eq!(run(&["init", "-D", path]).0, Some(0));
    with_dead_rows(&data, true);
    let (code, out, _) = run(&["vacuum", path, "t"]);
    assert_eq!(code, Some(0));
    // Those that it has deleted live, as long as nobody knows how it ends.
    assert!(out.contains(" removed, 200 remain, 0 are dead"), "{out}");
    let options = EngineOptions { prepared_transactions: 1, ..EngineOptions::default() };
    let engine = Engine::open(&data, options).expect("opened");
    engine.session().expect("a session").commit_prepared("a pause").expect("committed");
    engine.close().expect("closed");
    let (code, out, _) = run(&["vacuum", path, "t"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("tuples: 100 removed, 100 remain, 0 are dead"), "{out}");
}
