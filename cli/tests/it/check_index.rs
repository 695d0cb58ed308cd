//! `strata check-index`: one line an index, and an exit code that says whether all are sound.

use std::os::unix::fs::FileExt;
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

/// Makes a table with an index of three leaves, and gives the index's file.
fn with_index(data: &Path) -> std::path::PathBuf {
    let engine = Engine::open(data, EngineOptions::default()).expect("opened");
    let mut session = engine.session().expect("a session");
    let mut transaction = session.begin(Isolation::ReadCommitted).expect("begun");
    let column = Column::new("id", ColumnType::Int4);
    let table = transaction.create_table("t", &[column]).expect("made");
    let definition = IndexDefinition::new("t_id", &[0]).unique();
    let index = transaction.create_index(&table, &definition).expect("made");
    let rows: Vec<_> = (0..900).map(|id| vec![Value::Int4(id)]).collect();
    table.insert_many(&mut transaction, &rows).expect("inserted");
    transaction.commit().expect("committed");
    let locator = index.locator();
    drop(session);
    engine.close().expect("closed");
    data.join(format!("base/{}/{}", locator.database, locator.relation))
}

#[test]
fn sound_indexes_are_counted_and_damaged_ones_refused() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    assert_eq!(run(&["init", "-D", path, "--no-data-checksums"]).0, Some(0));
    assert_eq!(run(&["check-index", path]), (Some(0), String::new(), String::new()));
    let file = with_index(&data);
    let sound = "index \"t_id\" of table \"t\": sound; levels 2, pages 4, entries 900, rows 900, dead 0, \
                 unfinished splits 0, half-dead leaves 0\n";
    for names in [&[][..], &["t"], &["t_id", "t"]] {
        let arguments = [&["check-index", path], names].concat();
        assert_eq!(run(&arguments), (Some(0), sound.to_owned(), String::new()));
    }
    let (code, out, said) = run(&["check-index", path, "t", "u"]);
    assert_eq!((code, &out[..]), (Some(1), ""));
    assert_eq!(said, "strata: error: index \"u\" does not exist\n");

    // The left link of block 2.
    let file = std::fs::OpenOptions::new().write(true).open(file).expect("there");
    file.write_all_at(&4_u32.to_le_bytes(), 3 * 8192 - 16).expect("written");
    let (code, out, said) = run(&["check-index", path]);
    assert_eq!(code, Some(1));
    let first = "index \"t_id\" of table \"t\": NOT SOUND: block 2 of ";
    assert!(out.starts_with(first) && out.lines().count() == 1, "{out}");
    assert!(out.contains("its left link is 4; expected: 1"), "{out}");
    assert_eq!(
        said,
        "strata: error: 1 of 1 indexes checked are not sound: drop them and make them anew\n"
    );
    assert_eq!(run(&["check-index", "nowhere"]).0, Some(1));
}
