//! `cargo xtask heap`: the engine's pages, tuples, index entries and redo judged by a PostgreSQL 15 server.
//!
//! ```text
//! server            made rows of every type and every kind of change, logged with images to compare with
//!   ──► evidence    pages, line pointers, tuples as pageinspect shows them; rows; the log
//!   ──► cargo test  engine/tests/server compares, and writes relation files and pages of its own
//!   ──► server      has these in place of an empty table's: SELECT, pg_amcheck, pageinspect, pg_checksums judge
//! ```
//!
//! A server that was stopped cleanly is read and written; files are told apart by the tables' names.

mod indexes;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::installation::Installation;
use crate::server::{Cluster, Shutdown};
use crate::setup::{self, Needs};
use crate::{process, workspace};

const SETTINGS: [(&str, &str); 8] = [
    ("wal_consistency_checking", "heap,heap2,btree"),
    ("full_page_writes", "on"),
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "8GB"),
    ("wal_keep_size", "8GB"),
    ("max_connections", "20"),
    ("synchronous_commit", "off"),
];

/// The SQL that is run, in this order.
const WORKLOAD: &str = include_str!("../heap/workload.sql");
/// What clients run against each other.
const CLIENTS: &str = include_str!("../heap/clients.sql");

/// Tables whose pages and tuples are compared.
const TABLES: [&str; 4] = ["types_a", "types_b", "types_c", "types_d"];
/// Tables that the engine writes, with the columns of `types_a` and so on.
const WRITTEN: [&str; 3] = ["written_a", "written_b", "written_c"];

/// Columns of each table as the bytes that a binary client would get, in hexadecimal; a NULL is `-`.
fn columns(cluster: &Cluster, table: &str) -> Result<String> {
    cluster.query_value(&format!(
        "SELECT string_agg(format('coalesce(encode(%s(%I), ''hex''), ''-'')', t.typsend, a.attname), ', '
                           ORDER BY a.attnum)
           FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
          WHERE a.attrelid = '{table}'::regclass AND a.attnum > 0"
    ))
}

/// `cargo xtask heap`
pub(crate) fn heap() -> Result<()> {
    setup::ensure_installed(&Needs::TESTS)?;
    let mut cluster = Cluster::create(Installation::Debian15, &["--data-checksums"], &SETTINGS)?;
    cluster.start()?;
    cluster.psql("CREATE EXTENSION pageinspect; CREATE EXTENSION amcheck; CHECKPOINT")?;
    let evidence = cluster.make_directory("evidence")?;
    let start = cluster.query_value("SELECT pg_current_wal_insert_lsn()")?;
    work(&cluster, &evidence)?;
    write_evidence(&cluster, &evidence)?;
    indexes::write_evidence(&cluster, &evidence)?;
    let xid = cluster.query_value("SELECT pg_current_xact_id()::xid")?;
    let relations = || WRITTEN.iter().chain(&indexes::WRITTEN);
    let paths = relations()
        .map(|table| cluster.query_value(&format!("SELECT pg_relation_filepath('{table}')")))
        .collect::<Result<Vec<_>>>()?;
    cluster.stop(Shutdown::Fast)?;

    let written = cluster.make_directory("written")?;
    let mut cargo = workspace::cargo();
    cargo.arg("test").args(workspace::TESTED).args(["--test", "server", "--", "--nocapture"]);
    cargo.env("PGSTRATA_HEAP_EVIDENCE", &evidence).env("PGSTRATA_HEAP_WRITTEN", &written);
    cargo.env("PGSTRATA_HEAP_DATA", cluster.data_dir());
    cargo.env("PGSTRATA_HEAP_START", &start).env("PGSTRATA_HEAP_XID", &xid);
    process::run_shown(&mut cargo)?;

    for (relation, path) in relations().zip(&paths) {
        let place = cluster.data_dir().join(path);
        fs::copy(written.join(relation), &place)
            .with_context(|| format!("cannot put the engine's file in the place of {relation}"))?;
    }
    let mut checksums = cluster.command("pg_checksums")?;
    checksums.arg("--check").arg("--pgdata").arg(cluster.data_dir());
    println!("{}", String::from_utf8_lossy(&process::run(&mut checksums)?.stdout).trim());
    cluster.start()?;
    for table in WRITTEN {
        judge(&cluster, &written, table)?;
    }
    judge_pages(&cluster, &written)?;
    indexes::judge(&cluster)?;
    let mut amcheck = cluster.client("pg_amcheck")?;
    let tables = WRITTEN.iter().map(|table| format!("--table={table}"));
    let output = process::run(amcheck.args(tables).arg("postgres"))?;
    ensure!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "pg_amcheck: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    cluster.stop(Shutdown::Fast)?;
    println!("xtask: PostgreSQL 15 reads the engine's pages, and the engine redoes its log");
    Ok(())
}

