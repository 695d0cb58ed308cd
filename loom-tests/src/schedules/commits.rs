//! Many sessions that commit, abort, prepare and look, by commit timestamp, while the table is truncated behind
//! them.
//!
//! The sequential model is the order of commit timestamps: a snapshot sees just the transactions, with
//! the subtransactions that did not roll back, whose timestamps are below its start. Each look is written down
//! and held against that when all is over. And the order is that of the calls: who had come back from its commit
//! before a snapshot was asked for is seen, who began to commit after the snapshot was there is not. And nobody who
//! commits in the end ever looks aborted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI64, AtomicU64};

use base::sync::{Arc, thread};
use base::{CommandId, FullXid, MultiXactId, TimestampTz, Xid};
use fastrand::Rng;
use procarray::{Advertised, Backend, Config, GroupClear, ProcArray, ReservedSlot};
use snapshot::commit_ts::clock::{HybridClock, WallClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::commit_ts::slot::Slot;
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot, Lookup};
use snapshot::satisfies::{MvccSnapshot, Outcome};
use snapshot::source::oldest_start_ts;
use snapshot::{
    CommandIdPair, CommitTsSource, LoggedStatus, MultiXactMember, Registered, Registry,
    SnapshotScope, SnapshotSource, TransactionStatus,
};

use super::{Schedule, Setup};

pub(super) const BY_MARKER: Schedule = Schedule {
    name: "commits::by_marker",
    property: "a snapshot sees just the commits of timestamps below its start, whenever it looks",
    wrong: &[
        "advertise.no-second-look",
        "advertise.scan-before-clock",
        "commit-ts.bound-above",
        "commit-ts.clear-before-window",
        "commit-ts.marker-after-draw",
        "commit-ts.outer-first",
        "commit-ts.parent-first",
        "commit-ts.wake-before-stamp",
        "commit-ts.wake-without-lock",
        "commit-ts.window-first",
    ],
    run: by_marker,
};

pub(super) const IN_ORDER: Schedule = Schedule {
    name: "commits::in_order",
    property: "the same where commits are published in their order",
    wrong: &[
        "advertise.no-second-look",
        "advertise.scan-before-clock",
        "commit-ts.clear-before-window",
        "commit-ts.cleared-first",
        "commit-ts.outer-first",
        "commit-ts.publish-before-stamp",
        "commit-ts.publish-own",
        "commit-ts.window-first",
    ],
    run: in_order,
};

/// A wall clock that stands still: timestamps count on from each other.
pub(super) struct Still;

impl WallClock for Still {
    fn now(&self) -> TimestampTz {
        TimestampTz(0)
    }
}

/// A transaction, as the ledger knows it. Tickets are 0 where none was drawn yet.
#[derive(Clone, Default, Debug)]
struct Fate {
    /// Whether the commit log has it as committed.
    committed: bool,
    timestamp: Option<TimestampTz>,
    /// Before its timestamp was drawn.
    drawing: u64,
    /// After it could be seen.
    visible: u64,
}

/// A look of a snapshot at an id.
struct Look {
    start: TimestampTz,
    /// Before the snapshot was asked for, and after it was there.
    asked: u64,
    taken: u64,
    xid: FullXid,
    seen: bool,
    /// Whether the table has it as aborted at the moment of the look.
    aborted: bool,
}

#[derive(Default)]
struct Ledger {
    /// Of transactions and subtransactions.
    fates: BTreeMap<u32, Fate>,
    xids: Vec<FullXid>,
    looks: Vec<Look>,
}

struct World<P> {
    array: Arc<ProcArray>,
    table: CommitTimestamps,
    publication: P,
    advertised: Advertised,
    ticket: AtomicU64,
    ledger: std::sync::Mutex<Ledger>,
    truncating: std::sync::Mutex<()>,
    /// The highest horizon so far.
    horizon: AtomicI64,
}

/// The commit log, for what the table no longer holds.
struct Log<'a, P>(&'a World<P>);

