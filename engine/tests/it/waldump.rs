//! A log read by `pg_waldump`, and here: the same lines.

use std::path::Path;

use base::Lsn;
use base::disk::faulty::FaultyDisk;
use base::sync::Arc;
use wal::line::{BlockDetail, push_line};
use wal::read::RecordReader;
use wal::source::{Log, Options};
use wal::text::{Dialect, Text};

use crate::programs::{give, place, program, run};
use crate::{DATA, content};

/// The lines of the log on the first timeline of a data directory from a record on, which are equal in both; its
/// segments are of 1 MB, the first nine at most.
pub(crate) fn compared(disk: &FaultyDisk, start: Lsn) -> String {
    let place = place();
    for number in 1..=9 {
        let name = format!("0000000100000000{number:08X}");
        if let Some(bytes) = content(disk, &Path::new(DATA).join("pg_wal").join(&name)) {
            std::fs::write(place.path().join(name), bytes).expect("written");
        }
    }
    give(place.path());
    let mut waldump = program("pg_waldump");
    let output = run(waldump.arg("--path").arg(place.path()).arg("--start").arg(start.to_string()));
    let messages = String::from_utf8_lossy(&output.stderr);
    let is_end =
        messages.contains("invalid record length") && messages.contains("wanted 24, got 0");
    assert!(is_end && messages.lines().count() == 1, "{messages}");
    let theirs = String::from_utf8_lossy(&output.stdout);
    // What `strata waldump` prints.
    let mut ours = Text::new(Dialect::Tool);
    let options = Options { start: Some(start), ..Options::default() };
    let log = Log::open(Arc::new(disk.clone()), &Path::new(DATA).join("pg_wal"), options);
    let mut reader = RecordReader::new(Arc::new(log.expect("a log")));
    reader.find_first(start).expect("a record");
    while let Ok(record) = reader.next_record() {
        push_line(&record, BlockDetail::Short, &mut ours);
    }
    let ours = String::from_utf8_lossy(ours.as_bytes());
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
    theirs.into_owned()
}
