//! Changing and deleting rows that others may be changing at the same moment.
//!
//! ```text
//! look     what is the version, and who holds it?
//! decide   the caller says what becomes of it, and so how strongly it is to be locked; no page is locked
//! wait     someone's hold excludes that ─► stand in the version's queue, wait for his end, look again
//!          someone has updated it       ─► repeatable read: error; read committed: on to his version
//!          someone has deleted it       ─► repeatable read: error; read committed: it is gone
//! change   under the exclusive lock: if the version is still as it was looked at, change it; else look again
//!          one that was come to so and is to be left alone is locked instead
//! ```
//!
//! An update that changes no indexed column stays on its page where there is room, and needs no index entry (HOT).
//!
//! An update that leaves key columns alone goes together with key-share locks, which the new version takes over.
//!
//! PostgreSQL marks the version as locked before it looks for room elsewhere; here nothing is promised to anybody between
//! looking and changing, so that the loser of a race goes round again. Source: `heap_update`, `heap_delete`,
//! `EvalPlanQual`.
//!
//! Invariant: no page is locked while another transaction is waited for.

use base::sync::Arc;
use base::{HeapTupleHeader, Infomask, Infomask2, Tid, Xid};
use snapshot::satisfies::{MvccSnapshot, Outcome, UpdateVerdict, satisfies_update};
use snapshot::{CommandIdPair, MultiXactMember, TransactionStatus, TupleStamp};
use wal::rmgr::heap::DeleteFlags;

use super::Row;
use super::attempt::Tried;
use super::index::EnteredRow;
use super::lock::{Newest, Queued, Version, VersionLocked, has_same_xmax};
use super::row_xmax::{holders, is_only_locked, set_conflict, updater};
use crate::Error;
use crate::catalog::changes::RowChange;
use crate::catalog::{ComputedValues, TableEntry};
use crate::heap::{CommandStamp, NewXmax, RowLock};
use crate::lock::WaitPolicy;
use crate::planted::{self, Bug};
use crate::session::Isolation;
use crate::transaction::Transaction;
use crate::xact::multixact::named_by;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewRow {
    /// It stays as it is.
    Keep,
    /// It gets the values that were written down.
    Update,
    /// It goes.
    Delete,
    /// It goes to another partition, where the caller puts it in anew.
    Move,
}

/// A row that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Modified {
    /// As [`Row::root`].
    pub(crate) root: Tid,
    /// Where its new version is, or the one that has ended.
    pub(crate) tid: Tid,
}

impl Transaction<'_, '_> {
    /// Deletes a row if its newest version is as `condition` wants it.
    pub(crate) fn delete_row(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        mut condition: impl FnMut(&Row) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let decide = |row: &Row, _: &mut Vec<u8>| {
            Ok(if condition(row)? { NewRow::Delete } else { NewRow::Keep })
        };
        Ok(self.modify_row(table, tid, decide, &[])?.is_some())
    }

    /// Deletes a row by the place of one of its versions, whether the transaction's snapshot shows that or not, and whatever
    /// has become of it since the snapshot was taken.
    pub(crate) fn delete_newest(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
    ) -> Result<bool, Error> {
        let isolation = std::mem::replace(&mut self.isolation, Isolation::ReadCommitted);
        let deleted = self.delete_row(table, tid, |_| Ok(true));
        self.isolation = isolation;
        deleted
    }

    /// Changes a row; `decide` is shown its newest version, and writes down the tuple that it is to become, of which indexes
    /// have computed this. While somebody changes that, it may be shown versions before it, too: what it says of them counts
    /// for nothing but the strength of the lock. Gives the place of what was changed or made, and its root if `tid` was one;
    /// `None` if nothing was.
    pub(crate) fn modify_row(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        decide: impl FnMut(&Row, &mut Vec<u8>) -> Result<NewRow, Error>,
        computed: &ComputedValues<'_>,
    ) -> Result<Option<Modified>, Error> {
        let mut queued = Queued::default();
        let modified = self.modify_in_queue(table, tid, decide, computed, &mut queued);
        self.session.leave_queue(&mut queued);
        modified
    }

