//! The C functions that run inside a server as a benchmark's peer.

use std::path::Path;

use anyhow::{Context, Result};

use crate::installation::Installation;
use crate::{process, workspace};

/// Compiles a file of bench/peer into a library for PostgreSQL 15.
pub(crate) fn compile(source: &str, library: &Path) -> Result<()> {
    let pg_config =
        Installation::Debian15.pg_config()?.context("PostgreSQL 15 has no pg_config")?;
    let headers = process::run(process::command(pg_config).arg("--includedir-server"))?;
    let mut compile = process::command("cc");
    compile.args(["-O2", "-fPIC", "-shared", "-I"]).arg(String::from_utf8(headers.stdout)?.trim());
    compile.arg("-o").arg(library).arg(workspace::directory().join("bench/peer").join(source));
    process::run(&mut compile).with_context(|| format!("cannot compile the peer {source}"))?;
    Ok(())
}
