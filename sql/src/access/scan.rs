//! The rows that an index finds between bounds that are worked out when the scan begins.
//!
//! Invariants: the condition is asked of every row again by whoever has it, so a bound may be left out. Rows that are wanted
//! in no order come as they lie in the table, as a scan of all of it gives them; of those that are read from the index alone,
//! their line pointers do. Source: `nodeIndexscan.c`, `nodeBitmapHeapscan.c`, `nodeIndexonlyscan.c`, `_bt_first`.

use std::ops::Bound;

use base::Tid;
use engine::btree::{Direction, IndexError, KeyError};
use engine::heap::Value;
use engine::{IndexOnlyScan, IndexScan, TableIndex};

use crate::error::Result;
use crate::exec::{Exec, Row};
use crate::expr::{Expr, Rows};
use crate::family::Member;
use crate::types::{Datum, StoredRow, Type};

/// How the rows of one table are found.
#[derive(Debug)]
pub(crate) struct Access {
    pub(super) index: TableIndex,
    pub(super) bounds: Bounds,
    /// Which way the index is read, if its order is wanted.
    pub(super) direction: Option<Direction>,
    /// Whether the index has all of a row that is read.
    pub(super) is_alone: bool,
}

/// Rows that an index gives.
pub(crate) enum IndexRows<'e> {
    OfTable(IndexScan<'e>),
    /// With nulls in the columns that the index does not have.
    OfIndex(IndexOnlyScan<'e>),
}

/// A part of an index.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// Values of the first columns of its key.
    pub(super) equal: Vec<Expr>,
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

/// A bound: values of the first columns.
type Limit = Bound<Vec<Datum>>;

/// A value as a column has it, or that it is beyond all that columns of the type can have.
enum Fitted {
    Value(Datum),
    Beyond { is_above: bool },
}

impl Access {
    /// Whether rows come in an order that is wanted.
    pub(crate) fn is_ordered(&self) -> bool {
        self.direction.is_some()
    }

    /// The rows of a member that it finds, as the family has them, in the order in which they lie there; `None` if the index
    /// cannot be used. What the bounds read is in `known`.
    ///
    /// # Errors
    /// Where a value cannot be worked out, or a page not be read.
    pub(crate) fn rows(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, '_>,
        known: &Rows<'_>,
    ) -> Result<Option<Vec<Row>>> {
        let Some((lower, upper)) = self.bounds.limits(exec, known)? else {
            return Ok(Some(Vec::new()));
        };
        let scan = self.begin(member, exec, lower, upper)?;
        let Some(mut scan) = scan else { return Ok(None) };
        let mut found = Vec::new();
        while let Some(row) = scan.next(member, exec)? {
            found.push(row);
        }
        found.sort_by_key(|(tid, _)| (tid.block, tid.offset));
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
        let Some((lower, upper)) = self.bounds.limits(exec, known)? else { return Ok(None) };
        let scan = self.begin(member, exec, lower, upper)?;
        // It was there when the statement was planned.
        let gone = || engine::Error::NoIndex(self.index.name().to_owned());
        scan.ok_or_else(gone).map(Some).map_err(Into::into)
    }

    fn begin<'e>(
        &self,
        member: &Member,
        exec: &mut Exec<'_, '_, '_, 'e>,
        mut lower: Limit,
        mut upper: Limit,
    ) -> Result<Option<IndexRows<'e>>> {
        let direction = self.direction.unwrap_or(Direction::Forward);
        loop {
            let types = &self.bounds.types;
            let [lower_row, upper_row] = [&lower, &upper].map(|limit| {
                let key = values(limit);
                StoredRow::new(key, &types[..key.len()])
            });
            let (lower_key, upper_key) = (lower_row.values()?, upper_row.values()?);
            let bounds = (bound(&lower, &lower_key), bound(&upper, &upper_key));
            let (table, index) = (&member.def.table, &self.index);
            let (transaction, (lower_key, upper_key)) = (&mut *exec.transaction, bounds);
            let scan = if self.is_alone {
                let scan =
                    table.scan_index_only(transaction, index, lower_key, upper_key, direction);
                scan.map(IndexRows::OfIndex)
            } else {
                let scan = table.scan_index(transaction, index, lower_key, upper_key, direction);
                scan.map(IndexRows::OfTable)
            };
            match scan {
                // It was dropped, or lacks what the snapshot may see.
                Err(engine::Error::NoIndex(_)) => return Ok(None),
                // No entry is as long as the value: columns are left out.
                Err(engine::Error::Index(IndexError::Key(KeyError::TooBig { .. }))) => {
                    let length = values(&lower).len().max(values(&upper).len());
                    lower = shortened(lower, length.saturating_sub(1));
                    upper = shortened(upper, length.saturating_sub(1));
                }
                scan => {
                    exec.state.reads.index_scan_begins(&member.def.table);
                    return Ok(Some(scan?));
                }
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
                let columns = row.values()?.into_iter().zip(&member.def.columns);
                let values = columns.map(|(value, column)| match value {
                    Some(value) => Datum::of_column(&value, column.of),
                    None => Ok(Datum::Null),
                });
                let values = values.collect::<Result<Row>>()?;
                Ok(Some((row.root(), member.shown(values, row.root()))))
            }
        }
    }
}

impl Bounds {
    /// The bounds' values; `None` if no row is between them.
    fn limits(
        &self,
        exec: &mut Exec<'_, '_, '_, '_>,
        known: &Rows<'_>,
    ) -> Result<Option<(Limit, Limit)>> {
        let mut equal = Vec::with_capacity(self.types.len());
        for (expr, of) in self.equal.iter().zip(&self.types) {
            match fitted(expr.eval(exec, known)?, *of) {
                Some(Fitted::Value(value)) => equal.push(value),
                _ => return Ok(None),
            }
        }
        let Some(of) = self.types.get(equal.len()) else {
            return Ok(Some((Bound::Included(equal.clone()), Bound::Included(equal))));
        };
        let mut limit = |side: &Option<(Expr, bool)>, is_lower: bool| -> Result<Option<Limit>> {
            // Where nulls are at this end they are left out.
            let skips = self.skips_nulls == Some(is_lower);
            let open = || match skips {
                true => Bound::Excluded([&equal[..], &[Datum::Null]].concat()),
                false => Bound::Included(equal.clone()),
            };
            let Some((expr, is_within)) = side else { return Ok(Some(open())) };
            Ok(match fitted(expr.eval(exec, known)?, *of) {
                None => None,
                Some(Fitted::Value(value)) => {
                    let key = [&equal[..], &[value]].concat();
                    Some(if *is_within { Bound::Included(key) } else { Bound::Excluded(key) })
                }
                Some(Fitted::Beyond { is_above }) => {
                    let is_for_greater = is_lower != self.descending;
                    (is_above != is_for_greater).then(open)
                }
            })
        };
        let (lower, upper) = (limit(&self.lower, true)?, limit(&self.upper, false)?);
        Ok(lower.zip(upper))
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

/// A bound of so many columns at most, which leaves out no row that it left in.
fn shortened(limit: Limit, length: usize) -> Limit {
    match limit {
        Bound::Included(mut values) | Bound::Excluded(mut values) if values.len() > length => {
            values.truncate(length);
            Bound::Included(values)
        }
        limit => limit,
    }
}
