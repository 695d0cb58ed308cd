//! One thread, random operations, and after each the array equals a model that knows nothing of slots,
//! dense arrays or locks: who runs, with which subtransactions, what has ended, and how far back somebody looks, in two
//! databases, with a standby's feedback and replication slots.

use std::collections::BTreeMap;

use base::{FullXid, TimestampTz};
use fastrand::Rng;
use procarray::{
    Backend, GlobalVisibility, GroupClear, Holder, HorizonKind, MAX_CACHED_SUBXIDS, Prepared,
    ReplicationXmins, ReservedSlot, RunningSet, Taken,
};

use crate::array;
use crate::seeds::seeds;

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
    visibility: GlobalVisibility,
}

/// What a session shows.
#[derive(Clone, Default)]
struct Shown {
    database: u32,
    running: Option<Running>,
    xmin: Option<FullXid>,
}

struct Model {
    sessions: BTreeMap<u32, Shown>,
    /// With their databases.
    prepared: BTreeMap<u32, (u32, Running)>,
    latest_completed: FullXid,
    completions: u64,
    feedback: Option<FullXid>,
    replication: ReplicationXmins,
}

impl Model {
    fn end(&mut self, running: &Running) {
        self.latest_completed = self.latest_completed.max(running.latest);
        self.completions += 1;
    }

    /// Everyone, by slot; sessions have lower numbers.
    fn running(&self) -> impl Iterator<Item = (u32, &Running)> {
        let sessions = self
            .sessions
            .iter()
            .filter_map(|(&number, shown)| shown.running.as_ref().map(|running| (number, running)));
        sessions.chain(self.prepared.iter().map(|(&number, (_, running))| (number, running)))
    }

    /// The oldest that anybody asks for who counts in a database, or in all of them; `None` if it is newer than what
    /// comes next.
    fn needed(&self, database: Option<u32>) -> Option<FullXid> {
        let here = |of: u32| database.is_none_or(|database| database == of);
        let sessions = self.sessions.values().filter(|shown| here(shown.database));
        let sessions =
            sessions.flat_map(|shown| [shown.running.as_ref().map(|it| it.xid), shown.xmin]);
        let prepared = self.prepared.values().filter(|(database, _)| here(*database));
        let prepared = prepared.map(|(_, running)| Some(running.xid));
        let others = [self.feedback, self.replication.data];
        let next = self.latest_completed.next();
        sessions.chain(prepared).chain(others).flatten().min().filter(|oldest| *oldest <= next)
    }

    fn horizon(&self, kind: HorizonKind, database: u32, own: Option<FullXid>) -> FullXid {
        let next = self.latest_completed.next();
        let with_catalog = |needed: Option<FullXid>| {
            let oldest = needed.unwrap_or(next);
            self.replication.catalog.map_or(oldest, |slots| slots.min(oldest))
        };
        match kind {
            HorizonKind::Shared => with_catalog(self.needed(None)),
            HorizonKind::Catalog => with_catalog(self.needed(Some(database))),
            HorizonKind::Data => self.needed(Some(database)).unwrap_or(next),
            HorizonKind::Temporary => own.unwrap_or(next),
        }
    }

