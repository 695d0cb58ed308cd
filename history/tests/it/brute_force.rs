//! Whether a small history can be, by trying every order of what its transactions did.
//!
//! A transaction is a row of instants: at read committed each operation and the commit, at repeatable read the snapshot
//! and the commit, one instant if serializable. They are played in every order that keeps each transaction's own and
//! time's; where a read does not give what was recorded, or a write finds the key taken, that order is no run. No graph,
//! no dependency: nothing of what the check does.

use std::collections::BTreeMap;

use history::{Level, Operation, Transaction};

type Lists = BTreeMap<u64, Vec<u64>>;

/// Whether a history of lists whose transactions all committed is one of the level.
pub(super) fn is_possible(transactions: &[Transaction], level: Level) -> bool {
    let state = State {
        done: vec![0; transactions.len()],
        lists: Lists::new(),
        own: vec![Lists::new(); transactions.len()],
        snapshots: vec![Lists::new(); transactions.len()],
        locks: BTreeMap::new(),
    };
    Player { transactions, level }.play(&state)
}

#[derive(Clone)]
struct State {
    /// Instants of each transaction that are past.
    done: Vec<usize>,
    lists: Lists,
    /// What each has appended, and not committed.
    own: Vec<Lists>,
    snapshots: Vec<Lists>,
    locks: BTreeMap<u64, usize>,
}

struct Player<'a> {
    transactions: &'a [Transaction],
    level: Level,
}

impl Player<'_> {
    fn instants(&self, of: usize) -> usize {
        match self.level {
            Level::ReadCommitted => self.transactions[of].operations.len() + 1,
            Level::RepeatableRead => 2,
            Level::Serializable => 1,
        }
    }

    fn play(&self, state: &State) -> bool {
        let all = 0..self.transactions.len();
        let mut is_over = true;
        for of in all.clone().filter(|of| state.done[*of] < self.instants(*of)) {
            is_over = false;
            // Time: who ended before this one began has done everything. Serializable runs do not keep to it.
            let is_early = self.level != Level::Serializable
                && all.clone().any(|other| {
                    self.transactions[other].end < self.transactions[of].begin
                        && state.done[other] < self.instants(other)
                });
            if is_early {
                continue;
            }
            let mut next = state.clone();
            next.done[of] += 1;
            if self.step(&mut next, of, state.done[of]) && self.play(&next) {
                return true;
            }
        }
        is_over
    }

    /// One instant of one transaction; whether it can be.
    fn step(&self, state: &mut State, of: usize, instant: usize) -> bool {
        let operations = &self.transactions[of].operations;
        match self.level {
            Level::ReadCommitted => match operations.get(instant) {
                Some(operation) => {
                    let committed = state.lists.clone();
                    operate(state, of, operation, &committed)
                }
                None => commit(state, of),
            },
            Level::RepeatableRead if instant == 0 => {
                state.snapshots[of] = state.lists.clone();
                true
            }
            Level::RepeatableRead => {
                let snapshot = state.snapshots[of].clone();
                // Whoever committed first wins.
                let is_first = operations.iter().all(|operation| match operation {
                    Operation::Append { key, .. } => state.lists.get(key) == snapshot.get(key),
                    _ => true,
                });
                is_first
                    && operations.iter().all(|operation| operate(state, of, operation, &snapshot))
                    && commit(state, of)
            }
            Level::Serializable => {
                let committed = state.lists.clone();
                operations.iter().all(|operation| operate(state, of, operation, &committed))
                    && commit(state, of)
            }
        }
    }
}

fn operate(state: &mut State, of: usize, operation: &Operation, seen: &Lists) -> bool {
    match operation {
        Operation::Append { key, value } => {
            if *state.locks.entry(*key).or_insert(of) != of {
                return false;
            }
            state.own[of].entry(*key).or_default().push(*value);
            true
        }
        Operation::ReadList { key, values } => {
            let mut list = seen.get(key).cloned().unwrap_or_default();
            list.extend(state.own[of].get(key).into_iter().flatten());
            list == *values
        }
        _ => false,
    }
}

fn commit(state: &mut State, of: usize) -> bool {
    for (key, values) in std::mem::take(&mut state.own[of]) {
        state.lists.entry(key).or_default().extend(values);
    }
    state.locks.retain(|_, holder| *holder != of);
    true
}
