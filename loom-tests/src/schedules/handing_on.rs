//! Many sessions that take snapshots, hand them on, go on with newer ones and drop them, while they compute
//! horizons: none ever passes what a snapshot in use holds back.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use base::sync::{Arc, thread};
use base::{FullXid, TimestampTz};
use fastrand::Rng;
use procarray::{Advertised, Backend, Config, GroupClear, ProcArray};
use snapshot::commit_ts::clock::HybridClock;
use snapshot::commit_ts::publish::{InOrder, Publication};
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot};
use snapshot::export::ImportError;
use snapshot::source::oldest_start_ts;
use snapshot::{
    ClassicSnapshot, CommitTsSource, Exports, OwnXids, Registered, Registry, Snapshot, SnapshotId,
    SnapshotScope, SnapshotSource,
};

use super::commits::Still;
use super::{Schedule, Setup};

pub(super) const CLASSIC: Schedule = Schedule {
    name: "handing_on::classic",
    property: "no horizon passes the xmin of a snapshot in use, taken, kept or imported",
    wrong: &["import.shared-lock", "running.check-before-advertise", "running.no-second-look"],
    run: classic,
};

pub(super) const COMMIT_TS: Schedule = Schedule {
    name: "handing_on::commit_ts",
    property: "no horizon passes the start of a snapshot in use, taken, kept or imported",
    wrong: &[
        "advertise.no-second-look",
        "advertise.scan-before-clock",
        "advertise.take-over-unlocked",
    ],
    run: commit_ts,
};

/// A snapshot mode, living for `'w`.
trait Mode<'w>: Sync {
    type Snapshot: Snapshot + Send;
    type Source<'a>: SnapshotSource<Snapshot = Self::Snapshot>
    where
        Self: 'w,
        'w: 'a;

    fn source<'a>(&'w self, backend: &'a mut Backend) -> Self::Source<'a>
    where
        'w: 'a;

    /// A bound as a number.
    fn number(bound: <Self::Snapshot as Snapshot>::Bound) -> u64;

    /// Begins or ends a transaction of the session.
    fn work(&self, backend: &mut Backend);

    fn horizon(&self, backend: &Backend) -> u64;
}

struct Classic;

impl<'w> Mode<'w> for Classic {
    type Snapshot = ClassicSnapshot;
    type Source<'a>
        = &'a mut Backend
    where
        'w: 'a;

    fn source<'a>(&'w self, backend: &'a mut Backend) -> &'a mut Backend
    where
        'w: 'a,
    {
        backend
    }

    fn number(bound: FullXid) -> u64 {
        bound.0
    }

    fn work(&self, backend: &mut Backend) {
        if backend.xid().is_some() {
            backend.end_transaction();
        } else {
            backend.assign_xid();
        }
    }

    fn horizon(&self, backend: &Backend) -> u64 {
        backend.horizons().data.xid.0
    }
}

struct Timed {
    table: CommitTimestamps,
    publication: InOrder<Still>,
    advertised: Advertised,
}

impl<'w> Mode<'w> for Timed {
    type Snapshot = CommitTsSnapshot<'w>;
    type Source<'a>
        = CommitTsSource<'a, 'w, InOrder<Still>>
    where
        'w: 'a;

    fn source<'a>(&'w self, backend: &'a mut Backend) -> CommitTsSource<'a, 'w, InOrder<Still>>
    where
        'w: 'a,
    {
        let Timed { table, publication, advertised } = self;
        CommitTsSource { backend, table, publication, advertised }
    }

    fn number(bound: TimestampTz) -> u64 {
        bound.0 as u64
    }

    fn work(&self, backend: &mut Backend) {
        let xid = backend.assign_xid();
        let timestamp = self.publication.draw(&self.table, xid);
        self.publication.publish(&self.table, xid, &[], timestamp);
        backend.end_transaction();
    }

    fn horizon(&self, _backend: &Backend) -> u64 {
        oldest_start_ts(&self.advertised, &self.publication).0 as u64
    }
}

/// What all sessions share.
struct World<'w, M: Mode<'w>> {
    mode: &'w M,
    array: Arc<ProcArray>,
    exports: Arc<Exports<M::Snapshot>>,
    /// What somebody exports, or did.
    ids: std::sync::Mutex<Vec<SnapshotId>>,
    /// The highest horizon so far.
    horizon: AtomicU64,
}

