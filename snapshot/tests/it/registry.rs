//! The snapshots that sessions have in use, what they show of them, and handing them on.

use std::cell::Cell;

use base::sync::Arc;
use base::{CommandId, FullXid, TimestampTz, Xid};
use fastrand::Rng;
use procarray::{Advertised, Backend, Config, GroupClear, ProcArray};
use snapshot::commit_ts::clock::{HybridClock, TestClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot};
use snapshot::export::{ExportError, ImportError, ParseSnapshotIdError};
use snapshot::satisfies::{MvccSnapshot, Outcome};
use snapshot::source::oldest_start_ts;
use snapshot::{
    ClassicSnapshot, CommitTsSource, Exports, OwnXids, Registered, Registry, SnapshotId,
    SnapshotScope, SnapshotSource,
};

use crate::world::Nobody;

fn array(sessions: u32, next_xid: u64) -> Arc<ProcArray> {
    let config = Config {
        sessions,
        prepared: 0,
        next_xid: FullXid(next_xid),
        group_clear: GroupClear::default(),
    };
    Arc::new(ProcArray::new(config).expect("a legal size"))
}

fn connect(array: &Arc<ProcArray>) -> Backend {
    Backend::connect(array, 5).expect("a free slot")
}

fn clock() -> HybridClock<TestClock> {
    HybridClock::new(TestClock::default(), TimestampTz(1000))
}

fn runs(snapshot: &ClassicSnapshot, xid: FullXid) -> bool {
    let Ok(listed) = snapshot.contains(xid.xid(), &Nobody);
    listed
}

#[test]
fn what_is_shown_follows_the_oldest_snapshot_in_use() {
    let array = array(4, 100);
    let (mut session, mut first, mut second) = (connect(&array), connect(&array), connect(&array));
    let viewer = connect(&array);
    let mut registry = Registry::<ClassicSnapshot>::new();
    registry.begin(SnapshotScope::Statement);
    assert_eq!(registry.oldest(), None);

    let oldest = first.assign_xid();
    let statement = registry.transaction_snapshot(&mut session, 0);
    assert!(!runs(&statement, FullXid(99)) && runs(&statement, oldest));
    assert_eq!(session.xmin(), Some(oldest));
    let cursor = statement.clone();
    registry.push_active(statement, 1);
    let newer = second.assign_xid();
    first.end_transaction();

    let function = registry.latest_snapshot(&mut session, 0);
    assert_eq!((function.bound(), registry.len()), (newer, 3));
    assert!(runs(&cursor, oldest) && !runs(&function, oldest));
    registry.push_active(function, 1);
    registry.pop_active(&mut session);
    registry.pop_active(&mut session);
    assert_eq!(session.xmin(), Some(oldest), "the cursor still needs it");
    let later = registry.latest_snapshot(&mut session, 0);
    drop(cursor);
    assert_eq!(viewer.horizons().data.xid, oldest, "too much for a while");
    registry.settle(&mut session);
    assert_eq!(viewer.horizons().data.xid, newer);
    drop(later);
    registry.settle(&mut session);
    assert_eq!(session.xmin(), None);
    let leftovers = registry.end(&mut session);
    assert_eq!((leftovers.active, leftovers.registered), (0, 0));
}

#[test]
fn a_transactions_snapshot_serves_all_its_statements_each_at_its_command() {
    let array = array(2, 100);
    let (mut session, mut other) = (connect(&array), connect(&array));
    let mut registry = Registry::<ClassicSnapshot>::new();
    let command = |snapshot: &Registered<ClassicSnapshot>| -> CommandId {
        MvccSnapshot::<Nobody>::curcid(&**snapshot)
    };
    registry.begin(SnapshotScope::Transaction);
    let ends = other.assign_xid();
    let cursor = registry.transaction_snapshot(&mut session, 3);
    other.end_transaction();
    let second = registry.transaction_snapshot(&mut session, 4);
    assert!(runs(&cursor, ends) && runs(&second, ends));
    assert_eq!((command(&cursor), command(&second)), (3, 4));
    let function = registry.at_command(&second, 5);
    registry.push_active(second, 1);
    registry.set_active_curcid(6);
    assert_eq!(registry.active().map(command), Some(6));
    assert_eq!(command(&function), 5);
    let latest = registry.latest_snapshot(&mut session, 7);
    assert!(!runs(&latest, ends));
    drop((cursor, function, latest));
    registry.pop_active(&mut session);
    assert_eq!(session.xmin(), Some(ends), "the transaction goes on");
    assert_eq!(registry.end(&mut session), Default::default());
    assert_eq!(session.xmin(), None);

    registry.begin(SnapshotScope::Statement);
    assert!(!runs(&registry.transaction_snapshot(&mut session, 0), ends));
    let _ = registry.end(&mut session);
}

