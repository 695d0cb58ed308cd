//! Stopping and starting without recovery: the checkpoint of a shutdown, and the end of a log that it closes.
//!
//! Invariants: nothing runs. All pages are on the disk before the record is, and the record before the control file says
//! that the engine was shut down; so an open that finds this state finds everything where the record ends.

use std::time::{SystemTime, UNIX_EPOCH};

use base::sync::Arc;
use base::{Lsn, UnixTime};
use wal::checkpoint::CheckPoint;
use wal::control::{ClusterState, StateNumber};
use wal::read::{Position, RecordReader};
use wal::source;
use wal::write::{EndOfLog, NewRecord, PageWrites};

use crate::Error;
use crate::storage::Storage;

const XLOG: u8 = 0;
const CHECKPOINT_SHUTDOWN: u8 = 0x00;

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(since.as_secs() as i64)
}

/// Writes everything, and the record and the control file that say so.
pub(crate) fn checkpoint(storage: &Storage) -> Result<(), Error> {
    let set_state = |state: ClusterState| StateNumber(state as u32);
    storage
        .directory
        .control()
        .update(now(), |data| data.state = set_state(ClusterState::ShuttingDown))?;
    let log = storage.log.log();
    let writes = log.page_writes();
    let redo = log.move_redo_point();
    let slrus = [storage.clog.slru(), storage.commit_ts.slru(), storage.subtrans.slru()];
    let slrus = slrus.into_iter().chain(storage.multixact.slrus());
    slrus.clone().try_for_each(|slru| slru.write_all().map(drop))?;
    storage.pool.write_all()?;
    slrus.clone().try_for_each(|slru| slru.sync().map(drop))?;
    let timeline = storage.log_place().timeline;
    let mut checkpoint = CheckPoint {
        redo,
        timeline,
        previous_timeline: timeline,
        full_page_writes: writes.are_on,
        time: now(),
        ..CheckPoint::default()
    };
    storage.ids.lock().put_into(&mut checkpoint, true);
    let main = checkpoint.encode();
    let record = NewRecord { main: &[&main], ..NewRecord::new(XLOG, CHECKPOINT_SHUTDOWN) };
    let placed = log.insert(&mut log.inserter(), &record)?;
    log.flush(placed.end)?;
    storage.directory.control().update(now(), |data| {
        data.state = set_state(ClusterState::ShutDown);
        data.checkpoint = placed.start;
        data.checkpoint_copy = checkpoint;
    })
}

/// Where the log ends that a shutdown's checkpoint has closed.
pub(crate) fn end_of_log(storage: &Storage) -> Result<EndOfLog, Error> {
    let (at, checkpoint) = {
        let control = storage.directory.control();
        (control.data().checkpoint, control.data().checkpoint_copy)
    };
    let end = read_end(storage, at)?;
    let writes = PageWrites { redo: checkpoint.redo, are_on: checkpoint.full_page_writes };
    Ok(EndOfLog { end, last_record: at, cut_off: None, writes })
}

fn read_end(storage: &Storage, at: Lsn) -> Result<Lsn, Error> {
    let damaged = |reason: String| Error::NoCheckpoint { at, reason };
    let disk = Arc::clone(storage.directory.disk());
    let options = source::Options { start: Some(at), ..source::Options::default() };
    let directory = storage.directory.path().join("pg_wal");
    let segments = source::Log::open(disk, &directory, options);
    let segments = segments.map_err(|error| damaged(error.to_string()))?;
    let mut reader = RecordReader::new(Arc::new(segments));
    reader.resume(Position::jump_to(at));
    let record = reader.next_record().map_err(|error| damaged(error.to_string()))?;
    if (record.rmid(), record.info() & 0xF0) != (XLOG, CHECKPOINT_SHUTDOWN) {
        return Err(damaged("it is no shutdown checkpoint".to_owned()));
    }
    Ok(record.end())
}
