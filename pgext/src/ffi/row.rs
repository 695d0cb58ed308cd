//! The result of functions `RETURNS record` with several OUT parameters: one row.

use pgrx::pg_sys::{self, Datum};

use super::function::Call;
use super::value::Value;

/// The row as the function's result. It must have a value for each OUT parameter, of the parameter's type.
#[expect(unsafe_code)]
pub(crate) fn row(call: &Call, values: &[Value<'_>]) -> Datum {
    let mut datums = Vec::with_capacity(values.len());
    let mut nulls = Vec::with_capacity(values.len());
    for value in values {
        let (datum, is_null) = value.datum();
        datums.push(datum);
        nulls.push(is_null);
    }
    let mut shape = std::ptr::null_mut();
    // SAFETY: `info` is the server's, which fills `shape`; the arrays are as long as that says; the row is made in the
    // current memory context, where results belong.
    unsafe {
        let class = pg_sys::get_call_result_type(call.info(), std::ptr::null_mut(), &raw mut shape);
        assert_eq!(class, pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE, "the function returns a row");
        assert_eq!(
            values.len(),
            usize::try_from((*shape).natts).unwrap_or(0),
            "columns of the row"
        );
        let tuple = pg_sys::heap_form_tuple(
            pg_sys::BlessTupleDesc(shape),
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
        );
        pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)
    }
}

/// A value as the function's result.
#[expect(unsafe_code)]
pub(crate) fn scalar(call: &Call, value: Value<'_>) -> Datum {
    let (datum, is_null) = value.datum();
    // SAFETY: `info` is the server's, which looks at this field when the function has returned.
    unsafe { (*call.info()).isnull = is_null };
    datum
}
