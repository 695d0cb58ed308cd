//! How many rows statements read, and by which way: by an index no more than they need.

use engine::{Engine, SnapshotMode};
use sql::{Database, Response, Script, TableReads, serve};

/// Two tables of 1000 and of 20 rows.
const SETUP: &[&str] = &[
    "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int, d int)",
    "INSERT INTO t SELECT g, g % 10, 'b' || g % 100, CASE WHEN g % 4 > 0 THEN g END, g % 50 \
     FROM generate_series(1, 1000) g",
    "CREATE INDEX ON t (a, b DESC)",
    "CREATE INDEX ON t (c NULLS FIRST)",
    "CREATE TABLE u (id int PRIMARY KEY, t int)",
    "INSERT INTO u SELECT g, g * 7 FROM generate_series(1, 20) g",
];

/// A database whose tables are read, and a count of what is.
struct Read<'e> {
    database: Database<'e>,
    tables: Vec<(String, u32)>,
}

impl<'e> Read<'e> {
    fn new(engine: &'e Engine) -> Read<'e> {
        let mut read = Read { database: Database::new(engine), tables: Vec::new() };
        SETUP.iter().for_each(|statement| drop(read.run(statement)));
        ["t", "u"].into_iter().for_each(|table| read.count_of(table));
        read
    }

    /// Has what is read of a table, which has rows, be counted.
    fn count_of(&mut self, table: &str) {
        let oid = self.run(&format!("SELECT tableoid FROM {table} LIMIT 1"))[0].parse();
        self.tables.push((table.to_owned(), oid.expect("a number")));
    }

    /// The first column of the rows that a statement gives.
    fn run(&self, statement: &str) -> Vec<String> {
        let mut script = Script::new([statement]);
        serve(&self.database, &mut script).expect("a session");
        let mut found = Vec::new();
        for response in &script.responses {
            match response {
                Response::Rows { rows, .. } => {
                    let first = |row: &Vec<Option<String>>| row.first().cloned().flatten();
                    found.extend(rows.iter().map(|row| first(row).unwrap_or_default()));
                }
                Response::Failed(error) => panic!("{statement}: {error}"),
                Response::Notice(_) | Response::Done(_) | Response::Ready => {}
            }
        }
        found
    }

    /// What a statement reads of a table: how often and how much of all of it, then by its indexes.
    fn of(&self, table: &str, statement: &str) -> [u64; 4] {
        let (_, oid) = self.tables.iter().find(|(name, _)| name == table).expect("a table");
        let before = self.database.reads(*oid);
        self.run(statement);
        let after = self.database.reads(*oid);
        let numbers = |reads: TableReads| {
            [reads.seq_scan, reads.seq_tup_read, reads.idx_scan, reads.idx_tup_fetch]
        };
        let (before, after) = (numbers(before), numbers(after));
        [0, 1, 2, 3].map(|at| after[at] - before[at])
    }
}

/// Whether each statement reads of the table what is said beside it.
fn check(table: &str, expected: &[(&str, [u64; 4])]) {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let read = Read::new(&engine);
    for (statement, expected) in expected {
        assert_eq!(read.of(table, statement), *expected, "{statement}");
    }
}

#[test]
fn an_order_that_an_index_has_is_read_as_far_as_it_is_wanted() {
    check(
        "t",
        &[
            ("SELECT id FROM t ORDER BY id LIMIT 5", [0, 0, 1, 5]),
            ("SELECT id FROM t ORDER BY id DESC OFFSET 3 LIMIT 5", [0, 0, 1, 8]),
            ("SELECT id FROM t ORDER BY id", [0, 0, 1, 1000]),
            ("SELECT b FROM t WHERE a = 3 ORDER BY b LIMIT 2", [0, 0, 1, 2]),
            ("SELECT b FROM t WHERE a = 3 ORDER BY a, b DESC", [0, 0, 1, 100]),
            ("SELECT b FROM t WHERE a > 7 ORDER BY a, b DESC LIMIT 3", [0, 0, 1, 3]),
            ("SELECT b FROM t ORDER BY a DESC, b, a LIMIT 4", [0, 0, 1, 4]),
            ("SELECT b FROM t ORDER BY a, b LIMIT 4", [1, 1000, 0, 0]),
            ("SELECT id FROM t WHERE d = 7 ORDER BY id LIMIT 2", [0, 0, 1, 57]),
            ("SELECT id FROM t WHERE a = 5 ORDER BY id LIMIT 2", [0, 0, 1, 100]),
            ("SELECT id FROM t WHERE id > 990 ORDER BY id DESC", [0, 0, 1, 10]),
            ("SELECT id FROM t ORDER BY id LIMIT 3 FOR UPDATE", [0, 0, 1, 3]),
            ("SELECT t.id FROM t, u WHERE t.d = u.t ORDER BY t.id DESC LIMIT 1", [0, 0, 1, 2]),
            ("SELECT id FROM (SELECT id FROM t ORDER BY id) s LIMIT 4", [0, 0, 1, 4]),
            ("SELECT DISTINCT a FROM t ORDER BY a LIMIT 1", [1, 1000, 0, 0]),
        ],
    );
}

#[test]
fn of_partitions_in_an_order_no_more_is_read_than_is_wanted() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let mut read = Read::new(&engine);
    for statement in [
        "CREATE TABLE p (k int, v int) PARTITION BY LIST (k)",
        "CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        "CREATE INDEX ON p (v)",
        "INSERT INTO p SELECT g % 2, g FROM generate_series(1, 1000) g",
    ] {
        read.run(statement);
    }
    ["p0", "p1"].into_iter().for_each(|table| read.count_of(table));
    for (statement, expected) in [
        // One of each table more than is given, at most.
        ("SELECT v FROM p ORDER BY v LIMIT 6", [[0, 0, 1, 3], [0, 0, 1, 4]]),
        ("SELECT v FROM p ORDER BY v DESC OFFSET 3 LIMIT 4", [[0, 0, 1, 4], [0, 0, 1, 4]]),
        ("SELECT v FROM p WHERE v > 990 ORDER BY v LIMIT 1", [[0, 0, 1, 1], [0, 0, 1, 1]]),
        ("SELECT max(v) FROM p", [[0, 0, 1, 1], [0, 0, 1, 1]]),
        // All are wanted, or no index has the order.
        ("SELECT v FROM p ORDER BY v", [[1, 500, 0, 0], [1, 500, 0, 0]]),
        ("SELECT v FROM p ORDER BY k, v LIMIT 2", [[1, 500, 0, 0], [1, 500, 0, 0]]),
    ] {
        let found = ["p0", "p1"].map(|table| read.of(table, statement));
        assert_eq!(found, expected, "{statement}");
    }
}

