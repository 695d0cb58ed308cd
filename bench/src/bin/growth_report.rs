//! Writes docs/benchmarks/growth.md and its plots: `growth_report MEASURED OUTPUT`, run by `cargo xtask bench growth`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bench::growth::report;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [measured, output] = &arguments[..] else { bail!("usage: growth_report MEASURED OUTPUT") };
    let text = std::fs::read(measured).with_context(|| format!("cannot read {measured}"))?;
    report::write(&serde_json::from_slice(&text)?, Path::new(output))
}
