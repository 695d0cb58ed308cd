//! How tables are read: the index that a table's rows are found by, or come in order by.
//!
//! ```text
//! WHERE a = 1 AND b > 2 AND c < 3     index (a, b DESC, c) ─► from (1, end) to before (1, 2), the filter on top of it
//! WHERE a = 1 ORDER BY b LIMIT 5      the same, backward: five rows are read, and nothing is sorted
//! SELECT max(a)                       the last entry that is not null
//! ```
//!
//! A condition of a join's rows serves the scans below it: a row that it drops there it would have dropped above, since a
//! comparison with a null is not true.
//!
//! [`asked`] is what conditions ask, [`choice`] which index is taken, [`scan`] what is read by it, [`extremes`] `min` and
//! `max`.
//!
//! Invariants: the condition is asked of every row that an index gives. Rows come in the order in which they lie in the
//! table, as a scan of all of it gives them, unless an order is wanted that the index has. What a key is compared with is
//! worked out once, when the scan begins, and has no effect. Sources: `indxpath.c`, `planner.c`.

mod asked;
mod choice;
mod extremes;
mod scan;

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
use crate::plan::{ChangeKind, JoinKind, Plan, Program};
use asked::{Asked, of_condition, plain};
use choice::{Candidate, Choice, Part, Wanted, best};
pub(crate) use scan::Access;

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
    let uses_order = state.settings.is_on("enable_indexscan");
    if !uses_order && !state.settings.is_on("enable_bitmapscan") {
        return Ok(());
    }
    let mut planner = Planner { transaction, database, state, uses_order };
    planner.plan(&mut program.plan, false)?;
    for subplan in &mut program.subplans {
        planner.plan(&mut subplan.plan, false)?;
    }
    program.ctes.iter_mut().try_for_each(|cte| planner.plan(cte, false))
}

/// What plans a program.
struct Planner<'x, 's, 'e> {
    transaction: &'x mut Transaction<'s, 'e>,
    database: &'x Database<'e>,
    state: &'x mut State,
    /// Whether rows may come in an index's order.
    uses_order: bool,
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
                if self.below(input, &mut 0, &[], Some(wanted))? {
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
            Plan::Scan(_) | Plan::Filter { .. } | Plan::Join { .. } | Plan::Lock { .. } => {
                self.below(node, &mut 0, &[], None).map(drop)
            }
            Plan::One
            | Plan::Values(_)
            | Plan::Series { .. }
            | Plan::Running(_)
            | Plan::Prepared { .. }
            | Plan::Cte(_)
            | Plan::Extremes(_)
            | Plan::IndexScan(..) => Ok(()),
        }
    }

    /// Finds indexes for a node whose relations begin at `base`, which is moved behind them, of whose rows `asked` holds.
    /// Whether its rows come in the order that is wanted.
    fn below(
        &mut self,
        node: &mut Plan,
        base: &mut usize,
        asked: &[Asked],
        wanted: Option<Wanted<'_>>,
    ) -> Result<bool> {
        match node {
            Plan::Scan(family) => {
                let at = *base;
                *base += family.width() + HIDDEN;
                let found = self.family(family, at, asked, wanted)?;
                let is_ordered = found.iter().flatten().any(|choice| choice.is_ordered);
                if found.iter().any(Option::is_some) {
                    let found = found.into_iter().map(|choice| Some(choice?.access)).collect();
                    *node = Plan::IndexScan(Rc::clone(family), found);
                }
                Ok(is_ordered)
            }
            Plan::Filter { input, condition } => {
                let mut all = asked.to_vec();
                of_condition(condition, &mut all);
                self.below(input, base, &all, wanted)
            }
            Plan::Lock { input, .. } => self.below(input, base, asked, wanted),
            Plan::Join { kind, left, right, widths, .. } => {
                let begin = *base;
                // Rows come in the order of the left side, those of an outer join that have none there last.
                let wanted = wanted.filter(|_| matches!(kind, JoinKind::Inner | JoinKind::Left));
                // Where there may be no row, nulls are asked what an expression over them might hold of.
                let strict: Vec<Asked> =
                    asked.iter().filter(|asked| asked.is_strict()).cloned().collect();
                let has_alone = |side| *kind == side || *kind == JoinKind::Full;
                let of_left = if has_alone(JoinKind::Right) { &strict } else { asked };
                let of_right = if has_alone(JoinKind::Left) { &strict } else { asked };
                let is_ordered = self.below(left, &mut begin.clone(), of_left, wanted)?;
                self.below(right, &mut (begin + widths[0]), of_right, None)?;
                *base = begin + widths[0] + widths[1];
                Ok(is_ordered)
            }
            // What they give has places of its own.
            node => self.plan(node, false).map(|()| false),
        }
    }

    /// The index of each of a family's members, if there is one that serves.
    fn family(
        &mut self,
        family: &Family,
        base: usize,
        asked: &[Asked],
        wanted: Option<Wanted<'_>>,
    ) -> Result<Vec<Option<Choice>>> {
        let places = base..base + family.width();
        let usable = |asked: &&Asked| {
            asked.needs.is_empty() && asked.reads.iter().all(|place| places.contains(place))
        };
        let asked: Vec<&Asked> = asked.iter().filter(usable).collect();
        // Rows of several tables are in no order.
        let wanted = wanted.filter(|_| self.uses_order && family.members.len() == 1);
        let mut found = Vec::with_capacity(family.members.len());
        for member in &family.members {
            found.push(best(self.candidates(member, base, family.width())?, &asked, wanted));
        }
        Ok(found)
    }

    /// The indexes that a member may be read by, over the row of a FROM in which the family's columns begin at `base`.
    fn candidates(&mut self, member: &Member, base: usize, width: usize) -> Result<Vec<Candidate>> {
        if member.def.indexes.is_empty() {
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
