//! The server's own visibility functions, for the comparison with ours. No part of what is installed.
//!
//! Each is called on a copy of the version's header, so that each starts from the same bits: the functions write hint bits,
//! which here go into the copy. The buffer is the version's own, pinned and its content locked, as they ask for; it is marked
//! dirty where a hint was written.

use base::{HeapTupleHeader, Tid, Xid};
use pgrx::pg_sys;
use pgrx::pg_sys::{HTSV_Result as Vacuum, SnapshotType, TM_Result as Update};
use snapshot::satisfies::{DirtyVerdict, RemovalHorizon, UpdateVerdict, VacuumVerdict};

use super::heap::{Buffer, HeapTable};
use crate::rules::HistoricLists;

/// A version's header, as the server's functions take it.
#[derive(Debug)]
pub(crate) struct ServerTuple {
    header: HeaderCopy,
    tuple: pg_sys::HeapTupleData,
}

#[repr(C, align(8))]
#[derive(Debug)]
struct HeaderCopy([u8; 24]);

impl ServerTuple {
    /// A copy of `header`, at `tid` of the table, of `length` bytes in all.
    pub(crate) fn new(
        table: &HeapTable,
        tid: Tid,
        header: &HeapTupleHeader,
        length: usize,
    ) -> Box<ServerTuple> {
        let mut bytes = [0; 24];
        bytes[..23].copy_from_slice(&header.to_bytes());
        let mut copy = Box::new(ServerTuple {
            header: HeaderCopy(bytes),
            tuple: pg_sys::HeapTupleData {
                t_len: length as u32,
                t_self: pg_sys::ItemPointerData {
                    ip_blkid: pg_sys::BlockIdData {
                        bi_hi: (tid.block >> 16) as u16,
                        bi_lo: (tid.block & 0xFFFF) as u16,
                    },
                    ip_posid: tid.offset,
                },
                t_tableOid: pg_sys::Oid::from(table.oid()),
                t_data: std::ptr::null_mut(),
            },
        });
        copy.tuple.t_data = (&raw mut copy.header).cast();
        copy
    }

    /// The header with the hints that were written into it.
    pub(crate) fn header(&self) -> HeapTupleHeader {
        self.header
            .0
            .first_chunk()
            .map_or_else(HeapTupleHeader::default, HeapTupleHeader::from_bytes)
    }

    /// `HeapTupleSatisfiesVisibility`
    #[expect(unsafe_code)]
    fn visible(&mut self, snapshot: *mut pg_sys::SnapshotData, buffer: &Buffer) -> bool {
        // SAFETY: tuple and header are ours and live; the snapshot is of its type; the buffer is pinned and locked. Of the
        // tuple the functions read the header alone.
        unsafe {
            pg_sys::HeapTupleSatisfiesVisibility(&raw mut self.tuple, snapshot, buffer.number())
        }
    }

    /// By the statement's own snapshot.
    #[expect(unsafe_code)]
    pub(crate) fn mvcc(&mut self, buffer: &Buffer) -> bool {
        // SAFETY: a statement has one.
        let snapshot = unsafe { pg_sys::GetActiveSnapshot() };
        self.visible(snapshot, buffer)
    }

    pub(crate) fn self_visible(&mut self, buffer: &Buffer) -> bool {
        self.visible(&mut special(SnapshotType::SNAPSHOT_SELF), buffer)
    }

    pub(crate) fn any(&mut self, buffer: &Buffer) -> bool {
        self.visible(&mut special(SnapshotType::SNAPSHOT_ANY), buffer)
    }

    pub(crate) fn toast(&mut self, buffer: &Buffer) -> bool {
        self.visible(&mut special(SnapshotType::SNAPSHOT_TOAST), buffer)
    }

    pub(crate) fn dirty(&mut self, buffer: &Buffer) -> DirtyVerdict {
        let mut snapshot = special(SnapshotType::SNAPSHOT_DIRTY);
        let visible = self.visible(&mut snapshot, buffer);
        let token = snapshot.speculativeToken;
        DirtyVerdict {
            visible,
            xmin: Xid(snapshot.xmin.into_inner()),
            xmax: Xid(snapshot.xmax.into_inner()),
            speculative_token: (token != 0).then_some(token),
        }
    }

    /// By lists that hold nobody's own ids.
    pub(crate) fn historic(&mut self, lists: &HistoricLists, buffer: &Buffer) -> bool {
        let mut committed: Vec<pg_sys::TransactionId> =
            lists.committed.iter().map(|xid| pg_sys::TransactionId::from(xid.0)).collect();
        committed.sort_by_key(|xid| xid.into_inner());
        let mut snapshot = special(SnapshotType::SNAPSHOT_HISTORIC_MVCC);
        snapshot.xmin = pg_sys::TransactionId::from(lists.xmin.0);
        snapshot.xmax = pg_sys::TransactionId::from(lists.xmax.0);
        snapshot.xip = committed.as_mut_ptr();
        snapshot.xcnt = committed.len() as u32;
        self.visible(&mut snapshot, buffer)
    }

