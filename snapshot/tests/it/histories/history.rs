//! A history in the making: transactions, the versions that they insert, end and lock, and the snapshots that they take, in both
//! modes at once. Each step is a number read against the state it meets, so that every list of numbers is a history.

use base::{CommandId, FullXid, Infomask, TimestampTz, Xid};
use snapshot::commit_ts::publish::Publication;
use snapshot::commit_ts::{CommitTimestamps, CommitTsSnapshot};
use snapshot::satisfies::{VacuumVerdict, satisfies_self, satisfies_vacuum_horizon};
use snapshot::{
    ClassicSnapshot, CommandIdPair, Contents, MultiXactMember, MultiXactStatus, TransactionStatus,
    TupleStamp,
};

use super::fates::Asked;

/// Subtransactions of one transaction that a classic snapshot lists.
const LISTED_SUBXIDS: usize = 2;

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum State {
    Running,
    Prepared,
    Committed,
    Aborted,
}

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) xid: FullXid,
    /// Index of the parent.
    pub(super) parent: Option<usize>,
    pub(super) state: State,
    pub(super) command: CommandId,
}

/// A step, for the grid.
#[derive(Clone, Debug)]
pub(super) enum Event {
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

pub(super) struct Pair<'t> {
    pub(super) classic: ClassicSnapshot,
    pub(super) by_time: CommitTsSnapshot<'t>,
    /// The transaction that took it.
    pub(super) owner: Option<usize>,
    /// Who had committed, for the historic rule: its `xmin`, and those of that id and newer.
    pub(super) historic_xmin: Xid,
    pub(super) committed: Vec<Xid>,
}

/// The history so far.
pub(super) struct History<'t, P> {
    pub(super) publication: P,
    pub(super) table: &'t CommitTimestamps,
    pub(super) next: u64,
    pub(super) transactions: Vec<Transaction>,
    pub(super) versions: Vec<TupleStamp>,
    pub(super) multixacts: Vec<Vec<MultiXactMember>>,
    pub(super) combos: Vec<CommandIdPair>,
    pub(super) snapshots: Vec<Pair<'t>>,
    pub(super) events: Vec<Event>,
}

impl<'t, P: Publication> History<'t, P> {
    pub(super) fn new(
        publication: P,
        table: &'t CommitTimestamps,
        first: FullXid,
    ) -> History<'t, P> {
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

    pub(super) fn find(&self, xid: Xid) -> Option<&Transaction> {
        self.transactions.iter().rev().find(|transaction| transaction.xid.xid() == xid)
    }

    fn top(&self, mut index: usize) -> usize {
        while let Some(parent) = self.transactions[index].parent {
            index = parent;
        }
        index
    }

    pub(super) fn is_within(&self, mut index: usize, root: usize) -> bool {
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

    pub(super) fn step(&mut self, kind: u8, number: u8) {
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

    pub(super) fn command(&self, index: usize) -> CommandId {
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

    pub(super) fn next_xid(&self) -> Xid {
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
}
