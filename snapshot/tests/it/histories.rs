//! Random histories, seen by both kinds of snapshot: the list and the point of time must give the same
//! verdict for every pair of a version and a snapshot, whenever asked.
//!
//! A history is a list of small numbers, each read as a step against the state it meets: so that any part
//! of one is a history again, and proptest can cut a failing one down. What remains is printed as a grid.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::Write as _;

use base::{CommandId, FullXid, Infomask, MultiXactId, TimestampTz, Xid};
use snapshot::commit_ts::clock::{HybridClock, TestClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot, CommitTsStatus};
use snapshot::satisfies::{satisfies_mvcc, satisfies_self, satisfies_vacuum_horizon};
use snapshot::{
    ClassicSnapshot, CommandIdPair, Contents, LoggedStatus, MultiXactMember, MultiXactStatus,
    TransactionStatus, TupleStamp,
};

/// Subtransactions of one transaction that a classic snapshot lists.
const LISTED_SUBXIDS: usize = 2;

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Running,
    Prepared,
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
struct Transaction {
    xid: FullXid,
    /// Index of the parent.
    parent: Option<usize>,
    state: State,
    command: CommandId,
}

/// A step, for the grid.
#[derive(Clone, Debug)]
enum Event {
    Begin(usize),
    Prepare(usize),
    Commit(usize),
    Abort(usize),
    Snapshot(usize),
}

struct Pair<'t> {
    classic: ClassicSnapshot,
    by_time: CommitTsSnapshot<'t>,
    /// The transaction that took it.
    owner: Option<usize>,
}

/// The history so far.
struct History<'t, P> {
    publication: P,
    table: &'t CommitTimestamps,
    next: u64,
    transactions: Vec<Transaction>,
    versions: Vec<TupleStamp>,
    multixacts: Vec<Vec<MultiXactMember>>,
    combos: Vec<CommandIdPair>,
    snapshots: Vec<Pair<'t>>,
    events: Vec<Event>,
}

/// The fates as one transaction, or nobody, sees them.
struct Asked<'a, P> {
    history: &'a History<'a, P>,
    owner: Option<usize>,
}

impl<'t, P: Publication> History<'t, P> {
    fn new(publication: P, table: &'t CommitTimestamps, first: FullXid) -> History<'t, P> {
        History {
            publication,
            table,
            next: first.0,
            transactions: Vec::new(),
            versions: Vec::new(),
            multixacts: Vec::new(),
            combos: Vec::new(),
            snapshots: Vec::new(),
            events: Vec::new(),
        }
    }

    fn find(&self, xid: Xid) -> Option<&Transaction> {
        self.transactions.iter().rev().find(|transaction| transaction.xid.xid() == xid)
    }

    fn top(&self, mut index: usize) -> usize {
        while let Some(parent) = self.transactions[index].parent {
            index = parent;
        }
        index
    }

    fn is_within(&self, mut index: usize, root: usize) -> bool {
        loop {
            if index == root {
                return true;
            }
            match self.transactions[index].parent {
                Some(parent) => index = parent,
                None => return false,
            }
        }
    }

    fn begin(&mut self, parent: Option<usize>) {
        while !FullXid(self.next).xid().is_normal() {
            self.next += 1;
        }
        let xid = FullXid(self.next);
        self.next += 1;
        if let Some(parent) = parent {
            self.table.begin_child(xid, self.transactions[parent].xid).expect("a large window");
        } else {
            self.table.check(xid).expect("a large window");
        }
        let index = self.transactions.len();
        self.transactions.push(Transaction { xid, parent, state: State::Running, command: 0 });
        self.events.push(Event::Begin(index));
    }

    /// Those of a state, for a number to choose one.
    fn choose(&self, number: u8, is: impl Fn(usize) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.transactions.len()).filter(|index| is(*index)).collect();
        (!fitting.is_empty()).then(|| fitting[usize::from(number) % fitting.len()])
    }

    fn running(&self, number: u8) -> Option<usize> {
        self.choose(number, |index| self.transactions[index].state == State::Running)
    }

