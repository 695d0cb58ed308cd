//! `cargo xtask sql`: scripts of SQL run by psql on a throwaway server of PostgreSQL 15; what it prints is what `strata sql`
//! must print.
//!
//! ```text
//! sql/tests/scripts/NAME.sql ──► psql ──► NAME.out, in the tree: the tests of the crate hold the engine against it
//! random queries, by a seed  ──► psql ──┐
//!                            ──► strata sql --mode ... ──► equal?
//! ```
//!
//! Of what psql prints, places in the server's source and in the text of a statement (`LOCATION`, `LINE`) and the names of
//! objects that an error carries beside its message are left out; so is `CONTEXT`.

mod random;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::installation::Installation;
use crate::process;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::workspace::{self, Profile};

/// What the server is told: nothing of it depends on when it runs.
const SETTINGS: [(&str, &str); 3] =
    [("autovacuum", "off"), ("max_prepared_transactions", "10"), ("statement_timeout", "120s")];

/// The modes in which the engine runs random queries.
const MODES: [&str; 2] = ["classic", "commit-ts"];

/// Where the scripts are, from the root of the tree.
const SCRIPTS: &str = "sql/tests/scripts";

/// What `cargo xtask sql` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// These scripts alone, by name, and no random queries.
    #[arg(value_name = "SCRIPT")]
    scripts: Vec<String>,

    /// Write what the server prints into the tree.
    #[arg(long)]
    write: bool,

    /// So many random statements.
    #[arg(long, value_name = "N", default_value_t = SHORT)]
    random: u32,

    /// The seed of random statements.
    #[arg(long, value_name = "SEED", default_value_t = 15)]
    seed: u64,
}

/// How many random statements `cargo xtask test` runs.
const SHORT: u32 = 2000;

/// `cargo xtask sql`
pub(crate) fn sql(arguments: &Arguments) -> Result<()> {
    let cluster = start()?;
    scripts(&cluster, &arguments.scripts, arguments.write)?;
    if arguments.scripts.is_empty() && !arguments.write {
        let strata = workspace::build_strata(Profile::Dev)?;
        compare_random(&cluster, &strata, arguments.random, arguments.seed)?;
    }
    stop(cluster)
}

/// The stage of `cargo xtask test`.
pub(crate) fn compare(strata: &Path) -> Result<()> {
    let cluster = start()?;
    scripts(&cluster, &[], false)?;
    compare_random(&cluster, strata, SHORT, 15)?;
    stop(cluster)
}

fn start() -> Result<Cluster> {
    setup::ensure_installed(&Needs::TESTS)?;
    let mut cluster = Cluster::create(Installation::Debian15, &[], &SETTINGS)?;
    cluster.start()?;
    Ok(cluster)
}

fn stop(mut cluster: Cluster) -> Result<()> {
    cluster.stop(Shutdown::Fast)
}

/// Holds what the server prints against what is in the tree, or puts it there.
fn scripts(cluster: &Cluster, only: &[String], write: bool) -> Result<()> {
    let directory = workspace::directory().join(SCRIPTS);
    let mut differing = Vec::new();
    let mut statements = 0;
    let names = names(&directory, only)?;
    for name in &names {
        let script = directory.join(format!("{name}.sql"));
        let printed = by_server(cluster, &script)?;
        statements += printed.lines().filter(|line| line.ends_with(';')).count();
        let golden = directory.join(format!("{name}.out"));
        if write {
            fs::write(&golden, &printed)?;
        } else if !fs::read_to_string(&golden).is_ok_and(|golden| golden == printed) {
            differing.push(name.as_str());
        }
    }
    ensure!(
        differing.is_empty(),
        "the server prints something else for {} (write it: cargo xtask sql --write)",
        differing.join(", ")
    );
    println!(
        "xtask: sql: {} scripts, {statements} statements, as the server prints them",
        names.len()
    );
    Ok(())
}

