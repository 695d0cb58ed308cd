//! One thread, random operations, and after each the array equals a model that knows nothing of slots,
//! dense arrays or locks: who runs, with which subtransactions, and what has ended.

use std::collections::BTreeMap;

use base::{FullXid, TimestampTz};
use procarray::{
    Backend, GroupClear, Holder, MAX_CACHED_SUBXIDS, Prepared, ReservedSlot, RunningSet, Taken,
};

use crate::array;
use crate::random::{Random, seeds};

#[derive(Clone, Default)]
struct Running {
    xid: FullXid,
    held: Vec<FullXid>,
    overflowed: bool,
    latest: FullXid,
}

struct Session {
    backend: Backend,
    set: RunningSet,
}

struct Model {
    sessions: BTreeMap<u32, (Option<Running>, Option<FullXid>)>,
    prepared: BTreeMap<u32, Running>,
    latest_completed: FullXid,
    completions: u64,
}

impl Model {
    fn end(&mut self, running: &Running) {
        self.latest_completed = self.latest_completed.max(running.latest);
        self.completions += 1;
    }

    /// Everyone, by slot; sessions have lower numbers.
    fn running(&self) -> impl Iterator<Item = (u32, &Running)> {
        let sessions = self.sessions.iter().filter_map(|(&number, (running, _))| {
            running.as_ref().map(|running| (number, running))
        });
        sessions.chain(self.prepared.iter().map(|(&number, running)| (number, running)))
    }

    fn set(&self, owner: u32) -> RunningSet {
        let xmax = self.latest_completed.next();
        let mut set = RunningSet {
            xmin: xmax,
            xmax,
            completion_count: self.completions,
            ..RunningSet::default()
        };
        for (number, running) in self.running() {
            if number == owner {
                set.own_xid = Some(running.xid);
            }
            if running.xid >= xmax {
                continue;
            }
            set.xmin = set.xmin.min(running.xid);
            if number != owner {
                set.xids.push(running.xid.xid());
                set.overflowed |= running.overflowed;
                set.subxids.extend(running.held.iter().map(|subxid| subxid.xid()));
            }
        }
        if set.overflowed {
            set.subxids.clear();
        }
        set
    }
}

