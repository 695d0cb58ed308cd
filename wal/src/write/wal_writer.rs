//! The WAL writer: a thread that flushes what nobody waits for.
//!
//! Each time it wakes it flushes the whole pages that are finished, if there are many of them or the last
//! flush is a delay ago; else what asynchronous commits want. So such a commit is durable after three delays
//! at the most: one until its page is looked at, one until that is old enough, one while it is not whole.
//! (PostgreSQL: `XLogBackgroundFlush`.) It also makes the next segment's file when the current one is half full.
//!
//! Invariant: the thread ends when the [`WalWriter`] is dropped, or when the log is stopped.

use std::time::{Duration, Instant};

use base::Lsn;
use base::sync::atomic::Ordering::Relaxed;
use base::sync::{Arc, Condvar, Mutex, PoisonError, thread};

use super::layout::Layout;
use super::log::Core;

/// The thread, and how to wake it.
#[derive(Debug)]
pub(super) struct WalWriter {
    bell: Arc<Bell>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Bell {
    state: Mutex<Ring>,
    rings: Condvar,
}

#[derive(Debug, Default)]
struct Ring {
    is_rung: bool,
    ends: bool,
}

impl WalWriter {
    pub(super) fn start(core: &Arc<Core>, delay: Duration, flush_after: u64) -> WalWriter {
        let bell = Arc::new(Bell::default());
        let thread = {
            let (core, bell) = (Arc::clone(core), Arc::clone(&bell));
            thread::spawn(move || {
                let mut last_flush = Instant::now();
                while bell.wait(delay) {
                    // A stopped log has told whoever asked; here is nobody to tell.
                    match work(&core, delay, flush_after, last_flush) {
                        Ok(true) => last_flush = Instant::now(),
                        Ok(false) => {}
                        Err(_) => break,
                    }
                }
            })
        };
        WalWriter { bell, thread: Some(thread) }
    }

    /// There is more to flush than should wait for the delay.
    pub(super) fn wake(&self) {
        self.bell.ring(false);
    }
}

impl Drop for WalWriter {
    fn drop(&mut self) {
        self.bell.ring(true);
        if let Some(thread) = self.thread.take() {
            // It has no result, and a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

impl Bell {
    fn ring(&self, ends: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_rung = true;
        state.ends |= ends;
        self.rings.notify_one();
    }

    /// Whether to go on, after a delay or a ring.
    fn wait(&self, delay: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.rings.wait_timeout_while(state, delay, |state| !state.is_rung);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_rung = false;
        !state.ends
    }
}

/// One turn; whether it flushed.
fn work(
    core: &Core,
    delay: Duration,
    flush_after: u64,
    last_flush: Instant,
) -> Result<bool, super::LogError> {
    core.buffers.check()?;
    let flushed = core.group.flushed();
    let whole_pages = Layout::page_of(core.buffers.finished());
    let size = core.files.size();
    if size.offset_of(core.buffers.end()) > size.bytes() / 2 {
        // Where this does not work, whoever needs the segment finds out.
        let _ = core.prepare_next_segment();
    }
    let is_due = whole_pages.bytes_since(flushed) >= flush_after || last_flush.elapsed() >= delay;
    let target = if whole_pages > flushed && is_due {
        whole_pages
    } else {
        Lsn(core.wanted.load(Relaxed)).min(core.buffers.end())
    };
    if target <= flushed {
        return Ok(false);
    }
    core.flush(target)?;
    Ok(true)
}
