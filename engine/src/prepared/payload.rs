//! The state of a prepared transaction, as bytes: the payload of its record, and its file.
//!
//! Invariant: what is written here is what PostgreSQL 15 writes for the same transaction, statistics of tables apart, which
//! the engine does not keep. Source: `StartPrepare`, `AtPrepare_Locks`, `AtPrepare_MultiXact`.

use base::{FullXid, Lsn, MultiXactId, Oid, RelFileLocator, TimestampTz, Xid};
use wal::Version;
use wal::rmgr::Array;
use wal::rmgr::xact::completion::OriginPosition;
use wal::rmgr::xact::prepare::MAGIC;
use wal::rmgr::xact::two_phase::{LOCK, LockRecord, MULTIXACT};
use wal::rmgr::xact::{DroppedStats, Prepare, TwoPhaseRecord};

use super::PreparedError;
use crate::lock::{LockTag, TableLockMode};
use crate::xact::end::push_locator;

/// The role that all work as (`BOOTSTRAP_SUPERUSERID`).
const OWNER: Oid = 10;

/// What a state says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TwoPhaseState {
    pub(crate) xid: Xid,
    pub(crate) database: Oid,
    pub(crate) prepared_at: TimestampTz,
    pub(crate) gid: Vec<u8>,
    /// Its subtransactions, in ascending order.
    pub(crate) children: Vec<Xid>,
    /// Relations whose files go if it commits.
    pub(crate) dropped: Vec<RelFileLocator>,
    /// Relations whose files go if it aborts.
    pub(crate) made: Vec<RelFileLocator>,
    pub(crate) locks: Vec<(LockTag, TableLockMode)>,
    /// The oldest set of lockers that it may be a member of.
    pub(crate) oldest_member: Option<MultiXactId>,
}

impl TwoPhaseState {
    /// Its bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut state = Vec::new();
        for (tag, mode) in &self.locks {
            let mut data = Vec::with_capacity(20);
            LockRecord { tag: tag.fields(), mode: *mode as u32 }.encode(&mut data);
            TwoPhaseRecord { manager: LOCK, info: 0, data: &data }.encode(&mut state);
        }
        if let Some(oldest) = self.oldest_member {
            let data = &oldest.to_le_bytes();
            TwoPhaseRecord { manager: MULTIXACT, info: 0, data }.encode(&mut state);
        }
        TwoPhaseRecord::encode_end(&mut state);
        let children: Vec<u8> = self.children.iter().flat_map(|xid| xid.0.to_le_bytes()).collect();
        let (mut dropped, mut made) = (Vec::new(), Vec::new());
        self.dropped.iter().for_each(|relation| push_locator(*relation, &mut dropped));
        self.made.iter().for_each(|relation| push_locator(*relation, &mut made));
        let prepare = Prepare {
            magic: MAGIC,
            total_length: 0,
            prepared_xid: self.xid,
            database: self.database,
            time: self.prepared_at,
            owner: OWNER,
            gid: &self.gid,
            subxids: whole(&children),
            commit_relations: whole(&dropped),
            abort_relations: whole(&made),
            commit_stats: DroppedStats::EMPTY,
            abort_stats: DroppedStats::EMPTY,
            invalidations: Array::EMPTY,
            relcache_init_file: false,
            origin: OriginPosition { lsn: Lsn::INVALID, time: TimestampTz(0) },
            state: &state,
        };
        let mut bytes = Vec::new();
        prepare.encode(&mut bytes);
        bytes
    }

    /// Reads a state.
    ///
    /// # Errors
    /// Where it is damaged, or holds a lock of something that the engine does not have.
    pub(crate) fn read(xid: Xid, bytes: &[u8]) -> Result<TwoPhaseState, PreparedError> {
        let damaged = |reason: String| PreparedError::State { xid, reason };
        let too_short = |error: wal::rmgr::PayloadError| damaged(error.to_string());
        let prepare = Prepare::read(Version::V15, bytes).map_err(too_short)?;
        if prepare.magic != MAGIC || prepare.prepared_xid != xid {
            return Err(damaged(format!("it is of transaction {}", prepare.prepared_xid)));
        }
        let mut state = TwoPhaseState {
            xid,
            database: prepare.database,
            prepared_at: prepare.time,
            gid: prepare.gid.to_vec(),
            children: prepare.subxids.iter().collect(),
            dropped: prepare.commit_relations.iter().collect(),
            made: prepare.abort_relations.iter().collect(),
            locks: Vec::new(),
            oldest_member: None,
        };
        let mut before = xid;
        for child in &state.children {
            if !before.precedes(*child) {
                return Err(damaged(format!("subtransaction {child} comes behind {before}")));
            }
            before = *child;
        }
        for record in prepare.records().map_err(too_short)? {
            match record.manager {
                LOCK => {
                    let lock = LockRecord::read(record.data).map_err(too_short)?;
                    let tag = LockTag::of_fields(lock.tag);
                    let known = tag.zip(TableLockMode::of_number(lock.mode));
                    let known = known.ok_or_else(|| damaged(format!("unknown lock {lock:?}")))?;
                    state.locks.push(known);
                }
                MULTIXACT => {
                    let oldest = record.data.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
                    state.oldest_member = oldest;
                }
                // Of statistics, and of what only SERIALIZABLE has.
                _ => {}
            }
        }
        Ok(state)
    }

    /// Its id and those of its subtransactions, where ids from `next` on have not been given out.
    pub(crate) fn full_ids(&self, next: FullXid) -> (FullXid, Vec<FullXid>) {
        let newest = next.previous();
        let full = |xid: &Xid| newest.nearest(*xid);
        (full(&self.xid), self.children.iter().map(full).collect())
    }
}

/// An array over whole elements.
fn whole<T: wal::rmgr::Element>(bytes: &[u8]) -> Array<'_, T> {
    Array::of(bytes).unwrap_or_else(|| unreachable!("written element by element"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let relation = |relation| RelFileLocator { tablespace: 1663, database: 5, relation };
        let state = TwoPhaseState {
            xid: Xid(700),
            database: 5,
            prepared_at: TimestampTz(77),
            gid: b"a transfer".to_vec(),
            children: vec![Xid(701), Xid(705), Xid(706)],
            dropped: vec![relation(16384)],
            made: vec![relation(16390), relation(16391)],
            locks: vec![
                (LockTag::Relation(16384), TableLockMode::AccessExclusive),
                (LockTag::Transaction(Xid(700)), TableLockMode::Exclusive),
            ],
            oldest_member: Some(5),
        };
        let bytes = state.encode();
        assert_eq!(TwoPhaseState::read(Xid(700), &bytes).expect("whole"), state);
        assert!(TwoPhaseState::read(Xid(701), &bytes).is_err());
        for length in 0..bytes.len() {
            assert!(TwoPhaseState::read(Xid(700), &bytes[..length]).is_err(), "{length} bytes");
        }
        let plain = TwoPhaseState { children: vec![Xid(699)], ..state };
        let error = TwoPhaseState::read(Xid(700), &plain.encode()).expect_err("a child first");
        assert!(error.to_string().contains("subtransaction 699"), "{error}");
    }
}
