//! The log in stretches, read on several threads and joined in order.
//!
//! A stretch is a range of pages; a worker starts at its first page, passes over the rest of a record from
//! before, and reads every record that starts within the range. The results are handed on in log order, and
//! only after the seam is checked: the stretch must have begun exactly where the one before it ended, its
//! first prev-link must name the last record there, and timelines must not go back. Where a seam does not
//! hold, or a stretch stopped, it is read again in order from where the one before it ended. So:
//!
//! Invariant: what is handed on, and the reason for stopping, is what one [`RecordReader`] would have found;
//! guessing where records start decides only how fast it goes.
//!
//! Memory: at most [`Gather::AHEAD`] results wait for each thread, and [`MOST_AHEAD`] in all.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use base::sync::atomic::{AtomicBool, Ordering};
use base::sync::{Arc, Condvar, Mutex, MutexGuard, thread};
use base::{Lsn, PAGE_SIZE};

use super::{Position, RecordReader, Stop};
use crate::record::Record;
use crate::source::Segments;

/// Results that may be made ahead for all threads together: a stretch of small records is 14 MB of JSON.
const MOST_AHEAD: u64 = 12;

/// What a worker gathers from the records of a stretch.
pub trait Gather: Send {
    /// Length of a stretch in bytes, a power of two and no less than a page: what is gathered of one is a result.
    const STRETCH: u64 = 2 * 1024 * 1024;
    /// Results that may be made ahead of the one that is handed on next, for each thread.
    const AHEAD: u64 = 3;

    /// Takes a record in. Records of a stretch come in order.
    fn record(&mut self, record: &Record<'_>);
    /// Reads one record or more, and takes them in; gives the prev-link of the first. Who only counts reads
    /// with [`RecordReader::next_outlines`].
    ///
    /// # Errors
    /// Why no record was read.
    fn read_from(&mut self, reader: &mut RecordReader) -> Result<Lsn, Stop> {
        let record = reader.next_record()?;
        self.record(&record);
        Ok(record.previous())
    }
    /// Back to what it was before the first record.
    fn clear(&mut self);
}

/// How a scan ended.
#[derive(Debug)]
pub struct ScanEnd {
    /// Why no more was read; `None` if the sink wanted no more.
    pub stop: Option<Stop>,
    /// Where reading stood then.
    pub position: Position,
    /// The record that was being put together from several pages, if it was.
    pub aborted_record: Option<Lsn>,
}

/// Reads all records from `start`, which is a position where a record starts, up to `end` or to the
/// log's end, on `threads` threads. Each stretch's records are gathered in a `G` (made by `make`, used
/// again and again), and given to `sink` in log order.
pub fn scan<G: Gather>(
    segments: &Arc<dyn Segments>,
    start: Position,
    end: Option<Lsn>,
    threads: usize,
    make: impl Fn() -> G + Sync,
    mut sink: impl FnMut(&mut G) -> ControlFlow<()>,
) -> ScanEnd {
    const { assert!(G::STRETCH.is_multiple_of(PAGE_SIZE as u64) && G::STRETCH.is_power_of_two()) };
    let mut joiner = Joiner {
        reader: reader(segments, end),
        position: start,
        aborted_record: None,
        spare: None,
        make: &make,
    };
    if threads <= 1 {
        return joiner.in_order(&mut sink);
    }
    // The first stretch is read in order: its first prev-link cannot be checked against a record before,
    // and where it stops no threads are needed.
    joiner.reader.resume(start);
    let ahead = (G::AHEAD * threads as u64).min(MOST_AHEAD);
    let ahead = segments.read_span().map_or(ahead, |span| ahead.min(span / G::STRETCH).max(1));
    let plan = Plan { segments, end, first: start.next, stretch: G::STRETCH, ahead };
    if let ControlFlow::Break(stop) = joiner.read_to(plan.start_of(1), &mut sink) {
        return joiner.end(stop);
    }
    let shared = Shared::new();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // A worker that panics must not leave the joiner waiting.
                let guard = EndOnDrop(&shared);
                plan.work(&shared, &make);
                std::mem::forget(guard);
            });
        }
        let guard = EndOnDrop(&shared);
        let scan_end = joiner.join(&plan, &shared, &mut sink);
        drop(guard);
        scan_end
    })
}

