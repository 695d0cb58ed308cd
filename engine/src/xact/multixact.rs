//! Sets of transactions that hold a row together: made, and made larger.
//!
//! ```text
//! under the generator's lock   pages made and logged ─► id and positions given out
//! in the commit gate           record inserted ─► members written ─► where they begin
//! ```
//!
//! Invariants: at most one member updates. A set is in `pg_multixact` before a row names it, and its record in the log
//! before that of the row. A checkpoint waits for whoever has inserted the record and has not written the set: the record may
//! lie before its redo point. A set's id is given out only where no set that a row may have is so old that the order of
//! ids would break. Source: `multixact.c` (`MultiXactIdCreateFromMembers`, `MultiXactIdExpand`, `GetNewMultiXactId`).

use std::collections::HashMap;

use base::sync::PoisonError;
use base::{MultiXactId, Xid};
use snapshot::{LoggedStatus, MultiXactMember, MultiXactStatus, TransactionStatus};
use wal::rmgr::heap::InfoBits;
use wal::write::NewRecord;

use super::limits;
use crate::Error;
use crate::heap::{NewXmax, RowLock};
use crate::session::Session;
use crate::slru::Member;
use crate::slru::multixact::precedes;

/// The resource manager `MultiXact`, and its records.
const MULTIXACT: u8 = 6;
const ZERO_OFFSETS_PAGE: u8 = 0x00;
const ZERO_MEMBERS_PAGE: u8 = 0x10;
const CREATE: u8 = 0x20;

/// The sets that a transaction has made, by their members (`mXactCacheGetBySet`).
#[derive(Debug, Default)]
pub(crate) struct MadeSets(HashMap<Vec<(u32, u8)>, MultiXactId>);

