//! Nodes that give one row after the other.
//!
//! Invariant: a row is asked for only when it is wanted: a limit above row locks has no more rows locked than it gives.

use std::collections::VecDeque;
use std::rc::Rc;

use engine::PageScan;

use super::join::{Condition, Join, Turned};
use super::order::{self, Merge};
use super::recheck::lock_rows;
use super::{Exec, Row, aggregate, change};
use crate::access::{Access, IndexRows};
use crate::analyze::from_prepared;
use crate::error::{Result, SqlError};
use crate::expr::{Expr, Rows};
use crate::family::{HIDDEN, Member};
use crate::plan::{Plan, RowMark, SetKind};
use crate::table::TableDef;
use crate::types::{Datum, Type};

/// A node that gives rows.
pub(crate) enum Cursor<'p, 'e> {
    Ready(std::vec::IntoIter<Row>),
    Shared(Rc<Vec<Row>>, usize),
    Scan {
        /// The member that is read, with those that follow.
        members: &'p [Member],
        /// What each of them is read by; nothing of those that are read whole.
        found: &'p [Option<Access>],
        reading: Option<Reading<'e>>,
        rows: VecDeque<Row>,
    },
    Merge(Box<Merge<'p, 'e>>),
    Values(std::slice::Iter<'p, Vec<Expr>>),
    Join(Box<Join<'p, 'e>>),
    Series {
        next: Option<i64>,
        to: i64,
        step: i64,
        of: Type,
    },
    Filter {
        input: Box<Cursor<'p, 'e>>,
        condition: &'p Expr,
    },
    SideFilter {
        input: Box<Cursor<'p, 'e>>,
        condition: Condition<'p>,
    },
    Lock {
        input: Box<Cursor<'p, 'e>>,
        below: &'p Plan,
        marks: &'p [RowMark],
    },
    Project {
        input: Box<Cursor<'p, 'e>>,
        exprs: &'p [Expr],
    },
    ProjectSeries {
        input: Box<Cursor<'p, 'e>>,
        exprs: &'p [Expr],
        series: &'p [(usize, Plan)],
        /// The row that they are given for, projected, and what is left of them.
        running: Option<(Row, Vec<Cursor<'p, 'e>>)>,
    },
    Limit {
        input: Box<Cursor<'p, 'e>>,
        skip: u64,
        left: Option<u64>,
    },
    Trim {
        input: Box<Cursor<'p, 'e>>,
        width: usize,
    },
}

/// A member that is read.
pub(crate) enum Reading<'e> {
    Pages(PageScan),
    /// By an index, in its order.
    Index(Box<IndexRows<'e>>),
}

impl<'p, 'e> Cursor<'p, 'e> {
    /// Begins to read members, one after the other, by what is found for each or whole.
    pub(super) fn scan(members: &'p [Member], found: &'p [Option<Access>]) -> Cursor<'p, 'e> {
        Cursor::Scan { members, found, reading: None, rows: VecDeque::new() }
    }

