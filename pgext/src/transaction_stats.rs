//! Which transactions make the log grow, and how they ended: `strata.wal_stats_by_transaction`.

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::stats::{TransactionRow, TransactionStatistics, TransactionStretch, Usage};

use crate::error::SqlError;
use crate::ffi::catalog::Relations;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::Value;
use crate::range::Range;
use crate::relation_stats::sums;

sql_functions!(wal_stats_by_transaction);

/// So many records are gathered before they are put to their transactions' accounts.
const STRETCH: u64 = 10_000;
/// The most rows that can be asked for: each is kept in memory until the end, at 1.5 kB if it touched 100 relations.
const MOST_ROWS: i32 = 100_000;

/// A row a transaction, the largest first, as many as the third argument says; then one for all others, and one for records
/// of no transaction.
fn wal_stats_by_transaction(call: &Call) -> Outcome {
    let top = call.int4(2).unwrap_or(MOST_ROWS);
    if !(0..=MOST_ROWS).contains(&top) {
        return Err(SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("number of transactions {top} is out of range"),
        )
        .detail(format!("From 0 to {MOST_ROWS} can be shown; the others are summed up.")));
    }
    let range = Range::of(call)?;
    let mut rows = Rows::begin(call);
    let mut statistics = TransactionStatistics::new(usize::try_from(top).unwrap_or(0));
    let mut stretch = TransactionStretch::default();
    let mut gathered = 0;
    range.for_each(|record| {
        stretch.add(record, true);
        gathered += 1;
        if gathered == STRETCH {
            statistics.append(&stretch);
            stretch.clear();
            gathered = 0;
        }
        Ok(())
    })?;
    statistics.append(&stretch);
    drop(stretch);
    let report = statistics.report(range.version(), range.start);
    let mut relations = Relations::default();
    for row in &report.transactions {
        put_transaction(&mut rows, row, &mut relations);
    }
    put_sum(&mut rows, "others", report.other_transactions, &report.others);
    put_sum(&mut rows, "no transaction", 0, &report.without_transaction);
    Ok(rows.end())
}

fn put_transaction(rows: &mut Rows, row: &TransactionRow, relations: &mut Relations) {
    let lsn = |lsn: Option<base::Lsn>| lsn.map_or(Value::Null, Value::Lsn);
    let time = |time: Option<base::TimestampTz>| {
        time.map_or(Value::Null, |time| Value::TimestampTz(time.0))
    };
    let duration = match (row.began_after, row.end_time) {
        (Some(before), Some(end)) => Value::Interval(end.0.saturating_sub(before.0).max(0)),
        _ => Value::Null,
    };
    let mut found: Vec<u32> =
        row.relations.iter().filter_map(|locator| relations.find(*locator)).collect();
    let unresolved = row.relations.len() - found.len();
    found.sort_unstable();
    found.dedup();
    let [records, record_size, fpi_count, fpi_size, combined_size] = sums(&row.usage);
    rows.put(&[
        Value::Xid(row.xid.0),
        Value::from(match row.outcome.name() {
            "in_progress" => "in progress",
            name => name,
        }),
        Value::Bool(row.was_prepared),
        Value::Int8(1),
        Value::Lsn(row.first_lsn),
        lsn(row.end_lsn),
        time(row.end_time),
        duration,
        Value::Int8(row.subtransactions as i64),
        records,
        record_size,
        fpi_count,
        fpi_size,
        combined_size,
        Value::Regclasses(&found),
        Value::Int4(unresolved as i32),
        Value::Bool(row.more_relations),
    ]);
}

/// A row of what is not shown by itself, if there is any.
fn put_sum(rows: &mut Rows, name: &str, transactions: u64, usage: &Usage) {
    if usage.records == 0 {
        return;
    }
    let mut values = [Value::Null; 17];
    values[1] = Value::from(name);
    values[3] = Value::Int8(transactions as i64);
    values[9..14].copy_from_slice(&sums(usage));
    rows.put(&values);
}
