//! The report of `cargo xtask bench snapshot` says what was measured.

use std::fs;

use bench::RUNNING;
use bench::snapshot_report::{Estimates, write};

#[test]
fn the_report_says_what_was_measured_and_which_goals_are_reached() {
    let place = tempfile::tempdir().expect("a directory");
    let measured = [
        ("take", "rebuilt", 100.0),
        ("take", "reused", 4.0),
        ("take", "commit-ts by marker", 5.0),
        ("take", "commit-ts in order", 12.0),
        ("take", "commit-ts in order, first of a transaction", 30.0),
        ("membership", "search", 2.0),
        ("membership", "linear search", 8.0),
    ];
    for (group, function, median) in measured {
        for running in RUNNING {
            let directory = place.path().join(format!("{group}/{function}/{running}/new"));
            fs::create_dir_all(&directory).expect("made");
            let estimates = format!(r#"{{"median": {{"point_estimate": {median}}}}}"#);
            fs::write(directory.join("estimates.json"), estimates).expect("written");
        }
    }
    let rows = RUNNING.map(|running| {
        format!(r#"{{"running": {running}, "reused_ns": 40.0, "rebuilt_ns": 250.0}}"#)
    });
    let peer = format!(r#"{{"conditions": [["machine", "one"]], "rows": [{}]}}"#, rows.join(", "));
    let peer = serde_json::from_str(&peer).expect("figures");
    let output = place.path().join("snapshot.md");
    write(&peer, &Estimates::new(place.path()), &[], &output).expect("written");
    let report = fs::read_to_string(&output).expect("a report");
    for expected in [
        "| machine | one |",
        "(snapshot.svg)",
        "| 1000 | 250 | 100 | **2.5** | 40 | 4.0 | **10.0** | 5.0 | 12.0 | 30.0 |",
        "| 100 | 2.0 | 8.0 | **4.0** |",
        "| classic, reused: under 10 ns | yes | 4.0 ns at worst |",
        "| commit-timestamp in order: under 10 ns, whatever runs | **no** | 12.0 to 12.0 ns |",
    ] {
        assert!(report.contains(expected), "{expected} is not in\n{report}");
    }
    let plot = fs::read_to_string(place.path().join("snapshot.svg")).expect("a plot");
    assert!(plot.contains("classic, reused") && plot.contains("running transactions"));
}
