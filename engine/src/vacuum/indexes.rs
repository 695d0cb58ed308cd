//! The place between the two passes over a table, where indexes forget the line pointers that the second pass frees.
//!
//! Invariant: a dead line pointer is freed only when no index knows it any more: as long as one does, the place must not be
//! given to another row. Source: `lazy_vacuum_all_indexes`.

use base::Tid;

use crate::Error;
use crate::catalog::TableEntry;
use crate::session::Session;

/// Has all indexes of a table forget these line pointers, which are in ascending order; whether none leads to them now. Indexes
/// cannot forget yet: the line pointers of a table that has any stay dead.
///
/// # Errors
/// Where an index cannot be read or written. No line pointer is freed then.
pub(super) fn forget(_: &mut Session<'_>, table: &TableEntry, _: &[Tid]) -> Result<bool, Error> {
    Ok(table.indexes().is_empty())
}
