//! SQL functions in Rust: their entry points and their arguments.

use pgrx::pg_sys::{self, Datum};

use crate::error::SqlError;

/// A call of an SQL function.
#[derive(Debug)]
pub(crate) struct Call {
    info: pg_sys::FunctionCallInfo,
}

impl Call {
    /// # Safety
    /// `info` must be what the server gave to the function that is being called, which must not have returned.
    #[expect(unsafe_code)]
    pub(crate) unsafe fn new(info: pg_sys::FunctionCallInfo) -> Call {
        Call { info }
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
