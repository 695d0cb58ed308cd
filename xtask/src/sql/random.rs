//! Random statements: expressions, queries and changes over small tables, the same ones for the same seed.
//!
//! Invariant: every query's rows have one order, that of all their columns.

mod expression;

use std::fmt::Write as _;

use expression::{ALL, Maker, Of, Random, S, T};

/// A script of so many statements.
pub(super) fn script(count: u32, seed: u64) -> String {
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let mut text = SETUP.to_owned();
    for row in 0..14 {
        let mut maker = Maker { random: &mut random, columns: Vec::new(), may_fail: false };
        let values: Vec<String> = [Of::Int, Of::Big, Of::Text, Of::Numeric, Of::Bool, Of::Date]
            .map(|of| maker.literal(of))
            .into();
        let _ = writeln!(text, "INSERT INTO t VALUES ({row}, {});", values.join(", "));
        let values: Vec<String> = [Of::Int, Of::Text, Of::Bool].map(|of| maker.literal(of)).into();
        let _ = writeln!(text, "INSERT INTO s VALUES ({row}, {});", values.join(", "));
    }
    for _ in 0..count {
        statement(&mut random, &mut text);
    }
    text
}

/// `n` and `k` are small numbers without nulls. No index is unique: which of several rows is refused first would depend on
/// a plan.
const SETUP: &str =
    "CREATE TABLE t (n int NOT NULL, i int, b bigint, c text, d numeric(12,3), e boolean, f date);
CREATE TABLE s (k int NOT NULL, i int, c text, e boolean);
CREATE INDEX ON t (n);
CREATE INDEX ON t (i, c DESC);
CREATE INDEX ON t (b DESC NULLS LAST, d);
CREATE INDEX ON t (c NULLS FIRST) INCLUDE (n);
CREATE INDEX ON t (d, lower(c));
CREATE INDEX ON t (e, f DESC);
CREATE INDEX ON s (k, i);
CREATE INDEX ON s (c);
CREATE TABLE l (n int, v text, w text COMPRESSION lz4, x text COMPRESSION pglz);
ALTER TABLE l ALTER v SET STORAGE EXTERNAL, ALTER x SET STORAGE MAIN;
CREATE INDEX ON l (n);
";

