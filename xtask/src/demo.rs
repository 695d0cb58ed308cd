//! `cargo xtask demo`: the embedded engine is killed and recovers (`bank`); a throwaway PostgreSQL writes, and `strata` says
//! what its log holds: who wrote it, what it cost, and up to where it is sound. Then the same server is asked in SQL, with
//! the extension loaded, about its own log and the engine's.
//!
//! The server's workload is the same every time (one session, no autovacuum), so what is printed of it differs between runs
//! in times and little else.

mod bank;
mod shown;

use anyhow::{Context, Result};

use self::shown::{Shown, Strata, ask};

use crate::extension::{Extension, PgConfig};
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::workspace::{self, Profile};

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
    let strata = workspace::build_strata(Profile::Release)?;
    let installation = Installation::Debian15;
    let pg_config = PgConfig::of(installation)?;
    let extension = Extension::build(&pg_config)?;

    let settings = [("autovacuum", "off"), ("wal_keep_size", "1GB"), ("checkpoint_timeout", "1h")];
    let mut cluster = Cluster::create(installation, &["--data-checksums"], &settings)?;
    extension.stage_for(&pg_config, &mut cluster)?;
    let engine = bank::run(&strata, &cluster)?;

    title("A throwaway PostgreSQL works; WAL written by each step:");
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

    let wal = Strata { program: &strata, directory: cluster.data_dir() };
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
    bank::look_from_sql(&cluster, &engine)?;
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
