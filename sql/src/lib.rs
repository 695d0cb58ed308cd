//! SQL enough for the harness, over sessions of the engine: parsed, analyzed and executed, with PostgreSQL's results, error
//! texts and SQLSTATEs; and PostgreSQL's own isolation specs run with it ([`isolation`]).
//!
//! ```text
//! text ─► parse: statements ─► analyze: names and types ─► plan ─► exec: rows from, and changes of, the engine's tables
//!           └─► transactions, settings, locks: backend         └─► rules, uniqueness, foreign keys
//! ```
//!
//! [`backend`] is what a session does, as a server process does it: it takes one query after the other from a [`Client`].
//! [`database`] is what all sessions of an engine share.
//!
//! Invariants: nothing here knows a page; rows are read and changed through the engine's tables. What PostgreSQL has and this
//! has not is an error that names it (`0A000`), never something else done instead.
//!
//! # Example
//!
//! ```
//! use base::disk::RealDisk;
//! use engine::data_directory::{Birth, InitOptions, init};
//! use engine::{Engine, EngineOptions};
//! use sql::{Database, Response, Script};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let place = tempfile::tempdir()?;
//! let data = place.path().join("data");
//! init(&RealDisk, &data, &InitOptions::default(), &Birth::now()?)?;
//! let engine = Engine::open(&data, EngineOptions::default())?;
//! let database = Database::new(&engine);
//! let mut script = Script::new([
//!     "CREATE TABLE t (a int PRIMARY KEY, b numeric(5,2))",
//!     "INSERT INTO t VALUES (1, 2.5), (2, 7) RETURNING a, b * 2 AS twice",
//! ]);
//! sql::serve(&database, &mut script)?;
//! let Some(Response::Rows { columns, rows, .. }) = script.responses.get(2) else { panic!("{script:?}") };
//! assert_eq!(columns, &["a", "twice"]);
//! assert_eq!(rows[1], [Some("2".to_owned()), Some("14.00".to_owned())]);
//! # Ok(())
//! # }
//! ```

mod access;
mod analyze;
pub mod backend;
mod cast;
mod class;
mod constraint;
pub mod database;
mod ddl;
pub mod error;
mod exec;
mod expr;
mod family;
mod fold;
mod function;
mod index;
mod inherit;
pub mod isolation;
mod make_index;
mod numeric;
mod parse;
mod partition;
mod plan;
mod plpgsql;
pub mod psql;
mod reads;
mod ready;
mod routine;
mod settings;
mod storage;
mod table;
mod type_name;
mod types;
mod vacuum;

pub use backend::{Client, NoticeSink, Response, Script, serve};
pub use database::Database;
pub use error::{Notice, SqlError};
pub use parse::IsolationLevel;
pub use reads::TableReads;
