//! Text that nobody would write gives an error and nothing else: no panic, no overflow of the stack, no end that does not
//! come.
//!
//! Statements are taken from the scripts and changed at random, the same ones for the same seed (`PGSTRATA_HOSTILE_SEED`);
//! `PGSTRATA_HOSTILE` says how many. Others are made to be deep, long, or of strange characters.

use engine::SnapshotMode;
use fastrand::Rng;
use sql::{Client, Database, Response, serve};

/// Queries run one after the other, each answered before the next is asked.
struct Asker {
    queries: std::vec::IntoIter<String>,
    asked: String,
    answered: usize,
    /// SQLSTATEs of errors that must not be.
    internal: Vec<String>,
}

impl Client for Asker {
    fn query(&mut self) -> Option<String> {
        self.asked = self.queries.next()?;
        Some(self.asked.clone())
    }

    fn respond(&mut self, response: Response) {
        match response {
            Response::Ready => self.answered += 1,
            Response::Failed(error) if error.code.starts_with("XX") => {
                self.internal.push(format!("{error} for {}", self.asked));
            }
            _ => {}
        }
    }
}

fn ask(queries: Vec<String>) {
    let (_place, engine) = super::engine(SnapshotMode::Classic);
    let database = Database::new(&engine);
    let count = queries.len();
    let mut asker = Asker {
        queries: queries.into_iter(),
        asked: String::new(),
        answered: 0,
        internal: Vec::new(),
    };
    serve(&database, &mut asker).expect("a session");
    assert_eq!(asker.answered, count);
    assert!(asker.internal.is_empty(), "{:#?}", asker.internal);
}

/// The statements of all scripts that stand on one line.
fn statements() -> Vec<String> {
    let mut all = Vec::new();
    for script in super::scripts::scripts() {
        let text = std::fs::read_to_string(script).expect("a script");
        all.extend(text.lines().filter(|line| line.ends_with(';')).map(str::to_owned));
    }
    all
}

