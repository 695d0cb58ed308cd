//! Redo of transactions' ends: status, commit time, files of relations that go; and of what prepares them.
//!
//! Source: `xact_redo`, `xact_redo_commit`, `xact_redo_abort`.

use base::Xid;
use procarray::XidStatus;
use snapshot::commit_ts::format::CommitTimestampEntry;
use wal::record::Record;
use wal::rmgr::xact::{Completion, Xact};

use super::{Redo, RedoCause};
use crate::prepared;

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Xact<'_>,
) -> Result<(), RedoCause> {
    match payload {
        Xact::Commit(commit) => end(redo, record, commit, XidStatus::Committed),
        Xact::Abort(abort) => end(redo, record, abort, XidStatus::Aborted),
        Xact::Prepare(prepare) => {
            prepared::redone(redo.storage, prepare, record.main_data(), record.end());
            Ok(())
        }
        // For a standby's snapshots, and for logical decoding.
        Xact::Assignment(_) | Xact::Invalidations { .. } => Ok(()),
    }
}

fn end(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    completion: &Completion<'_>,
    status: XidStatus,
) -> Result<(), RedoCause> {
    let xid = completion.prepared_xid.unwrap_or(record.xid());
    if !xid.is_normal() {
        return Err(RedoCause::OutOfRange(format!("transaction id {xid}")));
    }
    let subxids: Vec<Xid> = completion.subxids.iter().collect();
    let storage = redo.storage;
    {
        let mut ids = storage.ids.lock();
        ids.xid_seen(xid);
        for subxid in &subxids {
            if !subxid.is_normal() {
                return Err(RedoCause::OutOfRange(format!("transaction id {subxid}")));
            }
            ids.xid_seen(*subxid);
        }
    }
    match status {
        XidStatus::Committed => {
            if redo.tracks_commit_timestamps {
                let time = completion.origin.map_or(completion.time, |origin| origin.time);
                let entry = CommitTimestampEntry { time, origin: record.origin().unwrap_or(0) };
                storage.commit_ts.set_tree(xid, &subxids, entry)?;
                let mut ids = storage.ids.lock();
                for one in std::iter::once(&xid).chain(&subxids) {
                    ids.commit_timestamp_set(*one);
                }
            }
            redo.counts.commits += 1;
        }
        XidStatus::Aborted => redo.counts.aborts += 1,
    }
    storage.clog.set_tree(None, xid, &subxids, status, None)?;
    if !completion.dropped_relations.is_empty() {
        redo.settle()?;
        redo.before_irreversible(record.end())?;
    }
    for locator in completion.dropped_relations.iter() {
        redo.remove_relation(locator)?;
    }
    if completion.prepared_xid.is_some() && prepared::end_redone(storage, xid) {
        redo.before_irreversible(record.end())?;
        prepared::remove_file(storage, xid)?;
    }
    Ok(())
}
