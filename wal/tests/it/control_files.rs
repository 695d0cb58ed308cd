//! Control files of real servers of every major come back byte for byte from what was read of them.

use std::path::{Path, PathBuf};

use base::disk::RealDisk;
use wal::control;

use super::corpus;

/// The data directories below a corpus: those that have a control file.
fn data_directories(below: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).expect("a corpus can be listed");
    let inner = entries.map(|entry| entry.expect("a corpus can be listed").path());
    let candidates = std::iter::once(below.to_owned()).chain(inner);
    candidates.filter(|path| path.join(control::PATH).is_file()).collect()
}

#[test]
fn every_control_file_of_the_corpus_round_trips() {
    let mut majors = std::collections::BTreeSet::new();
    for corpus in corpus::all() {
        for directory in data_directories(&corpus.directory) {
            let bytes = std::fs::read(directory.join(control::PATH)).expect("it can be read");
            let raw = control::load(&RealDisk, &directory).expect("it can be loaded");
            let shown = directory.display();
            assert!(raw.encode()[..] == bytes[..], "{shown}");
            let checked = raw.check().unwrap_or_else(|fault| panic!("{shown}: {fault}"));
            majors.insert(checked.version().major());
        }
    }
    assert_eq!(majors, [15, 16, 17, 18].into());
}