#[test]
fn subtransactions_take_their_active_snapshots_along() {
    let array = array(1, 100);
    let mut session = connect(&array);
    let mut registry = Registry::<ClassicSnapshot>::new();
    registry.begin(SnapshotScope::Statement);
    for level in [1, 2, 3, 3] {
        let snapshot = registry.latest_snapshot(&mut session, level);
        registry.push_active(snapshot, level);
    }
    registry.commit_subtransaction(3);
    assert_eq!(registry.len(), 4);
    registry.abort_subtransaction(3, &mut session);
    assert_eq!(registry.len(), 4, "they are the parent's");
    registry.abort_subtransaction(2, &mut session);
    assert_eq!(registry.len(), 1);
    registry.abort_subtransaction(1, &mut session);
    assert_eq!((registry.len(), session.xmin()), (0, None));
    let _ = registry.end(&mut session);
}

#[test]
fn forgotten_snapshots_are_counted_and_hold_nothing_back() {
    let array = array(1, 100);
    let mut session = connect(&array);
    let mut registry = Registry::<ClassicSnapshot>::new();
    registry.begin(SnapshotScope::Statement);
    let forgotten = registry.latest_snapshot(&mut session, 0);
    registry.push_active(forgotten.clone(), 1);
    let leftovers = registry.end(&mut session);
    assert_eq!((leftovers.active, leftovers.registered), (1, 1));
    assert_eq!(session.xmin(), None);
    registry.begin(SnapshotScope::Statement);
    let next = registry.latest_snapshot(&mut session, 0);
    drop(forgotten);
    assert_eq!(registry.len(), 1, "it was another transaction's");
    drop(next);
    assert_eq!(registry.end(&mut session), Default::default());
}

/// A commit-timestamp engine in small.
struct Timed<P> {
    array: Arc<ProcArray>,
    table: CommitTimestamps,
    publication: P,
    advertised: Advertised,
}

impl<P: Publication> Timed<P> {
    fn new(publication: P) -> Timed<P> {
        Timed {
            array: array(4, 100),
            table: CommitTimestamps::new(1024, FullXid(100)),
            publication,
            advertised: Advertised::new(4),
        }
    }

    fn source<'a>(&'a self, backend: &'a Backend) -> CommitTsSource<'a, 'a, P> {
        let Timed { table, publication, advertised, .. } = self;
        CommitTsSource { backend, table, publication, advertised }
    }

    fn commit(&self, backend: &mut Backend) -> FullXid {
        let xid = backend.assign_xid();
        let timestamp = self.publication.draw(&self.table, xid);
        self.publication.publish(&self.table, xid, &[], timestamp);
        backend.end_transaction();
        xid
    }

    fn oldest(&self) -> TimestampTz {
        oldest_start_ts(&self.advertised, &self.publication)
    }
}

fn sees(snapshot: &CommitTsSnapshot<'_>, xid: FullXid) -> bool {
    let Ok(outcome) = snapshot.outcome(xid.xid(), false, &Nobody);
    outcome == Outcome::Committed
}

