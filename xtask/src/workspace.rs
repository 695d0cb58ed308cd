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

/// The packages that `cargo test` runs of: all of them. A build of fewer would make their dependencies once more, with fewer
/// features.
pub(crate) const TESTED: [&str; 1] = ["--workspace"];

/// How `strata` is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As tests are: with every check.
    Dev,
    /// As it is released.
    Release,
}

/// Builds the command `strata`, and returns its path.
pub(crate) fn build_strata(profile: Profile) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "pgstrata-cli"]);
    if profile == Profile::Release {
        build.arg("--release");
    }
    process::run_shown(&mut build)?;
    strata(profile)
}

/// Where `strata` lies when it is built. `cargo test` of all packages leaves the one of [`Profile::Dev`].
pub(crate) fn strata(profile: Profile) -> Result<PathBuf> {
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => "release",
    };
    Ok(target_directory()?.join(directory).join("strata"))
}
