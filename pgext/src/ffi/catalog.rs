//! Relations of this database by the file that they are in.

use std::collections::HashMap;

use base::RelFileLocator;
use pgrx::pg_sys::{self, Datum};

/// How many answers are kept, at some 40 bytes each.
const MOST_KEPT: usize = 100_000;

/// Finds relations by their files; what was found is kept for the length of a query, if it is not too much.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    found: HashMap<RelFileLocator, Option<u32>>,
}

impl Relations {
    /// Oid of the relation; `None` for one of another database, and for one that is not there or has another file by
    /// now.
    pub(crate) fn find(&mut self, locator: RelFileLocator) -> Option<u32> {
        if self.found.len() >= MOST_KEPT && !self.found.contains_key(&locator) {
            self.found.clear();
        }
        *self.found.entry(locator).or_insert_with(|| find(locator))
    }
}

#[expect(unsafe_code)]
fn find(locator: RelFileLocator) -> Option<u32> {
    // SAFETY: a backend has it set before it runs anything, and never changes it.
    let database = unsafe { pg_sys::MyDatabaseId }.to_u32();
    if locator.database != 0 && locator.database != database {
        return None;
    }
    let arguments = [Some(Datum::from(locator.tablespace)), Some(Datum::from(locator.relation))];
    // SAFETY: the function takes two oids, and looks at nothing but them.
    let relation =
        unsafe { pgrx::direct_function_call_as_datum(pg_sys::pg_filenode_relation, &arguments) };
    relation.map(|datum| datum.value() as u32)
}
