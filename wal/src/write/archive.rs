//! Archiving full segments, by a command or into a directory.
//!
//! ```text
//! pg_wal/archive_status/000000010000000000000003.ready     full, to be archived
//! pg_wal/archive_status/000000010000000000000003.done      archived: may be removed
//! ```
//!
//! These are PostgreSQL's own marks, and so are the order (history files first, then the oldest) and the
//! placeholders of the command: `%p` the file's path, `%f` its name, `%%` a percent sign. A directory gets a copy
//! under a temporary name that is synced, then renamed; a file that is there already with the same bytes counts
//! as archived, with other bytes it is an error, and nothing in the archive is ever overwritten.
//!
//! Invariants: what cannot be archived stays `.ready`, is tried again, and stops nothing but its own
//! removal; the thread ends when the [`Archiver`] is dropped, its command with it, or is finished, when everything has
//! been archived, or something cannot be.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use base::disk::{Disk, DiskFile, Opening};
use base::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, thread};

use super::error::LogError;
use super::file_writer::SegmentEnd;
use super::segment_files::SegmentFiles;
use crate::segment::SegmentNumber;

/// Where full segments are archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveTo {
    /// By this shell command for each file (`archive_command`); exit code 0 says that the file is safe.
    Command(String),
    /// Into this directory, on the log's disk.
    Directory(PathBuf),
}

/// What the archiver has done (`pg_stat_archiver`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveStatus {
    /// Files archived.
    pub archived: u64,
    /// The last of them.
    pub last_archived: Option<String>,
    /// Attempts that failed.
    pub failed: u64,
    /// The file of the last failed attempt, and why.
    pub last_failure: Option<(String, String)>,
}

/// Attempts before a pause.
const ATTEMPTS: u32 = 3;
/// Between attempts.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);
/// After them, and when there is nothing to do.
const PAUSE: Duration = Duration::from_secs(60);
/// How often a running command is looked after.
const COMMAND_TURN: Duration = Duration::from_millis(10);

/// The thread that archives.
#[derive(Debug)]
pub(super) struct Archiver {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    files: Arc<SegmentFiles>,
    to: ArchiveTo,
    state: Mutex<State>,
    changed: Condvar,
}

/// When the thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Ending {
    #[default]
    Not,
    /// When everything that is ready has been archived, or cannot be.
    WhenDone,
    /// At once, its command with it.
    Now,
}

#[derive(Debug, Default)]
struct State {
    ending: Ending,
    has_work: bool,
    status: ArchiveStatus,
}

/// Marks full segments, where there is an archiver.
#[derive(Debug)]
pub(super) struct Notifier(Option<Arc<Shared>>);

impl Notifier {
    pub(super) fn new(archiver: Option<&Archiver>) -> Notifier {
        Notifier(archiver.map(|archiver| Arc::clone(&archiver.shared)))
    }
}

impl SegmentEnd for Notifier {
    fn full(&self, number: SegmentNumber) -> Result<(), LogError> {
        match &self.0 {
            Some(shared) => shared.mark_ready(&shared.files.name(number)),
            None => Ok(()),
        }
    }
}

impl Archiver {
    /// Starts the thread, unless it works on demand alone; makes `archive_status` where it is missing.
    pub(super) fn start(
        files: Arc<SegmentFiles>,
        to: ArchiveTo,
        by_itself: bool,
    ) -> Result<Archiver, LogError> {
        let marks = files.directory().join("archive_status");
        if !files.disk().is_directory(&marks) {
            let made = files.disk().create_directory(&marks);
            made.map_err(|error| LogError::stopped("create", &marks, error))?;
        }
        let state = Mutex::new(State { has_work: true, ..State::default() });
        let shared = Arc::new(Shared { files, to, state, changed: Condvar::new() });
        let thread = by_itself.then(|| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.run())
        });
        Ok(Archiver { shared, thread })
    }

    /// Archives what is ready, until nothing is or one attempt fails. How many files.
    pub(super) fn archive_ready(&self) -> io::Result<u64> {
        let mut archived = 0;
        while let Some(name) = self.shared.next()? {
            self.shared.archive_and_note(name)?;
            archived += 1;
        }
        Ok(archived)
    }

    /// Whether a segment may be removed. One without a mark gets one.
    pub(super) fn is_archived(&self, name: &str) -> Result<bool, LogError> {
        if self.shared.has_mark(name, "done")? {
            return Ok(true);
        }
        if !self.shared.has_mark(name, "ready")? {
            self.shared.mark_ready(name)?;
        }
        Ok(false)
    }

    /// Removes the marks of a file that is gone.
    pub(super) fn forget(&self, name: &str) -> Result<(), LogError> {
        for mark in ["done", "ready"] {
            let path = self.shared.mark(name, mark);
            match self.shared.disk().remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(LogError::stopped("remove", &path, error)),
            }
        }
        Ok(())
    }

    pub(super) fn status(&self) -> ArchiveStatus {
        self.shared.state().status.clone()
    }
}

