//! Files behind a trait, so that a test can put a faulty disk in the place of the real one.
//!
//! Invariants: every file that pgstrata touches is reached through a [`Disk`]; a read never moves a
//! shared position (`pread`), so that one open file serves many threads; an interrupted read is resumed,
//! any other error reaches the caller.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

/// A place that holds files.
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

    /// An empty file without a name, for temporary data; it is gone when dropped.
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::Unsupported`] from a disk without such files.
    fn scratch(&self) -> io::Result<Box<dyn ScratchFile>> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
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

/// A file of [`Disk::scratch`].
pub trait ScratchFile: DiskFile {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the operating system says, `EINTR` excepted.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

/// The operating system's files; scratch files are in the directory that `TMPDIR` names, or in `/tmp`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        // Opening a named pipe would wait for somebody to write to it.
        let kind = std::fs::metadata(path)?.file_type();
        if kind.is_fifo() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is a pipe, not a file"));
        }
        let file = std::fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        Ok(Box::new(RealFile(file)))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            // An entry may vanish between the listing and the look: the server recycles segments.
            let metadata = match std::fs::metadata(entry.path()) {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(DirectoryEntry {
                name: entry.file_name(),
                is_directory: metadata.is_dir(),
                length: metadata.len(),
            });
        }
        Ok(entries)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn scratch(&self) -> io::Result<Box<dyn ScratchFile>> {
        Ok(Box::new(RealFile(tempfile::tempfile()?)))
    }
}

#[derive(Debug)]
struct RealFile(std::fs::File);

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl ScratchFile for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scratch_holds_what_was_written() -> io::Result<()> {
        let scratch = RealDisk.scratch()?;
        scratch.write_at(b"world", 6)?;
        scratch.write_at(b"hello ", 0)?;
        let mut buffer = [0; 32];
        let length = scratch.read_at(&mut buffer, 0)?;
        assert_eq!(&buffer[..length], b"hello world");
        assert_eq!(scratch.length()?, 11);
        Ok(())
    }

    #[test]
    fn a_named_pipe_is_an_error_at_once() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let pipe = place.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status()?.success());
        let error = RealDisk.open(&pipe).expect_err("nobody writes to it");
        assert_eq!(error.to_string(), "is a pipe, not a file");
        Ok(())
    }
}
