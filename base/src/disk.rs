//! Files behind a trait, so that a test can put a faulty disk in the place of the real one.
//!
//! [`RealDisk`] is the operating system's. What follows here is only what every disk promises.
//!
//! Invariants:
//!
//! - Every file that pgstrata touches is reached through a [`Disk`].
//! - A read or write never moves a shared position (`pread`, `pwrite`), so that one open file serves many
//!   threads.
//! - What is interrupted (`EINTR`) or done in part (a short read or write) is resumed; any other error
//!   reaches the caller, and of a write that failed any part may have happened.
//! - Nothing is durable before a sync: a file's bytes by [`WritableFile::sync_data`] or
//!   [`WritableFile::sync_all`], its name (creation, removal, renaming) by [`Disk::sync_directory`] of the
//!   directory that holds it. After a failed sync nothing is known of what was written since the last one
//!   that succeeded, and trying again proves nothing: the kernel may have dropped the pages and forgotten
//!   the error.

pub mod faulty;
mod real;
mod resume;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;

pub use real::RealDisk;

/// A place that holds files.
///
/// The methods that change something are [`io::ErrorKind::Unsupported`] on a disk that is only read.
pub trait Disk: Debug + Send + Sync {
    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// As the operating system says; a directory or a named pipe is an error too.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The entries of a directory, in no particular order.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>>;

    /// Whether the path is a directory; `false` for one that cannot be looked at.
    fn is_directory(&self, path: &Path) -> bool;

    /// Whether there is a file or a directory of this name.
    ///
    /// # Errors
    /// As the operating system says, where it cannot be told.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        if self.is_directory(path) {
            return Ok(true);
        }
        match self.open(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the file or directory belongs to the user that this process runs as, who alone may write what
    /// has mode 0600 or 0700. A disk without users has only this one.
    ///
    /// # Errors
    /// As the operating system says.
    fn belongs_to_us(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(true)
    }

    /// An empty file without a name, for temporary data; it is gone when dropped.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::Unsupported`] from a disk without such files.
    fn scratch(&self) -> io::Result<Box<dyn WritableFile>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Opens a file for reading and writing. One that this creates can be read and written by its owner
    /// alone (mode 0600), and its name lasts once its directory is synced.
    ///
    /// # Errors
    /// As the operating system says; a directory or a named pipe is an error too.
    fn open_for_writing(&self, path: &Path, how: Opening) -> io::Result<Box<dyn WritableFile>> {
        let (_, _) = (path, how);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Gives a file or directory another name, in one step; a file that has the name goes. Lasts once both
    /// names' directories are synced. A crash before that leaves the one state or the other.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (_, _) = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file's name; who has it open goes on. Lasts once its directory is synced.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes a directory, for its owner alone (mode 0700), in one that exists. Lasts once that one is synced.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::AlreadyExists`] where something has the name.
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes an empty directory. Lasts once the one that held it is synced.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes what happened to names in the directory durable: `fsync` of the directory.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let _ = directory;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How [`Disk::open_for_writing`] opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Opening {
    /// What to do about a file that is or is not there.
    pub creation: Creation,
    /// Whether each write comes back only when its bytes are durable (`O_DSYNC`).
    pub synchronous: bool,
}

impl Opening {
    /// A file that is there.
    pub const EXISTING: Opening = Opening { creation: Creation::Never, synchronous: false };
    /// A file that is there, or else an empty one.
    pub const CREATE: Opening = Opening { creation: Creation::IfMissing, synchronous: false };
    /// A file that is not there yet: of several who try at once, one succeeds.
    pub const CREATE_NEW: Opening = Opening { creation: Creation::New, synchronous: false };

    /// The same with `O_DSYNC`.
    #[must_use]
    pub const fn synchronous(self) -> Opening {
        Opening { synchronous: true, ..self }
    }
}

/// Whether opening a file may or must create it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Creation {
    /// A missing file is an error.
    Never,
    /// A missing file is made, empty (`O_CREAT`).
    IfMissing,
    /// A file that is there is an error (`O_CREAT | O_EXCL`).
    New,
}

/// What [`Disk::list`] tells of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Name within the directory.
    pub name: OsString,
    /// Whether it is a directory (links are followed).
    pub is_directory: bool,
    /// Length in bytes.
    pub length: u64,
}

/// A file open for reading.
pub trait DiskFile: Debug + Send + Sync {
    /// Length in bytes, now.
    ///
    /// # Errors
    /// As the operating system says.
    fn length(&self) -> io::Result<u64>;

    /// Reads at `offset` until `buffer` is full or the file ends; returns the number of bytes read.
    ///
    /// # Errors
    /// As the operating system says, `EINTR` excepted.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A file open for reading and writing.
pub trait WritableFile: DiskFile {
    /// Writes all of `bytes` at `offset`; a gap before them reads as zero.
    ///
    /// # Errors
    /// As the operating system says, `EINTR` excepted.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of the slices, one behind the other, at `offset`. On a real file this is one call of the
    /// operating system (`pwritev`): with `O_DSYNC` one wait for the disk, where two writes are two.
    ///
    /// # Errors
    /// As [`WritableFile::write_at`].
    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut at = offset;
        for slice in slices {
            self.write_at(slice, at)?;
            at += slice.len() as u64;
        }
        Ok(())
    }

    /// Cuts the file off, or lengthens it by bytes that read as zero and need not have room on the disk yet.
    ///
    /// # Errors
    /// As the operating system says.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Sees to it that the file is at least of this length and that all of it has room on the disk
    /// (`posix_fallocate`); what is added reads as zero. Where the file system cannot do that, zeros are
    /// written behind the end.
    ///
    /// The first write of a part that was only reserved still changes the file system's own data, which makes
    /// the sync after it dearer: who syncs often writes zeros first ([`WritableFile::write_zeros`]).
    ///
    /// # Errors
    /// As the operating system says; of [`io::ErrorKind::StorageFull`] the file may have become longer.
    fn allocate(&self, length: u64) -> io::Result<()>;

    /// Writes so many zeros at `offset`.
    ///
    /// # Errors
    /// As [`WritableFile::write_at`].
    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        let mut done = 0;
        while done < length {
            // Several slices a call: a piece of 1 MiB.
            let mut slices = [IoSlice::new(&[]); 16];
            let mut piece = 0;
            for slice in &mut slices {
                let count = (length - done - piece).min(ZEROS.len() as u64);
                *slice = IoSlice::new(&ZEROS[..count as usize]);
                piece += count;
            }
            self.write_vectored_at(&slices, offset + done)?;
            done += piece;
        }
        Ok(())
    }

    /// Tells the operating system that nothing that it keeps of the file in memory is wanted soon, as far as it is durable
    /// (`posix_fadvise`, `POSIX_FADV_DONTNEED`). A hint: where it means nothing, nothing happens.
    fn forget_cached(&self) {}

    /// Takes the file's advisory lock (`flock`) for this open file, unless another open file has it, in this
    /// process or another. It goes with the open file, also when the process is killed.
    ///
    /// # Errors
    /// As the operating system says; that another has it is none. [`io::ErrorKind::Unsupported`] from a disk
    /// without locks.
    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes the bytes written so far durable, and of the rest what is needed to read them, such as the
    /// length (`fdatasync`).
    ///
    /// # Errors
    /// As the operating system says. Not to be tried again, see the module.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the bytes written so far durable and all that is known of the file (`fsync`).
    ///
    /// # Errors
    /// As [`WritableFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
}

/// Whether a file system has no such call.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EINVAL))
}

#[cfg(test)]
mod tests;