impl Archiver {
    /// Archives what is ready, up to what cannot be, and ends the thread.
    pub(super) fn finish(mut self) {
        if self.thread.is_none() {
            // What failed is noted for who asks.
            let _ = self.archive_ready();
        }
        self.end(Ending::WhenDone);
    }

    fn end(&mut self, ending: Ending) {
        self.shared.state().ending = ending;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Drop for Archiver {
    fn drop(&mut self) {
        self.end(Ending::Now);
    }
}

impl Shared {
    fn run(&self) {
        let mut attempts = 0;
        loop {
            let ending = self.state().ending;
            let next = self.next();
            let pause = match next {
                Ok(Some(name)) => match self.archive_and_note(name) {
                    Ok(()) => {
                        attempts = 0;
                        Duration::ZERO
                    }
                    Err(_) => {
                        attempts += 1;
                        if attempts % ATTEMPTS == 0 { PAUSE } else { BETWEEN_ATTEMPTS }
                    }
                },
                Ok(None) => PAUSE,
                Err(error) => {
                    self.note_failure("archive_status".to_owned(), error.to_string());
                    PAUSE
                }
            };
            let failed = attempts > 0;
            if ending == Ending::WhenDone && !pause.is_zero() {
                return;
            }
            // New work ends a pause for want of work; after a failure only time does.
            let reason =
                |state: &State| state.has_work && !failed || state.ending == Ending::WhenDone;
            if self.wait(pause, reason) == Ending::Now {
                return;
            }
        }
    }

    /// Waits until there is a reason, the time is over or the thread is to end at once; gives when it is to end.
    fn wait(&self, time: Duration, reason: impl Fn(&State) -> bool) -> Ending {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| {
            state.ending != Ending::Now && !reason(state)
        });
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.ending
    }

    fn note_failure(&self, name: String, why: String) {
        let mut state = self.state();
        state.status.failed += 1;
        state.status.last_failure = Some((name, why));
    }

    /// The next file to archive: a history file, or else the oldest segment.
    fn next(&self) -> io::Result<Option<String>> {
        self.state().has_work = false;
        let entries = self.disk().list(&self.marks())?;
        let names = entries.into_iter().filter_map(|entry| entry.name.into_string().ok());
        let ready = names.filter_map(|name| name.strip_suffix(".ready").map(str::to_owned));
        Ok(ready.min_by_key(|name| (!name.ends_with(".history"), name.clone())))
    }

    /// One attempt, and what came of it for who asks.
    fn archive_and_note(&self, name: String) -> io::Result<()> {
        let archived = self.archive(&name);
        match &archived {
            Ok(()) => {
                let mut state = self.state();
                state.status.archived += 1;
                state.status.last_archived = Some(name);
            }
            Err(error) => self.note_failure(name, error.to_string()),
        }
        archived
    }

    fn archive(&self, name: &str) -> io::Result<()> {
        let path = self.files.directory().join(name);
        match &self.to {
            ArchiveTo::Command(command) => self.run_command(command, &path, name)?,
            ArchiveTo::Directory(directory) => copy(&**self.disk(), &path, directory, name)?,
        }
        self.disk().rename(&self.mark(name, "ready"), &self.mark(name, "done"))?;
        self.disk().sync_directory(&self.marks())
    }

    fn run_command(&self, command: &str, path: &Path, name: &str) -> io::Result<()> {
        let command = filled_in(command, path, name);
        let mut child = Command::new("/bin/sh").arg("-c").arg(&command).spawn()?;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if self.wait(COMMAND_TURN, |_| false) == Ending::Now {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(io::ErrorKind::Interrupted, "the log is being closed"));
            }
        };
        match ExitStatus::success(&status) {
            true => Ok(()),
            false => {
                Err(io::Error::other(format!("the archive command `{command}` gave {status}")))
            }
        }
    }

    fn mark_ready(&self, name: &str) -> Result<(), LogError> {
        let path = self.mark(name, "ready");
        let made = self.disk().open_for_writing(&path, Opening::CREATE);
        made.map_err(|error| LogError::stopped("create", &path, error))?;
        self.state().has_work = true;
        self.changed.notify_all();
        Ok(())
    }

    fn has_mark(&self, name: &str, mark: &str) -> Result<bool, LogError> {
        let path = self.mark(name, mark);
        self.disk().exists(&path).map_err(|error| LogError::stopped("look for", &path, error))
    }

    fn marks(&self) -> PathBuf {
        self.files.directory().join("archive_status")
    }

    fn mark(&self, name: &str, mark: &str) -> PathBuf {
        self.marks().join(format!("{name}.{mark}"))
    }

    fn disk(&self) -> &Arc<dyn Disk> {
        self.files.disk()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The command with path and name in the place of `%p` and `%f`.
fn filled_in(command: &str, path: &Path, name: &str) -> String {
    let mut filled = String::new();
    let mut rest = command.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            filled.push(character);
            continue;
        }
        match rest.next() {
            Some('p') => filled += &path.display().to_string(),
            Some('f') => filled += name,
            Some('%') => filled.push('%'),
            // As PostgreSQL 15 does: what is no placeholder stays.
            Some(other) => filled.extend(['%', other]),
            None => filled.push('%'),
        }
    }
    filled
}

