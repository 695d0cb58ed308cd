//! Random histories, a million transactions of them, seen in both modes: the list and the point of time must give the same
//! verdict for every pair of a version and a snapshot, whenever asked.
//!
//! What happens in them: transactions and subtransactions at any depth that commit, abort, are prepared and finished later
//! or never; versions inserted, ended and locked by one or several, in each strength; own changes by command; hint bits set
//! as the rules allow. What is compared: the mvcc and the historic rule for each snapshot, the rules of this instant for
//! each version and asker, and that vacuum in either mode takes nothing away that a snapshot in use sees.
//!
//! A history is a list of small numbers, each read as a step against the state it meets: so that any part
//! of one is a history again, and one that fails can be cut down. What remains is printed as a grid.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt::{Debug, Write as _};

use base::{CommandId, FullXid, Infomask, MultiXactId, TimestampTz, Xid};
use snapshot::commit_ts::clock::{HybridClock, TestClock};
use snapshot::commit_ts::publish::{ByMarker, InOrder, Publication};
use snapshot::commit_ts::{CommitTimestamps, CommitTsHorizon, CommitTsSnapshot, CommitTsStatus};
use snapshot::satisfies::{
    DirtyVerdict, HistoricSnapshot, Judged, UpdateVerdict, VacuumVerdict, satisfies_dirty,
    satisfies_historic, satisfies_mvcc, satisfies_self, satisfies_toast, satisfies_update,
    satisfies_vacuum, satisfies_vacuum_horizon,
};
use snapshot::{
    ClassicSnapshot, CommandIdPair, Contents, LoggedStatus, MultiXactMember, MultiXactStatus,
    TransactionStatus, TupleStamp,
};

use crate::random::Random;

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
    /// A version and who inserts, ends or locks it.
    Insert(usize, usize),
    Change(usize, usize),
    Lock(usize, usize),
}

