//! `cargo xtask demo`: a throwaway PostgreSQL writes, and `strata` says what its log holds: who wrote it, what it cost,
//! and up to where it is sound. Then the same server is asked in SQL, with the extension loaded.
//!
//! The workload is the same every time (one session, no autovacuum), so what is printed differs between runs in times
//! and little else.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::extension::{Extension, PgConfig};
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// One step of the workload: what is said about it, and what runs.
#[derive(Debug)]
struct Step {
    told: &'static str,
    sql: &'static str,
}

const PREPARATION: [Step; 3] = [
    Step {
        told: "50,000 accounts in bulk (COPY)",
        sql: "CREATE TABLE account (id int4, branch int4, balance int8, owner text);
              COPY (SELECT i, i % 100, 1000, 'owner ' || i FROM generate_series(1, 50000) AS i)
                  TO PROGRAM 'cat > accounts.txt';
              COPY account FROM PROGRAM 'cat accounts.txt; rm accounts.txt';",
    },
    Step {
        told: "two indexes on them",
        sql: "ALTER TABLE account ADD CONSTRAINT account_pkey PRIMARY KEY (id);
              CREATE INDEX account_branch ON account (branch);
              CREATE TABLE history (account int4, amount int8, at timestamptz);",
    },
    Step {
        told: "a checkpoint: the next change of each page logs the whole page",
        sql: "VACUUM account; CHECKPOINT;",
    },
];

/// Written between the two positions that are looked at.
const WORKLOAD: [Step; 4] = [
    Step {
        told: "2,000 transfers, a transaction each: two UPDATEs and an INSERT",
        sql: "DO $$
              BEGIN
                  FOR i IN 1..2000 LOOP
                      UPDATE account SET balance = balance - 10 WHERE id = 1 + i * 7919 % 50000;
                      UPDATE account SET balance = balance + 10 WHERE id = 1 + i * 104729 % 50000;
                      INSERT INTO history VALUES (1 + i * 7919 % 50000, 10, now());
                      COMMIT;
                  END LOOP;
              END $$;",
    },
    Step {
        told: "interest for a branch in five, in one transaction",
        sql: "UPDATE account SET balance = balance + balance / 50 WHERE branch % 5 = 0;",
    },
    Step {
        told: "the same for the others, rolled back (it costs as much)",
        sql: "BEGIN; UPDATE account SET balance = balance + balance / 50 WHERE branch % 5 <> 0; ROLLBACK;",
    },
    Step {
        told: "one account closed",
        sql: "BEGIN; DELETE FROM account WHERE id = 4711; INSERT INTO history VALUES (4711, 0, now()); COMMIT;",
    },
];

/// A question in SQL: what is asked, and the query; `{start}` and `{end}` are the positions that are looked at.
#[derive(Debug)]
struct Question {
    asked: &'static str,
    sql: &'static str,
}

const QUESTIONS: [Question; 5] = [
    Question {
        asked: "Which table makes the log grow, with its indexes?",
        sql: "SELECT \"table\", records, table_size, index_size, fpi_size, combined_size\n\
              FROM strata.wal_stats_by_table('{start}', '{end}') LIMIT 3;",
    },
    Question {
        asked: "What did each transaction cost, what did it touch, and how did it end?",
        sql: "SELECT xid, outcome, records, combined_size, relations\n\
              FROM strata.wal_stats_by_transaction('{start}', '{end}', 3);",
    },
    Question {
        asked: "Why were whole pages logged?",
        sql: "SELECT relation, fpi_count, first_touch_fpis, hint_bit_fpis, forced_fpis, fpi_size\n\
              FROM strata.wal_stats_by_relation('{start}', '{end}') WHERE fpi_count > 0 LIMIT 3;",
    },
    Question {
        asked: "Who deleted from the table account? (The conditions are decided while reading.)",
        sql: "SELECT start_lsn, xid, relblocknumber, record_type, description FROM strata.wal_block\n\
              WHERE start_lsn >= '{start}' AND end_lsn <= '{end}' AND record_type = 'DELETE'\n    \
                  AND relfilenode = pg_relation_filenode('account');",
    },
    Question {
        asked: "And who still sees that row version?",
        sql: "SELECT ctid, rule, verdict, because FROM strata.explain_visibility('account', (\n    \
                  SELECT format('(%s,%s)', relblocknumber, substring(description FROM 'off (\\d+)'))::tid\n    \
                  FROM strata.wal_block WHERE start_lsn >= '{start}' AND record_type = 'DELETE'\n        \
                      AND relfilenode = pg_relation_filenode('account')))\n\
              WHERE rule IN ('mvcc', 'dirty', 'any', 'vacuum');",
    },
];

