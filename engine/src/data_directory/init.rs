//! Making a data directory: what `initdb` does, without the server's catalogs.
//!
//! ```text
//! directories ─► first pages of the transaction logs ─► first log segment ─► pg_control
//!     ─► sync of every directory ─► PG_VERSION ─► sync of the data directory and of the one that holds it
//! ```
//!
//! Invariants: each file is synced when it is written. `PG_VERSION` comes when all else is durable, so that
//! after a crash a directory is whole or is known not to be. What fails is removed again.
//! Source: `initdb.c`, `BootStrapXLOG`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base::disk::{Disk, Opening};
use base::{FullXid, Lsn, PAGE_SIZE, UnixTime, Xid};
use wal::checkpoint::{CheckPoint, WalLevel};
use wal::control::{ClusterState, ControlData, StateNumber};
use wal::page::{HAS_LONG_HEADER, LONG_HEADER_SIZE, LongHeader, PageHeader};
use wal::segment::{SegmentSize, Timeline};
use wal::write::{Builder, ImageCompression, NewRecord, PageWrites};

use super::layout::{
    DATABASES, DEFAULT_DATABASE, DIRECTORIES, FIRST_NORMAL_OID, FIRST_PAGES, VERSION_FILE,
    VERSION_TEXT,
};
use super::{Control, VERSION};
use crate::{At, Error};

/// The first transaction id that is given out (`FirstNormalTransactionId`).
const FIRST_XID: u32 = 3;
/// The first multixact id (`FirstMultiXactId`).
const FIRST_MULTI: u32 = 1;
/// The first position that stands for one of the log in unlogged relations (`FirstNormalUnloggedLSN`).
const FIRST_UNLOGGED_LSN: Lsn = Lsn(1000);
/// The segment that a log begins with: position 0 is none.
const FIRST_SEGMENT: u64 = 1;

/// What a data directory shall be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitOptions {
    /// Size of the log's segments.
    pub segment_size: SegmentSize,
    /// Whether data pages carry checksums.
    pub data_checksums: bool,
    /// Whether the commit-timestamp log is kept.
    pub track_commit_timestamp: bool,
}

impl Default for InitOptions {
    /// Segments of 16 MiB, checksums, commit timestamps.
    fn default() -> InitOptions {
        InitOptions {
            segment_size: SegmentSize::DEFAULT,
            data_checksums: true,
            track_commit_timestamp: true,
        }
    }
}

/// What tells one data directory from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Birth {
    /// The system identifier.
    pub system_identifier: u64,
    /// When it is made.
    pub time: UnixTime,
    /// Random bytes that PostgreSQL answers unknown users' authentication with.
    pub nonce: [u8; 32],
}

impl Birth {
    /// Of a directory that is made now, by this process: the identifier is, as PostgreSQL's, seconds in the upper
    /// half, then 20 bits of microseconds and 12 of the process id.
    ///
    /// # Errors
    /// Where the operating system has no random bytes.
    pub fn now() -> io::Result<Birth> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut nonce = [0; 32];
        let mut filled = 0;
        while filled < nonce.len() {
            let flags = rustix::rand::GetRandomFlags::empty();
            match rustix::rand::getrandom(&mut nonce[filled..], flags) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (seconds, micros) = (now.as_secs(), u64::from(now.subsec_micros()));
        Ok(Birth {
            system_identifier: seconds << 32 | micros << 12 | u64::from(std::process::id() & 0xFFF),
            time: UnixTime(seconds as i64),
            nonce,
        })
    }
}

/// Makes a data directory in `path`, which must be empty or not there; the directory that holds it must be.
/// Returns what the control file says.
///
/// # Errors
/// Where there is something, and as the operating system says; what was made is then removed.
pub fn init(
    disk: &dyn Disk,
    path: &Path,
    options: &InitOptions,
    birth: &Birth,
) -> Result<ControlData, Error> {
    let mut making = Making { disk, path, made: Vec::new() };
    match making.run(options, birth) {
        Ok(control) => Ok(control),
        Err(error) if making.undo().is_ok() => Err(error),
        Err(error) => {
            Err(Error::LeftOver { path: path.display().to_string(), error: Box::new(error) })
        }
    }
}

enum Made {
    Directory(PathBuf),
    File(PathBuf),
}

struct Making<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    made: Vec<Made>,
}