struct Pair<'t> {
    classic: ClassicSnapshot,
    by_time: CommitTsSnapshot<'t>,
    /// The transaction that took it.
    owner: Option<usize>,
    /// Who had committed, for the historic rule: its `xmin`, and those of that id and newer.
    historic_xmin: Xid,
    committed: Vec<Xid>,
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
            14 => self.set_hints(number),
            _ => self.snapshot(number),
        }
    }

    fn command(&self, index: usize) -> CommandId {
        self.transactions[self.top(index)].command
    }

    fn insert(&mut self, number: u8) {
        if let Some(index) = self.running(number) {
            self.events.push(Event::Insert(self.versions.len(), index));
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
        let xid = self.transactions[by].xid.xid();
        let running: Vec<MultiXactMember> = if stamp.infomask.contains(Infomask::XMAX_INVALID) {
            Vec::new()
        } else {
            let mut lockers = self.lockers(&stamp);
            lockers.retain(|member| {
                let Ok(running) = asked.is_in_progress(member.xid);
                running
            });
            lockers
        };
        let held = !running.is_empty();
        // A stronger lock than FOR KEY SHARE of somebody else is waited for.
        let waits = running
            .iter()
            .any(|member| member.xid != xid && member.status != MultiXactStatus::ForKeyShare);
        if !visible.verdict || judged.verdict == VacuumVerdict::DeleteInProgress || waits {
            return;
        }
        let command = self.command(by);
        let mut infomask = stamp.infomask - Infomask::XMAX_BITS - Infomask::COMBOCID;
        let mut field3 = stamp.field3;
        let mut xmax = xid;
        if only_locks {
            // One that others hold, too, can be locked for the key alone.
            let strengths = [
                Infomask::XMAX_KEYSHR_LOCK,
                Infomask::XMAX_KEYSHR_LOCK | Infomask::XMAX_EXCL_LOCK,
                Infomask::XMAX_EXCL_LOCK,
            ];
            let strength = if held { 0 } else { usize::from(how / 4) % strengths.len() };
            infomask |= Infomask::XMAX_LOCK_ONLY | strengths[strength];
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
            let mut members = running;
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
        self.events.push(if only_locks { Event::Lock(at, by) } else { Event::Change(at, by) });
    }

    /// Sets the hint bits that a rule gives to whoever comes by; every commit record is flushed.
    fn set_hints(&mut self, number: u8) {
        if self.versions.is_empty() {
            return;
        }
        let at = usize::from(number) % self.versions.len();
        let asked = Asked { history: self, owner: None };
        let Ok(judged) = satisfies_self(&self.versions[at], &asked);
        let hints = judged.hints.infomask(&self.versions[at], |_| true);
        self.versions[at].infomask |= hints;
    }

    fn lockers(&self, stamp: &TupleStamp) -> Vec<MultiXactMember> {
        if stamp.infomask.contains(Infomask::XMAX_IS_MULTI) {
            let members = self.multixacts[stamp.xmax.0 as usize - 1].iter().copied();
            members.filter(|member| !member.status.is_update()).collect()
        } else if stamp.infomask.contains(Infomask::XMAX_LOCK_ONLY) {
            let strength = stamp.infomask & (Infomask::XMAX_KEYSHR_LOCK | Infomask::XMAX_EXCL_LOCK);
            let status = if strength == Infomask::XMAX_KEYSHR_LOCK {
                MultiXactStatus::ForKeyShare
            } else if strength == Infomask::XMAX_EXCL_LOCK {
                MultiXactStatus::ForUpdate
            } else {
                MultiXactStatus::ForShare
            };
            vec![MultiXactMember { xid: stamp.xmax, status }]
        } else {
            Vec::new()
        }
    }

    fn next_xid(&self) -> Xid {
        let next = FullXid(self.next).xid();
        if next.is_normal() { next } else { Xid::FIRST_NORMAL }
    }

    fn snapshot(&mut self, number: u8) {
        let owner = if number.is_multiple_of(3) { None } else { self.running(number) };
        let owner = owner.map(|index| self.top(index));
        let mut contents = Contents { xmax: self.next_xid(), ..Contents::default() };
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
        let historic_xmin = contents.xmin;
        let committed = self.transactions.iter().filter(|transaction| {
            transaction.state == State::Committed && !transaction.xid.xid().precedes(historic_xmin)
        });
        let committed = committed.map(|transaction| transaction.xid.xid()).collect();
        self.events.push(Event::Snapshot(self.snapshots.len()));
        self.snapshots.push(Pair {
            classic: ClassicSnapshot::new(contents, curcid),
            by_time,
            owner,
            historic_xmin,
            committed,
        });
    }

    /// Snapshots in use: one whose owner has ended asks nothing any more.
    fn in_use(&self) -> impl Iterator<Item = (usize, &Pair<'t>)> {
        self.snapshots.iter().enumerate().filter(|(_, pair)| {
            pair.owner.is_none_or(|owner| self.transactions[owner].state == State::Running)
        })
    }

    /// Every version by every snapshot and rule; the first difference as a grid. Returns how many pairs of version
    /// and snapshot there were.
    fn compare(&self) -> Result<u64, String> {
        let mut compared = 0;
        for (index, pair) in self.in_use() {
            let asked = Asked { history: self, owner: pair.owner };
            let by_time = CommitTsStatus { table: self.table, behind: &asked };
            let (then_by_list, then_by_time) = pair.historic();
            for (version, stamp) in self.versions.iter().enumerate() {
                let Ok(list) = satisfies_mvcc(stamp, &pair.classic, &asked);
                let Ok(time) = satisfies_mvcc(stamp, &pair.by_time, &by_time);
                if list.verdict != time.verdict {
                    return Err(self.difference("mvcc", Some(index), version, &list, &time));
                }
                // Nothing of the replayed transaction's own: its commands are the enumeration's part.
                let Ok(list) = satisfies_historic(stamp, &then_by_list, || None, &asked);
                let Ok(time) = satisfies_historic(stamp, &then_by_time, || None, &by_time);
                if list.verdict != time.verdict {
                    return Err(self.difference("historic", Some(index), version, &list, &time));
                }
                compared += 1;
            }
        }
        let running_top = |index: &usize| {
            let transaction = &self.transactions[*index];
            transaction.parent.is_none() && transaction.state == State::Running
        };
        let askers = (0..self.transactions.len()).filter(running_top).map(Some);
        for owner in askers.chain([None]) {
            let asked = Asked { history: self, owner };
            let by_time = CommitTsStatus { table: self.table, behind: &asked };
            let curcid = owner.map_or(0, |owner| self.command(owner));
            for (version, stamp) in self.versions.iter().enumerate() {
                let (list, time) = (now(stamp, curcid, &asked), now(stamp, curcid, &by_time));
                if list != time {
                    let rules = "self, toast, dirty, update, vacuum";
                    return Err(self.text(rules, owner, version, &list, &time));
                }
            }
        }
        self.check_removal()?;
        Ok(compared)
    }

    /// What vacuum takes away in either mode no snapshot in use sees; and what it takes away by the list, it takes
    /// away by time.
    fn check_removal(&self) -> Result<(), String> {
        let asked = Asked { history: self, owner: None };
        let by_time = CommitTsStatus { table: self.table, behind: &asked };
        let starts = self.in_use().map(|(_, pair)| pair.by_time.start_ts());
        let oldest_start_ts = starts.min().unwrap_or_else(|| self.publication.start_ts());
        let by_start = CommitTsHorizon { table: self.table, oldest_start_ts };
        let running = self
            .transactions
            .iter()
            .filter(|transaction| matches!(transaction.state, State::Running | State::Prepared));
        let xmins = self.in_use().map(|(_, pair)| pair.historic_xmin);
        let by_xmin = running
            .map(|transaction| transaction.xid.xid())
            .chain(xmins)
            .reduce(|oldest, xid| if xid.precedes(oldest) { xid } else { oldest })
            .unwrap_or_else(|| self.next_xid());
        for (version, stamp) in self.versions.iter().enumerate() {
            let Ok(list) = satisfies_vacuum(stamp, &by_xmin, &asked);
            let Ok(time) = satisfies_vacuum(stamp, &by_start, &by_time);
            if list.verdict == VacuumVerdict::Dead && time.verdict != VacuumVerdict::Dead {
                return Err(self.difference("vacuum", None, version, &list, &time));
            }
            if time.verdict != VacuumVerdict::Dead {
                continue;
            }
            for (index, pair) in self.in_use() {
                let asked = Asked { history: self, owner: pair.owner };
                let Ok(seen) = satisfies_mvcc(stamp, &pair.classic, &asked);
                if seen.verdict {
                    let (seen, dead) = (seen.sentence(), time.sentence());
                    return Err(self.text(
                        "mvcc against vacuum",
                        Some(index),
                        version,
                        &seen,
                        &dead,
                    ));
                }
            }
        }
        Ok(())
    }

    fn difference<V: Debug>(
        &self,
        rule: &str,
        snapshot: Option<usize>,
        version: usize,
        list: &Judged<V>,
        time: &Judged<V>,
    ) -> String {
        let said = |judged: &Judged<V>| (judged.sentence(), format!("{:?}", judged.verdict));
        self.text(rule, snapshot, version, &said(list), &said(time))
    }

    fn text<V: Debug>(
        &self,
        rule: &str,
        who: Option<usize>,
        version: usize,
        list: &V,
        time: &V,
    ) -> String {
        let who = who.map_or(String::new(), |who| format!(" for {who}"));
        format!(
            "{rule}{who}, version {version}\n  list: {list:?}\n  time: {time:?}\n{}",
            self.grid()
        )
    }

    /// Time downwards, transactions across: `b`egins, is `p`repared, `c`ommits, `a`borts, `|` runs; `i3`, `x3`, `l3`:
    /// inserts, ends, locks version 3; `s3`: takes snapshot 3, or nobody does, at the right.
    fn grid(&self) -> String {
        let mut grid = String::from("time");
        for transaction in &self.transactions {
            let _ = write!(grid, "{:>12}", transaction.xid.0);
        }
        let mut alive = vec![false; self.transactions.len()];
        for (time, event) in self.events.iter().enumerate() {
            let _ = write!(grid, "\n{time:>4}");
            let (who, sign) = match event {
                Event::Begin(index) => (Some(*index), "b".to_owned()),
                Event::Prepare(index) => (Some(*index), "p".to_owned()),
                Event::Commit(index) => (Some(*index), "c".to_owned()),
                Event::Abort(index) => (Some(*index), "a".to_owned()),
                Event::Insert(version, index) => (Some(*index), format!("i{version}")),
                Event::Change(version, index) => (Some(*index), format!("x{version}")),
                Event::Lock(version, index) => (Some(*index), format!("l{version}")),
                Event::Snapshot(number) => (self.snapshots[*number].owner, format!("s{number}")),
            };
            for (index, alive) in alive.iter_mut().enumerate() {
                let ends = matches!(event, Event::Commit(root) | Event::Abort(root)
                    if self.is_within(index, *root) && *alive);
                let cell = if Some(index) == who || ends {
                    &sign
                } else if *alive {
                    "|"
                } else {
                    ""
                };
                let _ = write!(grid, "{cell:>12}");
                *alive =
                    (*alive || matches!(event, Event::Begin(_)) && Some(index) == who) && !ends;
            }
            if who.is_none() {
                let _ = write!(grid, "{sign:>6}");
            }
            grid.truncate(grid.trim_end().len());
        }
        grid
    }
}

/// The rules of this instant: self, toast, dirty, update, and vacuum without a horizon.
fn now<S: TransactionStatus<Error = Infallible>>(
    stamp: &TupleStamp,
    curcid: CommandId,
    status: &S,
) -> (bool, bool, DirtyVerdict, UpdateVerdict, VacuumVerdict, Option<Xid>) {
    let (Ok(itself), Ok(toast)) = (satisfies_self(stamp, status), satisfies_toast(stamp, status));
    let Ok(dirty) = satisfies_dirty(stamp, status);
    let Ok(update) = satisfies_update(stamp, curcid, status);
    let Ok((vacuum, dead_after)) = satisfies_vacuum_horizon(stamp, status);
    (itself.verdict, toast.verdict, dirty.verdict, update.verdict, vacuum.verdict, dead_after)
}

impl<'t> Pair<'t> {
    /// The same for the historic rule, by list and by time.
    fn historic(&self) -> (HistoricSnapshot, HistoricSnapshot<CommitTsSnapshot<'t>>) {
        let (xmin, xmax) = (self.historic_xmin, self.classic.contents().xmax);
        let list = HistoricSnapshot::new(xmin, xmax, self.committed.clone(), Vec::new(), 0);
        (list, HistoricSnapshot::over(self.by_time.clone(), Vec::new()))
    }
}

impl<P: Publication> Asked<'_, P> {
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
    asked.and_then(|count| count.parse().ok()).unwrap_or(HISTORIES)
}

