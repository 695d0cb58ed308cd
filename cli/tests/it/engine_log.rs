//! The log that the engine leaves: `strata waldump` prints of it what `pg_waldump` prints, every record, none unknown.

use super::programs::{give, place, printed, program, take_back};
use super::strata;

/// Of a data directory that keeps all of its log.
const FIRST_SEGMENT: &str = "000000010000000000000001";

fn run(arguments: &[&str]) -> std::process::Output {
    strata(arguments).output().expect("strata starts")
}

#[test]
fn both_programs_print_the_same_of_every_record() {
    let place = place();
    let data = place.path().join("data");
    let path = data.to_str().expect("a plain name");
    let load = |more: &[&str]| {
        let fixed = ["run", "tpcb", "-D", path, "-c", "2", "-s", "1", "-T", "1"];
        run(&[&fixed[..], &["--wal-keep-size", "1000"], more].concat())
    };
    assert!(run(&["init", "-D", path, "--wal-segsize", "1"]).status.success());
    for more in [
        &["--checkpoint-timeout", "1", "--wal-compression", "pglz"][..],
        &["--mode", "commit-ts", "--wal-compression", "lz4", "--crash"],
        &["--asynchronous", "--wal-compression", "zstd", "--repeatable-read"],
        &["--restore-point", "the end"],
    ] {
        let output = load(more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), !more.contains(&"--crash"), "{more:?}: {said}");
    }
    give(&data);
    let control = printed(program("pg_controldata").arg(path));
    let value = |label: &str| {
        let line = control.lines().find_map(|line| line.strip_prefix(label));
        line.unwrap_or_else(|| panic!("{label} {control}")).trim().to_owned()
    };
    assert_eq!(value("Database cluster state:"), "shut down");
    // The checkpoint of the shutdown is the last record; the end is where it starts, so that neither looks for more.
    let end = value("Latest checkpoint location:");
    let last = value("Latest checkpoint's REDO WAL file:");
    let pg_wal = data.join("pg_wal");
    let pg_wal = pg_wal.to_str().expect("a plain name");
    let arguments = ["-p", pg_wal, "-e", &end, FIRST_SEGMENT, &last];
    let theirs = printed(program("pg_waldump").args(arguments));
    take_back(&data);
    let ours = run(&[&["waldump"], &arguments[..]].concat());
    let said = String::from_utf8_lossy(&ours.stderr);
    assert!(ours.status.success() && said.is_empty(), "{said}");
    let ours = String::from_utf8(ours.stdout).expect("text");
    for (line, (theirs, ours)) in theirs.lines().zip(ours.lines()).enumerate() {
        assert_eq!(theirs, ours, "record {line}");
    }
    assert!(theirs == ours, "{} and {} bytes", theirs.len(), ours.len());
    assert!(theirs.lines().count() > 1000 && !theirs.contains("UNKNOWN"), "{}", theirs.len());
    for kind in ["CHECKPOINT_ONLINE", "FPW", "HOT_UPDATE", "COMMIT", "RESTORE_POINT the end"] {
        assert!(theirs.contains(kind), "no {kind}");
    }
}