#[test]
fn nulls_lie_where_the_index_has_them() {
    check(
        "t",
        &[
            ("SELECT c FROM t ORDER BY c NULLS FIRST LIMIT 2", [0, 0, 1, 2]),
            ("SELECT c FROM t ORDER BY c DESC NULLS LAST LIMIT 2", [0, 0, 1, 2]),
            ("SELECT c FROM t ORDER BY c LIMIT 2", [1, 1000, 0, 0]),
            ("SELECT c FROM t ORDER BY c DESC LIMIT 2", [1, 1000, 0, 0]),
            ("SELECT c FROM t WHERE c < 7 ORDER BY c", [0, 0, 1, 5]),
            ("SELECT c FROM t WHERE c < 7 ORDER BY c DESC", [0, 0, 1, 5]),
            // No row has a null there.
            ("SELECT id FROM t ORDER BY id DESC NULLS LAST LIMIT 2", [0, 0, 1, 2]),
        ],
    );
}

#[test]
fn the_ends_of_an_index_are_minimum_and_maximum() {
    check(
        "t",
        &[
            ("SELECT min(id), max(id) FROM t", [0, 0, 2, 2]),
            ("SELECT min(c) FROM t", [0, 0, 1, 1]),
            ("SELECT max(c) FROM t HAVING max(c) > 0", [0, 0, 1, 1]),
            ("SELECT max(b) FROM t WHERE a = 3", [0, 0, 1, 1]),
            ("SELECT max(id) FROM t WHERE id < 500 AND d = 3", [0, 0, 1, 47]),
            ("SELECT max(id), max(d) FROM t", [1, 1000, 0, 0]),
            ("SELECT max(id), count(*) FROM t", [1, 1000, 0, 0]),
            ("SELECT max(id) FILTER (WHERE id < 9) FROM t", [1, 1000, 0, 0]),
            ("SELECT max(id) FROM t GROUP BY a", [1, 1000, 0, 0]),
            ("SELECT id FROM u WHERE u.t < (SELECT max(id) FROM t)", [0, 0, 1, 1]),
        ],
    );
}

