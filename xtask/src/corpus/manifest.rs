//! `manifest.json`, which describes a corpus to the tests that read it. Paths in it are relative to the corpus.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What is in a corpus and how it came about.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Name of the corpus and of its directory.
    pub(crate) name: String,
    /// Hash of the recipe that it was made by.
    pub(crate) recipe: String,
    /// Major version of the server that wrote the log.
    pub(crate) major: u32,
    /// Exact version of that server, as `postgres --version` says it.
    pub(crate) version: String,
    /// Bytes in a segment.
    pub(crate) segment_size: u64,
    /// The timelines of the log, the oldest first.
    pub(crate) timelines: Vec<Timeline>,
    /// Start of the first whole record of the first timeline.
    pub(crate) first_lsn: String,
    /// End of the last record of the last timeline; none where the log was cut off.
    pub(crate) end_lsn: Option<String>,
    /// Every record type in the log (as `Heap/INSERT+INIT`) and the number of its records, over all timelines.
    pub(crate) record_types: BTreeMap<String, u64>,
    /// Files of pg_control, each below a directory of the form that pg_controldata takes.
    pub(crate) control_files: Vec<ControlFile>,
    /// What the tools say.
    pub(crate) goldens: Vec<Golden>,
}

/// A timeline that has segments of its own in `pg_wal`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timeline {
    /// Timeline id.
    pub(crate) id: u32,
    /// Names of its segments, in order, without a gap.
    pub(crate) segments: Vec<String>,
    /// Name of its last segment's `.partial` file, where it ended in a promotion.
    pub(crate) partial: Option<String>,
    /// Name of its history file; the first timeline has none.
    pub(crate) history: Option<String>,
}

/// A pg_control of the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ControlFile {
    /// The directory that has `global/pg_control` and `PG_VERSION` (`.` is the corpus itself).
    pub(crate) directory: String,
    /// When it was taken: `clean shutdown`, `immediate shutdown`, or either of them `in recovery`.
    pub(crate) after: String,
}

/// How a golden was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// By a program, run in the directory of the corpus.
    Program,
    /// By a query at the running server, written by COPY in its text format.
    Query,
    /// By `pg_waldump --save-fullpage`: MD5 and name of each file that it wrote, one a line.
    Fullpage,
}

/// What one tool says about the corpus.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Golden {
    /// Unique in the corpus; the output is `goldens/NAME.out`.
    pub(crate) name: String,
    /// How it was made.
    pub(crate) source: Source,
    /// The program, or `pg_walinspect`.
    pub(crate) program: String,
    /// The exact version of the program or server.
    pub(crate) version: String,
    /// The program's arguments, or the query alone.
    pub(crate) arguments: Vec<String>,
    /// Variables that were set for the program.
    pub(crate) environment: BTreeMap<String, String>,
    /// The file with what it printed.
    pub(crate) stdout: String,
    /// The file with what it printed to stderr, where that is not empty.
    pub(crate) stderr: Option<String>,
    /// Its exit status.
    pub(crate) status: i32,
}

const FILE_NAME: &str = "manifest.json";

impl Manifest {
    /// Reads the manifest of the corpus in `directory`; none if there is no corpus, or one of another form.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the manifest into the corpus in `directory`.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE_NAME);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
