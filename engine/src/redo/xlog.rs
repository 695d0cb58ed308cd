//! Redo of the log's own records: counters from checkpoints, images, parameters.
//!
//! The rest tells recovery itself something (`crate::recovery`), or nothing. Source: `xlog_redo`.

use wal::checkpoint::CheckPoint;
use wal::record::Record;
use wal::rmgr::xlog::{ParameterChange, Xlog};
use wal::segment::Timeline;

use super::round::PageChange;
use super::{Redo, RedoCause, multixact};
use crate::buffer::PageName;
use crate::data_directory::parameters;

pub(super) fn redo(
    redo: &mut Redo<'_>,
    record: &Record<'_>,
    payload: &Xlog<'_>,
) -> Result<(), RedoCause> {
    match payload {
        Xlog::CheckpointShutdown(checkpoint) => {
            check_timeline(redo, checkpoint.timeline)?;
            shutdown(redo, checkpoint);
        }
        Xlog::CheckpointOnline(checkpoint) => {
            check_timeline(redo, checkpoint.timeline)?;
            online(redo, checkpoint);
        }
        Xlog::NextOid { next_oid } => {
            let mut ids = redo.storage.ids.lock();
            (ids.next_oid, ids.oids_left) = (*next_oid, 0);
        }
        Xlog::FullPageImage {} => images(redo, record, true)?,
        Xlog::FullPageImageForHint {} => images(redo, record, false)?,
        Xlog::ParameterChange(change) => parameters(redo, change)?,
        Xlog::FullPageWritesChange { full_page_writes } => {
            redo.full_page_writes = *full_page_writes;
        }
        Xlog::EndOfRecovery(end) => check_timeline(redo, Timeline(end.timeline))?,
        Xlog::Noop {}
        | Xlog::Switch {}
        | Xlog::BackupEnd { .. }
        | Xlog::RestorePoint(_)
        | Xlog::OverwriteContrecord(_)
        | Xlog::CheckpointRedo { .. } => {}
    }
    Ok(())
}

fn check_timeline(redo: &Redo<'_>, found: Timeline) -> Result<(), RedoCause> {
    match redo.timeline {
        expected if expected == found => Ok(()),
        expected => Err(RedoCause::Timeline { found, expected }),
    }
}

/// Nothing ran when it was made: its counters are right.
fn shutdown(redo: &mut Redo<'_>, checkpoint: &CheckPoint) {
    let mut ids = redo.storage.ids.lock();
    ids.next_xid = checkpoint.next_xid;
    (ids.next_oid, ids.oids_left) = (checkpoint.next_oid, 0);
    ids.next_multi = checkpoint.next_multi;
    ids.next_multi_offset = checkpoint.next_multi_offset;
    ids.oldest_xid = checkpoint.oldest_xid;
    ids.oldest_xid_database = checkpoint.oldest_xid_database;
    multixact::advance_oldest(&mut ids, checkpoint.oldest_multi, checkpoint.oldest_multi_database);
}

/// Its counters are of its beginning: later ones may have been seen. Object ids are followed by their own records.
fn online(redo: &mut Redo<'_>, checkpoint: &CheckPoint) {
    let mut ids = redo.storage.ids.lock();
    ids.next_xid = ids.next_xid.max(checkpoint.next_xid);
    multixact::advance_next(&mut ids, checkpoint.next_multi, checkpoint.next_multi_offset);
    multixact::advance_oldest(&mut ids, checkpoint.oldest_multi, checkpoint.oldest_multi_database);
    if ids.oldest_xid.precedes(checkpoint.oldest_xid) {
        ids.oldest_xid = checkpoint.oldest_xid;
        ids.oldest_xid_database = checkpoint.oldest_xid_database;
    }
}

fn images(redo: &mut Redo<'_>, record: &Record<'_>, are_due: bool) -> Result<(), RedoCause> {
    for block in record.blocks() {
        if !block.has_image() && !are_due {
            // Images were switched off when the hint was set.
            continue;
        }
        let page = PageName::of(block);
        if !block.applies_image() {
            return Err(RedoCause::NoImage { page });
        }
        redo.later(record, page, PageChange::Image(block.id));
    }
    Ok(())
}

/// The settings that the log goes on with, into the control file.
fn parameters(redo: &mut Redo<'_>, change: &ParameterChange) -> Result<(), RedoCause> {
    redo.tracks_commit_timestamps = change.track_commit_timestamp;
    let mut control = redo.storage.directory.control();
    let time = control.data().time;
    control.update(time, |data| parameters::set(data, change))?;
    Ok(())
}
