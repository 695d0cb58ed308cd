//! Goldens of pg_walinspect, from the server that wrote the log, started again after its files were copied.
//!
//! All rows are written by COPY in its text format: columns apart by tabs, NULL as `\N`. Of blocks' bytes only the
//! MD5 is kept.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::log_files::SegmentName;
use super::manifest::{Golden, Manifest, Source};
use crate::server::{Cluster, Shutdown};

const BLOCK_COLUMNS: &str = "start_lsn, end_lsn, prev_lsn, block_id, reltablespace, reldatabase, relfilenode, \
    relforknumber, relblocknumber, xid, resource_manager, record_type, record_length, main_data_length, \
    block_data_length, block_fpi_length, block_fpi_info, md5(block_data), md5(block_fpi_data)";

/// What the server reads in pg_control. The restart has changed its state and time, but nothing of these.
const CONTROL_QUERIES: [(&str, &str); 3] = [
    ("control-checkpoint", "SELECT * FROM pg_control_checkpoint()"),
    ("control-init", "SELECT * FROM pg_control_init()"),
    (
        "control-system",
        "SELECT pg_control_version, catalog_version_no, system_identifier FROM pg_control_system()",
    ),
];

/// Starts the cluster, asks it about the whole log up to its clean shutdown, and stops it.
///
/// Fills in the manifest's first and end LSN and its record types, which for this log are those of the server's
/// history up to its last timeline.
pub(crate) fn add(cluster: &mut Cluster, directory: &Path, manifest: &mut Manifest) -> Result<()> {
    cluster.start()?;
    // Nothing has been written behind the checkpoint of the shutdown until the extension is made.
    let checkpoint = cluster.query_value("SELECT checkpoint_lsn FROM pg_control_checkpoint()")?;
    for (name, query) in CONTROL_QUERIES {
        ask(cluster, directory, manifest, name, query)?;
    }
    cluster.psql("CREATE EXTENSION pg_walinspect;")?;
    let end = cluster
        .query_value(&format!("SELECT end_lsn FROM pg_get_wal_record_info('{checkpoint}')"))?;
    let first_segment = manifest
        .timelines
        .first()
        .and_then(|timeline| timeline.segments.first())
        .context("no segment")?;
    let start =
        SegmentName::parse(first_segment).context("no segment")?.start(manifest.segment_size);
    let start = format!("{:X}/{:X}", start >> 32, start & 0xFFFF_FFFF);
    let range = format!("'{start}', '{end}'");

    let mut queries =
        vec![("walinspect-records", format!("SELECT * FROM pg_get_wal_records_info({range})"))];
    if manifest.major >= 16 {
        let query = format!("SELECT {BLOCK_COLUMNS} FROM pg_get_wal_block_info({range}, true)");
        queries.push(("walinspect-blocks", query));
    }
    queries.push(("walinspect-stats", format!("SELECT * FROM pg_get_wal_stats({range}, false)")));
    queries.push((
        "walinspect-stats-record",
        format!("SELECT * FROM pg_get_wal_stats({range}, true)"),
    ));
    for (name, query) in queries {
        let rows = ask(cluster, directory, manifest, name, &query)?;
        if name == "walinspect-records" {
            count_records(&rows, manifest)?;
        }
    }
    manifest.end_lsn = Some(end);
    cluster.stop(Shutdown::Fast)
}

/// Writes the rows of a query as a golden, and returns them.
fn ask(
    cluster: &Cluster,
    directory: &Path,
    manifest: &mut Manifest,
    name: &str,
    query: &str,
) -> Result<String> {
    let rows = cluster.psql(&format!("COPY ({query}) TO STDOUT;"))?;
    let stdout = format!("goldens/{name}.out");
    fs::write(directory.join(&stdout), &rows)?;
    let program = name.split_once('-').map_or(name, |(program, _)| program);
    manifest.goldens.push(Golden {
        name: name.into(),
        source: Source::Query,
        program: if program == "walinspect" { "pg_walinspect" } else { "postgres" }.into(),
        version: manifest.version.clone(),
        arguments: vec![query.into()],
        environment: [("TZ".into(), "UTC".into())].into(),
        stdout,
        stderr: None,
        status: 0,
    });
    Ok(rows)
}

fn count_records(rows: &str, manifest: &mut Manifest) -> Result<()> {
    for row in rows.lines() {
        let mut columns = row.split('\t');
        let start_lsn = columns.next().context("a row without columns")?;
        if manifest.first_lsn.is_empty() {
            manifest.first_lsn = start_lsn.to_owned();
        }
        let resource_manager = columns.nth(3).context("a row without a resource manager")?;
        let record_type = columns.next().context("a row without a record type")?;
        *manifest.record_types.entry(format!("{resource_manager}/{record_type}")).or_default() += 1;
    }
    Ok(())
}
