//! The Hermitage cases: anomalies by their names, each as a spec of ours, at both levels, with what PostgreSQL prints kept in
//! the tree for a test that needs no server.
//!
//! A spec asks for `REPEATABLE READ`; for the other level that is replaced. Source of the cases: Martin Kleppmann's Hermitage.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};

use super::bench::{Bench, Outcome};
use crate::workspace;

/// From the root of the tree.
const DIRECTORY: &str = "sql/tests/hermitage";

/// As the files of what is expected are named, and as SQL has them.
pub(super) const LEVELS: [(&str, &str); 2] =
    [("read-committed", "READ COMMITTED"), ("repeatable-read", "REPEATABLE READ")];

/// A case.
pub(super) struct Case {
    pub(super) name: String,
    /// The first sentence of its comment.
    pub(super) about: String,
    text: String,
}

impl Case {
    /// Runs of it, a level each: by both sides, or by the server alone, since `cargo test` holds the engine against what is
    /// kept of that.
    pub(super) fn run(&self, bench: &Bench, by_both: bool) -> Result<Vec<Outcome>> {
        let run = |(_, level): &(&str, &str)| {
            let text = self.text.replace("REPEATABLE READ", level);
            if by_both { bench.run(&self.name, &text) } else { bench.expected(&self.name, &text) }
        };
        LEVELS.iter().map(run).collect()
    }
}

/// All of them, by name.
pub(super) fn cases() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(workspace::directory().join(DIRECTORY))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = name.strip_suffix(".spec") else { continue };
        let text = fs::read_to_string(&path)?;
        let about = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
        cases.push(Case { name: name.to_owned(), about: about.to_owned(), text });
    }
    ensure!(!cases.is_empty(), "there is no spec in {DIRECTORY}");
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(cases)
}

/// What is kept of a level: the cases' outputs, each under its name.
pub(super) fn kept(outputs: &[(String, String)]) -> String {
    outputs.iter().map(|(name, output)| format!("==== {name}\n{output}")).collect()
}

/// Where it is kept.
pub(super) fn place(level: &str) -> PathBuf {
    workspace::directory().join(DIRECTORY).join(format!("{level}.out"))
}
