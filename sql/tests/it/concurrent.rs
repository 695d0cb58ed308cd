//! What another session commits between two statements of a transaction that has one snapshot. What is expected is what a
//! server of PostgreSQL 15 does.

use engine::SnapshotMode;
use sql::{Client, Database, Response, Script, serve};

/// A client that has another session run a query, whole, at some places.
struct Interleaved<'d, 'e> {
    database: &'d Database<'e>,
    /// Queries in their order, and whether they are the other session's.
    queries: std::vec::IntoIter<(bool, &'static str)>,
    responses: Vec<Response>,
}

impl Client for Interleaved<'_, '_> {
    fn query(&mut self) -> Option<String> {
        loop {
            match self.queries.next()? {
                (false, query) => return Some(query.to_owned()),
                (true, query) => {
                    let mut script = Script::new([query]);
                    serve(self.database, &mut script).expect("a session");
                    let failed = |told: &Response| matches!(told, Response::Failed(_));
                    assert!(!script.responses.iter().any(failed), "{:?}", script.responses);
                }
            }
        }
    }

    fn respond(&mut self, response: Response) {
        self.responses.push(response);
    }
}

/// First values of rows, and errors, in order. What begins with `other: ` is the other session's.
fn told(queries: &[&'static str]) -> Vec<String> {
    let (_place, engine) = super::engine(SnapshotMode::Mirror);
    let database = Database::new(&engine);
    let queries: Vec<(bool, &str)> = queries
        .iter()
        .map(|query| query.strip_prefix("other: ").map_or((false, *query), |query| (true, query)))
        .collect();
    let mut client =
        Interleaved { database: &database, queries: queries.into_iter(), responses: Vec::new() };
    serve(&database, &mut client).expect("a session");
    let text = |response: &Response| match response {
        Response::Rows { rows, .. } => rows.first()?.first()?.clone(),
        Response::Failed(error) => Some(format!("{}: {}", error.code, error.message)),
        Response::Notice(_) | Response::Done(_) | Response::Ready => None,
    };
    client.responses.iter().filter_map(text).collect()
}

#[test]
fn a_table_that_is_made_anew_keeps_rows_that_the_snapshot_does_not_show() {
    let found = told(&[
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1)",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "SELECT count(*) FROM t",
        "other: INSERT INTO t VALUES (2)",
        "ALTER TABLE t ADD COLUMN b int",
        "COMMIT",
        "SELECT count(*) FROM t",
    ]);
    assert_eq!(found, ["1", "2"]);
}

#[test]
fn a_default_partition_keeps_no_rows_of_another_that_the_snapshot_does_not_show() {
    let found = told(&[
        "CREATE TABLE t (a int) PARTITION BY LIST (a)",
        "CREATE TABLE rest PARTITION OF t DEFAULT",
        "INSERT INTO t VALUES (1)",
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "SELECT count(*) FROM t",
        "other: INSERT INTO t VALUES (2)",
        "CREATE TABLE two PARTITION OF t FOR VALUES IN (2)",
        "ROLLBACK",
    ]);
    let error = "23514: updated partition constraint for default partition \"rest\" would be violated by some row";
    assert_eq!(found, ["1", error]);
}

#[test]
fn a_parent_is_not_deleted_under_a_child_that_the_snapshot_does_not_show() {
    let tables = "CREATE TABLE p (a int PRIMARY KEY); INSERT INTO p VALUES (1);";
    for (action, error) in [
        (
            "",
            "23503: update or delete on table \"p\" violates foreign key constraint \"c_a_fkey\" on table \"c\"",
        ),
        ("ON DELETE CASCADE", "40001: could not serialize access due to concurrent update"),
        ("ON DELETE SET NULL", "40001: could not serialize access due to concurrent update"),
    ] {
        let child: &'static str = format!("CREATE TABLE c (a bigint REFERENCES p {action})").leak();
        let found = told(&[
            tables,
            child,
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "SELECT count(*) FROM c",
            "other: INSERT INTO c VALUES (1)",
            "DELETE FROM p",
            "ROLLBACK",
            "SELECT count(*) FROM c",
        ]);
        assert_eq!(found, ["0", error, "1"], "{action}");
    }
}
