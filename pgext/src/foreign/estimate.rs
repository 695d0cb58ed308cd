//! How large a log is, and how many of its rows meet conditions, as far as the planner can know.
#![expect(unsafe_code, reason = "the planner's structs are C's")]

use std::path::Path;
use std::ptr;

use pgrx::pg_sys::{self, NodeTag};
use wal::segment::{SegmentFileName, SegmentSize};

use super::clause::{Decided, Scanned};
use super::column::{Column, Form};
use super::comparand::Reading;
use super::condition::{Comparand, Operator};
use super::options::check_may_read_files;
use crate::ffi::list;
use crate::server;

/// What the planner is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    /// Rows in the whole log.
    pub(crate) rows_in_log: f64,
    /// Rows that meet the conditions.
    pub(crate) rows: f64,
    /// Bytes of log that must be read for them.
    pub(crate) bytes: f64,
}

impl Estimate {
    /// What a record takes on the average: pgbench's logs have 100 to 170 bytes, images included.
    pub(crate) const RECORD_BYTES: f64 = 130.0;
    /// Block references that a record has on the average.
    const BLOCKS: f64 = 1.1;

    /// Of a scan with these `RestrictInfo`s.
    ///
    /// # Safety
    /// The list must be one of the query that is being planned.
    pub(crate) unsafe fn of(scanned: &Scanned<'_>, clauses: *mut pg_sys::List) -> Estimate {
        let options = &scanned.table.options;
        let (begin, end) = match &options.directory {
            None => extent_of_server(),
            Some(directory) => (0, length_of(directory)),
        };
        let in_log = (end - begin) as f64;
        let per_record = match options.form {
            Form::Record => 1.0,
            Form::Block => Estimate::BLOCKS,
        };
        let (mut low, mut high, mut others) = (begin, end, vec![]);
        let mut share = 1.0;
        // SAFETY: the list is of RestrictInfo.
        let clauses = unsafe { list::pointers::<pg_sys::RestrictInfo>(clauses) };
        for clause in clauses {
            // SAFETY: as above.
            let decided = unsafe { scanned.decided((*clause).clause) };
            let Some(decided @ Decided { column: Column::StartLsn | Column::EndLsn, .. }) = decided
            else {
                others.push(clause);
                continue;
            };
            // SAFETY: the comparand is an expression of the query.
            match (unsafe { constant(scanned, &decided) }, decided.operator) {
                (Some(Comparand::Number(number)), operator) if options.directory.is_none() => {
                    let at = u64::try_from(number.max(0)).unwrap_or(u64::MAX);
                    match operator {
                        Operator::Less | Operator::LessOrEqual => high = high.min(at),
                        Operator::Greater | Operator::GreaterOrEqual => low = low.max(at),
                        Operator::Equal | Operator::EqualAny => {
                            low = low.max(at);
                            high = high.min(at.saturating_add(Self::RECORD_BYTES as u64));
                        }
                    }
                }
                (_, Operator::Equal) => share = f64::min(share, 1.0 / 1e6),
                (_, Operator::EqualAny) => share = f64::min(share, 1.0 / 1e5),
                _ => share /= 3.0,
            }
        }
        let bytes = high.saturating_sub(low) as f64 * share;
        // SAFETY: the clauses are of the query, and of this relation alone.
        let selectivity = unsafe {
            let others = list::of_pointers(others);
            pg_sys::clauselist_selectivity(
                scanned.root,
                others,
                0,
                pg_sys::JoinType::JOIN_INNER,
                ptr::null_mut(),
            )
        };
        let rows = |bytes: f64| (bytes / Estimate::RECORD_BYTES * per_record).ceil();
        Estimate { rows_in_log: rows(in_log), rows: (rows(bytes) * selectivity).ceil(), bytes }
    }
}

/// The value that a position is compared with, if the planner can know it.
unsafe fn constant(scanned: &Scanned<'_>, decided: &Decided) -> Option<Comparand> {
    // SAFETY: the comparand is an expression of the query; a Const's value is of its type.
    unsafe {
        let node = pg_sys::estimate_expression_value(scanned.root, decided.comparand.cast());
        if (*node).type_ != NodeTag::T_Const {
            return None;
        }
        let constant = &*node.cast::<pg_sys::Const>();
        if constant.constisnull {
            return None;
        }
        Some(Reading::of(constant.consttype.to_u32())?.read(constant.constvalue))
    }
}

/// First and last position of the server's log, by the names of its files.
fn extent_of_server() -> (u64, u64) {
    let end = server::known_end().lsn;
    let Some(size) = server::segment_size() else { return (end.0, end.0) };
    let current = size.number_of(end);
    let oldest = names_in(&server::data_directory().join("pg_wal"))
        .filter_map(|name| SegmentFileName::parse(&name))
        .map(|name| name.number(size))
        .filter(|number| *number <= current)
        .min();
    let begin = oldest.map_or(end, |number| size.start_of(number));
    (begin.0.min(end.0), end.0)
}

fn names_in(directory: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// About how many bytes of log a directory or archive holds.
fn length_of(path: &Path) -> u64 {
    /// Where nothing can be known, or by whom nothing may be.
    const UNKNOWN: u64 = 1 << 30;
    // SAFETY: it reads the session's state.
    if check_may_read_files(unsafe { pg_sys::GetUserId() }).is_err() {
        return UNKNOWN;
    }
    let below = path.join("pg_wal");
    let directory = if below.is_dir() { below } else { path.to_path_buf() };
    let segments =
        names_in(&directory).filter(|name| SegmentFileName::parse(name).is_some()).count() as u64;
    match segments {
        0 => UNKNOWN,
        _ => segments * SegmentSize::DEFAULT.bytes(),
    }
}
