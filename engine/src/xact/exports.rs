//! Exported snapshots: which transactions export, and the files of `pg_snapshots` that others read.
//!
//! ```text
//! export   number of the transaction, once ─► file under another name ─► renamed 00000003-0000001B-1
//! import   file read ─► [exporters locked: its transaction exports, and what it shows is shown by the importer, too]
//! end      no exporter any more ─► files removed ─► nothing shown
//! open     whatever an earlier life left is removed
//! ```
//!
//! Invariants: whoever is found among the exporters shows its snapshots' bounds until it is taken out. A file that is there
//! under its name is whole. Files are not synced: none outlives the engine. Source: `utils/time/snapmgr.c`.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base::disk::Opening;
use base::sync::{Mutex, MutexGuard, PoisonError};
use snapshot::exported::ParseExportedError;
use snapshot::{ExportedSnapshot, ImportError, SnapshotId};

use crate::storage::Storage;
use crate::{At, Error};

const DIRECTORY: &str = "pg_snapshots";
/// Behind the name of a file that is being written.
const UNFINISHED: &str = ".tmp";
/// Bytes of the longest line, and of all that is no list.
const LONGEST_LINE: usize = 32;
const OTHER_LINES: usize = 16;

/// The transactions that export.
#[derive(Debug, Default)]
pub(crate) struct Exporters(Mutex<Exporting>);

#[derive(Debug, Default)]
pub(crate) struct Exporting {
    /// How many there have been: the last one's number.
    last: u32,
    /// Sessions, from 1 on, and numbers of transactions.
    running: BTreeSet<(u32, u32)>,
}

impl Exporters {
    /// A transaction of this session exports from here on. Its number.
    pub(crate) fn begin(&self, session: u32) -> u32 {
        let mut exporting = self.lock();
        exporting.last = exporting.last.wrapping_add(1).max(1);
        let transaction = exporting.last;
        exporting.running.insert((session, transaction));
        transaction
    }

    /// It exports no longer.
    pub(crate) fn end(&self, session: u32, transaction: u32) {
        self.lock().running.remove(&(session, transaction));
    }

    /// Nobody begins or ends meanwhile.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Exporting> {
        // Entries come and go whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exporting {
    /// Whether a transaction exports.
    pub(crate) fn has(&self, session: u32, transaction: u32) -> bool {
        self.running.contains(&(session, transaction))
    }
}

fn directory(storage: &Storage) -> PathBuf {
    storage.directory.path().join(DIRECTORY)
}

fn path_of(storage: &Storage, id: SnapshotId) -> PathBuf {
    directory(storage).join(id.to_string())
}

/// Writes a snapshot's file.
///
/// # Errors
/// As the operating system says; there is then none.
pub(crate) fn write(
    storage: &Storage,
    id: SnapshotId,
    exported: &ExportedSnapshot,
) -> Result<(), Error> {
    let disk = storage.directory.disk();
    let path = path_of(storage, id);
    let unfinished = directory(storage).join(format!("{id}{UNFINISHED}"));
    let text = exported.to_string();
    let file = disk.open_for_writing(&unfinished, Opening::CREATE).at("create", &unfinished)?;
    let written = file
        .write_at(text.as_bytes(), 0)
        .and_then(|()| file.set_length(text.len() as u64))
        .at("write", &unfinished);
    drop(file);
    let named = written.and_then(|()| disk.rename(&unfinished, &path).at("rename", &unfinished));
    if named.is_err() {
        // The error says more than that it cannot be removed.
        let _ = disk.remove_file(&unfinished);
    }
    named
}

/// Reads a snapshot's file, which lists no more transactions than so many slots have.
///
/// # Errors
/// [`ImportError`] where there is none, or it is none; as the operating system says.
pub(crate) fn read(
    storage: &Storage,
    id: SnapshotId,
    slots: usize,
    most_subxids: usize,
) -> Result<ExportedSnapshot, Error> {
    let path = path_of(storage, id);
    let file = match storage.directory.disk().open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(ImportError::Unknown { id: id.to_string() }.into());
        }
        file => file.at("open", &path)?,
    };
    let damaged = |fault| {
        let path = Path::new(DIRECTORY).join(id.to_string()).display().to_string();
        Error::from(ImportError::Data { path, fault })
    };
    let most = LONGEST_LINE * (OTHER_LINES + slots + most_subxids);
    let length = file.length().at("measure", &path)?;
    let unreadable = |expected: String| damaged(ParseExportedError { line: 1, expected });
    if length > most as u64 {
        return Err(unreadable(format!("a file of at most {most} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    let read = file.read_at(&mut bytes, 0).at("read", &path)?;
    bytes.truncate(read);
    let text = String::from_utf8(bytes).map_err(|_| unreadable("a text".to_owned()))?;
    ExportedSnapshot::read(&text, slots, most_subxids).map_err(damaged)
}

/// Removes the file of a snapshot whose transaction exports no longer. What cannot be removed is of no use to anybody, and
/// goes when the engine opens.
pub(crate) fn remove(storage: &Storage, id: SnapshotId) {
    let _ = storage.directory.disk().remove_file(&path_of(storage, id));
}

/// Removes what an earlier life of the engine left; nobody runs yet (`DeleteAllExportedSnapshotFiles`).
///
/// # Errors
/// Where the directory cannot be read.
pub(crate) fn remove_all(storage: &Storage) -> Result<(), Error> {
    let (disk, directory) = (storage.directory.disk(), directory(storage));
    for entry in disk.list(&directory).at("list", &directory)? {
        if !entry.is_directory {
            // One that stays has a transaction that does not export.
            let _ = disk.remove_file(&directory.join(entry.name));
        }
    }
    Ok(())
}