    fn modify_in_queue(
        &mut self,
        table: &Arc<TableEntry>,
        tid: Tid,
        mut decide: impl FnMut(&Row, &mut Vec<u8>) -> Result<NewRow, Error>,
        computed: &ComputedValues<'_>,
        queued: &mut Queued,
    ) -> Result<Option<Modified>, Error> {
        let (mut place, mut root) = (tid, tid);
        let conflicts = !planted::has(Bug::FirstUpdaterDoesNotWin);
        if self.isolation == Isolation::RepeatableRead && conflicts {
            // The versions before the one that the snapshot sees were changed before it was taken: no conflict.
            match self.get_row(table, tid)? {
                Some(row) => place = row.tid(),
                None => return Ok(None),
            }
        }
        let mut tuple = Vec::new();
        // The table's lock keeps those out who would make or drop one.
        let indexes = table.indexes();
        // Found out when values are first compared.
        let mut key_columns = None;
        // What was waited for, if it is to be looked at once more before all else.
        let mut waited: Option<HeapTupleHeader> = None;
        // Who must have made the version, where it was come to from its predecessor.
        let mut expected_xmin = None;
        let mut has_begun_anew = false;
        // How strongly it was to be locked when somebody turned out to have updated it meanwhile.
        let mut contested = None;
        loop {
            self.session.check_cancelled()?;
            let found = self.session.version(table, place)?;
            let found = found.filter(|(_, version)| {
                expected_xmin.is_none_or(|xmin| xmin == version.header.xmin)
            });
            let Some((pinned, Version { header, row })) = found else {
                // Versions that nobody sees any more may go while one comes along them; the one that the snapshot sees stays.
                let is_on_the_way = expected_xmin.take().is_some() && !has_begun_anew;
                has_begun_anew = true;
                match if is_on_the_way { self.get_row(table, tid)? } else { None } {
                    Some(row) => (place, root) = (row.tid(), tid),
                    None => return Ok(None),
                }
                continue;
            };
            place = row.tid();
            let (verdict, members) = {
                let status = self.session.status();
                let stamp = TupleStamp::new(&header, place);
                let judged = satisfies_update(&stamp, self.command, &status)?;
                (judged.verdict, holders(&header, &status)?)
            };
            let has_waited = waited.take().is_some_and(|waited| has_same_xmax(&waited, &header));
            if verdict == UpdateVerdict::Invisible && header.ctid != place {
                let by = updater(&header, &self.session.status())?;
                if self.session.ids.contains(by) {
                    // An earlier command of this transaction has changed the row: the caller's place is an old one.
                    root = leads_to(&header).unwrap_or(root);
                    (place, expected_xmin) = (header.ctid, Some(by));
                    continue;
                }
            }
            if verdict == UpdateVerdict::SelfModified
                && self.ending_command(&header)? != self.command
            {
                return Err(Error::SelfModified { table: table.name.clone() });
            }
            // The newest version, which was come to from one that somebody else had updated, is another command's.
            if verdict == UpdateVerdict::Invisible
                && contested.is_some()
                && self.session.ids.contains(header.xmin)
                && self.making_command(&header)? != self.command
            {
                return Err(Error::SelfModified { table: table.name.clone() });
            }
            if matches!(verdict, UpdateVerdict::Invisible | UpdateVerdict::SelfModified) {
                return Ok(None);
            }
            let decision = decide(&row, &mut tuple)?;
            let strength = match decision {
                NewRow::Delete | NewRow::Move => RowLock::Update,
                NewRow::Update => {
                    let key = key_columns.get_or_insert_with(|| table.key_columns());
                    match table.changes_key(key, row.tuple(), &tuple)? {
                        true => RowLock::Update,
                        false => RowLock::NoKeyUpdate,
                    }
                }
                NewRow::Keep => contested.unwrap_or(RowLock::NoKeyUpdate),
            };
            let stand = match verdict {
                UpdateVerdict::Ok => Stand::Free(None),
                UpdateVerdict::BeingModified if planted::has(Bug::NoWait) => Stand::Free(None),
                UpdateVerdict::BeingModified => {
                    self.stand(&header, &members, strength, has_waited)?
                }
                _ => Stand::Ended,
            };
            let carried = match stand {
                Stand::Free(carried) => carried,
                Stand::Wait { in_queue } => {
                    drop(pinned);
                    let session = &mut *self.session;
                    if in_queue {
                        session.enter_queue(queued, table, place, strength, WaitPolicy::Wait)?;
                    }
                    session.wait_for_members(&members, strength, WaitPolicy::Wait)?;
                    waited = Some(header);
                    continue;
                }
                Stand::Ended if header.ctid == place => {
                    self.refuse_if_repeatable(table, place, "delete")?;
                    return Ok(None);
                }
                Stand::Ended => {
                    self.refuse_if_repeatable(table, place, "update")?;
                    self.session.leave_queue(queued);
                    let by = updater(&header, &self.session.status())?;
                    if self.sees(by)? {
                        // Done before the statement began: the caller's place is an old one, and nobody is in conflict.
                        root = leads_to(&header).unwrap_or(root);
                        (place, expected_xmin) = (header.ctid, Some(by));
                        continue;
                    }
                    if header.moved_to_another_partition() {
                        return Err(Error::Moved { table: table.name.clone() });
                    }
                    drop(pinned);
                    let (newest, of_newest) =
                        match self.newest(table, &header, by, WaitPolicy::Wait)? {
                            Newest::At { tid, root } => (tid, root),
                            Newest::Moved => {
                                return Err(Error::Moved { table: table.name.clone() });
                            }
                            Newest::Held | Newest::Gone => return Ok(None),
                        };
                    root = of_newest.unwrap_or(root);
                    (place, expected_xmin, contested) = (newest, None, Some(strength));
                    continue;
                }
            };
            if decision == NewRow::Keep && contested.is_some() {
                drop(pinned);
                let wait = WaitPolicy::Wait;
                match self.lock_version(table, place, strength, wait, false, queued)? {
                    VersionLocked::Updated { .. } | VersionLocked::Deleted => continue,
                    _ => return Ok(None),
                }
            }
            if decision == NewRow::Keep {
                return Ok(None);
            }
            let xid = self.assign_xid()?;
            let mut seen = header;
            if verdict == UpdateVerdict::Ok || planted::has(Bug::NoWait) {
                seen.infomask |= Infomask::XMAX_INVALID;
            }
            let old_xmax = self.session.new_xmax(&seen, xid, strength, true)?;
            let mut shortened = match decision {
                NewRow::Update => self.shortened(table, &tuple, Some(&row))?,
                _ => None,
            };
            let tried = match decision {
                NewRow::Delete | NewRow::Move => {
                    let flags = match decision {
                        NewRow::Move => DeleteFlags::IS_PARTITION_MOVE,
                        _ => DeleteFlags::empty(),
                    };
                    self.try_delete(&pinned, place, &header, xid, old_xmax, flags)?
                }
                _ => {
                    let is_hot = !table.changes_indexed(&indexes, row.tuple(), &tuple)?;
                    let xmaxes = (old_xmax, carried);
                    let how = (xmaxes, is_hot);
                    let stored =
                        shortened.as_mut().map_or(&mut tuple, |shortened| &mut shortened.tuple);
                    self.try_update(table, &pinned, place, &header, xid, how, stored)?
                }
            };
            if matches!(tried, Tried::Changed { .. }) {
                match &shortened {
                    Some(shortened) => self.delete_values(table, &shortened.dropped)?,
                    None => self.delete_values(table, &table.pointers(row.tuple())?)?,
                }
                let change = match decision {
                    NewRow::Delete | NewRow::Move => RowChange::Delete,
                    NewRow::Update | NewRow::Keep => RowChange::Update,
                };
                self.session.changes.count(&table.changes, change, 1);
            }
            match tried {
                Tried::Changed { new: tid, is_hot: true } => {
                    return Ok(Some(Modified { root, tid }));
                }
                Tried::Changed { new, is_hot: false } => {
                    // Those who wait for the row's end, or for its key, are not to wait for this.
                    self.session.leave_queue(queued);
                    drop(pinned);
                    let (old, arbiters) = (Some(row.tuple()), &[][..]);
                    let entered = EnteredRow { tuple: &tuple, old, tid: new, computed, arbiters };
                    self.insert_entries(table, &indexes, &entered)?;
                    return Ok(Some(Modified { root: new, tid: new }));
                }
                Tried::Stale | Tried::NoRoom => {
                    if let Some(shortened) = &shortened {
                        self.take_back_values(table, &shortened.saved)?;
                    }
                }
            }
        }
    }