    /// Begins a node.
    pub(crate) fn open(
        plan: &'p Plan,
        exec: &mut Exec<'_, '_, '_, 'e>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Cursor<'p, 'e>> {
        let nothing = Rows { row: &[], outer };
        let boxed = |plan: &'p Plan, exec: &mut Exec<'_, '_, '_, 'e>| {
            Cursor::open(plan, exec, outer).map(Box::new)
        };
        Ok(match plan {
            Plan::One => Cursor::Ready(vec![Vec::new()].into_iter()),
            Plan::Values(rows) => Cursor::Values(rows.iter()),
            // Its tables were locked when they were looked up.
            Plan::Scan(family) => Cursor::scan(&family.members, &[]),
            Plan::IndexScan(family, found) => Cursor::scan(&family.members, found),
            Plan::Merge { family, found, keys } => {
                Cursor::Merge(Box::new(Merge::open(&family.members, found, keys, exec, outer)?))
            }
            Plan::Series { of, from, to, step } => {
                let from = from.eval(exec, &nothing)?.int();
                let to = to.eval(exec, &nothing)?.int();
                let step = match step {
                    Some(step) => step.eval(exec, &nothing)?.int(),
                    None => Some(1),
                };
                if step == Some(0) {
                    return Err(SqlError::new("22023", "step size cannot equal zero"));
                }
                match (from, to, step) {
                    (Some(from), Some(to), Some(step)) => {
                        Cursor::Series { next: Some(from), to, step, of: *of }
                    }
                    _ => Cursor::Series { next: None, to: 0, step: 1, of: *of },
                }
            }
            Plan::Running(snapshot) => {
                let running = crate::function::snapshot::running(&snapshot.eval(exec, &nothing)?)?;
                Cursor::Ready(
                    running.into_iter().map(|xid| vec![xid]).collect::<Vec<_>>().into_iter(),
                )
            }
            Plan::Prepared { is_view } => {
                let prepared = exec.database.engine.prepared();
                let rows = prepared.iter().map(|one| from_prepared::row(one, *is_view));
                Cursor::Ready(rows.collect::<Vec<_>>().into_iter())
            }
            Plan::Extremes(inputs) => {
                let mut row = Vec::with_capacity(inputs.len());
                for input in inputs {
                    let found = Cursor::open(input, exec, outer)?.next(exec, outer)?;
                    row.push(found.and_then(|row| row.into_iter().next()).unwrap_or(Datum::Null));
                }
                Cursor::Ready(vec![row].into_iter())
            }
            Plan::Cte(number) => Cursor::Shared(exec.cte(*number)?, 0),
            Plan::Derived(plan) => Cursor::open(plan, exec, outer)?,
            Plan::Join { kind, left, right, on, base, widths, equal } => {
                let condition = Condition { on: on.as_ref(), base: *base };
                if let Plan::Probe(family, found) = &**left {
                    let turned = Turned { kind: *kind, family, found, condition, widths: *widths };
                    return Ok(Cursor::Ready(turned.rows(right, exec, outer)?.into_iter()));
                }
                let left = Cursor::open(left, exec, outer)?;
                Cursor::Join(Box::new(Join::new(*kind, left, right, condition, equal, *widths)))
            }
            Plan::Filter { input, condition } => {
                Cursor::Filter { input: boxed(input, exec)?, condition }
            }
            Plan::SideFilter { input, condition, base } => {
                let condition = Condition { on: Some(condition), base: *base };
                Cursor::SideFilter { input: boxed(input, exec)?, condition }
            }
            // The join that it is a side of reads it.
            Plan::Probe(..) => return Err(SqlError::new("XX000", "a side of a join stands alone")),
            Plan::Aggregate { input, keys, calls, is_grouped } => {
                let mut input = Cursor::open(input, exec, outer)?;
                let rows = aggregate::aggregate(&mut input, keys, calls, *is_grouped, exec, outer)?;
                Cursor::Ready(rows.into_iter())
            }
            Plan::Sort { input, keys } => {
                let mut rows = Vec::new();
                for row in exec.all(input, outer)? {
                    rows.push((order::by(keys, &row, exec, outer)?, row));
                }
                rows.sort_by(|(one, _), (other, _)| order::compare(keys, one, other));
                Cursor::Ready(rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>().into_iter())
            }
            Plan::Lock { input, marks } => {
                Cursor::Lock { input: boxed(input, exec)?, below: input, marks }
            }
            Plan::Project { input, exprs } => Cursor::Project { input: boxed(input, exec)?, exprs },
            Plan::ProjectSeries { input, exprs, series } => {
                Cursor::ProjectSeries { input: boxed(input, exec)?, exprs, series, running: None }
            }
            Plan::Distinct { input, columns } => {
                let mut rows: Vec<Row> = Vec::new();
                for row in exec.all(input, outer)? {
                    if !rows.iter().any(|before| is_same(before, &row, columns)) {
                        rows.push(row);
                    }
                }
                Cursor::Ready(rows.into_iter())
            }
            Plan::Limit { input, limit, offset } => {
                let mut count = |written: &Option<Expr>, what: &str| -> Result<Option<u64>> {
                    let Some(written) = written else { return Ok(None) };
                    let Some(count) = written.eval(exec, &nothing)?.int() else { return Ok(None) };
                    let refuse = |_| {
                        let code = if what == "LIMIT" { "2201W" } else { "2201X" };
                        SqlError::new(code, format!("{what} must not be negative"))
                    };
                    u64::try_from(count).map(Some).map_err(refuse)
                };
                let left = count(limit, "LIMIT")?;
                let skip = count(offset, "OFFSET")?.unwrap_or(0);
                Cursor::Limit { input: boxed(input, exec)?, skip, left }
            }
            Plan::SetOperation { kind, all, left, right, types } => {
                let (left, right) = (exec.all(left, outer)?, exec.all(right, outer)?);
                let columns: Vec<(usize, Type)> = types.iter().copied().enumerate().collect();
                Cursor::Ready(set_operation(*kind, *all, left, right, &columns).into_iter())
            }
            Plan::Trim { input, width } => {
                Cursor::Trim { input: boxed(input, exec)?, width: *width }
            }
            Plan::Change(change) => Cursor::Ready(change::change(change, exec, outer)?.into_iter()),
        })
    }

