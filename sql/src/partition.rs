//! Tables that are kept in partitions: how they are divided, what each partition takes, and which one takes a row.
//!
//! ```text
//! PARTITION BY LIST (a)              the key: by single values, or by ranges
//! FOR VALUES IN (1, 2) | DEFAULT     the bound of a partition, of values that are kept as text
//! row ─► key's values ─► the partition whose bound has them, else the default one ─► and so on, down to a leaf
//! ```
//!
//! Invariants: a partition has its parent's columns, in the same order; bounds of one parent's partitions have no value in
//! common. Sources: `partbounds.c`, `execPartition.c`.

use std::cmp::Ordering;
use std::rc::Rc;

use sqlparser::ast::{self, ForValues, PartitionBoundValue};

use crate::error::{Result, SqlError};
use crate::table::{TableDef, ident, quoted};
use crate::types::{Datum, Type};

/// How a table is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionKey {
    pub(crate) strategy: Strategy,
    /// Columns, by their places.
    pub(crate) columns: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    List,
    Range,
}

/// Where a partition belongs, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartitionOf {
    pub(crate) parent: String,
    pub(crate) bound: Bound,
}

/// What a partition takes; values are text, `None` of a null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bound {
    In(Vec<Option<String>>),
    /// From the one, which is in, to the other, which is not.
    Range {
        from: Vec<Edge>,
        to: Vec<Edge>,
    },
    /// What no other takes.
    Default,
}

/// An end of a range, in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edge {
    Lowest,
    Value(String),
    Highest,
}

impl PartitionKey {
    /// Reads what stands behind `PARTITION BY`.
    pub(crate) fn read(written: &ast::Expr, names: &[&str]) -> Result<PartitionKey> {
        let refused = || SqlError::not_supported(format!("PARTITION BY {written}"));
        let ast::Expr::Function(function) = written else { return Err(refused()) };
        let strategy = match function.name.to_string().to_lowercase().as_str() {
            "list" => Strategy::List,
            "range" => Strategy::Range,
            "hash" => return Err(SqlError::not_supported("PARTITION BY HASH")),
            other => {
                let message = format!("unrecognized partitioning strategy \"{other}\"");
                return Err(SqlError::new("22023", message));
            }
        };
        let ast::FunctionArguments::List(list) = &function.args else { return Err(refused()) };
        let mut columns = Vec::with_capacity(list.args.len());
        for arg in &list.args {
            let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Identifier(name))) =
                arg
            else {
                return Err(refused());
            };
            let name = ident(name);
            columns.push(names.iter().position(|known| *known == name).ok_or_else(|| {
                let message = format!("column \"{name}\" named in partition key does not exist");
                SqlError::new("42703", message)
            })?);
        }
        if strategy == Strategy::List && columns.len() > 1 {
            let message = "cannot use \"list\" partition strategy with more than one column";
            return Err(SqlError::new("42P17", message));
        }
        Ok(PartitionKey { strategy, columns })
    }

    /// As it is written, over columns of these names.
    pub(crate) fn text(&self, names: &[&str]) -> String {
        let columns: Vec<String> = self.columns.iter().map(|at| quoted(names[*at])).collect();
        let strategy = match self.strategy {
            Strategy::List => "LIST",
            Strategy::Range => "RANGE",
        };
        format!("PARTITION BY {strategy} ({})", columns.join(", "))
    }
}

impl Bound {
    /// Reads a bound as it is kept, or as somebody wrote it: `value` gives a written value's text, as one of the type of
    /// the key's column of that number.
    pub(crate) fn read(
        written: &ForValues,
        value: &mut dyn FnMut(usize, &ast::Expr) -> Result<Option<String>>,
    ) -> Result<Bound> {
        let mut edges = |bounds: &[PartitionBoundValue]| -> Result<Vec<Edge>> {
            let edge = |(at, bound): (usize, &PartitionBoundValue)| match bound {
                PartitionBoundValue::MinValue => Ok(Edge::Lowest),
                PartitionBoundValue::MaxValue => Ok(Edge::Highest),
                PartitionBoundValue::Expr(expr) => value(at, expr)?
                    .map(Edge::Value)
                    .ok_or_else(|| SqlError::new("42P17", "cannot specify NULL in range bound")),
            };
            bounds.iter().enumerate().map(edge).collect()
        };
        Ok(match written {
            ForValues::Default => Bound::Default,
            ForValues::From { from, to } => Bound::Range { from: edges(from)?, to: edges(to)? },
            ForValues::In(values) => {
                let mut read = Vec::with_capacity(values.len());
                for written in values {
                    let value = value(0, written)?;
                    if !read.contains(&value) {
                        read.push(value);
                    }
                }
                Bound::In(read)
            }
            ForValues::With { .. } => return Err(SqlError::not_supported("FOR VALUES WITH")),
        })
    }