    /// The command of this transaction that ended a version.
    fn ending_command(&self, header: &HeapTupleHeader) -> Result<base::CommandId, Error> {
        if header.infomask.contains(Infomask::COMBOCID) {
            return Ok(self.session.status().command_ids(header.field3)?.cmax);
        }
        Ok(header.field3)
    }

    /// The command of this transaction that made a version.
    fn making_command(&self, header: &HeapTupleHeader) -> Result<base::CommandId, Error> {
        if header.infomask.contains(Infomask::COMBOCID) {
            return Ok(self.session.status().command_ids(header.field3)?.cmin);
        }
        Ok(header.field3)
    }

    /// Whether the statement's snapshot sees what a transaction has done.
    fn sees(&self, xid: Xid) -> Result<bool, Error> {
        let Some(snapshot) = &self.session.snapshot else { return Ok(false) };
        Ok(snapshot.outcome(xid, false, &self.session.status())? == Outcome::Committed)
    }

    /// How a version that somebody holds stands to a change of it.
    fn stand(
        &self,
        header: &HeapTupleHeader,
        members: &[MultiXactMember],
        strength: RowLock,
        has_waited: bool,
    ) -> Result<Stand, Error> {
        let status = self.session.status();
        let bits = header.infomask;
        if bits.contains(Infomask::XMAX_IS_MULTI) {
            let conflict = set_conflict(members, strength, &status)?;
            if conflict.excludes && !has_waited {
                return Ok(Stand::Wait { in_queue: !conflict.is_member });
            }
            if !is_only_locked(header, &status)? {
                return Ok(Stand::Ended);
            }
            let mut remains = false;
            for member in members {
                remains |= status.is_in_progress(member.xid)?;
            }
            return Ok(Stand::Free(remains.then(|| named_by(header.xmax.0, members))));
        }
        let goes_together = strength == RowLock::NoKeyUpdate
            && bits.xmax_locked_only()
            && bits.intersection(Infomask::LOCK_MASK) == Infomask::XMAX_KEYSHR_LOCK;
        if status.own(header.xmax) || goes_together {
            return Ok(Stand::Free(Some(NewXmax::locks(header.xmax, RowLock::KeyShare))));
        }
        Ok(Stand::Wait { in_queue: true })
    }

