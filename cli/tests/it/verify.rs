//! `strata verify`: sound logs are sound, and damage is found, named, and looked behind.

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde_json::Value;

use crate::corpus::{self, strata};

fn report(directory: &Path, arguments: &[&str]) -> (Value, Option<i32>) {
    let mut command = strata(directory);
    let output = command.args(["verify", "--format=json"]).args(arguments).output();
    let output = output.expect("strata runs");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (report, output.status.code())
}

#[test]
fn whole_logs_are_sound() {
    for corpus in corpus::all() {
        let (report, code) = report(&corpus.directory, &["."]);
        let is_torn = corpus.name.ends_with("torn");
        assert_eq!(report["sound"], !is_torn, "{}: {report:#}", corpus.name);
        assert_eq!(code, Some(i32::from(is_torn)), "{}", corpus.name);
        let text = strata(&corpus.directory).args(["verify", "pg_wal"]).output();
        let text = text.expect("strata runs");
        assert_eq!(text.status.code(), code, "{}", corpus.name);
        let verdict = if is_torn { "not sound" } else { "sound" };
        let text = String::from_utf8_lossy(&text.stdout);
        assert!(text.contains(&format!("verdict     {verdict}")), "{}: {text}", corpus.name);
    }
}

/// A flipped byte in the middle: PostgreSQL would end there, and never see the commits behind.
#[test]
fn what_lies_behind_damage_is_found() {
    let corpus = corpus::of("15-main");
    let place = tempfile::tempdir().expect("a temporary directory");
    for name in &corpus.timelines[0].segments {
        let from = corpus.directory.join("pg_wal").join(name);
        std::fs::copy(from, place.path().join(name)).expect("a segment can be copied");
    }
    let (before, code) = report(place.path(), &["."]);
    assert_eq!(code, Some(0));
    // The checksum of the record in the middle.
    let text = corpus.waldump(&[]).stdout;
    let text = String::from_utf8_lossy(&text);
    let position = |line: &str| {
        let (_, lsn) = line.split_once("lsn: 0/").expect("a position");
        u64::from_str_radix(&lsn[..8], 16).expect("a position")
    };
    let mut from_middle = text.lines().skip(text.lines().count() / 2).map(position);
    // Its header must lie within a page.
    let lsn = from_middle.find(|lsn| lsn % 8192 < 8192 - 24).expect("a record");
    let damaged = format!("{:08X}{:08X}{:08X}", 1, 0, lsn >> 24);
    let path = place.path().join(&damaged);
    let file = std::fs::File::options().read(true).write(true).open(path).expect("a segment");
    let mut byte = [0];
    let offset = lsn % (1 << 24) + 20;
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0xFF], offset).expect("a byte");

    let (after, code) = report(place.path(), &["."]);
    assert_eq!(code, Some(1));
    assert_eq!(after["sound"], false);
    let breaks = after["breaks"].as_array().expect("breaks");
    assert_eq!(breaks.len(), 2, "{after:#}");
    assert_eq!(breaks[0]["segment"], damaged);
    let number = |value: &Value| value.as_u64().expect("a number");
    let stranded = &breaks[0]["stranded"];
    assert_eq!(number(&after["stranded_records"]), number(&stranded["records"]));
    let seen = number(&after["verified"]["records"]) + number(&stranded["records"]);
    assert_eq!(seen + 1, number(&before["verified"]["records"]), "one record is lost");
    assert_eq!(stranded["end"], before["verified"]["end"]);

    // waldump stops there, with PostgreSQL's words.
    let segments = &corpus.timelines[0].segments;
    let output = strata(place.path())
        .args(["waldump", "-z", &segments[0], &segments[segments.len() - 1]])
        .output()
        .expect("strata runs");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = after["verified"]["last"].as_str().expect("a position");
    let message = breaks[0]["message"].as_str().expect("a message");
    assert_eq!(stderr, format!("strata: error: error in WAL record at {last}: {message}\n"));
}

/// A segment that is missing in the middle is damage, one that is missing at the end is the end.
#[test]
fn missing_segments_are_told_from_the_end() {
    let corpus = corpus::of("15-main");
    let place = tempfile::tempdir().expect("a temporary directory");
    let segments = &corpus.timelines[0].segments;
    for name in segments.iter().filter(|name| *name != &segments[1]) {
        let from = corpus.directory.join("pg_wal").join(name);
        std::fs::copy(from, place.path().join(name)).expect("a segment can be copied");
    }
    let (report, code) = report(place.path(), &["."]);
    assert_eq!(code, Some(1));
    assert_eq!(report["breaks"][0]["cause"], "missing_segment", "{report:#}");
    assert!(report["breaks"][0]["stranded"]["records"].as_u64() > Some(0), "{report:#}");
}

/// Where valid records lie behind, nothing is called an end or a last record that was being written.
#[test]
fn pages_in_the_middle_are_told_from_the_end() {
    let corpus = corpus::of("15-main");
    let segments = &corpus.timelines[0].segments;
    let copy = || {
        let place = tempfile::tempdir().expect("a temporary directory");
        for name in segments {
            let from = corpus.directory.join("pg_wal").join(name);
            std::fs::copy(from, place.path().join(name)).expect("a segment can be copied");
        }
        place
    };
    let cause_in = |place: &Path| {
        let (report, code) = report(place, &["."]);
        assert_eq!(code, Some(1));
        let first = &report["breaks"][0];
        assert!(first["stranded"]["records"].as_u64() > Some(0), "{report:#}");
        first["cause"].as_str().expect("a cause").to_owned()
    };
    let page = |place: &Path, name: &str, offset: u64| {
        let file = std::fs::File::open(place.join(name)).expect("a segment");
        let mut page = [0; 8192];
        file.read_exact_at(&mut page, offset).expect("a page");
        page
    };
    let overwrite = |place: &Path, page: &[u8; 8192]| {
        let file = std::fs::File::options().write(true).open(place.join(&segments[1]));
        file.expect("a segment").write_all_at(page, 300 * 8192).expect("a page");
    };

    let zeroed = copy();
    overwrite(zeroed.path(), &[0; 8192]);
    assert_eq!(cause_in(zeroed.path()), "zeroed_page");

    let older = copy();
    overwrite(older.path(), &page(older.path(), &segments[0], 300 * 8192));
    assert_eq!(cause_in(older.path()), "misplaced_page");

    let swapped = copy();
    let at = |index: usize| swapped.path().join(&segments[index]);
    std::fs::rename(at(1), swapped.path().join("aside")).expect("a rename");
    std::fs::rename(at(2), at(1)).expect("a rename");
    std::fs::rename(swapped.path().join("aside"), at(2)).expect("a rename");
    assert_eq!(cause_in(swapped.path()), "misplaced_page");
}
