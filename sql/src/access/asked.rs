//! What conditions ask of one relation's rows, in the terms of an index: a subject, and what is known of its value.
//!
//! ```text
//! a = 1 AND 5 > b AND c IN (1, 2)      a = 1      b < 5      c = any of 1, 2
//! t.id = u.t                           t.id = u.t, where u's row is known; u.t = t.id, where t's is
//! ```
//!
//! Invariants: whatever is asked holds of every row for which the condition is true. What a subject is compared with has no
//! effect and is the same whenever it is asked for. Source: `indxpath.c`.

use crate::expr::{Comparison, Expr};
use crate::types::Type;

/// Something that is asked of the rows of a relation.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// An expression over the row of a FROM.
    pub(super) subject: Expr,
    /// The places that it reads.
    pub(super) reads: Vec<usize>,
    /// The type that it is compared in.
    pub(super) of: Type,
    pub(super) test: Test,
    /// The places of the same row that what it is compared with reads.
    pub(super) needs: Vec<usize>,
}

/// What is known of a subject's value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare(Comparison, Expr),
    NotNull,
}

impl Asked {
    /// That a subject is not null.
    pub(super) fn not_null(subject: &Expr, of: Type) -> Asked {
        Asked::new(subject, of, Test::NotNull, Vec::new())
    }

    fn new(subject: &Expr, of: Type, test: Test, needs: Vec<usize>) -> Asked {
        let subject = plain(subject).clone();
        let reads = places(&subject);
        Asked { subject, reads, of, test, needs }
    }

    /// Whether it is true of no row whose columns are all null.
    pub(super) fn is_strict(&self) -> bool {
        matches!(self.subject, Expr::Column { .. })
    }

    /// What it is compared with for equality.
    pub(super) fn equal(&self) -> Option<&Expr> {
        match &self.test {
            Test::Compare(Comparison::Equal, value) => Some(value),
            _ => None,
        }
    }
}

/// What holds wherever a condition does.
pub(super) fn of_condition(condition: &Expr, found: &mut Vec<Asked>) {
    match condition {
        Expr::And(parts) => parts.iter().for_each(|part| of_condition(part, found)),
        Expr::Compare { op, of, left, right } => {
            for (one, other, op) in [(left, right, *op), (right, left, turned(*op))] {
                if op != Comparison::NotEqual && is_stable(other) {
                    let needs = places(other);
                    let test = Test::Compare(op, (**other).clone());
                    add(found, Asked::new(one, *of, test, needs));
                }
            }
        }
        _ => {}
    }
}

/// Adds what is asked of a row, and not of a constant.
fn add(found: &mut Vec<Asked>, asked: Asked) {
    if !asked.reads.is_empty() {
        found.push(asked);
    }
}

/// The comparison with its sides exchanged.
fn turned(op: Comparison) -> Comparison {
    match op {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        Comparison::Equal | Comparison::NotEqual => op,
    }
}

/// An expression without casts that change neither its value nor its order: `varchar` compared as `text`, and whole numbers
/// as wider ones.
pub(super) fn plain(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, from: Type::Varchar, to: Type::Text } => plain(expr),
        Expr::Cast { expr, from: Type::Int2, to: Type::Int4 | Type::Int8 }
        | Expr::Cast { expr, from: Type::Int4, to: Type::Int8 } => plain(expr),
        _ => expr,
    }
}

/// Whether a comparison in one type is one that an index of another keeps in order.
pub(super) fn is_comparable(of: Type, key: Type) -> bool {
    of == key || of == Type::Text && key == Type::Varchar || of.is_integer() && key.is_integer()
}

/// The places of the row that an expression reads.
pub(super) fn places(expr: &Expr) -> Vec<usize> {
    let mut places = Vec::new();
    let walked = expr.clone().rewrite(&mut |part| {
        if let Expr::Column { depth: 0, index } = part {
            places.push(*index);
        }
        Ok(false)
    });
    debug_assert!(walked.is_ok());
    places
}

/// Whether a value is the same whenever it is asked for of the same rows, and asking has no effect.
pub(super) fn is_stable(expr: &Expr) -> bool {
    let mut is_stable = true;
    let walked = expr.clone().rewrite(&mut |part| {
        is_stable &= match part {
            Expr::Call { function, .. } => function.is_pure(),
            Expr::Aggregate(_) | Expr::Routine { .. } | Expr::Subquery { .. } => false,
            _ => true,
        };
        Ok(!is_stable)
    });
    is_stable && walked.is_ok()
}