    /// The same of a bound that is kept.
    pub(crate) fn kept(written: &ForValues) -> Result<Bound> {
        Bound::read(written, &mut |_, value| match value {
            ast::Expr::Value(value) => Ok(value.value.clone().into_string()),
            other => Err(SqlError::new("XX001", format!("a partition's bound has {other}"))),
        })
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        let literal = |value: &str| format!("'{}'", value.replace('\'', "''"));
        let edges = |edges: &[Edge]| {
            let edge = |edge: &Edge| match edge {
                Edge::Lowest => "MINVALUE".to_owned(),
                Edge::Value(value) => literal(value),
                Edge::Highest => "MAXVALUE".to_owned(),
            };
            edges.iter().map(edge).collect::<Vec<_>>().join(", ")
        };
        match self {
            Bound::Default => "DEFAULT".to_owned(),
            Bound::In(values) => {
                let value = |value: &Option<String>| match value {
                    Some(value) => literal(value),
                    None => "NULL".to_owned(),
                };
                let values: Vec<String> = values.iter().map(value).collect();
                format!("FOR VALUES IN ({})", values.join(", "))
            }
            Bound::Range { from, to } => {
                format!("FOR VALUES FROM ({}) TO ({})", edges(from), edges(to))
            }
        }
    }
}

/// A value of a bound, of the column's type.
#[derive(Debug, Clone, PartialEq)]
enum Limit {
    Lowest,
    Value(Datum),
    Highest,
}

/// A bound over columns of known types.
#[derive(Debug, Clone)]
enum Typed {
    In(Vec<Datum>),
    Range { from: Vec<Limit>, to: Vec<Limit> },
    Default,
}

impl Typed {
    fn of(bound: &Bound, types: &[Type]) -> Result<Typed> {
        let limits = |edges: &[Edge]| -> Result<Vec<Limit>> {
            let limit = |(edge, of): (&Edge, &Type)| {
                Ok(match edge {
                    Edge::Lowest => Limit::Lowest,
                    Edge::Highest => Limit::Highest,
                    Edge::Value(text) => Limit::Value(crate::cast::input(text, *of)?),
                })
            };
            edges.iter().zip(types).map(limit).collect()
        };
        Ok(match bound {
            Bound::Default => Typed::Default,
            Bound::In(values) => {
                let value = |value: &Option<String>| match value {
                    Some(text) => crate::cast::input(text, types[0]),
                    None => Ok(Datum::Null),
                };
                Typed::In(values.iter().map(value).collect::<Result<_>>()?)
            }
            Bound::Range { from, to } => Typed::Range { from: limits(from)?, to: limits(to)? },
        })
    }

    /// Whether it takes a row with these values in the key; the default one is asked by nobody.
    fn takes(&self, key: &[&Datum], types: &[Type]) -> bool {
        match self {
            Typed::Default => false,
            Typed::In(values) => {
                values.iter().any(|value| value.sort_order(key[0], types[0]).is_eq())
            }
            // Nulls go to the default partition.
            Typed::Range { .. } if key.iter().any(|value| value.is_null()) => false,
            Typed::Range { from, to } => {
                side(from, key, types).is_le() && side(to, key, types).is_gt()
            }
        }
    }

