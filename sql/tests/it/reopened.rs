//! What is there after an engine was closed and opened again.

use engine::SnapshotMode;
use sql::{Database, Response, Script, serve};

/// First values of rows, and errors, in order.
fn told(database: &Database<'_>, queries: &[&str]) -> Vec<String> {
    let mut script = Script::new(queries.iter().copied());
    serve(database, &mut script).expect("a session");
    let text = |response: &Response| match response {
        Response::Rows { rows, .. } => rows.first()?.first()?.clone(),
        Response::Failed(error) => Some(format!("{}: {}", error.code, error.message)),
        Response::Notice(_) | Response::Done(_) | Response::Ready => None,
    };
    script.responses.iter().filter_map(text).collect()
}

#[test]
fn indexes_are_what_they_were() {
    for mode in [SnapshotMode::Classic, SnapshotMode::Mirror] {
        let (place, engine) = super::engine(mode);
        let made = told(
            &Database::new(&engine),
            &[
                "CREATE TABLE t (id int PRIMARY KEY, name text, n numeric UNIQUE)",
                "CREATE UNIQUE INDEX t_name ON t (lower(name), (n * 2) DESC) INCLUDE (id)",
                "INSERT INTO t VALUES (1, 'One', 1.0), (2, 'two', 2)",
            ],
        );
        assert!(made.is_empty(), "{made:?}");
        drop(engine);
        let engine = super::open(&place, mode);
        let database = Database::new(&engine);
        let found = told(
            &database,
            &[
                "INSERT INTO t VALUES (1, 'x', 9)",
                "INSERT INTO t VALUES (3, 'x', 2.00)",
                "INSERT INTO t VALUES (3, 'ONE', 1) ON CONFLICT (lower(name), (n * 2)) DO UPDATE SET name = 'again' \
                 RETURNING name",
                "INSERT INTO t VALUES (3, 'x', 3) ON CONFLICT (lower(name)) DO NOTHING",
                "SELECT name FROM t WHERE id = 2",
                "DROP INDEX t_pkey",
                "DROP INDEX t_name",
                "SELECT count(*) FROM t WHERE n = 1",
            ],
        );
        assert_eq!(
            found,
            [
                "23505: duplicate key value violates unique constraint \"t_pkey\"",
                "23505: duplicate key value violates unique constraint \"t_n_key\"",
                "again",
                "42P10: there is no unique or exclusion constraint matching the ON CONFLICT specification",
                "two",
                "2BP01: cannot drop index t_pkey because constraint t_pkey on table t requires it",
                "1",
            ]
        );
    }
}
