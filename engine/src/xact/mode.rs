//! The snapshot modes: by list, by commit timestamp, and both at once.
//!
//! | mode | snapshot | shown to who removes versions | publishing a commit |
//! |---|---|---|---|
//! | classic | the list of who runs | xmin in the process array | leaving that array |
//! | commit timestamp | a point of time | start in `Advertised` | a stamp in the table of timestamps |
//! | mirror | both, taken at one moment | both | both, with snapshots kept out |
//!
//! Invariants: timestamps come from one clock, strictly increasing, whatever the mode, so that `pg_commit_ts` tells the
//! order of commits. In mirror mode each question is answered twice, and two answers that differ are a panic: for tests.
//! A commit holds [`Time::committing`] from its timestamp to its end, and the mirror takes snapshots only when nobody
//! does.

use std::collections::HashSet;
use std::fmt;

use base::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use base::{CommandId, FullXid, TimestampTz, Xid};
use procarray::{Advertised, Backend, ProcNumber};
use snapshot::commit_ts::clock::{HybridClock, SystemClock, WallClock};
use snapshot::commit_ts::publish::{ByMarker, Publication};
use snapshot::commit_ts::{CommitTimestamps, CommitTsHorizon, CommitTsSnapshot, OutOfWindow};
use snapshot::satisfies::{MvccSnapshot, Outcome, RemovalHorizon};
use snapshot::source::oldest_start_ts;
use snapshot::{ClassicSnapshot, CommitTsSource, Contents, ExportedSnapshot, SnapshotSource};

use super::status::SessionStatus;
use crate::Error;
use crate::planted::{self, Bug};
use crate::prepared::PreparedError;
use crate::prepared::payload::TwoPhaseState;
use crate::slru::Status;
use crate::storage::Storage;

/// How many transactions the table of commit timestamps has room for: 8 bytes each.
const TABLE_CAPACITY: u64 = 1 << 20;

/// How an engine decides who sees what; chosen when it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SnapshotMode {
    /// By the list of who was running, as PostgreSQL does.
    #[default]
    Classic,
    /// By commit timestamp. The data directory must keep commit timestamps.
    CommitTs,
    /// Both, and a panic where they disagree: for tests.
    Mirror,
}

/// Where the engine gets the time from: the system's clock, or a test's own.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn WallClock>);

