//! Reading on other threads while the backend works on rows.
//!
//! ```text
//! workers   |stretch 2|stretch 4|...     parallel::scan: walk the log, check, filter, copy what passes
//!           |stretch 3|stretch 5|...
//! feeder    joins them in log order and hands them on, at most [`MOST_READY`] ahead
//! backend   takes parts,   and looks for cancellation while it waits
//! ```
//!
//! Invariants:
//! - every signal is blocked in these threads, which are the server's to handle, and they call no function of the
//!   server;
//! - when the [`ReadAhead`] is dropped, however that comes about, they have ended;
//! - memory is bounded by the parts in flight.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use base::Lsn;
use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::thread::{self, JoinHandle};
use base::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use wal::read::Position;
use wal::read::parallel::{Gather, ScanEnd, scan};
use wal::source::Segments;

use crate::server;

/// What is gathered of a stretch of log, and handed to the backend.
pub(crate) trait Part: Gather + Sync + 'static {
    /// An empty one, for the same.
    fn empty(&self) -> Self;
    /// Whether nothing that lies behind it is wanted.
    fn is_last(&self) -> bool;
}

/// Bytes of log for which it is worth starting threads.
pub(crate) const WORTH_THREADS: u64 = 4 * 1024 * 1024;

/// How many threads a query may have: as many as the processor runs, and not more than
/// `max_parallel_workers_per_gather`.
pub(crate) fn threads() -> usize {
    let available = thread::available_parallelism().map_or(1, usize::from);
    server::parallel_workers_per_gather().min(available)
}

/// Parts that wait for the backend.
const MOST_READY: usize = 1;

/// What the backend gets.
#[derive(Debug)]
pub(crate) enum Next<P> {
    /// The next part.
    Part(P),
    /// All parts were taken; this is why there are no more.
    End(ScanEnd),
    /// Nothing yet: time to look whether the query is cancelled.
    Waiting,
}

/// Threads that read on.
#[derive(Debug)]
pub(crate) struct ReadAhead<P> {
    shared: Arc<Shared<P>>,
    feeder: Option<JoinHandle<()>>,
}

/// What the feeder and the backend share.
#[derive(Debug)]
struct Shared<P> {
    state: Mutex<State<P>>,
    changed: Condvar,
    /// No more is wanted. Relaxed: it carries nothing, and who sleeps is woken under the lock.
    cancelled: AtomicBool,
}

#[derive(Debug)]
struct State<P> {
    ready: VecDeque<P>,
    /// Taken and worked off, to be filled again.
    spare: Vec<P>,
    end: Option<ScanEnd>,
    /// The feeder is gone.
    over: bool,
}

/// What is read.
#[derive(Debug, Clone)]
pub(crate) struct Task<P> {
    pub(crate) segments: Arc<dyn Segments>,
    /// Where the next record starts.
    pub(crate) from: Position,
    /// Nothing at or beyond this is read.
    pub(crate) end: Option<Lsn>,
    /// What is gathered: an empty part.
    pub(crate) like: P,
    /// Beside the feeder.
    pub(crate) threads: usize,
}

impl<P: Part> Shared<P> {
    fn new() -> Shared<P> {
        let (ready, spare) = (VecDeque::new(), Vec::new());
        Shared {
            state: Mutex::new(State { ready, spare, end: None, over: false }),
            changed: Condvar::new(),
            cancelled: AtomicBool::new(false),
        }
    }

    /// A panic elsewhere leaves the state whole: it is changed in single steps.
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a part on, when there is room, and leaves an empty one in its place.
    fn hand_on(&self, part: &mut P) -> ControlFlow<()> {
        let mut state = self.lock();
        loop {
            if self.cancelled.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            if state.ready.len() < MOST_READY {
                break;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let is_last = part.is_last();
        let empty = state.spare.pop().unwrap_or_else(|| part.empty());
        state.ready.push_back(std::mem::replace(part, empty));
        drop(state);
        self.changed.notify_all();
        if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Tells the backend that the feeder is gone, also after a panic.
struct OverOnDrop<'a, P: Part>(&'a Shared<P>);

impl<P: Part> Drop for OverOnDrop<'_, P> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_all();
    }
}

impl<P: Part> ReadAhead<P> {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system has none to give.
    pub(crate) fn start(task: Task<P>) -> io::Result<ReadAhead<P>> {
        let shared = Arc::new(Shared::new());
        let theirs = Arc::clone(&shared);
        let feed = move || {
            let _over = OverOnDrop(&theirs);
            let Task { segments, from, end, like, threads } = &task;
            let end =
                scan(segments, *from, *end, *threads, || like.empty(), |part| theirs.hand_on(part));
            theirs.lock().end = Some(end);
        };
        let name = "pgstrata read".to_owned();
        let feeder = with_signals_blocked(|| thread::Builder::new().name(name).spawn(feed))?;
        Ok(ReadAhead { shared, feeder: Some(feeder) })
    }

    /// Waits for the next part, some milliseconds at most.
    pub(crate) fn next(&mut self) -> Next<P> {
        const PATIENCE: Duration = Duration::from_millis(10);
        let mut state = self.shared.lock();
        if state.ready.is_empty() && !state.over {
            let waited = self.shared.changed.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(part) = state.ready.pop_front() {
            drop(state);
            self.shared.changed.notify_all();
            return Next::Part(part);
        }
        if !state.over {
            return Next::Waiting;
        }
        let end = state.end.take();
        drop(state);
        match (end, self.feeder.take().map(JoinHandle::join)) {
            (Some(end), _) => Next::End(end),
            (None, Some(Err(panic))) => std::panic::resume_unwind(panic),
            (None, _) => unreachable!("the end was taken before"),
        }
    }

    /// Gives a part back that has been worked off.
    pub(crate) fn give_back(&self, mut part: P) {
        part.clear();
        self.shared.lock().spare.push(part);
    }
}

impl<P> Drop for ReadAhead<P> {
    fn drop(&mut self) {
        let state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.cancelled.store(true, Ordering::Relaxed);
        drop(state);
        self.shared.changed.notify_all();
        if let Some(feeder) = self.feeder.take() {
            // Its panic, if it had one, is of no use to anybody any more.
            let _ = feeder.join();
        }
    }
}

/// Runs `start` with every signal blocked; the threads that it starts keep it so, and their own threads, too.
#[expect(unsafe_code)]
fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are locals of the right type; `before` is written by the first call of pthread_sigmask, which
    // fails only for an unknown first argument.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let started = start();
    // SAFETY: as above; `before` has been written.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
    }
    started
}