    fn end(&mut self, root: usize, state: State) {
        let tree: Vec<usize> = (root..self.transactions.len())
            .filter(|index| {
                let state = self.transactions[*index].state;
                self.is_within(*index, root) && matches!(state, State::Running | State::Prepared)
            })
            .collect();
        let xid = self.transactions[root].xid;
        let children: Vec<FullXid> = tree
            .iter()
            .filter(|index| **index != root)
            .map(|index| self.transactions[*index].xid)
            .collect();
        match state {
            State::Committed => {
                let timestamp = self.publication.draw(self.table, xid);
                self.publication.publish(self.table, xid, &children, timestamp);
                self.events.push(Event::Commit(root));
            }
            State::Aborted => {
                self.table.abort(xid, &children);
                self.events.push(Event::Abort(root));
            }
            State::Prepared => {
                self.table.prepare(xid, TimestampTz(1));
                self.events.push(Event::Prepare(root));
            }
            State::Running => unreachable!("nobody ends running"),
        }
        for index in tree {
            self.transactions[index].state = state;
        }
    }

    fn step(&mut self, kind: u8, number: u8) {
        match kind % 16 {
            0 | 1 => self.begin(None),
            2 => {
                if let Some(parent) = self.running(number) {
                    self.begin(Some(parent));
                }
            }
            3..=5 => self.insert(number),
            6..=8 => self.change(number, kind / 16),
            9 | 10 => {
                let top = |index: usize| {
                    let transaction = &self.transactions[index];
                    transaction.parent.is_none()
                        && matches!(transaction.state, State::Running | State::Prepared)
                };
                if let Some(index) = self.choose(number, top) {
                    let state = if kind / 16 == 0 { State::Aborted } else { State::Committed };
                    self.end(index, state);
                }
            }
            11 => {
                // A subtransaction rolls back, or a transaction does.
                if let Some(index) = self.running(number) {
                    self.end(index, State::Aborted);
                }
            }
            12 => {
                if let Some(index) = self.running(number) {
                    let index = self.top(index);
                    self.end(index, State::Prepared);
                }
            }
            13 => {
                if let Some(index) = self.running(number) {
                    let index = self.top(index);
                    self.transactions[index].command += 1;
                }
            }
            _ => self.snapshot(number),
        }
    }

    fn command(&self, index: usize) -> CommandId {
        self.transactions[self.top(index)].command
    }

    fn insert(&mut self, number: u8) {
        if let Some(index) = self.running(number) {
            self.versions.push(TupleStamp {
                xmin: self.transactions[index].xid.xid(),
                field3: self.command(index),
                infomask: Infomask::XMAX_INVALID,
                ..TupleStamp::default()
            });
        }
    }

    /// Ends or locks a version that a running transaction sees as of now, as the heap would.
    fn change(&mut self, number: u8, how: u8) {
        let Some(by) = self.running(number) else { return };
        if self.versions.is_empty() {
            return;
        }
        let at = usize::from(how).wrapping_mul(31).wrapping_add(usize::from(number));
        let at = at % self.versions.len();
        let stamp = self.versions[at];
        let asked = Asked { history: self, owner: Some(self.top(by)) };
        let Ok(visible) = satisfies_self(&stamp, &asked);
        let only_locks = how.is_multiple_of(4);
        let Ok((judged, _)) = satisfies_vacuum_horizon(&stamp, &asked);
        let own_insert = asked.is_own(stamp.xmin);
        let held = !stamp.infomask.contains(Infomask::XMAX_INVALID) && asked.ends_or_locks(&stamp);
        if !visible.verdict
            || judged.verdict == snapshot::satisfies::VacuumVerdict::DeleteInProgress
        {
            return;
        }
        let xid = self.transactions[by].xid.xid();
        let command = self.command(by);
        let mut infomask = stamp.infomask - Infomask::XMAX_BITS - Infomask::COMBOCID;
        let mut field3 = stamp.field3;
        let mut xmax = xid;
        if only_locks {
            infomask |= Infomask::XMAX_LOCK_ONLY | Infomask::XMAX_KEYSHR_LOCK;
            if stamp.infomask.contains(Infomask::COMBOCID) {
                infomask |= Infomask::COMBOCID;
            }
        } else if own_insert {
            let Ok(cmin) = asked.cmin(&stamp);
            field3 = self.combos.len() as u32;
            infomask |= Infomask::COMBOCID;
            self.combos.push(CommandIdPair { cmin, cmax: command });
        } else {
            field3 = command;
        }
        if held {
            // Whoever locks it already goes on, together with the new one.
            let mut members = self.lockers(&stamp);
            members.retain(|member| member.xid != xid);
            let status = if only_locks {
                MultiXactStatus::ForKeyShare
            } else {
                MultiXactStatus::NoKeyUpdate
            };
            members.push(MultiXactMember { xid, status });
            xmax = Xid(self.multixacts.len() as u32 + 1);
            self.multixacts.push(members);
            infomask |= Infomask::XMAX_IS_MULTI;
        }
        self.versions[at] = TupleStamp { xmax, field3, infomask, ..stamp };
    }

