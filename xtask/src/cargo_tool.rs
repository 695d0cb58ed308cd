//! Tools of cargo that are built into the cache the first time they are wanted.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::{process, workspace};

/// The program of a tool such as `cargo-deny`, in exactly this version.
pub(crate) fn built(tool: &str, version: &str) -> Result<PathBuf> {
    let cache = Cache::open()?;
    let name = format!("{tool}-{version}");
    let program = cache.entry(&name).join("bin").join(tool);
    if program.exists() {
        return Ok(program);
    }
    let lock = cache.lock()?;
    cache.make_entry(&lock, &name, |directory| {
        println!("xtask: building {tool} {version} into the cache; this takes minutes");
        let mut install = workspace::cargo();
        install.args(["install", "--locked", "--root"]).arg(directory);
        install.arg("--target-dir").arg(directory.join("target"));
        process::run_shown(install.arg(format!("{tool}@{version}")))?;
        fs::remove_dir_all(directory.join("target"))
            .with_context(|| format!("cannot remove {tool}'s build"))
    })?;
    Ok(program)
}