impl MadeSets {
    /// The one that was made last.
    pub(crate) fn newest(&self) -> Option<MultiXactId> {
        let newer = |one: MultiXactId, other| if precedes(one, other) { other } else { one };
        self.0.values().copied().reduce(newer)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The strength of a lock that a member has (`TUPLOCK_from_mxstatus`).
pub(crate) fn strength_of(status: MultiXactStatus) -> RowLock {
    match status {
        MultiXactStatus::ForKeyShare => RowLock::KeyShare,
        MultiXactStatus::ForShare => RowLock::Share,
        MultiXactStatus::ForNoKeyUpdate | MultiXactStatus::NoKeyUpdate => RowLock::NoKeyUpdate,
        MultiXactStatus::ForUpdate | MultiXactStatus::Update => RowLock::Update,
    }
}

/// What a member is who locks so, or updates (`get_mxact_status_for_lock`).
///
/// # Panics
/// For an update that locks like a reader.
pub(crate) fn status_of(strength: RowLock, is_update: bool) -> MultiXactStatus {
    match (strength, is_update) {
        (RowLock::KeyShare, false) => MultiXactStatus::ForKeyShare,
        (RowLock::Share, false) => MultiXactStatus::ForShare,
        (RowLock::NoKeyUpdate, false) => MultiXactStatus::ForNoKeyUpdate,
        (RowLock::Update, false) => MultiXactStatus::ForUpdate,
        (RowLock::NoKeyUpdate, true) => MultiXactStatus::NoKeyUpdate,
        (RowLock::Update, true) => MultiXactStatus::Update,
        (RowLock::KeyShare | RowLock::Share, true) => panic!("an update locks no row so weakly"),
    }
}

/// The `xmax` that names a set of these members, with its bits (`GetMultiXactIdHintBits`).
pub(crate) fn named_by(multi: MultiXactId, members: &[MultiXactMember]) -> NewXmax {
    let mut bits = InfoBits::IS_MULTI;
    let strongest = members.iter().map(|member| strength_of(member.status)).max();
    bits |= match strongest {
        Some(RowLock::KeyShare) | None => InfoBits::KEYSHR_LOCK,
        Some(RowLock::Share) => InfoBits::KEYSHR_LOCK | InfoBits::EXCL_LOCK,
        Some(RowLock::NoKeyUpdate | RowLock::Update) => InfoBits::EXCL_LOCK,
    };
    bits.set(InfoBits::KEYS_UPDATED, strongest == Some(RowLock::Update));
    let updates = members.iter().any(|member| member.status.is_update());
    bits.set(InfoBits::LOCK_ONLY, !updates);
    NewXmax { xmax: Xid(multi), bits }
}

impl Session<'_> {
    /// A set with the members of another that still count, and one more.
    ///
    /// # Errors
    /// As [`Session::make_multixact`]; where a member's fate cannot be read.
    pub(crate) fn expand_multixact(
        &mut self,
        multi: MultiXactId,
        xid: Xid,
        status: MultiXactStatus,
    ) -> Result<NewXmax, Error> {
        let own = MultiXactMember { xid, status };
        let mut members = Vec::new();
        {
            let fates = self.status();
            let old = fates.members(multi, false)?;
            if old.contains(&own) {
                return Ok(named_by(multi, &old));
            }
            for member in old.iter() {
                // Who has aborted may not have left the process array yet.
                let aborted = fates.logged(member.xid)? == LoggedStatus::Aborted;
                let counts = !aborted
                    && (fates.is_in_progress(member.xid)?
                        || member.status.is_update() && fates.did_commit(member.xid)?);
                members.extend(counts.then_some(*member));
            }
        }
        members.push(own);
        self.make_multixact(&members)
    }

    /// A set of these members; one that the transaction has made already, if they are the same.
    ///
    /// # Errors
    /// Where a page of `pg_multixact` cannot be had, the log is stopped, or ids have run out.
    ///
    /// # Panics
    /// If two of them update.
    pub(crate) fn make_multixact(&mut self, members: &[MultiXactMember]) -> Result<NewXmax, Error> {
        assert!(
            members.iter().filter(|member| member.status.is_update()).count() <= 1,
            "two members update: {members:?}"
        );
        let mut key: Vec<_> =
            members.iter().map(|member| (member.xid.0, member.status as u8)).collect();
        key.sort_unstable();
        if let Some(multi) = self.made_sets.0.get(&key) {
            return Ok(named_by(*multi, members));
        }
        let (storage, xid) = (&self.shared.storage, self.own_xid().unwrap_or(Xid::INVALID));
        let (multi, first) = self.give_multixact_out(members.len() as u32)?;
        let mut main = Vec::with_capacity(12 + members.len() * 8);
        for word in [multi, first, members.len() as u32] {
            main.extend_from_slice(&word.to_le_bytes());
        }
        for member in members {
            main.extend_from_slice(&member.xid.0.to_le_bytes());
            main.extend_from_slice(&(member.status as u32).to_le_bytes());
        }
        let logged: Vec<Member> = members
            .iter()
            .map(|member| Member { xid: member.xid, status: member.status as u8 })
            .collect();
        let record = NewRecord { xid, main: &[&main], ..NewRecord::new(MULTIXACT, CREATE) };
        let in_gate = storage.commit_gate.enter(self.number());
        let written = storage
            .log
            .log()
            .insert(&mut self.inserter, &record)
            .map_err(Error::from)
            .and_then(|_| storage.multixact.set(multi, first, &logged));
        drop(in_gate);
        if let Err(error) = &written {
            // Its id is taken, and who reads the set before it would wait for this one for ever.
            self.shared.stop(error);
        }
        written?;
        self.made_sets.0.insert(key, multi);
        Ok(named_by(multi, members))
    }

    /// Gives an id and positions for so many members out.
    fn give_multixact_out(&mut self, count: u32) -> Result<(MultiXactId, u32), Error> {
        let storage = &self.shared.storage;
        let generator = &self.shared.transactions.multixact_generator;
        let _one_at_a_time = generator.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = *storage.ids.lock();
        let (next, position) = (ids.next_multi.max(1), ids.next_multi_offset);
        limits::check_multi(next, ids.oldest_multi)?;
        // No set begins at position 0.
        let first = position.max(1);
        let taken = count + (first - position);
        limits::check_members(position, taken, ids.oldest_multi_offset)?;
        let mut log_page = |info: u8, page: u64| {
            let main = (page as u32).to_le_bytes();
            let record = NewRecord { main: &[&main], ..NewRecord::new(MULTIXACT, info) };
            storage.log.log().insert(&mut self.inserter, &record).map(drop)
        };
        if let Some(page) = storage.multixact.extend_offsets(next)? {
            log_page(ZERO_OFFSETS_PAGE, page)?;
        }
        for page in storage.multixact.extend_members(position, taken)? {
            log_page(ZERO_MEMBERS_PAGE, page)?;
        }
        let mut ids = storage.ids.lock();
        ids.next_multi = next.wrapping_add(1).max(1);
        ids.next_multi_offset = position.wrapping_add(taken);
        Ok((next, first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_says_what_its_strongest_member_does() {
        let bits = |statuses: &[MultiXactStatus]| {
            let members: Vec<_> = statuses
                .iter()
                .map(|status| MultiXactMember { xid: Xid(5), status: *status })
                .collect();
            named_by(1, &members).bits
        };
        use MultiXactStatus::{ForKeyShare, ForShare, ForUpdate, NoKeyUpdate, Update};
        let locks = InfoBits::IS_MULTI | InfoBits::LOCK_ONLY;
        assert_eq!(bits(&[ForKeyShare, ForKeyShare]), locks | InfoBits::KEYSHR_LOCK);
        let share = InfoBits::KEYSHR_LOCK | InfoBits::EXCL_LOCK;
        assert_eq!(bits(&[ForKeyShare, ForShare]), locks | share);
        let excl = InfoBits::EXCL_LOCK;
        assert_eq!(bits(&[ForKeyShare, NoKeyUpdate]), InfoBits::IS_MULTI | excl);
        assert_eq!(bits(&[ForUpdate]), locks | excl | InfoBits::KEYS_UPDATED);
        let updated = InfoBits::IS_MULTI | excl | InfoBits::KEYS_UPDATED;
        assert_eq!(bits(&[ForKeyShare, Update]), updated);
        for status in [ForKeyShare, ForShare, ForUpdate, NoKeyUpdate, Update] {
            assert_eq!(status_of(strength_of(status), status.is_update()), status);
        }
    }
}
