//! Expressions as the executor evaluates them: names resolved, types known, casts in their places.
//!
//! Invariant: an expression's value is of the type that it was analyzed with, or null. Columns are places in a row; a depth
//! above 0 is the row of so many queries further out.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::cast;
use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::function::Function;
use crate::numeric::Numeric;
use crate::routine::Routine;
use crate::types::{Datum, Modifier, Type};

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

/// An operation of numbers; of dates, `+` and `-` count in days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
}

/// The rows that an expression's columns mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) row: &'a [Datum],
    pub(crate) outer: Option<&'a Rows<'a>>,
}

impl Rows<'_> {
    fn get(&self, depth: usize, index: usize) -> Datum {
        let mut rows = *self;
        for _ in 0..depth {
            match rows.outer {
                Some(outer) => rows = *outer,
                None => return Datum::Null,
            }
        }
        rows.row.get(index).cloned().unwrap_or(Datum::Null)
    }
}

impl Expr {
    pub(crate) fn column(index: usize) -> Expr {
        Expr::Column { depth: 0, index }
    }

    /// Its value.
    pub(crate) fn eval(&self, exec: &mut Exec<'_, '_, '_, '_>, rows: &Rows<'_>) -> Result<Datum> {
        Ok(match self {
            Expr::Const(value) => value.clone(),
            Expr::Column { depth, index } => rows.get(*depth, *index),
            Expr::Aggregate(_) => return Err(SqlError::new("XX000", "an aggregate has no place")),
            Expr::Call { function, args } => {
                let mut values = Vec::with_capacity(args.len());
                for arg in args {
                    let value = arg.eval(exec, rows)?;
                    if value.is_null() && function.is_strict {
                        return Ok(Datum::Null);
                    }
                    values.push(value);
                }
                function.call(exec, &values)?
            }
            Expr::Routine { routine, args, types } => {
                let values = args.iter().map(|arg| arg.eval(exec, rows));
                let values = values.collect::<Result<Vec<_>>>()?;
                exec.call(routine, values, types)?
            }
            Expr::And(parts) => Datum::of_truth(self.junction(parts, false, exec, rows)?),
            Expr::Or(parts) => Datum::of_truth(self.junction(parts, true, exec, rows)?),
            Expr::Not(expr) => Datum::of_truth(expr.eval(exec, rows)?.truth().map(|value| !value)),
            Expr::Compare { op, of, left, right } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                Datum::of_truth(compare(*op, *of, &left, &right))
            }
            Expr::Arithmetic { op, of, left, right } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                if left.is_null() || right.is_null() {
                    return Ok(Datum::Null);
                }
                arithmetic(*op, *of, &left, &right)?
            }
            Expr::Negate { of, expr } => match expr.eval(exec, rows)? {
                Datum::Null => Datum::Null,
                Datum::Float8(value) => Datum::Float8(-value),
                Datum::Numeric(value) => Datum::Numeric(value.negate()),
                value => arithmetic(Arithmetic::Subtract, *of, &zero(*of), &value)?,
            },
            Expr::Concat(left, right) => {
                match (left.eval(exec, rows)?.text(), right.eval(exec, rows)?.text()) {
                    (Some(left), Some(right)) => Datum::Text(left + &right),
                    _ => Datum::Null,
                }
            }
            Expr::IsNull { expr, negated } => {
                let is_null = match expr.eval(exec, rows)? {
                    // Of a row all fields are looked at.
                    Datum::Record(fields) if *negated => {
                        return Ok(Datum::Bool(fields.iter().all(|field| !field.is_null())));
                    }
                    Datum::Record(fields) => fields.iter().all(Datum::is_null),
                    value => value.is_null(),
                };
                Datum::Bool(is_null != *negated)
            }
            Expr::Is { expr, value, negated } => {
                let is = expr.eval(exec, rows)?.truth() == Some(*value);
                Datum::Bool(is != *negated)
            }
            Expr::Distinct { of, left, right, negated } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                Datum::Bool(left.sort_order(&right, *of).is_ne() != *negated)
            }
            Expr::In { of, expr, list, negated } => {
                let value = expr.eval(exec, rows)?;
                let mut found = Some(false);
                for item in list {
                    match compare(Comparison::Equal, *of, &value, &item.eval(exec, rows)?) {
                        Some(true) => {
                            found = Some(true);
                            break;
                        }
                        Some(false) => {}
                        None => found = None,
                    }
                }
                Datum::of_truth(found.map(|found| found != *negated))
            }
            Expr::Like { expr, pattern, ignores_case, negated } => {
                match (expr.eval(exec, rows)?, pattern.eval(exec, rows)?) {
                    (Datum::Text(mut text), Datum::Text(mut pattern)) => {
                        if *ignores_case {
                            (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
                        }
                        let (text, pattern): (Vec<char>, Vec<char>) =
                            (text.chars().collect(), pattern.chars().collect());
                        Datum::Bool(is_like(&text, &pattern)? != *negated)
                    }
                    _ => Datum::Null,
                }
            }
            Expr::Case { whens, otherwise } => {
                for (condition, value) in whens {
                    if condition.eval(exec, rows)?.truth() == Some(true) {
                        return value.eval(exec, rows);
                    }
                }
                match otherwise {
                    Some(value) => value.eval(exec, rows)?,
                    None => Datum::Null,
                }
            }
            Expr::Coalesce(args) => {
                for arg in args {
                    let value = arg.eval(exec, rows)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Datum::Null
            }
            Expr::NullIf { of, left, right } => {
                let (left, right) = (left.eval(exec, rows)?, right.eval(exec, rows)?);
                let is_equal = compare(Comparison::Equal, *of, &left, &right) == Some(true);
                if is_equal { Datum::Null } else { left }
            }
            Expr::Extreme { of, args, greatest } => {
                let mut found = Datum::Null;
                for arg in args {
                    let value = arg.eval(exec, rows)?;
                    let is_better = match value.compare(&found, *of) {
                        Some(order) => {
                            order == if *greatest { Ordering::Greater } else { Ordering::Less }
                        }
                        None => found.is_null(),
                    };
                    if is_better {
                        found = value;
                    }
                }
                found
            }
            Expr::Cast { expr, from, to } => {
                let value = expr.eval(exec, rows)?;
                if *to == Type::Regclass {
                    return exec.class_of(&value);
                }
                if *from == Type::Regclass && to.is_string() {
                    return exec.class_name(&value);
                }
                cast::cast(&value, *from, *to)?
            }
            Expr::Fit { expr, of, modifier, is_explicit } => {
                cast::apply(expr.eval(exec, rows)?, *of, *modifier, *is_explicit)?
            }
            Expr::Row(fields) => Datum::Record(
                fields.iter().map(|field| field.eval(exec, rows)).collect::<Result<_>>()?,
            ),
            Expr::Subquery { index, use_ } => exec.subquery(*index, use_, rows)?,
        })
    }

    /// Whether it is true, and neither false nor null.
    pub(crate) fn is_true(&self, exec: &mut Exec<'_, '_, '_, '_>, rows: &Rows<'_>) -> Result<bool> {
        Ok(self.eval(exec, rows)?.truth() == Some(true))
    }

    /// The truth of parts joined by AND or OR: one that is `decisive` decides.
    fn junction(
        &self,
        parts: &[Expr],
        decisive: bool,
        exec: &mut Exec<'_, '_, '_, '_>,
        rows: &Rows<'_>,
    ) -> Result<Option<bool>> {
        let mut found = Some(!decisive);
        for part in parts {
            match part.eval(exec, rows)?.truth() {
                Some(value) if value == decisive => return Ok(Some(decisive)),
                Some(_) => {}
                None => found = None,
            }
        }
        Ok(found)
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

/// Whether a comparison holds; `None` where a null decides. Rows are compared field by field.
pub(crate) fn compare(op: Comparison, of: Type, left: &Datum, right: &Datum) -> Option<bool> {
    if let (Datum::Record(left), Datum::Record(right)) = (left, right) {
        let mut unknown = false;
        for (left, right) in left.iter().zip(right) {
            match left.compare(right, of) {
                Some(Ordering::Equal) => {}
                Some(order)
                    if !unknown || matches!(op, Comparison::Equal | Comparison::NotEqual) =>
                {
                    return Some(op.holds(order));
                }
                _ => unknown = true,
            }
        }
        return if unknown { None } else { Some(op.holds(Ordering::Equal)) };
    }
    left.compare(right, of).map(|order| op.holds(order))
}

fn zero(of: Type) -> Datum {
    match of {
        Type::Int2 => Datum::Int2(0),
        Type::Int8 => Datum::Int8(0),
        _ => Datum::Int4(0),
    }
}

/// An operation on two values that are no nulls, both of the type `of`; of a date and a number of days if it is `date`.
pub(crate) fn arithmetic(op: Arithmetic, of: Type, left: &Datum, right: &Datum) -> Result<Datum> {
    let overflow = || SqlError::new("22003", format!("{} out of range", of.name()));
    let by_zero = || SqlError::new("22012", "division by zero");
    if let (Datum::Numeric(left), Datum::Numeric(right)) = (left, right) {
        let made = match op {
            Arithmetic::Add => left.add(right),
            Arithmetic::Subtract => left.subtract(right),
            Arithmetic::Multiply => left.multiply(right),
            Arithmetic::Divide => left.divide(right)?,
            Arithmetic::Remainder => left.remainder(right)?,
            op => return Err(SqlError::not_supported(format!("{op:?} of numeric"))),
        };
        return made.checked().map(Datum::Numeric);
    }
    if let (Datum::Float8(left), Datum::Float8(right)) = (left, right) {
        let value = match op {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide | Arithmetic::Remainder if *right == 0.0 => return Err(by_zero()),
            Arithmetic::Divide => left / right,
            Arithmetic::Remainder => left % right,
            Arithmetic::Power if *left == 0.0 && *right < 0.0 => {
                let message = "zero raised to a negative power is undefined";
                return Err(SqlError::new("2201F", message));
            }
            Arithmetic::Power if *left < 0.0 && right.fract() != 0.0 => {
                let message =
                    "a negative number raised to a non-integer power yields a complex result";
                return Err(SqlError::new("2201F", message));
            }
            Arithmetic::Power => left.powf(*right),
            op => return Err(SqlError::not_supported(format!("{op:?} of double precision"))),
        };
        if value == 0.0
            && matches!(op, Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Power)
            && *left != 0.0
            && right.is_finite()
            && (op != Arithmetic::Multiply || *right != 0.0)
        {
            return Err(SqlError::new("22003", "value out of range: underflow"));
        }
        if value.is_infinite() && left.is_finite() && right.is_finite() {
            return Err(SqlError::new("22003", "value out of range: overflow"));
        }
        return Ok(Datum::Float8(value));
    }
    match (left, right) {
        (Datum::Date(left), Datum::Date(right)) => {
            return Ok(Datum::Int4(left.wrapping_sub(*right)));
        }
        (Datum::Date(days), other) => {
            let other = other.int().and_then(|other| i32::try_from(other).ok());
            let moved = other.and_then(|other| match op {
                Arithmetic::Add => days.checked_add(other),
                _ => days.checked_sub(other),
            });
            return moved
                .map(Datum::Date)
                .ok_or_else(|| SqlError::new("22008", "date out of range"));
        }
        _ => {}
    }
    let (Some(left), Some(right)) = (left.int(), right.int()) else {
        return Err(SqlError::new("XX000", format!("no arithmetic of {}", of.name())));
    };
    let value = match op {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide | Arithmetic::Remainder if right == 0 => return Err(by_zero()),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => Some(left.wrapping_rem(right)),
        Arithmetic::BitAnd => Some(left & right),
        Arithmetic::BitOr => Some(left | right),
        Arithmetic::BitXor => Some(left ^ right),
        // As the processor does it: a distance counts by the width of the type.
        Arithmetic::ShiftLeft | Arithmetic::ShiftRight => return Ok(shifted(op, of, left, right)),
        Arithmetic::Power => return Err(SqlError::not_supported("a power of whole numbers")),
    };
    let value = value.ok_or_else(overflow)?;
    match of {
        Type::Int2 => i16::try_from(value).map(Datum::Int2).map_err(|_| overflow()),
        Type::Int4 => i32::try_from(value).map(Datum::Int4).map_err(|_| overflow()),
        _ => Ok(Datum::Int8(value)),
    }
}

fn shifted(op: Arithmetic, of: Type, value: i64, distance: i64) -> Datum {
    let (distance, is_left) = (distance as u32, op == Arithmetic::ShiftLeft);
    match of {
        Type::Int2 => {
            // A smallint is shifted as an integer.
            let value = value as i32;
            let shifted =
                if is_left { value.wrapping_shl(distance) } else { value.wrapping_shr(distance) };
            Datum::Int2(shifted as i16)
        }
        Type::Int4 => {
            let value = value as i32;
            Datum::Int4(if is_left {
                value.wrapping_shl(distance)
            } else {
                value.wrapping_shr(distance)
            })
        }
        _ => Datum::Int8(if is_left {
            value.wrapping_shl(distance)
        } else {
            value.wrapping_shr(distance)
        }),
    }
}

/// Adds to a sum of numbers of the type.
pub(crate) fn add(of: Type, sum: &Datum, value: &Datum) -> Result<Datum> {
    match (sum, value) {
        (Datum::Numeric(sum), value) if value.int().is_some() => {
            Ok(Datum::Numeric(sum.add(&Numeric::from_int(value.int().unwrap_or_default()))))
        }
        _ => arithmetic(Arithmetic::Add, of, sum, value),
    }
}

/// `LIKE`: `%` is any text, `_` any character, a backslash takes the next one literally.
fn is_like(text: &[char], pattern: &[char]) -> Result<bool> {
    let (mut at, mut in_pattern) = (0, 0);
    // Behind the last `%`, and what it took: that takes one more where the rest does not fit.
    let mut last: Option<(usize, usize)> = None;
    loop {
        let fits = match pattern.get(in_pattern) {
            Some('%') => {
                in_pattern += 1;
                last = Some((in_pattern, at));
                continue;
            }
            Some('\\') => {
                let Some(literal) = pattern.get(in_pattern + 1) else {
                    return Err(SqlError::new(
                        "22025",
                        "LIKE pattern must not end with escape character",
                    ));
                };
                (text.get(at) == Some(literal)).then_some(2)
            }
            Some('_') => (at < text.len()).then_some(1),
            Some(literal) => (text.get(at) == Some(literal)).then_some(1),
            None if at == text.len() => return Ok(true),
            None => None,
        };
        match (fits, &mut last) {
            (Some(length), _) => {
                in_pattern += length;
                at += 1;
            }
            (None, Some((behind, taken))) if *taken < text.len() => {
                *taken += 1;
                (in_pattern, at) = (*behind, *taken);
            }
            (None, _) => return Ok(false),
        }
    }
}
