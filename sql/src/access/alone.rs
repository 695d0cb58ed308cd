//! Which scans need nothing of a table's rows but what an index has: they leave pages out that everybody sees.
//!
//! ```text
//! SELECT a FROM t WHERE a > 5 AND b = 2      index (a) INCLUDE (b): a and b are read above the scan, and both are there
//! SELECT count(*) FROM t                     any index, where all of it is less to read than all of the table
//! ```
//!
//! Invariants: a plan's root and whoever locks or changes rows read all of them, `ctid` and `tableoid` among it. What stands
//! in a subquery may read any column of the rows around it. All of an index is read only where nothing shows in which order
//! rows come. Sources: `check_index_only`, `cost_index`.

use std::rc::Rc;

use engine::btree::Direction;
use engine::{IndexDefinition, TableIndex};

use super::Planner;
use super::asked::is_stable;
use super::scan::{Access, Bounds, IndexRange};
use crate::error::Result;
use crate::expr::Expr;
use crate::family::{Family, HIDDEN, Member};
use crate::plan::{AggregateCall, AggregateKind, Plan, Program};
use crate::types::Type;

/// What a page of an index costs to read, with its entries, of what one of a table does (`random_page_cost`); it has several
/// times as many rows.
const INDEX_PAGE: u64 = 4;
/// What a table's page costs whose rows are looked for one by one.
const NOT_VISIBLE: u64 = 2;

/// What becomes of a node's rows above it.
#[derive(Clone)]
struct Above {
    /// The places of a FROM's row that are read; `None` for all of them.
    read: Option<Vec<usize>>,
    /// Whether nothing shows in which order they come.
    in_any_order: bool,
}

impl Planner<'_, '_, '_> {
    /// Finds such scans of a program.
    pub(super) fn alone(&mut self, program: &mut Program) -> Result<()> {
        self.mark(&mut program.plan, &mut 0, Above::all())?;
        for subplan in &mut program.subplans {
            self.mark(&mut subplan.plan, &mut 0, Above::all())?;
        }
        program.ctes.iter_mut().try_for_each(|cte| self.mark(cte, &mut 0, Above::all()))
    }

    /// Finds those below a node whose relations begin at `base`, which is moved behind them.
    fn mark(&mut self, node: &mut Plan, base: &mut usize, above: Above) -> Result<()> {
        match node {
            Plan::Scan(family) => {
                let mut found = Vec::new();
                found.resize_with(family.members.len(), || None);
                let own = own(family, base, &above);
                self.all_of_indexes(family, &mut found, own.as_deref(), &above)?;
                if found.iter().any(Option::is_some) {
                    *node = Plan::IndexScan(Rc::clone(family), found);
                }
            }
            Plan::IndexScan(family, found) => {
                let own = own(family, base, &above);
                self.all_of_indexes(family, found, own.as_deref(), &above)?;
                scans(family, found.iter_mut().map(Option::as_mut), own.as_deref());
            }
            Plan::Merge { family, found, keys } => {
                let above = above.with(keys.iter().map(|key| &key.expr));
                let own = own(family, base, &above);
                scans(family, found.iter_mut().map(Some), own.as_deref());
            }
            Plan::Probe(family, found) => {
                let own = own(family, base, &above);
                scans(family, found.iter_mut().map(Some), own.as_deref());
            }
            Plan::Filter { input, condition } | Plan::SideFilter { input, condition, .. } => {
                self.mark(input, base, above.with([&*condition]))?;
            }
            Plan::Sort { input, keys } => {
                // Those that are equal stay as they came.
                let above = above.in_order().with(keys.iter().map(|key| &key.expr));
                self.mark(input, base, above)?;
            }
            Plan::Distinct { input, columns } => {
                let mut above = above.in_order();
                let columns = columns.iter().map(|(place, _)| *place);
                above.read = above.read.map(|read| read.into_iter().chain(columns).collect());
                self.mark(input, base, above)?;
            }
            Plan::Limit { input, .. } => self.mark(input, base, above.in_order())?,
            Plan::Join { left, right, on, widths, .. } => {
                let above = above.with(on.as_ref());
                let begin = *base;
                self.mark(left, &mut begin.clone(), above.clone())?;
                self.mark(right, &mut (begin + widths[0]), above)?;
                *base = begin + widths[0] + widths[1];
            }
            // What they give has places of its own.
            Plan::Project { input, exprs } => {
                let in_any_order = above.in_any_order;
                let above = Above { read: Some(Vec::new()), in_any_order }.with(&*exprs);
                self.mark(input, &mut 0, above)?;
            }
            Plan::Aggregate { input, keys, calls, is_grouped } => {
                let in_any_order = !*is_grouped && calls.iter().all(gives_the_same_in_any_order);
                let keys = keys.iter().map(|(key, _)| key);
                let of_calls = calls.iter().flat_map(|call| call.args.iter().chain(&call.filter));
                let above = Above { read: Some(Vec::new()), in_any_order };
                self.mark(input, &mut 0, above.with(keys.chain(of_calls)))?;
            }
            Plan::ProjectSeries { input, series, .. } => {
                self.mark(input, &mut 0, Above::all())?;
                for (_, series) in series {
                    self.mark(series, &mut 0, Above::all())?;
                }
            }
            Plan::Derived(input) => {
                let above = Above { read: None, ..above };
                self.mark(input, &mut 0, above)?;
            }
            Plan::Lock { input, .. } | Plan::Trim { input, .. } => {
                self.mark(input, &mut 0, Above::all())?;
            }
            Plan::SetOperation { left, right, .. } => {
                self.mark(left, &mut 0, Above::all())?;
                self.mark(right, &mut 0, Above::all())?;
            }
            Plan::Extremes(inputs) => {
                for input in inputs {
                    self.mark(input, &mut 0, Above::all())?;
                }
            }
            Plan::Change(change) => self.mark(&mut change.input, &mut 0, Above::all())?,
            Plan::One
            | Plan::Values(_)
            | Plan::Series { .. }
            | Plan::Running(_)
            | Plan::Prepared { .. }
            | Plan::Cte(_) => {}
        }
        Ok(())
    }

    /// Has members that nothing is found for be read by all of an index, where that is less than all of the table.
    fn all_of_indexes(
        &mut self,
        family: &Family,
        found: &mut [Option<Access>],
        own: Option<&[usize]>,
        above: &Above,
    ) -> Result<()> {
        let Some(own) = own.filter(|_| above.in_any_order && self.uses_order) else {
            return Ok(());
        };
        for (access, member) in found.iter_mut().zip(&family.members) {
            if access.is_none() {
                *access = self.all_of_index(member, own, family.width())?;
            }
        }
        Ok(())
    }

    fn all_of_index(
        &mut self,
        member: &Member,
        own: &[usize],
        width: usize,
    ) -> Result<Option<Access>> {
        let table = &member.def.table;
        let mut best: Option<(u32, TableIndex)> = None;
        for index in table.indexes(self.transaction)? {
            if own.iter().all(|place| has(index.definition(), member, *place, width)) {
                let pages = table.index_pages(self.transaction, &index)?;
                if best.as_ref().is_none_or(|(known, _)| pages < *known) {
                    best = Some((pages, index));
                }
            }
        }
        let Some((index_pages, index)) = best else { return Ok(None) };
        if self.state.settings.is_on("enable_seqscan") {
            let pages = u64::from(table.pages(self.transaction)?);
            let of_index = u64::from(index_pages) * INDEX_PAGE;
            // The map is read only where it may matter.
            if of_index >= pages {
                return Ok(None);
            }
            let visible = u64::from(table.all_visible_pages(self.transaction)?);
            if of_index + pages.saturating_sub(visible) * NOT_VISIBLE >= pages {
                return Ok(None);
            }
        }
        let range = IndexRange { index, bounds: Bounds::default() };
        let direction = Some(Direction::Forward);
        Ok(Some(Access { ranges: vec![range], direction, is_alone: true }))
    }
}

