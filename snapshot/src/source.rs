//! Where a session's snapshots come from, and what the session shows of them to whoever removes versions.
//!
//! | mode | taken from | shown | where |
//! |---|---|---|---|
//! | classic | the dense arrays, under the shared lock, or without it while nobody has ended | xmin | the session's slot in the process array |
//! | commit timestamp | the publication's clock | `start_ts` | the session's position in [`Advertised`] |
//!
//! Invariants: a snapshot in use is at or above what its session shows; what is shown moves forward alone
//! until nothing is shown; a horizon never passes it (`procarray::advertise`, `procarray::running`).

use std::fmt;

use base::{CommandId, FullXid, Oid, TimestampTz, Xid};
use procarray::{Advertised, Backend, ProcNumber, RunningSet, Taken};

use crate::classic::{ClassicSnapshot, Contents, RunningTransactions};
use crate::commit_ts::publish::Publication;
use crate::commit_ts::{CommitTimestamps, CommitTsSnapshot};

/// A snapshot that a session can have several of.
pub trait Snapshot: Clone {
    /// What it holds back: the older, the more.
    type Bound: Copy + Ord + Send + fmt::Debug;

    /// The same snapshot at another command of its transaction.
    fn set_curcid(&mut self, curcid: CommandId);
}

/// A session, as far as its snapshots go.
pub trait SnapshotSource {
    /// What it takes.
    type Snapshot: Snapshot;

    /// A snapshot of nothing, whose memory [`take`](Self::take) can use.
    fn blank(&self) -> Self::Snapshot;

    /// Takes a snapshot, into the memory of an earlier one of this session, and shows it unless
    /// something older is shown.
    fn take(&mut self, snapshot: &mut Self::Snapshot, curcid: CommandId);

    /// What a snapshot of this session holds back.
    fn bound(&self, snapshot: &Self::Snapshot) -> BoundOf<Self>;

    /// What the session shows.
    fn shown(&self) -> Option<BoundOf<Self>>;

    /// Shows this instead of something older; or nothing any more.
    fn advance(&mut self, oldest: Option<BoundOf<Self>>);

    /// Shows what a session `from` shows, or something newer that it has in use. `false`, and nothing is
    /// shown, if it has nothing so old in use any more. This session shows nothing yet.
    fn take_over(&mut self, bound: BoundOf<Self>, from: ProcNumber) -> bool;

    /// The snapshot as another session must see it, to whom these ids are not its own.
    fn for_others(&self, snapshot: &Self::Snapshot, own: &OwnXids<'_>) -> Self::Snapshot;

    /// The session's slot.
    fn number(&self) -> ProcNumber;

    /// The session's database.
    fn database(&self) -> Oid;

    /// Whether the session's transaction has an xid.
    fn has_xid(&self) -> bool;
}

impl<S: SnapshotSource> SnapshotSource for &mut S {
    type Snapshot = S::Snapshot;

    fn blank(&self) -> S::Snapshot {
        (**self).blank()
    }

    fn take(&mut self, snapshot: &mut S::Snapshot, curcid: CommandId) {
        (**self).take(snapshot, curcid);
    }

    fn bound(&self, snapshot: &S::Snapshot) -> BoundOf<S> {
        (**self).bound(snapshot)
    }

    fn shown(&self) -> Option<BoundOf<S>> {
        (**self).shown()
    }

    fn advance(&mut self, oldest: Option<BoundOf<S>>) {
        (**self).advance(oldest);
    }

    fn take_over(&mut self, bound: BoundOf<S>, from: ProcNumber) -> bool {
        (**self).take_over(bound, from)
    }

    fn for_others(&self, snapshot: &S::Snapshot, own: &OwnXids<'_>) -> S::Snapshot {
        (**self).for_others(snapshot, own)
    }

    fn number(&self) -> ProcNumber {
        (**self).number()
    }

    fn database(&self) -> Oid {
        (**self).database()
    }

    fn has_xid(&self) -> bool {
        (**self).has_xid()
    }
}

/// What a source's snapshots hold back.
pub type BoundOf<S> = <<S as SnapshotSource>::Snapshot as Snapshot>::Bound;

/// A transaction's own ids.
#[derive(Clone, Copy, Default, Debug)]
pub struct OwnXids<'a> {
    /// Its own, if it has one.
    pub top: Option<Xid>,
    /// Its subtransactions' that have not been rolled back.
    pub children: &'a [Xid],
}

impl Snapshot for ClassicSnapshot {
    type Bound = FullXid;

    fn set_curcid(&mut self, curcid: CommandId) {
        ClassicSnapshot::set_curcid(self, curcid);
    }
}

impl Snapshot for CommitTsSnapshot<'_> {
    type Bound = TimestampTz;

    fn set_curcid(&mut self, curcid: CommandId) {
        CommitTsSnapshot::set_curcid(self, curcid);
    }
}