impl Making<'_> {
    fn run(&mut self, options: &InitOptions, birth: &Birth) -> Result<ControlData, Error> {
        let is_new = match self.disk.list(self.path) {
            Ok(entries) if entries.is_empty() => false,
            Ok(_) => return Err(Error::NotEmpty(self.path.display().to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error).at("list", self.path),
        };
        if is_new {
            self.directory(self.path.to_owned())?;
        } else if !self.disk.belongs_to_us(self.path).at("look at", self.path)? {
            return Err(Error::NotOwner(self.path.display().to_string()));
        }
        for directory in DIRECTORIES {
            self.directory(self.path.join(directory))?;
        }
        for database in DATABASES {
            self.file(&format!("base/{database}/{VERSION_FILE}"), VERSION_TEXT, 0)?;
        }
        for page in FIRST_PAGES {
            self.file(page, &[0; PAGE_SIZE], 0)?;
        }
        let checkpoint = first_checkpoint(options, birth);
        let segment = options.segment_size.file_name(checkpoint.timeline, FIRST_SEGMENT);
        let page = first_log_page(options, birth, &checkpoint);
        self.file(&format!("pg_wal/{segment}"), &page, options.segment_size.bytes())?;
        let control = control_data(options, birth, checkpoint);
        self.made.push(Made::File(Control::path(self.path)));
        Control::create(self.disk, self.path, &control)?;
        for directory in DIRECTORIES.iter().rev() {
            let directory = self.path.join(directory);
            self.disk.sync_directory(&directory).at("sync", &directory)?;
        }
        self.disk.sync_directory(self.path).at("sync", self.path)?;
        if is_new {
            let holder = match self.path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            self.disk.sync_directory(holder).at("sync", holder)?;
        }
        self.file(VERSION_FILE, VERSION_TEXT, 0)?;
        self.disk.sync_directory(self.path).at("sync", self.path)?;
        Ok(control)
    }

    fn directory(&mut self, path: PathBuf) -> Result<(), Error> {
        self.disk.create_directory(&path).at("create", &path)?;
        self.made.push(Made::Directory(path));
        Ok(())
    }

    /// Makes a durable file of these bytes, and zeros behind them up to `length`.
    fn file(&mut self, name: &str, bytes: &[u8], length: u64) -> Result<(), Error> {
        let path = self.path.join(name);
        let file = self.disk.open_for_writing(&path, Opening::CREATE_NEW).at("create", &path)?;
        self.made.push(Made::File(path.clone()));
        file.write_at(bytes, 0).at("write", &path)?;
        let written = bytes.len() as u64;
        file.write_zeros(written, length.saturating_sub(written)).at("write", &path)?;
        file.sync_all().at("sync", &path)
    }

    /// Removes what was made. Whether it lasts does not matter: without `PG_VERSION` it is no data directory.
    fn undo(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        while let Some(made) = self.made.pop() {
            let removed = match &made {
                Made::Directory(path) => self.disk.remove_directory(path),
                Made::File(path) => self.disk.remove_file(path),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => outcome = Err(error),
                _ => {}
            }
        }
        outcome
    }
}

/// The checkpoint that a log begins with.
fn first_checkpoint(options: &InitOptions, birth: &Birth) -> CheckPoint {
    CheckPoint {
        redo: Lsn(options.segment_size.bytes() * FIRST_SEGMENT + LONG_HEADER_SIZE as u64),
        timeline: Timeline(1),
        previous_timeline: Timeline(1),
        full_page_writes: true,
        wal_level: None,
        next_xid: FullXid(u64::from(FIRST_XID)),
        next_oid: FIRST_NORMAL_OID,
        next_multi: FIRST_MULTI,
        next_multi_offset: 0,
        oldest_xid: Xid(FIRST_XID),
        oldest_xid_database: DEFAULT_DATABASE,
        oldest_multi: FIRST_MULTI,
        oldest_multi_database: DEFAULT_DATABASE,
        time: birth.time,
        oldest_commit_timestamp_xid: Xid::INVALID,
        newest_commit_timestamp_xid: Xid::INVALID,
        oldest_active_xid: Xid::INVALID,
    }
}

/// The first page of the first segment: its header, and the checkpoint's record.
fn first_log_page(
    options: &InitOptions,
    birth: &Birth,
    checkpoint: &CheckPoint,
) -> [u8; PAGE_SIZE] {
    let segment_size = options.segment_size.bytes();
    let header = PageHeader {
        magic: VERSION.page_magic(),
        info: HAS_LONG_HEADER,
        timeline: checkpoint.timeline.0,
        address: Lsn(segment_size * FIRST_SEGMENT),
        remaining: 0,
        long: Some(LongHeader {
            system_identifier: birth.system_identifier,
            segment_size: segment_size as u32,
            block_size: PAGE_SIZE as u32,
        }),
    };
    let payload = checkpoint.encode();
    let record = NewRecord { main: &[&payload], ..NewRecord::new(0, 0) };
    let mut builder = Builder::new(ImageCompression::default());
    let record = builder.build(&record, PageWrites { redo: Lsn(0), are_on: false });
    let record = record.expect("a record without blocks").to_bytes(Lsn(0));
    let mut page = [0; PAGE_SIZE];
    page[..LONG_HEADER_SIZE].copy_from_slice(&header.encode());
    page[LONG_HEADER_SIZE..LONG_HEADER_SIZE + record.len()].copy_from_slice(&record);
    page
}

/// What the control file says at first.
fn control_data(options: &InitOptions, birth: &Birth, checkpoint: CheckPoint) -> ControlData {
    ControlData {
        system_identifier: birth.system_identifier,
        control_version: VERSION.control_version(),
        catalog_version: VERSION.catalog_version(),
        state: StateNumber(ClusterState::ShutDown as u32),
        time: birth.time,
        checkpoint: checkpoint.redo,
        checkpoint_copy: checkpoint,
        unlogged_lsn: FIRST_UNLOGGED_LSN,
        wal_level: WalLevel(1),
        max_connections: 100,
        max_worker_processes: 8,
        max_wal_senders: 10,
        max_locks_per_transaction: 64,
        track_commit_timestamp: options.track_commit_timestamp,
        maximum_alignment: 8,
        float_format: 1_234_567.0,
        block_size: PAGE_SIZE as u32,
        relation_segment_blocks: 131_072,
        wal_block_size: PAGE_SIZE as u32,
        wal_segment_size: options.segment_size.bytes() as u32,
        name_length: 64,
        index_max_keys: 32,
        toast_max_chunk_size: 1996,
        large_object_chunk_size: 2048,
        float8_by_value: true,
        data_checksum_version: u32::from(options.data_checksums),
        mock_authentication_nonce: birth.nonce,
        ..ControlData::default()
    }
}
