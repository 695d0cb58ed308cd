//! A disk in memory. Its files can be changed, and it can be told to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base::disk::{DirectoryEntry, Disk, DiskFile, WritableFile};

/// Where it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Listing this directory.
    List(PathBuf),
    /// Opening this file.
    Open(PathBuf),
    /// Reading any byte of this file at or behind the offset.
    Read(PathBuf, u64),
    /// Writing to scratch.
    Scratch,
}

#[derive(Debug, Default)]
pub(super) struct MemoryDisk {
    state: Arc<Mutex<State>>,
    scratches: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Vec<u8>>>,
    fault: Option<Fault>,
    opened: BTreeSet<PathBuf>,
}

fn failure() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl MemoryDisk {
    pub(super) fn new<'a>(files: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Arc<MemoryDisk> {
        let disk = Arc::new(MemoryDisk::default());
        files.into_iter().for_each(|(path, bytes)| disk.put(path, bytes));
        disk
    }

    pub(super) fn put(&self, path: &str, bytes: Vec<u8>) {
        self.state.lock().expect("lock").files.insert(path.into(), Arc::new(bytes));
    }

    pub(super) fn remove(&self, path: &str) {
        self.state.lock().expect("lock").files.remove(Path::new(path)).expect("a file");
    }

    pub(super) fn fail(&self, fault: Option<Fault>) {
        self.state.lock().expect("lock").fault = fault;
    }

    /// The files that have been opened, by name.
    pub(super) fn opened(&self) -> Vec<String> {
        let state = self.state.lock().expect("lock");
        state.opened.iter().map(|path| path.display().to_string()).collect()
    }

    pub(super) fn scratches(&self) -> usize {
        self.scratches.load(Ordering::Relaxed)
    }

    fn fails(&self, fault: &Fault) -> io::Result<()> {
        let state = self.state.lock().expect("lock");
        if state.fault.as_ref() == Some(fault) { Err(failure()) } else { Ok(()) }
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.fails(&Fault::Open(path.into()))?;
        let mut state = self.state.lock().expect("lock");
        let bytes = state.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        let file = MemoryFile {
            path: path.into(),
            bytes: Arc::clone(bytes),
            disk: Arc::clone(&self.state),
        };
        state.opened.insert(path.into());
        Ok(Box::new(file))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.fails(&Fault::List(directory.into()))?;
        let state = self.state.lock().expect("lock");
        let mut entries: BTreeMap<OsString, (bool, u64)> = BTreeMap::new();
        for (path, bytes) in &state.files {
            let Ok(below) = path.strip_prefix(directory) else { continue };
            let mut parts = below.components();
            let Some(first) = parts.next() else { continue };
            let is_directory = parts.next().is_some();
            entries.insert(first.as_os_str().into(), (is_directory, bytes.len() as u64));
        }
        let entries = entries.into_iter().rev();
        let entry = |(name, (is_directory, length))| DirectoryEntry { name, is_directory, length };
        Ok(entries.map(entry).collect())
    }

    fn is_directory(&self, path: &Path) -> bool {
        let state = self.state.lock().expect("lock");
        state.files.keys().any(|file| file != path && file.starts_with(path))
    }

    fn scratch(&self) -> io::Result<Box<dyn WritableFile>> {
        self.scratches.fetch_add(1, Ordering::Relaxed);
        let fails = self.fails(&Fault::Scratch).is_err();
        Ok(Box::new(MemoryScratch { bytes: Mutex::default(), fails }))
    }
}

#[derive(Debug)]
struct MemoryFile {
    path: PathBuf,
    bytes: Arc<Vec<u8>>,
    disk: Arc<Mutex<State>>,
}

fn copy(bytes: &[u8], buffer: &mut [u8], offset: u64) -> usize {
    let bytes = bytes.get(offset as usize..).unwrap_or_default();
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    length
}

impl DiskFile for MemoryFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(Fault::Read(path, from)) = &self.disk.lock().expect("lock").fault
            && *path == self.path
            && offset + buffer.len() as u64 > *from
        {
            return Err(failure());
        }
        Ok(copy(&self.bytes, buffer, offset))
    }
}

#[derive(Debug)]
struct MemoryScratch {
    bytes: Mutex<Vec<u8>>,
    fails: bool,
}

impl DiskFile for MemoryScratch {
    fn length(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().expect("lock").len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(copy(&self.bytes.lock().expect("lock"), buffer, offset))
    }
}

impl WritableFile for MemoryScratch {
    fn write_at(&self, written: &[u8], offset: u64) -> io::Result<()> {
        if self.fails {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let mut bytes = self.bytes.lock().expect("lock");
        let end = offset as usize + written.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(written);
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.bytes.lock().expect("lock").resize(length as usize, 0);
        Ok(())
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let length = self.length()?.max(length);
        self.set_length(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}
