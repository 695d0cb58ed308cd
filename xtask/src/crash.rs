//! `cargo xtask crash`: the tests of crashes, for longer than `cargo xtask test` runs them.
//!
//! Without a choice it is `strata run` killed with SIGKILL again and again. The tests do the work, and are told how
//! much by environment variables; what they print is shown.

use anyhow::Result;

use crate::installation::Installation;
use crate::setup::{self, Needs};
use crate::{process, workspace};

/// What `cargo xtask crash` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the process is killed; 200 where nothing else is asked for.
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,

    /// The power fails in every call of every workload that changes the disk, not in some of them.
    #[arg(long)]
    boundaries: bool,

    /// Every call site of a disk fails in every workload that reaches it, not in two.
    #[arg(long)]
    call_sites: bool,

    /// So many transaction ids are given out, one by one, with vacuums between them; 2^31 and some where no number is named.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "2200000000")]
    burn: Option<u64>,

    /// Random histories are crashed for so many seconds.
    #[arg(long, value_name = "S")]
    random_seconds: Option<u64>,

    /// The seed that they begin with, as a failure names it.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "random_seconds")]
    seed: u64,
}

/// Runs what was asked for, one after the other.
pub(crate) fn crash(arguments: &Arguments) -> Result<()> {
    setup::ensure_installed(&Needs::SERVER)?;
    let Arguments { rounds, boundaries, call_sites, burn, random_seconds, seed } = *arguments;
    if boundaries {
        engine("crash::boundaries::", &[("PGSTRATA_CRASH_BOUNDARIES", "all".to_owned())])?;
    }
    if call_sites {
        engine("crash::failing::", &[("PGSTRATA_CRASH_CALL_SITES", "all".to_owned())])?;
    }
    if let Some(count) = burn {
        engine("vacuum::wraparound::ids_burn", &[("PGSTRATA_BURN_XIDS", count.to_string())])?;
    }
    if let Some(seconds) = random_seconds {
        let variables = [
            ("PGSTRATA_CRASH_SECONDS", seconds.to_string()),
            ("PGSTRATA_CRASH_SEED", seed.to_string()),
        ];
        engine("crash::random::", &variables)?;
    }
    match rounds {
        Some(rounds) => kill(Some(rounds)),
        None if boundaries || call_sites || burn.is_some() || random_seconds.is_some() => Ok(()),
        None => kill(None),
    }
}

/// As many rounds as the test makes by itself, or so many.
fn kill(rounds: Option<u32>) -> Result<()> {
    let variable = rounds.map(|rounds| ("PGSTRATA_CRASH_ROUNDS", rounds.to_string()));
    test("pgstrata-cli", "crash::", variable.as_slice())
}

fn engine(name: &str, variables: &[(&str, String)]) -> Result<()> {
    test("pgstrata-engine", name, variables)
}

fn test(package: &str, name: &str, variables: &[(&str, String)]) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--package", package, "--test", "it", "--", name, "--nocapture"]);
    cargo.env("PGSTRATA_PG15_BIN", Installation::Debian15.bin_directory()?);
    cargo.envs(variables.iter().map(|(name, value)| (name, value)));
    process::run_shown(&mut cargo)
}