fn reader(segments: &Arc<dyn Segments>, end: Option<Lsn>) -> RecordReader {
    let mut reader = RecordReader::new(Arc::clone(segments));
    reader.set_end(end);
    reader
}

/// Which stretches there are.
struct Plan<'a> {
    segments: &'a Arc<dyn Segments>,
    end: Option<Lsn>,
    /// Where the first stretch begins, which is read before the others are begun.
    first: Lsn,
    /// Their length in bytes.
    stretch: u64,
    /// How many stretches may be read ahead of the one handed on next.
    ahead: u64,
}

/// A stretch as a worker found it.
struct Stretch<G> {
    gathered: G,
    /// Where its first record starts.
    begin: Lsn,
    /// Whether its first page begins with the rest of a record.
    continues: bool,
    /// Prev-link of its first record; `None` if no record starts in it.
    first_link: Option<Lsn>,
    /// Timeline on its first page.
    first_timeline: u32,
    /// Where it ended, if it did not stop before.
    after: Option<Position>,
}

/// What workers and joiner share.
struct Shared<G> {
    state: Mutex<State<G>>,
    changed: Condvar,
    /// No more is wanted.
    ended: AtomicBool,
}

struct State<G> {
    /// The next stretch that nobody has begun.
    next: u64,
    /// The stretch that is to be handed on next.
    wanted: u64,
    done: BTreeMap<u64, Stretch<G>>,
    spare: Vec<G>,
}

