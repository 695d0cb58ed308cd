//! Result sets of functions `RETURNS SETOF record` (or `TABLE`), kept in the server's tuplestore: in memory up to
//! `work_mem`, in a temporary file beyond.

use pgrx::pg_sys::{self, Datum};

use super::function::Call;
use super::value::Value;
use crate::server;

/// The rows of a function's result, put in one by one.
#[derive(Debug)]
pub(crate) struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    shape: pg_sys::TupleDesc,
    /// Where a row's values are made; emptied after each row.
    context: pg_sys::MemoryContext,
    datums: Vec<Datum>,
    nulls: Vec<bool>,
}

impl Rows {
    /// Begins the result of a call. Raises an error if the caller cannot take a set.
    #[expect(unsafe_code)]
    pub(crate) fn begin(call: &Call) -> Rows {
        // SAFETY: `info` is the server's, and after InitMaterializedSRF its resultinfo is a ReturnSetInfo with store and
        // description.
        unsafe {
            pg_sys::InitMaterializedSRF(call.info(), 0);
            let result = (*call.info()).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            let shape = (*result).setDesc;
            let columns = usize::try_from((*shape).natts).unwrap_or(0);
            let context = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"pgstrata row".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            );
            Rows {
                store: (*result).setResult,
                shape,
                context,
                datums: Vec::with_capacity(columns),
                nulls: Vec::with_capacity(columns),
            }
        }
    }

    /// Adds a row, which must have a value for each column, of the column's type. Raises an error if the query is
    /// cancelled.
    #[expect(unsafe_code)]
    pub(crate) fn put(&mut self, row: &[Value<'_>]) {
        server::check_for_interrupts();
        // SAFETY: store, shape and context are those of `begin`, and live as long as the call; the arrays are as long as
        // the shape says.
        unsafe {
            assert_eq!(
                row.len(),
                usize::try_from((*self.shape).natts).unwrap_or(0),
                "columns of the row"
            );
            let outer = pg_sys::MemoryContextSwitchTo(self.context);
            self.datums.clear();
            self.nulls.clear();
            for value in row {
                let (datum, is_null) = value.datum();
                self.datums.push(datum);
                self.nulls.push(is_null);
            }
            pg_sys::tuplestore_putvalues(
                self.store,
                self.shape,
                self.datums.as_ptr().cast_mut(),
                self.nulls.as_ptr().cast_mut(),
            );
            pg_sys::MemoryContextSwitchTo(outer);
            pg_sys::MemoryContextReset(self.context);
        }
    }

    /// Ends the result.
    pub(crate) fn end(self) -> Datum {
        Datum::from(0usize)
    }
}
