//! `cargo xtask bench snapshot`: taking and asking snapshots beside PostgreSQL 15's own GetSnapshotData, and ending
//! transactions with the group clear and without it.
//!
//! The peer is a C function (bench/peer) in a throwaway server, in which prepared transactions run, since each is an
//! entry of the server's dense arrays as a session is. What is ours runs as criterion's benchmark and as a program,
//! both of the crate `bench`; its third part writes the report from what these found.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::bench::machine::Machine;
use crate::bench::peer;
use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// What `cargo xtask bench snapshot` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the report goes; its plot lies beside it.
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks/snapshot.md")]
    output: PathBuf,
}

/// How many other transactions run; the same as in bench/src/lib.rs.
const RUNNING: [usize; 5] = [0, 10, 100, 500, 1000];

/// What `snapshot_report` reads; bench/src/snapshot_report.rs has the same fields.
#[derive(Debug, Serialize)]
struct Peer {
    conditions: Vec<[String; 2]>,
    rows: Vec<PeerRow>,
}

#[derive(Debug, Serialize)]
struct PeerRow {
    running: usize,
    reused_ns: f64,
    rebuilt_ns: f64,
}

/// Measures, and writes the report.
pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::SERVER_WITH_HEADERS)?;
    let machine = Machine::before_measuring();
    let directory = workspace::target_directory()?.join("bench-snapshot");
    fs::create_dir_all(&directory)?;
    // Everything is built before anything is measured.
    let package = ["--package", "pgstrata-bench"];
    process::run_shown(workspace::cargo().args(["build", "--release", "--bins"]).args(package))?;
    process::run_shown(
        workspace::cargo().args(["bench", "--no-run", "--bench", "snapshot"]).args(package),
    )?;

    println!("xtask: PostgreSQL's GetSnapshotData");
    let measured = Peer { conditions: conditions(&machine)?, rows: measure_peer()? };
    let peer_file = directory.join("peer.json");
    fs::write(&peer_file, serde_json::to_vec(&measured)?)?;

    println!("xtask: taking and asking snapshots");
    process::run_shown(
        workspace::cargo()
            .args(["bench", "--bench", "snapshot"])
            .args(package)
            .args(["--", "--quiet"]),
    )?;

    println!("xtask: ending transactions");
    let programs = workspace::target_directory()?.join("release");
    let ends = process::run(&mut process::command(programs.join("transaction_end")))?;
    let ends_file = directory.join("transaction_end.jsonl");
    fs::write(&ends_file, ends.stdout)?;

    let output = workspace::directory().join(&arguments.output);
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    let criterion = workspace::target_directory()?.join("criterion");
    let mut report = process::command(programs.join("snapshot_report"));
    process::run_shown(report.arg(&peer_file).arg(&criterion).arg(&ends_file).arg(&output))?;
    println!("xtask: wrote {}", output.display());
    Ok(())
}

fn conditions(machine: &Machine) -> Result<Vec<[String; 2]>> {
    let peer = ("peer", format!("PostgreSQL {}", Installation::Debian15.version()?));
    let rows = machine.rows().into_iter().chain([peer]);
    Ok(rows.map(|(name, value)| [name.to_owned(), value]).collect())
}

fn measure_peer() -> Result<Vec<PeerRow>> {
    let slots = RUNNING[RUNNING.len() - 1] + 10;
    let mut cluster = Cluster::create(
        Installation::Debian15,
        &[],
        &[("max_prepared_transactions", &slots.to_string()), ("autovacuum", "off")],
    )?;
    let library = cluster.make_directory("peer")?.join("get_snapshot_data.so");
    peer::compile("get_snapshot_data.c", &library)?;
    cluster.start()?;
    cluster.psql(&format!(
        "CREATE FUNCTION get_snapshot_data(int8, bool) RETURNS float8 LANGUAGE c STRICT AS '{0}';
         CREATE FUNCTION get_snapshot_length() RETURNS int4 LANGUAGE c AS '{0}';
         CREATE TABLE written (a int4);",
        library.display()
    ))?;
    let mut rows = Vec::new();
    let mut prepared = 0;
    for running in RUNNING {
        let mut sql = String::new();
        while prepared < running {
            prepared += 1;
            sql += &format!(
                "BEGIN; INSERT INTO written VALUES (1); PREPARE TRANSACTION '{prepared}';\n"
            );
        }
        // One more ends, so that all the others are below xmax.
        sql += "INSERT INTO written VALUES (0);";
        cluster.psql(&sql)?;
        let measured = cluster.query_tsv(
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY reused), percentile_disc(0.5) WITHIN GROUP (ORDER BY rebuilt),
                    get_snapshot_length()
             FROM (SELECT get_snapshot_data(200000, true) AS reused, get_snapshot_data(200000, false) AS rebuilt
                   FROM generate_series(1, 9)) AS runs",
        )?;
        let row = measured.first().context("the peer measured nothing")?;
        let number = |column: usize| -> Result<f64> {
            row.get(column)
                .context("a column is missing")?
                .parse()
                .context("a time that is no number")
        };
        ensure!(
            number(2)? as usize == running,
            "the peer's snapshot lists {} of {running}",
            number(2)?
        );
        let (reused_ns, rebuilt_ns) = (number(0)?, number(1)?);
        println!(
            "xtask:   {running} running: {reused_ns:.0} ns reused, {rebuilt_ns:.0} ns rebuilt"
        );
        rows.push(PeerRow { running, reused_ns, rebuilt_ns });
    }
    cluster.stop(Shutdown::Immediate)?;
    Ok(rows)
}