#[test]
fn one_side_of_a_join_is_found_by_the_other() {
    check(
        "t",
        &[
            ("SELECT 1 FROM u JOIN t ON t.id = u.t", [0, 0, 20, 20]),
            ("SELECT 1 FROM t JOIN u ON t.id = u.t", [0, 0, 20, 20]),
            ("SELECT 1 FROM t, u WHERE t.id = u.t AND u.id = 3", [0, 0, 1, 1]),
            ("SELECT 1 FROM u LEFT JOIN t ON t.id = u.t AND t.d > 40", [0, 0, 20, 20]),
            ("SELECT 1 FROM t RIGHT JOIN u ON t.id = u.t AND t.d > 40", [0, 0, 20, 20]),
            ("SELECT 1 FROM u LEFT JOIN t ON t.id = u.t AND u.id > 3", [0, 0, 20, 20]),
            ("SELECT 1 FROM t LEFT JOIN u ON t.id = u.t", [1, 1000, 0, 0]),
            ("SELECT 1 FROM t FULL JOIN u ON t.id = u.t", [1, 1000, 0, 0]),
            ("SELECT 1 FROM u, t JOIN u v ON v.id = t.d WHERE t.id = u.t", [0, 0, 20, 20]),
            ("SELECT 1 FROM u JOIN u v ON v.id = u.id JOIN t ON t.id = v.t", [0, 0, 20, 20]),
            ("SELECT 1 FROM u JOIN t ON t.a = u.id - 13 AND t.b = 'b7'", [0, 0, 20, 10]),
            ("SELECT 1 FROM u JOIN t ON t.id > u.t WHERE u.id > 18", [0, 0, 2, 1727]),
            ("SELECT 1 FROM u WHERE EXISTS (SELECT 1 FROM t WHERE t.id = u.t)", [0, 0, 20, 20]),
            ("SELECT (SELECT d FROM t WHERE t.id = u.t) FROM u", [0, 0, 20, 20]),
            ("SELECT 1 FROM u JOIN t ON t.id = u.t LIMIT 3", [0, 0, 3, 3]),
            ("SELECT 1 FROM t JOIN u ON u.id = t.d ORDER BY t.id LIMIT 2", [0, 0, 1, 2]),
            ("UPDATE t SET d = t.d FROM u WHERE u.t = t.id", [0, 0, 20, 20]),
            (
                "UPDATE t SET d = t.d FROM u JOIN u v ON u.id = v.id WHERE v.t = t.id",
                [0, 0, 20, 20],
            ),
            (
                "MERGE INTO t USING u ON t.id = u.t WHEN MATCHED THEN UPDATE SET d = t.d",
                [0, 0, 20, 20],
            ),
            ("DELETE FROM t USING u WHERE t.id = u.t AND u.id > 18", [0, 0, 2, 2]),
        ],
    );
    check(
        "u",
        &[
            ("SELECT 1 FROM t JOIN u ON u.id = t.d WHERE t.id <= 5", [0, 0, 5, 5]),
            // What is asked of the other side alone is asked first.
            ("SELECT 1 FROM t JOIN u ON u.id = t.d WHERE t.b = 'b7'", [0, 0, 10, 10]),
            ("SELECT 1 FROM u JOIN t ON t.id = u.t WHERE t.id = 7", [1, 20, 0, 0]),
        ],
    );
}

