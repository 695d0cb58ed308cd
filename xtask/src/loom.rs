//! `cargo xtask loom`: every model of the lock-free parts under loom, and the proof that each can fail.
//!
//! Each model is run as it is, and must pass; and once for each of its variants, a site or an order made wrong, and
//! must fail. What was explored is compared with `docs/models.md`, or written there.
//!
//! Invariant: a run has a process and a time limit of its own, so that a model that hangs or dies is a
//! failure of this model and no more.

pub(crate) mod document;
mod models;
pub(crate) mod program;
pub(crate) mod run;

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process;
use document::{BOUND, EXECUTIONS, MODELS, TIME};
use models::Model;
use program::Explorer;
use run::{Job, Outcome};

/// What `cargo xtask loom` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Explore few forced switches: seconds instead of a minute. `cargo xtask test` does this.
    #[arg(long)]
    short: bool,

    /// Run the models whose name contains this alone.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// At most so many forced switches of threads an execution, instead of each model's own bound.
    #[arg(long, value_name = "N", conflicts_with = "short")]
    preemptions: Option<usize>,

    /// Write the table into docs/models.md, instead of comparing it.
    #[arg(long, conflicts_with_all = ["short", "model", "preemptions"])]
    write: bool,
}

/// The bound of the short form.
const SHORT_PREEMPTIONS: usize = 4;

/// The short form, for `cargo xtask test`.
pub(crate) fn short() -> Result<()> {
    loom(&Arguments { short: true, model: None, preemptions: None, write: false })
}

/// Builds the models, runs them all, prints the table, and fails if one failed or a variant was not caught.
pub(crate) fn loom(arguments: &Arguments) -> Result<()> {
    let began = Instant::now();
    let program = Explorer::Loom.build()?;
    process::run(Command::new(&program).arg("check"))?;
    let mut models = models::list(&program)?;
    if let Some(name) = &arguments.model {
        models.retain(|model| model.name.contains(name.as_str()));
        if models.is_empty() {
            bail!("no model's name contains {name:?}; `{} list` lists them", program.display());
        }
    }
    for model in &mut models {
        let limit = if arguments.short { Some(SHORT_PREEMPTIONS) } else { arguments.preemptions };
        model.bound = match (model.bound, limit) {
            (Some(own), Some(limit)) if arguments.short => Some(own.min(limit)),
            (own, None) => own,
            (_, limit) => limit,
        };
    }
    let built = began.elapsed();
    let outcomes = run_all(&program, &models);
    let rows: Vec<document::Row> =
        models.iter().map(|model| document::Row::new(model, &outcomes)).collect();
    let table = document::table(&rows);
    print!("{table}");
    let caught: usize = rows.iter().map(|row| row.caught.len()).sum();
    println!(
        "xtask: {} models, {} executions, {caught} variants caught, {:.0} s after {:.0} s of building",
        rows.len(),
        rows.iter().filter_map(|row| row.executions).sum::<u64>(),
        (began.elapsed() - built).as_secs_f64(),
        built.as_secs_f64()
    );
    let faults: Vec<String> = outcomes.iter().filter_map(run::fault).collect();
    if !faults.is_empty() {
        bail!("{} of {} runs went wrong:\n{}", faults.len(), outcomes.len(), faults.join("\n"));
    }
    if arguments.write {
        MODELS.write(&table)
    } else if arguments.model.is_some() || arguments.preemptions.is_some() {
        Ok(())
    } else if arguments.short {
        MODELS.compare(&table, &[TIME, BOUND, EXECUTIONS])
    } else {
        MODELS.compare(&table, &[TIME])
    }
}

/// Runs every model without a variant and with each.
fn run_all(program: &std::path::Path, models: &[Model]) -> Vec<Outcome> {
    let jobs: Vec<Job> = models
        .iter()
        .flat_map(|model| {
            let altered = model.variants.iter().map(Some);
            std::iter::once(None)
                .chain(altered)
                .map(move |variant| Job { model: model.clone(), variant: variant.cloned() })
        })
        .collect();
    on_all_cores(&jobs, |job| run::run(program, job, LIMIT))
}

/// Does the jobs, on as many threads as there are cores; results in the order of the jobs.
pub(crate) fn on_all_cores<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(jobs.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let result = work(job);
                    results.lock().expect("no worker panics").push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panicked");
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// How long one run may take: the longest takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(240);
