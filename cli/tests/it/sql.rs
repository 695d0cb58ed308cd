//! `strata sql`: where SQL comes from, what is printed, how it ends.

use std::fs::File;
use std::io::Write as _;
use std::process::{Output, Stdio};

use super::programs::{place, reset_next_xid};
use super::strata;

/// A data directory of its own, and its path.
fn data() -> (tempfile::TempDir, String) {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data").to_str().expect("a plain name").to_owned();
    let made = strata(&["init", "-D", &data]).output().expect("strata runs");
    assert!(made.status.success(), "{made:?}");
    (place, data)
}

fn sql(data: &str, arguments: &[&str]) -> Output {
    let fixed = ["sql", "-D", data, "--sync-method", "none"];
    strata(&[&fixed, arguments].concat()).stdin(Stdio::null()).output().expect("strata runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_command_a_file_and_standard_input_are_run_and_stay() {
    let (place, data) = data();
    let command =
        sql(&data, &["-c", "CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')"]);
    assert_eq!(text(&command.stdout), "CREATE TABLE\nINSERT 0 1\n");
    assert_eq!(command.status.code(), Some(0));

    let script = place.path().join("script.sql");
    std::fs::write(&script, "INSERT INTO t\n  VALUES (2, NULL);\nSELECT * FROM t ORDER BY a;\n")
        .expect("a script");
    let script = script.to_str().expect("a plain name");
    let file = sql(&data, &["--file", script, "--echo-all", "--null", "(null)"]);
    assert_eq!(
        text(&file.stdout),
        "INSERT INTO t\n  VALUES (2, NULL);\nINSERT 0 1\nSELECT * FROM t ORDER BY a;\na|b\n1|x\n2|(null)\n(2 rows)\n"
    );

    let mut child = strata(&["sql", "--pgdata", &data, "--sync-method", "none"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("strata runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"SELECT count(*) FROM t").expect("written");
    drop(input);
    let output = child.wait_with_output().expect("ended");
    assert_eq!(text(&output.stdout), "count\n2\n(1 row)\n");
}

#[test]
fn an_error_is_printed_and_the_rest_is_run_unless_it_is_to_stop() {
    let (place, data) = data();
    let script = place.path().join("script.sql");
    std::fs::write(&script, "SELECT 1;\nSELECT\n  nonsense;\nSELECT 2;\n").expect("a script");
    let path = script.to_str().expect("a plain name");
    let goes_on = sql(&data, &["-f", path, "--verbosity", "verbose"]);
    assert_eq!(
        text(&goes_on.stdout),
        "?column?\n1\n(1 row)\nERROR:  42703: column \"nonsense\" does not exist\n?column?\n2\n(1 row)\n"
    );
    assert_eq!((goes_on.status.code(), text(&goes_on.stderr)), (Some(0), String::new()));

    let stops = sql(&data, &["-f", path, "--on-error-stop"]);
    assert_eq!(
        text(&stops.stdout),
        "?column?\n1\n(1 row)\nERROR:  column \"nonsense\" does not exist\n"
    );
    assert_eq!(stops.status.code(), Some(1));
    assert_eq!(
        text(&stops.stderr),
        format!("strata: error: {path}:3: a statement failed, and the rest was not run\n")
    );
    let stops = sql(&data, &["-c", "SELECT nonsense; SELECT 2", "--on-error-stop"]);
    assert_eq!(text(&stops.stdout), "ERROR:  column \"nonsense\" does not exist\n");
    assert_eq!(
        text(&stops.stderr),
        "strata: error: line 1: a statement failed, and the rest was not run\n"
    );
}

#[test]
fn what_cannot_be_run_is_told_with_its_place() {
    let (place, data) = data();
    let script = place.path().join("script.sql");
    let path = script.to_str().expect("a plain name");
    let fails = |arguments: &[&str]| {
        let output = sql(&data, arguments);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    std::fs::write(&script, "SELECT 1;\n\\d t\n").expect("a script");
    assert_eq!(
        fails(&["-f", path]),
        format!(
            "strata: error: {path}:2: the command \\d of psql is not known here (only SQL is)\n"
        )
    );
    std::fs::write(&script, b"SELECT 1;\n\n\xff\n").expect("a script");
    assert_eq!(
        fails(&["-f", path]),
        format!(
            "strata: error: {path}:3: could not read the script: stream did not contain valid UTF-8\n"
        )
    );
    let missing = fails(&["-f", "no/such/file"]);
    assert_eq!(
        missing,
        "strata: error: could not open file \"no/such/file\": No such file or directory\n"
    );
    let both = fails(&["-f", path, "-c", "SELECT 1"]);
    assert!(both.ends_with("(try \"strata sql --help\")\n"), "{both}");
    // The engine was closed each time: a process with it open would keep its lock file.
    assert!(!std::path::Path::new(&data).join("postmaster.pid").exists());
}

#[test]
fn a_full_disk_is_told_as_by_the_other_commands() {
    let (_place, data) = data();
    let full = File::options().write(true).open("/dev/full").expect("/dev/full");
    let mut command = strata(&["sql", "-D", &data, "--sync-method", "none", "-c", "SELECT 1"]);
    let output = command.stdout(full).output().expect("strata runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "strata: error: could not write to standard output: No space left on device\n"
    );
}

#[test]
fn a_session_is_warned_of_ids_that_end_and_refused_until_a_vacuum() {
    const VACUUM: &str =
        "HINT:  To avoid a database shutdown, execute a database-wide VACUUM in that database.\n";
    const ALSO: &str = "You might also need to commit or roll back old prepared transactions, or drop stale replication slots.\n";
    let place = place();
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    assert!(strata(&["init", "-D", path]).status().expect("strata runs").success());
    let told = |command: &str| {
        let output = sql(path, &["-c", command]);
        text(&output.stdout) + &text(&output.stderr)
    };
    let made = told("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    assert_eq!(made, "CREATE TABLE\nINSERT 0 1\n");
    // The oldest id is 3.
    let wrap = 3 + (u32::MAX >> 1);
    let within = |ids: u32| {
        format!(
            "WARNING:  database \"postgres\" must be vacuumed within {ids} transactions\n{VACUUM}{ALSO}"
        )
    };
    reset_next_xid(&data, wrap - 40_000_000 - 1);
    assert_eq!(told("INSERT INTO t VALUES (10)"), "INSERT 0 1\n");
    let warned = told("INSERT INTO t VALUES (11)");
    assert!(warned.contains("INSERT 0 1\n") && warned.contains(&within(40_000_000)), "{warned}");
    reset_next_xid(&data, wrap - 3_000_000 - 1);
    let warned = told("INSERT INTO t VALUES (20)");
    assert!(warned.contains("INSERT 0 1\n") && warned.contains(&within(3_000_001)), "{warned}");
    assert_eq!(
        told("INSERT INTO t VALUES (21)"),
        format!(
            "ERROR:  database is not accepting commands to avoid wraparound data loss in database \"postgres\"\n\
             HINT:  Stop the postmaster and vacuum that database in single-user mode.\n{ALSO}"
        )
    );
    let vacuumed = told("VACUUM (FREEZE)");
    let bypassed = "WARNING:  bypassing nonessential maintenance of table \"postgres.public.t\" as a failsafe after 0 index scans\n\
        DETAIL:  The table's relfrozenxid or relminmxid is too far in the past.\n";
    assert!(vacuumed.contains("VACUUM\n") && vacuumed.contains(bypassed), "{vacuumed}");
    assert_eq!(told("INSERT INTO t VALUES (30)"), "INSERT 0 1\n");
    assert_eq!(told("SELECT id FROM t ORDER BY id"), "id\n1\n10\n11\n20\n30\n(5 rows)\n");
}
