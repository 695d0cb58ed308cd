//! Expressions as the executor evaluates them: names resolved, types known, casts in their places.
//!
//! Invariant: an expression's value is of the type that it was analyzed with, or null. Columns are places in a row; a depth
//! above 0 is the row of so many queries further out.

mod arithmetic;
mod eval;
mod like;

use std::cmp::Ordering;
use std::rc::Rc;

use crate::error::Result;
use crate::function::Function;
use crate::routine::Routine;
use crate::types::{Datum, Modifier, Type};

pub(crate) use arithmetic::{Arithmetic, add, arithmetic};
pub(crate) use eval::{Rows, compare};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Const(Datum),
    Column {
        depth: usize,
        index: usize,
    },
    /// The result of an aggregate, until the query's aggregation gives it a place.
    Aggregate(usize),
    Call {
        function: &'static Function,
        args: Vec<Expr>,
    },
    /// A function that was made by SQL, with the types of its arguments.
    Routine {
        routine: Rc<Routine>,
        args: Vec<Expr>,
        types: Vec<Type>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        op: Comparison,
        of: Type,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Arithmetic {
        op: Arithmetic,
        of: Type,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Negate {
        of: Type,
        expr: Box<Expr>,
    },
    Concat(Box<Expr>, Box<Expr>),
    IsNull {
        expr: Box<Expr>,
        negated: bool,
    },
    /// `IS TRUE`, `IS FALSE`; `IS UNKNOWN` is `IS NULL`.
    Is {
        expr: Box<Expr>,
        value: bool,
        negated: bool,
    },
    Distinct {
        of: Type,
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    In {
        of: Type,
        expr: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    Like {
        expr: Box<Expr>,
        pattern: Box<Expr>,
        ignores_case: bool,
        negated: bool,
    },
    Case {
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Coalesce(Vec<Expr>),
    NullIf {
        of: Type,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `GREATEST`, or `LEAST`.
    Extreme {
        of: Type,
        args: Vec<Expr>,
        greatest: bool,
    },
    Cast {
        expr: Box<Expr>,
        from: Type,
        to: Type,
    },
    /// Fits a value to what its type is told besides.
    Fit {
        expr: Box<Expr>,
        of: Type,
        modifier: Modifier,
        is_explicit: bool,
    },
    Row(Vec<Expr>),
    Subquery {
        index: usize,
        use_: SubqueryUse,
    },
}

/// What a subquery is for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SubqueryUse {
    /// Its one value.
    Scalar,
    /// Its one row.
    Row,
    Exists,
    /// `expr op ANY (...)`; `IN` is `= ANY`.
    Any {
        expr: Box<Expr>,
        op: Comparison,
        of: Type,
    },
    /// `expr op ALL (...)`
    All {
        expr: Box<Expr>,
        op: Comparison,
        of: Type,
    },
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Expr {
    pub(crate) fn column(index: usize) -> Expr {
        Expr::Column { depth: 0, index }
    }

    /// The places of the row that it reads.
    pub(crate) fn places(&self) -> Vec<usize> {
        let mut places = Vec::new();
        let walked = self.clone().rewrite(&mut |part| {
            if let Expr::Column { depth: 0, index } = part {
                places.push(*index);
            }
            Ok(false)
        });
        debug_assert!(walked.is_ok());
        places
    }

    /// Has `change` look at it and at every expression in it, from the outside; what it replaces is not looked into.
    pub(crate) fn rewrite(
        &mut self,
        change: &mut dyn FnMut(&mut Expr) -> Result<bool>,
    ) -> Result<()> {
        if change(self)? {
            return Ok(());
        }
        let mut each = |expr: &mut Expr| expr.rewrite(change);
        match self {
            Expr::Const(_) | Expr::Column { .. } | Expr::Aggregate(_) => Ok(()),
            Expr::Call { args, .. }
            | Expr::Routine { args, .. }
            | Expr::And(args)
            | Expr::Or(args)
            | Expr::Coalesce(args)
            | Expr::Extreme { args, .. }
            | Expr::Row(args) => args.iter_mut().try_for_each(each),
            Expr::Not(expr)
            | Expr::Negate { expr, .. }
            | Expr::IsNull { expr, .. }
            | Expr::Is { expr, .. }
            | Expr::Cast { expr, .. }
            | Expr::Fit { expr, .. } => each(expr),
            Expr::Compare { left, right, .. }
            | Expr::Arithmetic { left, right, .. }
            | Expr::Concat(left, right)
            | Expr::Distinct { left, right, .. }
            | Expr::NullIf { left, right, .. } => {
                each(left)?;
                each(right)
            }
            Expr::Like { expr, pattern, .. } => {
                each(expr)?;
                each(pattern)
            }
            Expr::In { expr, list, .. } => {
                each(expr)?;
                list.iter_mut().try_for_each(each)
            }
            Expr::Case { whens, otherwise } => {
                for (condition, value) in whens {
                    each(condition)?;
                    each(value)?;
                }
                otherwise.as_mut().map_or(Ok(()), |value| each(value))
            }
            Expr::Subquery { use_, .. } => match use_ {
                SubqueryUse::Any { expr, .. } | SubqueryUse::All { expr, .. } => each(expr),
                SubqueryUse::Scalar | SubqueryUse::Row | SubqueryUse::Exists => Ok(()),
            },
        }
    }
}
