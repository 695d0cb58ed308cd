//! `strata.heap_as_of()`: the rows of a table as of a time in the past, from the versions that are still there.
//!
//! ```text
//! time ──────────────►  as of              now
//! version 1   |─────────·──|                      seen
//! version 2                |──────────────────    not yet there
//! version 3   |────|                              no more there
//! ```
//!
//! What vacuum and pruning have removed is gone, and in most cases leaves no trace. Three things are known:
//!
//! - A version that an UPDATE made, by who committed at the time or later, had a predecessor. If none is there, one was removed
//!   that somebody saw at that time or later: an error.
//! - Nothing is removed that ended at or after the table's horizon. If nobody before the horizon committed at the time or
//!   later, nothing is missing. Otherwise something may be: a warning.
//! - If the table's entry in `pg_class` is of that time or later, it may have been emptied or rewritten: a warning.
//!
//! Invariants: nobody sees a column that they may not select, or any row of a table with row security that binds them; a
//! page is copied under a pin and a share lock, and no page is changed.

use std::collections::HashSet;

use base::{HeapTupleHeader, Infomask, Infomask2, Tid, TimestampTz, Xid};
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use procarray::HorizonKind;
use snapshot::satisfies::satisfies_mvcc;
use snapshot::{TransactionStatus, TupleStamp};

use crate::as_of::{AsOf, text};
use crate::error::SqlError;
use crate::ffi::contents::{Contents, ReadableColumns};
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::heap::HeapTable;
use crate::ffi::proc_array::ServerProcs;
use crate::ffi::rows::Rows;
use crate::ffi::transactions::{Unknown, commit_time};
use crate::ffi::value::Value;
use crate::heap_page::{HeapPage, LinePointer, header_of};
use crate::server::check_for_interrupts;

sql_functions!(heap_as_of);

/// A row a version that was seen.
fn heap_as_of(call: &Call) -> Outcome {
    let mut rows = Rows::begin(call);
    let (Some(oid), Some(start)) = (call.oid(0), call.timestamptz(1)) else {
        return Ok(rows.end());
    };
    let mut table = HeapTable::open(oid)?;
    let columns = ReadableColumns::of(&table)?;
    let as_of = AsOf::past(start)?;
    let doubt = doubt(&table, start)?;
    table.read_in_bulk();
    let mut scan =
        Scan { as_of, start, contents: Contents::new(columns), chains: Chains::default() };
    for block in 0..table.blocks() {
        check_for_interrupts();
        let (buffer, page) = table.locked_page(block);
        drop(buffer);
        scan.page(&mut rows, block, &page)?;
    }
    scan.chains.check(start)?;
    if let Some(warning) = doubt {
        warning.warn();
    }
    Ok(rows.end())
}

#[derive(Debug)]
struct Scan {
    as_of: AsOf,
    start: TimestampTz,
    contents: Contents,
    chains: Chains,
}

impl Scan {
    fn page(&mut self, rows: &mut Rows, block: u32, page: &HeapPage) -> Result<(), SqlError> {
        for (offset, pointer) in page.iter() {
            let tid = Tid { block, offset };
            let tuple = match pointer {
                LinePointer::Normal(tuple) => tuple,
                LinePointer::Damaged => {
                    return Err(damaged(tid, "its line pointer points at no tuple"));
                }
                LinePointer::Unused | LinePointer::Redirect(_) | LinePointer::Dead => continue,
            };
            let header = header_of(tuple);
            let stamp = TupleStamp::new(&header, tid);
            let unknown = |unknown: Unknown| damaged(tid, &unknown.to_string());
            let ender = self.ender(&stamp).map_err(unknown)?;
            self.chains.note(self.start, &self.as_of, tid, &header, &stamp, ender);
            let judged = satisfies_mvcc(&self.as_of.stamp(&stamp), &self.as_of, &self.as_of)
                .map_err(unknown)?;
            if !judged.verdict {
                continue;
            }
            if let Err(error) = HeapTupleHeader::read(tuple) {
                return Err(damaged(tid, &error.to_string()));
            }
            let json = self.contents.json(tid, tuple, self.start)?;
            let time = |time: Option<TimestampTz>| {
                time.map_or(Value::Null, |time| Value::TimestampTz(time.0))
            };
            let ended = ender.and_then(|xid| commit_time(xid).map(|time| (xid, time)));
            rows.put(&[
                Value::Tid(tid),
                Value::Xid(stamp.xmin.0),
                time(self.as_of.inserter_time(&stamp)),
                ended.map_or(Value::Null, |(xid, _)| Value::Xid(xid.0)),
                time(ended.map(|(_, time)| time)),
                Value::Text(&json),
            ]);
        }
        Ok(())
    }