/// The words and signs of a statement.
fn words(statement: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in statement.chars() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        match words.last_mut() {
            Some(last) if is_word(c) && last.ends_with(is_word) => last.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

const STRANGE: [&str; 24] = [
    "(",
    ")",
    "'",
    "\"",
    ",",
    "NULL",
    "-1",
    "0",
    "99999999999999999999",
    "1e400",
    "''",
    "SELECT",
    "FROM t",
    "AND",
    "NOT",
    "*",
    "::int",
    "\u{0}",
    "é",
    "$1",
    "/*",
    "--",
    "CASE",
    "LIMIT",
];

fn changed(statement: &str, other: &str, random: &mut Rng) -> String {
    let (mut words, others) = (words(statement), words(other));
    for _ in 0..=random.usize(..3) {
        let at = random.usize(..words.len().max(1));
        match random.usize(..6) {
            0 if !words.is_empty() => drop(words.remove(at)),
            1 if !words.is_empty() => words.insert(at, words[at].clone()),
            2 => {
                words
                    .insert(at.min(words.len()), STRANGE[random.usize(..STRANGE.len())].to_owned());
            }
            3 if !words.is_empty() => words[at] = others[random.usize(..others.len())].clone(),
            4 if !words.is_empty() => {
                let with = random.usize(..words.len());
                words.swap(at, with);
            }
            _ => words.truncate(at.max(1)),
        }
    }
    words.concat()
}

/// An option of the environment.
fn option(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn changed_statements_give_errors_and_nothing_worse() {
    let mut random = Rng::with_seed(option("PGSTRATA_HOSTILE_SEED", 15));
    let all = statements();
    let mut queries = vec![
        "SET statement_timeout = '2s'".to_owned(),
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text, n numeric)".to_owned(),
        "INSERT INTO t SELECT g, g, 'x', g FROM generate_series(1, 5) AS g".to_owned(),
    ];
    for number in 0..option("PGSTRATA_HOSTILE", 4000) {
        let [one, other] = [(); 2].map(|()| &all[random.usize(..all.len())]);
        let query = changed(one, other, &mut random);
        // A block that was left open would make all that follows fail alike.
        if number % 20 == 0 {
            queries.push("ROLLBACK".to_owned());
        }
        queries.push(query);
    }
    ask(queries);
}

#[test]
fn deep_statements_give_errors_and_nothing_worse() {
    let mut queries = Vec::new();
    for depth in [40, 400, 100_000] {
        let repeat = |text: &str| text.repeat(depth);
        queries.extend([
            format!("SELECT {}1{}", repeat("("), repeat(")")),
            format!("SELECT {}1", repeat("- ")),
            format!("SELECT {}true", repeat("NOT ")),
            format!("SELECT 1{}", repeat(" + 1")),
            format!("SELECT true{}", repeat(" AND true")),
            format!("SELECT 1 WHERE 1 = 1{}", repeat(" OR 1 = 2")),
            format!("SELECT 'a'{}", repeat(" || 'a'")),
            format!("SELECT 1{}", repeat("::int")),
            format!("SELECT {}1{}", repeat("abs("), repeat(")")),
            format!("SELECT {}1{}", repeat("(SELECT "), repeat(")")),
            format!("SELECT {}1{}", repeat("CASE WHEN true THEN "), repeat(" END")),
            format!("SELECT * FROM {}t{}", repeat("("), repeat(")")),
            format!(
                "SELECT * FROM {}(SELECT 1) AS q{}",
                repeat("(SELECT * FROM "),
                repeat(") AS q")
            ),
            format!("SELECT 1{}", repeat(" UNION SELECT 1")),
            format!("{}SELECT 1{}", repeat("("), repeat(")")),
            format!("SELECT 1 IN (1{})", repeat(", 1")),
            format!("SELECT * FROM t{}", repeat(" JOIN t")),
            format!("CREATE TABLE d (a int CHECK ({}a > 0{}))", repeat("("), repeat(")")),
            format!("SELECT 1{}", repeat(" IS NULL")),
            format!("SELECT ARRAY{}1{}", repeat("["), repeat("]")),
        ]);
    }
    ask(queries);
}

#[test]
fn strange_texts_give_errors_and_nothing_worse() {
    let queries: Vec<String> = [
        "",
        ";",
        ";;;",
        "\0",
        "SELECT '\0'",
        "SELECT \0",
        "\u{feff}SELECT 1",
        "SELECT 'a",
        "SELECT \"a",
        "SELECT $$a",
        "SELECT /* a",
        "SELECT E'\\",
        "SELECT E'\\u12'",
        "SELECT U&'\\0000'",
        "SELECT $1",
        "SELECT $0",
        "SELECT 1e999999999",
        "SELECT 1e-999999999",
        "SELECT '1e999999999'::numeric",
        "SELECT '1e999999999'::float8",
        "SELECT '1e-999999999'::numeric",
        "SELECT 1e100000 * 1e100000",
        "SELECT round(1.5, 2147483647)",
        "SELECT round(1.5, -2147483648)",
        "SELECT 1::numeric(1000000, 5)",
        "SELECT 1::numeric(0)",
        "SELECT 'x'::varchar(0)",
        "SELECT 'x'::varchar(99999999999)",
        "SELECT 'x'::char(99999999)",
        "SELECT repeat('x', 2147483647)",
        "SELECT lpad('x', 2147483647)",
        "SELECT -9223372036854775808 / -1",
        "SELECT (-9223372036854775808)::bigint % -1",
        "SELECT abs((-9223372036854775808)::bigint)",
        "SELECT 1 << 2147483647",
        "SELECT 1 << -1",
        "SELECT substr('abc', -2147483648, 2147483647)",
        "SELECT generate_series(1, 9223372036854775807) LIMIT 1",
        "SELECT * FROM generate_series(9223372036854775806, 9223372036854775807)",
        "SELECT LIMIT 9223372036854775807 OFFSET 9223372036854775807",
        "SELECT 1 LIMIT 9223372036854775808",
        "SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' LIKE '%a%a%a%a%a%a%a%a%a%a%a%a%b'",
        "SELECT pg_sleep('nan')",
        "SELECT pg_sleep(-1e300)",
        "SELECT chr(2147483647)",
        "SELECT chr(-1)",
        "SELECT date '5874897-12-31' + 2147483647",
        "SELECT date '0000-00-00'",
        "SELECT '99999-99-99'::date",
        "SELECT '294277-01-01'::timestamptz",
        "SELECT '(99999999999,1)'::tid",
        "SELECT '(0,99999)'::tid",
        "CREATE TABLE x ()",
        "CREATE TABLE y (a int DEFAULT 1/0)",
        "INSERT INTO y VALUES (DEFAULT)",
        "CREATE TABLE z (a int CHECK (1/0 = 1))",
        "INSERT INTO z VALUES (1)",
        "SELECT * FROM z ORDER BY 99999999999",
        "SAVEPOINT \"\"",
        "CREATE TABLE \"\" (a int)",
        "CREATE TABLE t (\"\" int)",
        "SELECT \"\"",
        "SET \"\" = 1",
        "SET lock_timeout = '99999999999999999999'",
        "SET lock_timeout = '9223372036854775807d'",
        "SET statement_timeout = ''",
    ]
    .map(str::to_owned)
    .into();
    let long = "x".repeat(1 << 20);
    let more = [
        format!("SELECT '{long}'"),
        format!("SELECT {long}"),
        format!("SELECT \"{long}\""),
        format!("CREATE TABLE {long} (a int)"),
        format!("CREATE TABLE w (a int DEFAULT length('{long}'))"),
        format!("SELECT {}", "9".repeat(200_000)),
        format!("SELECT 0.{}", "9".repeat(200_000)),
        format!("SELECT * FROM t WHERE {}", "(".repeat(200_000)),
        format!("SELECT {}", "1,".repeat(3000) + "1"),
        format!(
            "CREATE TABLE many ({})",
            (0..2000).map(|n| format!("c{n} int")).collect::<Vec<_>>().join(", ")
        ),
        format!("INSERT INTO t VALUES {}", vec!["(1)"; 20_000].join(", ")),
        format!("SELECT {}", vec!["'x'"; 5000].join(" || ")),
    ];
    ask(queries.into_iter().chain(more).collect());
}