impl<P> TransactionStatus for Log<'_, P> {
    type Error = Infallible;

    fn own(&self, _xid: Xid) -> bool {
        false
    }

    fn running(&self, xid: Xid) -> Result<bool, Infallible> {
        unreachable!("a snapshot does not ask whether {xid} runs")
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Infallible> {
        let committed = self.0.with(|ledger| ledger.fates[&xid.0].committed);
        Ok(if committed { LoggedStatus::Committed } else { LoggedStatus::Aborted })
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Infallible> {
        unreachable!("the log has {xid} with its own fate")
    }

    fn members(
        &self,
        multi: MultiXactId,
        _only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        unreachable!("no multixact {multi} is here")
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
        unreachable!("no combo command id {combo} is here")
    }
}

impl<P> World<P> {
    /// Never across a step that can be switched at.
    fn with<R>(&self, access: impl FnOnce(&mut Ledger) -> R) -> R {
        access(&mut self.ledger.lock().expect("nobody panics with the ledger"))
    }

    fn draw(&self) -> u64 {
        self.ticket.fetch_add(1, SeqCst)
    }
}

impl<P: Publication> World<P> {
    /// Computes the horizon and truncates up to it, unless somebody else does.
    fn vacuum(&self) {
        let Ok(_one_at_a_time) = self.truncating.try_lock() else { return };
        let oldest = oldest_start_ts(&self.advertised, &self.publication);
        self.horizon.fetch_max(oldest.0, SeqCst);
        self.table.truncate(self.table.truncation_horizon(oldest, self.array.next_xid()));
    }

    /// Gives the session's transaction an id that has a slot. The session holds no snapshot meanwhile.
    fn begin(&self, backend: &mut Backend) -> FullXid {
        loop {
            if let Ok(xid) = backend.try_assign_xid(|xid| self.table.check(xid)) {
                self.note(xid);
                return xid;
            }
            self.vacuum();
            thread::yield_now();
        }
    }

    fn note(&self, xid: FullXid) {
        self.with(|ledger| {
            ledger.fates.insert(xid.xid().0, Fate::default());
            ledger.xids.push(xid);
        });
    }

    /// A transaction with its subtransactions, committed or aborted, perhaps after it was prepared.
    fn transaction(&self, backend: &mut Backend, random: &mut Rng) {
        let xid = self.begin(backend);
        let mut children: Vec<FullXid> = Vec::new();
        for _ in 0..random.usize(..3) {
            let Ok(child) = backend.try_assign_subxid(|child| self.table.check(child)) else {
                // The window is full of this and younger ones: the transaction has to give up.
                self.table.abort(xid, &children);
                backend.end_transaction();
                return;
            };
            self.note(child);
            let parent = children.last().copied().unwrap_or(xid);
            self.table.begin_child(child, parent).expect("it has a slot");
            children.push(child);
        }
        if !children.is_empty() && random.usize(..3) == 0 {
            // The last of the chain rolls back alone.
            let aborted = children.split_off(children.len() - 1);
            self.table.abort(aborted[0], &[]);
            backend.abort_subtransactions(&aborted);
        }
        let reserved = (random.usize(..4) == 0).then(|| ReservedSlot::take(&self.array).ok());
        let prepared = reserved.flatten().map(|reserved| {
            let at = self.publication.start_ts();
            self.table.prepare(xid, at);
            backend.prepare(reserved, at)
        });
        if random.usize(..4) == 0 {
            self.table.abort(xid, &children);
        } else {
            self.commit(xid, &children, random);
        }
        match prepared {
            Some(prepared) => prepared.finish(),
            None => backend.end_transaction(),
        }
    }

    fn commit(&self, xid: FullXid, children: &[FullXid], random: &mut Rng) {
        let all = || std::iter::once(&xid).chain(children);
        let drawing = self.draw();
        let timestamp = self.publication.draw(&self.table, xid);
        for _ in 0..random.usize(..3) {
            thread::yield_now();
        }
        self.with(|ledger| {
            for xid in all() {
                let fate =
                    Fate { committed: true, timestamp: Some(timestamp), drawing, visible: 0 };
                ledger.fates.insert(xid.xid().0, fate);
            }
        });
        self.publication.publish(&self.table, xid, children, timestamp);
        while !self.publication.is_visible(timestamp) {
            thread::yield_now();
        }
        let visible = self.draw();
        self.with(|ledger| {
            for xid in all() {
                ledger.fates.entry(xid.xid().0).or_default().visible = visible;
            }
        });
    }

    fn see(&self, snapshot: &CommitTsSnapshot<'_>, xid: FullXid, known_committed: bool) -> bool {
        let Ok(outcome) = snapshot.outcome(xid.xid(), known_committed, &Log(self));
        outcome == Outcome::Committed
    }

    /// Looks at some ids, each twice, the second time perhaps with the hint that it committed.
    fn look(&self, snapshot: &Registered<CommitTsSnapshot<'_>>, asked: u64, random: &mut Rng) {
        let taken = self.draw();
        for _ in 0..random.usize(..6) {
            let some = self.with(|ledger| {
                let newest = &ledger.xids[ledger.xids.len().saturating_sub(12)..];
                (!newest.is_empty()).then(|| newest[random.usize(..newest.len())])
            });
            let Some(xid) = some else { break };
            let aborted = self.table.lookup(xid.xid()) == Lookup::Found(Slot::Aborted);
            let seen = self.see(snapshot, xid, false);
            // A hint follows a stamp.
            let hinted = self.with(|ledger| ledger.fates[&xid.xid().0].visible != 0);
            let fresh = CommitTsSnapshot::as_of(
                &self.table,
                snapshot.start_ts(),
                self.table.oldest().xid(),
                self.array.next_xid().xid(),
                0,
            );
            assert_eq!(seen, self.see(&fresh, xid, hinted), "{xid:?} at a second look");
            let start = snapshot.start_ts();
            self.with(|ledger| {
                ledger.looks.push(Look { start, asked, taken, xid, seen, aborted });
            });
        }
        self.check_horizon(snapshot);
    }

    fn check_horizon(&self, snapshot: &CommitTsSnapshot<'_>) {
        let (horizon, start) = (self.horizon.load(SeqCst), snapshot.start_ts().0);
        assert!(horizon <= start, "a horizon of {horizon} passed {start}, which is in use");
    }

    fn read<'w>(
        &'w self,
        backend: &Backend,
        registry: &mut Registry<CommitTsSnapshot<'w>>,
        random: &mut Rng,
    ) {
        let World { table, publication, advertised, .. } = self;
        let mut source = CommitTsSource { backend, table, publication, advertised };
        registry.begin(SnapshotScope::Statement);
        let asked = self.draw();
        let older = registry.latest_snapshot(&mut source, 0);
        self.look(&older, asked, random);
        let asked = self.draw();
        let newer = registry.latest_snapshot(&mut source, 0);
        self.look(&newer, asked, random);
        self.check_horizon(&older);
        drop(older);
        registry.settle(&mut source);
        assert_eq!(source.shown(), Some(newer.bound()));
        self.look(&newer, asked, random);
        drop(newer);
        assert_eq!(registry.end(&mut source), Default::default());
    }

    /// Holds what was seen against the order of the timestamps.
    fn judge(&self) -> usize {
        self.with(|ledger| {
            for Look { start, asked, taken, xid, seen, aborted } in &ledger.looks {
                let fate = &ledger.fates[&xid.xid().0];
                let timestamp = fate.timestamp.filter(|_| fate.committed);
                let expected = timestamp.is_some_and(|timestamp| timestamp < *start);
                assert_eq!(*seen, expected, "{xid:?} from {start:?}: {fate:?}");
                if let Some(timestamp) = timestamp {
                    assert!(!aborted, "{xid:?} committed after it had aborted: {fate:?}");
                    assert!(
                        fate.visible > *asked || timestamp < *start,
                        "{xid:?} had committed before {start:?} was asked for: {fate:?}"
                    );
                    assert!(
                        fate.drawing < *taken || timestamp >= *start,
                        "{xid:?} had not begun to commit when {start:?} was there: {fate:?}"
                    );
                }
            }
            ledger.looks.len()
        })
    }
}

