//! `postmaster.pid`: who works in a data directory.
//!
//! ```text
//! line 1   process id; of an engine negative, as of a server in single-user mode
//!      2   the data directory
//!      3   start time, seconds since 1970
//!      4   port                        0 of an engine
//!      5   directory of the socket     empty
//!      6   address listened to         empty
//!      7   shared memory: key, id      a server's alone
//!      8   state                       a postmaster's alone
//! ```
//!
//! Invariants: only who creates the file, which one process can, works in the directory. An existing file is
//! removed only if its process is gone, or is this one or its parent (ids come again after a reboot), and nobody
//! is attached to its shared memory, and no open file of an engine holds its advisory lock. So an engine
//! keeps engines out by the lock, also a second one in its own process, and servers by the process id; servers
//! keep it out by theirs. As a server, an engine works only in its own user's directory: a server takes a process that
//! it may not signal for none of its own.
//! Source: `CreateLockFile`, `utils/pidfile.h`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base::UnixTime;
use base::disk::{Disk, Opening, WritableFile};
use base::sync::Arc;

use super::Processes;
use crate::{At, Error};

/// The file's name within the data directory.
pub const LOCK_FILE: &str = "postmaster.pid";

/// How often a file may vanish between the attempt to create it and the look at it.
const MOST_ATTEMPTS: u32 = 100;

/// The lock of a data directory; given back when dropped.
#[derive(Debug)]
pub struct LockFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Holds the advisory lock.
    file: Option<Box<dyn WritableFile>>,
}

/// Who has the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockHolder {
    /// A postmaster.
    Postmaster(i32),
    /// An engine, or a server in single-user mode.
    Standalone(i32),
    /// Server processes that are left over from a postmaster that is gone.
    Orphans {
        /// Of their shared memory.
        key: u64,
        /// Of their shared memory.
        id: u64,
    },
    /// Whoever has not written anything yet, or was killed before that.
    Unknown,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockHolder::Postmaster(id) => write!(f, "a postmaster (PID {id}) runs there"),
            LockHolder::Standalone(id) => {
                write!(f, "an engine or a single-user server (PID {id}) runs there")
            }
            LockHolder::Orphans { key, id } => write!(
                f,
                "server processes are attached to its shared memory (key {key}, ID {id}) still \
                 (end them first)"
            ),
            LockHolder::Unknown => f.write_str(
                "it is empty, so that somebody is starting there or was killed in doing so \
                 (if nobody is, remove it)",
            ),
        }
    }
}

impl LockFile {
    /// Takes the lock of a data directory; `start` is what the file says of when.
    ///
    /// # Errors
    /// Where another process has it, the directory is another user's, and as the operating system says.
    pub fn acquire(
        disk: Arc<dyn Disk>,
        directory: &Path,
        processes: &dyn Processes,
        start: UnixTime,
    ) -> Result<LockFile, Error> {
        if !disk.belongs_to_us(directory).at("look at", directory)? {
            return Err(Error::NotOwner(directory.display().to_string()));
        }
        let path = directory.join(LOCK_FILE);
        let mut attempts = 0;
        let file = loop {
            attempts += 1;
            match disk.open_for_writing(&path, Opening::CREATE_NEW) {
                Ok(file) => break file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).at("create", &path),
            }
            if attempts > MOST_ATTEMPTS {
                return Err(io::Error::from(io::ErrorKind::AlreadyExists)).at("create", &path);
            }
            let old = match disk.open_for_writing(&path, Opening::EXISTING) {
                Ok(file) => file,
                // Given back in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error).at("open", &path),
            };
            let content = read(&*old).at("read", &path)?;
            let is_held = !old.try_lock().at("lock", &path)?;
            if let Some(holder) = holder(&path, &content, is_held, processes)? {
                return Err(Error::Locked { path: path.display().to_string(), holder });
            }
            disk.remove_file(&path).at("remove", &path)?;
        };
        let lock = LockFile { disk, path, file: Some(file) };
        let text =
            format!("-{}\n{}\n{}\n0\n\n\n", processes.own_id(), directory.display(), start.0);
        lock.write(text.as_bytes())?;
        Ok(lock)
    }

    /// Fills the new file; where that fails the file is removed by drop.
    fn write(&self, text: &[u8]) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        // Before the content: who finds content finds the lock, too.
        if !file.try_lock().at("lock", &self.path)? {
            let holder = LockHolder::Unknown;
            return Err(Error::Locked { path: self.path.display().to_string(), holder });
        }
        file.write_at(text, 0).at("write", &self.path)?;
        file.sync_all().at("sync", &self.path)
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// Where the file cannot be removed; the next one will find that it is stale.
    pub fn release(mut self) -> Result<(), Error> {
        self.remove().at("remove", &self.path)
    }

    fn remove(&mut self) -> io::Result<()> {
        match self.file.take() {
            // The name goes before the lock, so that nobody finds it unlocked.
            Some(_file) => self.disk.remove_file(&self.path),
            None => Ok(()),
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // There is nobody to tell, and a file that stays is stale.
        let _ = self.remove();
    }
}

fn read(file: &dyn WritableFile) -> io::Result<String> {
    let mut bytes = vec![0; 8192];
    let length = file.read_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Who holds a lock file with this content; `None` if it is stale.
fn holder(
    path: &Path,
    content: &str,
    is_held: bool,
    processes: &dyn Processes,
) -> Result<Option<LockHolder>, Error> {
    let mut lines = content.lines();
    let Some(first) = lines.next() else { return Ok(Some(LockHolder::Unknown)) };
    let id = match first.trim().parse::<i32>() {
        Ok(id) if id != 0 && id != i32::MIN => id,
        _ => {
            let content = first.to_owned();
            return Err(Error::BogusLockFile { path: path.display().to_string(), content });
        }
    };
    let other = id.abs();
    let is_our_own = other == processes.own_id() || processes.is_parent(other);
    if is_held || (!is_our_own && processes.is_alive(other)) {
        let is_standalone = is_held || id < 0;
        return Ok(Some(if is_standalone {
            LockHolder::Standalone(other)
        } else {
            LockHolder::Postmaster(other)
        }));
    }
    // A postmaster may be gone and its children still at work.
    let memory = lines.nth(5).unwrap_or_default();
    let mut numbers = memory.split_whitespace().map(str::parse::<u64>);
    if let (Some(Ok(key)), Some(Ok(id))) = (numbers.next(), numbers.next())
        && processes.is_attached(key, id)
    {
        return Ok(Some(LockHolder::Orphans { key, id }));
    }
    Ok(None)
}