impl Default for Clock {
    fn default() -> Clock {
        Clock(Arc::new(SystemClock))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}

impl WallClock for Clock {
    fn now(&self) -> TimestampTz {
        self.0.now()
    }
}

/// What a mode keeps.
#[derive(Debug)]
pub(crate) struct Time {
    pub(crate) mode: SnapshotMode,
    /// Whether `pg_commit_ts` is kept.
    pub(crate) is_logged: bool,
    pub(crate) clock: Clock,
    /// Timestamps are drawn here.
    publication: ByMarker<Clock>,
    table: CommitTimestamps,
    advertised: Advertised,
    /// Held shared by who commits, and exclusively by who takes a snapshot, in mirror mode.
    mirror: RwLock<()>,
}

/// A snapshot of one of the modes.
#[derive(Debug, Clone)]
pub(crate) enum ModeSnapshot<'e> {
    Classic(ClassicSnapshot),
    CommitTs(CommitTsSnapshot<'e>),
    Mirror(ClassicSnapshot, CommitTsSnapshot<'e>),
}

/// From where on somebody may still see what ended, in one of the modes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ModeHorizon<'e> {
    Classic(Xid),
    CommitTs(CommitTsHorizon<'e>),
    Mirror(Xid, CommitTsHorizon<'e>),
}

impl Time {
    /// For a process array of so many slots. No timestamp was drawn after `last` before. The table takes in what
    /// `pg_commit_ts` and `pg_xact` have of the ids around the next one, and from the oldest prepared transaction on.
    pub(crate) fn start(
        storage: &Storage,
        mode: SnapshotMode,
        clock: &Clock,
        last: Option<TimestampTz>,
        slots: u32,
        next: FullXid,
        prepared: &[TwoPhaseState],
    ) -> Result<Time, Error> {
        let is_logged = storage.directory.control().data().track_commit_timestamp;
        let has_table = mode != SnapshotMode::Classic;
        if has_table && !is_logged {
            return Err(Error::NoCommitTimestamps);
        }
        let capacity = if has_table { TABLE_CAPACITY } else { 1 };
        let prepared = if has_table { prepared } else { &[] };
        let ids: Vec<_> = prepared.iter().map(|state| state.full_ids(next)).collect();
        let running: HashSet<FullXid> = ids
            .iter()
            .flat_map(|(xid, children)| std::iter::once(xid).chain(children))
            .copied()
            .collect();
        let oldest = ids.iter().map(|(xid, _)| *xid).fold(next, FullXid::min);
        let age = next.0 - oldest.0;
        // Half of it is for those who come.
        if age > TABLE_CAPACITY / 2 {
            let (xid, most) = (oldest.xid(), TABLE_CAPACITY / 2);
            return Err(PreparedError::TooOld { xid, age, most }.into());
        }
        let table = CommitTimestamps::new(capacity, oldest);
        let mut ended = Vec::new();
        let mut last = last.unwrap_or(TimestampTz(0));
        let mut xid = table.oldest();
        // What is older may be cut off.
        let first = storage.ids.lock().oldest_commit_timestamp_xid;
        let is_there = |xid: Xid| !first.is_invalid() && !xid.precedes(first);
        while is_logged && xid < next {
            if xid.xid().is_normal() {
                let committed = storage.clog.status(xid.xid())?.0 == Status::Committed;
                let is_there = committed && is_there(xid.xid());
                let entry = if is_there { storage.commit_ts.get(xid.xid())? } else { None };
                let time = entry.map(|entry| entry.time);
                last = last.max(time.unwrap_or(last));
                ended.push((xid, committed, time));
            }
            xid = FullXid(xid.0 + 1);
        }
        let publication = ByMarker::new(HybridClock::new(clock.clone(), last));
        for (xid, committed, time) in ended {
            if running.contains(&xid) {
                continue;
            }
            // A commit of a time when timestamps were not kept came before all snapshots, as any other.
            if committed {
                publication.publish(&table, xid, &[], time.unwrap_or(TimestampTz(1)));
            } else {
                table.abort(xid, &[]);
            }
        }
        for (state, (xid, children)) in prepared.iter().zip(&ids) {
            children.iter().try_for_each(|child| table.begin_child(*child, *xid))?;
            table.prepare(*xid, state.prepared_at);
        }
        let advertised = Advertised::new(slots as usize);
        let mirror = RwLock::new(());
        let clock = clock.clone();
        Ok(Time { mode, is_logged, clock, publication, table, advertised, mirror })
    }

    /// The table, in a mode that decides by it alone.
    pub(crate) fn deciding_table(&self) -> Option<&CommitTimestamps> {
        (self.mode == SnapshotMode::CommitTs).then_some(&self.table)
    }

    /// Takes a snapshot into the memory of an earlier one, and shows it.
    pub(crate) fn take<'e>(
        &'e self,
        backend: &mut Backend,
        snapshot: &mut Option<ModeSnapshot<'e>>,
        curcid: CommandId,
    ) {
        let by_time = |backend: &Backend, into: &mut CommitTsSnapshot<'e>| {
            self.source(backend).take(into, curcid);
        };
        match (self.mode, &mut *snapshot) {
            (SnapshotMode::Classic, Some(ModeSnapshot::Classic(classic))) => {
                SnapshotSource::take(backend, classic, curcid);
            }
            (SnapshotMode::Classic, _) => {
                let mut classic = ClassicSnapshot::default();
                SnapshotSource::take(backend, &mut classic, curcid);
                *snapshot = Some(ModeSnapshot::Classic(classic));
            }
            (SnapshotMode::CommitTs, _) => {
                let mut point = self.source(backend).blank();
                by_time(backend, &mut point);
                *snapshot = Some(ModeSnapshot::CommitTs(point));
            }
            (SnapshotMode::Mirror, _) => {
                let _nobody_commits = self.mirror.write().unwrap_or_else(PoisonError::into_inner);
                let mut classic = ClassicSnapshot::default();
                SnapshotSource::take(backend, &mut classic, curcid);
                let mut point = self.source(backend).blank();
                by_time(backend, &mut point);
                *snapshot = Some(ModeSnapshot::Mirror(classic, point));
            }
        }
    }

    /// Whether snapshots have a start.
    pub(crate) fn is_by_time(&self) -> bool {
        self.mode != SnapshotMode::Classic
    }

    /// Makes a snapshot that a session `from` has exported this one's own, and shows it; `None` if that one has it in use no
    /// longer. It has a start where the mode needs one. This session shows nothing yet.
    pub(crate) fn import<'e>(
        &'e self,
        backend: &mut Backend,
        exported: &ExportedSnapshot,
        from: ProcNumber,
    ) -> Option<ModeSnapshot<'e>> {
        let Contents { xmin, xmax, .. } = exported.contents;
        let by_time = |backend: &Backend| {
            let start = exported.start_ts?;
            let is_held = self.source(backend).take_over(start, from);
            is_held.then(|| CommitTsSnapshot::as_of(&self.table, start, xmin, xmax, 0))
        };
        if self.mode == SnapshotMode::CommitTs {
            return by_time(backend).map(ModeSnapshot::CommitTs);
        }
        let bound = backend.array().latest_completed().nearest(xmin);
        if !SnapshotSource::take_over(backend, bound, from) {
            return None;
        }
        let classic = ClassicSnapshot::new(exported.contents.clone(), 0);
        if self.mode == SnapshotMode::Classic {
            return Some(ModeSnapshot::Classic(classic));
        }
        let point = by_time(backend);
        if point.is_none() {
            SnapshotSource::advance(backend, None);
        }
        point.map(|point| ModeSnapshot::Mirror(classic, point))
    }

    /// Shows nothing any more, while the transaction goes on: none of its snapshots is in use.
    pub(crate) fn release_snapshot(&self, backend: &mut Backend) {
        if self.mode != SnapshotMode::CommitTs {
            backend.clear_xmin();
        }
        self.release(backend);
    }

    /// Shows nothing any more: the transaction has no snapshot in use. The process array's xmin goes with the
    /// transaction's end.
    pub(crate) fn release(&self, backend: &Backend) {
        if self.is_by_time() {
            self.source(backend).advance(None);
        }
    }

    fn source<'a, 'e>(&'e self, backend: &'a Backend) -> CommitTsSource<'a, 'e, ByMarker<Clock>> {
        let Time { table, publication, advertised, .. } = self;
        CommitTsSource { backend, table, publication, advertised }
    }

    /// Before whose end everybody's snapshots were taken.
    pub(crate) fn horizon<'e>(&'e self, backend: &Backend) -> ModeHorizon<'e> {
        let xid = || backend.horizons().data.xid.xid();
        let by_time = || CommitTsHorizon {
            table: &self.table,
            oldest_start_ts: oldest_start_ts(&self.advertised, &self.publication),
        };
        match self.mode {
            SnapshotMode::Classic => ModeHorizon::Classic(xid()),
            SnapshotMode::CommitTs => ModeHorizon::CommitTs(by_time()),
            SnapshotMode::Mirror => ModeHorizon::Mirror(xid(), by_time()),
        }
    }

    /// The id before which everybody has ended, and ended before all snapshots in use were taken; `next` is the next id.
    pub(crate) fn oldest_xmin(&self, backend: &Backend, next: FullXid) -> Xid {
        let by_list = backend.horizons().data.xid;
        let by_time = || {
            let oldest = oldest_start_ts(&self.advertised, &self.publication);
            self.table.truncation_horizon(oldest, next)
        };
        match self.mode {
            SnapshotMode::Classic => by_list.xid(),
            SnapshotMode::CommitTs | SnapshotMode::Mirror => by_list.min(by_time()).xid(),
        }
    }

    /// Where a snapshot by time would start that is taken now.
    pub(crate) fn moment(&self) -> TimestampTz {
        self.publication.start_ts()
    }

    /// The moment that no snapshot by time in use was taken before; `None` where there are none of those.
    pub(crate) fn oldest_moment(&self) -> Option<TimestampTz> {
        self.is_by_time().then(|| oldest_start_ts(&self.advertised, &self.publication))
    }

    /// Whether an id that is about to be given out has a slot.
    pub(crate) fn check(&self, xid: FullXid) -> Result<(), OutOfWindow> {
        if self.is_by_time() { self.table.check(xid) } else { Ok(()) }
    }

    /// Gives up the slots that no snapshot in use asks for; `next` is the next id. One caller at a time.
    pub(crate) fn truncate(&self, next: FullXid) {
        let oldest = oldest_start_ts(&self.advertised, &self.publication);
        self.table.truncate(self.table.truncation_horizon(oldest, next));
    }

    /// Keeps the mirror's snapshots out until a commit is over.
    pub(crate) fn committing(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let is_mirror = self.mode == SnapshotMode::Mirror;
        is_mirror.then(|| self.mirror.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The timestamp of a commit whose record is about to be written.
    pub(crate) fn draw(&self, xid: FullXid) -> TimestampTz {
        match self.mode {
            SnapshotMode::Classic => self.publication.draw(&self.table, FullXid(0)),
            _ => self.publication.draw(&self.table, xid),
        }
    }

    /// Publishes a commit whose record is durable, with its subtransactions, in ascending order.
    pub(crate) fn publish(&self, xid: FullXid, children: &[FullXid], timestamp: TimestampTz) {
        if self.is_by_time() {
            let past = if planted::has(Bug::TimestampFromThePast) { 5000 } else { 0 };
            self.publication.publish(&self.table, xid, children, TimestampTz(timestamp.0 - past));
        }
    }

    /// Says that a transaction aborted, or a subtransaction alone, with the subtransactions under it.
    pub(crate) fn abort(&self, xid: FullXid, children: &[FullXid]) {
        if self.is_by_time() {
            self.table.abort(xid, children);
        }
    }

    /// Says that a transaction was prepared; its subtransactions stay its own.
    pub(crate) fn prepare(&self, xid: FullXid, at: TimestampTz) {
        if self.is_by_time() {
            self.table.prepare(xid, at);
        }
    }

    /// Says whose subtransaction an id is that is about to be given out.
    pub(crate) fn begin_child(&self, xid: FullXid, parent: FullXid) -> Result<(), Error> {
        if self.is_by_time() {
            self.table.begin_child(xid, parent)?;
        }
        Ok(())
    }

    /// Has readers that wait for a commit in doubt look whether they were cancelled.
    pub(crate) fn wake_waiting(&self) {
        self.table.wake_waiting();
    }
}

impl ModeSnapshot<'_> {
    /// Where it is a point of time, that.
    pub(crate) fn start_ts(&self) -> Option<TimestampTz> {
        match self {
            ModeSnapshot::Classic(_) => None,
            ModeSnapshot::CommitTs(point) | ModeSnapshot::Mirror(_, point) => {
                Some(point.start_ts())
            }
        }
    }

    /// The same snapshot at another command of its transaction.
    pub(crate) fn set_curcid(&mut self, curcid: CommandId) {
        match self {
            ModeSnapshot::Classic(classic) => classic.set_curcid(curcid),
            ModeSnapshot::CommitTs(point) => point.set_curcid(curcid),
            ModeSnapshot::Mirror(classic, point) => {
                classic.set_curcid(curcid);
                point.set_curcid(curcid);
            }
        }
    }
}