fn play<P: Publication>(publication: P, setup: &Setup) {
    let mut random = Rng::with_seed(setup.seed);
    // Over 2^31 and the end of 32-bit ids, too.
    let first = [100, (1 << 31) - 40, (1 << 32) - 40].map(FullXid)[random.usize(..3)];
    let config = Config {
        sessions: setup.threads,
        prepared: setup.threads / 2,
        next_xid: first,
        group_clear: GroupClear::WhenContended,
    };
    let world = World {
        array: Arc::new(ProcArray::new(config).expect("a legal size")),
        table: CommitTimestamps::new(u64::from(setup.threads) * 2, first),
        publication,
        advertised: Advertised::new(setup.threads as usize),
        ticket: AtomicU64::new(1),
        ledger: std::sync::Mutex::new(Ledger::default()),
        truncating: std::sync::Mutex::new(()),
        horizon: AtomicI64::new(0),
    };
    // What shares a page with the first id and is older has ended.
    for xid in (world.table.oldest().0..first.0).map(FullXid) {
        world.table.abort(xid, &[]);
    }
    thread::scope(|scope| {
        for thread in 0..setup.threads {
            let world = &world;
            scope.spawn(move || {
                let mut random = Rng::with_seed(setup.seed << 8 | u64::from(thread));
                let mut backend = Backend::connect(&world.array, 1).expect("a free slot");
                let mut registry = Registry::new();
                for _ in 0..setup.rounds {
                    match random.usize(..5) {
                        0 | 1 => world.transaction(&mut backend, &mut random),
                        2 => world.vacuum(),
                        _ => world.read(&backend, &mut registry, &mut random),
                    }
                }
            });
        }
    });
    let looks = world.judge();
    assert!(looks > 0 || setup.rounds < 8, "somebody looked");
}

fn clock() -> HybridClock<Still> {
    HybridClock::new(Still, TimestampTz(10))
}

fn by_marker(setup: &Setup) {
    play(ByMarker::new(clock()), setup);
}

fn in_order(setup: &Setup) {
    play(InOrder::new(clock()), setup);
}