impl<'w, M: Mode<'w>> World<'w, M> {
    fn compute_horizon(&self, backend: &Backend) {
        self.horizon.fetch_max(self.mode.horizon(backend), SeqCst);
    }

    fn check(&self, snapshot: &Registered<M::Snapshot>) {
        let (horizon, bound) = (self.horizon.load(SeqCst), M::number(snapshot.bound()));
        assert!(horizon <= bound, "a horizon of {horizon} passed {bound}, which is in use");
    }

    fn exported(&self, random: &mut Rng) -> Option<SnapshotId> {
        let ids = self.ids.lock().expect("nobody panics with it");
        // One of the newest is the likeliest to be there still.
        let from = ids.len().saturating_sub(4);
        let newest = &ids[from..];
        (!newest.is_empty()).then(|| newest[random.usize(..newest.len())])
    }

    /// One transaction of one session, which takes or imports snapshots.
    fn transaction(
        &self,
        backend: &mut Backend,
        registry: &mut Registry<M::Snapshot>,
        random: &mut Rng,
    ) {
        registry.begin(SnapshotScope::Transaction);
        if let Some(id) = self.exported(random)
            && random.usize(..2) == 0
        {
            match registry.import(&self.exports, &mut self.mode.source(backend), id, 1) {
                Ok(()) | Err(ImportError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let first = registry.transaction_snapshot(&mut self.mode.source(backend), 0);
        self.check(&first);
        if random.usize(..2) == 0 {
            let source = self.mode.source(backend);
            let id = registry.export(&self.exports, &source, &first, &OwnXids::default(), 1);
            let id = id.expect("no subtransaction");
            self.ids.lock().expect("nobody panics with it").push(id);
        }
        let mut kept = vec![first];
        for _ in 0..random.usize(..4) {
            match random.usize(..3) {
                0 => kept.push(registry.latest_snapshot(&mut self.mode.source(backend), 0)),
                1 => {
                    kept.swap_remove(random.usize(..kept.len()));
                    registry.settle(&mut self.mode.source(backend));
                }
                _ => thread::yield_now(),
            }
            kept.iter().for_each(|snapshot| self.check(snapshot));
            if kept.is_empty() {
                break;
            }
        }
        drop(kept);
        let leftovers = registry.end(&mut self.mode.source(backend));
        assert_eq!((leftovers.active, leftovers.registered), (0, 0));
    }
}

fn play<'w, M: Mode<'w>>(mode: &'w M, setup: &Setup) {
    let config = Config {
        sessions: setup.threads,
        prepared: 0,
        next_xid: FullXid(100),
        group_clear: GroupClear::WhenContended,
    };
    let world = World {
        mode,
        array: Arc::new(ProcArray::new(config).expect("a legal size")),
        exports: Arc::new(Exports::new()),
        ids: std::sync::Mutex::new(Vec::new()),
        horizon: AtomicU64::new(0),
    };
    thread::scope(|scope| {
        for thread in 0..setup.threads {
            let world = &world;
            scope.spawn(move || {
                let mut random = Rng::with_seed(setup.seed << 8 | u64::from(thread));
                let mut backend = Backend::connect(&world.array, 1).expect("a free slot");
                let mut registry = Registry::new();
                for _ in 0..setup.rounds {
                    // A session that has an xid cannot import. What is short comes more often.
                    match thread % 4 {
                        0 => (0..3).for_each(|_| world.mode.work(&mut backend)),
                        1 => (0..3).for_each(|_| world.compute_horizon(&backend)),
                        _ => world.transaction(&mut backend, &mut registry, &mut random),
                    }
                }
            });
        }
    });
    assert_eq!(world.exports.ids(), []);
}

fn classic(setup: &Setup) {
    play(&Classic, setup);
}

fn commit_ts(setup: &Setup) {
    let ids = setup.threads as usize * setup.rounds * 4;
    let timed = Timed {
        table: CommitTimestamps::new(ids as u64 + 4, FullXid(100)),
        publication: InOrder::new(HybridClock::new(Still, TimestampTz(10))),
        advertised: Advertised::new(setup.threads as usize),
    };
    play(&timed, setup);
}
