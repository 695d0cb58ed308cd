//! `strata run list-append`, `register` and `strata check`: recorded, held against its level, told in text and JSON.

use std::path::Path;
use std::process::Output;

use crate::strata;

fn record(directory: &Path, load: &str, options: &[&str]) -> Output {
    let data = directory.join("data");
    let data = data.to_str().expect("a path in UTF-8");
    let mut arguments = vec!["run", load, "-D", data, "--transactions", "600", "-T", "60"];
    arguments.extend(["--sync-method", "none", "--asynchronous", "-c", "4"]);
    arguments.extend(options);
    strata(&arguments).output().expect("strata runs")
}

fn check(arguments: &[&str]) -> Output {
    strata(&[&["check"], arguments].concat()).output().expect("strata runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn what_the_engine_does_is_what_its_level_promises() {
    for load in ["list-append", "register"] {
        for mode in ["classic", "commit-ts", "mirror"] {
            for level in [&[][..], &["--repeatable-read"]] {
                let place = tempfile::tempdir().expect("a directory");
                let history = place.path().join("history");
                let history = history.to_str().expect("a path in UTF-8");
                let options = [&["--mode", mode, "--history", history], level].concat();
                let recorded = record(place.path(), load, &options);
                assert!(recorded.status.success(), "{}", text(&recorded.stderr));
                let checked = check(&[history]);
                let report = text(&checked.stdout);
                assert!(checked.status.success(), "{load} {mode}\n{report}");
                let level = if level.is_empty() { "read committed" } else { "repeatable read" };
                assert!(
                    report.starts_with(&format!("history             {load} at {level}, {mode} "))
                );
                let verdict = format!("verdict             nothing that {level} forbids\n");
                assert!(report.ends_with(&verdict), "{report}");
            }
        }
    }
}

#[test]
fn sums_stay_in_every_snapshot_whatever_rows_are_hot_and_subtransactions_are_rolled_back() {
    for (load, mode, level) in
        [("bank", "classic", &["--repeatable-read"][..]), ("tpcb", "mirror", &[])]
    {
        let place = tempfile::tempdir().expect("a directory");
        let data = place.path().join("data");
        let data = data.to_str().expect("a path in UTF-8");
        let mut arguments = vec!["run", load, "-D", data, "-T", "1", "-c", "4", "-s", "1"];
        arguments.extend(["--sync-method", "none", "--asynchronous", "--mode", mode]);
        arguments.extend(["--hot-rows", "3", "--subtransactions", "70"]);
        arguments.extend(["--long-readers", "2", "--hold", "0.2"]);
        arguments.extend(level);
        let run = strata(&arguments).output().expect("strata runs");
        let report = text(&run.stdout);
        assert!(run.status.success(), "{report}\n{}", text(&run.stderr));
        assert!(report.contains("long readers        ") && report.contains("all sums right"));
        assert!(report.contains("tables              account "), "{report}");
        // Strangers to each other are refused.
        let wrong = strata(&["run", "register", "--hot-rows", "3"]).output().expect("strata runs");
        assert_eq!(
            text(&wrong.stderr),
            "strata: error: --hot-rows does not go with a load that is recorded (try \"strata run --help\")\n"
        );
    }
}

#[test]
fn json_is_an_object_a_file_and_a_stricter_level_can_be_asked_for() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("history");
    let history = history.to_str().expect("a path in UTF-8");
    // Two keys, so that there is write skew.
    let options = ["--history", history, "--keys", "2", "--repeatable-read"];
    assert!(record(place.path(), "list-append", &options).status.success());
    let checked = check(&["--format=json", history, history]);
    let objects: Vec<serde_json::Value> = text(&checked.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(objects[0]["is_clean"], true);
    assert_eq!(objects[0]["file"], history);
    assert_eq!(objects[0]["header"]["workload"], "list-append");
    assert_eq!(objects[0]["level"], "repeatable-read");
    assert!(checked.status.success());

    let strict = check(&["--format=json", "--level=serializable", history]);
    let object: serde_json::Value = serde_json::from_slice(&strict.stdout).expect("JSON");
    assert_eq!(strict.status.success(), object["is_clean"] == true);
}

#[test]
fn a_history_in_jepsens_form() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("history.edn");
    let path = history.to_str().expect("a path in UTF-8");
    let options = ["--history", path, "--history-format", "edn"];
    assert!(record(place.path(), "list-append", &options).status.success());
    let text = std::fs::read_to_string(&history).expect("the history");
    assert!(text.starts_with("[{:index 0, :type :invoke, :f :txn, :value [["));
    assert!(text.ends_with("}]\n"));
    let invocations = text.matches(":type :invoke").count();
    let completions =
        [":ok", ":fail", ":info"].map(|kind| text.matches(&format!(":type {kind},")).count());
    assert_eq!(invocations, completions.iter().sum::<usize>());
    assert!(invocations >= 600);
}

#[test]
fn what_cannot_be_checked_says_why() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("history");
    let path = history.to_str().expect("a path in UTF-8");
    assert!(record(place.path(), "register", &["--history", path]).status.success());
    let whole = std::fs::read(&history).expect("the history");
    std::fs::write(&history, &whole[..whole.len() - 5]).expect("a shorter one");
    let cut = check(&[path]);
    assert_eq!(cut.status.code(), Some(1));
    assert_eq!(
        text(&cut.stderr),
        format!(
            "strata: error: \"{path}\": the history is damaged at byte {}: it ends here, and 5 bytes are missing \
             (record it again)\n",
            whole.len() - 5
        )
    );
    std::fs::write(&history, "something else, with some more bytes").expect("another file");
    let other = check(&[path]);
    assert_eq!(
        text(&other.stderr),
        format!(
            "strata: error: \"{path}\": this is no recorded history (it does not begin with \"PGSTHIST\")\n"
        )
    );
    let missing = check(&["no/such/file"]);
    assert_eq!(
        text(&missing.stderr),
        "strata: error: could not open history \"no/such/file\": No such file or directory\n"
    );
    assert_eq!(
        text(&check(&[]).stderr),
        "strata: error: <FILE>... is missing (try \"strata check --help\")\n"
    );
    let load = strata(&["run", "bank", "--keys", "3"]).output().expect("strata runs");
    assert_eq!(
        text(&load.stderr),
        "strata: error: --keys needs a load that is recorded (try \"strata run --help\")\n"
    );
}
