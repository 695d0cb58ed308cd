//! The check: a history taken in, its dependencies, its cycles, and the report of them.
//!
//! ```text
//! faults       operations wrong by themselves                                            observed, dependency
//! forbidden    cycles of instants at the history's level, with time                      instants, graph
//! allowed      cycles at the stricter levels, without time, that are not forbidden ones
//! pairs        of two transactions, counted one by one: lost updates, write skew
//! ```
//!
//! Whether there is a forbidden cycle is decided exactly, by the components of the graph: of one of them a cycle is found,
//! whatever that takes. Which others are shown is a search for the shortest, from every transaction of a small component
//! and from some of a large one, within a budget.
//!
//! Invariant: a report without forbidden anomalies means that there is a run of the level which gives this history.

use std::collections::BTreeSet;

use crate::anomaly::Anomaly;
use crate::dependency::{Dependency, Kind, dependencies};
use crate::graph::Search;
use crate::instants::{Instants, Step};
use crate::model::Level;
use crate::observed::Observed;
use crate::report::{Counts, Example, Found, Report, explain_cycle, explain_fault};

/// How a history is checked.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The level that it is held against; `None` for its own.
    pub level: Option<Level>,
    /// Examples that are shown of each anomaly.
    pub examples: usize,
    /// Edges that the search for short cycles looks at, in each graph; the first search there ends with a cycle all the same.
    pub budget: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { level: None, examples: 1, budget: 20_000_000 }
    }
}

/// Transactions of one component from which cycles are searched.
const STARTS: usize = 256;
/// Cycles that are searched in one graph.
const CYCLES: usize = 2000;

/// A cycle of transactions.
#[derive(Debug)]
struct Cycle {
    anomaly: Anomaly,
    is_forbidden: bool,
    steps: Vec<Step>,
}

impl Cycle {
    fn has_time(&self) -> bool {
        self.steps.iter().any(|step| step.dependency.is_none())
    }
}

/// Checks a history that was taken in whole.
pub fn check(mut observed: Observed, options: &Options) -> Report {
    observed.finish();
    let level = options.level.unwrap_or(observed.header.level);
    let dependencies = dependencies(&mut observed);
    let job = Job { observed: &observed, dependencies: &dependencies, level, options };
    let mut cycles = Vec::new();
    let mut known = BTreeSet::new();
    job.search(level, &mut known, &mut cycles);
    if level != Level::RepeatableRead {
        job.search(Level::RepeatableRead, &mut known, &mut cycles);
    }
    let pairs = job.pairs(&mut known, &mut cycles);
    if level != Level::Serializable {
        job.search(Level::Serializable, &mut known, &mut cycles);
    }
    let anomalies = job.found(cycles, pairs);
    let of = |condition: &dyn Fn(&crate::observed::Txn) -> bool| {
        observed.txns.iter().filter(|txn| condition(txn)).count() as u64
    };
    let counts = Counts {
        transactions: observed.txns.len() as u64,
        committed: of(&|txn| txn.is_committed && txn.end != u64::MAX),
        failed: of(&|txn| txn.has_failed),
        unknown: of(&|txn| txn.end == u64::MAX),
        operations: observed.ops.len() as u64,
        keys: observed.keys.len() as u64,
        dependencies: dependencies.len() as u64,
    };
    Report { header: observed.header.clone(), level, counts, anomalies }
}

/// How many pairs of transactions there are of either kind.
#[derive(Debug, Default)]
struct Pairs {
    lost_updates: u64,
    write_skews: u64,
}

/// A dependency between two transactions, in an order in which those between the same two are together, by kind and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Between {
    from: u32,
    to: u32,
    kind: Kind,
    key: u32,
    /// The dependency's.
    number: u32,
}

/// The reads of what was overwritten, of the dependencies from one transaction to another.
fn reads(edges: &[Between]) -> &[Between] {
    &edges[edges.partition_point(|of| of.kind < Kind::Rw)..]
}

/// A read of what the other overwrote, and the reader's write upon that: the numbers of the two dependencies.
fn lost_update(there: &[Between], back: &[Between]) -> Option<[u32; 2]> {
    reads(there).iter().find_map(|read| {
        let wanted = (Kind::Ww, read.key);
        let write = back.get(back.partition_point(|of| (of.kind, of.key) < wanted))?;
        ((write.kind, write.key) == wanted).then_some([read.number, write.number])
    })
}

/// The transactions of a cycle, in ascending order.
fn members(steps: &[Step]) -> Vec<u32> {
    let mut who: Vec<u32> = steps.iter().map(|step| step.from).collect();
    who.sort_unstable();
    who
}

