//! `strata controldata` prints what the `pg_controldata` of the file's own major version prints.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

use super::strata;

/// Control files of real servers, and what `pg_controldata` says about them in UTC.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wal/tests/fixtures/control").join(name)
}

/// A directory that holds a control file, as a data directory does.
fn data_directory(name: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("global")).expect("a directory");
    let control = fs::read(fixture(&format!("{name}.bin"))).expect("a fixture");
    fs::write(directory.path().join("global/pg_control"), control).expect("written");
    directory
}

fn run(command: &mut Command) -> Output {
    command.output().expect("strata starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const FIXTURES: [&str; 10] = [
    "15-crashed",
    "15-damaged",
    "15-label-from-primary",
    "16-standby",
    "17-damaged",
    "17-logical",
    "17-shut-down-in-recovery",
    "18-checksums-64MB",
    "18-damaged",
    "18-label-from-primary",
];

#[test]
fn output_and_exit_code_are_pg_controldatas() {
    for name in FIXTURES {
        let directory = data_directory(name);
        let path = directory.path().to_str().expect("a plain name");
        let expected = fs::read(fixture(&format!("{name}.txt"))).expect("a fixture");
        let expected_messages = fs::read(fixture(&format!("{name}.err"))).unwrap_or_default();
        for arguments in [
            &["controldata", path][..],
            &["controldata", "-D", path],
            &["controldata", &format!("--pgdata={path}")],
            &["controldata", "--pgd", path],
        ] {
            let output = run(&mut strata(arguments));
            assert_eq!(text(&output.stdout), text(&expected), "{name} {arguments:?}");
            let messages = text(&expected_messages).replace("pg_controldata:", "strata:");
            assert_eq!(text(&output.stderr), messages, "{name}");
            assert_eq!(output.status.code(), Some(0), "{name}");
        }
        let output = run(strata(&["controldata"]).env("PGDATA", path));
        assert_eq!(text(&output.stdout), text(&expected), "{name}, by PGDATA");
    }
}

#[test]
fn times_are_of_the_zone() {
    let directory = data_directory("17-logical");
    let path = directory.path().to_str().expect("a plain name");
    let line = |zone: &str| {
        let output = run(strata(&["controldata", path]).env("TZ", zone));
        let lines = text(&output.stdout);
        let line = lines.lines().find(|line| line.starts_with("Time of latest")).map(str::to_owned);
        line.expect("a line")
    };
    insta::assert_snapshot!(
        line("UTC"),
        @"Time of latest checkpoint:            Fri Nov 20 10:59:23 2026"
    );
    insta::assert_snapshot!(
        line("FAR-05:30"),
        @"Time of latest checkpoint:            Fri Nov 20 16:29:23 2026"
    );
}

#[test]
fn json_has_the_fields_and_the_fault() {
    let directory = data_directory("18-damaged");
    let path = directory.path().to_str().expect("a plain name");
    let output = run(&mut strata(&["controldata", "--format=json", path]));
    assert_eq!(output.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["version"], 18);
    assert_eq!(json["state"], 9);
    assert_eq!(json["checkpoint"], "FEDCBA98/12345678");
    assert!(json["fault"].as_str().expect("a text").starts_with("incorrect checksum"));
}

#[test]
fn failures_are_one_line_that_says_what_to_do() {
    let short = data_directory("17-logical");
    fs::write(short.path().join("global/pg_control"), [0; 100]).expect("written");
    let path = short.path().to_str().expect("a plain name");
    let mut messages = String::new();
    for arguments in [
        &["controldata"][..],
        &["controldata", "/nonexistent"],
        &["controldata", "a", "b"],
        &["controldata", "-D", "a", "b"],
        &["controldata", "-D"],
        &["controldata", "--nonexistent"],
        &["controldata", path],
    ] {
        let output = run(&mut strata(arguments));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        messages.push_str(&text(&output.stderr).replace(path, "DIRECTORY"));
    }
    insta::assert_snapshot!(messages, @r#"
    strata: error: no data directory specified (try "strata controldata --help")
    strata: error: could not open file "/nonexistent/global/pg_control" for reading: No such file or directory (is that a data directory?)
    strata: error: too many command-line arguments (first is "b") (try "strata controldata --help")
    strata: error: too many command-line arguments (first is "b") (try "strata controldata --help")
    strata: error: option --pgdata <DATADIR> requires an argument (try "strata controldata --help")
    strata: error: unrecognized option "--nonexistent" (try "strata controldata --help")
    strata: error: could not read file "DIRECTORY/global/pg_control": read 100 of 296 (the file is cut off; take it from a backup or a standby)
    "#);
}

#[derive(Deserialize)]
struct Manifest {
    major: u32,
    goldens: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    name: String,
    program: String,
    arguments: Vec<String>,
    environment: std::collections::HashMap<String, String>,
    stdout: String,
    status: i32,
}

/// All control files of the corpus (`docs/corpus.md`), where there is one.
#[test]
fn the_corpus_agrees() {
    let Some(corpus) = std::env::var_os("PGSTRATA_CORPUS") else {
        return eprintln!("no corpus: `cargo xtask test` makes it and tells where it is");
    };
    let mut compared = 0;
    for entry in fs::read_dir(corpus).expect("the corpus") {
        let directory = entry.expect("an entry").path();
        let Ok(manifest) = fs::read(directory.join("manifest.json")) else { continue };
        let manifest: Manifest = serde_json::from_slice(&manifest).expect("a manifest");
        for golden in &manifest.goldens {
            let expected = || fs::read_to_string(directory.join(&golden.stdout)).expect("a golden");
            let where_it_is = format!("{}, {}", directory.display(), golden.name);
            if golden.program == "pg_controldata" {
                let mut arguments = vec!["controldata"];
                arguments.extend(golden.arguments.iter().map(String::as_str));
                let mut command = strata(&arguments);
                let output = run(command.current_dir(&directory).envs(&golden.environment));
                assert_eq!(text(&output.stdout), expected(), "{where_it_is}");
                assert_eq!(output.status.code(), Some(golden.status), "{where_it_is}");
                compared += 1;
            } else if let Some(labels) = labels_of_query(&golden.name) {
                // There is no pg_controldata of 16: what its server reads in the file is the oracle.
                let output = run(strata(&["controldata", "."]).current_dir(&directory));
                let output = text(&output.stdout);
                for (label, expected) in labels.iter().zip(expected().trim_end().split('\t')) {
                    let line = output.lines().find(|line| line.starts_with(label));
                    let value = line.expect("the label").split_at(38).1;
                    assert_eq!(shown_by_the_tool(label, expected), value, "{where_it_is}: {label}");
                    compared += 1;
                }
            }
        }
        assert!(manifest.major >= 15);
    }
    assert!(compared > 0, "the corpus has no control files");
}

/// Under which labels the columns of a `control-*` query are found. The last one of a checkpoint, its time,
/// has another form.
fn labels_of_query(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "control-checkpoint" => &[
            "Latest checkpoint location:",
            "Latest checkpoint's REDO location:",
            "Latest checkpoint's REDO WAL file:",
            "Latest checkpoint's TimeLineID:",
            "Latest checkpoint's PrevTimeLineID:",
            "Latest checkpoint's full_page_writes:",
            "Latest checkpoint's NextXID:",
            "Latest checkpoint's NextOID:",
            "Latest checkpoint's NextMultiXactId:",
            "Latest checkpoint's NextMultiOffset:",
            "Latest checkpoint's oldestXID:",
            "Latest checkpoint's oldestXID's DB:",
            "Latest checkpoint's oldestActiveXID:",
            "Latest checkpoint's oldestMultiXid:",
            "Latest checkpoint's oldestMulti's DB:",
            "Latest checkpoint's oldestCommitTsXid:",
            "Latest checkpoint's newestCommitTsXid:",
        ],
        "control-init" => &[
            "Maximum data alignment:",
            "Database block size:",
            "Blocks per segment of large relation:",
            "WAL block size:",
            "Bytes per WAL segment:",
            "Maximum length of identifiers:",
            "Maximum columns in an index:",
            "Maximum size of a TOAST chunk:",
            "Size of a large-object chunk:",
            "Float8 argument passing:",
            "Data page checksum version:",
        ],
        "control-system" => &[
            "pg_control version number:",
            "Catalog version number:",
            "Database system identifier:",
        ],
        _ => return None,
    })
}

/// SQL's truth values in the tool's words.
fn shown_by_the_tool<'a>(label: &str, value: &'a str) -> &'a str {
    match (label, value) {
        ("Float8 argument passing:", "t") => "by value",
        (_, "t") => "on",
        (_, "f") => "off",
        (_, other) => other,
    }
}