    fn lockers(&self, stamp: &TupleStamp) -> Vec<MultiXactMember> {
        if stamp.infomask.contains(Infomask::XMAX_IS_MULTI) {
            let members = self.multixacts[stamp.xmax.0 as usize - 1].iter().copied();
            members.filter(|member| !member.status.is_update()).collect()
        } else if stamp.infomask.contains(Infomask::XMAX_LOCK_ONLY) {
            vec![MultiXactMember { xid: stamp.xmax, status: MultiXactStatus::ForKeyShare }]
        } else {
            Vec::new()
        }
    }

    fn snapshot(&mut self, number: u8) {
        let owner = if number.is_multiple_of(3) { None } else { self.running(number) };
        let owner = owner.map(|index| self.top(index));
        let mut contents = Contents { xmax: FullXid(self.next).xid(), ..Contents::default() };
        if !contents.xmax.is_normal() {
            contents.xmax = Xid::FIRST_NORMAL;
        }
        contents.xmin = contents.xmax;
        let mut listed = vec![0; self.transactions.len()];
        for (index, transaction) in self.transactions.iter().enumerate() {
            if !matches!(transaction.state, State::Running | State::Prepared) {
                continue;
            }
            let xid = transaction.xid.xid();
            if xid.precedes(contents.xmin) {
                contents.xmin = xid;
            }
            let top = self.top(index);
            if Some(top) == owner {
                continue;
            }
            if top == index {
                contents.xip.push(xid);
            } else if listed[top] < LISTED_SUBXIDS {
                listed[top] += 1;
                contents.subxip.push(xid);
            } else {
                contents.suboverflowed = true;
            }
        }
        let (xmin, xmax) = (contents.xmin, contents.xmax);
        let curcid = owner.map_or(0, |owner| self.transactions[owner].command);
        let by_time = CommitTsSnapshot::take(self.table, &self.publication, xmin, || xmax, curcid);
        self.events.push(Event::Snapshot(self.snapshots.len()));
        self.snapshots.push(Pair {
            classic: ClassicSnapshot::new(contents, curcid),
            by_time,
            owner,
        });
    }

    /// Every version by every snapshot; the first difference as a grid.
    fn compare(&self) -> Result<u64, String> {
        let mut compared = 0;
        for (index, pair) in self.snapshots.iter().enumerate() {
            // An owner that has ended asks nothing any more.
            if pair.owner.is_some_and(|owner| self.transactions[owner].state != State::Running) {
                continue;
            }
            let asked = Asked { history: self, owner: pair.owner };
            let by_time = CommitTsStatus { table: self.table, behind: &asked };
            for stamp in &self.versions {
                let Ok(classic) = satisfies_mvcc(stamp, &pair.classic, &asked);
                let Ok(other) = satisfies_mvcc(stamp, &pair.by_time, &by_time);
                compared += 1;
                if classic.verdict != other.verdict {
                    return Err(format!(
                        "snapshot {index} (owner {:?}) of {stamp:?}\n  list: {}, {}\n  time: {}, {}\n{}",
                        pair.owner,
                        classic.verdict,
                        classic.sentence(),
                        other.verdict,
                        other.sentence(),
                        self.grid()
                    ));
                }
            }
        }
        Ok(compared)
    }