impl MvccSnapshot<SessionStatus<'_>> for ModeSnapshot<'_> {
    fn curcid(&self) -> CommandId {
        match self {
            ModeSnapshot::Classic(classic) | ModeSnapshot::Mirror(classic, _) => {
                MvccSnapshot::<SessionStatus<'_>>::curcid(classic)
            }
            ModeSnapshot::CommitTs(point) => MvccSnapshot::<SessionStatus<'_>>::curcid(point),
        }
    }

    #[inline]
    fn outcome(
        &self,
        xid: Xid,
        known_committed: bool,
        status: &SessionStatus<'_>,
    ) -> Result<Outcome, Error> {
        let planted = |outcome| match outcome {
            Outcome::Running if planted::has(Bug::DirtyRead) => Outcome::Committed,
            Outcome::Aborted if planted::has(Bug::AbortedIsSeen) => Outcome::Committed,
            outcome => outcome,
        };
        match self {
            ModeSnapshot::Classic(classic) => {
                classic.outcome(xid, known_committed, status).map(planted)
            }
            ModeSnapshot::CommitTs(point) => {
                point.outcome(xid, known_committed, status).map(planted)
            }
            ModeSnapshot::Mirror(classic, point) => {
                let by_list = classic.outcome(xid, known_committed, status)?;
                let by_time = point.outcome(xid, known_committed, status)?;
                // Who aborted since is running to the one and aborted to the other: invisible to both.
                assert_eq!(
                    by_list == Outcome::Committed,
                    by_time == Outcome::Committed,
                    "transaction {xid}: {by_list:?} by list, {by_time:?} by commit timestamp"
                );
                Ok(by_list)
            }
        }
    }
}

impl RemovalHorizon for ModeHorizon<'_> {
    fn is_removable(&self, ender: Xid) -> bool {
        if planted::has(Bug::RemovedTooEarly) {
            return true;
        }
        match self {
            ModeHorizon::Classic(xid) => xid.is_removable(ender),
            ModeHorizon::CommitTs(point) => point.is_removable(ender),
            // Both kinds of snapshots are in use.
            ModeHorizon::Mirror(xid, point) => xid.is_removable(ender) && point.is_removable(ender),
        }
    }
}