    /// The next row.
    pub(crate) fn next(
        &mut self,
        exec: &mut Exec<'_, '_, '_, 'e>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Option<Row>> {
        match self {
            Cursor::Ready(rows) => Ok(rows.next()),
            Cursor::Shared(rows, at) => {
                *at += 1;
                Ok(rows.get(*at - 1).cloned())
            }
            Cursor::Scan { members, found, reading, rows } => loop {
                if let Some(row) = rows.pop_front() {
                    return Ok(Some(row));
                }
                let Some(member) = members.first() else { return Ok(None) };
                let table = &member.def.table;
                let is_over = match reading {
                    None => {
                        let access = found.first().and_then(Option::as_ref);
                        *reading = begin(member, access, rows, exec, outer)?;
                        reading.is_none()
                    }
                    Some(Reading::Pages(scan)) => match scan.next_page(exec.transaction)? {
                        None => true,
                        Some(page) => {
                            exec.state.reads.scanned(table, page.len());
                            for row in &page {
                                rows.push_back(member.stored_row(row)?);
                            }
                            false
                        }
                    },
                    Some(Reading::Index(scan)) => match scan.next(member, exec)? {
                        None => true,
                        Some((_, row)) => return Ok(Some(row)),
                    },
                };
                if is_over {
                    (*members, *reading) = (&members[1..], None);
                    *found = found.get(1..).unwrap_or(&[]);
                }
            },
            Cursor::Merge(merge) => merge.next(exec, outer),
            Cursor::Join(join) => join.next(exec, outer),
            Cursor::Values(rows) => {
                let Some(exprs) = rows.next() else { return Ok(None) };
                evaluated(exprs, &[], exec, outer).map(Some)
            }
            Cursor::Series { next, to, step, of } => {
                let Some(value) = *next else { return Ok(None) };
                if (*step > 0 && value > *to) || (*step < 0 && value < *to) {
                    *next = None;
                    return Ok(None);
                }
                *next = value.checked_add(*step);
                // It may be long.
                if value.wrapping_div(*step) % 1024 == 0 {
                    exec.transaction.check_interrupts()?;
                }
                let datum = match of {
                    Type::Int4 => Datum::Int4(value as i32),
                    _ => Datum::Int8(value),
                };
                Ok(Some(vec![datum]))
            }
            Cursor::Filter { input, condition } => {
                while let Some(row) = input.next(exec, outer)? {
                    if condition.is_true(exec, &Rows { row: &row, outer })? {
                        return Ok(Some(row));
                    }
                }
                Ok(None)
            }
            Cursor::SideFilter { input, condition } => {
                while let Some(row) = input.next(exec, outer)? {
                    if condition.holds(&row, exec, outer)? {
                        return Ok(Some(row));
                    }
                }
                Ok(None)
            }
            Cursor::Lock { input, below, marks } => {
                while let Some(mut row) = input.next(exec, outer)? {
                    if lock_rows(below, marks, &mut row, exec, outer)? {
                        return Ok(Some(row));
                    }
                }
                Ok(None)
            }
            Cursor::Project { input, exprs } => {
                let Some(row) = input.next(exec, outer)? else { return Ok(None) };
                evaluated(exprs, &row, exec, outer).map(Some)
            }
            Cursor::ProjectSeries { input, exprs, series, running } => loop {
                if let Some((projected, given)) = running {
                    let mut made = projected.clone();
                    let mut is_over = true;
                    for ((at, _), values) in series.iter().zip(given) {
                        // Those that end first give nulls.
                        let value = values.next(exec, outer)?;
                        is_over &= value.is_none();
                        let value = value.and_then(|row| row.into_iter().next());
                        made[*at] = value.unwrap_or(Datum::Null);
                    }
                    if !is_over {
                        return Ok(Some(made));
                    }
                }
                let Some(row) = input.next(exec, outer)? else { return Ok(None) };
                let projected = evaluated(exprs, &row, exec, outer)?;
                let mut given = Vec::with_capacity(series.len());
                for (_, plan) in *series {
                    // Its arguments are evaluated over the row.
                    given.push(Cursor::open(plan, exec, Some(&Rows { row: &row, outer }))?);
                }
                *running = Some((projected, given));
            },
            Cursor::Limit { input, skip, left } => {
                if *left == Some(0) {
                    return Ok(None);
                }
                while *skip > 0 {
                    *skip -= 1;
                    if input.next(exec, outer)?.is_none() {
                        return Ok(None);
                    }
                }
                let row = input.next(exec, outer)?;
                if row.is_some() {
                    *left = left.map(|left| left - 1);
                }
                Ok(row)
            }
            Cursor::Trim { input, width } => {
                let row = input.next(exec, outer)?;
                Ok(row.map(|mut row| {
                    row.truncate(*width);
                    row
                }))
            }
        }
    }
}

/// Begins to read a member: what is found at once is put into `rows`, and nothing is left to be read.
fn begin<'e>(
    member: &Member,
    access: Option<&Access>,
    rows: &mut VecDeque<Row>,
    exec: &mut Exec<'_, '_, '_, 'e>,
    outer: Option<&Rows<'_>>,
) -> Result<Option<Reading<'e>>> {
    let nothing = Rows { row: &[], outer };
    match access {
        Some(access) if access.is_ordered() => {
            return Ok(access.open(member, exec, &nothing)?.map(Box::new).map(Reading::Index));
        }
        Some(access) => {
            if let Some(found) = access.rows(member, exec, &nothing)? {
                *rows = found.into();
                return Ok(None);
            }
        }
        None => {}
    }
    let table = &member.def.table;
    exec.state.reads.scan_begins(table);
    Ok(Some(Reading::Pages(table.scan_pages(exec.transaction)?)))
}

