//! `snapshot_report PEER CRITERION ENDS OUTPUT`: the last part of `cargo xtask bench snapshot`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bench::snapshot_report::{self, Estimates};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, criterion, ends, output] = &arguments[..] else {
        bail!("expected PEER CRITERION ENDS OUTPUT; run `cargo xtask bench snapshot`")
    };
    let peer = serde_json::from_slice(&fs::read(peer).context("the peer's results")?)?;
    let ends = fs::read_to_string(ends).context("the results of transaction_end")?;
    let ends: Vec<_> = ends.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    snapshot_report::write(&peer, &Estimates::new(Path::new(criterion)), &ends, Path::new(output))
}