fn starts_are_shown(timed: &Timed<impl Publication>) {
    let (session, mut other) = (connect(&timed.array), connect(&timed.array));
    let mut source = timed.source(&session);
    let mut registry = Registry::new();
    registry.begin(SnapshotScope::Statement);
    let begin = timed.oldest();
    let before = registry.transaction_snapshot(&mut source, 0);
    let xid = timed.commit(&mut other);
    let after = registry.latest_snapshot(&mut source, 0);
    assert!(!sees(&before, xid) && sees(&after, xid));
    assert!(before.bound() < after.bound());
    let last = timed.commit(&mut other);
    assert!(!sees(&after, last) && !sees(&after, last.next()));
    assert_eq!((timed.oldest(), source.shown()), (begin, Some(begin)));
    drop(before);
    registry.settle(&mut source);
    assert_eq!(timed.oldest(), after.bound());
    drop(after);
    assert_eq!(registry.end(&mut source), Default::default());
    assert_eq!((source.shown(), timed.oldest() > begin), (None, true));
}

#[test]
fn starts_are_shown_by_either_way_of_publishing() {
    starts_are_shown(&Timed::new(ByMarker::new(clock())));
    starts_are_shown(&Timed::new(InOrder::new(clock())));
}

#[test]
fn an_exported_snapshot_is_read_by_another_and_held_back_by_it() {
    let array = array(5, 100);
    let mut exporter = connect(&array);
    let (mut importer, mut other) = (connect(&array), connect(&array));
    let viewer = connect(&array);
    let exports = Arc::new(Exports::new());
    let (mut from, mut to) = (Registry::new(), Registry::new());
    from.begin(SnapshotScope::Transaction);
    let running = other.assign_xid();
    let own = exporter.assign_xid();
    let child = exporter.assign_subxid();
    // So that xmax is above both.
    end_a_newer_one(&array);
    let snapshot = from.transaction_snapshot(&mut exporter, 0);
    assert!(!runs(&snapshot, own), "its own");
    let children = [child.xid()];
    let own_xids = OwnXids { top: Some(own.xid()), children: &children };
    assert_eq!(
        from.export(&exports, &exporter, &snapshot, &own_xids, 2),
        Err(ExportError::Subtransaction)
    );
    let id = from.export(&exports, &exporter, &snapshot, &own_xids, 1).expect("exported");
    assert_eq!(id.to_string(), "00000000-00000001-1");
    let second = from.export(&exports, &exporter, &snapshot, &own_xids, 1).expect("exported");
    assert_eq!(exports.ids(), [id, second]);
    other.end_transaction();

    to.begin(SnapshotScope::Transaction);
    to.import(&exports, &mut importer, id, 1).expect("imported");
    let imported = to.transaction_snapshot(&mut importer, 0);
    for xid in [running, own, child] {
        assert!(runs(&imported, xid), "{xid:?} runs");
    }
    drop(snapshot);
    let _ = from.end(&mut exporter);
    exporter.end_transaction();
    assert_eq!(exports.ids(), []);
    assert_eq!(viewer.horizons().data.xid, running, "the importer goes on");
    drop(imported);
    let _ = to.end(&mut importer);
    assert!(viewer.horizons().data.xid > running);
}

fn end_a_newer_one(array: &Arc<ProcArray>) {
    let mut passing = connect_elsewhere(array);
    passing.assign_xid();
    passing.end_transaction();
}

fn connect_elsewhere(array: &Arc<ProcArray>) -> Backend {
    Backend::connect(array, 6).expect("a free slot")
}

