//! What reaches call sites that no workload of an engine does: data directories made, files cut off, logs read in every
//! form that they may be kept in.
//!
//! Invariant: an exercise leaves a disk on which it can be done again, whether a call of it failed or not.

use std::io::Write as _;
use std::path::Path;

use base::disk::faulty::FaultyDisk;
use base::disk::{Disk, Opening};
use base::sync::Arc;
use base::{ForkNumber, Lsn, RelFileLocator, Xid};
use engine::buffer::{PageStore, RelationFiles};
use engine::data_directory::init;
use engine::slru::{CommitTsLog, FlushLog};
use wal::page::Expected;
use wal::segment_use::SegmentUse;
use wal::source::{Log, Options, Segments, SourceError};

use super::images;
use crate::{BIRTH, DATA, content, small};

/// Something that is done to a disk; an error in words.
pub(super) type Exercise = fn(&FaultyDisk) -> Result<(), String>;

/// Its name, and the disk that it begins with.
pub(super) type Named = (&'static str, fn() -> FaultyDisk, Exercise);

/// All of them.
pub(super) const EXERCISES: [Named; 6] = [
    ("init", || FaultyDisk::new(1), make_directory),
    ("init in a directory", with_empty_directory, make_directory),
    ("relation cut off", || images::with_rows().disk(), cut_off),
    ("pg_commit_ts cut off", || images::at_the_end_of_a_file().disk(), cut_log_off),
    ("archives read", with_archives, read_archives),
    ("segments measured", || images::with_rows().disk(), measure),
];

fn with_empty_directory() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    disk.create_directory(Path::new(DATA)).expect("room");
    disk
}

fn make_directory(disk: &FaultyDisk) -> Result<(), String> {
    let path = Path::new(DATA);
    remove_all(disk, path);
    let made = init(disk, path, &small(), &BIRTH).map_err(|error| error.to_string());
    if let Err(error) = &made {
        // Nothing of it is left, unless the error says so.
        let left = disk.list(path).map_or(0, |entries| entries.len());
        assert!(left == 0 || error.contains("could not be removed"), "{error}: {left} files left");
    }
    made.map(drop)
}

fn remove_all(disk: &FaultyDisk, directory: &Path) {
    for entry in disk.list(directory).unwrap_or_default() {
        let path = directory.join(&entry.name);
        if entry.is_directory {
            remove_all(disk, &path);
            let _ = disk.remove_directory(&path);
        } else {
            let _ = disk.remove_file(&path);
        }
    }
}

fn cut_off(disk: &FaultyDisk) -> Result<(), String> {
    let main = ForkNumber::Main;
    let files = RelationFiles::with_segments(Arc::new(disk.clone()), DATA, 4);
    let relation = RelFileLocator { tablespace: 1663, database: 5, relation: 20_000 };
    let done = (|| {
        files.create_if_missing(relation, main)?;
        files.extend_to(relation, main, 10)?;
        files.truncate(relation, main, 6)?;
        files.truncate(relation, main, 4)?;
        files.sync()?;
        files.remove(relation, main)?;
        files.sync()
    })();
    done.map_err(|error: std::io::Error| error.to_string())
}

#[derive(Debug)]
struct NoLog;

impl FlushLog for NoLog {
    fn flush(&self, _: Lsn) -> Result<(), engine::Error> {
        Ok(())
    }
}

fn cut_log_off(disk: &FaultyDisk) -> Result<(), String> {
    let log = CommitTsLog::new(Arc::new(disk.clone()), Path::new(DATA), 2, Arc::new(NoLog));
    let done = (|| {
        for xid in (819 * 32_u64..819 * 32 * 4).step_by(819) {
            log.redo_zero_page(xid / 819)?;
        }
        log.slru().write_all()?;
        log.slru().sync()?;
        log.truncate(Xid(819 * 32 * 3 + 5))?;
        log.slru().sync().map(drop)
    })();
    done.map_err(|error: engine::Error| error.to_string())
}

