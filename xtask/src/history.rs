//! `cargo xtask history`: planted faults that recorded histories must find, and long histories without any.
//!
//! The faults are planted by a feature of the engine that nothing else is built with; a test runs them. The long form
//! records histories of both workloads at each level and in each snapshot mode, by seed, and has `strata check` judge
//! each. Write skew must come up at repeatable read: a check that finds nothing there would find nothing anywhere.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process;
use crate::workspace::{self, Profile};

/// What `cargo xtask history` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Record histories of so many transactions for each workload, level, mode and seed, instead of planting faults.
    #[arg(long, value_name = "N")]
    transactions: Option<u64>,

    /// How many seeds.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "transactions")]
    seeds: u64,

    /// The first of them.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "transactions")]
    seed: u64,

    /// One workload alone.
    #[arg(long, value_name = "NAME", requires = "transactions", value_parser = WORKLOADS)]
    workload: Option<String>,
}

const WORKLOADS: [&str; 2] = ["list-append", "register"];
const MODES: [&str; 3] = ["classic", "commit-ts", "mirror"];
/// How a level is asked for.
const LEVELS: [(&str, &[&str]); 2] =
    [("read committed", &[]), ("repeatable read", &["--repeatable-read"])];
/// Of a run; its transactions are done long before.
const SECONDS: &str = "86400";

/// Runs what was asked for.
pub(crate) fn history(arguments: &Arguments) -> Result<()> {
    match arguments.transactions {
        Some(transactions) => long(arguments, transactions),
        None => planted(),
    }
}

/// The planted faults, each found; `cargo xtask test` does this.
pub(crate) fn planted() -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.arg("test").args(workspace::TESTED).args(["--features", "pgstrata-engine/planted"]);
    cargo.args(["--test", "planted", "--", "--nocapture"]);
    process::run_shown(&mut cargo)
}

/// What the histories of one kind came to.
#[derive(Debug, Default)]
struct Sum {
    transactions: u64,
    committed: u64,
    skews: u64,
    recording: f64,
    checking: f64,
}

fn long(arguments: &Arguments, transactions: u64) -> Result<()> {
    let strata = workspace::build_strata(Profile::Release)?;
    let place = tempfile::tempdir().context("cannot make a temporary directory")?;
    println!(
        "{:<12} {:<16} {:<10} {:>12} {:>12} {:>12} {:>12} {:>10}",
        "workload",
        "level",
        "mode",
        "transactions",
        "committed",
        "write skews",
        "recording s",
        "checking s"
    );
    let mut skews = 0;
    let wanted = |name: &&str| arguments.workload.as_deref().is_none_or(|wanted| wanted == *name);
    for workload in WORKLOADS.into_iter().filter(wanted) {
        for (level, option) in LEVELS {
            for mode in MODES {
                let mut sum = Sum::default();
                for seed in arguments.seed..arguments.seed + arguments.seeds {
                    let run = Run { strata: &strata, place: place.path(), workload, option, mode };
                    run.record_and_check(seed, transactions, &mut sum)
                        .with_context(|| format!("{workload}, {level}, {mode}, seed {seed}"))?;
                }
                println!(
                    "{workload:<12} {level:<16} {mode:<10} {:>12} {:>12} {:>12} {:>12.1} {:>10.1}",
                    sum.transactions, sum.committed, sum.skews, sum.recording, sum.checking
                );
                if !option.is_empty() {
                    skews += sum.skews;
                }
            }
        }
    }
    if skews == 0 {
        bail!("no write skew at repeatable read: the check cannot see, or nothing met");
    }
    println!("xtask: no level was broken");
    Ok(())
}

/// A kind of histories.
struct Run<'a> {
    strata: &'a Path,
    place: &'a Path,
    workload: &'a str,
    option: &'a [&'a str],
    mode: &'a str,
}

impl Run<'_> {
    /// One history. One that is wrong stays, to be looked at.
    fn record_and_check(&self, seed: u64, transactions: u64, sum: &mut Sum) -> Result<()> {
        let directory = self.place.join("data");
        let history = self.place.join("history");
        let mut record = process::command(self.strata);
        record.args(["run", self.workload, "--mode", self.mode, "-T", SECONDS, "--asynchronous"]);
        record.args(["--sync-method", "none", "--transactions", &transactions.to_string()]);
        record.args(["--seed", &seed.to_string()]).args(self.option);
        record.arg("--dir").arg(&directory).arg("--history").arg(&history);
        let began = Instant::now();
        process::run(&mut record)?;
        sum.recording += began.elapsed().as_secs_f64();
        std::fs::remove_dir_all(&directory).context("cannot remove the data directory")?;

        let mut check = process::command(self.strata);
        check.args(["check", "--format=json"]).arg(&history);
        let began = Instant::now();
        let output = check.output().context("cannot run strata check")?;
        sum.checking += began.elapsed().as_secs_f64();
        if !output.status.success() {
            let kept = std::env::temp_dir().join(format!(
                "history-{}-{}-{}-{seed}",
                self.workload,
                self.mode,
                if self.option.is_empty() { "read-committed" } else { "repeatable-read" }
            ));
            std::fs::copy(&history, &kept).context("cannot keep the history")?;
            bail!(
                "the history is in {} (strata check shows it)\n{}",
                kept.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("strata check prints no JSON")?;
        let count = |name: &str| report["counts"][name].as_u64().unwrap_or(0);
        sum.transactions += count("transactions");
        sum.committed += count("committed");
        let anomalies = report["anomalies"].as_array().into_iter().flatten();
        let skews = anomalies.filter(|found| found["anomaly"] == "G2-item");
        sum.skews += skews.filter_map(|found| found["count"].as_u64()).sum::<u64>();
        Ok(())
    }
}
