//! What must have been before what, at each level.
//!
//! A level says when things happen: at read committed each statement has an instant of its own, its snapshot (or, where it
//! writes, when it had the row), and a transaction one at which it commits; at repeatable read a transaction has one
//! snapshot, and nobody else writes what it writes from there to its commit; serializable transactions are an instant each.
//!
//! ```text
//!        read committed                        repeatable read                serializable
//! own    statements in order, then commit      snapshot, then commit
//! wr     writer's commit ─► reading statement  commit ─► reader's snapshot    writer ─► reader
//! ww     commit ─► statement that writes next  commit ─► next one's snapshot  writer ─► next writer
//! rw     reading statement ─► next commit      snapshot ─► next commit        reader ─► next writer
//! time   end ─► begin of who began later       the same                       none
//! ```
//!
//! Instants have an order, so a cycle among these is what the level forbids, and where there is none, the order is a run of
//! the level that gives this very history. Time's edges are kept in a chain of barriers: all that ended before one of
//! them lead to it, and it leads to all that began behind it, so that there are no more than four for each transaction.
//!
//! Invariant: every cycle goes through a transaction's commit.

use crate::dependency::{Dependency, Kind};
use crate::graph::{Edge, Graph};
use crate::model::Level;
use crate::observed::{NONE, Observed};

/// Label of an edge within a transaction, or along the chain of barriers.
pub(crate) const FREE: u32 = u32::MAX;
/// Label of an edge from a barrier to who began behind it.
pub(crate) const TIME: u32 = u32::MAX - 1;

/// The graph of instants of a level.
#[derive(Debug)]
pub(crate) struct Instants {
    pub(crate) graph: Graph,
    level: Level,
    txns: u32,
    ops: u32,
}

/// One transaction before another in a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// The dependency's number; `None` if it had ended before the other began.
    pub(crate) dependency: Option<u32>,
}

/// Of each transaction, the barrier that its end leads to and the one that leads to its begin; [`NONE`] for none.
struct Barriers {
    ends: Vec<u32>,
    begins: Vec<u32>,
    count: u32,
}

fn barriers(observed: &Observed) -> Barriers {
    let txns = &observed.txns;
    let committed = || (0..txns.len() as u32).filter(|txn| txns[*txn as usize].is_committed);
    let mut ended: Vec<u32> = committed().collect();
    ended.sort_unstable_by_key(|txn| txns[*txn as usize].end);
    let mut begun: Vec<u32> = committed().collect();
    begun.sort_unstable_by_key(|txn| txns[*txn as usize].begin);
    let mut made =
        Barriers { ends: vec![NONE; txns.len()], begins: vec![NONE; txns.len()], count: 0 };
    let mut ended = ended.into_iter().peekable();
    for txn in begun {
        let begin = txns[txn as usize].begin;
        let mut is_new = false;
        while let Some(before) = ended.next_if(|before| txns[*before as usize].end < begin) {
            made.ends[before as usize] = made.count;
            is_new = true;
        }
        made.count += u32::from(is_new);
        made.begins[txn as usize] = made.count.checked_sub(1).unwrap_or(NONE);
    }
    made
}

