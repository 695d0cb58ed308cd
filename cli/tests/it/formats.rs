//! JSON and CSV: well-formed whatever the record, and of the same content as the text.

use serde_json::Value;

use crate::corpus::{self, assert_same};

/// The descriptions and positions of records as text.
struct Line {
    lsn: String,
    rmgr: String,
    record_type_and_description: String,
}

fn lines(stdout: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(stdout);
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("rmgr: ")) {
        let lsn = line.split("lsn: ").nth(1).and_then(|rest| rest.split(',').next());
        let (high, low) = lsn.and_then(|lsn| lsn.split_once('/')).expect("a position");
        let low = u32::from_str_radix(low, 16).expect("a position");
        let description = line.split_once(", desc: ").expect("a description").1;
        lines.push(Line {
            lsn: format!("{high}/{low:X}"),
            rmgr: line.split_whitespace().nth(1).expect("a resource manager").to_owned(),
            record_type_and_description: description.to_owned(),
        });
    }
    lines
}

/// Text with `-b`, where the description ends its line.
fn text(corpus: &corpus::Corpus) -> Vec<Line> {
    lines(&corpus.waldump(&["-b"]).stdout)
}

#[test]
fn json_says_of_each_record_what_the_text_says() {
    for corpus in corpus::all() {
        let text = text(&corpus);
        let output = corpus.waldump(&["--format=json"]);
        let json = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let records: Vec<Value> = json
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect();
        assert_eq!(records.len(), text.len(), "{}", corpus.name);
        for (record, line) in records.iter().zip(&text) {
            let string = |key: &str| record[key].as_str().expect("a string").to_owned();
            assert_eq!(string("lsn"), line.lsn, "{}", corpus.name);
            assert_eq!(string("rmgr"), line.rmgr, "{}", corpus.name);
            let described = format!("{} {}", string("type"), string("description"));
            assert_eq!(described, line.record_type_and_description, "{}", corpus.name);
            assert!(record.get("payload_error").is_none(), "{}: {record}", corpus.name);
            let images: u64 = record["blocks"]
                .as_array()
                .expect("blocks")
                .iter()
                .filter_map(|block| block["image"]["length"].as_u64())
                .sum();
            assert_eq!(record["image_length"], images, "{}: {record}", corpus.name);
        }
    }
}

#[test]
fn csv_says_of_each_record_what_the_text_says() {
    for corpus in corpus::all() {
        let text = text(&corpus);
        let output = corpus.waldump(&["--format=csv"]);
        let mut reader = csv::Reader::from_reader(&output.stdout[..]);
        let names = reader.headers().expect("a line of names").clone();
        let column = |name: &str| names.iter().position(|found| found == name).expect("a column");
        let (lsn, kind, description) = (column("lsn"), column("type"), column("description"));
        let rows: Vec<csv::StringRecord> =
            reader.records().map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), text.len(), "{}", corpus.name);
        for (row, line) in rows.iter().zip(&text) {
            assert_eq!(row[lsn], line.lsn, "{}", corpus.name);
            let described = format!("{} {}", &row[kind], &row[description]);
            assert_eq!(described, line.record_type_and_description, "{}", corpus.name);
        }
    }
}

/// The same bytes whatever the number of threads.
#[test]
fn threads_do_not_change_the_output() {
    for corpus in corpus::all() {
        for options in [
            &["-b"][..],
            &["--format=json", "-r", "heap", "-r", "transaction"],
            &["--stats=record"],
            &["--stats=relation", "--top=7"],
            &["--stats=transaction", "--top=7", "--format=csv"],
        ] {
            let with = |threads: &str| {
                let mut all = options.to_vec();
                all.extend(["--threads", threads]);
                corpus.waldump(&all).stdout
            };
            let what = format!("{} {options:?}", corpus.name);
            let one = with("1");
            assert_same(&what, &one, &with("2"));
            assert_same(&what, &one, &with("7"));
        }
    }
}