/// Whether an aggregate gives the same in whatever order rows come. A sum of floats depends on it, and so does which of two
/// equal values is the least: they may be shown with other digits, or other blanks.
fn gives_the_same_in_any_order(call: &AggregateCall) -> bool {
    match call.kind {
        AggregateKind::Count | AggregateKind::And | AggregateKind::Or => true,
        AggregateKind::Min | AggregateKind::Max => {
            !matches!(call.of, Type::Float8 | Type::Numeric | Type::Bpchar)
        }
        AggregateKind::Sum | AggregateKind::Average => call.of != Type::Float8,
        AggregateKind::StringAgg => false,
    }
}

/// The family's own places that are read, its columns beginning at `base`, which is moved behind them.
fn own(family: &Family, base: &mut usize, above: &Above) -> Option<Vec<usize>> {
    let places = *base..*base + family.width() + HIDDEN;
    *base = places.end;
    let own = above.read.as_ref()?.iter().filter(|place| places.contains(place));
    Some(own.map(|at| at - places.start).collect())
}

/// Marks the scans of a family of which these places are read.
fn scans<'a>(
    family: &Family,
    found: impl Iterator<Item = Option<&'a mut Access>>,
    own: Option<&[usize]>,
) {
    let Some(own) = own else { return };
    for (access, member) in found.zip(&family.members) {
        if let Some(access) = access {
            access.is_alone = own.iter().all(|place| access.has(member, *place, family.width()));
        }
    }
}

impl Above {
    /// That all is read, in the order in which it comes.
    fn all() -> Above {
        Above { read: None, in_any_order: false }
    }

    fn in_order(self) -> Above {
        Above { in_any_order: false, ..self }
    }

    /// With what expressions over the row read.
    fn with<'e>(mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Above {
        for expr in exprs {
            if has_subquery(expr) {
                return Above::all();
            }
            // It may tell, or fail.
            self.in_any_order &= is_stable(expr);
            if let Some(read) = &mut self.read {
                read.extend(expr.places());
            }
        }
        self
    }
}

fn has_subquery(expr: &Expr) -> bool {
    let mut has = false;
    let walked = expr.clone().rewrite(&mut |part| {
        has |= matches!(part, Expr::Subquery { .. });
        Ok(has)
    });
    debug_assert!(walked.is_ok());
    has
}

impl Access {
    /// Whether all of its indexes have a column of a family of this width.
    fn has(&self, member: &Member, place: usize, width: usize) -> bool {
        self.ranges.iter().all(|range| has(range.index.definition(), member, place, width))
    }
}

/// Whether an index has a column of a family of this width.
fn has(index: &IndexDefinition, member: &Member, place: usize, width: usize) -> bool {
    place < width && index.columns().any(|at| at == member.place(place))
}
