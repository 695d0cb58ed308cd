//! Which faults there are, where they can happen, and the plan of those that shall.

use std::fmt;
use std::io;
use std::path::Path;

/// What can be done to a disk, for counting and for failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// [`Disk::open`](crate::disk::Disk::open), and `exists`.
    Open,
    /// [`Disk::open_for_writing`](crate::disk::Disk::open_for_writing), and `scratch`.
    OpenForWriting,
    /// [`Disk::list`](crate::disk::Disk::list).
    List,
    /// [`Disk::is_directory`](crate::disk::Disk::is_directory), which has no errors.
    Look,
    /// [`Disk::belongs_to_us`](crate::disk::Disk::belongs_to_us).
    Owner,
    /// [`WritableFile::try_lock`](crate::disk::WritableFile::try_lock).
    Lock,
    /// [`Disk::rename`](crate::disk::Disk::rename); its place is the new name's.
    Rename,
    /// [`Disk::remove_file`](crate::disk::Disk::remove_file).
    Remove,
    /// [`Disk::remove_directory`](crate::disk::Disk::remove_directory).
    RemoveDirectory,
    /// [`Disk::create_directory`](crate::disk::Disk::create_directory).
    CreateDirectory,
    /// [`Disk::sync_directory`](crate::disk::Disk::sync_directory).
    SyncDirectory,
    /// [`DiskFile::read_at`](crate::disk::DiskFile::read_at).
    Read,
    /// [`DiskFile::length`](crate::disk::DiskFile::length).
    Length,
    /// [`WritableFile::write_at`](crate::disk::WritableFile::write_at) and its kin.
    Write,
    /// [`WritableFile::set_length`](crate::disk::WritableFile::set_length).
    SetLength,
    /// [`WritableFile::allocate`](crate::disk::WritableFile::allocate).
    Allocate,
    /// [`WritableFile::sync_data`](crate::disk::WritableFile::sync_data).
    SyncData,
    /// [`WritableFile::sync_all`](crate::disk::WritableFile::sync_all).
    SyncAll,
}

impl Operation {
    /// Whether it changes what is on the disk, so that a crash before it differs from one after.
    pub const fn changes(self) -> bool {
        use Operation::{Length, List, Lock, Look, Open, Owner, Read};
        !matches!(self, Open | List | Look | Owner | Lock | Read | Length)
    }
}

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// `EIO`. Of a write, some first bytes may have been written all the same.
    InputOutput,
    /// `ENOSPC`. Of a write, some first bytes have found room.
    NoSpace,
    /// `EINTR` at the first attempt, after which it goes on: nobody may notice.
    Interrupted,
    /// Only a part is done at a time: nobody may notice.
    Short,
    /// `EIO`, after which the kernel holds the data for clean: some of it is durable and the rest never
    /// will be, and later syncs succeed.
    FailedSync,
}

/// All faults, and the operations that they happen to.
pub const TABLE: [(FaultKind, &[Operation]); 5] = {
    use Operation::{
        Allocate, CreateDirectory, Length, List, Lock, Open, OpenForWriting, Owner, Read, Remove,
        RemoveDirectory, Rename, SetLength, SyncAll, SyncData, SyncDirectory, Write,
    };
    [
        (
            FaultKind::InputOutput,
            &[
                Open,
                OpenForWriting,
                List,
                Owner,
                Lock,
                Rename,
                Remove,
                RemoveDirectory,
                CreateDirectory,
                Read,
                Length,
                Write,
                SetLength,
                Allocate,
            ],
        ),
        (
            FaultKind::NoSpace,
            &[OpenForWriting, Rename, CreateDirectory, Write, SetLength, Allocate],
        ),
        (
            FaultKind::Interrupted,
            &[Open, OpenForWriting, Read, Write, Allocate, SyncData, SyncAll, SyncDirectory],
        ),
        (FaultKind::Short, &[Read, Write]),
        (FaultKind::FailedSync, &[SyncData, SyncAll, SyncDirectory]),
    ]
};

impl FaultKind {
    /// Whether it can happen to this operation, by [`TABLE`].
    pub fn happens_to(self, operation: Operation) -> bool {
        TABLE.iter().any(|(kind, operations)| *kind == self && operations.contains(&operation))
    }

    /// Whether the caller is told; what is merely interrupted or short is resumed below.
    pub const fn is_told(self) -> bool {
        !matches!(self, FaultKind::Interrupted | FaultKind::Short)
    }

    pub(super) fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            FaultKind::NoSpace => libc::ENOSPC,
            FaultKind::Interrupted => libc::EINTR,
            FaultKind::InputOutput | FaultKind::Short | FaultKind::FailedSync => libc::EIO,
        })
    }
}

/// A kind of call: what is done, and to which kind of file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// What is done.
    pub operation: Operation,
    /// The path, with a `*` for each number in it: `pg_wal/*` for every segment, `base/*/*_fsm`.
    pub place: String,
}

impl Site {
    /// Of an operation on the file or directory at `path`.
    pub fn new(operation: Operation, path: &Path) -> Site {
        Site { operation, place: place(path) }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.operation, self.place)
    }
}

/// A path with a `*` for each number, decimal or of upper-case hexadecimal digits.
pub(super) fn place(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_digit = |c: char| c.is_ascii_digit() || ('A'..='F').contains(&c);
    let mut place = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(first) = rest.chars().next() {
        let digits = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        let within_a_word = place.ends_with(|c: char| c.is_alphabetic());
        if rest[..digits].contains(|c: char| c.is_ascii_digit()) && !within_a_word {
            place.push('*');
            rest = &rest[digits..];
        } else {
            place.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    place
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lasting {
    /// One call.
    Once,
    /// That call and all later ones of the site.
    ForEver,
}

/// A fault that shall happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub site: Site,
    /// At which call of the site, counted from 1 since the disk was made.
    pub at: u64,
    /// For how long.
    pub lasting: Lasting,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// Whether it happens to the site's call of this number.
    pub(super) fn happens_at(&self, site: &Site, call: u64) -> bool {
        let is_now = match self.lasting {
            Lasting::Once => call == self.at,
            Lasting::ForEver => call >= self.at,
        };
        is_now && self.site == *site
    }
}
