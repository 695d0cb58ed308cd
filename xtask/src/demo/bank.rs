//! The first half of the demonstration: the embedded engine moves money, is killed in the middle, and has lost nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::shown::{Shown, Strata, ask, print_last};
use super::title;
use crate::process;
use crate::server::Cluster;

/// Runs it in a directory beside the server's, which it gives: there the server's own tools can look at it.
pub(super) fn run(program: &Path, cluster: &Cluster) -> Result<PathBuf> {
    let engine = Strata { program, directory: cluster.make_directory("engine")? };
    title("The embedded engine: four sessions move money for two seconds, each commit durable.");
    let run = ["run", "bank", "--dir", "bank", "--mode", "commit-ts", "--sessions", "4"];
    engine.show_all(&[&run[..], &["--seconds", "2"]].concat(), 1, false)?;
    title("Again, and this time it is killed in the middle of its transactions, as kill -9 does:");
    engine.show_all(&[&run[..], &["--seconds", "1", "--crash"]].concat(), 0, true)?;
    title(
        "Recovery: PostgreSQL's records, redone from the last checkpoint. Then the invariant, account by account:",
    );
    engine.show_all(&["recover", "--pgdata", "bank"], 1, false)?;
    engine.show_all(&[&run[..], &["--seconds", "0"]].concat(), 1, false)?;
    title("What PostgreSQL 15's own tools say of the directory:");
    let bank = engine.directory.join("bank");
    fs::write(engine.directory.join("bank.sql"), engine.output(&["dump", "--pgdata", "bank"])?)?;
    cluster.give_all_to_server(&engine.directory)?;
    let mut checksums = cluster.command("pg_checksums")?;
    checksums.args(["--check", "--pgdata"]).arg(&bank);
    println!("  $ pg_checksums --check --pgdata bank");
    print_last(&String::from_utf8_lossy(&process::run(&mut checksums)?.stdout), 4);
    let mut controldata = cluster.command("pg_controldata")?;
    println!("  $ pg_controldata bank | grep -E 'state|Latest checkpoint location|NextXID'");
    let said = process::run(controldata.arg(&bank))?.stdout;
    for line in String::from_utf8_lossy(&said).lines() {
        if ["cluster state", "checkpoint location", "NextXID"]
            .iter()
            .any(|part| line.contains(part))
        {
            println!("  {line}");
        }
    }
    title("Its log is PostgreSQL's: the last records, by strata, as pg_waldump would print them.");
    let segment = format!("bank/pg_wal/{}", oldest_segment(&bank)?);
    engine.show(&["waldump", &segment], Shown::Last(3))?;
    Ok(engine.directory)
}

/// The engine's tables and its log, in a server that runs.
pub(super) fn look_from_sql(cluster: &Cluster, directory: &Path) -> Result<()> {
    title("The engine's tables, dumped as SQL (strata dump -D bank), and taken in by PostgreSQL:");
    cluster.psql("CREATE SCHEMA bank")?;
    let mut psql = cluster.client("psql")?;
    psql.env("PGOPTIONS", "--search_path=bank");
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file"]);
    process::run(psql.arg(directory.join("bank.sql")))?;
    ask(cluster, "SELECT count(*) AS accounts, sum(balance) FROM bank.account;")?;
    title("And the engine's log as a table, in SQL:");
    ask(
        cluster,
        &format!(
            "CREATE FOREIGN TABLE engine_log (resource_manager text, record_type text, record_length int4)\n    \
                 SERVER pgstrata OPTIONS (directory '{}', rows 'records');",
            directory.join("bank").display()
        ),
    )?;
    ask(
        cluster,
        "SELECT resource_manager, record_type, count(*), sum(record_length) AS bytes\n\
         FROM engine_log GROUP BY 1, 2 ORDER BY bytes DESC LIMIT 5;",
    )
}

/// The oldest segment of the log that is left.
fn oldest_segment(bank: &Path) -> Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(bank.join("pg_wal"))? {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.retain(|name| name.len() == 24);
    names.into_iter().min().context("the engine has no log")
}
