//! The place between the two passes over a table, where indexes forget the line pointers that the second pass frees.
//!
//! Invariant: a dead line pointer is freed only when no index knows it any more: as long as one does, the place must not be
//! given to another row. Source: `lazy_vacuum_all_indexes`.

use base::{BlockNumber, Tid, Xid};

use crate::Error;
use crate::btree::Index;
use crate::catalog::TableEntry;
use crate::session::Session;

/// Has all indexes of a table forget these line pointers, which are in ascending order. The caller keeps others from making
/// or vacuuming an index of the table.
///
/// # Errors
/// Where an index cannot be read or written, or the session was cancelled. No line pointer is freed then.
pub(super) fn forget(
    session: &mut Session<'_>,
    table: &TableEntry,
    dead: &[Tid],
) -> Result<(), Error> {
    let (storage, xid) = (&session.shared.storage, session.own_xid().unwrap_or(Xid::INVALID));
    for index in table.indexes().iter() {
        let (inserter, interrupts) = session.log_and_interrupts();
        let btree = Index::of(storage, &index.known);
        btree
            .writer(inserter, xid)
            .bulk_delete(&|tid| dead.binary_search(&tid).is_ok(), &mut |_: BlockNumber| {
                interrupts.check()
            })?;
    }
    Ok(())
}
