//! The PostgreSQL extension `pgstrata`: write-ahead log, control file and snapshots in SQL, in the schema `strata`.
//!
//! One file per family of functions; `ffi` is what stands between them and the server's C, `error` the one place
//! that says which SQLSTATE an error has. The SQL side (signatures, comments, privileges) is `sql/pgstrata--0.1.0.sql`, by
//! hand.
//!
//! Invariants: nothing here writes to the server's data; a panic ends as an ERROR, never as a crash of the backend; no
//! server function is called from any thread but the backend's own.
//!
//! Without one of the features `pg15` to `pg18` the crate is empty, so that the workspace builds without PostgreSQL's
//! headers. `cargo xtask install` builds it for a server.

#![cfg(feature = "server")]

mod as_of;
#[cfg(feature = "test-functions")]
mod comparison;
mod control_file;
mod counted;
mod error;
mod explain_visibility;
mod ffi;
mod foreign;
mod heap_as_of;
mod heap_page;
mod horizons;
mod images;
mod infomask_words;
mod log;
mod pages;
mod procs;
mod range;
mod read_ahead;
mod relation_stats;
mod rules;
mod running;
mod segments;
mod server;
mod time_stats;
mod transaction_stats;
mod verify;
mod walfile;
mod walinspect;

pgrx::pg_module_magic!();

/// Called by the server when it loads the library.
///
/// pgrx puts a backtrace into the DETAIL of every error that comes out of the server's own functions, a cancelled query among
/// them, if the environment has RUST_BACKTRACE set. It takes a tenth of a second and tells users nothing. Who wants it sets
/// RUST_LIB_BACKTRACE.
#[expect(unsafe_code)]
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    const VARIABLE: &str = "RUST_LIB_BACKTRACE";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: a backend has one thread when it loads a library.
        unsafe { std::env::set_var(VARIABLE, "0") };
    }
}
