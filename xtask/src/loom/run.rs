//! One run of one model or schedule: a process, with a limit of time.

use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::models::Model;
use crate::process;

/// A model, as it is or with one variant.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) model: Model,
    pub(crate) variant: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every execution was explored and none failed.
    Passed {
        /// How many there were.
        executions: u64,
    },
    /// An execution failed: what the panic said.
    Failed(String),
    /// It took too long, or could not be run.
    Broken(String),
}

/// A run and how it ended.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) job: Job,
    pub(crate) ended: Ended,
    pub(crate) took: Duration,
}

/// Runs a job to its end, or to the limit.
pub(crate) fn run(program: &Path, job: &Job, limit: Duration) -> Outcome {
    let mut command = Command::new(program);
    command.args(["run", &job.model.name]);
    if let Some(bound) = job.model.bound {
        command.args(["--preemptions", &bound.to_string()]);
    }
    if let Some(variant) = &job.variant {
        command.args(["--alter", variant]);
    }
    let began = Instant::now();
    let ended = explore(command, limit);
    Outcome { job: job.clone(), ended, took: began.elapsed() }
}

/// Runs a program that explores to its end, or to the limit.
pub(crate) fn explore(command: Command, limit: Duration) -> Ended {
    run_process(command, limit).unwrap_or_else(|error| Ended::Broken(format!("{error:#}")))
}

fn run_process(mut command: Command, limit: Duration) -> Result<Ended> {
    // The explorers' own environment would change what is explored.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("LOOM_") || name_text.starts_with("SHUTTLE_") {
            command.env_remove(name);
        }
    }
    let said = tempfile::tempfile().context("cannot make a temporary file")?;
    command
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?);
    let program = command.get_program().to_os_string();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(Ended::Broken(format!("no end after {} s", limit.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let mut text = String::new();
    let mut said = said;
    said.rewind()?;
    said.read_to_string(&mut text)?;
    Ok(if status.success() {
        let executions = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        executions.map_or_else(
            || Ended::Broken(format!("it printed {text:?}")),
            |executions| Ended::Passed { executions },
        )
    } else {
        panic_message(&text).map_or_else(
            || Ended::Broken(format!("{status}: {}", process::last_lines(&text, 3))),
            Ended::Failed,
        )
    })
}

/// The first line of what the first panic said.
fn panic_message(text: &str) -> Option<String> {
    let mut lines = text.lines().skip_while(|line| !line.contains("panicked at"));
    lines.next()?;
    lines.next().map(|line| line.trim().to_owned())
}

/// What is wrong with how a run ended: as it is a model passes, with a variant it fails.
pub(crate) fn fault(outcome: &Outcome) -> Option<String> {
    let name = &outcome.job.model.name;
    match (&outcome.job.variant, &outcome.ended) {
        (None, Ended::Passed { .. }) | (Some(_), Ended::Failed(_)) => None,
        (None, Ended::Failed(why) | Ended::Broken(why)) => Some(format!("{name}: {why}")),
        (Some(variant), Ended::Passed { .. }) => Some(format!("{name} does not notice {variant}")),
        (Some(variant), Ended::Broken(why)) => Some(format!("{name} with {variant}: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(variant: Option<&str>, ended: Ended) -> Outcome {
        let model = Model {
            name: "a::b".to_owned(),
            bound: None,
            variants: Vec::new(),
            property: String::new(),
        };
        let job = Job { model, variant: variant.map(str::to_owned) };
        Outcome { job, ended, took: Duration::ZERO }
    }

    #[test]
    fn a_model_passes_and_its_variants_fail() {
        let fault = |variant, ended| fault(&outcome(variant, ended));
        let passed = || Ended::Passed { executions: 7 };
        assert_eq!(fault(None, passed()), None);
        assert_eq!(fault(Some("x"), Ended::Failed("no".to_owned())), None);
        assert_eq!(fault(Some("x"), passed()), Some("a::b does not notice x".to_owned()));
        assert_eq!(fault(None, Ended::Failed("no".to_owned())), Some("a::b: no".to_owned()));
        let hung = Ended::Broken("no end after 240 s".to_owned());
        assert_eq!(fault(Some("x"), hung), Some("a::b with x: no end after 240 s".to_owned()));
    }

    #[test]
    fn the_first_panic_counts() {
        let text = "\nthread 'main' (1) panicked at a.rs:1:1:\nwho sees T2\nnote: ...\nthread 'main' panicked at b:\nno";
        assert_eq!(panic_message(text), Some("who sees T2".to_owned()));
        assert_eq!(panic_message("loom-models: there is no model"), None);
    }
}
