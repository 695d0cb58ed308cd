//! `cargo xtask deny`: licences, duplicate or forbidden crates, and sources of the dependencies, by cargo-deny.

use std::process::Command;

use anyhow::Result;

use crate::{cargo_tool, process, workspace};

/// The version that deny.toml was written for.
const VERSION: &str = "0.20.2";

/// Runs cargo-deny by deny.toml, building it into the cache first where it is missing.
pub(crate) fn deny() -> Result<()> {
    let program = cargo_tool::built("cargo-deny", VERSION)?;
    let mut check = Command::new(&program);
    check.current_dir(workspace::directory());
    process::run_shown(check.args(["--workspace", "check", "licenses", "bans", "sources"]))
}