    fn refuse_if_repeatable(
        &self,
        table: &TableEntry,
        tid: Tid,
        how: &'static str,
    ) -> Result<(), Error> {
        match self.isolation {
            Isolation::ReadCommitted => Ok(()),
            Isolation::RepeatableRead if planted::has(Bug::FirstUpdaterDoesNotWin) => Ok(()),
            Isolation::RepeatableRead => {
                Err(Error::Serialization { table: table.name.clone(), tid, how })
            }
        }
    }

    /// The stamp of this command as what ends a version: with a number that stands for two commands, if this transaction
    /// made the version, too (`HeapTupleHeaderAdjustCmax`).
    pub(super) fn ending_stamp(&mut self, header: &HeapTupleHeader) -> Result<CommandStamp, Error> {
        if header.infomask.xmin_committed() || !self.session.ids.contains(header.xmin) {
            return Ok(CommandStamp { id: self.command, is_combo: false });
        }
        let cmin = self.making_command(header)?;
        let session = &mut *self.session;
        let id = session.combos.id_of(CommandIdPair { cmin, cmax: self.command });
        Ok(CommandStamp { id, is_combo: true })
    }
}

/// The place of the next version, if it does not hang from the same line pointer.
pub(super) fn leads_to(header: &HeapTupleHeader) -> Option<Tid> {
    (!header.infomask2.contains(Infomask2::HOT_UPDATED)).then_some(header.ctid)
}

/// How a version stands to a change of it.
enum Stand {
    /// It may be changed; whoever goes on locking the row is to lock the new version with this.
    Free(Option<NewXmax>),
    /// Somebody is to be waited for, in the version's queue if nobody is to come before.
    Wait { in_queue: bool },
    /// Somebody has ended it.
    Ended,
}

impl TableEntry {
    /// Whether two tuples differ in one of the key columns (`HeapDetermineColumnsInfo`). The new one has all values in it.
    fn changes_key(&self, key_columns: &[usize], old: &[u8], new: &[u8]) -> Result<bool, Error> {
        let Some(last) = key_columns.iter().max() else { return Ok(false) };
        self.differ(old, new, *last, |column| key_columns.contains(&column))
    }
}
