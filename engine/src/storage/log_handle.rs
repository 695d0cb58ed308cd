//! The log, before and after it can be written.
//!
//! Invariants: while no log is open, everything that a page or a transaction log can depend on comes from records that
//! recovery has read from the disk, where they are durable; so there is nothing to flush, and only whoever keeps the minimum
//! recovery point is told. Once a log is open it stays.
//! When it has stopped, no page is written any more, not even one that was changed before its record could be inserted.

use std::io;
use std::sync::OnceLock;

use base::Lsn;
use base::sync::Arc;
use wal::write::Log;

use crate::Error;
use crate::buffer::LogFlush;
use crate::slru::FlushLog;

/// The log, once it is open.
#[derive(Debug, Default)]
pub struct LogHandle {
    log: OnceLock<Log>,
    replay: OnceLock<Arc<dyn FlushLog>>,
}

impl LogHandle {
    /// Without a log yet.
    pub fn new() -> LogHandle {
        LogHandle::default()
    }

    /// Puts the log in.
    ///
    /// # Panics
    /// If there is one.
    pub fn open(&self, log: Log) {
        assert!(self.log.set(log).is_ok(), "a log is opened once");
    }

    /// Whom to tell of flushes while no log is open.
    pub(crate) fn tell(&self, replay: Arc<dyn FlushLog>) {
        // A second recovery in one process has a storage of its own.
        let _ = self.replay.set(replay);
    }

    /// The log, if it is open.
    #[inline]
    pub fn get(&self) -> Option<&Log> {
        self.log.get()
    }

    /// The log.
    ///
    /// # Panics
    /// If it is not open, as during recovery.
    #[inline]
    pub fn log(&self) -> &Log {
        self.log.get().expect("the log is open")
    }

    /// Gives the log back, to be closed.
    pub fn into_log(self) -> Option<Log> {
        self.log.into_inner()
    }
}

impl LogHandle {
    fn flush_checked(&self, upto: Lsn) -> Result<(), Error> {
        let Some(log) = self.get() else {
            return self.replay.get().map_or(Ok(()), |replay| replay.flush(upto));
        };
        log.check()?;
        Ok(log.flush(upto)?)
    }
}

impl FlushLog for LogHandle {
    fn flush(&self, upto: Lsn) -> Result<(), Error> {
        self.flush_checked(upto)
    }
}

impl LogFlush for Arc<LogHandle> {
    fn flush_to(&self, lsn: Lsn) -> io::Result<()> {
        self.flush_checked(lsn).map_err(io::Error::other)
    }
}
