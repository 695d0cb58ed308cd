//! A model and how it is run: loom only.
//!
//! Invariant: a model runs as it is, or with one site altered, and nothing else changes what is explored but the
//! bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::sync::site;

/// A model.
#[derive(Clone, Copy)]
pub struct Model {
    /// `file::function`.
    pub name: &'static str,
    /// What holds in every execution.
    pub property: &'static str,
    /// How many forced switches of threads an execution has at most, or `None` for any number. Switches where a
    /// thread waits or ends are not counted.
    pub preemptions: Option<usize>,
    /// Sites and variants with any of which the model fails.
    pub variants: &'static [&'static str],
    /// One execution.
    pub run: fn(),
}

/// What a run without a failure was.
#[derive(Clone, Debug)]
pub struct Explored {
    /// Executions that loom went through: all that differ, within the bound.
    pub executions: u64,
    /// How long that took.
    pub took: Duration,
    /// Sites that the last execution came by.
    pub seen: Vec<&'static str>,
}

/// Goes through every execution of a model with at most `preemptions` forced switches, with this
/// site altered.
///
/// # Panics
///
/// If an execution fails.
pub fn explore(
    model: &Model,
    preemptions: Option<usize>,
    altered: Option<&'static str>,
) -> Explored {
    site::alter(altered);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 20_000;
    let executions = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    builder.check({
        let (executions, run) = (Arc::clone(&executions), model.run);
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            run();
        }
    });
    Explored {
        executions: executions.load(Ordering::Relaxed),
        took: begun.elapsed(),
        seen: site::seen(),
    }
}