    /// Steps downwards, transactions across: `b`egin, `p`repare, `c`ommit, `a`bort, `|` running.
    fn grid(&self) -> String {
        let mut grid = String::from("time ");
        for transaction in &self.transactions {
            let _ = write!(grid, "{:>12}", transaction.xid.0);
        }
        let mut alive = vec![false; self.transactions.len()];
        for (time, event) in self.events.iter().enumerate() {
            let _ = write!(grid, "\n{time:>4} ");
            let (who, sign) = match event {
                Event::Begin(index) => (Some(*index), 'b'),
                Event::Prepare(index) => (Some(*index), 'p'),
                Event::Commit(index) => (Some(*index), 'c'),
                Event::Abort(index) => (Some(*index), 'a'),
                Event::Snapshot(_) => (None, 's'),
            };
            for (index, alive) in alive.iter_mut().enumerate() {
                let ends = matches!(event, Event::Commit(root) | Event::Abort(root)
                    if self.is_within(index, *root) && *alive);
                let cell = if Some(index) == who || ends {
                    sign
                } else if *alive {
                    '|'
                } else {
                    ' '
                };
                let _ = write!(grid, "{cell:>12}");
                if sign == 'b' && Some(index) == who {
                    *alive = true;
                }
                if ends {
                    *alive = false;
                }
            }
            if let Event::Snapshot(number) = event {
                let pair = &self.snapshots[*number];
                let _ = write!(grid, "  snapshot {number}: {:?}", pair.by_time.start_ts());
            }
        }
        grid
    }
}

impl<P: Publication> Asked<'_, P> {
    fn ends_or_locks(&self, stamp: &TupleStamp) -> bool {
        self.history.lockers(stamp).iter().any(|member| {
            let Ok(running) = self.is_in_progress(member.xid);
            running
        })
    }

    fn cmin(&self, stamp: &TupleStamp) -> Result<CommandId, Infallible> {
        if stamp.infomask.contains(Infomask::COMBOCID) {
            Ok(self.command_ids(stamp.field3)?.cmin)
        } else {
            Ok(stamp.field3)
        }
    }
}

impl<P: Publication> TransactionStatus for Asked<'_, P> {
    type Error = Infallible;

    fn own(&self, xid: Xid) -> bool {
        let history = self.history;
        self.owner.is_some_and(|owner| {
            history.transactions.iter().enumerate().any(|(index, transaction)| {
                transaction.xid.xid() == xid
                    && transaction.state == State::Running
                    && history.is_within(index, owner)
            })
        })
    }

    fn running(&self, xid: Xid) -> Result<bool, Infallible> {
        let state = self.history.find(xid).map(|transaction| transaction.state);
        Ok(matches!(state, Some(State::Running | State::Prepared)))
    }

    fn logged(&self, xid: Xid) -> Result<LoggedStatus, Infallible> {
        Ok(match self.history.find(xid).map(|transaction| transaction.state) {
            Some(State::Committed) => LoggedStatus::Committed,
            Some(State::Aborted) => LoggedStatus::Aborted,
            _ => LoggedStatus::InProgress,
        })
    }

    fn parent(&self, xid: Xid) -> Result<Option<Xid>, Infallible> {
        let parent = self.history.find(xid).and_then(|transaction| transaction.parent);
        Ok(parent.map(|parent| self.history.transactions[parent].xid.xid()))
    }

    fn members(
        &self,
        multi: MultiXactId,
        _only_lockers: bool,
    ) -> Result<Cow<'_, [MultiXactMember]>, Infallible> {
        Ok(Cow::Borrowed(&self.history.multixacts[multi as usize - 1]))
    }

    fn command_ids(&self, combo: CommandId) -> Result<CommandIdPair, Infallible> {
        Ok(self.history.combos[combo as usize])
    }
}

fn clock() -> HybridClock<TestClock> {
    HybridClock::new(TestClock::default(), TimestampTz(0))
}

