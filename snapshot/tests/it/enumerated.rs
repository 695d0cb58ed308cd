//! The satisfies functions over every stamp of a small world, against the model.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;

use base::{FullXid, Infomask, Xid};
use snapshot::commit_ts::{CommitTimestamps, CommitTsHorizon, CommitTsStatus};
use snapshot::satisfies::{
    HistoricSnapshot, Judged, MvccSnapshot, VacuumVerdict, satisfies_any, satisfies_dirty,
    satisfies_historic, satisfies_mvcc, satisfies_non_vacuumable, satisfies_self, satisfies_toast,
    satisfies_update, satisfies_vacuum,
};
use snapshot::{CommandIdPair, Hints, TransactionStatus, TupleStamp};

use crate::model;
use crate::world::{ACTORS, CURCID, Case, World, cases, classic, commit_ts, infomasks};

const HORIZON: u32 = 204;

/// The verdicts of the rules that depend on the stamp alone.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Verdicts {
    mvcc: bool,
    itself: bool,
    toast: bool,
    dirty: snapshot::satisfies::DirtyVerdict,
    update: snapshot::satisfies::UpdateVerdict,
    vacuum: VacuumVerdict,
    non_vacuumable: bool,
}

fn judge<S, N>(
    stamp: &TupleStamp,
    snapshot: &N,
    status: &S,
    hints: &mut dyn FnMut(Hints),
) -> Verdicts
where
    S: TransactionStatus<Error = Infallible>,
    N: MvccSnapshot<S>,
{
    fn kept<V>(judged: Result<Judged<V>, Infallible>, hints: &mut dyn FnMut(Hints)) -> V {
        let Ok(judged) = judged;
        hints(judged.hints);
        judged.verdict
    }
    let horizon = Xid(HORIZON);
    Verdicts {
        mvcc: kept(satisfies_mvcc(stamp, snapshot, status), hints),
        itself: kept(satisfies_self(stamp, status), hints),
        toast: kept(satisfies_toast(stamp, status), hints),
        dirty: kept(satisfies_dirty(stamp, status), hints),
        update: kept(satisfies_update(stamp, CURCID, status), hints),
        vacuum: kept(satisfies_vacuum(stamp, &horizon, status), hints),
        non_vacuumable: kept(satisfies_non_vacuumable(stamp, &horizon, status), hints),
    }
}

fn modelled(case: &Case) -> Verdicts {
    // Special ids are older than every horizon.
    let vacuum = model::vacuum(case, |ender| ender.xid < HORIZON);
    Verdicts {
        mvcc: model::mvcc(case),
        itself: model::myself(case),
        toast: model::toast(case),
        dirty: model::dirty(case),
        update: model::update(case),
        vacuum,
        non_vacuumable: vacuum != VacuumVerdict::Dead,
    }
}

/// Shows the first of each kind of difference, and how many there are.
#[derive(Default)]
struct Differences(BTreeMap<String, (u64, String)>);

impl Differences {
    fn add(&mut self, kind: String, case: &dyn Debug) {
        let entry = self.0.entry(kind).or_insert_with(|| (0, format!("{case:?}")));
        entry.0 += 1;
    }

    fn none(self) {
        for (kind, (count, first)) in &self.0 {
            eprintln!("{count} times {kind}, first in {first}");
        }
        assert!(self.0.is_empty(), "{} kinds of differences", self.0.len());
    }
}

