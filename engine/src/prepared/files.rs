//! The files of `pg_twophase`, and states read back from the log.
//!
//! ```text
//! name       the xid in eight hex digits: 000002EA
//! written    000002EA.new ─► synced ─► renamed 000002EA ─► directory synced, once a checkpoint
//! read       at a start: what has another name is left alone, but for a `.new`, which is removed
//! ```
//!
//! A file whose transaction has ended, or has an id that the control file's checkpoint does not know, was left by a crash:
//! it is removed. What its transaction had logged since that checkpoint is redone.
//!
//! Invariants: a file of eight hexadecimal digits is whole; one that is not is damage, and an error. Nobody writes two
//! files of one transaction at once. Source: `RecreateTwoPhaseFile`, `CheckPointTwoPhase`, `restoreTwoPhaseData`.

use std::path::{Path, PathBuf};

use base::disk::{Disk, Opening};
use base::sync::Arc;
use base::{Lsn, Xid};
use wal::Version;
use wal::read::{Position, RecordReader};
use wal::rmgr::Payload;
use wal::rmgr::xact::{Prepare, Xact, two_phase};
use wal::source::{self, SystemIdentifier, TimelineChoice};

use super::PreparedError;
use super::states::{Found, Place, States, TwoPhaseStates};
use crate::slru::Status;
use crate::storage::Storage;
use crate::{At, Error};

const DIRECTORY: &str = "pg_twophase";
/// Of a file that is being written.
const UNFINISHED: &str = ".new";

fn directory(storage: &Storage) -> PathBuf {
    storage.directory.path().join(DIRECTORY)
}

fn path_of(directory: &Path, xid: Xid) -> PathBuf {
    directory.join(format!("{:08X}", xid.0))
}

/// Bytes of a record's headers, at most.
const HEADERS: usize = 64;

/// Whether a state can be logged.
pub(super) fn check_length(state: &[u8]) -> Result<(), PreparedError> {
    let fits = state.len() + HEADERS <= wal::record::MAX_LENGTH as usize;
    if fits { Ok(()) } else { Err(PreparedError::TooLarge) }
}

/// Writes the files of all states whose records lie before a checkpoint's redo point. How many it wrote.
///
/// # Errors
/// Where a state cannot be read or a file not be written; the checkpoint is then not made.
pub(crate) fn write_due(storage: &Storage, redo: Lsn) -> Result<usize, Error> {
    let (disk, directory) = (&**storage.directory.disk(), directory(storage));
    let mut states = storage.two_phase.lock();
    let States { by_gid, names_changed } = &mut *states;
    let mut written = 0;
    for state in by_gid.values_mut().filter(|state| state.is_due(redo)) {
        let bytes = match &state.place {
            Place::Log { start, .. } => read_from_log(storage, *start)?,
            Place::Redone { state, .. } => state.clone(),
            Place::File => continue,
        };
        *names_changed = true;
        write(disk, &path_of(&directory, state.xid), &bytes)?;
        state.place = Place::File;
        written += 1;
    }
    if *names_changed {
        disk.sync_directory(&directory).at("sync", &directory)?;
        *names_changed = false;
    }
    Ok(written)
}

fn write(disk: &dyn Disk, path: &Path, state: &[u8]) -> Result<(), Error> {
    let unfinished = path.with_extension(&UNFINISHED[1..]);
    // An earlier attempt may have left one.
    let file = disk.open_for_writing(&unfinished, Opening::CREATE).at("create", &unfinished)?;
    let bytes = two_phase::state_file(state);
    file.write_at(&bytes, 0).at("write", &unfinished)?;
    file.set_length(bytes.len() as u64).at("cut off", &unfinished)?;
    file.sync_all().at("sync", &unfinished)?;
    drop(file);
    disk.rename(&unfinished, path).at("rename", &unfinished)
}

/// Removes the file of a transaction whose outcome is durable. What cannot be removed is found to be over by the next
/// start.
pub(crate) fn remove(storage: &Storage, xid: Xid) -> Result<(), Error> {
    let path = path_of(&directory(storage), xid);
    let removed = storage.directory.disk().remove_file(&path);
    storage.two_phase.lock().names_changed = true;
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).at("remove", &path)
        }
        _ => Ok(()),
    }
}

/// A transaction's state, wherever it lies.
///
/// # Errors
/// Where it cannot be read, or is damaged.
pub(super) fn read(storage: &Storage, xid: Xid, place: &Place) -> Result<Vec<u8>, Error> {
    match place {
        Place::Log { start, .. } => read_from_log(storage, *start),
        Place::Redone { state, .. } => Ok(state.clone()),
        Place::File => read_file(storage, xid),
    }
}

