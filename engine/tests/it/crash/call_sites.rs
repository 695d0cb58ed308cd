//! Where the engine and what it stands on call a disk: as the sources say, and as calls are seen to come.
//!
//! A call site is a method's name at a line of a source. The sources are read as text: each `.name(` of a method of
//! [`Disk`](base::disk::Disk) or its files. A call that is made is traced back to the first frame outside
//! `base::disk`. A call that comes from where the sources say nothing is a mistake of this file: it fails.
//!
//! Names that others have, too ([`ORDINARY`]), are looked for only in sources whose code speaks of a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use base::disk::faulty::Operation;

/// A place in the sources that calls a disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallSite {
    /// From the workspace's root on.
    pub(super) file: String,
    pub(super) line: u32,
    pub(super) operation: Operation,
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {:?}", self.file, self.line, self.operation)
    }
}

/// The crates whose calls are looked for. `base` has none but those of the disk itself.
const SOURCES: [&str; 2] = ["wal/src", "engine/src"];

/// Methods with their operation.
const METHODS: [(&str, Operation); 22] = [
    ("open", Operation::Open),
    ("exists", Operation::Open),
    ("open_for_writing", Operation::OpenForWriting),
    ("scratch", Operation::OpenForWriting),
    ("list", Operation::List),
    ("is_directory", Operation::Look),
    ("belongs_to_us", Operation::Owner),
    ("try_lock", Operation::Lock),
    ("rename", Operation::Rename),
    ("remove_file", Operation::Remove),
    ("remove_directory", Operation::RemoveDirectory),
    ("create_directory", Operation::CreateDirectory),
    ("sync_directory", Operation::SyncDirectory),
    ("read_at", Operation::Read),
    ("length", Operation::Length),
    ("write_at", Operation::Write),
    ("write_vectored_at", Operation::Write),
    ("write_zeros", Operation::Write),
    ("set_length", Operation::SetLength),
    ("allocate", Operation::Allocate),
    ("sync_data", Operation::SyncData),
    ("sync_all", Operation::SyncAll),
];

/// Methods whose names say little.
const ORDINARY: [&str; 6] = ["open", "exists", "list", "rename", "length", "try_lock"];

/// Calls that look like a disk's and are none: where, and how the line reads from the receiver on.
const NO_CALLS: [(&str, &str); 10] = [
    ("wal/src/source/spool.rs", "stream.read_at("),
    ("wal/src/read/pages.rs", "self.open(number)"),
    ("wal/src/read/pages.rs", "self.segments.open(number)"),
    ("wal/src/write/file_writer.rs", "self.files.open(number)"),
    ("engine/src/buffer/files.rs", "self.write_at("),
    ("engine/src/buffer/pool.rs", "frame.writing.try_lock()"),
    ("engine/src/recovery/timeline.rs", "segments.open(number)"),
    ("engine/src/slru/clog.rs", "self.slru.try_lock()"),
    ("engine/src/slru/commit_ts.rs", "self.slru.exists("),
    ("engine/src/buffer/files.rs", "self.length("),
];

/// Every call site that the sources have.
pub(super) fn in_sources() -> BTreeSet<CallSite> {
    let mut sites = BTreeSet::new();
    for source in SOURCES {
        read_directory(&workspace().join(source), source, &mut sites);
    }
    sites
}

fn read_directory(directory: &Path, name: &str, sites: &mut BTreeSet<CallSite>) {
    for entry in std::fs::read_dir(directory).expect("the sources") {
        let path = entry.expect("an entry").path();
        let file_name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        let name = format!("{name}/{file_name}");
        if path.is_dir() {
            if file_name != "tests" {
                read_directory(&path, &name, sites);
            }
        } else if file_name.ends_with(".rs") && file_name != "tests.rs" {
            read_source(&std::fs::read_to_string(&path).expect("a source"), &name, sites);
        }
    }
}

fn read_source(text: &str, name: &str, sites: &mut BTreeSet<CallSite>) {
    // Tests come last in a file.
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let code = |line: &'_ str| line.split("//").next().unwrap_or_default().to_owned();
    let speaks_of_disks = text.lines().any(|line| code(line).to_lowercase().contains("disk"));
    for (at, line) in text.lines().enumerate() {
        let code = code(line);
        let looked_for = |method: &str| speaks_of_disks || !ORDINARY.contains(&method);
        for (method, operation) in METHODS.into_iter().filter(|(method, _)| looked_for(method)) {
            for (found, called) in code.match_indices(&format!(".{method}(")) {
                let is_none = NO_CALLS.iter().any(|(file, reads)| {
                    let receiver = reads.find(called).unwrap_or(usize::MAX);
                    *file == name
                        && found
                            .checked_sub(receiver)
                            .is_some_and(|from| code[from..].starts_with(reads))
                });
                if !is_none {
                    let line = at as u32 + 1;
                    sites.insert(CallSite { file: name.to_owned(), line, operation });
                }
            }
        }
    }
}

/// Traces calls back to their sites.
#[derive(Debug, Default)]
pub(super) struct Tracer {
    /// What each address was found to be: files and lines, the innermost first.
    known: BTreeMap<usize, Vec<(String, u32)>>,
}

impl Tracer {
    /// The site of the call that is being made by this thread; `None` if it comes from a test.
    pub(super) fn caller(
        &mut self,
        operation: Operation,
        sites: &BTreeSet<CallSite>,
    ) -> Option<CallSite> {
        let root = workspace();
        let mut frames: Vec<(String, u32)> = Vec::new();
        let known = &mut self.known;
        backtrace::trace(|frame| {
            let lines = known.entry(frame.ip() as usize).or_insert_with(|| {
                let mut lines = Vec::new();
                backtrace::resolve_frame(frame, |symbol| {
                    let Some(file) = symbol.filename() else { return };
                    let inside = file.strip_prefix(&root).unwrap_or(file).to_string_lossy();
                    if SOURCES.iter().any(|source| inside.starts_with(source)) {
                        lines.push((inside.into_owned(), symbol.lineno().unwrap_or(0)));
                    }
                });
                lines
            });
            frames.extend(lines.iter().cloned());
            // A call through a closure has its site in the closure.
            frames.len() < 3
        });
        let of = |(file, line): &(String, u32)| {
            let site = CallSite { file: file.clone(), line: *line, operation };
            sites.contains(&site).then_some(site)
        };
        let (file, line) = frames.first()?.clone();
        // Of calls that differ in the method alone the compiler may make one, and forget the line.
        let only = || {
            let mut same =
                sites.iter().filter(|site| site.file == file && site.operation == operation);
            same.next().filter(|_| line == 0 && same.next().is_none()).cloned()
        };
        let found = of(&frames[0]).or_else(only);
        Some(found.unwrap_or_else(|| {
            panic!("{operation:?} is called at {frames:?}, where the sources say nothing of it")
        }))
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

#[test]
fn the_sources_are_read() {
    let sites = in_sources();
    let has = |file: &str, operation| {
        sites.iter().any(|site| site.file == file && site.operation == operation)
    };
    assert!(has("wal/src/write/file_writer.rs", Operation::Write));
    assert!(has("engine/src/buffer/files.rs", Operation::SyncDirectory));
    assert!(!has("engine/src/buffer/pool.rs", Operation::Lock), "a mutex");
}
