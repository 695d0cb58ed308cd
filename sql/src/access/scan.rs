//! The rows that an index finds between bounds that are worked out when the scan begins.
//!
//! Invariants: the condition is asked of every row again by whoever has it, so a bound may be left out. Rows that are wanted
//! in no order come as they lie in the table, as a scan of all of it gives them; of those that are read from the index alone,
//! their line pointers do. Source: `nodeIndexscan.c`, `nodeBitmapHeapscan.c`, `nodeIndexonlyscan.c`, `_bt_first`.

use std::ops::Bound;

use base::Tid;
use engine::btree::Direction;
use engine::heap::Value;
use engine::{IndexOnlyScan, IndexScan, TableIndex};

use crate::error::{Result, SqlError};
use crate::exec::{Exec, Row};
use crate::expr::{Expr, Rows};
use crate::family::{HIDDEN, Member};
use crate::types::{Datum, StoredRow, Type};

/// How the rows of one table are found.
#[derive(Debug)]
pub(crate) struct Access {
    /// What is read of one index or several: rows that are in any of these.
    pub(super) ranges: Vec<IndexRange>,
    /// Which way the one range is read, if its order is wanted, or may be any.
    pub(super) direction: Option<Direction>,
    /// Whether each of the indexes has all of a row that is read.
    pub(super) is_alone: bool,
}

/// Rows that an index gives.
pub(crate) enum IndexRows<'e> {
    OfTable(IndexScan<'e>),
    /// With nulls in the columns that the index does not have.
    OfIndex(IndexOnlyScan<'e>),
}

/// A part of an index.
#[derive(Debug)]
pub(super) struct IndexRange {
    pub(super) index: TableIndex,
    pub(super) bounds: Bounds,
}

/// Where it lies.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// Values of the first columns of its key.
    pub(super) equal: Vec<Values>,
    /// Bounds of the column behind them, in the order of the index; whether they are within.
    pub(super) lower: Option<(Expr, bool)>,
    pub(super) upper: Option<(Expr, bool)>,
    /// The types of the columns that something is known of.
    pub(super) types: Vec<Type>,
    /// Whether the column with bounds is in descending order.
    pub(super) descending: bool,
    /// Where the column with bounds has its nulls, none of which are wanted: first or last.
    pub(super) skips_nulls: Option<bool>,
}

/// The values that a column may have.
#[derive(Debug)]
pub(super) enum Values {
    One(Expr),
    Any(Vec<Expr>),
    /// What a subquery gives, the statement's of this number.
    Given(usize),
    Null,
}

/// A bound: values of the first columns.
type Limit = Bound<Vec<Datum>>;

/// A value as a column has it, or that it is beyond all that columns of the type can have.
enum Fitted {
    Value(Datum),
    Beyond { is_above: bool },
}

impl Access {
    /// Whether rows come in the index's order.
    pub(crate) fn is_ordered(&self) -> bool {
        self.direction.is_some()
    }

    /// The rows of a member that it finds, as the family has them, in the order in which they lie there; `None` if the index
    /// cannot be used, or so often that reading all of the table is no more. What the bounds read is in `known`.
    ///
    /// # Errors
    /// Where a value cannot be worked out, or a page not be read.
    pub(crate) fn rows(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, '_>,
        known: &Rows<'_>,
    ) -> Result<Option<Vec<Row>>> {
        let mut found = Vec::new();
        let mut searches = 0;
        for range in &self.ranges {
            let limits = range.bounds.limits(member, exec, known)?;
            let Some(limits) = limits else { return Ok(None) };
            searches += limits.len();
            for (lower, upper) in limits {
                let scan =
                    range.begin(member, exec, (lower, upper), Direction::Forward, self.is_alone)?;
                let Some(mut scan) = scan else { return Ok(None) };
                while let Some(row) = scan.next(member, exec)? {
                    found.push(row);
                }
            }
        }
        found.sort_by_key(|(tid, _)| (tid.block, tid.offset));
        if searches > 1 {
            found.dedup_by_key(|(tid, _)| *tid);
        }
        Ok(Some(found.into_iter().map(|(_, row)| row).collect()))
    }

