//! How a model of pgstrata is run, and how it is shown that it can fail.
//!
//! Only under loom: `RUSTFLAGS="--cfg loom" cargo test -p pgstrata-loom-tests --release`, in a target
//! directory of its own (`CARGO_TARGET_DIR=target/loom`), as everything is compiled anew for it.
//!
//! Each model is a test, and each list of variants is one more: it runs its own binary again, with the
//! model's name and `PGSTRATA_ALTER=site`, and passes if that run fails each time. A process of its own
//! for each, since a model can fail by a panic in a panic.
//!
//! Environment: `PGSTRATA_ALTER` names the site or variant to alter; `LOOM_MAX_PREEMPTIONS` overrides a
//! model's own bound.
//!
//! Invariant: a variant counts as caught only if its site was come by: a misspelt name fails.

#![cfg(loom)]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base::sync::site;

/// Explores every execution of `model` with at most `preemptions` forced switches.
///
/// # Panics
///
/// If an execution fails.
pub fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let altered = std::env::var("PGSTRATA_ALTER").ok();
    let altered: Option<&'static str> = altered.map(|site| &*site.leak());
    site::alter(altered);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 20_000;
    let executions = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    builder.check({
        let executions = Arc::clone(&executions);
        move || {
            let execution = executions.fetch_add(1, Ordering::Relaxed);
            model();
            if let (0, Some(altered)) = (execution, altered) {
                // What the first execution does not come by may still be come by later.
                println!("altered {altered}; come by at first: {:?}", site::seen());
            }
        }
    });
    let executions = executions.load(Ordering::Relaxed);
    println!("{executions} executions in {:?}", begun.elapsed());
    if let Some(altered) = altered
        && !site::seen().contains(&altered)
    {
        // Success on purpose: the caller wants a failure that comes from the model.
        println!("NOT COME BY: {altered}");
    }
}

/// Runs the model of this name once for each variant and expects each run to fail.
///
/// # Panics
///
/// If a variant was not caught.
pub fn expect_caught(model: &str, variants: &[&str]) {
    let binary = std::env::current_exe().expect("a test knows its binary");
    let mut missed = Vec::new();
    for variant in variants {
        let begun = Instant::now();
        let output = Command::new(&binary)
            .args(["--exact", model, "--nocapture", "--test-threads=1"])
            .env("PGSTRATA_ALTER", variant)
            .output()
            .expect("the test's binary runs");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains("running 1 test"), "{model} is a test:\n{text}");
        let why = text
            .lines()
            .skip_while(|line| !line.contains("panicked at"))
            .nth(1)
            .unwrap_or("no panic")
            .to_owned();
        if output.status.success() || why == "no panic" {
            missed.push(format!("{variant}: {text}"));
        } else {
            println!("{model}: {variant} caught after {:?}: {why}", begun.elapsed());
        }
    }
    assert!(missed.is_empty(), "{model} does not notice\n{}", missed.join("\n"));
}