/// The process array's answer to who is running. Under the array's lock, or, while nobody has ended, without
/// it; the vectors change hands and are not copied.
impl RunningTransactions for Backend {
    #[inline]
    fn fill(&mut self, contents: &mut Contents, known: Option<u64>) -> Option<u64> {
        let near = self.array().latest_completed();
        let mut set = RunningSet {
            xmin: near.nearest(contents.xmin),
            xmax: near.nearest(contents.xmax),
            // No array counts 0.
            completion_count: known.unwrap_or(0),
            ..RunningSet::default()
        };
        if known.is_some() && self.advertise_unlocked(&set) {
            return None;
        }
        set.xids = std::mem::take(&mut contents.xip);
        set.subxids = std::mem::take(&mut contents.subxip);
        set.overflowed = contents.suboverflowed;
        let taken = self.take_running(&mut set);
        *contents = Contents {
            xmin: set.xmin.xid(),
            xmax: set.xmax.xid(),
            xip: set.xids,
            subxip: set.subxids,
            suboverflowed: set.overflowed,
            taken_during_recovery: false,
        };
        (taken == Taken::Rebuilt).then_some(set.completion_count)
    }
}

impl SnapshotSource for Backend {
    type Snapshot = ClassicSnapshot;

    fn blank(&self) -> ClassicSnapshot {
        ClassicSnapshot::default()
    }

    #[inline]
    fn take(&mut self, snapshot: &mut ClassicSnapshot, curcid: CommandId) {
        snapshot.refresh(self, curcid);
    }

    #[inline]
    fn bound(&self, snapshot: &ClassicSnapshot) -> FullXid {
        self.array().latest_completed().nearest(snapshot.contents().xmin)
    }

    #[inline]
    fn shown(&self) -> Option<FullXid> {
        self.xmin()
    }

    fn advance(&mut self, oldest: Option<FullXid>) {
        match oldest {
            Some(oldest) => self.advance_xmin(oldest),
            None => self.clear_xmin(),
        }
    }

    fn take_over(&mut self, bound: FullXid, from: ProcNumber) -> bool {
        self.take_over_xmin(bound, from)
    }

    fn for_others(&self, snapshot: &ClassicSnapshot, own: &OwnXids<'_>) -> ClassicSnapshot {
        snapshot.for_others(own.top, own.children)
    }

    fn number(&self) -> ProcNumber {
        Backend::number(self)
    }

    fn database(&self) -> Oid {
        Backend::database(self)
    }

    fn has_xid(&self) -> bool {
        self.xid().is_some()
    }
}

/// A session that takes snapshots by commit timestamp.
pub struct CommitTsSource<'a, 't, P> {
    /// The session.
    pub backend: &'a Backend,
    /// Where timestamps are looked up.
    pub table: &'t CommitTimestamps,
    /// Where a snapshot's start comes from.
    pub publication: &'t P,
    /// Where each session shows its oldest start, at the position of its slot.
    pub advertised: &'t Advertised,
}

impl<P: Publication> CommitTsSource<'_, '_, P> {
    fn reader(&self) -> usize {
        self.backend.number().0 as usize
    }

    fn clock(&self) -> u64 {
        point(self.publication.start_ts())
    }
}

/// The start that no snapshot in use, or taken later, is before.
pub fn oldest_start_ts(advertised: &Advertised, publication: &impl Publication) -> TimestampTz {
    timestamp(advertised.horizon(|| point(publication.start_ts())))
}

/// Timestamps of snapshots are above 0.
fn point(start: TimestampTz) -> u64 {
    start.0 as u64
}

fn timestamp(point: u64) -> TimestampTz {
    TimestampTz(point as i64)
}

impl<'t, P: Publication> SnapshotSource for CommitTsSource<'_, 't, P> {
    type Snapshot = CommitTsSnapshot<'t>;

    fn blank(&self) -> CommitTsSnapshot<'t> {
        CommitTsSnapshot::as_of(self.table, TimestampTz(0), Xid::INVALID, Xid::INVALID, 0)
    }

    #[inline]
    fn take(&mut self, snapshot: &mut CommitTsSnapshot<'t>, curcid: CommandId) {
        let start = if self.advertised.shown(self.reader()).is_some() {
            self.clock()
        } else {
            self.advertised.acquire(self.reader(), || self.clock())
        };
        // Whatever committed before the start had its xid before that, and is below what is given out next.
        let xmax = self.backend.array().next_xid().xid();
        let xmin = self.table.oldest().xid();
        *snapshot = CommitTsSnapshot::as_of(self.table, timestamp(start), xmin, xmax, curcid);
    }

    #[inline]
    fn bound(&self, snapshot: &CommitTsSnapshot<'t>) -> TimestampTz {
        snapshot.start_ts()
    }

    #[inline]
    fn shown(&self) -> Option<TimestampTz> {
        self.advertised.shown(self.reader()).map(timestamp)
    }

    fn advance(&mut self, oldest: Option<TimestampTz>) {
        match oldest {
            Some(oldest) => self.advertised.advance(self.reader(), point(oldest)),
            None => self.advertised.release(self.reader()),
        }
    }

    fn take_over(&mut self, bound: TimestampTz, from: ProcNumber) -> bool {
        self.advertised.take_over(self.reader(), from.0 as usize, point(bound))
    }

    /// The same: who has not committed has no timestamp.
    fn for_others(
        &self,
        snapshot: &CommitTsSnapshot<'t>,
        _own: &OwnXids<'_>,
    ) -> CommitTsSnapshot<'t> {
        snapshot.clone()
    }

    fn number(&self) -> ProcNumber {
        self.backend.number()
    }

    fn database(&self) -> Oid {
        self.backend.database()
    }

    fn has_xid(&self) -> bool {
        self.backend.xid().is_some()
    }
}
