//! The extension with a custom resource manager, compiled for PostgreSQL 15, whose headers the setup installs.

use std::fs;

use anyhow::Result;

use super::scripts;
use crate::installation::Installation;
use crate::process;
use crate::server::Cluster;

/// Compiles the extension into the directory of the cluster; returns the path of the library.
pub(crate) fn build(cluster: &Cluster) -> Result<String> {
    let directory = cluster.socket_directory();
    let source = directory.join("custom_rmgr.c");
    fs::write(&source, scripts::CUSTOM_RMGR_C)?;
    let mut pg_config = Installation::Debian15.command("pg_config")?;
    let output = process::run(pg_config.arg("--includedir-server"))?;
    let headers = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let library = directory.join("custom_rmgr.so");
    // Rust's own linker on this platform is cc, so it is there.
    let mut cc = process::command("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-I", &headers, "-o"]).arg(&library).arg(&source);
    process::run(&mut cc)?;
    Ok(library.display().to_string())
}