/// A stored row of a table, with room for what stands hidden behind it.
pub(crate) fn stored_row(table: &TableDef, row: &engine::Row) -> Result<Row> {
    let mut values = Vec::with_capacity(table.columns.len() + HIDDEN);
    for (value, column) in row.values()?.iter().zip(&table.columns) {
        values.push(Datum::of_column(value, column.of)?);
    }
    Ok(values)
}

/// The values of expressions over a row.
pub(crate) fn evaluated(
    exprs: &[Expr],
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Row> {
    let rows = Rows { row, outer };
    exprs.iter().map(|expr| expr.eval(exec, &rows)).collect()
}

fn is_same(one: &Row, other: &Row, columns: &[(usize, Type)]) -> bool {
    columns.iter().all(|(at, of)| one[*at].sort_order(&other[*at], *of).is_eq())
}

fn set_operation(
    kind: SetKind,
    all: bool,
    left: Vec<Row>,
    mut right: Vec<Row>,
    columns: &[(usize, Type)],
) -> Vec<Row> {
    let mut made: Vec<Row> = Vec::new();
    let mut add = |row: Row| {
        if all || !made.iter().any(|before| is_same(before, &row, columns)) {
            made.push(row);
        }
    };
    if kind == SetKind::Union {
        left.into_iter().chain(right).for_each(&mut add);
        return made;
    }
    for row in left {
        let found = right.iter().position(|other| is_same(&row, other, columns));
        if let Some(at) = found.filter(|_| all) {
            right.swap_remove(at);
        }
        if found.is_some() == (kind == SetKind::Intersect) {
            add(row);
        }
    }
    made
}