/// Plays a history, comparing at the end and now and then. Returns transactions and pairs.
fn play<P: Publication>(
    publication: P,
    first: u64,
    steps: &[(u8, u8)],
) -> Result<(u64, u64), String> {
    let table = CommitTimestamps::new(4096, FullXid(first));
    let mut history = History::new(publication, &table, FullXid(first));
    let mut compared = 0;
    for (index, (kind, number)) in steps.iter().enumerate() {
        history.step(*kind, *number);
        if index % 16 == 15 {
            compared += history.compare()?;
        }
    }
    compared += history.compare()?;
    Ok((history.transactions.len() as u64, compared))
}

/// How many histories: a million transactions in all, or as many as `PGSTRATA_HISTORIES` says.
fn histories() -> u64 {
    let asked = std::env::var("PGSTRATA_HISTORIES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(82_000)
}

/// Just below 2^31 and 2^32, and in a later epoch.
const FIRST_XIDS: [u64; 4] = [700, (1 << 31) - 10, (1 << 32) - 10, 5 << 32];

/// Plays a history in one of the eight settings: four first ids, two ways of publishing.
fn play_in(setting: u64, steps: &[(u8, u8)]) -> Result<(u64, u64), String> {
    let first = FIRST_XIDS[(setting % 4) as usize];
    if setting & 4 == 0 {
        play(ByMarker::new(clock()), first, steps)
    } else {
        play(InOrder::new(clock()), first, steps)
    }
}

/// Cuts a history that fails down: leaves steps out, in runs of every length, and makes numbers smaller,
/// as long as what remains still fails.
fn minimized(
    mut steps: Vec<(u8, u8)>,
    fails: impl Fn(&[(u8, u8)]) -> Option<String>,
) -> (Vec<(u8, u8)>, String) {
    let mut failure = fails(&steps).expect("a history that fails");
    let mut shrinking = true;
    while shrinking {
        shrinking = false;
        let mut length = steps.len();
        while length > 0 {
            let mut at = 0;
            while at + length <= steps.len() {
                let mut shorter = steps.clone();
                shorter.drain(at..at + length);
                if let Some(message) = fails(&shorter) {
                    (steps, failure, shrinking) = (shorter, message, true);
                } else {
                    at += 1;
                }
            }
            length /= 2;
        }
        for at in 0..steps.len() {
            for smaller in 0..steps[at].1 {
                let mut simpler = steps.clone();
                simpler[at].1 = smaller;
                if let Some(message) = fails(&simpler) {
                    (steps, failure, shrinking) = (simpler, message, true);
                    break;
                }
            }
        }
    }
    (steps, failure)
}

/// A random number (splitmix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[test]
fn both_kinds_of_snapshot_see_the_same() {
    let (mut transactions, mut compared) = (0, 0);
    for seed in 0..histories() {
        let mut state = seed;
        let setting = random(&mut state);
        let length = random(&mut state) % 160;
        let steps: Vec<(u8, u8)> = (0..length)
            .map(|_| random(&mut state))
            .map(|number| (number as u8, (number >> 8) as u8))
            .collect();
        match play_in(setting, &steps) {
            Ok((more_transactions, more_compared)) => {
                transactions += more_transactions;
                compared += more_compared;
            }
            Err(_) => {
                let (steps, failure) = minimized(steps, |steps| play_in(setting, steps).err());
                panic!("history {seed}, cut down to {steps:?}:\n{failure}");
            }
        }
    }
    eprintln!("{transactions} transactions, {compared} pairs of version and snapshot");
    assert!(compared > 10 * transactions);
}

/// A failing history is cut down to what makes it fail.
#[test]
fn a_failing_history_is_cut_down() {
    let fails = |steps: &[(u8, u8)]| {
        let found = steps.iter().any(|step| *step == (0, 200) || *step == (0, 3));
        let other = steps.contains(&(7, 7));
        (found && other).then(|| "fails".to_owned())
    };
    let steps: Vec<(u8, u8)> = (0..100).map(|n| (n % 9, n)).chain([(0, 200)]).collect();
    let (steps, _) = minimized(steps, fails);
    assert_eq!(steps, [(7, 7), (0, 3)]);
}