/// Copies a file into the archive, durably.
fn copy(disk: &dyn Disk, path: &Path, directory: &Path, name: &str) -> io::Result<()> {
    let source = disk.open(path)?;
    let target = directory.join(name);
    match disk.open(&target) {
        Ok(there) if is_equal(&*source, &*there)? => return disk.sync_directory(directory),
        Ok(_) => {
            let what = format!("{} is there with other bytes", target.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let temporary = directory.join(format!("{name}.tmp"));
    let copy = disk.open_for_writing(&temporary, Opening::CREATE)?;
    copy.set_length(0)?;
    let mut at = 0;
    for_each_block(&*source, |block| {
        copy.write_at(block, at)?;
        at += block.len() as u64;
        Ok(true)
    })?;
    copy.sync_all()?;
    drop(copy);
    disk.rename(&temporary, &target)?;
    disk.sync_directory(directory)
}

fn is_equal(one: &dyn DiskFile, other: &dyn DiskFile) -> io::Result<bool> {
    if one.length()? != other.length()? {
        return Ok(false);
    }
    let mut at = 0;
    let mut second = Vec::new();
    for_each_block(one, |block| {
        second.resize(block.len(), 0);
        let count = other.read_at(&mut second, at)?;
        at += block.len() as u64;
        Ok(count == block.len() && second == block)
    })
}

/// Reads a file in blocks as long as `take` says so; whether it came to the end.
fn for_each_block(
    file: &dyn DiskFile,
    mut take: impl FnMut(&[u8]) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut block = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        let count = file.read_at(&mut block, at)?;
        if count == 0 {
            return Ok(true);
        }
        if !take(&block[..count])? {
            return Ok(false);
        }
        at += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let fill = |command| filled_in(command, Path::new("/d/pg_wal/A"), "A");
        assert_eq!(fill("cp %p /archive/%f"), "cp /d/pg_wal/A /archive/A");
        assert_eq!(fill("%%p %x %"), "%p %x %");
    }
}
