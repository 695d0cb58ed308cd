//! How tables are read: the index that a table's rows are found by, or come in order by.
//!
//! ```text
//! WHERE a = 1 AND b > 2 AND c < 3     index (a, b DESC, c) ─► from (1, end) to before (1, 2), the filter on top of it
//! WHERE a = 1 ORDER BY b LIMIT 5      the same, backward: five rows are read, and nothing is sorted
//! SELECT max(a)                       the last entry that is not null
//! SELECT count(*)                     all entries of an index that is much smaller than the table
//! t JOIN u ON u.id = t.a              for each row of t, u by its index on id
//! p ORDER BY a LIMIT 5                of each partition of p the first by its index, and the next of the one that had the first
//! ```
//!
//! A condition of a join's rows serves the scans below it: a row that it drops there it would have dropped above, since a
//! comparison with a null is not true.
//!
//! [`asked`] is what conditions ask, [`choice`] which index is taken, [`scan`] what is read by it, [`join`] which side of a
//! join is, or by what it is hashed, [`extremes`] `min` and `max`, [`alone`] where an index has all that is read.
//!
//! Invariants: the condition is asked of every row that an index gives. Rows come in the order in which they lie in the
//! table, as a scan of all of it gives them, unless an order is wanted that the index has, or none is and none shows. What a key is compared with is
//! worked out once, when the scan begins, and has no effect. Sources: `indxpath.c`, `planner.c`.

mod alone;
mod asked;
mod choice;
mod extremes;
mod join;
mod scan;

use std::ops::Range;
use std::rc::Rc;

use engine::Transaction;

use crate::analyze::Analyzer;
use crate::backend::State;
use crate::database::Database;
use crate::error::Result;
use crate::exec::Exec;
use crate::expr::Expr;
use crate::family::{Family, HIDDEN, Member};
use crate::fold;
use crate::index::{IndexDef, KeyElement};
use crate::plan::{ChangeKind, Plan, Program};
use asked::{Asked, Constant, either, of_condition, plain};
use choice::{Candidate, Choice, Part, Wanted, best, union};
pub(crate) use scan::{Access, IndexRows};

/// Finds indexes for the scans of a program.
///
/// # Errors
/// As a lock of a table.
pub(crate) fn program<'e>(
    program: &mut Program,
    transaction: &mut Transaction<'_, 'e>,
    database: &Database<'e>,
    state: &mut State,
) -> Result<()> {
    let [uses_order, uses_hashes] =
        ["enable_indexscan", "enable_hashjoin"].map(|name| state.settings.is_on(name));
    let uses_indexes = uses_order || state.settings.is_on("enable_bitmapscan");
    let constant = program
        .subplans
        .iter()
        .map(|subplan| subplan.is_constant && subplan.plan.strongest_lock().is_none());
    let constant: Constant = constant.collect();
    let mut planner =
        Planner { transaction, database, state, uses_indexes, uses_order, uses_hashes, constant };
    planner.plan(&mut program.plan, false)?;
    for subplan in &mut program.subplans {
        planner.plan(&mut subplan.plan, false)?;
    }
    program.ctes.iter_mut().try_for_each(|cte| planner.plan(cte, false))?;
    if planner.state.settings.is_on("enable_indexonlyscan") {
        planner.alone(program)?;
    }
    Ok(())
}

/// Whether every table of a family, of which there is one, comes in the order that is wanted.
fn are_ordered(found: &[Option<Choice>]) -> bool {
    let is_ordered = |choice: &Option<Choice>| choice.as_ref().is_some_and(|one| one.is_ordered);
    !found.is_empty() && found.iter().all(is_ordered)
}

/// What plans a program.
struct Planner<'x, 's, 'e> {
    transaction: &'x mut Transaction<'s, 'e>,
    database: &'x Database<'e>,
    state: &'x mut State,
    uses_indexes: bool,
    /// Whether rows may come in an index's order.
    uses_order: bool,
    /// Whether a side of a join may be looked for by a hash.
    uses_hashes: bool,
    constant: Constant,
}

/// What is known to hold of the rows that a node gives, or may be taken to hold.
#[derive(Debug, Clone)]
struct Holds {
    /// The conditions, cut at their ANDs.
    parts: Vec<Expr>,
    /// What they ask.
    asked: Vec<Asked>,
    /// What each of them asks that has OR, in one way or another.
    either: Vec<Vec<Vec<Asked>>>,
    constant: Constant,
}

impl Holds {
    fn add(&mut self, condition: &Expr) {
        match condition {
            Expr::And(parts) => parts.iter().for_each(|part| self.add(part)),
            part if self.parts.contains(part) => {}
            part => {
                self.asked.append(&mut of_condition(part, &self.constant));
                self.either.extend(either(part, &self.constant));
                self.parts.push(part.clone());
            }
        }
    }

