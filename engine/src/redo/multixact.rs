//! Redo of sets of lockers, and of pages of pg_multixact made and cut off.
//!
//! Source: `multixact_redo`.

use base::{MultiXactId, Oid};
use wal::record::Record;
use wal::rmgr::multixact::{Create, Multixact};

use super::clog::page_number;
use super::{Redo, RedoCause};
use crate::slru::Member;
use crate::slru::multixact::precedes;
use crate::storage::IdState;

/// The next id and position are at least these.
pub(super) fn advance_next(ids: &mut IdState, multi: MultiXactId, offset: u32) {
    if precedes(ids.next_multi, multi) {
        ids.next_multi = multi;
    }
    if precedes(ids.next_multi_offset, offset) {
        ids.next_multi_offset = offset;
    }
}

/// The oldest id is at least this.
pub(super) fn advance_oldest(ids: &mut IdState, oldest: MultiXactId, database: Oid) {
    if precedes(ids.oldest_multi, oldest) {
        (ids.oldest_multi, ids.oldest_multi_database) = (oldest, database);
    }
}

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Multixact<'_>,
) -> Result<(), RedoCause> {
    let storage = redo.storage;
    match payload {
        Multixact::ZeroOffsetsPage { page } => {
            storage.multixact.redo_zero_page(false, page_number(*page)?)?;
        }
        Multixact::ZeroMembersPage { page } => {
            storage.multixact.redo_zero_page(true, page_number(*page)?)?;
        }
        Multixact::Create(create) => made(redo, record, create)?,
        Multixact::Truncate(truncate) => {
            redo.before_irreversible(record.end())?;
            let oldest = truncate.end_offset;
            advance_oldest(&mut storage.ids.lock(), oldest, truncate.oldest_multi_database);
            storage.multixact.truncate(oldest, truncate.start_member, truncate.end_member)?;
        }
    }
    Ok(())
}

fn made(redo: &mut Redo<'_>, record: &Record<'_>, create: &Create<'_>) -> Result<(), RedoCause> {
    let storage = redo.storage;
    let mut members = Vec::with_capacity(create.members.len());
    for member in create.members.iter() {
        let status = u8::try_from(member.status.0).ok().filter(|status| *status <= 5);
        let status = status
            .ok_or_else(|| RedoCause::OutOfRange(format!("lock status {}", member.status.0)))?;
        members.push(Member { xid: member.xid, status });
    }
    if create.offset == 0 {
        return Err(RedoCause::OutOfRange("member offset 0".to_owned()));
    }
    storage.multixact.set(create.multixact, create.offset, &members)?;
    let mut ids = storage.ids.lock();
    let count = members.len() as u32;
    advance_next(&mut ids, create.multixact.wrapping_add(1), create.offset.wrapping_add(count));
    ids.xid_seen(record.xid());
    for member in &members {
        ids.xid_seen(member.xid);
    }
    Ok(())
}
