//! `cargo xtask crash`: `strata run` killed with SIGKILL again and again; the test of the command that does it, for longer.

use anyhow::Result;

use crate::installation::Installation;
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// What `cargo xtask crash` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the process is killed.
    #[arg(long, value_name = "N", default_value = "200")]
    rounds: u32,
}

/// Runs so many rounds.
pub(crate) fn crash(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::SERVER)?;
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--package", "pgstrata-cli", "--test", "it", "--", "crash::"]);
    cargo.env("PGSTRATA_CRASH_ROUNDS", arguments.rounds.to_string());
    cargo.env("PGSTRATA_PG15_BIN", Installation::Debian15.bin_directory()?);
    process::run_shown(&mut cargo)
}