    /// The same for rows that are made nulls where there are none. What is true of no null may be asked of them all the
    /// same: it would be asked of the nulls.
    fn of_nullable(&self) -> Holds {
        let strict = |asked: &Vec<Asked>| -> Vec<Asked> {
            asked.iter().filter(|asked| asked.is_strict()).cloned().collect()
        };
        let either = self.either.iter().map(|ways| ways.iter().map(strict).collect());
        Holds {
            parts: Vec::new(),
            asked: strict(&self.asked),
            either: either.collect(),
            constant: Rc::clone(&self.constant),
        }
    }
}

impl Planner<'_, '_, '_> {
    /// Finds indexes for a node on top of which nothing is asked; whether a LIMIT stands there.
    fn plan(&mut self, node: &mut Plan, limited: bool) -> Result<()> {
        match node {
            Plan::Limit { input, .. } => self.plan(input, true),
            Plan::Project { input, .. } | Plan::Trim { input, .. } | Plan::Derived(input) => {
                self.plan(input, limited)
            }
            Plan::Lock { input, .. } if matches!(**input, Plan::Sort { .. }) => {
                self.plan(input, limited)
            }
            Plan::Sort { input, keys } => {
                let wanted = Wanted { keys, limited };
                if self.below(input, &mut 0, &self.nothing(), Some(wanted))? {
                    *node = std::mem::replace(input, Plan::One);
                }
                Ok(())
            }
            Plan::Aggregate { input, keys, calls, .. } => {
                if keys.is_empty()
                    && let Some(found) = self.extremes(input, calls)?
                {
                    *node = Plan::Extremes(found);
                    return Ok(());
                }
                self.plan(input, false)
            }
            Plan::ProjectSeries { input, series, .. } => {
                self.plan(input, limited)?;
                series.iter_mut().try_for_each(|(_, series)| self.plan(series, false))
            }
            Plan::Distinct { input, .. } => self.plan(input, false),
            Plan::SetOperation { left, right, .. } => {
                self.plan(left, false)?;
                self.plan(right, false)
            }
            Plan::Change(change) => match &change.kind {
                ChangeKind::Insert { .. }
                | ChangeKind::Update { .. }
                | ChangeKind::Delete
                | ChangeKind::Merge { .. } => self.plan(&mut change.input, false),
            },
            Plan::Scan(_)
            | Plan::Filter { .. }
            | Plan::SideFilter { .. }
            | Plan::Join { .. }
            | Plan::Lock { .. } => self.below(node, &mut 0, &self.nothing(), None).map(drop),
            Plan::One
            | Plan::Values(_)
            | Plan::Series { .. }
            | Plan::Running(_)
            | Plan::Prepared { .. }
            | Plan::Cte(_)
            | Plan::Extremes(_)
            | Plan::IndexScan(..)
            | Plan::Merge { .. }
            | Plan::Probe(..) => Ok(()),
        }
    }

    fn nothing(&self) -> Holds {
        let constant = Rc::clone(&self.constant);
        Holds { parts: Vec::new(), asked: Vec::new(), either: Vec::new(), constant }
    }

    /// Finds indexes for a node whose relations begin at `base`, which is moved behind them, of whose rows this
    /// `holds`. Whether its rows come in the order that is wanted.
    fn below(
        &mut self,
        node: &mut Plan,
        base: &mut usize,
        holds: &Holds,
        wanted: Option<Wanted<'_>>,
    ) -> Result<bool> {
        match node {
            Plan::Scan(family) => {
                let at = *base;
                *base += family.width() + HIDDEN;
                let found = self.family(family, at, holds, None, wanted)?;
                let is_ordered = are_ordered(&found);
                if let Some(wanted) = wanted.filter(|_| is_ordered && found.len() > 1) {
                    let (family, keys) = (Rc::clone(family), wanted.keys.to_vec());
                    let found = found.into_iter().flatten().map(|choice| choice.access).collect();
                    *node = Plan::Merge { family, found, keys };
                } else if found.iter().any(Option::is_some) {
                    let found = found.into_iter().map(|choice| Some(choice?.access)).collect();
                    *node = Plan::IndexScan(Rc::clone(family), found);
                }
                Ok(is_ordered)
            }
            Plan::Filter { input, condition } => {
                let mut all = holds.clone();
                all.add(condition);
                self.below(input, base, &all, wanted)
            }
            Plan::Lock { input, .. } | Plan::SideFilter { input, .. } => {
                self.below(input, base, holds, wanted)
            }
            Plan::Join { widths, .. } => {
                let begin = *base;
                *base += widths[0] + widths[1];
                self.join(node, begin, holds, wanted)
            }
            // What they give has places of its own.
            node => self.plan(node, false).map(|()| false),
        }
    }

    /// The index of each of a family's members, if there is one that serves, where what stands at the places `known` is
    /// known when the scan begins.
    fn family(
        &mut self,
        family: &Family,
        base: usize,
        holds: &Holds,
        known: Option<&Range<usize>>,
        wanted: Option<Wanted<'_>>,
    ) -> Result<Vec<Option<Choice>>> {
        let places = base..base + family.width();
        let is_known = |place: &usize| known.is_some_and(|known| known.contains(place));
        let usable = |asked: &&Asked| {
            asked.needs.iter().all(is_known)
                && asked.reads.iter().all(|place| places.contains(place))
        };
        let asked: Vec<&Asked> = holds.asked.iter().filter(usable).collect();
        let mut either: Vec<Vec<Vec<&Asked>>> = Vec::with_capacity(holds.either.len());
        for ways in &holds.either {
            either.push(ways.iter().map(|way| way.iter().filter(usable).collect()).collect());
        }
        let wanted = wanted.filter(|_| self.uses_order);
        if family.members.len() == 1 {
            return self.found(family, base, &asked, &either, wanted);
        }
        // Rows of several tables are merged where few of them are wanted, and each table has them in order.
        if wanted.is_some_and(|wanted| base == 0 && wanted.limited) {
            let found = self.found(family, base, &asked, &either, wanted)?;
            if are_ordered(&found) {
                return Ok(found);
            }
        }
        self.found(family, base, &asked, &either, None)
    }

    /// The same, by what may be asked of its columns.
    fn found(
        &mut self,
        family: &Family,
        base: usize,
        asked: &[&Asked],
        either: &[Vec<Vec<&Asked>>],
        wanted: Option<Wanted<'_>>,
    ) -> Result<Vec<Option<Choice>>> {
        let mut found = Vec::with_capacity(family.members.len());
        for member in &family.members {
            let candidates = self.candidates(member, base, family.width())?;
            let mut choice = best(&candidates, asked, wanted);
            for ways in either {
                let Some(union) = union(&candidates, asked, ways) else { continue };
                // Each way may read much: all of them together no less than the whole table.
                let cost = choice.as_ref().map_or(1.0, |known| known.cost(wanted));
                if union.share < cost {
                    choice = Some(union);
                }
            }
            found.push(choice);
        }
        Ok(found)
    }

    /// The indexes that a member may be read by, over the row of a FROM in which the family's columns begin at `base`.
    fn candidates(&mut self, member: &Member, base: usize, width: usize) -> Result<Vec<Candidate>> {
        if !self.uses_indexes || member.def.indexes.is_empty() {
            return Ok(Vec::new());
        }
        let usable = member.def.table.indexes(self.transaction)?;
        let mut candidates = Vec::new();
        for index in &member.def.indexes {
            let made = usable.iter().find(|usable| usable.oid() == index.oid());
            let Some(made) = made else { continue };
            let key = self.key(member, index, base, width)?;
            let is_unique = index.is_unique;
            candidates.push(Candidate { index: made.clone(), key, is_unique });
        }
        Ok(candidates)
    }

    fn key(
        &mut self,
        member: &Member,
        index: &IndexDef,
        base: usize,
        width: usize,
    ) -> Result<Vec<Part>> {
        let place = |column: usize| {
            let place = (0..width).find(|place| member.place(*place) == column);
            place.map(|place| base + place)
        };
        let columns = &member.def.columns;
        let mut key = Vec::with_capacity(index.key.len());
        for part in &index.key {
            let (expr, of, not_null) = match part.element {
                KeyElement::Column(column) => {
                    let of = &columns[column];
                    (place(column).map(Expr::column), of.of, of.not_null)
                }
                KeyElement::Computed(_) => {
                    let mut analyzer = Analyzer::new(self.transaction, self.database);
                    let part = std::slice::from_ref(part);
                    let Some(mut computed) = analyzer.key(&member.def, part)?.pop() else { break };
                    let nothing = Program::nothing();
                    let (transaction, state) = (&mut *self.transaction, &mut *self.state);
                    let mut exec = Exec::new(&nothing, transaction, self.database, state);
                    // As the statement's own constants were.
                    fold::expr(&mut computed.expr, &mut exec)?;
                    let mut is_there = true;
                    computed.expr.rewrite(&mut |part| {
                        if let Expr::Column { depth: 0, index } = part {
                            match place(*index) {
                                Some(place) => *index = place,
                                None => is_there = false,
                            }
                        }
                        Ok(false)
                    })?;
                    let expr = is_there.then(|| plain(&computed.expr).clone());
                    (expr, computed.of, false)
                }
            };
            let (descending, nulls_first) = (part.descending, part.nulls_first);
            key.push(Part { expr, of, descending, nulls_first, not_null });
        }
        Ok(key)
    }
}