#[test]
fn what_an_index_has_is_not_read_of_rows_that_everybody_sees() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let read = Read::new(&engine);
    read.run("CREATE INDEX ON t (d) INCLUDE (c)");
    let check = |statement: &str, rows: u64| {
        assert_eq!(read.of("t", statement), [0, 0, 1, rows], "{statement}");
    };
    check("SELECT id FROM t WHERE id < 10", 9);
    read.run("VACUUM t");
    for statement in [
        "SELECT id FROM t WHERE id < 10",
        "SELECT count(*) FROM t WHERE id < 10",
        "SELECT id FROM t WHERE id > 3 ORDER BY id DESC LIMIT 2",
        "SELECT b FROM t WHERE a = 3 ORDER BY a, b DESC",
        "SELECT d, sum(c) FROM t WHERE d = 7 GROUP BY d",
        "SELECT max(id) FROM t",
        "SELECT max(b) FROM t WHERE a = 3",
        "SELECT DISTINCT d FROM t WHERE d < 9",
        "SELECT u.id FROM t, u WHERE t.id = 14 AND u.t = t.id",
        "SELECT id FROM t WHERE id < 10 UNION SELECT id FROM u",
        "SELECT 1 WHERE EXISTS (SELECT id FROM t WHERE id < 10)",
    ] {
        check(statement, 0);
    }
    assert_eq!(read.of("t", "SELECT t.id FROM u JOIN t ON t.id = u.t"), [0, 0, 20, 0]);
    for (statement, rows) in [
        ("SELECT a FROM t WHERE id < 10", 9),
        ("SELECT id FROM t WHERE id < 10 AND b > 'b5'", 9),
        ("SELECT count(*) FROM t WHERE id < 10 GROUP BY a", 9),
        ("SELECT id FROM t WHERE id < 10 ORDER BY a + 0", 9),
        ("SELECT ctid FROM t WHERE id < 10", 9),
        ("SELECT tableoid FROM t WHERE id < 10", 9),
        ("SELECT t FROM t WHERE id < 10", 9),
        ("SELECT (SELECT u.id FROM u WHERE u.t = t.a) FROM t WHERE id < 10", 9),
        ("SELECT id FROM t WHERE id < 10 FOR UPDATE", 9),
        ("SELECT u.id FROM u JOIN t ON u.t = t.a WHERE t.id = 14", 1),
        ("UPDATE t SET id = id WHERE id = 1000", 1),
        ("DELETE FROM t WHERE id = 999", 1),
        // The last page is not what it was.
        ("SELECT id FROM t WHERE id = 1000", 1),
        ("SELECT id FROM t WHERE id = 1", 0),
    ] {
        check(statement, rows);
    }
    check("SET enable_indexonlyscan = off; SELECT id FROM t WHERE id < 10", 9);
}

#[test]
fn all_of_an_index_is_read_where_that_is_less_than_the_table() {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let mut read = Read::new(&engine);
    for statement in [
        "CREATE TABLE w (id int PRIMARY KEY, a int, b text)",
        "INSERT INTO w SELECT g, g % 7, repeat('b', 200) FROM generate_series(1, 2000) g",
        "CREATE INDEX ON w (a, id)",
        "CREATE TABLE p (k int, v int, w text) PARTITION BY LIST (k)",
        "CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        "CREATE INDEX ON p0 (v)",
        "INSERT INTO p SELECT g % 2, g, repeat('w', 300) FROM generate_series(1, 1000) g",
    ] {
        read.run(statement);
    }
    ["w", "p0", "p1"].into_iter().for_each(|table| read.count_of(table));
    let whole = [1, 2000, 0, 0];
    assert_eq!(read.of("w", "SELECT count(*) FROM w"), whole, "nothing is known of its pages");
    for table in ["w", "p", "u"] {
        read.run(&format!("VACUUM {table}"));
    }
    for statement in [
        "SELECT count(*) FROM w",
        "SELECT count(id), max(a), sum(id), avg(a) FROM w",
        "SELECT count(*) FILTER (WHERE a = 3) FROM w",
        "SELECT count(*) FROM w WHERE id % 2 = 0",
        "SELECT count(DISTINCT a) FROM w HAVING count(*) > 3",
        "SELECT count(*) FROM (SELECT id FROM w) s",
        "SELECT count(*) FROM w, generate_series(1, 2)",
        "SELECT 1 WHERE 2000 = (SELECT count(*) FROM w)",
    ] {
        assert_eq!(read.of("w", statement), [0, 0, 1, 0], "{statement}");
    }
    for statement in [
        "SELECT count(b) FROM w",
        "SELECT count(*) FROM w WHERE b > 'a'",
        "SELECT id FROM w",
        "SELECT count(*) FROM w GROUP BY a",
        "SELECT sum(a::float8) FROM w",
        "SELECT string_agg(a::text, ',') FROM w",
        "SELECT DISTINCT a FROM w",
        "SELECT count(*) FROM (SELECT id FROM w LIMIT 3000) s",
        "SELECT count(ctid) FROM w",
        "SET enable_indexonlyscan = off; SELECT count(*) FROM w",
        "SET enable_indexscan = off; SELECT count(*) FROM w",
    ] {
        assert_eq!(read.of("w", statement), whole, "{statement}");
    }
    // An index that is no smaller.
    assert_eq!(read.of("u", "SELECT count(*) FROM u"), [1, 20, 0, 0]);
    assert_eq!(read.of("u", "SET enable_seqscan = off; SELECT count(*) FROM u"), [0, 0, 1, 0]);
    // Each partition by what it has.
    let found = ["p0", "p1"].map(|table| read.of(table, "SELECT count(*) FROM p"));
    assert_eq!(found, [[0, 0, 1, 0], [1, 500, 0, 0]]);
    assert_eq!(read.run("SELECT count(*) FROM p"), ["1000"]);
    // Rows of a page that has changed are looked for; if they are many, the table is read.
    read.run("DELETE FROM w WHERE id = 1000");
    let [scans, _, of_index, fetched] = read.of("w", "SELECT count(*) FROM w");
    assert_eq!((scans, of_index), (0, 1));
    assert!((1..100).contains(&fetched), "{fetched} rows of a page");
    assert_eq!(read.run("SELECT count(*) FROM w"), ["1999"]);
    read.run("UPDATE w SET b = 'b' WHERE id % 10 = 0");
    assert_eq!(read.of("w", "SELECT count(*) FROM w"), [1, 1999, 0, 0]);
}

