//! What stands between the extension's functions and the server's C: calls and their arguments ([`function`]), values
//! ([`value`]), single rows ([`row`]) and sets of them ([`rows`]), times in the session's form ([`time`]); lists ([`list`]), the
//! executor's slots ([`slot`]), Rust values that a memory context owns ([`owned`]); and the server's shared memory: its locks
//! ([`lwlock`]), its process array ([`proc_array`]), its tables ([`heap`]) and what their rows hold ([`contents`]), the fates of its transactions
//! ([`transactions`]); and relations by their files ([`catalog`]).
//!
//! Invariants: what is unsafe in a plain SQL function lies here, and a family's own file needs none; a function's error
//! is raised in one place, after everything on its stack is dropped.

pub(crate) mod catalog;
pub(crate) mod contents;
pub(crate) mod function;
pub(crate) mod heap;
pub(crate) mod list;
pub(crate) mod lwlock;
pub(crate) mod owned;
pub(crate) mod proc_array;
pub(crate) mod row;
pub(crate) mod rows;
#[cfg(feature = "test-functions")]
pub(crate) mod server_rules;
pub(crate) mod slot;
pub(crate) mod time;
pub(crate) mod transactions;
pub(crate) mod value;
