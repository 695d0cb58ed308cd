//! The workspace that this xtask belongs to: where it lies, and its cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The root directory of the workspace.
pub(crate) fn directory() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_owned)
}

/// The cargo that runs this xtask, to be run at the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(directory());
    cargo
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = process::run(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)
        .context("cannot parse what cargo metadata prints")?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(target.into())
}

/// Builds the command `strata` as released, and returns its path.
pub(crate) fn build_strata() -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "pgstrata-cli"]);
    process::run_shown(&mut build)?;
    Ok(target_directory()?.join("release/strata"))
}
