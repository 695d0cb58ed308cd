//! `strata run list-append`, `register` and `strata check`: recorded, held against its level, told in text and JSON.

use std::path::Path;
use std::process::Output;

use ::history::{Block, Header, Level, Operation, Outcome, Transaction, Workload, Writer};

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
    }
}

/// Writes a history in which two transactions each read what the other wrote over.
fn write_skew(path: &str) {
    use Operation::{Append, ReadList};
    let run = |session, operations: &[Operation]| {
        let operations = operations.to_vec();
        Transaction { session, number: 1, begin: 0, end: 10, outcome: Outcome::Ok, operations }
    };
    let header = Header {
        workload: Workload::ListAppend,
        level: Level::RepeatableRead,
        snapshots: "classic".to_owned(),
        seed: 1,
        sessions: 3,
    };
    let read = |key, values: &[u64]| ReadList { key, values: values.to_vec() };
    let mut block = Block::default();
    for transaction in [
        run(0, &[read(1, &[]), Append { key: 2, value: 2 }]),
        run(1, &[read(2, &[]), Append { key: 1, value: 1 }]),
        run(2, &[read(1, &[1]), read(2, &[2])]),
    ] {
        block.push(&transaction).expect("room");
    }
    let file = std::fs::File::create(path).expect("a file");
    let mut writer = Writer::new(file, &header).expect("a header");
    writer.write(&mut block).expect("a block");
    writer.finish().expect("an end");
}

#[test]
fn json_is_an_object_a_file_and_a_stricter_level_can_be_asked_for() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("history");
    let history = history.to_str().expect("a path in UTF-8");
    write_skew(history);
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
    assert_eq!(object["level"], "serializable");
    assert_eq!(object["is_clean"], false);
    assert_eq!(object["anomalies"][0]["anomaly"], "G2-item");
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn a_history_in_jepsens_form() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("history.edn");
    let path = history.to_str().expect("a path in UTF-8");
    let options = ["--history", path, "--history-format", "edn"];
    assert!(record(place.path(), "list-append", &options).status.success());
    let edn = std::fs::read_to_string(&history).expect("the history");
    let (comment, maps) = edn.split_once('\n').expect("two lines");
    assert_eq!(
        comment,
        "; pgstrata history {:workload :list-append, :level :read-committed, :snapshots \"classic\", :seed 1, :sessions 4, :step 5}"
    );
    assert!(maps.starts_with("[{:index 0, :type :invoke, :f :txn, :value [["));
    assert!(edn.ends_with("}]\n"));
    let invocations = edn.matches(":type :invoke").count();
    let completions =
        [":ok", ":fail", ":info"].map(|kind| edn.matches(&format!(":type {kind},")).count());
    assert_eq!(invocations, completions.iter().sum::<usize>());
    assert!(invocations >= 600);
    let checked = check(&[path]);
    let report = text(&checked.stdout);
    assert!(checked.status.success(), "{report}");
    let header = "history             list-append at read committed, classic snapshots, seed 1, 4 sessions\n";
    assert!(report.starts_with(header), "{report}");
    // It stays what it was, whatever it is held against.
    let report = text(&check(&["--level", "serializable", path]).stdout);
    assert!(report.starts_with(header), "{report}");
    // Another program's, which does not say at which level it ran.
    std::fs::write(&history, maps).expect("written");
    let told = "the history does not say which level it ran at (name the one to hold it against)";
    let unsaid = check(&[path]);
    assert_eq!(unsaid.status.code(), Some(1));
    assert_eq!(text(&unsaid.stderr), format!("strata: error: \"{path}\": {told}\n"));
    assert!(check(&["--level", "read-committed", path]).status.success());
    std::fs::write(&history, &edn[..edn.len() - 30]).expect("cut off");
    let cut = text(&check(&[path]).stderr);
    let line = edn.lines().count();
    assert!(
        cut.contains(&format!("\"{path}\": the history is wrong at line {line}, column ")),
        "{cut}"
    );
}

#[test]
fn a_history_that_cannot_be_written_is_told_before_the_run() {
    let place = tempfile::tempdir().expect("a directory");
    let history = place.path().join("no/such/directory");
    let history = history.to_str().expect("a path in UTF-8");
    for form in ["bincode", "edn"] {
        let options = ["--history", history, "--history-format", form];
        let output = record(place.path(), "register", &options);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        let expected = format!(
            "strata: error: could not write history \"{history}\": No such file or directory\n"
        );
        assert!(told.ends_with(&expected), "{told}");
        // A run begins by making its table.
        let data = place.path().join("data");
        let data = data.to_str().expect("a path in UTF-8");
        let dumped = strata(&["dump", "-D", data]).output().expect("strata runs");
        assert!(dumped.status.success() && !text(&dumped.stdout).contains("COPY "), "{dumped:?}");
    }
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
            "strata: error: \"{path}\": this is no recorded history (it does not begin with \"PGSTHIST\", \
             nor as EDN does with '[', '{{' or ';')\n"
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
    let refused = |arguments: &[&str]| {
        let output = strata(&[&["run"], arguments].concat()).output().expect("strata runs");
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    assert_eq!(
        refused(&["register", "--hot-rows", "3"]),
        "strata: error: --hot-rows does not go with a load that is recorded (try \"strata run --help\")\n"
    );
    for load in ["register", "bank"] {
        assert_eq!(
            refused(&[load, "--hold", "3"]),
            "strata: error: --long-readers <N> is missing (try \"strata run --help\")\n"
        );
    }
    assert_eq!(
        refused(&["bank", "--keys", "3"]),
        "strata: error: --keys needs a load that is recorded (try \"strata run --help\")\n"
    );
}
