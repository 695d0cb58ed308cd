//! The corpus that `cargo xtask corpus` makes: real servers' logs, and what PostgreSQL's tools say of them.
//!
//! Its place is `$PGSTRATA_CORPUS`, set by `cargo xtask test`. Without it the tests that need it fail: a
//! comparison that silently does not happen is none.

use std::path::{Path, PathBuf};

use base::disk::RealDisk;
use base::sync::Arc;
use serde_json::Value;
use wal::read::RecordReader;
use wal::source::{Log, Options, Segments};

/// One log with its goldens.
pub(crate) struct Corpus {
    pub(crate) directory: PathBuf,
    manifest: Value,
}

/// A golden that a query wrote: its SQL, and the rows in COPY's text format.
pub(crate) struct Golden {
    pub(crate) name: String,
    pub(crate) sql: String,
    rows: String,
}

/// Every corpus there is.
pub(crate) fn all() -> Vec<Corpus> {
    let directory = std::env::var_os("PGSTRATA_CORPUS").expect(
        "PGSTRATA_CORPUS is not set: run `cargo xtask test`, which makes the corpus and sets it",
    );
    let entries = std::fs::read_dir(&directory).expect("the corpus directory can be listed");
    let mut corpora: Vec<Corpus> = entries
        .map(|entry| entry.expect("the corpus directory can be listed").path())
        .filter(|path| path.join("manifest.json").is_file())
        .map(|directory| Corpus {
            manifest: read_json(&directory.join("manifest.json")),
            directory,
        })
        .collect();
    assert!(!corpora.is_empty(), "no corpus under {}", directory.display());
    corpora.sort_by(|one, other| one.directory.cmp(&other.directory));
    corpora
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Corpus {
    /// Name of the corpus, `16-main`.
    pub(crate) fn name(&self) -> &str {
        self.manifest["name"].as_str().expect("a corpus has a name")
    }

    /// Its records, from the first one on.
    pub(crate) fn records(&self) -> RecordReader {
        let log = Log::open(Arc::new(RealDisk), &self.directory, Options::default());
        let log = log.expect("a corpus opens");
        let first = log.first_segment().expect("a corpus has segments");
        let start = log.segment_size().start_of(first);
        let mut reader = RecordReader::new(Arc::new(log));
        reader.find_first(start).expect("a corpus has a record");
        reader
    }

    /// The golden `name` that a query made, if this corpus has it.
    pub(crate) fn query(&self, name: &str) -> Option<Golden> {
        let golden = self.manifest["goldens"].as_array()?.iter().find(|golden| {
            golden["name"] == name && golden["source"] == "query" && golden["status"] == 0
        })?;
        let text = |key: &str| golden[key].as_str().map(str::to_owned);
        let sql = golden["arguments"][0].as_str().expect("a query has its SQL").to_owned();
        let file = self.directory.join(text("stdout").expect("a query has rows"));
        let rows = std::fs::read_to_string(&file).expect("a golden can be read");
        Some(Golden { name: format!("{}/{name}", self.name()), sql, rows })
    }
}

impl Golden {
    /// The texts between single quotes in the query.
    pub(crate) fn literals(&self) -> Vec<&str> {
        self.sql.split('\'').skip(1).step_by(2).collect()
    }

    /// The rows, each split into its columns, `None` for NULL; escapes undone.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<Option<String>>> + '_ {
        self.rows.lines().map(|line| line.split('\t').map(column).collect())
    }
}

fn column(text: &str) -> Option<String> {
    if text == "\\N" {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Some(plain)
}
