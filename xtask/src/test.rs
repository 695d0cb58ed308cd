//! `cargo xtask test`: everything that must hold before a change lands, in stages; the first that fails ends it.
//!
//! What the runners print goes to stdout untouched, so that their closing lines can be read there. A summary of the
//! stages follows.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::cache::Cache;
use crate::installation::Installation;
use crate::setup::{self, Needs};
use crate::workspace::{self, Profile};
use crate::{corpus, heap, history, isolation, loom, process, regress, schedules, sql};

/// What `cargo xtask test` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run this stage alone (can be given several times); what it needs is still set up.
    #[arg(long, value_enum, value_name = "STAGE")]
    only: Vec<Stage>,

    /// Draw new random cases instead of the same ones every time; the seed is shown.
    #[arg(long)]
    random: bool,

    /// The seed of random cases, as an earlier run showed it.
    #[arg(long, value_name = "SEED", default_value_t = 15)]
    seed: u64,

    #[command(flatten)]
    hostile: regress::Hostile,

    /// Arguments for `cargo test`, such as `-p pgstrata-wal` or the name of a test.
    #[arg(last = true)]
    cargo_test: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Install what is missing.
    Setup,
    /// cargo fmt --check.
    Format,
    /// cargo clippy, where every warning is an error.
    Lints,
    /// Make the corpus of WAL that the tests read, where it is missing or out of date.
    Corpus,
    /// cargo test, of every crate.
    Tests,
    /// The engine's pages and rows, judged by a server, and the server's log redone.
    Heap,
    /// Faults planted in the engine, each found by a recorded history.
    Histories,
    /// PostgreSQL's isolation specs, by its own isolationtester and by the engine.
    Isolation,
    /// Scripts of SQL and random statements, by psql on a server and by the engine.
    Sql,
    /// Build the extension for each major, and run its SQL tests in servers.
    Extension,
    /// The models of the lock-free parts under loom, in their short form.
    Models,
    /// The same parts by randomized schedules of 8 to 64 threads, in their short form.
    Schedules,
    /// cargo doc, private items included, where every warning is an error.
    Docs,
}

/// How one stage ended.
#[derive(Debug)]
struct Outcome {
    stage: Stage,
    took: Duration,
    failed: bool,
}

/// Runs the stages, prints the summary, and fails if one failed.
pub(crate) fn test(arguments: &Arguments) -> Result<()> {
    let is_wanted = |stage: &Stage| {
        *stage == Stage::Setup || arguments.only.is_empty() || arguments.only.contains(stage)
    };
    let mut outcomes = Vec::new();
    // Whether the tests have built the command.
    let mut has_strata = false;
    for stage in Stage::value_variants().iter().filter(|stage| is_wanted(stage)) {
        println!("xtask: {}", name(*stage));
        let began = Instant::now();
        let result = run_stage(*stage, arguments, has_strata);
        let failed = result.is_err();
        outcomes.push(Outcome { stage: *stage, took: began.elapsed(), failed });
        if let Err(error) = result {
            print!("{}", summary(&outcomes));
            return Err(error.context(format!("the stage {} failed", name(*stage))));
        }
        has_strata |= *stage == Stage::Tests && arguments.cargo_test.is_empty();
    }
    print!("{}", summary(&outcomes));
    Ok(())
}

fn run_stage(stage: Stage, arguments: &Arguments, has_strata: bool) -> Result<()> {
    let strata = || match has_strata {
        true => workspace::strata(Profile::Dev),
        false => workspace::build_strata(Profile::Dev),
    };
    let mut cargo = workspace::cargo();
    match stage {
        Stage::Setup => return setup::ensure_installed(&Needs::TESTS),
        Stage::Format => cargo.args(["fmt", "--all", "--check"]),
        Stage::Lints => {
            // What the engine is measured against is in no other stage.
            cargo.args(["clippy", "--workspace", "--features", "pgstrata-bench/peers"]);
            cargo.args(["--all-targets", "--", "--deny=warnings"])
        }
        Stage::Corpus => return corpus::run(corpus::Majors::All, false),
        Stage::Tests => {
            set_test_environment(&mut cargo)?;
            // A run that fails is to fail again, whoever repeats it.
            let seed = if arguments.random { fresh_seed() } else { arguments.seed };
            println!("xtask: the seed of random cases is {seed}");
            cargo.env("PROPTEST_RNG_SEED", seed.to_string());
            // Whoever names packages does not want all of them.
            let names_packages = arguments.cargo_test.iter().any(|word| {
                word == "-p" || word.starts_with("--package") || word.starts_with("-p=")
            });
            cargo.arg("test");
            if !names_packages {
                cargo.args(workspace::TESTED);
            }
            cargo.args(&arguments.cargo_test)
        }
        Stage::Heap => return heap::heap(),
        Stage::Histories => return history::planted(),
        Stage::Isolation => return isolation::compare(strata()?),
        Stage::Sql => return sql::compare(&strata()?),
        Stage::Extension => return regress::all(arguments.hostile),
        Stage::Models => return loom::short(),
        Stage::Schedules => return schedules::short(),
        Stage::Docs => cargo.env("RUSTDOCFLAGS", RUSTDOC_FLAGS).args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            // All that is wrong, not the first of it.
            "--keep-going",
        ]),
    };
    process::run_shown(&mut cargo)
}

/// A seed that differs between runs.
fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Private items are documented, too, so a link to one is no dead link.
const RUSTDOC_FLAGS: &str = "--deny=warnings --allow=rustdoc::private_intra_doc_links";

/// What the tests are told: the cache, the corpus, and for each oracle the directory of its programs.
fn set_test_environment(command: &mut Command) -> Result<()> {
    // The zone that the corpus's goldens were written in.
    command.env("TZ", "UTC");
    command.env("PGSTRATA_CACHE", Cache::open()?.directory());
    command.env("PGSTRATA_CORPUS", corpus::ensure()?);
    for installation in [Installation::Debian15, Installation::Debian17, Installation::Debian18] {
        if !installation.is_there()? {
            bail!("{installation} is missing, and the tests compare with it");
        }
        let variable = format!("PGSTRATA_PG{}_BIN", installation.major());
        command.env(variable, installation.bin_directory()?);
    }
    Ok(())
}

fn name(stage: Stage) -> String {
    stage.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

fn summary(outcomes: &[Outcome]) -> String {
    let mut text = String::from("xtask: summary\n");
    for outcome in outcomes {
        let verdict = if outcome.failed { "FAILED" } else { "ok" };
        let seconds = outcome.took.as_secs_f64();
        text += &format!("  {:<9} {seconds:>8.1} s  {verdict}\n", name(outcome.stage));
    }
    let total: f64 = outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum();
    let failed = outcomes.iter().any(|outcome| outcome.failed);
    text += &format!("  {:<9} {total:>8.1} s  {}\n", "all", if failed { "FAILED" } else { "ok" });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_the_stage_that_failed() {
        let outcomes = [
            Outcome { stage: Stage::Format, took: Duration::from_millis(1500), failed: false },
            Outcome { stage: Stage::Lints, took: Duration::from_secs(60), failed: true },
        ];
        let expected = "xtask: summary\n  format         1.5 s  ok\n  lints         60.0 s  FAILED\n  \
                        all           61.5 s  FAILED\n";
        assert_eq!(summary(&outcomes), expected);
    }
}
