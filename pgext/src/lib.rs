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

mod control_file;
mod error;
mod ffi;
mod horizons;
#[allow(dead_code, reason = "the foreign tables and functions that read it are still to come")]
mod log;
mod procs;
mod running;
#[allow(dead_code, reason = "the foreign tables and functions that read it are still to come")]
mod server;
mod walinspect;

pgrx::pg_module_magic!();
