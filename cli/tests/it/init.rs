//! `strata init` makes what `strata` and PostgreSQL's programs read.

use std::process::Output;

use super::strata;

fn run(arguments: &[&str]) -> Output {
    strata(arguments).output().expect("strata starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_it_makes_is_read_by_the_other_commands() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let data = data.to_str().expect("a plain name");
    let made = run(&["init", "-D", data, "--wal-segsize", "1", "--no-data-checksums"]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(made.stdout.is_empty());
    assert!(text(&made.stderr).starts_with("strata: made data directory"));
    let control = text(&run(&["controldata", data]).stdout);
    for (label, value) in [
        ("Database cluster state:", "shut down"),
        ("Bytes per WAL segment:", "1048576"),
        ("Data page checksum version:", "0"),
        ("track_commit_timestamp setting:", "on"),
    ] {
        let line = control.lines().find_map(|line| line.strip_prefix(label));
        assert_eq!(line.map(str::trim), Some(value), "{label} in {control}");
    }
    let verified = text(&run(&["verify", data]).stdout);
    assert!(verified.contains("1 records") && verified.contains("sound"), "{verified}");
}

#[test]
fn what_it_cannot_do_it_says_in_one_line() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().to_str().expect("a plain name");
    std::fs::write(place.path().join("file"), "x").expect("written");
    for (arguments, expected) in [
        (&["init"][..], "no data directory specified (try \"strata init --help\")"),
        (&["init", data], "exists and is not empty (remove it, or name another one)"),
        (&["init", "-D", data, "--wal-segsize=3"], "a power of two between 1 and 1024, not \"3\""),
        (&["init", "/no/such/place"], "could not create \"/no/such/place\": No such file"),
    ] {
        let output = run(arguments);
        let messages = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{messages}");
        assert!(
            messages.starts_with("strata: error: ") && messages.contains(expected),
            "{messages}"
        );
        assert_eq!(messages.lines().count(), 1, "{messages}");
    }
}
