//! Statistics by relation and transaction: their sums are those by resource manager, which are
//! pg_waldump's own.

use serde_json::Value;

use crate::corpus::{self, Corpus};

fn report(corpus: &Corpus, options: &[&str]) -> Value {
    let mut all = options.to_vec();
    all.push("--format=json");
    let output = corpus.waldump(&all);
    serde_json::from_slice(&output.stdout).expect("a report is one JSON object")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Whatever is shown, others and rest add up to the whole log.
#[test]
fn rows_add_up_to_the_log() {
    for corpus in corpus::all() {
        let total = report(&corpus, &["--stats"])["total"].clone();
        for (by, rows, rest) in [
            ("relation", "relations", "without_relation"),
            ("transaction", "transactions", "without_transaction"),
        ] {
            for top in ["1", "5", "100000"] {
                let report = report(&corpus, &[&format!("--stats={by}"), "--top", top]);
                let what = format!("{} {by} {top}", corpus.name);
                assert_eq!(report["total"]["records"], total["count"], "{what}");
                assert_eq!(report["total"]["record_bytes"], total["record_bytes"], "{what}");
                assert_eq!(report["total"]["image_bytes"], total["image_bytes"], "{what}");
                let rows = report[rows].as_array().expect("rows");
                let parts = rows.iter().chain([&report["others"], &report[rest]]);
                for key in ["record_bytes", "image_bytes"] {
                    let sum: u64 = parts.clone().map(|row| number(&row[key])).sum();
                    assert_eq!(sum, number(&report["total"][key]), "{what} {key}");
                }
                let sizes: Vec<u64> = rows.iter().map(|row| number(&row["bytes"])).collect();
                assert!(sizes.is_sorted_by(|one, other| one >= other), "{what}");
                let causes = &report["total"]["images"];
                let images = ["first_touch", "hint_bit", "forced", "verification"];
                let sum: u64 = images.iter().map(|cause| number(&causes[cause]["bytes"])).sum();
                assert_eq!(sum, number(&total["image_bytes"]), "{what}");
            }
        }
    }
}

/// A relation's row has the records that `--relation` shows.
#[test]
fn a_relation_has_the_records_that_its_filter_shows() {
    let corpus = corpus::of("15-main");
    let report = report(&corpus, &["--stats=relation", "--top=3"]);
    for row in report["relations"].as_array().expect("rows") {
        let relation = format!("{}/{}/{}", row["tablespace"], row["database"], row["relation"]);
        let shown = corpus.waldump(&["-R", &relation]).stdout;
        let lines = shown.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(number(&row["records"]), lines as u64, "{relation}");
    }
}

/// Several relations are shown together.
#[test]
fn several_relations_are_a_union() {
    let corpus = corpus::of("15-main");
    let report = report(&corpus, &["--stats=relation", "--top=2"]);
    let relations: Vec<String> = report["relations"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| format!("{}/{}/{}", row["tablespace"], row["database"], row["relation"]))
        .collect();
    let lines = |options: &[&str]| -> std::collections::BTreeSet<String> {
        let stdout = corpus.waldump(options).stdout;
        String::from_utf8_lossy(&stdout).lines().map(str::to_owned).collect()
    };
    let both = lines(&["-R", &relations[0], "--relation", &relations[1]]);
    let mut union = lines(&["-R", &relations[0]]);
    union.extend(lines(&["-R", &relations[1]]));
    assert_eq!(both, union);
}

/// How each transaction ended is what the log's own records of transactions say.
#[test]
fn outcomes_are_those_of_the_log() {
    for corpus in corpus::all() {
        let report = report(&corpus, &["--stats=transaction", "--top=100000"]);
        let text = corpus.waldump(&["-r", "Transaction"]).stdout;
        let text = String::from_utf8_lossy(&text);
        let committed: std::collections::HashSet<&str> = text
            .lines()
            .filter_map(|line| {
                let xid = line.split("tx:").nth(1)?.split(',').next()?.trim();
                let description = line.split_once("desc: ")?.1;
                if description.starts_with("COMMIT ") {
                    return Some(xid);
                }
                let prepared = description.strip_prefix("COMMIT_PREPARED ")?;
                prepared.split_once(": ").map(|(xid, _)| xid)
            })
            .collect();
        let rows = report["transactions"].as_array().expect("rows");
        let wraps = corpus.name.ends_with("wrap");
        for row in rows.iter().filter(|_| !wraps) {
            let xid = row["xid"].to_string();
            let is_committed = row["outcome"] == "committed";
            assert_eq!(is_committed, committed.contains(&xid[..]), "{}: {row}", corpus.name);
        }
        let outcomes = &report["outcomes"];
        let sum: u64 = outcomes.as_object().expect("outcomes").values().map(number).sum();
        assert_eq!(sum, rows.len() as u64, "{}", corpus.name);
    }
}
