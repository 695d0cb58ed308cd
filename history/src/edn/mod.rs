//! Histories in Jepsen's form, which Elle reads: a vector of maps in EDN, an invocation and a completion for each transaction.
//!
//! ```text
//! ; pgstrata history {:workload :list-append, :level :read-committed, :snapshots "classic", :seed 1, :sessions 4, :step 5}
//! [{:index 0, :type :invoke, :f :txn, :value [[:append 3 1] [:r 4 nil]], :process 0, :time 120}
//!  {:index 1, :type :ok, :f :txn, :value [[:append 3 1] [:r 4 [7 8]]], :process 0, :time 345}]
//! ```
//!
//! | file | does |
//! |---|---|
//! | `write` | writes it |
//! | `value` | reads EDN, one value at a time |
//! | `read` | makes transactions of the maps |
//!
//! Invariant: what was written is read, but for what Jepsen's form does not have: what a write replaced, and what was read
//! by a transaction that did not commit.

mod read;
mod value;
mod write;

use std::fmt;

pub use read::{EdnError, read};
pub use write::write;

use crate::model::{Level, Workload};

/// What the first line of a history begins with that was written here.
const COMMENT: &str = "; pgstrata history";

const WORKLOADS: [(Workload, &str); 2] =
    [(Workload::ListAppend, "list-append"), (Workload::Register, "register")];

const LEVELS: [(Level, &str); 3] = [
    (Level::ReadCommitted, "read-committed"),
    (Level::RepeatableRead, "repeatable-read"),
    (Level::Serializable, "serializable"),
];

fn level_name(level: Level) -> &'static str {
    name_in(&LEVELS, level)
}

fn name_in<T: PartialEq + Copy>(names: &[(T, &'static str)], wanted: T) -> &'static str {
    names.iter().find(|(one, _)| *one == wanted).map_or("", |(_, name)| *name)
}

/// A string in EDN.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => write!(f, "\\{letter}")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '\r' => f.write_str("\\r")?,
                _ => write!(f, "{letter}")?,
            }
        }
        f.write_str("\"")
    }
}