struct Job<'a> {
    observed: &'a Observed,
    dependencies: &'a [Dependency],
    level: Level,
    options: &'a Options,
}

impl Job<'_> {
    fn txns(&self, dependency: &Dependency) -> (u32, u32) {
        let txn = |op: u32| self.observed.ops[op as usize].txn;
        (txn(dependency.from), txn(dependency.to))
    }

    /// Adds the cycles at one level whose transactions are not `known` yet.
    fn search(&self, at: Level, known: &mut BTreeSet<Vec<u32>>, cycles: &mut Vec<Cycle>) {
        // Time orders what the level under test promises; stricter levels are looked at for what they add.
        let has_time = at == self.level && at != Level::Serializable
            || self.level == Level::Serializable && at == Level::RepeatableRead;
        for with_time in [false, true] {
            if with_time && !has_time {
                continue;
            }
            let instants = Instants::new(self.observed, self.dependencies, at, with_time);
            self.search_in(&instants, at, known, cycles);
        }
    }

    fn search_in(
        &self,
        instants: &Instants,
        at: Level,
        known: &mut BTreeSet<Vec<u32>>,
        cycles: &mut Vec<Cycle>,
    ) {
        let components = instants.graph.components();
        let mut search = Search::new(self.options.budget);
        let mut has_searched = false;
        let enough = cycles.len() + CYCLES;
        for component in &components.cyclic {
            let commits: Vec<u32> = component
                .iter()
                .copied()
                .filter(|node| instants.committing(*node).is_some())
                .collect();
            let stride = commits.len().div_ceil(STARTS).max(1);
            for start in commits.into_iter().step_by(stride) {
                if cycles.len() >= enough || search.budget == 0 && has_searched {
                    return;
                }
                has_searched = true;
                let found = instants.graph.cycle_through(
                    start,
                    &components,
                    Instants::is_step,
                    &mut search,
                );
                let Some(cycle) = found else { continue };
                let steps = instants.steps(self.observed, &cycle);
                self.keep(steps, at, known, cycles);
            }
        }
    }

    /// Adds a cycle unless one of the same transactions is known.
    fn keep(
        &self,
        steps: Vec<Step>,
        at: Level,
        known: &mut BTreeSet<Vec<u32>>,
        cycles: &mut Vec<Cycle>,
    ) {
        if known.insert(members(&steps)) {
            self.add(steps, at, cycles);
        }
    }

    fn add(&self, mut steps: Vec<Step>, at: Level, cycles: &mut Vec<Cycle>) {
        // The one that was taken in first begins.
        let first = (0..steps.len()).min_by_key(|place| steps[*place].from);
        steps.rotate_left(first.unwrap_or(0));
        let anomaly = self.classify(&steps, at);
        let is_forbidden = at == self.level || anomaly.is_forbidden_at(self.level);
        cycles.push(Cycle { anomaly, is_forbidden, steps });
    }

    fn kind(&self, step: &Step) -> Option<Kind> {
        step.dependency.map(|dependency| self.dependencies[dependency as usize].kind)
    }

    fn key(&self, step: &Step) -> Option<u32> {
        let dependency = step.dependency.map(|number| self.dependencies[number as usize])?;
        Some(self.observed.ops[dependency.to as usize].key)
    }

    /// The name of a cycle that was found at a level.
    fn classify(&self, steps: &[Step], at: Level) -> Anomaly {
        let kinds: Vec<Option<Kind>> = steps.iter().map(|step| self.kind(step)).collect();
        let is_rw = |place: usize| kinds[place % kinds.len()] == Some(Kind::Rw);
        let reads = (0..kinds.len()).filter(|place| is_rw(*place)).count();
        let same_key = steps.len() == 2 && self.key(&steps[0]) == self.key(&steps[1]);
        match reads {
            0 if kinds.contains(&Some(Kind::Wr)) => Anomaly::G1c,
            0 => Anomaly::G0,
            _ if at == Level::ReadCommitted => Anomaly::Otv,
            1 if same_key && kinds.contains(&Some(Kind::Ww)) => Anomaly::LostUpdate,
            1 => Anomaly::GSingle,
            _ if (0..kinds.len()).any(|place| is_rw(place) && is_rw(place + 1)) => Anomaly::G2Item,
            2 if kinds.iter().filter(|kind| **kind == Some(Kind::Wr)).count() == 2
                && kinds.len() == 4 =>
            {
                Anomaly::LongFork
            }
            _ => Anomaly::GNonadjacent,
        }
    }

    /// Counts the pairs of transactions that are a cycle of two with a read of what the other overwrote, each pair once, and
    /// keeps some: a lost update if the reader then wrote over that, else write skew if each read what the other overwrote.
    fn pairs(&self, known: &mut BTreeSet<Vec<u32>>, cycles: &mut Vec<Cycle>) -> Pairs {
        let mut all: Vec<Between> = (0..)
            .zip(self.dependencies)
            .filter(|(_, dependency)| dependency.kind != Kind::Wr)
            .map(|(number, dependency)| {
                let (from, to) = self.txns(dependency);
                let key = self.observed.ops[dependency.to as usize].key;
                Between { from, to, kind: dependency.kind, key, number }
            })
            .collect();
        all.sort_unstable();
        let mut pairs = Pairs::default();
        for there in all.chunk_by(|one, other| (one.from, one.to) == (other.from, other.to)) {
            let Between { from, to, .. } = there[0];
            if from > to {
                continue;
            }
            let back = &all[all.partition_point(|of| (of.from, of.to) < (to, from))..];
            let back = &back[..back.partition_point(|of| (of.from, of.to) == (to, from))];
            if let Some(cycle) = lost_update(there, back).or_else(|| lost_update(back, there)) {
                if pairs.lost_updates < self.options.examples as u64 {
                    self.keep_pair(Anomaly::LostUpdate, cycle, known, cycles);
                }
                pairs.lost_updates += 1;
            } else if let (Some(one), Some(other)) = (reads(there).first(), reads(back).first()) {
                if pairs.write_skews < self.options.examples as u64 {
                    self.keep_pair(Anomaly::G2Item, [one.number, other.number], known, cycles);
                }
                pairs.write_skews += 1;
            }
        }
        pairs
    }

    /// Has a cycle of two of this name among the others, whatever else was found of these two.
    fn keep_pair(
        &self,
        anomaly: Anomaly,
        dependencies: [u32; 2],
        known: &mut BTreeSet<Vec<u32>>,
        cycles: &mut Vec<Cycle>,
    ) {
        let steps = dependencies.map(|number| {
            let (from, to) = self.txns(&self.dependencies[number as usize]);
            Step { from, to, dependency: Some(number) }
        });
        let who = members(&steps);
        let is_there = cycles.iter().any(|cycle| {
            cycle.anomaly == anomaly && !cycle.has_time() && members(&cycle.steps) == who
        });
        known.insert(who);
        if !is_there {
            let at = match anomaly {
                Anomaly::LostUpdate => Level::RepeatableRead,
                _ => Level::Serializable,
            };
            self.add(steps.to_vec(), at, cycles);
        }
    }

    /// What was found, by anomaly: those that are forbidden first.
    fn found(&self, mut cycles: Vec<Cycle>, pairs: Pairs) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        let mut counts: Vec<_> = self.observed.counts.iter().collect();
        counts.sort_unstable();
        for (anomaly, count) in counts {
            let faults = self.observed.faults.iter().filter(|fault| fault.anomaly == *anomaly);
            let examples: Vec<Example> = faults
                .take(self.options.examples)
                .map(|fault| explain_fault(self.observed, fault))
                .collect();
            found.push(Found {
                anomaly: *anomaly,
                is_realtime: false,
                is_forbidden: anomaly.is_forbidden_at(self.level),
                count: *count,
                examples,
            });
        }
        cycles.sort_by_key(|cycle| {
            let begins = cycle.steps.iter().map(|step| step.from).min();
            (cycle.anomaly, cycle.has_time(), !cycle.is_forbidden, cycle.steps.len(), begins)
        });
        let kind = |cycle: &Cycle| (cycle.anomaly, cycle.has_time(), cycle.is_forbidden);
        for same in cycles.chunk_by(|one, other| kind(one) == kind(other)) {
            let (anomaly, is_realtime, is_forbidden) = kind(&same[0]);
            let counted = match (anomaly, is_realtime) {
                (Anomaly::LostUpdate, false) => pairs.lost_updates,
                (Anomaly::G2Item, false) => pairs.write_skews,
                _ => 0,
            };
            // All pairs are counted; of longer cycles those that were found.
            let longer = same.iter().filter(|cycle| cycle.steps.len() > 2).count() as u64;
            let count = (counted + longer).max(same.len() as u64);
            let examples = same.iter().take(self.options.examples);
            let examples = examples
                .map(|cycle| explain_cycle(self.observed, self.dependencies, &cycle.steps))
                .collect();
            // A fault of the same name, of a register's versions, stands there already.
            match found.iter_mut().find(|of| of.anomaly == anomaly && !is_realtime) {
                Some(of) => of.count = of.count.max(count),
                None => found.push(Found { anomaly, is_realtime, is_forbidden, count, examples }),
            }
        }
        found.sort_by_key(|of| (!of.is_forbidden, of.anomaly, of.is_realtime));
        found
    }
}
