//! Values that nobody should pass: for each type of argument NULL, the extremes, and what is there but not meant.

use fastrand::Rng;

/// A value of a type, as an SQL expression. Of a type that is not known here: NULL.
pub(super) fn hostile(sql_type: &str, random: &mut Rng) -> String {
    if random.u64(..8) == 0 {
        // As a subquery, so that a strict function is called, and not left out by the planner.
        return format!("(SELECT NULL::{sql_type})");
    }
    let quoted = |values: &[&str], random: &mut Rng| {
        format!("'{}'::{sql_type}", values[random.usize(..values.len())])
    };
    match sql_type {
        "pg_lsn" => lsn(random),
        "smallint" => quoted(&["0", "1", "-1", "32767", "-32768", "3"], random),
        "integer" => quoted(&["0", "1", "-1", "2147483647", "-2147483648", "33", "7"], random),
        "bigint" => quoted(
            &[
                "0",
                "1",
                "-1",
                "2",
                "9223372036854775807",
                "-9223372036854775808",
                "4294967296",
                "16777216",
                "1073741824",
                "15",
            ],
            random,
        ),
        "boolean" => quoted(&["true", "false"], random),
        "text" => text(random),
        "regclass" | "oid" => {
            let relations = [
                "SELECT 0",
                "SELECT 4294967295",
                "SELECT oid FROM hostile.dropped",
                "SELECT oid FROM hostile.of_others",
                "SELECT 16384",
            ];
            match random.u64(..3) {
                0 => format!("({})::oid::{sql_type}", relations[random.usize(..5)]),
                _ => format!(
                    "(SELECT oid FROM pg_class WHERE relname NOT LIKE 'pg\\_%' OR oid % 17 = 0 ORDER BY oid OFFSET {} LIMIT 1)::oid::{sql_type}",
                    random.u64(..40)
                ),
            }
        }
        "tid" => match random.u64(..3) {
            0 => quoted(
                &["(0,0)", "(4294967295,65535)", "(0,65535)", "(4294967294,1)", "(1,2048)"],
                random,
            ),
            _ => format!("'({},{})'::tid", random.u64(..5), random.u64(..300)),
        },
        "timestamp with time zone" => quoted(
            &[
                "infinity",
                "-infinity",
                "epoch",
                "now",
                "4713-01-01 00:00:00 BC",
                "294276-12-31 23:59:59",
                "yesterday",
                "2000-01-01",
            ],
            random,
        ),
        "interval" => quoted(
            &[
                "0",
                "-1 day",
                "1 microsecond",
                "178000000 years",
                "-178000000 years",
                "1 month",
                "1 second",
                "1 day -1 month",
            ],
            random,
        ),
        "text[]" => quoted(
            &[
                "{}",
                "{NULL}",
                "{directory=/etc}",
                "{timeline=99999999999}",
                "{a}",
                "{rows=,rows=blocks}",
                "{{a=b},{c=d}}",
            ],
            random,
        ),
        "xid" => quoted(&["0", "1", "2", "3", "4294967295", "2147483648"], random),
        _ => format!("NULL::{sql_type}"),
    }
}

/// Positions: before the log, in segments that are gone, in it, inside records, at its end, in the future.
fn lsn(random: &mut Rng) -> String {
    const FIXED: [&str; 8] =
        ["0/0", "0/1", "0/1FFF", "0/2000", "0/1000028", "FFFFFFFF/FFFFFFFF", "FFFFFFFF/0", "1/0"];
    let offset = random.u64(..) % (1 << (1 + random.u64(..28)));
    match random.u64(..5) {
        0 => format!("'{}'::pg_lsn", FIXED[random.usize(..8)]),
        1 => format!("(pg_current_wal_lsn() + {offset}::numeric)"),
        2 => format!(
            "('0/0'::pg_lsn + (pg_current_wal_lsn() - '0/0') * 0.{:03})",
            random.u64(..1000)
        ),
        _ => format!("greatest(pg_current_wal_lsn() - {offset}::numeric, '0/0')"),
    }
}

fn text(random: &mut Rng) -> String {
    const TEXTS: [&str; 18] = [
        "''",
        "'x'",
        "repeat('x', 1000000)",
        "'/'",
        "'/etc'",
        "'/etc/passwd'",
        "'../../../etc/passwd'",
        "'/dev/zero'",
        "'/nowhere'",
        "E'\\x01\\x7f\\n'",
        "'%s%n'",
        "U&'\\+01F600'",
        "current_setting('data_directory')",
        "current_setting('data_directory') || '/pg_wal'",
        "current_setting('data_directory') || '/base'",
        "'000000010000000000000001'",
        "'FFFFFFFFFFFFFFFFFFFFFFFF'",
        "'00000001000000000000000G'",
    ];
    match random.u64(..4) {
        0 => "pg_walfile_name(pg_current_wal_lsn())".into(),
        1 => format!(
            "(SELECT name FROM pg_ls_waldir() ORDER BY name OFFSET {} LIMIT 1)",
            random.u64(..20)
        ),
        _ => TEXTS[random.usize(..18)].into(),
    }
}

/// A value that makes a call cheap: positions are near the end of the log, rising from argument to argument.
pub(super) fn cheap(sql_type: &str, place: usize, random: &mut Rng) -> String {
    match sql_type {
        "pg_lsn" if place == 0 => "hostile.near_end()".into(),
        "pg_lsn" => "pg_current_wal_flush_lsn()".into(),
        _ => hostile(sql_type, random),
    }
}