#[test]
fn lists_alternatives_patterns_and_nulls_are_looked_for() {
    check(
        "t",
        &[
            ("SELECT 1 FROM t WHERE id IN (3, 5, 3, 5000)", [0, 0, 3, 2]),
            ("SELECT 1 FROM t WHERE id = ANY (ARRAY[3, 5])", [0, 0, 2, 2]),
            ("SELECT 1 FROM t WHERE id = 3 OR id = 5 OR id IN (7, 8)", [0, 0, 4, 4]),
            ("SELECT 1 FROM t WHERE a IN (1, 2) AND b = 'b11'", [0, 0, 2, 10]),
            ("SELECT 1 FROM t WHERE id = 3 OR c = 5", [0, 0, 2, 2]),
            ("SELECT 1 FROM t WHERE id = 3 OR a = 3 AND b = 'b13' OR c < 4", [0, 0, 3, 14]),
            ("SELECT 1 FROM t WHERE id = 3 OR d = 5", [1, 1000, 0, 0]),
            ("SELECT 1 FROM t WHERE id > 800 OR c < 9", [0, 0, 2, 206]),
            // As many rows as that are all of the table.
            ("SELECT 1 FROM t WHERE id > 800 OR id < 300 OR c < 9", [1, 1000, 0, 0]),
            ("SELECT 1 FROM t WHERE id IN (SELECT t FROM u WHERE id < 4)", [0, 0, 3, 3]),
            ("SELECT 1 FROM t WHERE id = (SELECT min(t) FROM u)", [0, 0, 1, 1]),
            ("DELETE FROM t WHERE id IN (SELECT t + 1000 FROM u)", [0, 0, 20, 0]),
            ("SELECT 1 FROM t WHERE a = 3 AND b LIKE 'b1%'", [0, 0, 1, 10]),
            ("SELECT 1 FROM t WHERE b LIKE 'b1%'", [1, 1000, 0, 0]),
            ("SELECT 1 FROM t WHERE c IS NULL", [0, 0, 1, 250]),
            ("SELECT 1 FROM t WHERE c IS NOT NULL", [1, 1000, 0, 0]),
            ("SELECT c FROM t WHERE c IS NOT NULL ORDER BY c LIMIT 2", [0, 0, 1, 2]),
            ("SELECT 1 FROM u LEFT JOIN t ON t.id IN (u.id, u.t)", [0, 0, 40, 40]),
            ("SELECT 1 FROM u LEFT JOIN t ON t.id = u.id WHERE t.c IS NULL", [0, 0, 20, 20]),
        ],
    );
    // As many searches would cost more than the table.
    check("u", &[("SELECT 1 FROM u WHERE id IN (SELECT id FROM t)", [1, 20, 0, 0])]);
}

#[test]
fn an_expression_is_found_by_an_index_that_computes_it() {
    check(
        "t",
        &[
            ("CREATE INDEX ON t ((d * 2), lower(b))", [0, 0, 0, 0]),
            ("SELECT 1 FROM t WHERE d * 2 = 14", [0, 0, 1, 20]),
            ("SELECT 1 FROM t WHERE d * 2 = 14 AND lower(b) > 'b60'", [0, 0, 1, 10]),
            ("SELECT 1 FROM t ORDER BY d * 2 DESC, lower(b) DESC LIMIT 3", [0, 0, 1, 3]),
            ("SELECT max(d * 2) FROM t", [0, 0, 1, 1]),
            ("SELECT 1 FROM u JOIN t ON t.d * 2 = u.id", [0, 0, 20, 200]),
            ("SELECT 1 FROM t WHERE d = 7", [1, 1000, 0, 0]),
        ],
    );
}
