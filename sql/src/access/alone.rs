//! Which scans of an index need nothing of the table's rows but what the index has: they leave pages out that everybody sees.
//!
//! ```text
//! SELECT a FROM t WHERE a > 5 AND b = 2      index (a) INCLUDE (b): a and b are read above the scan, and both are there
//! ```
//!
//! Invariants: a plan's root and whoever locks or changes rows read all of them, `ctid` and `tableoid` among it. What stands
//! in a subquery may read any column of the rows around it. Source: `check_index_only`.

use super::scan::Access;
use crate::expr::Expr;
use crate::family::{Family, HIDDEN, Member};
use crate::plan::{Plan, Program};

/// The places of a FROM's row that are read above a node; `None` for all of them.
type Read = Option<Vec<usize>>;

/// Marks such scans of a program.
pub(super) fn program(program: &mut Program) {
    mark(&mut program.plan, &mut 0, None);
    for subplan in &mut program.subplans {
        mark(&mut subplan.plan, &mut 0, None);
    }
    program.ctes.iter_mut().for_each(|cte| mark(cte, &mut 0, None));
}

/// Marks those below a node whose relations begin at `base`, which is moved behind them.
fn mark(node: &mut Plan, base: &mut usize, read: Read) {
    match node {
        Plan::IndexScan(family, found) => {
            scans(family, found.iter_mut().map(Option::as_mut), base, read.as_deref());
        }
        Plan::Merge { family, found, keys } => {
            let read = with(read, keys.iter().map(|key| &key.expr));
            scans(family, found.iter_mut().map(Some), base, read.as_deref());
        }
        Plan::Probe(family, found) => {
            scans(family, found.iter_mut().map(Some), base, read.as_deref());
        }
        Plan::Scan(family) => *base += family.width() + HIDDEN,
        Plan::Filter { input, condition } | Plan::SideFilter { input, condition, .. } => {
            mark(input, base, with(read, [&*condition]));
        }
        Plan::Sort { input, keys } => {
            mark(input, base, with(read, keys.iter().map(|key| &key.expr)));
        }
        Plan::Distinct { input, columns } => {
            let columns = columns.iter().map(|(place, _)| *place);
            mark(input, base, read.map(|read| read.into_iter().chain(columns).collect()));
        }
        Plan::Limit { input, .. } => mark(input, base, read),
        Plan::Join { left, right, on, widths, .. } => {
            let read = with(read, on.as_ref());
            let begin = *base;
            mark(left, &mut begin.clone(), read.clone());
            mark(right, &mut (begin + widths[0]), read);
            *base = begin + widths[0] + widths[1];
        }
        // What they give has places of its own.
        Plan::Project { input, exprs } => mark(input, &mut 0, with(Some(Vec::new()), &*exprs)),
        Plan::Aggregate { input, keys, calls, .. } => {
            let keys = keys.iter().map(|(key, _)| key);
            let of_calls = calls.iter().flat_map(|call| call.args.iter().chain(&call.filter));
            mark(input, &mut 0, with(Some(Vec::new()), keys.chain(of_calls)));
        }
        Plan::ProjectSeries { input, series, .. } => {
            mark(input, &mut 0, None);
            series.iter_mut().for_each(|(_, series)| mark(series, &mut 0, None));
        }
        Plan::Derived(input) | Plan::Lock { input, .. } | Plan::Trim { input, .. } => {
            mark(input, &mut 0, None);
        }
        Plan::SetOperation { left, right, .. } => {
            mark(left, &mut 0, None);
            mark(right, &mut 0, None);
        }
        Plan::Extremes(inputs) => inputs.iter_mut().for_each(|input| mark(input, &mut 0, None)),
        Plan::Change(change) => mark(&mut change.input, &mut 0, None),
        Plan::One
        | Plan::Values(_)
        | Plan::Series { .. }
        | Plan::Running(_)
        | Plan::Prepared { .. }
        | Plan::Cte(_) => {}
    }
}

/// Marks the scans of a family whose columns begin at `base`, which is moved behind them.
fn scans<'a>(
    family: &Family,
    found: impl Iterator<Item = Option<&'a mut Access>>,
    base: &mut usize,
    read: Option<&[usize]>,
) {
    let places = *base..*base + family.width() + HIDDEN;
    *base = places.end;
    let Some(read) = read else { return };
    let own = || read.iter().filter(|place| places.contains(place)).map(|at| at - places.start);
    for (access, member) in found.zip(&family.members) {
        if let Some(access) = access {
            access.is_alone = own().all(|place| access.has(member, place, family.width()));
        }
    }
}

/// With what expressions over the row read.
fn with<'e>(read: Read, exprs: impl IntoIterator<Item = &'e Expr>) -> Read {
    let mut read = read?;
    for expr in exprs {
        if has_subquery(expr) {
            return None;
        }
        read.extend(expr.places());
    }
    Some(read)
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
        let mut indexes = self.ranges.iter().map(|range| &range.index);
        place < width
            && indexes.all(|index| index.definition().columns().any(|at| at == member.place(place)))
    }
}