    /// Begins to read rows in the index's order; `None` if there are none.
    ///
    /// # Errors
    /// As [`Access::rows`]; where the index cannot be used.
    pub(crate) fn open<'e>(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, 'e>,
        known: &Rows<'_>,
    ) -> Result<Option<IndexRows<'e>>> {
        let (Some(direction), [range]) = (self.direction, self.ranges.as_slice()) else {
            return Err(SqlError::new("XX000", "rows of several ranges are in no order"));
        };
        let limits = range.bounds.limits(member, exec, known)?;
        let Some(limits) = limits.and_then(|mut limits| limits.pop()) else { return Ok(None) };
        let scan = range.begin(member, exec, limits, direction, self.is_alone)?;
        // It was there when the statement was planned.
        let gone = || engine::Error::NoIndex(range.index.name().to_owned());
        scan.ok_or_else(gone).map(Some).map_err(Into::into)
    }
}

impl IndexRange {
    /// Begins to read between two bounds, the index alone if it has all that is read; `None` if the index cannot be used.
    fn begin<'e>(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, 'e>,
        (lower, upper): (Limit, Limit),
        direction: Direction,
        is_alone: bool,
    ) -> Result<Option<IndexRows<'e>>> {
        let types = &self.bounds.types;
        let [lower_row, upper_row] = [&lower, &upper].map(|limit| {
            let key = values(limit);
            StoredRow::new(key, &types[..key.len()])
        });
        let (lower_key, upper_key) = (lower_row.values()?, upper_row.values()?);
        let (lower, upper) = (bound(&lower, &lower_key), bound(&upper, &upper_key));
        let (table, index, transaction) = (&member.def.table, &self.index, &mut *exec.transaction);
        let scan = if is_alone {
            let scan = table.scan_index_only(transaction, index, lower, upper, direction);
            scan.map(IndexRows::OfIndex)
        } else {
            let scan = table.scan_index(transaction, index, lower, upper, direction);
            scan.map(IndexRows::OfTable)
        };
        match scan {
            // It was dropped, or lacks what the snapshot may see.
            Err(engine::Error::NoIndex(_)) => Ok(None),
            scan => {
                exec.state.reads.index_scan_begins(&member.def.table);
                Ok(Some(scan?))
            }
        }
    }
}

impl<'e> IndexRows<'e> {
    /// The next row, as the member's family has it, and its place.
    ///
    /// # Errors
    /// As [`Access::rows`].
    pub(crate) fn next(
        &mut self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, 'e>,
    ) -> Result<Option<(Tid, Row)>> {
        let (table, reads) = (&member.def.table, &mut exec.state.reads);
        match self {
            IndexRows::OfTable(scan) => {
                let Some(row) = scan.next_row(exec.transaction)? else { return Ok(None) };
                reads.fetched(table, 1);
                Ok(Some((row.tid(), member.stored_row(&row)?)))
            }
            IndexRows::OfIndex(scan) => {
                let fetches = scan.heap_fetches();
                let Some(row) = scan.next_row(exec.transaction)? else { return Ok(None) };
                reads.fetched(table, (scan.heap_fetches() - fetches) as usize);
                let mut values = Vec::with_capacity(member.def.columns.len() + HIDDEN);
                for (value, column) in row.values()?.into_iter().zip(&member.def.columns) {
                    values.push(match value {
                        Some(value) => Datum::of_column(&value, column.of)?,
                        None => Datum::Null,
                    });
                }
                Ok(Some((row.root(), member.shown(values, row.root()))))
            }
        }
    }
}

impl Values {
    /// The values, each once, as a column of a type has them.
    fn of(
        &self,
        of: Type,
        exec: &mut Exec<'_, '_, '_, '_>,
        known: &Rows<'_>,
    ) -> Result<Vec<Datum>> {
        let mut all = Vec::new();
        match self {
            Values::One(expr) => all.push(expr.eval(exec, known)?),
            Values::Any(exprs) => {
                for expr in exprs {
                    all.push(expr.eval(exec, known)?);
                }
            }
            Values::Given(subquery) => {
                let given = exec.given(*subquery, known)?;
                all.extend(given.iter().filter_map(|row| row.first().cloned()));
            }
            Values::Null => return Ok(vec![Datum::Null]),
        }
        let fitting = all.into_iter().filter_map(|value| match fitted(value, of) {
            Some(Fitted::Value(value)) => Some(value),
            _ => None,
        });
        let mut fitting: Vec<Datum> = fitting.collect();
        fitting.sort_by(|one, other| one.sort_order(other, of));
        fitting.dedup_by(|one, other| one.sort_order(other, of).is_eq());
        Ok(fitting)
    }
}

