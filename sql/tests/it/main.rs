//! The tests of the crate `sql` from outside: scripts, settings and the Hermitage cases with what PostgreSQL prints for
//! them, sessions beside each other, and text that nobody would write.

mod cancel;
mod concurrent;
mod hermitage;
mod hostile;
mod joins;
mod reads;
mod reopened;
mod scripts;
mod settings;

use base::disk::RealDisk;
use engine::data_directory::{Birth, InitOptions, init};
use engine::{Engine, EngineOptions, SnapshotMode};
use wal::write::{LogOptions, SyncMethod};

/// An engine of its own, and the directory that it is in.
fn engine(mode: SnapshotMode) -> (tempfile::TempDir, Engine) {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let birth = Birth::now().expect("a birth");
    init(&RealDisk, &data, &InitOptions::default(), &birth).expect("a data directory");
    let engine = open(&place, mode);
    (place, engine)
}

/// The engine of such a directory, opened again.
fn open(place: &tempfile::TempDir, mode: SnapshotMode) -> Engine {
    let log = LogOptions { sync_method: SyncMethod::None, ..LogOptions::default() };
    let prepared_transactions = 10;
    let options = EngineOptions { mode, log, prepared_transactions, ..EngineOptions::default() };
    Engine::open(&place.path().join("data"), options).expect("an engine")
}
