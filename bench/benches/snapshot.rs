//! Taking a snapshot and asking it, in nanoseconds: `cargo xtask bench snapshot` runs this beside PostgreSQL's own
//! GetSnapshotData and writes docs/benchmarks/snapshot.md.

use std::borrow::Cow;
use std::convert::Infallible;
use std::hint::black_box;
use std::time::{Duration, Instant};

use base::{CommandId, FullXid, MultiXactId, TimestampTz, Xid};
use bench::{RUNNING, Running};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use procarray::{Advertised, RunningSet};
use snapshot::classic::ClassicSnapshot;
use snapshot::commit_ts::CommitTimestamps;
use snapshot::commit_ts::clock::{HybridClock, TestClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::source::{CommitTsSource, SnapshotSource};
use snapshot::status::{CommandIdPair, LoggedStatus, MultiXactMember, TransactionStatus};

fn taking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take");
    for count in RUNNING {
        let mut running = Running::new(count);
        // As the peer does it: under the lock, into the memory of the one before, with an xmin shown already.
        let mut set = RunningSet::default();
        running.session.take_running(&mut set);
        group.bench_function(BenchmarkId::new("rebuilt", count), |bencher| {
            bencher.iter(|| {
                set.completion_count = 0;
                running.session.take_running(black_box(&mut set))
            });
        });
        let mut snapshot = ClassicSnapshot::default();
        running.session.take(&mut snapshot, 0);
        assert_eq!(snapshot.contents().xip.len(), count);
        group.bench_function(BenchmarkId::new("reused", count), |bencher| {
            bencher.iter(|| running.session.take(black_box(&mut snapshot), 0));
        });
        let table = CommitTimestamps::new(1 << 16, FullXid(3));
        let clock = || HybridClock::new(TestClock::default(), TimestampTz(100));
        commit_ts(
            &mut group,
            "commit-ts by marker",
            count,
            &running,
            &table,
            &ByMarker::new(clock()),
        );
        commit_ts(
            &mut group,
            "commit-ts in order",
            count,
            &running,
            &table,
            &InOrder::new(clock()),
        );
    }
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn commit_ts<P: Publication>(
    group: &mut Group<'_>,
    name: &str,
    count: usize,
    running: &Running,
    table: &CommitTimestamps,
    publication: &P,
) {
    let advertised = Advertised::new(count + 2);
    let backend = &running.session;
    let mut source = CommitTsSource { backend, table, publication, advertised: &advertised };
    let mut snapshot = source.blank();
    // The first one shows the session's start; the further ones of a transaction need not.
    source.take(&mut snapshot, 0);
    group.bench_function(BenchmarkId::new(name, count), |bencher| {
        bencher.iter(|| source.take(black_box(&mut snapshot), 0));
    });
    source.advance(None);
    group.bench_function(
        BenchmarkId::new(format!("{name}, first of a transaction"), count),
        |bencher| {
            bencher.iter(|| {
                source.take(black_box(&mut snapshot), 0);
                source.advance(None);
            });
        },
    );
}

fn membership(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("membership");
    for count in RUNNING {
        let mut running = Running::new(count);
        let mut snapshot = ClassicSnapshot::default();
        running.session.take(&mut snapshot, 0);
        let listed = &snapshot.contents().xip;
        let (xmin, xmax) = (snapshot.contents().xmin.0, snapshot.contents().xmax.0);
        let asked: Vec<Xid> = (0..1024u32)
            .map(|i| Xid(xmin + i.wrapping_mul(2_654_435_761) % (xmax - xmin).max(1)))
            .collect();
        group.bench_function(BenchmarkId::new("search", count), |bencher| {
            bencher.iter_custom(|rounds| {
                per_question(rounds, &asked, |xid| {
                    matches!(snapshot.contains(xid, &AllRun), Ok(true))
                })
            });
        });
        group.bench_function(BenchmarkId::new("linear search", count), |bencher| {
            bencher.iter_custom(|rounds| per_question(rounds, &asked, |xid| listed.contains(&xid)));
        });
    }
    group.finish();
}

/// The time of `rounds` questions, asked in blocks.
fn per_question(rounds: u64, asked: &[Xid], mut is_listed: impl FnMut(Xid) -> bool) -> Duration {
    let began = Instant::now();
    let mut listed = 0u64;
    for round in 0..rounds {
        let xid = black_box(asked[round as usize % asked.len()]);
        listed += u64::from(is_listed(xid));
    }
    black_box(listed);
    began.elapsed()
}

/// Of transactions that all run: a list without overflow asks none of these.
struct AllRun;

impl TransactionStatus for AllRun {
    type Error = Infallible;

    fn own(&self, _: Xid) -> bool {
        false
    }

    fn running(&self, _: Xid) -> Result<bool, Infallible> {
        Ok(true)
    }

    fn logged(&self, _: Xid) -> Result<LoggedStatus, Infallible> {
        Ok(LoggedStatus::InProgress)
    }

    fn parent(&self, _: Xid) -> Result<Option<Xid>, Infallible> {
        Ok(None)
    }

    fn members(&self, _: MultiXactId, _: bool) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        Ok(Cow::Borrowed(&[]))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
        Ok(CommandIdPair { cmin: combo, cmax: combo })
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1000))
        .sample_size(50);
    targets = taking, membership
}
criterion_main!(benches);
