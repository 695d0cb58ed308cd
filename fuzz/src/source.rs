//! Files of a log in every form that a source takes: segments, compressed ones, history files, archives.
//!
//! Input: which file (see [`NAMES`]) and its length, then its bytes, and so on for up to four files.

use std::path::Path;
use std::sync::Arc;

use base::PAGE_SIZE;
use wal::read::{Position, RecordReader};
use wal::source::{Log, Options, Segments};

use crate::input::Input;
use memory_disk::MemoryDisk;

#[allow(dead_code, unreachable_pub, reason = "the tests of sources use all of it")]
#[path = "../../wal/tests/it/source/memory_disk.rs"]
mod memory_disk;

/// The names that files can have.
pub const NAMES: [&str; 12] = [
    "wal/000000010000000000000003",
    "wal/000000010000000000000003.gz",
    "wal/000000010000000000000003.lz4",
    "wal/000000010000000000000003.zst",
    "wal/base.tar",
    "wal/base.tar.gz",
    "wal/base.tar.lz4",
    "wal/base.tar.zst",
    "wal/00000002.history",
    "wal/00000002.history.gz",
    "wal/000000020000000000000003.partial",
    "wal/base.tgz",
];

/// No more of a segment is read than this.
const PAGES: u64 = 256;

/// The body.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let disk = MemoryDisk::new([]);
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        let name = NAMES[usize::from(input.u8()) % NAMES.len()];
        let length = input.u16();
        // The last file takes the rest.
        let length = if length == 0 { usize::MAX } else { usize::from(length) };
        disk.put(name, input.bytes(length).to_vec());
    }
    let Ok(log) = Log::open(disk, Path::new("wal"), Options::default()) else { return };
    for segment in log.segments().take(4) {
        let Ok(file) = log.open(segment.number) else { continue };
        let mut page = [0; PAGE_SIZE];
        for index in (0..PAGES).chain([0, 9, 3]) {
            if file.read_at(&mut page, index * PAGE_SIZE as u64).is_err() {
                break;
            }
        }
    }
    let Some(first) = log.first_segment() else { return };
    let start = log.segment_size().start_of(first);
    let mut reader = RecordReader::new(Arc::new(log));
    reader.resume(Position::jump_to(start));
    for _ in 0..1000 {
        if reader.next_record().is_err() {
            break;
        }
    }
}
