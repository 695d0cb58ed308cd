//! Tests of the engine from outside; PostgreSQL 15's own programs judge what it writes.

mod btree;
mod control;
mod crash;
mod heap_redo;
mod init;
mod live_server;
mod lock_file;
#[path = "../common/pageinspect.rs"]
mod pageinspect;
mod parameters;
mod programs;
mod record;
mod recovery;
mod slru;
mod slru_server;
mod toast;
mod transactions;
mod vacuum;
mod waldump;

use std::path::Path;

use base::UnixTime;
use base::disk::Disk;
use base::disk::faulty::FaultyDisk;
use engine::data_directory::{Birth, InitOptions, init};
use wal::control::ControlData;
use wal::segment::SegmentSize;

/// Where the data directory is on a disk in memory.
const DATA: &str = "data";

/// The same birth in every run.
const BIRTH: Birth = Birth {
    system_identifier: 7_710_223_734_547_663_541,
    time: UnixTime(1_795_169_240),
    nonce: [7; 32],
};

/// Segments of 1 MB, so that a disk in memory stays small.
fn small() -> InitOptions {
    InitOptions {
        segment_size: SegmentSize::from_bytes(1 << 20).expect("legal"),
        ..InitOptions::default()
    }
}

/// A disk with a data directory, all of it durable.
fn initialized() -> (FaultyDisk, ControlData) {
    let disk = FaultyDisk::new(1);
    let control = init(&disk, Path::new(DATA), &small(), &BIRTH).expect("a data directory");
    (disk, control)
}

/// The whole content of a file, if it is there.
fn content(disk: &dyn Disk, path: &Path) -> Option<Vec<u8>> {
    let file = disk.open(path).ok()?;
    let mut bytes = vec![0; file.length().ok()? as usize];
    let length = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(length);
    Some(bytes)
}
