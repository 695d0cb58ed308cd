//! What was acknowledged, and so must be there after a crash; and what may be.
//!
//! ```text
//! base ── commit 1 ── commit 2 ── commit 3 ── commit 4 ── commit 5
//!                                 └ durable: acknowledged, synchronously
//!         a crash may leave the state behind commit 3, 4 or 5, and no other
//! ```
//!
//! Invariant: commits count in their order. What is found after a crash is what some first part of them makes, of which the
//! last one that was acknowledged as durable is a part. A transaction that was not acknowledged is there as a whole or not
//! at all; one that was rolled back, or never ended, is not there.
//!
//! A prepared transaction is a commit of its own, which makes a table without rows by its identifier: what it has changed comes
//! with its outcome, and the table goes.

use std::collections::BTreeMap;

/// The rows of a table, by their number: a value and a text.
pub(super) type Rows = BTreeMap<i32, (i64, String)>;
/// The tables, by name.
pub(super) type State = BTreeMap<String, Rows>;

/// One thing that a transaction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Create(String),
    Drop(String),
    Put {
        table: String,
        id: i32,
        value: i64,
        text: String,
    },
    Remove {
        table: String,
        id: i32,
    },
    /// A transaction of this identifier is prepared.
    Prepare(String),
    /// It has ended.
    Finish(String),
}

/// What stands for a prepared transaction in a state.
pub(super) fn table_of(gid: &str) -> String {
    format!("prepared transaction {gid}")
}

impl Change {
    /// The row that it changes: table and number.
    pub(super) fn row(&self) -> Option<(&str, i32)> {
        match self {
            Change::Put { table, id, .. } | Change::Remove { table, id } => Some((table, *id)),
            _ => None,
        }
    }

    fn apply(&self, state: &mut State) {
        match self {
            Change::Create(table) => {
                state.insert(table.clone(), Rows::new());
            }
            Change::Drop(table) => {
                state.remove(table);
            }
            Change::Prepare(gid) => {
                state.insert(table_of(gid), Rows::new());
            }
            Change::Finish(gid) => {
                state.remove(&table_of(gid));
            }
            Change::Put { table, id, value, text } => {
                state.entry(table.clone()).or_default().insert(*id, (*value, text.clone()));
            }
            Change::Remove { table, id } => {
                state.entry(table.clone()).or_default().remove(id);
            }
        }
    }
}

/// The commits of a workload.
#[derive(Debug, Clone, Default)]
pub(super) struct Oracle {
    base: State,
    commits: Vec<Vec<Change>>,
    /// How many of them must be there.
    durable: usize,
    /// What those have changed that were ever prepared.
    prepared: BTreeMap<String, Vec<Change>>,
}

impl Oracle {
    /// Over a data directory that holds this, durably.
    pub(super) fn new(base: State) -> Oracle {
        Oracle { base, ..Oracle::default() }
    }

    /// A transaction is about to commit: from now on it may be there.
    pub(super) fn commits(&mut self, changes: Vec<Change>) {
        self.commits.push(changes);
    }

    /// A transaction is about to be prepared: from now on it may be there.
    pub(super) fn prepares(&mut self, gid: &str, changes: Vec<Change>) {
        self.prepared.insert(gid.to_owned(), changes);
        self.commits(vec![Change::Prepare(gid.to_owned())]);
    }

    /// A prepared one is about to end.
    pub(super) fn finishes(&mut self, gid: &str, commits: bool) {
        let mut changes = vec![Change::Finish(gid.to_owned())];
        if commits {
            changes.extend(self.prepared[gid].iter().cloned());
        }
        self.commits(changes);
    }

    /// What a transaction has changed that was prepared.
    pub(super) fn of_prepared(&self, gid: &str) -> &[Change] {
        &self.prepared[gid]
    }

    /// What was about to happen last was refused, by an engine that goes on.
    pub(super) fn was_refused(&mut self) {
        self.commits.pop();
    }

    /// All that has committed is durable.
    pub(super) fn is_durable(&mut self) {
        self.durable = self.commits.len();
    }

    /// What is there where nothing is lost.
    pub(super) fn state(&self) -> State {
        self.after(self.commits.len())
    }

    fn after(&self, commits: usize) -> State {
        let mut state = self.base.clone();
        self.commits[..commits].iter().flatten().for_each(|change| change.apply(&mut state));
        state
    }

    /// After how many commits the state was what was found.
    ///
    /// # Errors
    /// If a crash may not leave that; how it differs from what must be there.
    pub(super) fn judge(&self, found: &State) -> Result<usize, String> {
        let mut state = self.after(self.durable);
        let expected = state.clone();
        for count in self.durable.. {
            if state == *found {
                return Ok(count);
            }
            let Some(commit) = self.commits.get(count) else { break };
            commit.iter().for_each(|change| change.apply(&mut state));
        }
        let (durable, all) = (self.durable, self.commits.len());
        let differs = difference(&expected, found);
        Err(format!(
            "the rows are not those after any of the commits {durable} to {all}; against commit {durable}: {differs}"
        ))
    }

    /// A recovery has decided what was in doubt: so many commits count, and they are durable.
    pub(super) fn decided(&mut self, commits: usize) {
        self.commits.truncate(commits);
        self.durable = commits;
    }
}

/// The first difference, in words.
fn difference(expected: &State, found: &State) -> String {
    if expected.keys().ne(found.keys()) {
        let names = |state: &State| state.keys().cloned().collect::<Vec<_>>().join(", ");
        return format!("the tables [{}] and not [{}]", names(found), names(expected));
    }
    for (table, rows) in expected {
        let other = &found[table];
        let ids = rows.keys().chain(other.keys());
        let Some(id) = ids.filter(|id| rows.get(id) != other.get(id)).min() else { continue };
        let shown = |row: Option<&(i64, String)>| match row {
            Some((value, text)) => format!("({value}, {} bytes)", text.len()),
            None => "nothing".to_owned(),
        };
        return format!(
            "row {id} of \"{table}\" is {} and not {}",
            shown(other.get(id)),
            shown(rows.get(id))
        );
    }
    "none".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: i32) -> Vec<Change> {
        vec![Change::Put { table: "t".to_owned(), id, value: 1, text: String::new() }]
    }

    fn found(ids: &[i32]) -> State {
        let rows = ids.iter().map(|id| (*id, (1, String::new()))).collect();
        State::from([("t".to_owned(), rows)])
    }

    #[test]
    fn a_lost_tail_is_allowed_and_a_gap_or_a_lost_acknowledged_commit_is_not() {
        let mut oracle = Oracle::new(found(&[]));
        oracle.commits(put(1));
        oracle.is_durable();
        oracle.commits(put(2));
        oracle.commits(put(3));
        assert_eq!(oracle.judge(&found(&[1])), Ok(1));
        assert_eq!(oracle.judge(&found(&[1, 2])), Ok(2));
        assert_eq!(oracle.judge(&found(&[1, 2, 3])), Ok(3));
        let gap = oracle.judge(&found(&[1, 3])).expect_err("2 came before 3");
        assert!(gap.ends_with("row 3 of \"t\" is (1, 0 bytes) and not nothing"), "{gap}");
        let lost = oracle.judge(&found(&[])).expect_err("1 was acknowledged");
        assert!(lost.ends_with("row 1 of \"t\" is nothing and not (1, 0 bytes)"), "{lost}");
        assert!(oracle.judge(&found(&[1, 2, 3, 4])).is_err(), "4 was never there");
        oracle.decided(2);
        assert!(oracle.judge(&found(&[1])).is_err(), "2 was found");
    }
}
