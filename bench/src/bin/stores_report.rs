//! Writes docs/benchmarks/engine.md and its plot: `stores_report MEASURED OUTPUT`, run by `cargo xtask bench engine`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bench::engine::report;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [measured, output] = &arguments[..] else { bail!("usage: stores_report MEASURED OUTPUT") };
    let text = std::fs::read(measured).with_context(|| format!("cannot read {measured}"))?;
    report::write(&serde_json::from_slice(&text)?, Path::new(output))
}