fn read_file(storage: &Storage, xid: Xid) -> Result<Vec<u8>, Error> {
    let path = path_of(&directory(storage), xid);
    let damaged =
        |reason: String| PreparedError::StateFile { path: path.display().to_string(), reason };
    let file = storage.directory.disk().open(&path).at("open", &path)?;
    let length = file.length().at("measure", &path)?;
    // As much as a record can hold.
    let most = u64::from(wal::record::MAX_LENGTH);
    if length > most {
        return Err(damaged(format!("{length} bytes are more than {most}")).into());
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).at("read", &path)?;
    bytes.truncate(read);
    let state = two_phase::checked_state(&bytes).map_err(|error| damaged(error.to_string()))?;
    let prepare = Prepare::read(Version::V15, state).map_err(|error| damaged(error.to_string()))?;
    if prepare.prepared_xid != xid {
        return Err(damaged(format!("it is of transaction {}", prepare.prepared_xid)).into());
    }
    Ok(state.to_vec())
}

/// Reads a state that was logged and flushed (`XlogReadTwoPhaseData`).
fn read_from_log(storage: &Storage, start: Lsn) -> Result<Vec<u8>, Error> {
    let failed = |reason: String| PreparedError::StateInLog { at: start, reason };
    let place = storage.log_place();
    let options = source::Options {
        timeline: TimelineChoice::Exact(storage.log.log().timeline()),
        system_identifier: SystemIdentifier::Known(place.system_identifier),
        start: Some(start),
        progress: None,
    };
    let log = source::Log::open(Arc::clone(&place.disk), &place.directory, options)
        .map_err(|error| failed(error.to_string()))?;
    let mut reader = RecordReader::new(Arc::new(log));
    reader.resume(Position::jump_to(start));
    let record = reader.next_record().map_err(|stop| failed(stop.to_string()))?;
    match record.payload() {
        Ok(Payload::Xact(Xact::Prepare(_))) if record.start() == start => {
            Ok(record.main_data().to_vec())
        }
        _ => Err(failed("no transaction is prepared there".to_owned()).into()),
    }
}

/// Takes in the files that there are, before anything is redone.
///
/// # Errors
/// Where one cannot be read, or is damaged; where one that is over cannot be removed.
pub(crate) fn load(storage: &Storage) -> Result<(), Error> {
    let (disk, directory) = (&**storage.directory.disk(), directory(storage));
    let next = storage.ids.lock().next_xid.xid();
    for entry in disk.list(&directory).at("list", &directory)? {
        let Some(name) = entry.name.to_str() else { continue };
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        let (digits, rest) = name.split_at_checked(8).unwrap_or((name, ""));
        let number =
            Some(digits).filter(|digits| digits.len() == 8 && digits.bytes().all(is_digit));
        let Some(xid) = number.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            continue;
        };
        let xid = Xid(xid);
        let path = directory.join(name);
        let is_whole = match rest {
            "" => true,
            UNFINISHED => false,
            _ => continue,
        };
        let is_over = !is_whole
            || !xid.is_normal()
            || !xid.precedes(next)
            || storage.clog.status(xid)?.0 != Status::InProgress;
        if is_over {
            disk.remove_file(&path).at("remove", &path)?;
            storage.two_phase.lock().names_changed = true;
            continue;
        }
        let bytes = read_file(storage, xid)?;
        let found = Prepare::read(Version::V15, &bytes).map_err(|error| {
            PreparedError::StateFile { path: path.display().to_string(), reason: error.to_string() }
        })?;
        take_in(storage, &found, Place::File);
    }
    Ok(())
}

/// Takes in a record that was redone (`PrepareRedoAdd`).
pub(crate) fn redone(storage: &Storage, prepare: &Prepare<'_>, state: &[u8], end: Lsn) {
    take_in(storage, prepare, Place::Redone { end, state: state.to_vec() });
}

fn take_in(storage: &Storage, prepare: &Prepare<'_>, place: Place) {
    {
        let mut ids = storage.ids.lock();
        prepare.subxids.iter().for_each(|subxid| ids.xid_seen(subxid));
    }
    let states: &TwoPhaseStates = &storage.two_phase;
    states.add(Found {
        gid: prepare.gid,
        xid: prepare.prepared_xid,
        database: prepare.database,
        prepared_at: prepare.time,
        place,
    });
}

/// Forgets a transaction whose end was redone; whether it has left a file to be [removed](remove) (`PrepareRedoRemove`).
pub(crate) fn end_redone(storage: &Storage, xid: Xid) -> bool {
    storage.two_phase.remove(xid)
}
