//! What pg_waldump cannot read, read to the same effect: compressed and partial segments, archives, and
//! timelines along their history.

use std::path::Path;
use std::process::Command;

use crate::corpus::{self, Corpus, assert_same, strata};

/// A copy of the corpus's segments in a directory of its own.
fn copy_of_segments(corpus: &Corpus) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary directory");
    for name in &corpus.timelines[0].segments {
        let from = corpus.directory.join("pg_wal").join(name);
        std::fs::copy(from, place.path().join(name)).expect("a segment can be copied");
    }
    place
}

fn run(directory: &Path, command: &str) {
    let status = Command::new("sh").args(["-ec", command]).current_dir(directory).status();
    assert!(status.expect("sh runs").success(), "{command}");
}

fn stdout(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = strata(directory).arg("waldump").args(arguments).output().expect("strata runs");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    output.stdout
}

#[test]
fn a_log_is_the_same_in_every_wrapping() {
    let corpus = corpus::of("15-main");
    let expected = corpus.stdout(corpus.golden("waldump-plain"));
    let segments = &corpus.timelines[0].segments;
    let (first, last) = (&segments[0][..], &segments[segments.len() - 1][..]);

    let place = copy_of_segments(&corpus);
    let directory = place.path();
    run(directory, "tar -cf log.tar 0* && tar -czf log.tar.gz 0* && mkdir pg_wal && gzip 0*");
    run(directory, "mkdir packed && mv 0*.gz packed && rmdir pg_wal");
    for arguments in [
        &["log.tar"][..],
        &["log.tar.gz"],
        &["-p", "log.tar"],
        &["-p", "log.tar.gz", first, last],
        &["-p", ".", "log.tar", last],
        &["packed"],
        &["-p", "packed", first, last],
        &[&format!("packed/{first}"), last],
    ] {
        assert_same(&format!("{arguments:?}"), &expected, &stdout(directory, arguments));
    }
}

#[test]
fn one_segment_is_read_from_whatever_file_holds_it() {
    let corpus = corpus::of("15-main");
    let first = &corpus.timelines[0].segments[0];
    let place = copy_of_segments(&corpus);
    let directory = place.path();
    let expected = stdout(directory, &[first]);
    let stats = stdout(directory, &["-z", first]);
    run(directory, &format!("mkdir other; cp {first} other/{first}.partial"));
    run(directory, &format!("gzip -c {first} >other/{first}.gz; cp {first} other/unnamed"));
    for name in [&format!("{first}.partial")[..], &format!("{first}.gz"), "unnamed"] {
        let path = format!("other/{name}");
        assert_same(name, &expected, &stdout(directory, &[&path]));
        assert_same(name, &expected, &stdout(directory, &["-p", "other", name]));
        assert_same(name, &stats, &stdout(directory, &["-z", &path]));
    }
}

/// Segments of a timeline's ancestors are found by its history.
#[test]
fn timelines_are_followed_along_their_history() {
    for name in ["15-timelines", "18-timelines"] {
        let corpus = corpus::of(name);
        let [one, .., three] = &corpus.timelines[..] else { panic!("{name} has no timelines") };
        let first = &one.segments[0];
        let last = three.segments.last().expect("a segment");
        let whole = stdout(&corpus.directory, &["-p", "pg_wal", first, last]);
        let whole = String::from_utf8_lossy(&whole);
        // Every record follows the one before it, and the last timeline's are the last ones.
        let (mut previous, mut count) = (None, 0);
        for line in whole.lines() {
            let (lsn, rest) = line
                .split_once("lsn: ")
                .and_then(|(_, rest)| rest.split_once(", prev "))
                .expect("a record");
            let link = rest.split(',').next().expect("a link");
            if let Some(previous) = previous {
                assert_eq!(previous, link, "{name}");
            }
            previous = Some(lsn);
            count += 1;
        }
        assert!(count > 100, "{name}: {count}");
        let of_last = corpus.stdout(corpus.golden("waldump-plain-timeline-3"));
        let of_last = String::from_utf8_lossy(&of_last);
        assert!(!of_last.is_empty() && whole.ends_with(&of_last[..]), "{name}");
    }
}
