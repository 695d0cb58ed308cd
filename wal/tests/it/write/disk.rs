//! The real disk, with zeros that take no room and one call that fails.

use std::io::{self, IoSlice};
use std::path::Path;

use base::disk::{DirectoryEntry, Disk, DiskFile, Opening, RealDisk, WritableFile};
use base::sync::Arc;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::SeqCst;

/// Fails the call of this number, counted from 1, and no other before or after it.
#[derive(Debug, Clone, Default)]
pub(super) struct TestDisk(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// Calls so far that change something.
    made: AtomicU64,
    /// The one that fails; 0 for none.
    fails: AtomicU64,
}

impl TestDisk {
    /// Calls that change something, so far.
    pub(super) fn calls(&self) -> u64 {
        self.0.made.load(SeqCst)
    }

    /// From here on, the `number`-th such call fails.
    pub(super) fn fail(&self, number: u64) {
        self.0.fails.store(self.calls() + number, SeqCst);
    }

    fn call(&self) -> io::Result<()> {
        if self.0.made.fetch_add(1, SeqCst) + 1 == self.0.fails.load(SeqCst) {
            return Err(io::Error::from_raw_os_error(5)); // EIO
        }
        Ok(())
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        RealDisk.list(directory)
    }

    fn is_directory(&self, path: &Path) -> bool {
        RealDisk.is_directory(path)
    }

    fn open_for_writing(&self, path: &Path, how: Opening) -> io::Result<Box<dyn WritableFile>> {
        let file = RealDisk.open_for_writing(path, how)?;
        Ok(Box::new(TestFile { file, disk: self.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        RealDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_directory(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.call()
    }
}

#[derive(Debug)]
struct TestFile {
    file: Box<dyn WritableFile>,
    disk: TestDisk,
}

impl DiskFile for TestFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl WritableFile for TestFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.call()?;
        self.file.write_at(bytes, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.disk.call()?;
        self.file.write_vectored_at(slices, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.call()?;
        if self.file.length()? <= offset {
            return self.file.set_length(offset + length);
        }
        self.file.write_zeros(offset, length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.call()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.disk.call()
    }
}
