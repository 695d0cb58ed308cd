//! Row contents as JSON: the columns that the caller may select, and no others.
//!
//! Invariants: privileges are looked at before a row is; with row security that binds the caller there are no rows at all, as
//! nobody can say which of the past were theirs. A value is read out of a copy of its page: no lock is held meanwhile, for
//! types' own functions run here.

use std::panic::AssertUnwindSafe;

use base::{Tid, TimestampTz};
use pgrx::PgTryBuilder;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::{self, Datum};

use super::heap::HeapTable;
use crate::error::SqlError;
use crate::heap_as_of::vacuumed_away;

/// `row_to_json(record)`, by its oid in every major (`pg_proc.dat`).
const ROW_TO_JSON: u32 = 3155;

/// The columns of a table that the caller may select.
#[derive(Debug)]
pub(crate) struct ReadableColumns {
    table: pg_sys::TupleDesc,
    /// Their places in the table, from 0.
    places: Vec<usize>,
    /// A row of them.
    row: pg_sys::TupleDesc,
}

impl ReadableColumns {
    /// Of an open table, which must stay open.
    ///
    /// # Errors
    /// Where the caller may select none of them, or row security binds the caller.
    #[expect(unsafe_code)]
    pub(crate) fn of(table: &HeapTable) -> Result<ReadableColumns, SqlError> {
        let oid = pg_sys::Oid::from(table.oid());
        // SAFETY: the relation is open; these look into the catalog for this session's own user.
        let (description, may_all, is_bound) = unsafe {
            let user = pg_sys::GetUserId();
            let select = pg_sys::AclMode::from(pg_sys::ACL_SELECT);
            let may = pg_sys::pg_class_aclcheck(oid, user, select);
            let security = pg_sys::check_enable_rls(oid, pg_sys::InvalidOid, true);
            let is_bound = security == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32;
            let may_all = may == pg_sys::AclResult::ACLCHECK_OK;
            ((*table.relation()).rd_att, may_all, is_bound)
        };
        let mut places = Vec::new();
        // SAFETY: the description has as many columns as it says.
        let count = usize::try_from(unsafe { (*description).natts }).unwrap_or(0);
        for place in 0..count {
            // SAFETY: as above.
            let is_readable = unsafe {
                let column = attribute(description, place);
                let is_stored = !(*column).attisdropped && (*column).attgenerated as u8 != b'v';
                is_stored
                    && (may_all
                        || pg_sys::pg_attribute_aclcheck(
                            oid,
                            (*column).attnum,
                            pg_sys::GetUserId(),
                            pg_sys::AclMode::from(pg_sys::ACL_SELECT),
                        ) == pg_sys::AclResult::ACLCHECK_OK)
            };
            if is_readable {
                places.push(place);
            }
        }
        if places.is_empty() && !may_all {
            let code = PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE;
            return Err(SqlError::new(
                code,
                format!("permission denied for table {}", table.name()),
            )
            .detail(
                "Row contents need the privilege to SELECT the table, or some of its columns.",
            ));
        }
        if is_bound {
            let code = PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE;
            return Err(SqlError::new(
                code,
                format!("row security of table \"{}\" does not let its past be read", table.name()),
            )
            .detail("Policies are for rows of the present."));
        }
        // SAFETY: the descriptions are valid; numbers of columns are in their ranges.
        let row = unsafe {
            let row = pg_sys::CreateTemplateTupleDesc(places.len() as i32);
            for (to, from) in places.iter().enumerate() {
                let (to, from) = (to as pg_sys::AttrNumber + 1, *from as pg_sys::AttrNumber + 1);
                pg_sys::TupleDescCopyEntry(row, to, description, from);
            }
            pg_sys::BlessTupleDesc(row)
        };
        Ok(ReadableColumns { table: description, places, row })
    }
}

