//! Whose account a record is put to, and how transactions end.

use super::*;
use crate::rmgr::test_record::{Bytes, LOCATOR, TestRecord};

const COMMIT: u8 = 0x00;
const PREPARE: u8 = 0x10;
const ABORT: u8 = 0x20;
const COMMIT_PREPARED: u8 = 0x30;
const ASSIGNMENT: u8 = 0x50;
const HAS_INFO: u8 = 0x80;
const HAS_SUBXACTS: u32 = 1 << 1;
const HAS_TWOPHASE: u32 = 1 << 4;

fn record(rmid: u8, info: u8, xid: u32) -> TestRecord {
    let mut record = TestRecord::new(Version::V15, rmid, info);
    record.xid = Xid(xid);
    record
}

/// A change of a block by `xid`.
fn change(xid: u32) -> TestRecord {
    record(10, 0x00, xid).main(Bytes::default().zeros(3)).block(0, Bytes::default().zeros(8))
}

fn end(info: u8, xid: u32, subxids: &[u32]) -> TestRecord {
    let main = Bytes::default().i64(1_000_000);
    if subxids.is_empty() {
        return record(1, info, xid).main(main);
    }
    let main = main.u32(HAS_SUBXACTS).i32(subxids.len() as i32).u32s(subxids);
    record(1, info | HAS_INFO, xid).main(main)
}

fn assignment(top: u32, subxids: &[u32]) -> TestRecord {
    let main = Bytes::default().u32(top).i32(subxids.len() as i32).u32s(subxids);
    record(1, ASSIGNMENT, top).main(main)
}

/// The report on records that stand 1000 bytes apart, cut into stretches of `cut`.
fn report(records: &[TestRecord], cut: usize, top: usize) -> TransactionReport {
    let mut statistics = TransactionStatistics::new(top);
    let mut stretch = TransactionStretch::default();
    let placed: Vec<(u64, &TestRecord)> = (1..).map(|n| n * 1000).zip(records).collect();
    for some in placed.chunks(cut) {
        for (start, record) in some {
            record.with_at(Lsn(*start), |record| stretch.add(record, true));
        }
        statistics.append(&stretch);
        stretch.clear();
    }
    assert_eq!(statistics.weight, statistics.open.values().map(Open::weight).sum::<usize>());
    statistics.report(Version::V15, Lsn(1))
}

/// Xid, outcome, records, subtransactions of the rows, whatever the stretches; by xid.
fn rows(records: &[TestRecord]) -> Vec<(u32, Outcome, u64, u64)> {
    let of = |cut| {
        let report = report(records, cut, 10);
        assert_eq!(report.total.records, records.len() as u64);
        let row =
            |row: &TransactionRow| (row.xid.0, row.outcome, row.usage.records, row.subtransactions);
        let mut rows: Vec<_> = report.transactions.iter().map(row).collect();
        rows.sort_by_key(|row| row.0);
        rows
    };
    let whole = of(records.len());
    for cut in 1..records.len() {
        assert_eq!(of(cut), whole, "in stretches of {cut}");
    }
    whole
}

#[test]
fn the_first_and_the_last_record_are_told() {
    let report = report(&[change(5), change(6), change(5), end(COMMIT, 5, &[])], 4, 10);
    let row = &report.transactions[0];
    assert_eq!((row.xid, row.outcome), (Xid(5), Outcome::Committed));
    assert_eq!((row.first_lsn, row.end_lsn), (Lsn(1000), Some(Lsn(4000))));
    assert_eq!(row.end_time, Some(TimestampTz(1_000_000)));
    assert_eq!(row.relations, [LOCATOR]);
    assert_eq!(report.transactions[1].outcome, Outcome::InProgress);
    assert_eq!((report.outcomes.committed, report.outcomes.in_progress), (1, 1));
}

#[test]
fn a_commit_brings_its_subtransactions() {
    let records =
        [change(5), change(6), change(7), end(ABORT, 7, &[]), end(COMMIT, 5, &[6]), change(0)];
    // 7 was rolled back before the log told whose it was.
    assert_eq!(rows(&records), [(5, Outcome::Committed, 3, 1), (7, Outcome::Aborted, 2, 0)]);
}

#[test]
fn an_assignment_brings_subtransactions_and_those_that_are_rolled_back_later() {
    let records = [
        change(5),
        change(6),
        assignment(5, &[6, 7]),
        change(7),
        end(ABORT, 7, &[]),
        end(COMMIT, 5, &[6]),
    ];
    assert_eq!(rows(&records), [(5, Outcome::Committed, 6, 2)]);
}

