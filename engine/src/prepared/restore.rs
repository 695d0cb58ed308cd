//! What an opening engine does with the transactions that were prepared in an earlier life.
//!
//! ```text
//! recovery is over ─► over, or of the future? gone ─► log open: parents of subtransactions in pg_subtrans
//!     ─► slots in the process array, locks, "prepared" in the table of timestamps ─► catalog read ─► claims of names
//! ```
//!
//! Invariant: nothing else runs yet. Source: `PrescanPreparedTransactions`, `RecoverPreparedTransactions`.

use std::collections::HashSet;

use base::Xid;
use procarray::ReservedSlot;

use super::detached::{Detached, DetachedTransactions};
use super::files;
use super::payload::TwoPhaseState;
use crate::Error;
use crate::catalog::{Catalog, Relation, store};
use crate::slru::Status;
use crate::storage::Storage;
use crate::transaction::Transaction;
use crate::xact::Transactions;

/// The states that there are, read.
///
/// # Errors
/// Where one cannot be read, or holds what the engine does not know.
pub(crate) fn states(storage: &Storage) -> Result<Vec<TwoPhaseState>, Error> {
    let places: Vec<_> = {
        let states = storage.two_phase.lock();
        states.by_gid.values().map(|state| (state.xid, state.place.clone())).collect()
    };
    let read = |(xid, place)| Ok(TwoPhaseState::read(xid, &files::read(storage, xid, &place)?)?);
    places.into_iter().map(read).collect()
}

/// Drops what recovery has found to be over, or to be of a time that it has not come to.
///
/// # Errors
/// Where `pg_xact` cannot be read, or a file not be removed.
pub(crate) fn drop_ended(storage: &Storage) -> Result<(), Error> {
    let next = storage.ids.lock().next_xid.xid();
    let xids: Vec<Xid> = {
        let states = storage.two_phase.lock();
        states.by_gid.values().map(|state| state.xid).collect()
    };
    for xid in xids {
        let is_over = !xid.precedes(next) || storage.clog.status(xid)?.0 != Status::InProgress;
        if is_over && files::end_redone(storage, xid) {
            files::remove(storage, xid)?;
        }
    }
    Ok(())
}

/// Makes the pages of `pg_subtrans` from the oldest prepared transaction on, and notes the parents of all their
/// subtransactions.
///
/// # Errors
/// As [`states`], and where a page cannot be had.
pub(crate) fn start_subtransactions(storage: &Storage) -> Result<(), Error> {
    let next = storage.ids.lock().next_xid.xid();
    let states = states(storage)?;
    let older = |one: Xid, other: Xid| if other.precedes(one) { other } else { one };
    let oldest = states.iter().map(|state| state.xid).fold(next, older);
    storage.subtrans.start(oldest, next)?;
    for state in &states {
        for child in &state.children {
            storage.subtrans.set_parent(*child, state.xid)?;
        }
    }
    Ok(())
}

/// Gives each transaction a slot of its own, its locks, and its place among the members of sets.
///
/// # Errors
/// Where there is no slot left.
pub(crate) fn detach(
    states: &[TwoPhaseState],
    storage: &Storage,
    transactions: &Transactions,
) -> Result<DetachedTransactions, Error> {
    let next = transactions.array.next_xid();
    let detached = DetachedTransactions::default();
    for state in states {
        let (xid, children) = state.full_ids(next);
        let slot = ReservedSlot::take(&transactions.array)?;
        let running = slot.restore(xid, &children, state.database, state.prepared_at);
        transactions.locks.restore(running.number().0 as usize, &state.locks);
        if let Some(oldest) = state.oldest_member {
            transactions.member_in(storage, running.number(), oldest);
        }
        let (names, made, dropped, changes) = Default::default();
        let locks = state.locks.clone();
        let one = Detached { running, locks, names, made, dropped, changes };
        detached.lock().insert(state.xid, one);
    }
    Ok(detached)
}

/// Claims the names of tables that the transactions make or drop, as the catalog's rows tell.
///
/// # Errors
/// Where the catalog cannot be read, or contradicts itself.
pub(crate) fn claim_names(
    transaction: &mut Transaction<'_, '_>,
    catalog: &Catalog,
    detached: &DetachedTransactions,
    states: &[TwoPhaseState],
) -> Result<(), Error> {
    for state in states {
        let own: HashSet<Xid> = std::iter::once(state.xid).chain(state.children.clone()).collect();
        let changes = store::changes_of(transaction, catalog, &|xid| own.contains(&xid))?;
        let mut detached = detached.lock();
        let Some(one) = detached.get_mut(&state.xid) else { continue };
        let owner = one.owner();
        for name in changes.dropped {
            one.dropped.extend(catalog.present(&name));
            catalog.claim(&name, owner, state.xid, None)?;
            one.names.push(name);
        }
        for relation in changes.made {
            if let Relation::Index { index, table } = &relation {
                index.hand_over(owner);
                // What was there to be seen when it was made is not known any more.
                index.set_lacks_before(state.xid);
                table.add_index(index);
            }
            catalog.claim(relation.name(), owner, state.xid, Some(relation.clone()))?;
            one.names.push(relation.name().to_owned());
            one.made.push(relation);
        }
    }
    Ok(())
}
