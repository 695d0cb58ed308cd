//! The operating system's files.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags};

use super::{
    Creation, DirectoryEntry, Disk, DiskFile, Opening, WritableFile, is_unsupported, resume,
};

/// The operating system's files; scratch files are in the directory that `TMPDIR` names, or in `/tmp`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(open(path, OpenOptions::new().read(true))?))
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

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn belongs_to_us(&self, path: &Path) -> io::Result<bool> {
        Ok(std::fs::metadata(path)?.uid() == rustix::process::geteuid().as_raw())
    }

    fn scratch(&self) -> io::Result<Box<dyn WritableFile>> {
        Ok(Box::new(RealFile(tempfile::tempfile()?)))
    }

    fn open_for_writing(&self, path: &Path, how: Opening) -> io::Result<Box<dyn WritableFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match how.creation {
            Creation::Never => {}
            Creation::IfMissing => {
                options.create(true);
            }
            Creation::New => {
                options.create_new(true);
            }
        }
        if how.synchronous {
            options.custom_flags(libc::O_DSYNC);
        }
        Ok(Box::new(open(path, &options)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let opened =
            OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory)?;
        opened.sync_all()
    }
}

fn open(path: &Path, options: &OpenOptions) -> io::Result<RealFile> {
    // Opening a named pipe would wait for somebody at its other end.
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is a pipe, not a file"));
    }
    let file = options.open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(RealFile(file))
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        resume::read(buffer, offset, |piece, at| self.0.read_at(piece, at))
    }
}

impl WritableFile for RealFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        resume::write(bytes, offset, |piece, at| self.0.write_at(piece, at))
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        resume::write_vectored(slices, offset, |slices, at| {
            Ok(rustix::io::pwritev(&self.0, slices, at)?)
        })
    }

    fn forget_cached(&self) {
        // Whether it worked changes nothing for anybody.
        let _ = rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed);
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        if length == 0 {
            return Ok(());
        }
        // posix_fallocate would read and write every block where the file system has no such call.
        let reserved = resume::uninterrupted(|| {
            Ok(rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, length)?)
        });
        match reserved {
            Err(error) if is_unsupported(&error) => {
                let end = self.length()?;
                self.write_zeros(end, length.saturating_sub(end))
            }
            outcome => outcome,
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        resume::uninterrupted(|| match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}
