//! The corpus that `cargo xtask corpus` makes, and the command that is run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::Deserialize;

/// One log with what PostgreSQL's tools say of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Corpus {
    #[serde(skip)]
    pub(crate) directory: PathBuf,
    pub(crate) name: String,
    pub(crate) timelines: Vec<Timeline>,
    pub(crate) goldens: Vec<Golden>,
}

/// A timeline that has segments of its own.
#[derive(Debug, Deserialize)]
pub(crate) struct Timeline {
    pub(crate) segments: Vec<String>,
}

/// What one tool printed.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    stdout: String,
    stderr: Option<String>,
    pub(crate) status: i32,
}

/// Every corpus there is.
pub(crate) fn all() -> Vec<Corpus> {
    let directory = std::env::var_os("PGSTRATA_CORPUS")
        .map(PathBuf::from)
        .expect("PGSTRATA_CORPUS is not set: run `cargo xtask test`, which makes the corpus");
    let mut corpora = Vec::new();
    for entry in std::fs::read_dir(&directory).expect("the corpus can be listed") {
        let directory = entry.expect("the corpus can be listed").path();
        if let Ok(manifest) = std::fs::read(directory.join("manifest.json")) {
            let mut corpus: Corpus = serde_json::from_slice(&manifest).expect("a manifest");
            corpus.directory = directory;
            corpora.push(corpus);
        }
    }
    assert!(!corpora.is_empty(), "no corpus in {}: run `cargo xtask test`", directory.display());
    corpora.sort_by(|one, other| one.name.cmp(&other.name));
    corpora
}

/// The corpus of a name.
pub(crate) fn of(name: &str) -> Corpus {
    let found = all().into_iter().find(|corpus| corpus.name == name);
    found.unwrap_or_else(|| panic!("there is no corpus {name}: run `cargo xtask test`"))
}

impl Corpus {
    /// `strata` in the directory of the corpus.
    pub(crate) fn strata(&self, arguments: &[&str]) -> Command {
        let mut command = strata(&self.directory);
        command.args(arguments);
        command
    }

    /// `strata waldump` over the whole first timeline.
    pub(crate) fn waldump(&self, options: &[&str]) -> Output {
        self.whole(options).output().expect("strata runs")
    }

    pub(crate) fn whole(&self, options: &[&str]) -> Command {
        let segments = &self.timelines.first().expect("a timeline").segments;
        let mut command = self.strata(&["waldump", "-p", "pg_wal"]);
        command.args(options).args([&segments[0], &segments[segments.len() - 1]]);
        command
    }

    /// The golden of a name.
    pub(crate) fn golden(&self, name: &str) -> &Golden {
        let found = self.goldens.iter().find(|golden| golden.name == name);
        found.unwrap_or_else(|| panic!("{} has no golden {name}", self.name))
    }

    pub(crate) fn stdout(&self, golden: &Golden) -> Vec<u8> {
        std::fs::read(self.directory.join(&golden.stdout)).expect("a golden can be read")
    }

    pub(crate) fn stderr(&self, golden: &Golden) -> String {
        golden.stderr.as_ref().map_or_else(String::new, |file| {
            std::fs::read_to_string(self.directory.join(file)).expect("a golden can be read")
        })
    }
}

/// `strata` as a user in `directory` would start it: nothing on stdin, no variables that it looks at.
pub(crate) fn strata(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strata"));
    command.current_dir(directory).stdin(Stdio::null()).env("TZ", "UTC").env_remove("PGDATA");
    command
}

/// Stops the test where two outputs differ, and shows the first differing line with those around it.
#[track_caller]
pub(crate) fn assert_same(what: &str, expected: &[u8], found: &[u8]) {
    if let Some(difference) = difference(expected, found) {
        panic!("{what}: {difference}");
    }
}

/// Where two outputs differ first.
pub(crate) fn difference(expected: &[u8], found: &[u8]) -> Option<String> {
    if expected == found {
        return None;
    }
    let lines = |bytes: &[u8]| -> Vec<String> {
        bytes.split(|byte| *byte == b'\n').map(|line| line.escape_ascii().to_string()).collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    let same = expected.iter().zip(&found).take_while(|(one, other)| one == other).count();
    let mut text = format!(
        "{} lines expected, {} found; the first {same} are the same\n",
        expected.len(),
        found.len()
    );
    for line in &expected[same.saturating_sub(2)..same] {
        text += &format!("      {line}\n");
    }
    let end = "(nothing)".to_owned();
    text += &format!("    - {}\n", expected.get(same).unwrap_or(&end));
    text += &format!("    + {}\n", found.get(same).unwrap_or(&end));
    Some(text)
}