    /// The order in which partitions are read: by the lowest value, a null and the default one last.
    fn order(&self, other: &Typed, types: &[Type]) -> Ordering {
        let lowest = |values: &[Datum]| {
            let order = |one: &&Datum, other: &&Datum| one.sort_order(other, types[0]);
            values.iter().min_by(order).cloned().unwrap_or(Datum::Null)
        };
        match (self, other) {
            (Typed::Default, Typed::Default) => Ordering::Equal,
            (Typed::Default, _) => Ordering::Greater,
            (_, Typed::Default) => Ordering::Less,
            (Typed::In(one), Typed::In(other)) => lowest(one).sort_order(&lowest(other), types[0]),
            (Typed::Range { from: one, .. }, Typed::Range { from: other, .. }) => {
                limits_order(one, other, types)
            }
            (Typed::In(_), Typed::Range { .. }) => Ordering::Less,
            (Typed::Range { .. }, Typed::In(_)) => Ordering::Greater,
        }
    }

    fn overlaps(&self, other: &Typed, types: &[Type]) -> bool {
        match (self, other) {
            (Typed::Default, Typed::Default) => true,
            (Typed::In(one), Typed::In(_)) => one.iter().any(|value| other.takes(&[value], types)),
            (Typed::Range { from, to }, Typed::Range { from: other_from, to: other_to }) => {
                limits_order(from, other_to, types).is_lt()
                    && limits_order(other_from, to, types).is_lt()
            }
            _ => false,
        }
    }
}

