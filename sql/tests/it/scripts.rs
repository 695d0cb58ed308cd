//! Every script in `tests/scripts` gives what psql prints for it on a server of PostgreSQL 15, in every mode of snapshots.
//!
//! The goldens (`NAME.out`) are the server's: `cargo xtask sql --write` makes them, and `cargo xtask sql` holds them against
//! it.

use std::fs;
use std::path::{Path, PathBuf};

use engine::SnapshotMode;
use sql::Database;
use sql::psql::{PsqlOptions, run};

pub(super) fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut scripts: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the scripts")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    scripts.sort();
    scripts
}

fn printed(script: &Path, mode: SnapshotMode) -> String {
    let (_place, engine) = super::engine(mode);
    let database = Database::new(&engine);
    let text = fs::read(script).expect("a script");
    let mut out = Vec::new();
    let options = PsqlOptions {
        echo_all: true,
        verbose: true,
        null: "(null)".to_owned(),
        on_error_stop: false,
    };
    run(&database, &mut text.as_slice(), &mut out, &options).expect("a script that runs");
    String::from_utf8(out).expect("text")
}

/// The first place where two texts differ, with what stands before it.
fn difference(expected: &str, found: &str) -> String {
    let same = expected.lines().zip(found.lines()).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(6);
    let shown = |text: &str| text.lines().skip(from).take(12).collect::<Vec<_>>().join("\n");
    format!(
        "at line {}: the server\n{}\nand the engine\n{}",
        same + 1,
        shown(expected),
        shown(found)
    )
}

fn all_are_equal(mode: SnapshotMode) {
    let scripts = scripts();
    assert!(scripts.len() > 10, "the scripts are gone");
    let mut differing = Vec::new();
    for script in scripts {
        let golden = fs::read_to_string(script.with_extension("out")).expect("a golden");
        let found = printed(&script, mode);
        if found != golden {
            differing.push(format!("{}: {}", script.display(), difference(&golden, &found)));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n\n"));
}

#[test]
fn scripts_give_what_the_server_gives_by_classic_snapshots() {
    all_are_equal(SnapshotMode::Classic);
}

#[test]
fn scripts_give_what_the_server_gives_by_commit_timestamps() {
    all_are_equal(SnapshotMode::CommitTs);
}

#[test]
fn scripts_give_what_the_server_gives_by_both_at_once() {
    all_are_equal(SnapshotMode::Mirror);
}

/// Each statement that PostgreSQL knows and the engine does not is an error that names what it is.
#[test]
fn what_is_not_supported_is_named() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let database = Database::new(&engine);
    let text = include_str!("../scripts/not_supported.txt");
    let setup = "CREATE TABLE t (id int, n int, g text); CREATE TABLE s (id int);\n";
    let mut out = Vec::new();
    let options = PsqlOptions { echo_all: true, verbose: true, ..PsqlOptions::default() };
    let script = setup.to_owned() + text;
    run(&database, &mut script.as_bytes(), &mut out, &options).expect("a script that runs");
    let printed = String::from_utf8(out).expect("text");
    let refused = printed.lines().filter(|line| line.starts_with("ERROR:  0A000: ")).count();
    assert_eq!(refused, text.lines().count(), "{printed}");
    insta::assert_snapshot!(printed);
}