#[test]
fn an_import_that_cannot_be_says_why() {
    let array = array(4, 100);
    let (mut exporter, mut importer) = (connect(&array), connect(&array));
    let mut stranger = connect_elsewhere(&array);
    let exports = Arc::new(Exports::new());
    let (mut from, mut to) = (Registry::new(), Registry::new());
    from.begin(SnapshotScope::Transaction);
    let snapshot = from.transaction_snapshot(&mut exporter, 0);
    let id = from.export(&exports, &exporter, &snapshot, &OwnXids::default(), 1).expect("exported");

    let import = |registry: &mut Registry<_>, backend: &mut Backend, id, level| {
        registry.import(&exports, backend, id, level).expect_err("it cannot be").to_string()
    };
    to.begin(SnapshotScope::Statement);
    assert_eq!(
        import(&mut to, &mut importer, id, 1),
        "a snapshot-importing transaction must have isolation level SERIALIZABLE or REPEATABLE READ"
    );
    let _ = to.end(&mut importer);
    to.begin(SnapshotScope::Transaction);
    let late = "SET TRANSACTION SNAPSHOT must be called before any query";
    assert_eq!(import(&mut to, &mut importer, id, 2), late);
    importer.assign_xid();
    assert_eq!(import(&mut to, &mut importer, id, 1), late);
    importer.end_transaction();
    drop(to.transaction_snapshot(&mut importer, 0));
    assert_eq!(import(&mut to, &mut importer, id, 1), late);
    let _ = to.end(&mut importer);
    to.begin(SnapshotScope::Transaction);
    let unknown = SnapshotId { number: 7, ..id };
    assert_eq!(
        import(&mut to, &mut importer, unknown, 1),
        "invalid snapshot identifier: \"00000000-00000001-7\""
    );
    assert_eq!(
        import(&mut to, &mut stranger, id, 1),
        "cannot import a snapshot from a different database"
    );
    // A session that goes before its registry is a mistake; it does no harm.
    drop(exporter);
    assert_eq!(to.import(&exports, &mut importer, id, 1), { Err(ImportError::SourceGone { id }) });
    assert_eq!(importer.xmin(), None);
}

#[test]
fn a_start_is_handed_on() {
    let timed = Timed::new(InOrder::new(clock()));
    let (exporter, importer) = (connect(&timed.array), connect(&timed.array));
    let mut other = connect(&timed.array);
    let (mut from_source, mut to_source) = (timed.source(&exporter), timed.source(&importer));
    let exports = Arc::new(Exports::new());
    let (mut from, mut to) = (Registry::new(), Registry::new());
    from.begin(SnapshotScope::Statement);
    let snapshot = from.latest_snapshot(&mut from_source, 0);
    let start = snapshot.bound();
    let xid = timed.commit(&mut other);
    let id = from.export(&exports, &from_source, &snapshot, &OwnXids::default(), 1).expect("fine");
    to.begin(SnapshotScope::Transaction);
    to.import(&exports, &mut to_source, id, 1).expect("imported");
    drop(snapshot);
    let _ = from.end(&mut from_source);
    assert_eq!(from_source.shown(), None);
    let imported = to.transaction_snapshot(&mut to_source, 0);
    assert!(!sees(&imported, xid));
    assert_eq!((imported.bound(), timed.oldest()), (start, start));
    drop(imported);
    let _ = to.end(&mut to_source);
    assert!(timed.oldest() > start);
}

#[test]
fn ids_of_exported_snapshots_round_trip_and_errors_say_where() {
    let id = SnapshotId { session: 3, transaction: 0x1B, number: 12 };
    assert_eq!(id.to_string(), "00000003-0000001B-12");
    assert_eq!("00000003-0000001B-12".parse(), Ok(id));
    let position = |text: &str| {
        let error: ParseSnapshotIdError = text.parse::<SnapshotId>().expect_err("no id");
        error.position
    };
    assert_eq!(position(""), 0);
    assert_eq!(position("x"), 0);
    assert_eq!(position("0000000a-0000001B-1"), 0);
    assert_eq!(position("00000003_0000001B-1"), 8);
    assert_eq!(position("00000003-1B-1"), 9);
    assert_eq!(position("00000003-0000001B"), 17);
    for number in ["", "0", "01", "+1", "-1", "1 ", "4294967296", "1é"] {
        assert_eq!(position(&format!("00000003-0000001B-{number}")), 18, "{number}");
    }
    assert_eq!(
        "00000003-0000001B-0".parse::<SnapshotId>().expect_err("no id").to_string(),
        "invalid snapshot identifier: \"00000003-0000001B-0\", at byte 18: expected a number of 32 bits from \
         1 on, as pg_export_snapshot prints it (00000003-0000001B-1)"
    );
}

