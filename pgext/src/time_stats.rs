//! How the log grew over time: `strata.wal_stats_by_time`.
//!
//! Of all records only those that end or prepare a transaction carry a time. Every other one is put to the time that is told
//! next in the log, since it was written before; what lies behind the last, to that one.

use std::collections::BTreeMap;

use base::{Lsn, TimestampTz};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::Record;
use wal::rmgr::Payload;
use wal::rmgr::xact::Xact;

use crate::error::SqlError;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::rows::Rows;
use crate::ffi::value::{Interval, Value};
use crate::range::Range;

sql_functions!(wal_stats_by_time);

const TRANSACTION: u8 = 1;
const XLOG: u8 = 0;
const XLOG_CHECKPOINT_SHUTDOWN: u8 = 0x00;
const XLOG_CHECKPOINT_ONLINE: u8 = 0x10;
/// The most buckets that are kept; each takes about 150 bytes.
const MOST_BUCKETS: usize = 100_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// What was written in a stretch of time.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// Of the first record, and of the last one.
    first: Lsn,
    end: Lsn,
    records: u64,
    record_bytes: u64,
    images: u64,
    image_bytes: u64,
    commits: u64,
    aborts: u64,
    checkpoints: u64,
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        if other.records == 0 {
            return;
        }
        if self.records == 0 || other.first < self.first {
            self.first = other.first;
        }
        self.end = self.end.max(other.end);
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.images += other.images;
        self.image_bytes += other.image_bytes;
        self.commits += other.commits;
        self.aborts += other.aborts;
        self.checkpoints += other.checkpoints;
    }

    /// Adds a record, and returns the time that it tells.
    fn count(&mut self, record: &Record<'_>) -> Option<TimestampTz> {
        if self.records == 0 {
            self.first = record.start();
        }
        self.end = record.end();
        self.records += 1;
        let image_length = record.image_length();
        self.record_bytes += u64::from(record.header().total_length.saturating_sub(image_length));
        self.image_bytes += u64::from(image_length);
        self.images += record.blocks().iter().filter(|block| block.has_image()).count() as u64;
        let is_checkpoint =
            matches!(record.info(), XLOG_CHECKPOINT_SHUTDOWN | XLOG_CHECKPOINT_ONLINE);
        if record.rmid() == XLOG && is_checkpoint {
            self.checkpoints += 1;
        }
        if record.rmid() != TRANSACTION {
            return None;
        }
        match record.payload() {
            Ok(Payload::Xact(Xact::Commit(end))) => {
                self.commits += 1;
                Some(end.time)
            }
            Ok(Payload::Xact(Xact::Abort(end))) => {
                self.aborts += 1;
                Some(end.time)
            }
            Ok(Payload::Xact(Xact::Prepare(prepare))) => Some(prepare.time),
            _ => None,
        }
    }
}

/// A row a bucket in which something was written, by time.
fn wal_stats_by_time(call: &Call) -> Outcome {
    let width = width(call.interval(2))?;
    let range = Range::of(call)?;
    let mut rows = Rows::begin(call);
    let mut buckets: BTreeMap<i64, Sums> = BTreeMap::new();
    let mut pending = Sums::default();
    let mut last = None;
    range.for_each(|record| {
        let Some(time) = pending.count(record) else { return Ok(()) };
        // From 2000-01-01 00:00 UTC on, which is where times are counted from.
        let bucket = time.0.saturating_sub(time.0.rem_euclid(width));
        buckets.entry(bucket).or_default().add(&pending);
        last = Some(bucket);
        pending = Sums::default();
        if buckets.len() <= MOST_BUCKETS { Ok(()) } else { Err(too_many()) }
    })?;
    match last.and_then(|bucket| buckets.get_mut(&bucket)) {
        Some(bucket) => bucket.add(&pending),
        None if pending.records > 0 => put(&mut rows, Value::Null, &pending),
        None => {}
    }
    for (time, sums) in &buckets {
        put(&mut rows, Value::TimestampTz(*time), sums);
    }
    Ok(rows.end())
}

fn put(rows: &mut Rows, bucket: Value<'_>, sums: &Sums) {
    rows.put(&[
        bucket,
        Value::Lsn(sums.first),
        Value::Lsn(sums.end),
        Value::Int8(sums.records as i64),
        Value::Int8(sums.record_bytes as i64),
        Value::Int8(sums.images as i64),
        Value::Int8(sums.image_bytes as i64),
        Value::Int8((sums.record_bytes + sums.image_bytes) as i64),
        Value::Int8(sums.commits as i64),
        Value::Int8(sums.aborts as i64),
        Value::Int8(sums.checkpoints as i64),
    ]);
}

/// The width of a bucket in microseconds; one minute without one.
fn width(interval: Option<Interval>) -> Result<i64, SqlError> {
    const MINUTE: i64 = 60_000_000;
    let Some(interval) = interval else { return Ok(MINUTE) };
    if interval.months != 0 {
        return Err(SqlError::new(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            "time cannot be cut into buckets of months or years",
        )
        .hint("Give the width in days or shorter units."));
    }
    let days = i64::from(interval.days).checked_mul(MICROS_PER_DAY);
    let width = days.and_then(|days| days.checked_add(interval.micros));
    width.filter(|width| *width > 0).ok_or_else(|| {
        SqlError::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            "the width of a bucket must be greater than zero, and less than 292,000 years",
        )
    })
}

fn too_many() -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("the log spans more than {MOST_BUCKETS} buckets"),
    )
    .hint("Ask for wider buckets, or for a shorter range.")
}