#[test]
fn a_prepared_transaction_ends_by_the_record_of_another() {
    let prepare = || {
        let main = Bytes::default()
            .u32(0x57F9_4534)
            .u32(100)
            .u32s(&[5, 1])
            .i64(7)
            .u32(10)
            .zeros(20)
            .zeros(4)
            .u16(2)
            .zeros(18)
            .bytes(b"g\0")
            .zeros(6);
        record(1, PREPARE, 5).main(main)
    };
    assert_eq!(rows(&[change(5), prepare()]), [(5, Outcome::Prepared, 2, 0)]);
    let main = Bytes::default().i64(9).u32(HAS_TWOPHASE).u32(5);
    let commit = || record(1, COMMIT_PREPARED | HAS_INFO, 0).main(main.clone());
    assert_eq!(rows(&[change(5), prepare(), commit()]), [(5, Outcome::Committed, 3, 0)]);
    let report = report(&[change(5), prepare(), commit()], 3, 10);
    assert!(report.transactions[0].was_prepared);
    // A restart of the server ends what was not prepared.
    let restart = || record(0, 0x00, 0).main(Bytes::default().zeros(88));
    let records = [change(5), change(6), prepare(), restart(), change(7), commit()];
    assert_eq!(
        rows(&records),
        [
            (5, Outcome::Committed, 3, 0),
            (6, Outcome::Crashed, 1, 0),
            (7, Outcome::InProgress, 1, 0)
        ]
    );
}

/// The largest ones are kept, of equal ones the earlier, and the rest is summed up.
#[test]
fn rows_are_the_largest() {
    let mut records = Vec::new();
    for xid in 10..40 {
        for _ in 0..(xid % 10) {
            records.push(change(xid));
        }
        records.push(end(COMMIT, xid, &[]));
    }
    for cut in [1, 7, 1000] {
        let report = report(&records, cut, 4);
        let xids: Vec<u32> = report.transactions.iter().map(|row| row.xid.0).collect();
        assert_eq!(xids, [19, 29, 39, 18]);
        assert_eq!(report.other_transactions, 26);
        assert_eq!(report.outcomes.committed, 30);
        let shown: u64 = report.transactions.iter().map(|row| row.usage.records).sum();
        assert_eq!(shown + report.others.records, records.len() as u64);
    }
}

/// Records that are passed over are not counted, and still tell how a transaction ended.
#[test]
fn what_is_filtered_out_tells_the_outcome() {
    let mut stretch = TransactionStretch::default();
    change(5).with_at(Lsn(1000), |record| stretch.add(record, true));
    end(COMMIT, 5, &[6]).with_at(Lsn(2000), |record| stretch.add(record, false));
    end(COMMIT, 9, &[]).with_at(Lsn(3000), |record| stretch.add(record, false));
    let mut statistics = TransactionStatistics::new(10);
    statistics.append(&stretch);
    let report = statistics.report(Version::V15, Lsn(1));
    let [row] = &report.transactions[..] else { panic!("{report:?}") };
    assert_eq!((row.xid, row.outcome, row.usage.records), (Xid(5), Outcome::Committed, 1));
}

#[test]
fn memory_is_bounded_and_nothing_is_lost() {
    let mut statistics = TransactionStatistics::new(5);
    let count = 3 * MAX_WEIGHT as u64;
    let mut stretch = TransactionStretch::default();
    for xid in 0..count {
        let usage = Usage { records: 1, record_bytes: xid, ..Usage::default() };
        let account = Account { first: Lsn(xid + 1), usage, ..Account::default() };
        stretch.accounts.insert(Xid(xid as u32 + 3), account);
        if stretch.accounts.len() == 1000 {
            statistics.append(&stretch);
            stretch.clear();
            assert!(statistics.open.len() <= MAX_WEIGHT);
        }
    }
    statistics.append(&stretch);
    let report = statistics.report(Version::V15, Lsn(1));
    assert_eq!(report.total.records, count);
    assert_eq!(report.total.record_bytes, count * (count - 1) / 2);
    assert!(report.outcomes.unknown > 0);
    assert_eq!(report.transactions[0].usage.record_bytes, count - 1);
}

#[test]
fn the_last_time_told_before_a_transaction_is_kept_whatever_the_stretches() {
    let end_at = |xid: u32, time: i64| record(1, COMMIT, xid).main(Bytes::default().i64(time));
    let records = [
        change(1),
        end_at(1, 100),
        change(2),
        change(3),
        change(4),
        end_at(3, 300),
        assignment(2, &[5]),
        change(5),
        end_at(2, 200),
        end_at(6, 600),
    ];
    for cut in 1..=records.len() {
        let report = report(&records, cut, 10);
        let mut told: Vec<(u32, Option<i64>)> = report
            .transactions
            .iter()
            .map(|row| (row.xid.0, row.began_after.map(|time| time.0)))
            .collect();
        told.sort_unstable();
        let expected = [(1, None), (2, Some(100)), (3, Some(100)), (4, Some(100)), (6, Some(200))];
        assert_eq!(told, expected, "cut {cut}");
    }
}
