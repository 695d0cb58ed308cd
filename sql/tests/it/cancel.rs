//! What becomes of a block whose statement was cancelled, or took too long. What is expected is what a server of
//! PostgreSQL 15 does.

use engine::{AdvisoryKey, AdvisoryMode, Isolation, SnapshotMode, TableLockMode, WaitPolicy};
use sql::{Database, Response, Script, serve};

/// First values of rows, tags and errors, in order.
fn told(script: &Script) -> Vec<String> {
    let text = |response: &Response| match response {
        Response::Rows { rows, .. } => rows.first()?.first()?.clone(),
        Response::Failed(error) => Some(format!("{}: {}", error.code, error.message)),
        Response::Done(tag) => Some(tag.clone()),
        Response::Notice(_) | Response::Ready => None,
    };
    script.responses.iter().filter_map(text).collect()
}

const ABORTED: &str =
    "25P02: current transaction is aborted, commands ignored until end of transaction block";

/// What is told where the one statement that waits for the advisory lock 1 is cancelled.
fn cancelled(queries: &[&str]) -> Vec<String> {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let database = Database::new(&engine);
    let mut holder = engine.session().expect("a session");
    let mut holding = holder.begin(Isolation::ReadCommitted).expect("begun");
    let key = AdvisoryKey::One(1);
    holding.advisory_lock(key, AdvisoryMode::Exclusive, WaitPolicy::Wait).expect("free");
    let mut script = Script::new(queries.iter().copied());
    std::thread::scope(|scope| {
        let served = scope.spawn(|| serve(&database, &mut script));
        while engine.waiting() == 0 {
            std::thread::yield_now();
        }
        assert!((0..3).any(|session| database.cancel(session)));
        served.join().expect("a thread").expect("a session");
    });
    told(&script)
}

const CANCELLED: &str = "57014: canceling statement due to user request";

#[test]
fn a_block_that_was_cancelled_does_nothing_until_it_is_rolled_back() {
    let found = cancelled(&[
        "BEGIN",
        "CREATE TABLE t (a int)",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT 1",
        "SELECT 2; SELECT 3",
        "COMMIT",
        "SELECT count(*) FROM pg_class",
    ]);
    let expected = ["BEGIN", "CREATE TABLE", CANCELLED, ABORTED, ABORTED, "ROLLBACK", "0"];
    assert_eq!(found, expected);
}

#[test]
fn a_block_that_was_cancelled_goes_on_from_its_savepoint() {
    let found = cancelled(&[
        "BEGIN",
        "CREATE TABLE t (a int)",
        "SAVEPOINT s",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT 1",
        "ROLLBACK TO s",
        "SELECT 2",
        "COMMIT",
        "SELECT count(*) FROM pg_class",
    ]);
    let expected =
        ["BEGIN", "CREATE TABLE", "SAVEPOINT", CANCELLED, ABORTED, "ROLLBACK", "2", "COMMIT", "1"];
    assert_eq!(found, expected);
}

#[test]
fn a_block_whose_statement_takes_too_long_does_nothing_until_it_is_rolled_back() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let mut script = Script::new([
        "BEGIN",
        "SET LOCAL statement_timeout = '1ms'",
        "SELECT pg_sleep(3600)",
        "SELECT 1",
        "ROLLBACK",
        "SELECT 2",
    ]);
    serve(&Database::new(&engine), &mut script).expect("a session");
    let expected = ["BEGIN", "SET", TOO_LONG, ABORTED, "ROLLBACK", "2"];
    assert_eq!(told(&script), expected);
}

const TOO_LONG: &str = "57014: canceling statement due to statement timeout";

#[test]
fn the_time_of_a_statement_that_took_too_long_is_not_the_next_ones() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let mut script = Script::new([
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1)",
        "SET statement_timeout = '1ms'",
        "SELECT pg_sleep(3600)",
        "SET statement_timeout = 0",
        "VACUUM t",
        "BEGIN",
        "SET LOCAL statement_timeout = '1ms'",
        "SELECT pg_sleep(3600)",
        "ROLLBACK",
        "VACUUM",
        "ANALYZE t",
    ]);
    serve(&Database::new(&engine), &mut script).expect("a session");
    let before = ["CREATE TABLE", "INSERT 0 1", "SET", TOO_LONG, "SET", "VACUUM"];
    let after = ["BEGIN", "SET", TOO_LONG, "ROLLBACK", "VACUUM", "ANALYZE"];
    assert_eq!(told(&script), [before, after].concat());
}

#[test]
fn a_vacuum_that_waits_for_its_table_takes_too_long() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let database = Database::new(&engine);
    let mut script = Script::new(["CREATE TABLE t (a int)"]);
    serve(&database, &mut script).expect("a session");
    let mut holder = engine.session().expect("a session");
    let mut holding = holder.begin(Isolation::ReadCommitted).expect("begun");
    holding
        .open_table("t", TableLockMode::AccessExclusive, WaitPolicy::Wait)
        .expect("nobody has it");
    let statements = ["SET statement_timeout = '1ms'", "VACUUM t", "ANALYZE t"];
    let mut script = Script::new(statements);
    serve(&database, &mut script).expect("a session");
    assert_eq!(told(&script), ["SET", TOO_LONG, TOO_LONG]);
}