/// An archive of plain segments gives those that are packed here: one compressed, with a history; two in an archive; two in
/// a compressed one, in the wrong order.
fn with_archives() -> FaultyDisk {
    let disk = images::with_archived_log().disk();
    let segment = |number: u32| {
        let name = format!("0000000100000000{number:08X}");
        let bytes = content(&disk, &Path::new(images::ARCHIVE).join(&name)).expect("archived");
        (name, bytes)
    };
    let (one, two) = (segment(1), segment(2));
    let members = [(one.0.as_str(), &one.1), (two.0.as_str(), &two.1)];
    let files = [
        (format!("alone/{}.gz", one.0), gzip(&one.1)),
        ("alone/00000002.history".to_owned(), b"1\t0/1F0000\tno reason\n".to_vec()),
        ("whole/base.tar".to_owned(), tar(members)),
        ("odd/base.tar".to_owned(), odd_tar(&one.0, &one.1)),
        ("packed/base.tar.gz".to_owned(), gzip(&tar([members[1], members[0]]))),
    ];
    for directory in ["alone", "whole", "odd", "packed"] {
        disk.create_directory(Path::new(directory)).expect("room");
    }
    for (path, bytes) in files {
        let file = disk.open_for_writing(Path::new(&path), Opening::CREATE_NEW).expect("room");
        file.write_at(&bytes, 0).expect("room");
    }
    disk.after_crash(1)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

fn tar(members: [(&str, &Vec<u8>); 2]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, path, &bytes[..]).expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

/// An archive of a member with a long path and a sparse one, without the zeros at its end.
fn odd_tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    let path = format!("{}{name}", "a-folder-with-a-long-name/".repeat(6));
    builder.append_data(&mut header, path, bytes).expect("in memory");
    let mut sparse = tar::Header::new_gnu();
    sparse.set_path("sparse").expect("short");
    sparse.set_entry_type(tar::EntryType::GNUSparse);
    sparse.set_size(0);
    sparse.as_gnu_mut().expect("it is one").isextended = [1];
    sparse.set_cksum();
    builder.get_mut().extend_from_slice(sparse.as_bytes());
    builder.get_mut().extend_from_slice(&[0; 512]);
    let mut archive = builder.into_inner().expect("in memory");
    archive.truncate(archive.len() - 1024);
    archive
}

fn read_archives(disk: &FaultyDisk) -> Result<(), String> {
    let alone = "alone/000000010000000000000001.gz";
    let places = ["alone", alone, "odd", "whole", "whole/base.tar", "packed", "packed/base.tar.gz"];
    for path in places {
        let has_one = path.starts_with("alone") || path == "odd";
        let log = Log::open(Arc::new(disk.clone()), Path::new(path), Options::default());
        let log = log.map_err(|error| format!("{path}: {error}"))?;
        for number in 1..if has_one { 2 } else { 3 } {
            let file = log.open(number).map_err(|error| format!("{path}: {error}"))?;
            let mut page = [0; 8192];
            for at in (0..1 << 20).step_by(8192) {
                let read =
                    file.read_at(&mut page, at).map_err(|error| format!("{path}: {error}"))?;
                assert_eq!(read, page.len(), "{path}, segment {number}, {at}");
            }
        }
        match log.open(99) {
            Err(SourceError::Missing { .. }) => {}
            Err(error) => return Err(error.to_string()),
            Ok(_) => panic!("there is no such segment"),
        }
    }
    Ok(())
}

fn measure(disk: &FaultyDisk) -> Result<(), String> {
    let name = "pg_wal/000000010000000000000001";
    let file = disk.open(&Path::new(DATA).join(name)).map_err(|error| error.to_string())?;
    let expected = Expected {
        version: wal::Version::V15,
        segment_size: small().segment_size,
        system_identifier: Some(BIRTH.system_identifier),
    };
    let used = SegmentUse::of(&*file, 1, &expected).map_err(|error| error.to_string())?;
    assert!(used.bytes_used > 0, "{used:?}");
    Ok(())
}
