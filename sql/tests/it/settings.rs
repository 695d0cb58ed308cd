//! What becomes of settings when transactions and savepoints end. What is expected is what PostgreSQL 15's psql shows.

use engine::SnapshotMode;
use sql::{Database, Response, Script, serve};

/// What each SHOW gives, and the notices, in order.
fn shown(queries: &[&str]) -> Vec<String> {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let mut script = Script::new(queries.iter().copied());
    serve(&Database::new(&engine), &mut script).expect("a session");
    let text = |response: &Response| match response {
        Response::Rows { rows, .. } => rows[0][0].clone(),
        Response::Notice(notice) => Some(notice.to_string()),
        Response::Failed(error) => Some(error.to_string()),
        Response::Done(_) | Response::Ready => None,
    };
    script.responses.iter().filter_map(text).collect()
}

#[test]
fn local_settings_end_with_the_transaction() {
    let found = shown(&[
        "SET lock_timeout = '3s'",
        "BEGIN",
        "SET LOCAL lock_timeout = '10ms'",
        "SET LOCAL lock_timeout = '20ms'",
        "SET LOCAL statement_timeout = '5s'",
        "SET deadlock_timeout = '2s'",
        "SHOW lock_timeout",
        "COMMIT",
        "SHOW lock_timeout",
        "SHOW statement_timeout",
        "SHOW deadlock_timeout",
        "SET LOCAL lock_timeout = '10ms'",
        "SHOW lock_timeout",
    ]);
    let warning = "WARNING:  SET LOCAL can only be used in transaction blocks";
    assert_eq!(found, ["20ms", "3s", "0", "2s", warning, "3s"]);
}

#[test]
fn settings_are_undone_with_what_set_them() {
    let found = shown(&[
        "BEGIN",
        "SET lock_timeout = '1s'",
        "SAVEPOINT s",
        "SET lock_timeout = '2s'",
        "SET LOCAL statement_timeout = '7s'",
        "ROLLBACK TO s",
        "SHOW lock_timeout",
        "SHOW statement_timeout",
        "COMMIT",
        "SHOW lock_timeout",
        "BEGIN",
        "SET lock_timeout = '9s'",
        "ROLLBACK",
        "SHOW lock_timeout",
    ]);
    assert_eq!(found, ["1s", "0", "1s", "1s"]);
}