impl Instants {
    pub(crate) fn new(
        observed: &Observed,
        dependencies: &[Dependency],
        level: Level,
        has_time: bool,
    ) -> Instants {
        let (txns, ops) = (observed.txns.len() as u32, observed.ops.len() as u32);
        let times = has_time.then(|| barriers(observed));
        let mut instants = Instants { graph: Graph::new(0, |_| ()), level, txns, ops };
        let first_barrier = match level {
            Level::ReadCommitted => ops + txns,
            Level::RepeatableRead => 2 * txns,
            Level::Serializable => txns,
        };
        let nodes = first_barrier + times.as_ref().map_or(0, |times| times.count);
        instants.graph = Graph::new(nodes as usize, |push| {
            let of = &instants;
            of.push_own(observed, push);
            for (number, Dependency { kind, from, to }) in (0..).zip(dependencies) {
                let txn = |op: u32| observed.ops[op as usize].txn;
                let (from_instant, to_instant) = match kind {
                    Kind::Ww | Kind::Wr => (of.commit(txn(*from)), of.statement(*to, txn(*to))),
                    Kind::Rw => (of.statement(*from, txn(*from)), of.commit(txn(*to))),
                };
                push(from_instant, to_instant, number);
            }
            let Some(times) = &times else { return };
            (1..times.count).for_each(|barrier| {
                push(first_barrier + barrier - 1, first_barrier + barrier, FREE);
            });
            for txn in 0..txns {
                let (end, begin) = (times.ends[txn as usize], times.begins[txn as usize]);
                if end != NONE {
                    push(of.commit(txn), first_barrier + end, FREE);
                }
                if begin != NONE {
                    push(first_barrier + begin, of.begin(observed, txn), TIME);
                }
            }
        });
        instants
    }

    fn push_own(&self, observed: &Observed, push: &mut dyn FnMut(u32, u32, u32)) {
        match self.level {
            Level::ReadCommitted => {
                for txn in 0..self.txns {
                    let operations = observed.operations(txn);
                    let last = operations.end as u32;
                    for op in operations.map(|op| op as u32) {
                        let next = if op + 1 == last { self.commit(txn) } else { op + 1 };
                        push(op, next, FREE);
                    }
                }
            }
            Level::RepeatableRead => {
                (0..self.txns).for_each(|txn| push(txn, self.commit(txn), FREE));
            }
            Level::Serializable => {}
        }
    }

    fn commit(&self, txn: u32) -> u32 {
        match self.level {
            Level::ReadCommitted => self.ops + txn,
            Level::RepeatableRead => self.txns + txn,
            Level::Serializable => txn,
        }
    }

    fn statement(&self, op: u32, txn: u32) -> u32 {
        if self.level == Level::ReadCommitted { op } else { txn }
    }

    fn begin(&self, observed: &Observed, txn: u32) -> u32 {
        let operations = observed.operations(txn);
        match self.level {
            Level::ReadCommitted if operations.is_empty() => self.commit(txn),
            _ => self.statement(operations.start as u32, txn),
        }
    }

    /// The transaction of an instant at which one commits.
    pub(crate) fn committing(&self, node: u32) -> Option<u32> {
        let first = self.commit(0);
        (first..first + self.txns).contains(&node).then(|| node - first)
    }

    fn txn(&self, observed: &Observed, node: u32) -> Option<u32> {
        if let Some(txn) = self.committing(node) {
            return Some(txn);
        }
        match self.level {
            Level::ReadCommitted => observed.ops.get(node as usize).map(|op| op.txn),
            Level::RepeatableRead => (node < self.txns).then_some(node),
            Level::Serializable => None,
        }
    }

    /// Whether an edge leads from one transaction to another: counted once where it goes over barriers.
    pub(crate) fn is_step(label: u32) -> bool {
        label != FREE
    }

    /// A cycle of instants, as the transactions that have them.
    pub(crate) fn steps(&self, observed: &Observed, cycle: &[Edge]) -> Vec<Step> {
        // Barriers have no transaction: begin with one that has.
        let begin = cycle.iter().position(|edge| self.txn(observed, edge.from).is_some());
        let begin = begin.unwrap_or(0);
        let mut steps = Vec::new();
        let mut ended = None;
        for edge in cycle[begin..].iter().chain(&cycle[..begin]) {
            let (from, to) = (self.txn(observed, edge.from), self.txn(observed, edge.to));
            match (from, to, edge.label) {
                (Some(from), None, _) => ended = Some(from),
                (None, Some(to), _) => {
                    let from = ended.take().unwrap_or(to);
                    steps.push(Step { from, to, dependency: None });
                }
                (Some(from), Some(to), label) if label < TIME => {
                    steps.push(Step { from, to, dependency: Some(label) });
                }
                _ => {}
            }
        }
        steps
    }
}
