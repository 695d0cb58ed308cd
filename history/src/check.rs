//! The check: a history taken in, its dependencies, its cycles, and the report of them.
//!
//! ```text
//! faults       operations wrong by themselves                                            observed, dependency
//! forbidden    cycles of instants at the history's level, with time                      instants, graph
//! allowed      cycles at the stricter levels, without time, that are not forbidden ones
//! pairs        of two transactions, counted one by one: lost updates, write skew
//! ```
//!
//! Whether there is a forbidden cycle is decided exactly, by the components of the graph. Which ones are shown is a search
//! for the shortest, from every transaction of a small component and from some of a large one, within a budget.
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
    /// Edges that the search for short cycles looks at, in each graph.
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
    if level == Level::Serializable {
        job.search(Level::RepeatableRead, &mut known, &mut cycles);
    }
    if level == Level::ReadCommitted {
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
        let enough = cycles.len() + CYCLES;
        for component in &components.cyclic {
            let commits: Vec<u32> = component
                .iter()
                .copied()
                .filter(|node| instants.committing(*node).is_some())
                .collect();
            let stride = commits.len().div_ceil(STARTS).max(1);
            for start in commits.into_iter().step_by(stride) {
                if cycles.len() >= enough || search.budget == 0 {
                    return;
                }
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

    fn keep(
        &self,
        mut steps: Vec<Step>,
        at: Level,
        known: &mut BTreeSet<Vec<u32>>,
        cycles: &mut Vec<Cycle>,
    ) {
        // The one that was taken in first begins.
        let first = (0..steps.len()).min_by_key(|place| steps[*place].from);
        steps.rotate_left(first.unwrap_or(0));
        let mut who: Vec<u32> = steps.iter().map(|step| step.from).collect();
        who.sort_unstable();
        if known.insert(who) {
            let anomaly = self.classify(&steps, at);
            let is_forbidden = at == self.level || anomaly.is_forbidden_at(self.level);
            cycles.push(Cycle { anomaly, is_forbidden, steps });
        }
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

    /// Counts the pairs of transactions that are a cycle of two with a read of what the other overwrote, and keeps some.
    fn pairs(&self, known: &mut BTreeSet<Vec<u32>>, cycles: &mut Vec<Cycle>) -> Pairs {
        // (from, to, kind, key, number)
        let mut all: Vec<(u32, u32, Kind, u32, u32)> = (0..)
            .zip(self.dependencies)
            .filter(|(_, dependency)| dependency.kind != Kind::Wr)
            .map(|(number, dependency)| {
                let (from, to) = self.txns(dependency);
                let key = self.observed.ops[dependency.to as usize].key;
                (from, to, dependency.kind, key, number)
            })
            .collect();
        all.sort_unstable();
        let mut pairs = Pairs::default();
        let mut kept = [0; 2];
        let mut last = None;
        for &(from, to, kind, key, number) in all.iter().filter(|of| of.2 == Kind::Rw) {
            let first = all.partition_point(|of| (of.0, of.1) < (to, from));
            let back = all[first..].iter().take_while(|of| (of.0, of.1) == (to, from));
            let mut skew = None;
            for other in back {
                let is_lost = other.2 == Kind::Ww && other.3 == key;
                let is_skew = other.2 == Kind::Rw && from < to && other.3 != key;
                if is_lost {
                    skew = None;
                    if last != Some((from, to, Kind::Ww)) {
                        last = Some((from, to, Kind::Ww));
                        pairs.lost_updates += 1;
                        self.keep_pair(0, &mut kept, [number, other.4], known, cycles);
                    }
                    break;
                }
                if is_skew {
                    skew = Some(other.4);
                }
            }
            if let Some(other) = skew
                && last != Some((from, to, kind))
            {
                last = Some((from, to, kind));
                pairs.write_skews += 1;
                self.keep_pair(1, &mut kept, [number, other], known, cycles);
            }
        }
        pairs
    }

    fn keep_pair(
        &self,
        which: usize,
        kept: &mut [usize; 2],
        dependencies: [u32; 2],
        known: &mut BTreeSet<Vec<u32>>,
        cycles: &mut Vec<Cycle>,
    ) {
        if kept[which] >= self.options.examples {
            return;
        }
        kept[which] += 1;
        let steps = dependencies.map(|number| {
            let (from, to) = self.txns(&self.dependencies[number as usize]);
            Step { from, to, dependency: Some(number) }
        });
        let at = [Level::RepeatableRead, Level::Serializable][which];
        self.keep(steps.to_vec(), at, known, cycles);
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
            let count = counted.max(same.len() as u64);
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
