//! `cargo xtask fuzz`: runs the fuzz targets by cargo-fuzz, at low priority. No part of `test`, which replays the seeds.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{cargo_tool, process, workspace};

/// The version of cargo-fuzz.
const VERSION: &str = "0.13.2";
const TARGETS: [&str; 4] = ["reader", "payload", "control", "source"];

/// What `cargo xtask fuzz` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The targets to run, each in turn; all where none is named.
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
    /// Seconds for each.
    #[arg(long, default_value = "60")]
    seconds: u32,
}

/// Runs the targets, and fails with the first input that crashes one.
pub(crate) fn fuzz(arguments: &Arguments) -> Result<()> {
    let has_nightly =
        nightly("rustc").arg("--version").output().is_ok_and(|out| out.status.success());
    ensure!(
        has_nightly,
        "fuzzing needs a nightly toolchain; try `rustup toolchain install nightly`"
    );
    let program = cargo_tool::built("cargo-fuzz", VERSION)?;
    let all = TARGETS.map(str::to_owned);
    let targets = if arguments.targets.is_empty() { &all[..] } else { &arguments.targets };
    for target in targets {
        let corpus = workspace::directory().join("fuzz/corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let mut run = nightly("nice");
        run.arg("-n15").arg(&program).args(["run", "--features=libfuzzer", target]);
        run.args([format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}")]);
        run.arg("--").arg(format!("-max_total_time={}", arguments.seconds));
        process::run_shown(run.arg("-timeout=10"))?;
    }
    Ok(())
}

/// A command for which cargo and rustc are the nightly ones.
fn nightly(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::directory()).env("RUSTUP_TOOLCHAIN", "nightly");
    command.env_remove("CARGO").env_remove("RUSTC");
    command
}