const HISTORIES: u64 = 82_000;

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
            let (kind, number) = steps[at];
            // Of the first number the upper half says how, and its sixteenth what.
            let how = (kind % 16..kind).step_by(16).map(|kind| (kind, number));
            for simpler_step in how.chain((0..number).map(|number| (kind, number))) {
                let mut simpler = steps.clone();
                simpler[at] = simpler_step;
                if let Some(message) = fails(&simpler) {
                    (steps, failure, shrinking) = (simpler, message, true);
                    break;
                }
            }
        }
    }
    (steps, failure)
}

#[test]
fn both_kinds_of_snapshot_see_the_same() {
    let (mut transactions, mut compared) = (0, 0);
    for seed in 0..histories() {
        let mut random = Random::new(seed);
        let setting = random.next();
        let length = random.below(160);
        let steps: Vec<(u8, u8)> = (0..length)
            .map(|_| random.next())
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
    assert!(histories() < HISTORIES || transactions > 1_000_000);
    assert!(compared > 5 * transactions);
}

/// A commit that forgets its youngest subtransaction.
struct Forgetful(ByMarker<TestClock>);

impl Publication for Forgetful {
    fn start_ts(&self) -> TimestampTz {
        self.0.start_ts()
    }

    fn draw(&self, table: &CommitTimestamps, xid: FullXid) -> TimestampTz {
        self.0.draw(table, xid)
    }

    fn publish(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        let remembered = children.split_last().map_or(children, |(_, others)| others);
        self.0.publish(table, xid, remembered, timestamp);
    }

    fn abandon(
        &self,
        table: &CommitTimestamps,
        xid: FullXid,
        children: &[FullXid],
        timestamp: TimestampTz,
    ) {
        self.0.abandon(table, xid, children, timestamp);
    }
}

/// A mistake is found, and cut down to what makes it.
#[test]
fn a_difference_is_cut_down_and_shown() {
    let fails = |steps: &[(u8, u8)]| play(Forgetful(ByMarker::new(clock())), 700, steps).err();
    let mut random = Random::new(7);
    let steps: Vec<(u8, u8)> =
        (0..150).map(|_| random.next()).map(|number| (number as u8, (number >> 8) as u8)).collect();
    let (steps, failure) = minimized(steps, fails);
    assert_eq!(steps, [(1, 0), (2, 0), (3, 1), (26, 0)]);
    assert_eq!(
        failure,
        "\
self, toast, dirty, update, vacuum, version 0
  list: (true, true, DirtyVerdict { visible: true, xmin: Xid(0), xmax: Xid(0), speculative_token: None }, Ok, Live, None)
  time: (false, true, DirtyVerdict { visible: false, xmin: Xid(0), xmax: Xid(0), speculative_token: None }, Invisible, Dead, None)
time         700         701
   0           b
   1           |           b
   2           |          i0
   3           c           c"
    );
}
