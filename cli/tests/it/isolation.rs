//! `strata isolation`: what a spec prints, the level that is asked for, what is said of a spec that is wrong.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Output;

use super::strata;

/// The first session counts, the second puts a row in, the first counts again; what it finds depends on its level.
const PHANTOM: &str = "setup { CREATE TABLE t (a int); }
teardown { DROP TABLE t; }
session s1
setup { BEGIN ISOLATION LEVEL SERIALIZABLE; }
step first { SELECT count(*) FROM t; }
step again { SELECT count(*) FROM t; }
teardown { COMMIT; }
session s2
step insert { INSERT INTO t VALUES (1); }
permutation first insert again
";

fn spec(place: &Path, text: &str) -> PathBuf {
    let path = place.join("some.spec");
    std::fs::write(&path, text).expect("a spec");
    path
}

fn isolation(spec: &Path, arguments: &[&str]) -> Output {
    let mut command = strata(&["isolation", "--sync-method", "none"]);
    command.args(arguments).arg(spec).output().expect("strata runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_level_that_is_asked_for_counts_whatever_the_spec_says() {
    let place = tempfile::tempdir().expect("a directory");
    let spec = spec(place.path(), PHANTOM);
    for (level, found) in [("read-committed", 1), ("repeatable-read", 0)] {
        let output = isolation(&spec, &["--level", level]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            text(&output.stdout),
            format!(
                "Parsed test spec with 2 sessions\n\nstarting permutation: first insert again\n\
                 step first: SELECT count(*) FROM t;\ncount\n-----\n    0\n(1 row)\n\n\
                 step insert: INSERT INTO t VALUES (1);\n\
                 step again: SELECT count(*) FROM t;\ncount\n-----\n    {found}\n(1 row)\n\n"
            )
        );
    }
    let as_it_is = isolation(&spec, &[]);
    assert_eq!(as_it_is.status.code(), Some(1));
    let told = text(&as_it_is.stderr);
    assert!(
        told.contains("some.spec:4: ") && told.contains("SERIALIZABLE is not supported"),
        "{told}"
    );
}

#[test]
fn a_step_that_takes_too_long_is_cancelled() {
    let place = tempfile::tempdir().expect("a directory");
    let spec =
        spec(place.path(), "session s1\nstep sleep { SELECT pg_sleep(60); }\npermutation sleep\n");
    let output = isolation(&spec, &["--step-timeout", "3"]);
    assert!(output.status.success(), "{output:?}");
    let printed = text(&output.stdout);
    let (before, after) = printed.split_once(" after ").expect("a time");
    let (seconds, behind) = after.split_once(" seconds\n").expect("a unit");
    assert_eq!(
        before,
        "Parsed test spec with 1 sessions\n\nstarting permutation: sleep\n\
         isolationtester: canceling step sleep"
    );
    assert!(seconds.parse().is_ok_and(|seconds: u64| seconds >= 3), "{printed}");
    assert_eq!(
        behind,
        "step sleep: SELECT pg_sleep(60);\nERROR:  canceling statement due to user request\n"
    );
}

#[test]
fn what_is_wrong_with_a_spec_is_told_with_its_place() {
    let place = tempfile::tempdir().expect("a directory");
    for (wrong, expected) in [
        ("session s1\nstep a { SELECT 1; }\npermutation a b\n", ":3: "),
        ("session s1\nstep a { SELECT 1; \n", ":2: the block of SQL has no \"}\""),
        ("setup { SELECT 1; }\nsetup\n{ nonsense; }\nsession s1\nstep a { SELECT 1; }\n", ":3: "),
    ] {
        let spec = spec(place.path(), wrong);
        let output = isolation(&spec, &[]);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        let expected = format!("strata: error: {}{expected}", spec.display());
        assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}");
    }
    let missing = isolation(Path::new("no/such.spec"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(
        text(&missing.stderr),
        "strata: error: could not open file \"no/such.spec\": No such file or directory\n"
    );
}

#[test]
fn a_full_disk_is_told_as_by_the_other_commands() {
    let place = tempfile::tempdir().expect("a directory");
    let spec = spec(place.path(), PHANTOM);
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = strata(&["isolation", "--sync-method", "none", "--level", "read-committed"]);
    let output = command.arg(spec).stdout(full).output().expect("strata runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "strata: error: could not write to standard output: No space left on device\n"
    );
}