/// Cases judged, those that no server can write, and the differences, over a part of the infomasks.
fn compare(part: usize, parts: usize) -> (u64, u64, Differences) {
    let (full, overflowed) = (classic(false), classic(true));
    let table = CommitTimestamps::new(1024, FullXid(0));
    let by_time = commit_ts(&table);
    let status_by_time = CommitTsStatus { table: &table, behind: &World };
    let start = CommitTsHorizon { table: &table, oldest_start_ts: by_time.start_ts() };
    let (mut judged, mut impossible) = (0, 0);
    let mut differences = Differences::default();
    for infomask in infomasks().skip(part).step_by(parts) {
        cases(infomask, |case| {
            for successor in [false, true] {
                let mut case = *case;
                case.stamp.has_successor = successor;
                case.stamp.speculative_token = successor.then_some(9);
                judged += 1;
                if model::impossible(&case).is_some() {
                    // There is an answer all the same, and it does not depend on the overflow.
                    judge(&case.stamp, &full, &World, &mut |_| ());
                    impossible += 1;
                    continue;
                }
                let expected = modelled(&case);
                let mut untrue = false;
                let got = judge(&case.stamp, &full, &World, &mut |hints| {
                    untrue |= !model::hint_is_true(&case, hints);
                });
                if untrue {
                    differences.add("untrue hint".to_owned(), &case);
                }
                if got != expected {
                    differences.add(format!("{got:?} expected {expected:?}"), &case);
                }
                if judge(&case.stamp, &by_time, &status_by_time, &mut |_| ()) != expected {
                    differences.add("by commit timestamp".to_owned(), &case);
                }
                let Ok(by_start) = satisfies_vacuum(&case.stamp, &start, &status_by_time);
                if by_start.verdict != model::vacuum(&case, |ender| !ender.listed) {
                    differences.add("vacuum by start".to_owned(), &case);
                }
                let Ok(with_overflow) = satisfies_mvcc(&case.stamp, &overflowed, &World);
                if with_overflow.verdict != expected.mvcc {
                    differences.add("with overflow".to_owned(), &case);
                }
            }
        });
    }
    (judged, impossible, differences)
}

#[test]
fn every_stamp_is_judged_as_the_model_does() {
    let parts: Vec<_> = (0..2).map(|part| std::thread::spawn(move || compare(part, 2))).collect();
    let (mut judged, mut impossible) = (0, 0);
    let mut all = Differences::default();
    for part in parts {
        let (part_judged, part_impossible, differences) = part.join().expect("no panic");
        judged += part_judged;
        impossible += part_impossible;
        all.0.extend(differences.0);
    }
    eprintln!("{judged} stamps, {impossible} of them impossible");
    all.none();
    assert!(judged - impossible > 9_000_000);
}

/// Setting the hints that a rule gave changes no rule's verdict.
#[test]
fn hints_change_no_verdict() {
    let snapshot = classic(false);
    let mut differences = Differences::default();
    for infomask in infomasks().filter(|bits| !bits.intersects(Infomask::MOVED)) {
        cases(infomask, |case| {
            if model::impossible(case).is_some() {
                return;
            }
            let mut all = Vec::new();
            let before = judge(&case.stamp, &snapshot, &World, &mut |hints| all.push(hints));
            all.sort_unstable_by_key(|hints| (hints.xmin as u8, hints.xmax as u8));
            all.dedup();
            for hints in all {
                let set = hints.infomask(&case.stamp, |_| true);
                if set.is_empty() {
                    continue;
                }
                let stamp = TupleStamp { infomask: infomask | set, ..case.stamp };
                let mut after = judge(&stamp, &snapshot, &World, &mut |_| ());
                // The toast rule never looks an inserter up, but does not close its eyes to a mark.
                if set.contains(Infomask::XMIN_INVALID) {
                    after.toast = before.toast;
                }
                if after != before {
                    differences.add(format!("{before:?} became {after:?} by {set:?}"), case);
                }
            }
        });
    }
    differences.none();
}

#[test]
fn an_unflushed_commit_gives_no_hint() {
    let hints = Hints { xmin: snapshot::Hint::Committed, xmax: snapshot::Hint::Invalid };
    let stamp = TupleStamp { xmin: Xid(100), ..TupleStamp::default() };
    assert_eq!(hints.infomask(&stamp, |_| false), Infomask::XMAX_INVALID);
    let mut asked = Vec::new();
    let set = hints.infomask(&stamp, |xid| {
        asked.push(xid);
        true
    });
    assert_eq!((set, asked), (Infomask::XMIN_COMMITTED | Infomask::XMAX_INVALID, vec![Xid(100)]));
}