/// Random use of handles: what is shown is never newer than what a handle needs, and after settling it is
/// just that.
#[test]
fn handles_and_what_is_shown_agree() {
    for seed in 0..200 {
        let mut random = Rng::with_seed(seed);
        let array = array(4, [100, (1 << 32) - 20][(seed % 2) as usize]);
        let mut session = connect(&array);
        let mut others = [connect(&array), connect(&array), connect(&array)];
        let mut registry = Registry::<ClassicSnapshot>::new();
        registry.begin(SnapshotScope::Statement);
        let mut handles = Vec::new();
        let settled = Cell::new(true);
        for _ in 0..200 {
            match random.usize(..10) {
                0..=3 => {
                    let other = &mut others[random.usize(..3)];
                    if other.xid().is_some() {
                        other.end_transaction();
                    } else {
                        other.assign_xid();
                    }
                }
                4 | 5 => handles.push(registry.latest_snapshot(&mut session, 0)),
                6 | 7 if !handles.is_empty() => {
                    handles.swap_remove(random.usize(..handles.len()));
                    settled.set(false);
                }
                8 if !handles.is_empty() => {
                    handles.push(handles[random.usize(..handles.len())].clone());
                }
                _ => {
                    registry.settle(&mut session);
                    settled.set(true);
                }
            }
            let needed = handles.iter().map(Registered::bound).min();
            assert_eq!((registry.oldest(), registry.len()), (needed, handles.len()));
            match (session.xmin(), needed) {
                (Some(shown), Some(needed)) => assert!(shown <= needed),
                (shown, needed) => assert!(needed.is_none() && (shown.is_none() || !settled.get())),
            }
            if settled.get() && needed.is_some() {
                assert_eq!(session.xmin(), needed, "seed {seed}");
            }
        }
        drop(handles);
        assert_eq!(registry.end(&mut session), Default::default());
    }
}

/// The array's own set and the snapshot filled from it say the same, kept or taken anew, across both ends
/// of 32-bit ids and with overflow.
#[test]
fn a_snapshot_lists_what_the_array_says() {
    for (seed, first) in
        (0..60).flat_map(|seed| [(seed, (1u64 << 31) - 30), (seed, (1 << 32) - 30)])
    {
        let mut random = Rng::with_seed(seed);
        let array = array(4, first);
        let mut session = connect(&array);
        let mut others = [connect(&array), connect(&array), connect(&array)];
        let mut snapshot = session.blank();
        for _ in 0..60 {
            let other = &mut others[random.usize(..3)];
            match (other.xid(), random.usize(..4)) {
                (None, _) => drop(other.assign_xid()),
                (Some(_), 0) => other.end_transaction(),
                (Some(_), 1) if random.usize(..10) == 0 => {
                    for _ in 0..65 {
                        other.assign_subxid();
                    }
                }
                (Some(_), _) => drop(other.assign_subxid()),
            }
            if random.usize(..3) == 0 {
                session.clear_xmin();
            }
            session.take(&mut snapshot, 0);
            let mut set = procarray::RunningSet::default();
            session.rebuild(&array.shared(), &mut set);
            let contents = snapshot.contents();
            assert_eq!((contents.xmin, contents.xmax), (set.xmin.xid(), set.xmax.xid()));
            assert_eq!(contents.xip, set.xids, "seed {seed}");
            assert_eq!(session.bound(&snapshot), set.xmin);
            // What is at or above xmax counts as running whether it is listed or not.
            let below = |xids: &[Xid]| -> Vec<Xid> {
                xids.iter().copied().filter(|xid| xid.precedes(set.xmax.xid())).collect()
            };
            if !contents.suboverflowed && !set.overflowed {
                assert_eq!(below(&contents.subxip), below(&set.subxids), "seed {seed}");
            }
            assert!(session.xmin().is_some_and(|shown| shown <= set.xmin));
            let text = snapshot.to_pg_snapshot(array.next_xid()).expect("ids between the bounds");
            assert_eq!((text.xmin(), text.xmax()), (set.xmin, set.xmax));
            for xid in (set.xmin.0 - 2..set.xmax.0 + 2).map(FullXid) {
                let top_level = others.iter().any(|other| other.xid() == Some(xid));
                assert!(
                    text.sees(xid) != (top_level || xid >= set.xmax),
                    "seed {seed}: {xid:?} {text}"
                );
            }
        }
    }
}