    /// Who has ended the version, or is ending it; not who only locks it.
    fn ender(&self, stamp: &TupleStamp) -> Result<Option<Xid>, Unknown> {
        let bits = stamp.infomask;
        if bits.contains(Infomask::XMAX_INVALID) || bits.xmax_locked_only() {
            return Ok(None);
        }
        let xid = if bits.contains(Infomask::XMAX_IS_MULTI) {
            self.as_of.updater(stamp.multixact())?
        } else {
            stamp.xmax
        };
        Ok(xid.is_normal().then_some(xid))
    }
}

/// Which versions have a predecessor, of those that somebody made at the time or later.
#[derive(Debug, Default)]
struct Chains {
    /// Where a version points at its successor, and who made that one.
    successors: HashSet<(Tid, u32)>,
    /// Versions that an UPDATE made.
    updated: Vec<(Tid, Xid, TimestampTz)>,
}

impl Chains {
    fn note(
        &mut self,
        start: TimestampTz,
        as_of: &AsOf,
        tid: Tid,
        header: &HeapTupleHeader,
        stamp: &TupleStamp,
        ender: Option<Xid>,
    ) {
        if let Some(xid) = ender.filter(|_| stamp.has_successor)
            && commit_time(xid).is_some_and(|time| time >= start)
        {
            self.successors.insert((header.ctid, xid.0));
        }
        let is_updated = header.infomask.contains(Infomask::UPDATED)
            || header.infomask2.contains(Infomask2::ONLY_TUPLE);
        if is_updated && let Some(time) = as_of.inserter_time(stamp).filter(|time| *time >= start) {
            self.updated.push((tid, stamp.xmin, time));
        }
    }

    /// Fails where a predecessor is gone.
    fn check(&self, start: TimestampTz) -> Result<(), SqlError> {
        let gone =
            self.updated.iter().find(|(tid, xid, _)| !self.successors.contains(&(*tid, xid.0)));
        let Some((tid, xid, time)) = gone else { return Ok(()) };
        Err(vacuumed_away(start).detail(format!(
            "Version {tid} replaced one that is gone: transaction {xid} ended that one at {}.",
            text(*time)
        )))
    }
}

/// The error where something is known to be gone.
pub(crate) fn vacuumed_away(start: TimestampTz) -> SqlError {
    let message = format!("what was seen at {} is vacuumed away", text(start));
    SqlError::new(PgSqlErrorCode::ERRCODE_SNAPSHOT_TOO_OLD, message).hint(
        "A transaction that keeps a snapshot, or a replication slot with an xmin, keeps vacuum and pruning from removing \
         what has ended since.",
    )
}

fn damaged(tid: Tid, why: &str) -> SqlError {
    let message = format!("version {tid} cannot be read");
    SqlError::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, message).detail(why.to_owned())
}

/// Transactions before the horizon that are looked at, the newest first.
const LOOKED_AT: u32 = 100_000;

/// Why something may be missing although nothing is known to be; `None` if nothing can be.
fn doubt(table: &HeapTable, start: TimestampTz) -> Result<Option<SqlError>, SqlError> {
    let message = format!("versions that were seen at {} may be missing", text(start));
    let doubt = SqlError::new(PgSqlErrorCode::ERRCODE_WARNING, message);
    if let Some(time) = table.defined_by().and_then(commit_time).filter(|time| *time >= start) {
        return Ok(Some(doubt.detail(format!(
            "The table was created, altered, emptied or rewritten at {}.",
            text(time)
        ))));
    }
    let horizons = ServerProcs::copy()?.horizons();
    let horizon = match table.horizon_kind() {
        HorizonKind::Data => horizons.data,
        HorizonKind::Catalog => horizons.catalog,
        HorizonKind::Shared => horizons.shared,
        HorizonKind::Temporary => horizons.temporary,
    };
    let mut xid = horizon.xid;
    for looked_at in 0..LOOKED_AT {
        xid = xid.previous();
        if !xid.xid().is_normal() {
            break;
        }
        if looked_at % 1024 == 0 {
            check_for_interrupts();
        }
        if let Some(time) = commit_time(xid.xid()).filter(|time| *time >= start) {
            return Ok(Some(doubt.detail(format!(
                "Vacuum and pruning may remove what ended before transaction {}; {} committed at {}.",
                horizon.xid.xid(),
                xid.xid(),
                text(time)
            ))));
        }
    }
    Ok(None)
}