/// Changes of every kind, by one session and by several at once.
fn work(cluster: &Cluster, directory: &Path) -> Result<()> {
    cluster.psql(WORKLOAD)?;
    cluster.psql(indexes::WORKLOAD)?;
    let script = directory.join("clients.sql");
    fs::write(&script, CLIENTS)?;
    let mut clients = cluster.client("pgbench")?;
    clients.args([
        "--no-vacuum",
        "--client=6",
        "--jobs=2",
        "--transactions=250",
        "--random-seed=15",
    ]);
    clients.args(["--max-tries=20", "--file"]).arg(&script);
    process::run(&mut clients)?;
    cluster.psql("VACUUM rows; UPDATE rows SET n = n + 1 WHERE k % 7 = 0; VACUUM FREEZE rows;")?;
    Ok(())
}

/// What pageinspect, SELECT and COPY say of the tables, and the pages themselves.
fn write_evidence(cluster: &Cluster, directory: &Path) -> Result<()> {
    let [mut pages, mut items, mut rows, mut copied] = [const { String::new() }; 4];
    for table in TABLES {
        let blocks = format!(
            "generate_series(0, pg_relation_size('{table}') / 8192 - 1) AS b(block), \
             LATERAL get_raw_page('{table}', b.block::int) AS raw"
        );
        pages += &cluster.psql(&format!(
            "SELECT '{table}', block, encode(raw, 'hex'), h.lsn, page_checksum(raw, block::int) & 65535,
                    h.checksum & 65535, h.flags, h.lower, h.upper, h.special, h.pagesize, h.version, h.prune_xid
               FROM {blocks}, page_header(raw) AS h"
        ))?;
        items += &cluster.psql(&format!(
            "SELECT '{table}', block, lp, lp_off, lp_flags, lp_len, t_xmin, t_xmax, t_field3, t_ctid,
                    t_infomask2, t_infomask, t_hoff, encode(t_data, 'hex')
               FROM {blocks}, heap_page_items(raw) ORDER BY block, lp"
        ))?;
        let columns = columns(cluster, table)?;
        rows += &cluster.psql(&format!(
            "SELECT '{table}', (ctid::text::point)[0]::int, (ctid::text::point)[1]::int, {columns} FROM {table} ORDER BY {table}.ctid"
        ))?;
        copied +=
            &cluster.psql(&format!("COPY (SELECT * FROM {table} ORDER BY ctid) TO STDOUT"))?;
    }
    let files =
        [("pages.tsv", pages), ("items.tsv", items), ("rows.tsv", rows), ("copied.txt", copied)];
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

/// The server's rows of a table that the engine wrote, and the page headers, against what the engine says of it.
fn judge(cluster: &Cluster, written: &Path, table: &str) -> Result<()> {
    let columns = columns(cluster, table)?;
    let rows = cluster.psql(&format!(
        "SELECT (ctid::text::point)[0]::int, (ctid::text::point)[1]::int, {columns} FROM {table} ORDER BY {table}.ctid"
    ))?;
    let expected = fs::read_to_string(written.join(format!("{table}.tsv")))?;
    let count = expected.lines().count();
    ensure!(count > 1000, "{table} has only {count} rows");
    for (ours, theirs) in expected.lines().zip(rows.lines()) {
        ensure!(
            ours == theirs,
            "{table}: the engine wrote\n{ours}\nand the server reads\n{theirs}"
        );
    }
    ensure!(rows.lines().count() == count, "{table}: not as many rows as the engine wrote");
    println!("xtask: {table}: the server reads {count} rows as the engine wrote them");
    Ok(())
}

/// Pages of every filling that the engine made: pageinspect, given the bytes, says what the engine says.
fn judge_pages(cluster: &Cluster, written: &Path) -> Result<()> {
    let mut pages =
        String::from("CREATE TEMP TABLE made (number int, raw bytea);\nCOPY made FROM stdin;\n");
    pages += &fs::read_to_string(written.join("pages.tsv"))?;
    pages += "\\.\nSELECT number, h.lsn, h.checksum & 65535, page_checksum(raw, number) & 65535, h.flags, h.lower,
                     h.upper, h.special, h.pagesize, h.version, h.prune_xid
                FROM made, page_header(raw) AS h ORDER BY number;
              SELECT number, lp, lp_off, lp_flags, lp_len, encode(t_data, 'hex')
                FROM made, heap_page_items(raw) ORDER BY number, lp;";
    let said = cluster.psql(&pages)?;
    let expected = fs::read_to_string(written.join("pages.expected"))?;
    for (ours, theirs) in expected.lines().zip(said.lines()) {
        ensure!(ours == theirs, "of a page the engine says\n{ours}\nand pageinspect\n{theirs}");
    }
    ensure!(said.lines().count() == expected.lines().count(), "pageinspect sees other items");
    println!("xtask: pageinspect agrees on {} lines about pages", expected.lines().count());
    Ok(())
}
