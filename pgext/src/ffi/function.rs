//! SQL functions in Rust: their entry points and their arguments.

use base::{Lsn, TimestampTz};
use pgrx::pg_sys::{self, Datum};

use crate::error::SqlError;

/// A call of an SQL function.
#[derive(Debug)]
pub(crate) struct Call {
    info: pg_sys::FunctionCallInfo,
}

#[allow(dead_code, reason = "what the families of functions need, some of them still to come")]
impl Call {
    /// # Safety
    /// `info` must be what the server gave to the function that is being called, which must not have returned.
    #[expect(unsafe_code)]
    pub(crate) unsafe fn new(info: pg_sys::FunctionCallInfo) -> Call {
        Call { info }
    }

    /// Argument `number`, from 0; `None` for NULL. Panics if the function has no such argument.
    #[expect(unsafe_code)]
    fn argument(&self, number: usize) -> Option<Datum> {
        // SAFETY: the server gives as many arguments as it says, and they live as long as the call.
        let argument = unsafe {
            let count = usize::try_from((*self.info).nargs).unwrap_or(0);
            (*self.info).args.as_slice(count)[number]
        };
        (!argument.isnull).then_some(argument.value)
    }

    /// Argument `number` as the server gave it, of any type; 0 for NULL.
    pub(crate) fn datum(&self, number: usize) -> Datum {
        self.argument(number).unwrap_or(Datum::from(0usize))
    }

    /// A `pg_lsn`.
    pub(crate) fn lsn(&self, number: usize) -> Option<Lsn> {
        self.argument(number).map(|datum| Lsn(datum.value() as u64))
    }

    /// A `bigint`.
    pub(crate) fn int8(&self, number: usize) -> Option<i64> {
        self.argument(number).map(|datum| datum.value() as i64)
    }

    /// A `timestamp with time zone`.
    pub(crate) fn timestamptz(&self, number: usize) -> Option<TimestampTz> {
        self.int8(number).map(TimestampTz)
    }

    /// An `integer`.
    pub(crate) fn int4(&self, number: usize) -> Option<i32> {
        self.argument(number).map(|datum| datum.value() as i32)
    }

    /// A `smallint`.
    pub(crate) fn int2(&self, number: usize) -> Option<i16> {
        self.argument(number).map(|datum| datum.value() as i16)
    }

    /// An `oid` or `xid`.
    pub(crate) fn oid(&self, number: usize) -> Option<u32> {
        self.argument(number).map(|datum| datum.value() as u32)
    }

    /// A `boolean`.
    pub(crate) fn bool(&self, number: usize) -> Option<bool> {
        self.argument(number).map(|datum| datum.value() as u8 != 0)
    }

    /// A `tid`.
    #[expect(unsafe_code)]
    pub(crate) fn tid(&self, number: usize) -> Option<base::Tid> {
        self.argument(number).map(|datum| {
            // SAFETY: the datum is a tid, as the function's SQL signature says.
            let item = unsafe { datum.cast_mut_ptr::<pg_sys::ItemPointerData>().read_unaligned() };
            base::Tid {
                block: u32::from(item.ip_blkid.bi_hi) << 16 | u32::from(item.ip_blkid.bi_lo),
                offset: item.ip_posid,
            }
        })
    }

    /// An `interval`.
    pub(crate) fn interval(&self, number: usize) -> Option<super::value::Interval> {
        self.argument(number).map(super::value::interval_of)
    }

    /// A `text`.
    pub(crate) fn text(&self, number: usize) -> Option<String> {
        self.argument(number).map(super::value::text_of)
    }

    pub(super) fn info(&self) -> pg_sys::FunctionCallInfo {
        self.info
    }
}

/// The result of an SQL function: a value, or the error that is raised.
pub(crate) type Outcome = Result<Datum, SqlError>;

/// Declares SQL functions: `sql_functions!(name, ...)` for functions `fn name(call: &Call) -> Outcome`. The SQL
/// script names them `strata_name`: every library's symbols are in one space in a backend, and pg_walinspect has some of
/// the same.
macro_rules! sql_functions {
    ($($name:ident),+ $(,)?) => {$(
        const _: () = {
            #[doc(hidden)]
            #[expect(unsafe_code)]
            #[unsafe(export_name = concat!("pg_finfo_strata_", stringify!($name)))]
            extern "C" fn information() -> *const ::pgrx::pg_sys::Pg_finfo_record {
                static VERSION_1: ::pgrx::pg_sys::Pg_finfo_record =
                    ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
                &raw const VERSION_1
            }

            #[doc(hidden)]
            #[expect(unsafe_code)]
            #[unsafe(export_name = concat!("strata_", stringify!($name)))]
            unsafe extern "C-unwind" fn entry(
                info: ::pgrx::pg_sys::FunctionCallInfo,
            ) -> ::pgrx::pg_sys::Datum {
                // SAFETY: the server calls this function with `info`, and waits. The closure owns nothing that the
                // server's own error handling would skip; what the function owns is dropped when it returns or unwinds.
                unsafe {
                    ::pgrx::pg_sys::panic::pgrx_extern_c_guard(|| {
                        let call = $crate::ffi::function::Call::new(info);
                        match $name(&call) {
                            Ok(datum) => datum,
                            Err(error) => error.raise(),
                        }
                    })
                }
            }
        };
    )+};
}
pub(crate) use sql_functions;