impl<G> Shared<G> {
    fn new() -> Shared<G> {
        Shared {
            state: Mutex::new(State {
                next: 1,
                wanted: 1,
                done: BTreeMap::new(),
                spare: Vec::new(),
            }),
            changed: Condvar::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// A panic elsewhere leaves the state whole: it is changed in single steps.
    fn lock(&self) -> MutexGuard<'_, State<G>> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<G>>) -> MutexGuard<'a, State<G>> {
        self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Set and read under the lock, so that nobody falls asleep past it; Relaxed suffices for the look
    /// without it, which only saves work.
    fn end(&self) {
        let state = self.lock();
        self.ended.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

struct EndOnDrop<'a, G>(&'a Shared<G>);

impl<G> Drop for EndOnDrop<'_, G> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Plan<'_> {
    /// Where stretch `index` begins, from 1 on.
    fn start_of(&self, index: u64) -> Lsn {
        // Stretches end at multiples of their length, so that none spans two segments; the last one ends
        // with the address space.
        let stretch = self.stretch;
        let within = index.checked_mul(stretch).and_then(|length| self.first.checked_add(length));
        within.map_or(Lsn(u64::MAX), |within| Lsn(within.0 / stretch * stretch))
    }

    fn work<G: Gather>(&self, shared: &Shared<G>, make: &impl Fn() -> G) {
        let mut reader = reader(self.segments, self.end);
        loop {
            let mut state = shared.lock();
            let (index, gathered) = loop {
                if shared.has_ended() {
                    return;
                }
                if state.next < state.wanted + self.ahead {
                    state.next += 1;
                    break (state.next - 1, state.spare.pop());
                }
                state = shared.wait(state);
            };
            drop(state);
            let gathered = gathered.unwrap_or_else(make);
            let stretch = self.read(&mut reader, index, gathered, shared);
            shared.lock().done.insert(index, stretch);
            shared.changed.notify_all();
        }
    }

    fn read<G: Gather>(
        &self,
        reader: &mut RecordReader,
        index: u64,
        gathered: G,
        shared: &Shared<G>,
    ) -> Stretch<G> {
        let (start, end) = (self.start_of(index), self.start_of(index + 1));
        let mut stretch = Stretch {
            gathered,
            begin: start,
            continues: false,
            first_link: None,
            first_timeline: 0,
            after: None,
        };
        reader.set_read_ahead_end(Some(end));
        reader.resume(Position::jump_to(start));
        let Ok((begin, first)) = reader.first_start(start) else { return stretch };
        stretch.begin = begin;
        stretch.continues = first.continues_record();
        stretch.first_timeline = first.timeline;
        reader.resume(Position::jump_to(begin));
        while reader.position().next < end && !shared.has_ended() {
            let Ok(link) = stretch.gathered.read_from(reader) else { return stretch };
            stretch.first_link.get_or_insert(link);
        }
        stretch.after = Some(reader.position());
        stretch
    }
}

/// Hands on what was gathered, in log order.
struct Joiner<'a, G, M: Fn() -> G> {
    reader: RecordReader,
    position: Position,
    aborted_record: Option<Lsn>,
    spare: Option<G>,
    make: &'a M,
}

impl<G: Gather, M: Fn() -> G> Joiner<'_, G, M> {
    fn in_order(&mut self, sink: &mut impl FnMut(&mut G) -> ControlFlow<()>) -> ScanEnd {
        self.reader.resume(self.position);
        loop {
            let end = Lsn((self.position.next.0 / G::STRETCH + 1).saturating_mul(G::STRETCH));
            if let ControlFlow::Break(stop) = self.read_to(end, sink) {
                return self.end(stop);
            }
        }
    }

    /// Reads up to the first record at or beyond `end`, and hands on what it gathered. The reader stands
    /// at the position.
    fn read_to(
        &mut self,
        end: Lsn,
        sink: &mut impl FnMut(&mut G) -> ControlFlow<()>,
    ) -> ControlFlow<Option<Stop>> {
        let mut gathered = self.spare.take().unwrap_or_else(self.make);
        let mut stop = None;
        while self.reader.position().next < end {
            if let Err(error) = gathered.read_from(&mut self.reader) {
                stop = Some(error);
                break;
            }
        }
        self.position = self.reader.position();
        self.aborted_record = self.reader.aborted_record();
        let wants_more = sink(&mut gathered).is_continue();
        gathered.clear();
        self.spare = Some(gathered);
        match stop {
            Some(stop) => ControlFlow::Break(Some(stop)),
            None if wants_more => ControlFlow::Continue(()),
            None => ControlFlow::Break(None),
        }
    }

    fn end(&self, stop: Option<Stop>) -> ScanEnd {
        ScanEnd { stop, position: self.position, aborted_record: self.aborted_record }
    }

    fn join(
        &mut self,
        plan: &Plan<'_>,
        shared: &Shared<G>,
        sink: &mut impl FnMut(&mut G) -> ControlFlow<()>,
    ) -> ScanEnd {
        for index in 1.. {
            let mut state = shared.lock();
            let mut stretch = loop {
                if let Some(stretch) = state.done.remove(&index) {
                    break stretch;
                }
                if shared.has_ended() {
                    // A worker panicked; the scope passes that on.
                    return self.end(None);
                }
                state = shared.wait(state);
            };
            state.wanted = index + 1;
            drop(state);
            shared.changed.notify_all();

            let end = plan.start_of(index + 1);
            let next = self.hand_on(plan.start_of(index), end, &mut stretch, sink);
            stretch.gathered.clear();
            shared.lock().spare.push(stretch.gathered);
            if let ControlFlow::Break(stop) = next {
                return self.end(stop);
            }
        }
        self.end(None)
    }

    fn hand_on(
        &mut self,
        start: Lsn,
        end: Lsn,
        stretch: &mut Stretch<G>,
        sink: &mut impl FnMut(&mut G) -> ControlFlow<()>,
    ) -> ControlFlow<Option<Stop>> {
        if self.position.next >= end {
            return ControlFlow::Continue(()); // behind a switch, or inside a long record
        }
        let Some(after) = self.seam_holds(start, stretch) else {
            self.reader.resume(self.position);
            return self.read_to(end, sink);
        };
        let last = after.last.or(self.position.last);
        let timeline = after.timeline.max(self.position.timeline);
        self.position = Position { next: after.next, last, timeline };
        if sink(&mut stretch.gathered).is_break() {
            return ControlFlow::Break(None);
        }
        ControlFlow::Continue(())
    }

    /// Where the stretch ended, if it began where the log really goes on.
    fn seam_holds(&self, start: Lsn, stretch: &Stretch<G>) -> Option<Position> {
        let after = stretch.after?;
        let next = self.position.next;
        let same_start = next == stretch.begin || next == start && !stretch.continues;
        let linked = stretch.first_link.is_none_or(|link| Some(link) == self.position.last);
        let timeline_holds = stretch.first_timeline >= self.position.timeline;
        (same_start && linked && timeline_holds).then_some(after)
    }
}