/// Where an end of a range lies beside a key.
fn side(limits: &[Limit], key: &[&Datum], types: &[Type]) -> Ordering {
    for ((limit, value), of) in limits.iter().zip(key).zip(types) {
        let order = match limit {
            Limit::Lowest => Ordering::Less,
            Limit::Highest => Ordering::Greater,
            Limit::Value(limit) => limit.sort_order(value, *of),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn limits_order(one: &[Limit], other: &[Limit], types: &[Type]) -> Ordering {
    for ((one, other), of) in one.iter().zip(other).zip(types) {
        let order = match (one, other) {
            // What lies beyond an open end is not looked at.
            (Limit::Lowest, Limit::Lowest) | (Limit::Highest, Limit::Highest) => {
                return Ordering::Equal;
            }
            (Limit::Lowest, _) | (_, Limit::Highest) => Ordering::Less,
            (Limit::Highest, _) | (_, Limit::Lowest) => Ordering::Greater,
            (Limit::Value(one), Limit::Value(other)) => one.sort_order(other, *of),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// A table that is divided, with its partitions in the order in which they are read.
#[derive(Debug, Clone)]
pub(crate) struct Partitioned {
    pub(crate) def: Rc<TableDef>,
    key: PartitionKey,
    types: Vec<Type>,
    parts: Vec<(Typed, Part)>,
}

/// A partition.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Leaf(Rc<TableDef>),
    Divided(Box<Partitioned>),
}

impl Part {
    fn def(&self) -> &Rc<TableDef> {
        match self {
            Part::Leaf(def) => def,
            Part::Divided(partitioned) => &partitioned.def,
        }
    }
}

impl Partitioned {
    /// Of a table that is divided and its partitions.
    pub(crate) fn of(
        def: Rc<TableDef>,
        key: PartitionKey,
        parts: Vec<(Bound, Part)>,
    ) -> Result<Partitioned> {
        let types: Vec<Type> = key.columns.iter().map(|at| def.columns[*at].of).collect();
        let typed = |(bound, part): (Bound, Part)| Ok((Typed::of(&bound, &types)?, part));
        let mut parts = parts.into_iter().map(typed).collect::<Result<Vec<_>>>()?;
        parts.sort_by(|(one, _), (other, _)| one.order(other, &types));
        Ok(Partitioned { def, key, types, parts })
    }

    /// All partitions that have rows, in the order in which they are read.
    pub(crate) fn leaves(&self) -> Vec<Rc<TableDef>> {
        let of_part = |(_, part): &(Typed, Part)| match part {
            Part::Leaf(def) => vec![Rc::clone(def)],
            Part::Divided(partitioned) => partitioned.leaves(),
        };
        self.parts.iter().flat_map(of_part).collect()
    }

    fn key<'r>(&self, row: &'r [Datum]) -> Vec<&'r Datum> {
        self.key.columns.iter().map(|at| &row[*at]).collect()
    }

    fn part(&self, row: &[Datum]) -> Option<&Part> {
        let key = self.key(row);
        let taking = self.parts.iter().find(|(bound, _)| bound.takes(&key, &self.types));
        let default = || self.parts.iter().find(|(bound, _)| matches!(bound, Typed::Default));
        taking.or_else(default).map(|(_, part)| part)
    }

    /// The partition that takes a row.
    ///
    /// # Errors
    /// `23514` if none does.
    pub(crate) fn leaf(&self, row: &[Datum]) -> Result<Rc<TableDef>> {
        match self.part(row) {
            Some(Part::Leaf(def)) => Ok(Rc::clone(def)),
            Some(Part::Divided(partitioned)) => partitioned.leaf(row),
            None => {
                let names: Vec<&str> =
                    self.key.columns.iter().map(|at| self.def.columns[*at].name.as_str()).collect();
                let values: Vec<Datum> = self.key(row).into_iter().cloned().collect();
                let key = crate::constraint::key_text(&names, &values).replacen(")=(", ") = (", 1);
                let message =
                    format!("no partition of relation \"{}\" found for row", self.def.name());
                Err(SqlError::new("23514", message)
                    .detail(format!("Partition key of the failing row contains {key}.")))
            }
        }
    }

    /// Whether it is this partition of the table that takes a row.
    pub(crate) fn takes(&self, partition: &str, row: &[Datum]) -> bool {
        self.part(row).is_some_and(|part| part.def().name() == partition)
    }

    fn edges_text(&self, edges: &[Edge]) -> String {
        let edge = |(edge, of): (&Edge, &Type)| match edge {
            Edge::Lowest => "MINVALUE".to_owned(),
            Edge::Highest => "MAXVALUE".to_owned(),
            Edge::Value(value) if of.is_number() => value.clone(),
            Edge::Value(value) => format!("'{value}'"),
        };
        let edges: Vec<String> = edges.iter().zip(&self.types).map(edge).collect();
        format!("({})", edges.join(", "))
    }

    /// Whether there is room for one more partition.
    ///
    /// # Errors
    /// `42P16` where its bound is none for the key, `42P17` where it is empty or has values that another one has.
    pub(crate) fn check_bound(&self, name: &str, bound: &Bound) -> Result<()> {
        let wrong = |message: String| Err(SqlError::new("42P17", message));
        let misplaced = |message: String| Err(SqlError::new("42P16", message));
        match (self.key.strategy, bound) {
            (Strategy::List, Bound::Range { .. }) => {
                return misplaced("invalid bound specification for a list partition".to_owned());
            }
            (Strategy::Range, Bound::In(_)) => {
                return misplaced("invalid bound specification for a range partition".to_owned());
            }
            (Strategy::Range, Bound::Range { from, to }) => {
                for (edges, end) in [(from, "FROM"), (to, "TO")] {
                    if edges.len() != self.types.len() {
                        return misplaced(format!(
                            "{end} must specify exactly one value per partitioning column"
                        ));
                    }
                }
            }
            _ => {}
        }
        let typed = Typed::of(bound, &self.types)?;
        if let (Typed::Range { from, to }, Bound::Range { from: lower, to: upper }) =
            (&typed, bound)
            && limits_order(from, to, &self.types).is_ge()
        {
            let message = format!("empty range bound specified for partition \"{name}\"");
            let [lower, upper] = [lower, upper].map(|edges| self.edges_text(edges));
            return Err(SqlError::new("42P17", message).detail(format!(
                "Specified lower bound {lower} is greater than or equal to upper bound {upper}."
            )));
        }
        for (other, part) in &self.parts {
            if !typed.overlaps(other, &self.types) {
                continue;
            }
            let other = part.def().name();
            return wrong(match bound {
                Bound::Default => format!(
                    "partition \"{name}\" conflicts with existing default partition \"{other}\""
                ),
                _ => format!("partition \"{name}\" would overlap partition \"{other}\""),
            });
        }
        Ok(())
    }

    /// The default partition, and whether it has rows which one more would take, is for the caller to look after.
    pub(crate) fn default(&self) -> Option<&Rc<TableDef>> {
        let default = self.parts.iter().find(|(bound, _)| matches!(bound, Typed::Default));
        default.map(|(_, part)| part.def())
    }

    /// Which rows a bound takes that is to be one more.
    pub(crate) fn would_take(&self, bound: &Bound) -> Result<impl Fn(&[Datum]) -> bool> {
        let bound = Typed::of(bound, &self.types)?;
        Ok(move |row: &[Datum]| bound.takes(&self.key(row), &self.types))
    }
}
