//! pg_walinspect of 15, 16, 17 and 18 against this crate, over the corpus: every record with its description
//! and block references, every block with its data and its restored image, every statistic. No difference
//! is allowed.

use base::disk::RealDisk;
use base::sync::Arc;
use base::{Lsn, PAGE_SIZE};
use wal::line::{compression_method, push_full_references};
use wal::read::{RecordReader, Stop};
use wal::record::{
    BLOCK_HAS_DATA, IMAGE_APPLY, IMAGE_COMPRESSED, IMAGE_HAS_HOLE, IMAGE_LZ4, IMAGE_PGLZ,
    IMAGE_ZSTD,
};
use wal::rmgr::{push_name, push_record_type};
use wal::source::{Log, Options};
use wal::stats::{Grouping, Statistics};
use wal::text::{Dialect, Text};
use wal::{BlockRef, Record, Version, image};

use crate::corpus::{self, Corpus, Golden};

type Row = Vec<Option<String>>;

/// The records of a query's range, in order.
fn for_each_record(corpus: &Corpus, golden: &Golden, mut see: impl FnMut(&Record<'_>)) {
    let position = |text: &str| text.parse::<Lsn>().expect("the query's range are two LSNs");
    let literals = golden.literals();
    let (start, end) = (position(literals[0]), position(literals[1]));
    let options = Options { start: Some(start), ..Options::default() };
    let log = Log::open(Arc::new(RealDisk), &corpus.directory, options).expect("a corpus opens");
    let mut reader = RecordReader::new(Arc::new(log));
    reader.find_first(start).expect("the range has a record");
    // The query's range may end where the log then ended, before a record that was written later.
    while reader.position().next < end {
        match reader.next_record() {
            Ok(record) if record.end() <= end => see(&record),
            Ok(_) | Err(Stop::EndReached) => return,
            Err(stop) => panic!("{}: {stop}", golden.name),
        }
    }
}

fn text(push: impl FnOnce(&mut Text)) -> String {
    let mut out = Text::new(Dialect::Server);
    push(&mut out);
    String::from_utf8_lossy(out.as_bytes()).into_owned()
}

/// Compares our rows with the server's; says how many there were.
fn compare(golden: &Golden, ours: Vec<Row>) -> usize {
    let theirs: Vec<Row> = golden.rows().collect();
    for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "{}, row {}", golden.name, number + 1);
    }
    assert_eq!(ours.len(), theirs.len(), "{}: number of rows", golden.name);
    theirs.len()
}

fn over_all(query: &str, rows: impl Fn(&Corpus, &Golden) -> Vec<Row>) {
    let zone = std::env::var("TZ");
    assert_eq!(zone.as_deref(), Ok("UTC"), "the servers ran with TZ=UTC: run `cargo xtask test`");
    let mut compared = 0;
    let mut majors = std::collections::BTreeSet::new();
    for corpus in corpus::all() {
        // That server has loaded the extension whose records these are, and lets it describe them.
        if corpus.name().ends_with("-custom") {
            continue;
        }
        if let Some(golden) = corpus.query(query) {
            compared += compare(&golden, rows(&corpus, &golden));
            majors.insert(corpus.name()[..2].to_owned());
        }
    }
    assert!(majors.len() >= 3, "{query}: compared with {majors:?} alone");
    assert!(compared > 1000 || query.contains("stats"), "{query}: only {compared} rows");
}

fn common(record: &Record<'_>) -> [Option<String>; 3] {
    [record.start(), record.end(), record.previous()].map(|lsn| Some(lsn.to_string()))
}

#[test]
fn every_record_is_as_pg_walinspect_tells_it() {
    over_all("walinspect-records", |corpus, golden| {
        let mut rows = Vec::new();
        for_each_record(corpus, golden, |record| {
            let mut row = common(record).to_vec();
            row.push(Some(record.xid().to_string()));
            row.push(Some(text(|out| push_name(record.rmid(), out))));
            row.push(Some(text(|out| {
                push_record_type(record.version(), record.rmid(), record.info(), out);
            })));
            row.push(Some(record.header().total_length.to_string()));
            row.push(Some(record.main_data().len().to_string()));
            row.push(Some(record.image_length().to_string()));
            let description = text(|out| record.describe(out));
            row.push(filled(record, description));
            let references = text(|out| push_full_references(record, out));
            row.push(filled(record, references));
            rows.push(row);
        });
        rows
    });
}

/// 15 gives an empty text where later versions give NULL.
fn filled(record: &Record<'_>, text: String) -> Option<String> {
    (record.version() == Version::V15 || !text.is_empty()).then_some(text)
}