/// One history.
fn play(seed: u64, first_xid: u64) {
    let mut random = Random::new(seed);
    let groups = [GroupClear::WhenContended, GroupClear::Always, GroupClear::Never];
    let array = array(6, 3, first_xid, groups[random.below(3)]);
    let mut sessions: BTreeMap<u32, Session> = BTreeMap::new();
    let mut prepared: BTreeMap<u32, Prepared> = BTreeMap::new();
    let mut model = Model {
        sessions: BTreeMap::new(),
        prepared: BTreeMap::new(),
        latest_completed: array.latest_completed(),
        completions: 1,
    };
    for _ in 0..400 {
        let pick = |random: &mut Random, keys: Vec<u32>| {
            (!keys.is_empty()).then(|| keys[random.below(keys.len())])
        };
        let session = pick(&mut random, sessions.keys().copied().collect());
        match (random.below(12), session) {
            (0, _) => match Backend::connect(&array, 1) {
                Ok(backend) => {
                    let number = backend.number().0;
                    model.sessions.insert(number, (None, None));
                    sessions.insert(number, Session { backend, set: RunningSet::default() });
                }
                Err(_) => assert_eq!(sessions.len(), 6, "slots are left"),
            },
            (1, Some(number)) if random.below(3) == 0 => {
                sessions.remove(&number);
                if let Some((Some(running), _)) = model.sessions.remove(&number) {
                    model.end(&running);
                }
            }
            (2 | 3, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                let state = &mut model.sessions.get_mut(&number).expect("it is there").0;
                if state.is_none() {
                    let xid = backend.assign_xid();
                    *state = Some(Running { xid, latest: xid, ..Running::default() });
                }
            }
            (4 | 5, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                if let Some(running) = &mut model.sessions.get_mut(&number).expect("there").0 {
                    let many = if random.below(20) == 0 { 70 } else { 1 };
                    for _ in 0..many {
                        let subxid = backend.assign_subxid();
                        running.latest = subxid;
                        if running.held.len() < MAX_CACHED_SUBXIDS {
                            running.held.push(subxid);
                        } else {
                            running.overflowed = true;
                        }
                    }
                }
            }
            (6, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                let running = &mut model.sessions.get_mut(&number).expect("there").0;
                if let Some(running) = running
                    && !running.held.is_empty()
                {
                    // The newest ones, as a subtransaction's abort takes its children along.
                    let from = random.below(running.held.len());
                    let aborted = running.held.split_off(from);
                    backend.abort_subtransactions(&aborted);
                    let latest = aborted.iter().copied().max().expect("one at least");
                    model.latest_completed = model.latest_completed.max(latest);
                    model.completions += 1;
                }
            }
            (7 | 8, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                backend.end_transaction();
                let state = model.sessions.get_mut(&number).expect("it is there");
                state.1 = None;
                if let Some(running) = state.0.take() {
                    model.end(&running);
                }
            }
            (9, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                let state = model.sessions.get_mut(&number).expect("it is there");
                if let Some(running) = state.0.clone() {
                    match ReservedSlot::take(&array) {
                        Ok(reserved) => {
                            let dummy = backend.prepare(reserved, TimestampTz(seed as i64));
                            *state = (None, None);
                            model.completions += 1;
                            model.prepared.insert(dummy.number().0, running);
                            prepared.insert(dummy.number().0, dummy);
                        }
                        Err(_) => assert_eq!(prepared.len(), 3, "slots are left"),
                    }
                }
            }
            (10, _) => {
                if let Some(number) = pick(&mut random, prepared.keys().copied().collect()) {
                    prepared.remove(&number).expect("it is there").finish();
                    let running = model.prepared.remove(&number).expect("it is there");
                    model.end(&running);
                }
            }
            (11, Some(number)) => {
                let session = sessions.get_mut(&number).expect("it is there");
                let mut expected = model.set(number);
                let reusable = session.set.completion_count == model.completions;
                let taken = session.backend.take_running(&mut session.set);
                assert_eq!(taken == Taken::Reused, reusable);
                let mut set = session.set.clone();
                for set in [&mut set, &mut expected] {
                    set.subxids.retain(|subxid| subxid.precedes(set.xmax.xid()));
                    set.subxids.sort_by_key(|subxid| subxid.0);
                }
                if !reusable {
                    assert_eq!(set.overflowed, expected.overflowed);
                }
                // A set that is reused may know less of subtransactions at or above its xmax.
                set.overflowed = expected.overflowed;
                if expected.overflowed {
                    set.subxids.clear();
                }
                assert_eq!(set, expected, "seed {seed}");
                let state = &mut model.sessions.get_mut(&number).expect("it is there").1;
                state.get_or_insert(session.set.xmin);
            }
            _ => {}
        }
        array.check();
        assert_eq!(array.latest_completed(), model.latest_completed, "seed {seed}");
        assert_eq!(array.completion_count(), model.completions, "seed {seed}");
        let xmins = model.sessions.values().filter_map(|(_, xmin)| *xmin);
        let next = model.latest_completed.next();
        let held = model.running().map(|(_, running)| running.xid).chain(xmins).min();
        let horizons = array.horizons(Some(1), None);
        assert_eq!(horizons.data.xid, held.map_or(next, |held| held.min(next)), "seed {seed}");
        assert_eq!(
            horizons.data.holder == Holder::Nobody,
            held.is_none_or(|held| held > next),
            "seed {seed}: {horizons:?}"
        );
    }
    for prepared in prepared.into_values() {
        prepared.finish();
    }
}

#[test]
fn random_histories_equal_a_sequential_model() {
    for seed in seeds(100) {
        for first_xid in [3, (1 << 31) - 200, (1 << 32) - 200, (7 << 32) - 100] {
            play(seed, first_xid);
        }
    }
}
