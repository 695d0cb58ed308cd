//! The log that the benchmark reads: written once by a real PostgreSQL 15, kept in the cache.
//!
//! A mix of what servers write: bulk loads by COPY (multi-inserts), an index build (page images), row by row inserts
//! with an index (small records), and pgbench's transactions after a checkpoint (small records and page images).
//! Nothing that shapes the log differs from PostgreSQL's defaults but the distance of checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::installation::Installation;
use crate::process;
use crate::server::{Cluster, Shutdown};

/// A log in the cache.
#[derive(Debug)]
pub(crate) struct WalInput {
    /// The directory that holds the segments.
    pub(crate) directory: PathBuf,
    /// What is in it.
    pub(crate) facts: Facts,
}

/// What is known of the log since it was made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The first record's position.
    pub(crate) start: String,
    /// The end of the last record.
    pub(crate) end: String,
    /// Distance from start to end in bytes.
    pub(crate) bytes: u64,
    /// Number of records as pg_waldump counts them.
    pub(crate) records: u64,
    /// The server that wrote it.
    pub(crate) server: String,
}

/// At least so much is needed for the figures to mean something.
const LEAST_BYTES: u64 = 1_500_000_000;

/// Changes with the recipe, so that a log of another recipe is not taken for this one.
const ENTRY: &str = "bench-wal-15-recipe-1";

const FACTS: &str = "facts.json";

/// Finds the log in the cache, or makes it, which takes minutes.
pub(crate) fn find_or_make() -> Result<WalInput> {
    let cache = Cache::open()?;
    let lock = cache.lock()?;
    let directory = cache.make_entry(&lock, ENTRY, make)?;
    let file = directory.join(FACTS);
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let facts =
        serde_json::from_str(&text).with_context(|| format!("cannot parse {}", file.display()))?;
    Ok(WalInput { directory: directory.join("pg_wal"), facts })
}

fn make(directory: &Path) -> Result<()> {
    println!(
        "xtask: writing more than 1.5 GB of WAL with PostgreSQL 15 into the cache; this takes minutes"
    );
    let installation = Installation::Debian15;
    let mut cluster = Cluster::create(installation, &[], &SETTINGS)?;
    cluster.start()?;
    let facts = write_into(&cluster, &installation.version()?)?;
    let last_segment = cluster.query_value(&format!("SELECT pg_walfile_name('{}')", facts.end))?;
    cluster.stop(Shutdown::Fast)?;

    let segments = directory.join("pg_wal");
    fs::create_dir(&segments)?;
    for entry in fs::read_dir(cluster.wal_dir())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Later names are segments that the server keeps ready for what it has not written yet.
        if name.len() == 24 && name <= last_segment {
            fs::copy(entry.path(), segments.join(&name))?;
        }
    }
    fs::write(directory.join(FACTS), serde_json::to_string_pretty(&facts)?)?;
    Ok(())
}

/// What a server is told that writes the log.
pub(crate) const SETTINGS: [(&str, &str); 7] = [
    ("wal_level", "replica"),
    ("full_page_writes", "on"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "64GB"),
    ("checkpoint_timeout", "1d"),
    ("wal_keep_size", "64GB"),
    ("autovacuum", "off"),
];

/// Has a running server write the log, and says what is in it.
pub(crate) fn write_into(cluster: &Cluster, server: &str) -> Result<Facts> {
    let start = cluster.query_value("SELECT redo_lsn FROM pg_control_checkpoint()")?;
    write(cluster)?;
    let end = cluster.query_value("SELECT pg_current_wal_insert_lsn()")?;
    let bytes = cluster.query_value(&format!("SELECT pg_wal_lsn_diff('{end}', '{start}')"))?;
    let bytes = bytes.parse().context("a length that is no number")?;
    ensure!(bytes >= LEAST_BYTES, "the recipe gave {bytes} bytes of WAL alone");
    let records = count_records(&cluster.wal_dir(), &start, &end)?;
    Ok(Facts { start, end, bytes, records, server: server.to_owned() })
}

fn write(cluster: &Cluster) -> Result<()> {
    let pgbench = |arguments: &[&str]| -> Result<()> {
        let mut pgbench = cluster.command("pgbench")?;
        process::run(pgbench.args(arguments))?;
        Ok(())
    };
    pgbench(&["--initialize", "--scale=25", "--quiet"])?;
    cluster.psql(
        "CREATE TABLE measurement (id int8 PRIMARY KEY, sensor int4, reading float8, note text);
         INSERT INTO measurement
             SELECT i, i % 1000, i / 7.0, 'reading ' || i % 97 FROM generate_series(1, 3200000) AS i;
         CREATE INDEX measurement_sensor ON measurement (sensor);
         CREATE TABLE copied (LIKE measurement);
         COPY measurement TO PROGRAM 'cat > copied.txt';
         COPY copied FROM PROGRAM 'cat copied.txt; rm copied.txt';
         CHECKPOINT;",
    )?;
    pgbench(&["--client=4", "--jobs=2", "--transactions=100000", "--no-vacuum"])?;
    cluster.psql("UPDATE measurement SET reading = reading + 1 WHERE sensor < 100; DELETE FROM measurement WHERE sensor >= 950; VACUUM;")?;
    Ok(())
}

fn count_records(segments: &Path, start: &str, end: &str) -> Result<u64> {
    let mut waldump = Installation::Debian15.command("pg_waldump")?;
    waldump.arg("--path").arg(segments).args(["--start", start, "--end", end, "--stats"]);
    let output = process::run(&mut waldump)?;
    total_of_statistics(&String::from_utf8_lossy(&output.stdout))
        .context("pg_waldump printed no total")
}

/// The number of records in the line `Total` of pg_waldump's statistics.
fn total_of_statistics(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("Total"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_statistics() {
        let text = "Type      N      (%)\n----      -      ---\nXLOG      2 (  0.10)\n\
                    Total    1984             123 [98.76%]\n";
        assert_eq!(total_of_statistics(text), Some(1984));
        assert_eq!(total_of_statistics("nothing"), None);
    }
}