    pub(crate) fn non_vacuumable(&mut self, horizon: &ServerHorizon, buffer: &Buffer) -> bool {
        let mut snapshot = special(SnapshotType::SNAPSHOT_NON_VACUUMABLE);
        snapshot.vistest = horizon.state;
        self.visible(&mut snapshot, buffer)
    }

    #[expect(unsafe_code)]
    pub(crate) fn update(&mut self, curcid: base::CommandId, buffer: &Buffer) -> UpdateVerdict {
        // SAFETY: as in `visible`.
        let verdict = unsafe {
            pg_sys::HeapTupleSatisfiesUpdate(&raw mut self.tuple, curcid, buffer.number())
        };
        match verdict {
            Update::TM_Ok => UpdateVerdict::Ok,
            Update::TM_Invisible => UpdateVerdict::Invisible,
            Update::TM_SelfModified => UpdateVerdict::SelfModified,
            Update::TM_Updated => UpdateVerdict::Updated,
            Update::TM_Deleted => UpdateVerdict::Deleted,
            Update::TM_BeingModified => UpdateVerdict::BeingModified,
            other => unreachable!("HeapTupleSatisfiesUpdate says {other}"),
        }
    }

    #[expect(unsafe_code)]
    pub(crate) fn vacuum(&mut self, oldest_xmin: Xid, buffer: &Buffer) -> VacuumVerdict {
        // SAFETY: as in `visible`.
        let verdict = unsafe {
            pg_sys::HeapTupleSatisfiesVacuum(
                &raw mut self.tuple,
                pg_sys::TransactionId::from(oldest_xmin.0),
                buffer.number(),
            )
        };
        match verdict {
            Vacuum::HEAPTUPLE_DEAD => VacuumVerdict::Dead,
            Vacuum::HEAPTUPLE_LIVE => VacuumVerdict::Live,
            Vacuum::HEAPTUPLE_RECENTLY_DEAD => VacuumVerdict::RecentlyDead,
            Vacuum::HEAPTUPLE_INSERT_IN_PROGRESS => VacuumVerdict::InsertInProgress,
            Vacuum::HEAPTUPLE_DELETE_IN_PROGRESS => VacuumVerdict::DeleteInProgress,
            other => unreachable!("HeapTupleSatisfiesVacuum says {other}"),
        }
    }
}

fn special(kind: SnapshotType::Type) -> pg_sys::SnapshotData {
    pg_sys::SnapshotData { snapshot_type: kind, ..Default::default() }
}

/// What the server itself goes by when it prunes a table.
#[derive(Debug)]
pub(crate) struct ServerHorizon {
    state: *mut pg_sys::GlobalVisState,
}

impl ServerHorizon {
    #[expect(unsafe_code)]
    pub(crate) fn of(table: &HeapTable) -> ServerHorizon {
        // SAFETY: the relation is open; the state is this backend's own, and stays.
        ServerHorizon { state: unsafe { pg_sys::GlobalVisTestFor(table.relation()) } }
    }
}

impl RemovalHorizon for ServerHorizon {
    #[expect(unsafe_code)]
    fn is_removable(&self, ender: Xid) -> bool {
        // SAFETY: the state is the server's.
        unsafe {
            pg_sys::GlobalVisTestIsRemovableXid(self.state, pg_sys::TransactionId::from(ender.0))
        }
    }
}

/// `GetOldestNonRemovableTransactionId`: what VACUUM goes by.
#[expect(unsafe_code)]
pub(crate) fn oldest_non_removable(table: &HeapTable) -> Xid {
    // SAFETY: the relation is open.
    let xid = unsafe { pg_sys::GetOldestNonRemovableTransactionId(table.relation()) };
    Xid(xid.into_inner())
}

/// Whether a crash could no longer undo this commit, or what stands in the buffer would be undone with it: then its hint may
/// be written there (`SetHintBits`).
#[expect(unsafe_code)]
pub(crate) fn is_flushed(xid: Xid, buffer: &Buffer) -> bool {
    // SAFETY: the id has committed; the buffer is pinned.
    unsafe {
        let commit = pg_sys::TransactionIdGetCommitLSN(pg_sys::TransactionId::from(xid.0));
        !pg_sys::BufferIsPermanent(buffer.number())
            || !pg_sys::XLogNeedsFlush(commit)
            || pg_sys::BufferGetLSNAtomic(buffer.number()) >= commit
    }
}

/// A snapshot that the server builds now, and does not take over from an earlier one.
#[expect(unsafe_code)]
pub(crate) fn rebuilt_snapshot() -> snapshot::ClassicSnapshot {
    // SAFETY: the session is in a transaction, and not in a parallel worker. The first call gives the place where the second
    // builds; its count, which no snapshot has, keeps that one from being reused.
    unsafe {
        let place = pg_sys::GetLatestSnapshot();
        (*place).snapXactCompletionCount = 0;
        super::transactions::classic(pg_sys::GetLatestSnapshot())
    }
}
