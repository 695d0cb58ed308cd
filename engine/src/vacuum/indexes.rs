//! Indexes, vacuumed: between the two passes over a table they forget the line pointers that the second pass frees; at the end
//! each notes what it has left.
//!
//! Invariants: a dead line pointer is freed only when no index knows it any more: as long as one does, the place must not be
//! given to another row. A page of an index is used again when every transaction that had a snapshot or an id while it was
//! deleted has ended. Source: `lazy_vacuum_all_indexes`, `lazy_cleanup_all_indexes`.

use std::collections::BTreeMap;

use base::{BlockNumber, FullXid, Oid, Tid, TimestampTz, Xid};
use procarray::Backend;

use super::cost::Balance;
use crate::Error;
use crate::btree::{Deletion, Index, Readers, Vacuumed};
use crate::catalog::TableEntry;
use crate::session::Session;
use crate::xact::Transactions;

/// What a vacuum of a table did to one of its indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VacuumedIndex {
    /// The index.
    pub name: String,
    /// What was done.
    pub vacuumed: Vacuumed,
}

/// What passes of one vacuum have done, by index.
pub(super) type Passes = BTreeMap<Oid, Vacuumed>;

/// Transactions, as those who may have links to pages of an index.
struct WhoRuns<'a> {
    transactions: &'a Transactions,
    backend: &'a Backend,
    /// At the last look: the oldest id that somebody may have, and the oldest moment that somebody may see.
    oldest: (FullXid, Option<TimestampTz>),
}

impl<'a> WhoRuns<'a> {
    /// Before the first look, which every pass begins with.
    fn new(transactions: &'a Transactions, backend: &'a Backend) -> WhoRuns<'a> {
        WhoRuns { transactions, backend, oldest: (FullXid(0), None) }
    }
}

impl Readers for WhoRuns<'_> {
    fn deletion(&self) -> Deletion {
        let (array, time) = (&self.transactions.array, &self.transactions.time);
        Deletion { safe_xid: array.next_xid(), moment: time.moment() }
    }

    fn look(&mut self) {
        let next = self.transactions.array.next_xid();
        let oldest = next.nearest(self.transactions.oldest_xmin(self.backend));
        self.oldest = (oldest, self.transactions.time.oldest_moment());
    }

    fn are_gone(&self, since: Deletion) -> bool {
        let (oldest, moment) = self.oldest;
        // Who aborted counts as ended at any time: what begins by time is looked at by time, too.
        since.safe_xid < oldest && moment.is_none_or(|moment| since.moment < moment)
    }
}

/// Has all indexes of a table forget these line pointers, which are in ascending order. The caller keeps others from making
/// or vacuuming an index of the table.
///
/// # Errors
/// Where an index cannot be read or written, or the session was cancelled. No line pointer is freed then.
pub(super) fn forget(
    session: &mut Session<'_>,
    table: &TableEntry,
    dead: &[Tid],
    passes: &mut Passes,
    balance: &mut Balance<'_>,
) -> Result<(), Error> {
    let (shared, xid) = (session.shared, session.own_xid().unwrap_or(Xid::INVALID));
    for index in table.indexes().iter() {
        let (inserter, interrupts, backend) = session.log_interrupts_and_place();
        let btree = Index::of(&shared.storage, &index.known);
        btree.writer(inserter, xid).bulk_delete(
            &|tid| dead.binary_search(&tid).is_ok(),
            &mut WhoRuns::new(&shared.transactions, backend),
            &mut |_: BlockNumber| balance.nap(&interrupts),
            passes.entry(index.oid).or_default(),
        )?;
    }
    Ok(())
}

/// Ends the vacuum of all indexes of a table; what was done to each.
///
/// # Errors
/// As [`forget`].
pub(super) fn clean_up(
    session: &mut Session<'_>,
    table: &TableEntry,
    passes: &Passes,
    balance: &mut Balance<'_>,
) -> Result<Vec<VacuumedIndex>, Error> {
    let (shared, xid) = (session.shared, session.own_xid().unwrap_or(Xid::INVALID));
    let mut done = Vec::new();
    for index in table.indexes().iter() {
        let (inserter, interrupts, backend) = session.log_interrupts_and_place();
        let btree = Index::of(&shared.storage, &index.known);
        let vacuumed = btree.writer(inserter, xid).clean_up(
            passes.get(&index.oid).copied(),
            &mut WhoRuns::new(&shared.transactions, backend),
            &mut |_: BlockNumber| balance.nap(&interrupts),
        )?;
        let name = index.definition.name.clone();
        done.extend(vacuumed.map(|vacuumed| VacuumedIndex { name, vacuumed }));
    }
    Ok(done)
}