#[test]
fn any_takes_everything() {
    assert!(satisfies_any().verdict);
}

/// Decoding the transaction 210 with its subtransactions 211, 212 and 304, by a list and by a point of time.
#[test]
fn the_historic_rule_sees_who_committed_before() {
    let in_time = |actor: &crate::world::Actor| actor.committed && !actor.listed;
    let own = [210, 211, 212, 304];
    let committed = ACTORS.iter().filter(|actor| actor.xid >= 200 && in_time(actor));
    let snapshot = HistoricSnapshot::new(
        Xid(200),
        Xid(300),
        committed.map(|actor| Xid(actor.xid)).collect(),
        own.map(Xid).to_vec(),
        CURCID,
    );
    let table = CommitTimestamps::new(1024, FullXid(0));
    let by_time = HistoricSnapshot::over(commit_ts(&table), own.map(Xid).to_vec());
    let status_by_time = CommitTsStatus { table: &table, behind: &World };
    let pairs = [
        None,
        Some(CommandIdPair { cmin: 4, cmax: u32::MAX }),
        Some(CommandIdPair { cmin: 4, cmax: 4 }),
        Some(CommandIdPair { cmin: 4, cmax: 5 }),
        Some(CommandIdPair { cmin: 5, cmax: 6 }),
    ];
    let mut differences = Differences::default();
    let mut compared = 0;
    for infomask in infomasks().filter(|bits| !bits.intersects(Infomask::MOVED)) {
        cases(infomask, |case| {
            let bits = case.stamp.infomask;
            let believed = |actor: &crate::world::Actor, marked: bool| {
                if actor.xid < 200 { marked || actor.committed } else { in_time(actor) }
            };
            for pair in pairs {
                let inserted = if bits.xmin_frozen() {
                    true
                } else if bits.contains(Infomask::XMIN_INVALID) {
                    false
                } else if own.contains(&case.xmin.xid) {
                    pair.is_some_and(|pair| pair.cmin < CURCID)
                } else {
                    believed(case.xmin, bits.contains(Infomask::XMIN_COMMITTED))
                };
                let only_locked = bits.xmax_locked_only() || bits.contains(Infomask::XMAX_INVALID);
                // No ender at all, under a committed bit: nobody writes that.
                if case.ender.is_none() && !only_locked && bits.contains(Infomask::XMAX_COMMITTED) {
                    continue;
                }
                let ended = !only_locked
                    && case.ender.is_some_and(|ender| {
                        if own.contains(&ender.xid) {
                            pair.is_some_and(|pair| pair.cmax < CURCID)
                        } else {
                            believed(ender, bits.contains(Infomask::XMAX_COMMITTED))
                        }
                    });
                let Ok(got) = satisfies_historic(&case.stamp, &snapshot, || pair, &World);
                if got.verdict != (inserted && !ended) {
                    differences.add(format!("{got:?}"), &(case, pair));
                }
                // Nobody marks as committed who did not commit: a list passes over that, a time believes it.
                let untrue = |marked: bool, actor: &crate::world::Actor| marked && !actor.committed;
                if untrue(bits.xmin_committed() && !bits.xmin_frozen(), case.xmin)
                    || case
                        .ender
                        .is_some_and(|ender| untrue(bits.contains(Infomask::XMAX_COMMITTED), ender))
                {
                    continue;
                }
                let Ok(got) = satisfies_historic(&case.stamp, &by_time, || pair, &status_by_time);
                if got.verdict != (inserted && !ended) {
                    differences.add(format!("by time: {got:?}"), &(case, pair));
                }
                compared += 1;
            }
        });
    }
    differences.none();
    assert!(compared > 1_000_000, "{compared} stamps in both modes");
}