fn statement(random: &mut Random, text: &mut String) {
    match random.below(25) {
        24 => long(random, text),
        20 | 21 => ordered(random, text),
        22 => ends(random, text),
        23 => {
            if random.one_in(2) {
                // What everybody sees is read of indexes alone.
                let _ = writeln!(text, "VACUUM {};", random.pick(&["t", "s"]));
                return;
            }
            let names = [
                "enable_indexscan",
                "enable_bitmapscan",
                "enable_indexonlyscan",
                "enable_hashjoin",
                "enable_seqscan",
            ];
            let name = random.pick(&names);
            let _ = writeln!(text, "SET {name} = {};", random.pick(&["on", "on", "off"]));
        }
        0..9 => {
            let mut maker = Maker { random, columns: Vec::new(), may_fail: true };
            let of = ALL[maker.random.below(ALL.len())];
            let depth = maker.random.below(4) + 1;
            let expr = maker.expr(of, depth);
            let _ = writeln!(text, "SELECT {expr} AS x;");
        }
        9..12 => {
            let query = table_query(random);
            let _ = writeln!(text, "{query};");
        }
        12 => {
            let op = random.pick(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            let (one, other) = (column_query(random, &T, "t"), column_query(random, &S, "s"));
            let _ = writeln!(text, "{one} {op} {other} ORDER BY 1;");
        }
        13 | 14 => join(random, text),
        15 | 16 => aggregate(random, text),
        17 => subquery(random, text),
        _ => change(random, text),
    }
}

/// Any condition, or, every other time, comparisons of columns with values, as indexes serve them.
fn condition(random: &mut Random, columns: &[(&'static str, Of)]) -> String {
    let mut maker = Maker { random, columns: columns.into(), may_fail: false };
    if maker.random.one_in(2) {
        return maker.expr(Of::Bool, 3);
    }
    let mut parts = Vec::new();
    for _ in 0..=maker.random.below(3) {
        let (column, of) = columns[maker.random.below(columns.len())];
        let op = maker.random.pick(&["=", "=", "<", "<=", ">", ">=", "<>"]);
        let value = maker.literal(of);
        parts.push(match maker.random.below(12) {
            0..3 => format!("{value} {op} {column}"),
            3 => {
                let values = [(); 3].map(|()| maker.literal(of)).join(", ");
                format!("{column} IN ({values})")
            }
            4 => format!("({column} = {value} OR {column} = {})", maker.literal(of)),
            5 => {
                let (other, of) = columns[maker.random.below(columns.len())];
                format!("({column} = {value} OR {other} = {})", maker.literal(of))
            }
            6 => format!("{column} IS {}NULL", maker.random.pick(&["", "", "NOT "])),
            7 if of == Of::Text => {
                let patterns = ["a%", "A_c", "x\\_%", "%", "b %", "Zz", "-_", "it%"];
                format!("{column} LIKE '{}'", maker.random.pick(&patterns))
            }
            7 if of == Of::Bool => format!("{}{column}", maker.random.pick(&["", "NOT "])),
            8 if matches!(of, Of::Int | Of::Big) => {
                let given = maker.random.pick(&["k", "i", "k + 3"]).to_owned();
                format!(
                    "{column} IN (SELECT x.{given} FROM s x WHERE x.i > {})",
                    maker.literal(Of::Int)
                )
            }
            _ => format!("{column} {op} {value}"),
        });
    }
    parts.join(if maker.random.one_in(6) { " OR " } else { " AND " })
}

fn table_query(random: &mut Random) -> String {
    let condition = condition(random, &T);
    let mut maker = Maker { random, columns: T.into(), may_fail: false };
    let mut exprs = vec!["t.n AS n".to_owned()];
    for number in 0..=maker.random.below(3) {
        let of = ALL[maker.random.below(ALL.len())];
        exprs.push(format!("{} AS x{number}", maker.expr(of, 2)));
    }
    let limit = match maker.random.below(4) {
        0 => format!(" LIMIT {}", maker.random.below(6)),
        1 => format!(" OFFSET {}", maker.random.below(6)),
        _ => String::new(),
    };
    let order = maker.expr(Of::Int, 1);
    format!("SELECT {} FROM t WHERE {condition} ORDER BY {order} + 0, n{limit}", exprs.join(", "))
}

/// The keys of indexes, in their order.
const KEYS: [&[(&str, Of, &str)]; 6] = [
    &[("t.n", Of::Int, "")],
    &[("t.i", Of::Int, ""), ("t.c", Of::Text, " DESC")],
    &[("t.b", Of::Big, " DESC NULLS LAST"), ("t.d", Of::Numeric, "")],
    &[("t.c", Of::Text, " NULLS FIRST")],
    &[("t.d", Of::Numeric, ""), ("lower(t.c)", Of::Text, "")],
    &[("t.e", Of::Bool, ""), ("t.f", Of::Date, " DESC")],
];

/// Rows in an order that an index may have, with nothing in them but what they are ordered by.
fn ordered(random: &mut Random, text: &mut String) {
    let key = KEYS[random.below(KEYS.len())];
    let mut conditions = Vec::new();
    if random.one_in(2) {
        conditions.push(condition(random, &T));
    }
    let mut maker = Maker { random, columns: T.into(), may_fail: false };
    let key = &key[..=maker.random.below(key.len())];
    let is_backward = maker.random.one_in(2);
    let is_any = maker.random.one_in(5);
    let mut order = Vec::new();
    for (at, (column, of, direction)) in key.iter().enumerate() {
        if maker.random.one_in(if at == 0 { 3 } else { 6 }) {
            let op = maker.random.pick(&["=", "=", ">", "<="]);
            conditions.push(format!("{column} {op} {}", maker.literal(*of)));
        }
        let opposite = match *direction {
            "" => " DESC",
            " DESC" => "",
            " DESC NULLS LAST" => " NULLS FIRST",
            _ => " DESC NULLS LAST",
        };
        let direction = match is_any {
            true => maker.random.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]),
            false if is_backward => opposite,
            false => direction,
        };
        order.push(format!("{column}{direction}"));
    }
    let columns: Vec<&str> = key.iter().map(|(column, _, _)| *column).collect();
    let condition = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let limit = match maker.random.below(3) {
        0 => String::new(),
        _ => format!(" LIMIT {}", maker.random.below(9)),
    };
    let (columns, order) = (columns.join(", "), order.join(", "));
    let _ = writeln!(text, "SELECT {columns} FROM t{condition} ORDER BY {order}{limit};");
}

/// The least and the greatest of what indexes are on.
fn ends(random: &mut Random, text: &mut String) {
    let key = KEYS[random.below(KEYS.len())];
    let condition = condition(random, &T);
    let where_ = if random.one_in(2) { format!(" WHERE {condition}") } else { String::new() };
    let calls = key.iter().filter(|(_, of, _)| *of != Of::Bool);
    let call = |(column, _, _): &(&str, Of, &str)| format!("min({column}), max({column})");
    let calls: Vec<String> = calls.map(call).take(random.below(2) + 1).collect();
    let _ = writeln!(text, "SELECT {} FROM t{where_};", calls.join(", "));
}

fn column_query(random: &mut Random, columns: &[(&'static str, Of)], table: &str) -> String {
    let mut maker = Maker { random, columns: columns.into(), may_fail: false };
    format!("SELECT {} FROM {table} WHERE {}", maker.expr(Of::Int, 2), maker.expr(Of::Bool, 2))
}

fn join(random: &mut Random, text: &mut String) {
    let kind = random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN"]);
    let columns: Vec<(&'static str, Of)> = T.into_iter().chain(S).collect();
    let mut maker = Maker { random, columns, may_fail: false };
    let equal = |maker: &mut Maker<'_>| {
        let pairs = [
            "t.i = s.i",
            "t.n = s.k",
            "s.c = t.c",
            "t.i = s.k",
            "s.i = t.b",
            "t.n > s.k",
            // No index is on one of these.
            "s.i + 0 = t.n + 0",
            "t.d + 0 = s.i + 0.00",
            "lower(s.c) = t.c || ''",
            "(t.e AND true) = (s.e OR false)",
            "t.i + 1 = s.k + 1 AND t.c || '' = s.c || ''",
        ];
        maker.random.pick(&pairs).to_owned()
    };
    let mut on = match kind {
        "CROSS JOIN" => String::new(),
        _ => format!(" ON {}", equal(&mut maker)),
    };
    // A full join is one of equal columns alone.
    if matches!(kind, "LEFT JOIN" | "RIGHT JOIN") && maker.random.one_in(3) {
        let _ = write!(on, " AND {}", maker.expr(Of::Bool, 1));
    }
    if kind == "FULL JOIN" {
        on = on.replace('>', "=");
    }
    let of = ALL[maker.random.below(ALL.len())];
    let expr = maker.expr(of, 2);
    let mut conditions = Vec::new();
    if kind == "CROSS JOIN" && !maker.random.one_in(4) {
        conditions.push(equal(&mut maker));
    }
    let Maker { random, columns, .. } = maker;
    conditions.push(condition(random, &columns));
    let (one, other) = if random.one_in(2) { ("t", "s") } else { ("s", "t") };
    let mut from = match kind {
        "CROSS JOIN" => format!("{one}, {other}"),
        _ => format!("{one} {kind} {other}{on}"),
    };
    if random.one_in(4) {
        let third = random.pick(&["r.k = s.i", "r.k = t.i", "r.c = t.c", "r.i = s.k"]);
        if kind == "CROSS JOIN" || random.one_in(2) {
            let kind = random.pick(&["JOIN", "LEFT JOIN"]);
            // Behind a comma it sees what stands last alone.
            let third = match other {
                _ if !from.contains(',') => third,
                "t" => "r.k = t.i",
                _ => "r.k = s.i",
            };
            let _ = write!(from, " {kind} s r ON {third}");
        } else {
            from = format!("s r, {from}");
            conditions.push(third.to_owned());
        }
        let _ = writeln!(
            text,
            "SELECT t.n, s.k, r.k AS r, {expr} AS x FROM {from} WHERE {} ORDER BY 1, 2, 3 LIMIT 40;",
            conditions.join(" AND ")
        );
        return;
    }
    let _ = writeln!(
        text,
        "SELECT t.n, s.k, {expr} AS x FROM {from} WHERE {} ORDER BY 1, 2 LIMIT 40;",
        conditions.join(" AND ")
    );
}

fn aggregate(random: &mut Random, text: &mut String) {
    let mut maker = Maker { random, columns: T.into(), may_fail: false };
    let of = ALL[maker.random.below(ALL.len())];
    let key = maker.expr(of, 1);
    let number = maker.expr(Of::Int, 1);
    let (decimal, condition) = (maker.expr(Of::Numeric, 1), maker.expr(Of::Bool, 2));
    let distinct = maker.random.pick(&["", "DISTINCT "]);
    let calls = format!(
        "count(*) AS a, count({distinct}{number}) AS b, sum({distinct}{number}) AS c, min({decimal}) AS d, \
         avg({number}) AS e, max(t.c) AS f, sum({decimal}) FILTER (WHERE {condition}) AS g"
    );
    if maker.random.one_in(4) {
        let _ = writeln!(text, "SELECT {calls} FROM t WHERE {condition};");
    } else if maker.random.one_in(4) {
        // What an index has of all rows.
        let columns = ["t.n", "t.i", "t.b", "t.c", "t.d", "t.e", "t.f"];
        let [one, other] = [(); 2].map(|()| maker.random.pick(&columns).to_owned());
        let calls = [
            "count(*)".to_owned(),
            format!("count({one})"),
            format!("count({distinct}{one})"),
            format!("count({one}) FILTER (WHERE {one} IS DISTINCT FROM {other})"),
            "sum(t.n)".to_owned(),
            "bool_or(t.e)".to_owned(),
        ];
        let call = &calls[maker.random.below(calls.len())];
        let condition = match maker.random.below(3) {
            0 => format!(" WHERE {one} IS NOT NULL"),
            1 => format!(" WHERE {one} = {other} OR {one} IS NULL"),
            _ => String::new(),
        };
        let _ = writeln!(text, "SELECT count(*), {call} AS x FROM t{condition};");
    } else {
        let having = maker.random.pick(&["", " HAVING count(*) > 1", " HAVING bool_or(t.e)"]);
        let _ = writeln!(
            text,
            "SELECT {key} AS k, {calls} FROM t GROUP BY {key}{having} ORDER BY 1, 2, 3, 4, 5, 6, 7;"
        );
    }
}

fn subquery(random: &mut Random, text: &mut String) {
    let inner: Vec<(&'static str, Of)> =
        S.into_iter().chain([("t.i", Of::Int), ("t.c", Of::Text)]).collect();
    let mut maker = Maker { random, columns: inner, may_fail: false };
    let (expr, condition) = (maker.expr(Of::Int, 1), maker.expr(Of::Bool, 2));
    let equal =
        maker.random.pick(&["s.k = t.n", "s.c = t.c", "s.k = t.i AND s.i > t.n"]).to_owned();
    let test = match maker.random.below(7) {
        5 => format!("EXISTS (SELECT 1 FROM s WHERE {equal} AND {condition})"),
        6 => format!("NOT EXISTS (SELECT 1 FROM s WHERE {equal} AND {condition})"),
        0 => format!("t.i IN (SELECT {expr} FROM s WHERE {condition})"),
        1 => format!("t.i NOT IN (SELECT {expr} FROM s WHERE {condition})"),
        2 => format!("EXISTS (SELECT 1 FROM s WHERE {condition})"),
        3 => format!("t.n > (SELECT count(*) FROM s WHERE {condition})"),
        _ => format!("t.i >= ALL (SELECT {expr} FROM s WHERE {condition})"),
    };
    let _ = writeln!(
        text,
        "SELECT n, (SELECT sum(s.k + {expr}) FROM s WHERE {condition}) AS x FROM t WHERE {test} ORDER BY n;"
    );
}

/// A change of long values, which stays or is undone, and what it left.
fn long(random: &mut Random, text: &mut String) {
    let value = |random: &mut Random| {
        let word = random.pick(&["a", "bc", "def", "some words ", "äö€"]);
        let count = random.pick(&["3", "40", "700", "1900", "2100", "9000"]);
        format!("repeat('{word}', {count})")
    };
    let (n, column) = (random.below(9), random.pick(&["v", "w", "x"]));
    let [one, other, third] = [(); 3].map(|()| value(random));
    let change = match random.below(7) {
        0..3 => format!("INSERT INTO l VALUES ({n}, {one}, {other}, {third})"),
        3 => format!("UPDATE l SET {column} = right({column} || {one}, 30000) WHERE n <= {n}"),
        4 => format!("UPDATE l SET n = n + 1 WHERE n = {n}"),
        5 => format!("UPDATE l SET v = w, w = {one}, x = v || {other} WHERE n = {n}"),
        _ => format!("DELETE FROM l WHERE n = {n}"),
    };
    let end = random.pick(&["COMMIT", "COMMIT", "ROLLBACK"]);
    let _ = writeln!(text, "BEGIN;\n{change};\n{end};");
    if random.one_in(4) {
        let _ = writeln!(text, "VACUUM l;");
    }
    let shown = |column| format!("length({column}), left({column}, 9), substr({column}, 1990, 9)");
    let shown = ["v", "w", "x"].map(shown).join(", ");
    // What `v` got of `w` is stored as it was there, and not so in the engine.
    let sizes = ["w", "x"].map(|column| format!("pg_column_size({column})")).join(", ");
    let _ =
        writeln!(text, "SELECT n, {shown}, {sizes} FROM l ORDER BY n, v, w, x, 11, 12 LIMIT 30;");
}

/// A change, what it left, and its undoing.
fn change(random: &mut Random, text: &mut String) {
    let condition = condition(random, &T);
    let mut maker = Maker { random, columns: T.into(), may_fail: false };
    let (number, word) = (maker.expr(Of::Int, 2), maker.expr(Of::Text, 1));
    let statement = match maker.random.below(5) {
        0 => format!("DELETE FROM t WHERE {condition}"),
        3 => format!("DELETE FROM t USING s WHERE s.k = t.i AND {condition}"),
        1 => format!(
            "INSERT INTO t (n, i, c) SELECT t.n + 100, {number}, {word} FROM t WHERE {condition}"
        ),
        2 => format!("UPDATE t SET i = {number}, c = {word} WHERE {condition}"),
        _ => format!("UPDATE t SET i = s.i + t.i, c = s.c FROM s WHERE s.k = t.n AND {condition}"),
    };
    let _ = writeln!(text, "BEGIN;\n{statement};\nSELECT * FROM t ORDER BY n, i, c;\nROLLBACK;");
}
