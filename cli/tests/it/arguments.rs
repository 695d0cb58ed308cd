//! Help, and what is said of wrong arguments and unreadable files: one line, with what to do.

use std::path::Path;
use std::process::Command;

use crate::corpus::{self, strata};

fn help(arguments: &[&str]) -> String {
    let output = strata(Path::new(".")).args(arguments).output().expect("strata runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn help_texts() {
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help-waldump", help(&["waldump", "--help"]));
    insta::assert_snapshot!("help-verify", help(&["verify", "-?"]));
    insta::assert_snapshot!("help-controldata", help(&["controldata", "-?"]));
    assert!(help(&["-V"]).starts_with("strata "));
    assert!(help(&["waldump", "--version"]).starts_with("strata"));
}

#[test]
fn resource_managers_are_listed_at_once() {
    let corpus = corpus::of("15-main");
    let list = corpus.stdout(corpus.golden("waldump-rmgr-list"));
    for arguments in [["-r", "list"], ["-r", "LIST"], ["--rmgr=list", "-q"]] {
        let output = strata(Path::new("/")).arg("waldump").args(arguments).output();
        assert_eq!(output.expect("strata runs").stdout, list);
    }
}

/// What a wrong command line is answered with.
fn answer(command: &mut Command) -> String {
    let output = command.output().expect("strata runs");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{command:?}");
    assert_eq!(stderr.lines().count(), 1, "{command:?}: {stderr}");
    assert!(stderr.starts_with("strata: error: "), "{stderr}");
    stderr
}

#[test]
fn wrong_arguments_are_answered_with_one_line() {
    let corpus = corpus::of("15-main");
    let segments = &corpus.timelines[0].segments;
    let (first, second) = (&segments[0][..], &segments[1][..]);
    let lines: &[&[&str]] = &[
        &[],
        &["nonsense"],
        &["waldump"],
        &["waldump", "--nonsense"],
        &["waldump", "-Z"],
        &["waldump", "-p", "pg_wal", "-n"],
        &["waldump", "--r", "Heap"],
        &["waldump", "-p", "pg_wal"],
        &["waldump", "-p", "nowhere", "-s", "0/1"],
        &["waldump", "-p", "global", "-s", "0/1"],
        &["waldump", "-p", "pg_wal", "0000000100000000000000AA"],
        &["waldump", "nowhere/000000010000000000000001"],
        &["waldump", "PG_VERSION"],
        &["waldump", "manifest.json"],
        &["waldump", "-p", "pg_wal", first, second, second],
        &["waldump", "-p", "pg_wal", second, first],
        &["waldump", "-p", "pg_wal", first, "0000000100000000000000AA"],
        &["waldump", "-p", "pg_wal", first, "last"],
        &["waldump", "-p", "pg_wal", "-s", "0/28", second],
        &["waldump", "-p", "pg_wal", "-e", "7/0", first],
        &["waldump", "-p", "pg_wal", "-s", "7/0"],
        &["waldump", "-p", "pg_wal", "-s", "0/3000000", "-t", "9"],
        &["waldump", "-p", "pg_wal", "-s", "0/3000000", "-t", "0x"],
        &["waldump", "-s", "nonsense"],
        &["waldump", "-e", "1-2"],
        &["waldump", "-n", "x"],
        &["waldump", "-x", "-1"],
        &["waldump", "-t", "4294967296"],
        &["waldump", "-r", "nonsense"],
        &["waldump", "-r", "custom300"],
        &["waldump", "-R", "1/2"],
        &["waldump", "-R", "0/0/0"],
        &["waldump", "-B", "1"],
        &["waldump", "-R", "1/2/3", "-B", "4294967295"],
        &["waldump", "-F", "nonsense"],
        &["waldump", "--stats=nonsense"],
        &["waldump", "-z=record"],
        &["waldump", "--format=xml"],
        &["waldump", "--since", "yesterday"],
        &["waldump", "--until", "2026-13-01"],
        &["waldump", "--threads=0"],
        &["waldump", "--top=0", "--stats=relation"],
        &["waldump", "-f", "--since", "2026-01-01", "-p", "pg_wal", first],
        &["waldump", "--save-fullpage=pg_wal", "-p", "pg_wal", first],
        &["waldump", "--save-fullpage=PG_VERSION/x", "-p", "pg_wal", first],
        &["verify"],
        &["verify", "nowhere"],
        &["verify", "global"],
        &["verify", "PG_VERSION"],
        &["verify", "-t", "9", "pg_wal"],
        &["verify", "pg_wal", "pg_wal"],
        &["controldata", "nowhere"],
    ];
    let mut answers = String::new();
    for arguments in lines {
        let shown = arguments.join(" ").replace(first, "FIRST").replace(second, "SECOND");
        let answer = answer(&mut corpus.strata(arguments));
        let answer = answer.replace(first, "FIRST").replace(second, "SECOND");
        answers += &format!("strata {shown}\n  {answer}");
    }
    insta::assert_snapshot!("wrong-arguments", answers);
}

/// Options may be cut short, repeated, clustered, and stand behind what they are for.
#[test]
fn options_are_taken_as_getopt_takes_them() {
    let corpus = corpus::of("15-main");
    let expected = corpus.waldump(&["--limit=7", "--rmgr=Heap", "--bkp-details"]).stdout;
    assert!(!expected.is_empty());
    for options in [
        &["-n7", "-bbr", "heap"][..],
        &["-n", "5", "-n", "7", "--rm=HEAP", "--bkp"],
        &["-bn7", "-rHeap"],
        &["--lim", "7", "-r", "heap", "-b", "--start=0/0"][..5],
    ] {
        corpus::assert_same(&format!("{options:?}"), &expected, &corpus.waldump(options).stdout);
    }
    let segments = &corpus.timelines[0].segments;
    let (first, last) = (&segments[0], &segments[segments.len() - 1]);
    let behind = corpus
        .strata(&["waldump", first, last, "-p", "pg_wal", "-n7", "-r", "heap", "-b"])
        .output()
        .expect("strata runs");
    corpus::assert_same("options behind", &expected, &behind.stdout);
    // The last of several forms of --stats counts.
    let by_record = corpus.waldump(&["--stats=record"]).stdout;
    corpus::assert_same("stats", &by_record, &corpus.waldump(&["-z", "--stats=record"]).stdout);
    let by_manager = corpus.waldump(&["-z"]).stdout;
    corpus::assert_same("stats", &by_manager, &corpus.waldump(&["--stats=record", "-z"]).stdout);
}

/// Segments are found where pg_waldump looks for them.
#[test]
fn the_log_is_looked_for_where_pg_waldump_looks() {
    let corpus = corpus::of("15-main");
    let first = &corpus.timelines[0].segments[0];
    let expected = corpus.strata(&["waldump", "-p", "pg_wal", first, "-n", "9"]).output();
    let expected = expected.expect("strata runs").stdout;
    assert!(!expected.is_empty());
    let run = |directory: &Path, arguments: &[&str], data: Option<&Path>| {
        let mut command = strata(directory);
        command.args(["waldump", "-n", "9"]).args(arguments);
        if let Some(data) = data {
            command.env("PGDATA", data);
        }
        let output = command.output().expect("strata runs");
        corpus::assert_same(&format!("{arguments:?}"), &expected, &output.stdout);
    };
    let data = &corpus.directory;
    run(data, &[first], None);
    run(&data.join("pg_wal"), &[first], None);
    run(Path::new("/"), &[first], Some(data));
    run(data, &["-p", ".", first], None);
    run(data, &[&format!("pg_wal/{first}")], None);
    run(data, &["-p", "pg_wal", &format!("nowhere/{first}")], None);
}
