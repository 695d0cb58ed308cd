//! The log of an index, read by `pg_waldump`.

use super::every_record::work;
use super::{Rows, opened};
use crate::waldump::compared;

#[test]
fn pg_waldump_reads_the_log_of_an_index() {
    let mut seen = String::new();
    for rows in [Rows::Few, Rows::Long, Rows::Compressed, Rows::Scattered] {
        let (disk, storage) = opened();
        let start = storage.log.log().end();
        work(&storage, rows);
        let log = storage.log.log();
        log.flush(log.end()).expect("durable");
        seen += &compared(&disk, start);
    }
    for kind in [
        "INSERT_LEAF",
        "INSERT_UPPER",
        "INSERT_POST",
        "SPLIT_L",
        "SPLIT_R",
        "DEDUP",
        "NEWROOT",
        "DELETE",
        "VACUUM",
        "MARK_PAGE_HALFDEAD",
        "UNLINK_PAGE",
        "UNLINK_PAGE_META",
        "META_CLEANUP",
        "REUSE_PAGE",
    ] {
        assert!(seen.contains(&format!("desc: {kind} ")), "no {kind}");
    }
    assert!(seen.lines().count() > 5000);
}