/// # Safety
/// The description has such a column.
#[expect(unsafe_code)]
unsafe fn attribute(description: pg_sys::TupleDesc, place: usize) -> pg_sys::Form_pg_attribute {
    // SAFETY: as the caller's. 18 has the columns behind as many short descriptions of them (`TupleDescAttrAddress`).
    unsafe {
        #[cfg(feature = "pg18")]
        let first: pg_sys::Form_pg_attribute = {
            let count = usize::try_from((*description).natts).unwrap_or(0);
            (&raw mut (*description).compact_attrs)
                .cast::<pg_sys::CompactAttribute>()
                .add(count)
                .cast()
        };
        #[cfg(not(feature = "pg18"))]
        let first: pg_sys::Form_pg_attribute =
            (&raw mut (*description).attrs).cast::<pg_sys::FormData_pg_attribute>();
        first.add(place)
    }
}

/// Rows on their way to JSON.
#[derive(Debug)]
pub(crate) struct Contents {
    columns: ReadableColumns,
    /// Where a row is made; emptied after each.
    context: pg_sys::MemoryContext,
    values: Vec<Datum>,
    nulls: Vec<bool>,
}

impl Contents {
    #[expect(unsafe_code)]
    pub(crate) fn new(columns: ReadableColumns) -> Contents {
        // SAFETY: the context is a child of the current one, and goes with it.
        let (context, count) = unsafe {
            let context = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"pgstrata contents".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            (context, usize::try_from((*columns.table).natts).unwrap_or(0))
        };
        Contents {
            columns,
            context,
            values: vec![Datum::from(0usize); count],
            nulls: vec![true; count],
        }
    }

    /// A tuple, whose header has been checked, as a JSON object.
    ///
    /// # Errors
    /// Where a part of it in the TOAST table is gone.
    #[expect(unsafe_code)]
    pub(crate) fn json(
        &mut self,
        tid: Tid,
        tuple: &[u8],
        start: TimestampTz,
    ) -> Result<Vec<u8>, SqlError> {
        // SAFETY: the context is ours.
        let outer = unsafe { pg_sys::MemoryContextSwitchTo(self.context) };
        let make = AssertUnwindSafe(|| Ok(self.make(tuple)));
        let made = PgTryBuilder::new(make)
            .catch_when(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, |error| {
                let why = match error {
                    pg_sys::panic::CaughtError::PostgresError(report)
                    | pg_sys::panic::CaughtError::ErrorReport(report) => {
                        report.message().to_owned()
                    }
                    pg_sys::panic::CaughtError::RustPanic { ereport, .. } => {
                        ereport.message().to_owned()
                    }
                };
                Err(vacuumed_away(start)
                    .detail(format!("A part of version {tid} cannot be read: {why}.")))
            })
            .execute();
        // SAFETY: the context was the current one; nothing of ours is left in it, as the text was copied.
        unsafe {
            pg_sys::MemoryContextSwitchTo(outer);
            pg_sys::MemoryContextReset(self.context);
        }
        made
    }

    #[expect(unsafe_code)]
    fn make(&mut self, tuple: &[u8]) -> Vec<u8> {
        let mut whole = pg_sys::HeapTupleData {
            t_len: tuple.len() as u32,
            t_data: tuple.as_ptr().cast_mut().cast(),
            ..Default::default()
        };
        // SAFETY: the tuple lies aligned in the copy of its page, and its header fits its length; the arrays have a place
        // for each column of the table, and then of the row.
        unsafe {
            pg_sys::heap_deform_tuple(
                &raw mut whole,
                self.columns.table,
                self.values.as_mut_ptr(),
                self.nulls.as_mut_ptr(),
            );
            let values: Vec<Datum> =
                self.columns.places.iter().map(|at| self.values[*at]).collect();
            let nulls: Vec<bool> = self.columns.places.iter().map(|at| self.nulls[*at]).collect();
            let row = pg_sys::heap_form_tuple(
                self.columns.row,
                values.as_ptr().cast_mut(),
                nulls.as_ptr().cast_mut(),
            );
            let datum = pg_sys::HeapTupleHeaderGetDatum((*row).t_data);
            let json = pg_sys::OidFunctionCall1Coll(
                pg_sys::Oid::from(ROW_TO_JSON),
                pg_sys::InvalidOid,
                datum,
            );
            super::value::bytes_of(json)
        }
    }
}