/// Runs the demonstration.
pub(crate) fn demo() -> Result<()> {
    setup::ensure_installed(&Needs::EXTENSION)?;
    let strata = workspace::build_strata()?;
    let installation = Installation::Debian15;
    let pg_config = PgConfig::of(installation)?;
    let extension = Extension::build(&pg_config)?;

    title("A throwaway PostgreSQL works; WAL written by each step:");
    let settings = [("autovacuum", "off"), ("wal_keep_size", "1GB"), ("checkpoint_timeout", "1h")];
    let mut cluster = Cluster::create(installation, &["--data-checksums"], &settings)?;
    extension.stage_for(&pg_config, &mut cluster)?;
    cluster.start()?;
    println!("  PostgreSQL {}, in {}", installation.version()?, cluster.data_dir().display());
    run_steps(&cluster, &PREPARATION)?;
    let start = cluster.query_value("SELECT pg_current_wal_insert_lsn()")?;
    println!("  ({start}: from here on we look)");
    run_steps(&cluster, &WORKLOAD)?;
    let end = cluster.query_value("SELECT pg_current_wal_insert_lsn()")?;
    println!("  ({end}: up to here)");
    let names = relation_names(&cluster)?;
    cluster.stop(Shutdown::Fast)?;

    let wal = Strata { program: &strata, data_directory: cluster.data_dir() };
    let range = ["waldump", "-p", "pg_wal", "-s", &start, "-e", &end];
    title("The log, record by record; its last transaction:");
    wal.show(&range, Shown::Last(5))?;
    title("Who wrote it? Bytes by relation:");
    let by_relation = [&range[..], &["--stats=relation"]].concat();
    wal.show(&by_relation, Shown::Columns(11, &[1..15, 33..51, 78..97, 97..121]))?;
    let legend: Vec<String> = names.iter().map(|[path, name]| format!("{path} {name}")).collect();
    println!("  ({})", legend.join(", "));
    title("What did each transaction cost? The dearest:");
    let by_transaction = [&range[..], &["--stats=transaction", "--top=4"]].concat();
    wal.show(&by_transaction, Shown::Columns(7, &[1..30, 48..66, 93..112, 112..136]))?;
    title("Up to where is it sound?");
    wal.show(&["verify", "pg_wal"], Shown::First(20))?;
    title("Inside SQL: the server runs again, with the extension loaded:");
    cluster.start()?;
    ask(&cluster, "CREATE EXTENSION pgstrata;")?;
    for question in &QUESTIONS {
        title(question.asked);
        ask(&cluster, &question.sql.replace("{start}", &start).replace("{end}", &end))?;
    }
    drop(cluster);
    println!("\nThe server is stopped and its directory removed. Next: cargo xtask test");
    Ok(())
}

fn title(text: &str) {
    println!("\n{text}");
}

fn run_steps(cluster: &Cluster, steps: &[Step]) -> Result<()> {
    for step in steps {
        let before = cluster.query_value("SELECT pg_current_wal_insert_lsn()")?;
        cluster.psql(step.sql)?;
        let bytes = cluster.query_value(&format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')"
        ))?;
        println!(
            "  {:<66} {:>9}",
            step.told,
            size(bytes.parse().context("a length that is no number")?)
        );
    }
    Ok(())
}

/// The relations of the workload as the log names them (tablespace/database/file), with their names.
fn relation_names(cluster: &Cluster) -> Result<Vec<[String; 2]>> {
    let rows = cluster.query_tsv(
        "SELECT '1663/' || d.oid || '/' || pg_relation_filenode(c.oid), c.relname
         FROM pg_class AS c, pg_database AS d
         WHERE d.datname = current_database() AND c.relname IN ('account', 'account_pkey', 'account_branch', 'history')
         ORDER BY pg_relation_filenode(c.oid)",
    )?;
    Ok(rows.into_iter().filter_map(|row| row.try_into().ok()).collect())
}

/// Which part of a command's output is shown.
#[derive(Debug, Clone, Copy)]
enum Shown {
    /// So many lines at the beginning.
    First(usize),
    /// So many lines at the end.
    Last(usize),
    /// So many lines at the beginning behind the title, of them these columns (from 1, the last one left out):
    /// all of them are too many for a page.
    Columns(usize, &'static [Range<usize>]),
}

/// The command `strata`, run beside the data.
struct Strata<'a> {
    program: &'a Path,
    data_directory: PathBuf,
}

impl Strata<'_> {
    /// Runs the command and shows it as one can type it, with the part of its output.
    fn show(&self, arguments: &[&str], shown: Shown) -> Result<()> {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(&self.data_directory);
        let output = process::run(&mut command)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        let typed = format!("  $ strata {}", arguments.join(" "));
        match shown {
            Shown::First(count) => {
                println!("{typed}");
                print_lines(lines.iter().take(count).copied());
            }
            Shown::Last(count) => {
                println!("{typed} | tail -n {count}");
                print_lines(lines[lines.len().saturating_sub(count)..].iter().copied());
            }
            Shown::Columns(count, columns) => {
                let list: Vec<String> = columns
                    .iter()
                    .map(|range| format!("{}-{}", range.start, range.end - 1))
                    .collect();
                println!("{typed} | tail -n +2 | cut -c {}", list.join(","));
                for line in lines.iter().take(count).skip(1) {
                    let part = |range: &Range<usize>| {
                        line.get(range.start - 1..line.len().min(range.end - 1)).unwrap_or_default()
                    };
                    println!("  {}", columns.iter().map(part).collect::<String>().trim_end());
                }
            }
        }
        Ok(())
    }
}

/// Shows a query as one can type it, and the answer as psql prints it.
fn ask(cluster: &Cluster, sql: &str) -> Result<()> {
    for (number, line) in sql.lines().enumerate() {
        println!("  {} {line}", if number == 0 { "=#" } else { "-#" });
    }
    let mut psql = cluster.client("psql")?;
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", sql]);
    let output = process::run(&mut psql)?;
    print_lines(String::from_utf8_lossy(&output.stdout).trim_end().lines().map(str::trim_end));
    Ok(())
}

fn print_lines<'a>(lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        println!("  {line}");
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(9_999), "9999 B");
        assert_eq!(size(123_456), "123 kB");
        assert_eq!(size(12_345_678), "12.3 MB");
    }
}
