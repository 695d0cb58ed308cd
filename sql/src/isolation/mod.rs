//! PostgreSQL's isolation specs: read ([`spec`]), run with a thread for each session ([`runner`]), and printed as
//! isolationtester prints them ([`result_table`]).
//!
//! Sources: `src/test/isolation/README`, `specparse.y`, `specscanner.l`, `isolationtester.c`.

pub mod result_table;
pub mod runner;
pub mod spec;

pub use runner::{RunError, run};
pub use spec::{Block, Spec, SpecError};