    fn set(&self, owner: u32) -> RunningSet {
        let xmax = self.latest_completed.next();
        let mut set = RunningSet {
            xmin: xmax,
            xmax,
            completion_count: self.completions,
            replication: self.replication,
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
    let mut random = Rng::with_seed(seed);
    let groups = [GroupClear::WhenContended, GroupClear::Always, GroupClear::Never];
    let array = array(7, 3, first_xid, groups[random.usize(..3)]);
    let mut sender = Backend::connect(&array, 0).expect("a free slot");
    let kinds = [HorizonKind::Shared, HorizonKind::Catalog, HorizonKind::Data];
    // The newest horizon so far, for each kind and database: what it let go is gone.
    let mut newest = [[FullXid(0); 2]; 3];
    let mut sessions: BTreeMap<u32, Session> = BTreeMap::new();
    let mut prepared: BTreeMap<u32, Prepared> = BTreeMap::new();
    let mut model = Model {
        sessions: BTreeMap::new(),
        prepared: BTreeMap::new(),
        latest_completed: array.latest_completed(),
        completions: 1,
        feedback: None,
        replication: ReplicationXmins::default(),
    };
    for _ in 0..400 {
        let pick = |random: &mut Rng, keys: Vec<u32>| {
            (!keys.is_empty()).then(|| keys[random.usize(..keys.len())])
        };
        let session = pick(&mut random, sessions.keys().copied().collect());
        // Something that is older than most.
        let back = |random: &mut Rng, model: &Model| {
            let back = random.u64(..30);
            (back > 0).then(|| FullXid(model.latest_completed.0.saturating_sub(back).max(3)))
        };
        match (random.usize(..14), session) {
            (0, _) => match Backend::connect(&array, random.u32(1..=2)) {
                Ok(backend) => {
                    let (number, database) = (backend.number().0, backend.database());
                    model.sessions.insert(number, Shown { database, ..Shown::default() });
                    let visibility = GlobalVisibility::new();
                    let set = RunningSet::default();
                    sessions.insert(number, Session { backend, set, visibility });
                }
                Err(_) => assert_eq!(sessions.len(), 6, "slots are left"),
            },
            (1, Some(number)) if random.usize(..3) == 0 => {
                sessions.remove(&number);
                if let Some(Shown { running: Some(running), .. }) = model.sessions.remove(&number) {
                    model.end(&running);
                }
            }
            (2 | 3, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                let state = &mut model.sessions.get_mut(&number).expect("it is there").running;
                if state.is_none() {
                    let xid = backend.assign_xid();
                    *state = Some(Running { xid, latest: xid, ..Running::default() });
                }
            }
            (4 | 5, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                if let Some(running) = &mut model.sessions.get_mut(&number).expect("there").running
                {
                    let many = if random.usize(..20) == 0 { 70 } else { 1 };
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
                let running = &mut model.sessions.get_mut(&number).expect("there").running;
                if let Some(running) = running
                    && !running.held.is_empty()
                {
                    // The newest ones, as a subtransaction's abort takes its children along.
                    let from = random.usize(..running.held.len());
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
                state.xmin = None;
                if let Some(running) = state.running.take() {
                    model.end(&running);
                }
            }
            (9, Some(number)) => {
                let backend = &mut sessions.get_mut(&number).expect("it is there").backend;
                let state = model.sessions.get_mut(&number).expect("it is there");
                if let Some(running) = state.running.clone() {
                    match ReservedSlot::take(&array) {
                        Ok(reserved) => {
                            let dummy = backend.prepare(reserved, TimestampTz(seed as i64));
                            let database = state.database;
                            *state = Shown { database, ..Shown::default() };
                            model.completions += 1;
                            model.prepared.insert(dummy.number().0, (database, running));
                            prepared.insert(dummy.number().0, dummy);
                        }
                        Err(_) => assert_eq!(prepared.len(), 3, "slots are left"),
                    }
                }
            }
            (10, _) => {
                if let Some(number) = pick(&mut random, prepared.keys().copied().collect()) {
                    prepared.remove(&number).expect("it is there").finish();
                    let (_, running) = model.prepared.remove(&number).expect("it is there");
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
                if reusable {
                    // A set that is reused may know less of subtransactions at or above its xmax, and nothing of what
                    // slots asked for meanwhile.
                    set.overflowed = expected.overflowed;
                    set.replication = expected.replication;
                } else {
                    session.visibility.take_in(&set, FullXid(first_xid));
                }
                if expected.overflowed {
                    set.subxids.clear();
                }
                assert_eq!(set, expected, "seed {seed}");
                let state = &mut model.sessions.get_mut(&number).expect("it is there").xmin;
                state.get_or_insert(session.set.xmin);
            }
            (12, Some(number)) => {
                let Session { backend, visibility, .. } =
                    sessions.get_mut(&number).expect("it is there");
                let at = random.usize(..3);
                let span = (array.next_xid().0 - first_xid + 2) as usize;
                let ender = FullXid(first_xid + random.usize(..span) as u64);
                if visibility.is_removable(backend, kinds[at], ender) {
                    let let_go = newest[at][backend.database() as usize - 1];
                    let known = FullXid(first_xid).max(let_go);
                    assert!(ender < known, "seed {seed}: {ender:?} is needed, {let_go:?}");
                }
            }
            (13, _) if random.usize(..2) == 0 => {
                model.feedback = back(&mut random, &model);
                sender.set_feedback_xmin(model.feedback);
            }
            (13, _) => {
                let (data, catalog) = (back(&mut random, &model), back(&mut random, &model));
                model.replication = ReplicationXmins { data, catalog };
                array.set_replication_xmins(model.replication);
            }
            _ => {}
        }
        array.check();
        assert_eq!(array.latest_completed(), model.latest_completed, "seed {seed}");
        assert_eq!(array.completion_count(), model.completions, "seed {seed}");
        for database in [1, 2] {
            let horizons = array.horizons(Some(database), None);
            for (kind, newest) in kinds.into_iter().zip(&mut newest) {
                let expected = model.horizon(kind, database, None);
                assert_eq!(horizons.of(kind).xid, expected, "seed {seed}: {kind:?} in {database}");
                newest[database as usize - 1] = newest[database as usize - 1].max(expected);
            }
            let is_free = model.needed(Some(database)).is_none();
            assert_eq!(
                horizons.data.holder == Holder::Nobody,
                is_free,
                "seed {seed}: {horizons:?}"
            );
        }
        for (number, Session { backend, .. }) in &sessions {
            let shown = &model.sessions[number];
            let own = shown.running.as_ref().map(|running| running.xid);
            let expected = model.horizon(HorizonKind::Temporary, shown.database, own);
            assert_eq!(backend.horizons().temporary.xid, expected, "seed {seed}");
        }
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
