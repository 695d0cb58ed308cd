//! Joins by equality: which pairs of rows are looked at, and in which order they come.

use engine::SnapshotMode;
use sql::{Database, Response, Script, serve};

/// Two tables without indexes, of 60 and of 40 rows, with nulls and with several rows of one key.
const SETUP: &str = "\
CREATE TABLE a (n int, k int, t text, f float8);
CREATE TABLE b (n int, k bigint, t varchar(9), f float8);
INSERT INTO a SELECT g, nullif(g * 7 % 20, 3), 't' || g % 9, CASE WHEN g % 5 > 0 THEN g % 3 * '-0'::float8 ELSE 'NaN' END
  FROM generate_series(1, 60) g;
INSERT INTO b SELECT g, nullif(g * 3 % 25, 4), 't' || g % 11, CASE WHEN g % 7 > 0 THEN 0 ELSE 'NaN'::float8 END
  FROM generate_series(1, 40) g;
CREATE FUNCTION asked(x int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'asked'; RETURN x > 0; END $$;
";

/// The rows of a statement, or its error.
type Given = Result<Vec<Vec<Option<String>>>, String>;

/// What the last of some statements gives, and how many notices there were.
fn run(database: &Database<'_>, statements: &str) -> (Given, usize) {
    let mut script = Script::new([statements]);
    serve(database, &mut script).expect("a session");
    let (mut last, mut notices) = (Ok(Vec::new()), 0);
    for response in script.responses {
        match response {
            Response::Rows { rows, .. } => last = Ok(rows),
            Response::Failed(error) => last = Err(error.to_string()),
            Response::Notice(_) => notices += 1,
            Response::Done(_) | Response::Ready => {}
        }
    }
    (last, notices)
}

/// What a query gives with hashes and without, which must be the same rows in the same order; how many notices it made.
fn both(database: &Database<'_>, query: &str) -> [usize; 2] {
    let [(with, asked), (without, asked_without)] = ["on", "off"]
        .map(|hashes| run(database, &format!("SET enable_hashjoin = {hashes}; {query}")));
    assert_eq!(with, without, "{query}");
    assert!(with.is_err() || with.is_ok_and(|rows| rows.len() > 1), "{query} gives nothing");
    [asked, asked_without]
}

#[test]
fn rows_come_in_the_order_of_both_sides() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let database = Database::new(&engine);
    run(&database, SETUP).0.expect("tables");
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        for on in [
            "a.k = b.k",
            "b.k = a.k AND a.t = b.t",
            "a.f = b.f AND a.n < 9",
            "a.t = b.t AND a.n <> b.n",
            "a.n + 1 = b.k - 1",
            // What cannot be worked out for a row is left out by the condition that stands before it, or is an error.
            "b.n <> 20 AND a.n = 100 / (b.n - 20)",
            "a.n <> 20 AND 100 / (a.n - 20) = b.n",
            "100 / (a.n - 20) = b.n",
            "a.k = 7 AND 7 = b.k",
        ] {
            both(&database, &format!("SELECT a.*, b.* FROM a {kind} b ON {on}"));
        }
    }
    for query in [
        "SELECT a.*, b.* FROM a, b WHERE a.k = b.k AND b.n > 9",
        "SELECT a.*, b.*, c.n FROM a JOIN b ON a.k = b.k JOIN a c ON c.t = b.t",
        "SELECT a.n, b.n, c.n FROM a LEFT JOIN (b JOIN a c ON c.t = b.t) ON a.k = c.k AND b.n > 30",
        "SELECT a.n, (SELECT string_agg(b.n || ' ' || c.n, ',') FROM b JOIN b c ON c.k = b.k + a.n) FROM a",
        "SELECT a.n, b.n FROM (SELECT * FROM a ORDER BY n DESC) a JOIN (SELECT * FROM b ORDER BY t) b ON a.k = b.k",
        "SELECT a.n, b.n FROM a JOIN b ON a.k = b.k OFFSET 3 LIMIT 7",
    ] {
        both(&database, query);
    }
}

#[test]
fn of_many_pairs_those_are_looked_at_whose_keys_may_be_equal() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let database = Database::new(&engine);
    run(&database, SETUP).0.expect("tables");
    let equal = |on: &str| {
        let query = format!("SELECT count(*) FROM a, b WHERE {on}");
        let (rows, _) = run(&database, &query);
        let count = rows.expect("a count")[0][0].as_deref().map(str::parse::<usize>);
        count.expect("a count").expect("a number")
    };
    for on in ["a.k = b.k", "a.k = b.k AND a.t = b.t", "a.f = b.f", "a.n + 1 = b.k - 1"] {
        let pairs = equal(on);
        assert!(pairs > 0 && pairs < 2000, "{on}: {pairs}");
        for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
            let query = format!("SELECT a.n, b.n FROM a {kind} b ON asked(a.n) AND {on}");
            assert_eq!(both(&database, &query), [pairs, 60 * 40], "{query}");
        }
    }
    // What is asked of all the rows of a FROM is asked of an inner join's.
    let query = "SELECT a.n, b.n FROM a JOIN b ON asked(a.n) WHERE a.k = b.k";
    assert_eq!(both(&database, query), [equal("a.k = b.k"), 60 * 40]);
    // Of these all pairs are.
    for on in ["a.k > b.k", "a.k = b.k OR a.t = b.t", "a.k = 7", "a.k IS NOT DISTINCT FROM b.k"] {
        let query = format!("SELECT a.n, b.n FROM a JOIN b ON asked(a.n) AND ({on})");
        assert_eq!(both(&database, &query), [60 * 40; 2], "{query}");
    }
}