/// The scripts of the tree.
fn names(directory: &Path, only: &[String]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            && (only.is_empty() || only.iter().any(|wanted| wanted == name))
        {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    ensure!(names.len() >= only.len().max(1), "there is no such script in {}", directory.display());
    Ok(names)
}

/// What psql prints for a script, in a database of its own.
fn by_server(cluster: &Cluster, script: &Path) -> Result<String> {
    cluster.psql("DROP DATABASE IF EXISTS script")?;
    cluster.psql("CREATE DATABASE script TEMPLATE template0")?;
    let mut psql = cluster.client("psql")?;
    psql.env("PGDATABASE", "script");
    psql.args(["--no-psqlrc", "--echo-all", "--no-align", "--pset=null=(null)"]);
    psql.args(["--set=VERBOSITY=verbose", "--set=SHOW_CONTEXT=never"]);
    let mut both = tempfile::tempfile()?;
    psql.stdin(fs::File::open(script)?).stdout(both.try_clone()?).stderr(both.try_clone()?);
    let status = psql.status().context("cannot run psql")?;
    ensure!(status.success(), "psql does not run {}", script.display());
    both.seek(SeekFrom::Start(0))?;
    let printed = std::io::read_to_string(both)?;
    Ok(without_places(&printed))
}

/// Without what says where in which source an error is from.
fn without_places(printed: &str) -> String {
    let left_out = [
        "LOCATION:  ",
        "SCHEMA NAME:  ",
        "TABLE NAME:  ",
        "COLUMN NAME:  ",
        "DATATYPE NAME:  ",
        "CONSTRAINT NAME:  ",
        "QUERY:  ",
    ];
    let mut kept = String::with_capacity(printed.len());
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        let is_place = line
            .strip_prefix("LINE ")
            .and_then(|rest| rest.split_once(": "))
            .is_some_and(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        if is_place {
            // The line below it points into it.
            lines.next();
        } else if !left_out.iter().any(|prefix| line.starts_with(prefix)) {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Random statements, by the server and by the engine in each mode.
fn compare_random(cluster: &Cluster, strata: &Path, count: u32, seed: u64) -> Result<()> {
    let directory = workspace::target_directory()?.join("sql");
    fs::create_dir_all(&directory)?;
    let script = directory.join("random.sql");
    fs::write(&script, random::script(count, seed))?;
    let expected = by_server(cluster, &script)?;
    for mode in MODES {
        let printed = by_engine(strata, &script, mode)?;
        if printed != expected {
            let (theirs, ours) = (directory.join("server.out"), directory.join("engine.out"));
            fs::write(&theirs, &expected)?;
            fs::write(&ours, &printed)?;
            let mut diff = process::command("diff");
            diff.arg("--unified=6").arg(&theirs).arg(&ours);
            let _ = process::run_shown(&mut diff);
            anyhow::bail!(
                "of random statements (seed {seed}) the engine in mode {mode} makes something else"
            );
        }
    }
    let failed = expected.lines().filter(|line| line.starts_with("ERROR:")).count();
    println!(
        "xtask: sql: {count} random statements are equal, {failed} of them errors (seed {seed})"
    );
    Ok(())
}

/// What `strata sql` prints for a script, in a data directory of its own.
fn by_engine(strata: &Path, script: &Path, mode: &str) -> Result<String> {
    let place = tempfile::tempdir()?;
    let data = place.path().join("data");
    process::run(process::command(strata).arg("init").arg(&data))?;
    let mut command = process::command(strata);
    command.args([
        "sql",
        "--sync-method",
        "none",
        "--mode",
        mode,
        "--echo-all",
        "--null",
        "(null)",
    ]);
    command.args(["--verbosity", "verbose", "--file"]).arg(script).arg("--pgdata").arg(&data);
    command.stdin(Stdio::null());
    let output = process::run(&mut command)?;
    std::io::stderr().write_all(&output.stderr)?;
    String::from_utf8(output.stdout).context("strata sql printed what is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_left_out_and_nothing_else() {
        let printed = "SELECT x;\nERROR:  42703: column \"x\" does not exist\nLINE 1: SELECT x;\n               ^\n\
                       HINT:  none\nLOCATION:  errorMissingColumn, parse_relation.c:3656\nLINE up: here\n";
        let kept =
            "SELECT x;\nERROR:  42703: column \"x\" does not exist\nHINT:  none\nLINE up: here\n";
        assert_eq!(without_places(printed), kept);
    }
}