#[test]
fn every_block_and_image_is_as_pg_walinspect_tells_it() {
    over_all("walinspect-blocks", |corpus, golden| {
        let mut rows = Vec::new();
        for_each_record(corpus, golden, |record| {
            for block in record.blocks() {
                rows.push(block_row(record, block));
            }
        });
        rows
    });
}

fn block_row(record: &Record<'_>, block: &BlockRef) -> Row {
    let number = |value: u64| Some(value.to_string());
    let mut row = common(record).to_vec();
    row.push(number(block.id.into()));
    row.push(number(block.locator.tablespace.into()));
    row.push(number(block.locator.database.into()));
    row.push(number(block.locator.relation.into()));
    row.push(number(block.fork as u64));
    row.push(number(block.block.into()));
    row.push(Some(record.xid().to_string()));
    row.push(Some(text(|out| push_name(record.rmid(), out))));
    row.push(Some(text(|out| {
        push_record_type(record.version(), record.rmid(), record.info(), out);
    })));
    row.push(number(record.header().total_length.into()));
    row.push(number(record.main_data().len() as u64));
    row.push(number(block.data_length.into()));
    row.push(number(block.image_length.into()));
    row.push(block.has_image().then(|| image_info(block)));
    let digest = |bytes: &[u8]| format!("{:x}", md5::compute(bytes));
    row.push((block.flags & BLOCK_HAS_DATA != 0).then(|| digest(record.block_data(block))));
    row.push(block.has_image().then(|| {
        let mut page = [0; PAGE_SIZE];
        image::restore(record, block, &mut page).expect("a server's image restores");
        digest(&page)
    }));
    row
}

/// `block_fpi_info`, a text array.
fn image_info(block: &BlockRef) -> String {
    let mut names = Vec::new();
    for (bit, name) in [
        (IMAGE_HAS_HOLE, "HAS_HOLE"),
        (IMAGE_APPLY, "APPLY"),
        (IMAGE_PGLZ, "COMPRESS_PGLZ"),
        (IMAGE_LZ4, "COMPRESS_LZ4"),
        (IMAGE_ZSTD, "COMPRESS_ZSTD"),
    ] {
        if block.image_info & bit != 0 {
            names.push(name);
        }
    }
    assert_eq!(block.image_info & IMAGE_COMPRESSED != 0, compression_method(block).is_some());
    format!("{{{}}}", names.join(","))
}

#[test]
fn statistics_are_as_pg_walinspect_counts_them() {
    for (query, grouping) in [
        ("walinspect-stats", Grouping::ResourceManager),
        ("walinspect-stats-record", Grouping::RecordType),
    ] {
        over_all(query, |corpus, golden| {
            let mut statistics = Statistics::default();
            let mut version = Version::V15;
            for_each_record(corpus, golden, |record| {
                version = record.version();
                statistics.add(record);
            });
            let total = statistics.total();
            let share = |part: u64, whole: u64| match whole {
                0 => 0.0,
                _ => 100.0 * part as f64 / whole as f64,
            };
            let theirs: Vec<Row> = golden.rows().collect();
            let rows = statistics.rows(grouping, version);
            let mut ours = Vec::new();
            for row in &rows {
                let mut name = row.resource_manager.clone();
                if let Some(record_type) = &row.record_type {
                    name = format!("{name}/{record_type}");
                }
                let mut columns = vec![Some(name)];
                for (part, whole) in [
                    (row.counts.count, total.count),
                    (row.counts.record_bytes, total.record_bytes),
                    (row.counts.image_bytes, total.image_bytes),
                    (row.counts.bytes(), total.bytes()),
                ] {
                    columns.push(Some(part.to_string()));
                    columns.push(Some(share(part, whole).to_string()));
                }
                ours.push(columns);
            }
            // Rows of nothing are the server's alone.
            let present = |row: &&Row| row[1].as_deref() != Some("0");
            assert_eq!(
                theirs.iter().filter(present).count(),
                ours.iter().filter(present).count(),
                "{}: number of rows",
                golden.name
            );
            for theirs in theirs.iter().filter(present) {
                let found = ours.iter().find(|ours| ours[0] == theirs[0]);
                let found = found.unwrap_or_else(|| panic!("{}: no row {theirs:?}", golden.name));
                for (index, (ours, theirs)) in found.iter().zip(theirs).enumerate() {
                    let parse = |text: &Option<String>| -> f64 {
                        text.as_deref().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
                    };
                    let same = ours == theirs
                        || index % 2 == 0 && (parse(ours) - parse(theirs)).abs() < 1e-9;
                    assert!(same, "{}: {found:?} and not {theirs:?}", golden.name);
                }
            }
            golden.rows().collect()
        });
    }
}