impl Bounds {
    /// The bounds' values, of each range that rows may be in; `None` if there are so many that reading all of the table costs
    /// no more.
    fn limits(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, '_>,
        known: &Rows<'_>,
    ) -> Result<Option<Vec<(Limit, Limit)>>> {
        /// A search costs as much as reading so many rows, of which a page has so many.
        const MOST_PER_PAGE: usize = 10;
        let mut prefixes = vec![Vec::with_capacity(self.types.len())];
        for (values, of) in self.equal.iter().zip(&self.types) {
            let values = values.of(*of, exec, known)?;
            let count = prefixes.len().saturating_mul(values.len());
            if values.len() > 1 && count > MOST_PER_PAGE {
                let pages = member.def.table.pages(exec.transaction)? as usize;
                if count > MOST_PER_PAGE * pages.max(1) {
                    return Ok(None);
                }
            }
            let with = |prefix: &Vec<Datum>| -> Vec<Vec<Datum>> {
                values
                    .iter()
                    .map(|value| [&prefix[..], std::slice::from_ref(value)].concat())
                    .collect()
            };
            prefixes = prefixes.iter().flat_map(with).collect();
        }
        let Some(of) = self.types.get(self.equal.len()).filter(|_| !prefixes.is_empty()) else {
            let both =
                |prefix: Vec<Datum>| (Bound::Included(prefix.clone()), Bound::Included(prefix));
            return Ok(Some(prefixes.into_iter().map(both).collect()));
        };
        let mut ends = Vec::with_capacity(2);
        for (side, is_lower) in [(&self.lower, true), (&self.upper, false)] {
            let end = match side {
                None => None,
                Some((expr, is_within)) => match fitted(expr.eval(exec, known)?, *of) {
                    None => return Ok(Some(Vec::new())),
                    Some(Fitted::Value(value)) => Some((value, *is_within)),
                    Some(Fitted::Beyond { is_above }) => {
                        let is_for_greater = is_lower != self.descending;
                        if is_above == is_for_greater {
                            return Ok(Some(Vec::new()));
                        }
                        None
                    }
                },
            };
            // Where nulls are at this end they are left out.
            let skipped = (self.skips_nulls == Some(is_lower)).then_some((Datum::Null, false));
            ends.push(end.or(skipped));
        }
        let limit = |prefix: &[Datum], end: &Option<(Datum, bool)>| match end {
            None => Bound::Included(prefix.to_vec()),
            Some((value, is_within)) => {
                let key = [prefix, std::slice::from_ref(value)].concat();
                if *is_within { Bound::Included(key) } else { Bound::Excluded(key) }
            }
        };
        let both = |prefix: &Vec<Datum>| (limit(prefix, &ends[0]), limit(prefix, &ends[1]));
        Ok(Some(prefixes.iter().map(both).collect()))
    }
}

/// A value that is compared with those of a column; `None` of a null.
fn fitted(value: Datum, of: Type) -> Option<Fitted> {
    let Some(number) = value.int().filter(|_| of.is_integer()) else {
        return (!value.is_null()).then_some(Fitted::Value(value));
    };
    let fits = match of {
        Type::Int2 => i16::try_from(number).ok().map(Datum::Int2),
        Type::Int4 => i32::try_from(number).ok().map(Datum::Int4),
        _ => Some(Datum::Int8(number)),
    };
    Some(fits.map_or(Fitted::Beyond { is_above: number > 0 }, Fitted::Value))
}

fn values(limit: &Limit) -> &[Datum] {
    match limit {
        Bound::Included(values) | Bound::Excluded(values) => values,
        Bound::Unbounded => &[],
    }
}

fn bound<'a>(limit: &Limit, values: &'a [Value<'a>]) -> Bound<&'a [Value<'a>]> {
    match limit {
        Bound::Excluded(_) => Bound::Excluded(values),
        Bound::Included(_) | Bound::Unbounded => Bound::Included(values),
    }
}
