//! Whatever PostgreSQL's tool prints to stdout, `strata` prints, byte for byte, for the same arguments.

use std::os::unix::process::ExitStatusExt as _;

use crate::corpus::{self, Corpus, Golden, difference};

/// Its own: what the options mean is described in words of our own, and there are more of them.
const OTHER_TEXT: [&str; 1] = ["waldump-help"];

/// Runs the goldens of a program that `wanted` picks, and tells of every one that differs.
fn compare(subcommand: &str, program: &str, wanted: impl Fn(&Golden) -> bool) {
    let mut compared = 0;
    let mut complaints = Vec::new();
    for corpus in corpus::all() {
        for golden in &corpus.goldens {
            let other_text = OTHER_TEXT.contains(&golden.name.as_str());
            if golden.source != "program" || golden.program != program || other_text {
                continue;
            }
            if wanted(golden) {
                compared += 1;
                complaints.extend(complaint(&corpus, golden, subcommand));
            }
        }
    }
    assert!(compared > 0, "the corpus has no such goldens");
    assert!(complaints.is_empty(), "of {compared} outputs:\n{}", complaints.join("\n"));
}

fn complaint(corpus: &Corpus, golden: &Golden, subcommand: &str) -> Option<String> {
    let mut command = corpus.strata(&[subcommand]);
    let output = command.args(&golden.arguments).envs(&golden.environment).output();
    let output = output.expect("strata runs");
    let what = format!("{}/{} {}", corpus.name, golden.name, golden.arguments.join(" "));
    let stderr = String::from_utf8_lossy(&output.stderr);
    if let Some(difference) = difference(&corpus.stdout(golden), &output.stdout) {
        return Some(format!("{what}: {difference}    stderr: {stderr}"));
    }
    // The ordinary end of the log is no failure here (docs/deviations.md).
    let ends_ordinarily = corpus.stderr(golden).contains(", got 0\n");
    let expected = if ends_ordinarily { 0 } else { golden.status };
    if output.status.code() != Some(expected) {
        let (code, signal) = (output.status.code(), output.status.signal());
        return Some(format!(
            "{what}: exit code {expected} expected, {code:?} found, signal {signal:?}: {stderr}"
        ));
    }
    if stderr.contains("panicked") {
        return Some(format!("{what}: {stderr}"));
    }
    None
}

#[test]
fn records_are_printed_as_pg_waldump_prints_them() {
    compare("waldump", "pg_waldump", |golden| {
        !golden.name.contains("error") && !golden.name.contains("stats")
    });
}

#[test]
fn statistics_are_printed_as_pg_waldump_prints_them() {
    compare("waldump", "pg_waldump", |golden| {
        !golden.name.contains("error") && golden.name.contains("stats")
    });
}

#[test]
fn what_pg_waldump_refuses_is_refused() {
    compare("waldump", "pg_waldump", |golden| golden.name.contains("error"));
}

/// Damage is told in PostgreSQL's words.
#[test]
fn damage_is_told_as_pg_waldump_tells_it() {
    let mut compared = 0;
    for corpus in corpus::all() {
        for golden in corpus.goldens.iter().filter(|golden| golden.source == "program") {
            let stderr = corpus.stderr(golden);
            let Some(message) = stderr.strip_prefix("pg_waldump: error: error in WAL record")
            else {
                continue;
            };
            let output = corpus
                .strata(&["waldump"])
                .args(&golden.arguments)
                .envs(&golden.environment)
                .output()
                .expect("strata runs");
            let found = String::from_utf8_lossy(&output.stderr);
            let expected = match message.split_once(": ") {
                // A note, since it is no failure; and --quiet leaves errors alone.
                Some((_, reason))
                    if reason.ends_with(", got 0\n") && golden.name.contains("quiet") =>
                {
                    String::new()
                }
                Some((_, reason)) if reason.ends_with(", got 0\n") => {
                    let at = reason.split(" at ").nth(1).and_then(|rest| rest.split(':').next());
                    format!("strata: end of WAL at {}: {reason}", at.expect("a position"))
                }
                _ => format!("strata: error: error in WAL record{message}"),
            };
            assert_eq!(found, expected, "{}/{}", corpus.name, golden.name);
            compared += 1;
        }
    }
    assert!(compared > 0, "the corpus has no such goldens");
}

/// The images that `--save-fullpage` writes are those of pg_waldump 17 and 18, of the same names.
#[test]
fn saved_images_are_those_of_pg_waldump() {
    let mut compared = 0;
    for corpus in corpus::all() {
        for golden in corpus.goldens.iter().filter(|golden| golden.source == "fullpage") {
            let place = tempfile::tempdir().expect("a temporary directory");
            let directory = place.path().join("deep").join("images");
            let mut command = corpus.strata(&["waldump"]);
            for argument in &golden.arguments {
                command.arg(argument.replace(
                    "--save-fullpage=fullpages",
                    &format!("--save-fullpage={}", directory.display()),
                ));
            }
            let output = command.output().expect("strata runs");
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            corpus::assert_same(&corpus.name, &corpus.stdout(golden), &md5_list(&directory));
            compared += 1;
        }
    }
    assert!(compared > 0, "the corpus has no such goldens");
}

/// `MD5  NAME` for each file, by name.
fn md5_list(directory: &std::path::Path) -> Vec<u8> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .expect("the images' directory can be listed")
        .map(|entry| entry.expect("the images' directory can be listed").file_name())
        .collect();
    names.sort();
    let mut list = Vec::new();
    for some in names.chunks(500) {
        let mut command = std::process::Command::new("md5sum");
        let output = command.current_dir(directory).arg("--").args(some).output();
        list.extend(output.expect("md5sum runs").stdout);
    }
    list
}
