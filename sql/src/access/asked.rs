//! What conditions ask of one relation's rows, in the terms of an index: a subject, and what is known of its value.
//!
//! ```text
//! a = 1 AND 5 > b AND c IN (1, 2)      a = 1      b < 5      c is one of 1, 2
//! t.id = u.t                           t.id = u.t, where u's row is known; u.t = t.id, where t's is
//! c LIKE 'ab%'                         c >= 'ab'  c < 'ac'
//! a = 1 OR b = 2                       either a = 1, or b = 2
//! ```
//!
//! Invariants: whatever is asked holds of every row for which the condition is true. What a subject is compared with has no
//! effect and is the same whenever it is asked for. Source: `indxpath.c`.

use std::rc::Rc;

use crate::expr::{Comparison, Expr, SubqueryUse};
use crate::types::{Datum, Type};

/// Something that is asked of the rows of a relation.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// An expression over the row of a FROM.
    pub(super) subject: Expr,
    /// The places that it reads.
    pub(super) reads: Vec<usize>,
    /// The type that it is compared in; none of a null.
    pub(super) of: Option<Type>,
    pub(super) test: Test,
    /// The places of the same row that what it is compared with reads.
    pub(super) needs: Vec<usize>,
}

/// What is known of a subject's value.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Compare(Comparison, Expr),
    /// It is one of these.
    Any(Vec<Expr>),
    /// It is one of those that a subquery gives, the statement's of this number.
    Given(usize),
    Null,
    NotNull,
}

/// Which of a statement's subqueries are the same for every row, lock nothing, and can be asked beforehand.
pub(super) type Constant = Rc<[bool]>;

impl Asked {
    /// That a subject is not null.
    pub(super) fn not_null(subject: &Expr, of: Type) -> Asked {
        Asked::new(subject, Some(of), Test::NotNull, Vec::new())
    }

    fn new(subject: &Expr, of: Option<Type>, test: Test, needs: Vec<usize>) -> Asked {
        let subject = plain(subject).clone();
        let reads = subject.places();
        Asked { subject, reads, of, test, needs }
    }

    /// Whether it is true of no row whose columns are all null.
    pub(super) fn is_strict(&self) -> bool {
        matches!(self.subject, Expr::Column { .. }) && !matches!(self.test, Test::Null)
    }

    /// Whether it leaves one value.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.test, Test::Null) || self.equal().is_some()
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
pub(super) fn of_condition(condition: &Expr, constant: &Constant) -> Vec<Asked> {
    let mut found = Vec::new();
    let is_known = |expr: &Expr| is_stable_with(expr, constant);
    match condition {
        Expr::And(parts) => {
            return parts.iter().flat_map(|part| of_condition(part, constant)).collect();
        }
        Expr::Compare { op, of, left, right } => {
            for (one, other, op) in [(left, right, *op), (right, left, turned(*op))] {
                if op != Comparison::NotEqual && is_known(other) {
                    let needs = other.places();
                    let test = Test::Compare(op, (**other).clone());
                    found.push(Asked::new(one, Some(*of), test, needs));
                }
            }
        }
        Expr::In { of, expr, list, negated: false } if list.iter().all(is_known) => {
            let needs = list.iter().flat_map(Expr::places).collect();
            found.push(Asked::new(expr, Some(*of), Test::Any(list.clone()), needs));
        }
        Expr::Or(parts) => found.extend(one_of(parts, constant)),
        Expr::Subquery { index, use_: SubqueryUse::Any { expr, op: Comparison::Equal, of } }
            if constant[*index] && *of != Type::Record =>
        {
            found.push(Asked::new(expr, Some(*of), Test::Given(*index), Vec::new()));
        }
        Expr::IsNull { expr, negated } => {
            let test = if *negated { Test::NotNull } else { Test::Null };
            found.push(Asked::new(expr, None, test, Vec::new()));
        }
        Expr::Like { expr, pattern, ignores_case: false, negated: false } => {
            if let Expr::Const(Datum::Text(pattern)) = &**pattern {
                found.extend(like(expr, pattern));
            }
        }
        Expr::Column { .. } => found.push(is_truth(condition, true)),
        Expr::Not(expr) if matches!(**expr, Expr::Column { .. }) => {
            found.push(is_truth(expr, false));
        }
        Expr::Is { expr, value, negated: false } => found.push(is_truth(expr, *value)),
        _ => {}
    }
    // What is asked of a constant leads to no row.
    found.retain(|asked| !asked.reads.is_empty());
    found
}

/// What is asked in either way of a condition with OR; `None` if one of them asks nothing, or it is asked of one subject.
pub(super) fn either(condition: &Expr, constant: &Constant) -> Option<Vec<Vec<Asked>>> {
    let Expr::Or(parts) = condition else { return None };
    if one_of(parts, constant).is_some() {
        return None;
    }
    let mut ways = Vec::new();
    for part in parts {
        match part {
            Expr::Or(_) => match either(part, constant) {
                Some(mut inner) => ways.append(&mut inner),
                None => ways.push(of_condition(part, constant)),
            },
            part => ways.push(of_condition(part, constant)),
        }
    }
    ways.iter().all(|way| !way.is_empty()).then_some(ways)
}

/// `a = 1 OR a = 2`, `a = 1 OR a IN (2, 3)`
fn one_of(parts: &[Expr], constant: &Constant) -> Option<Asked> {
    let mut found: Option<Asked> = None;
    for part in parts {
        let mut asked = of_condition(part, constant);
        // Of a comparison of two columns each may be the subject.
        asked.retain(|asked| asked.equal().is_some() || matches!(asked.test, Test::Any(_)));
        let [one] = asked.as_slice() else { return None };
        let values = match &one.test {
            Test::Any(values) => values.clone(),
            _ => one.equal().cloned().into_iter().collect(),
        };
        match &mut found {
            None => {
                let (of, needs) = (one.of, one.needs.clone());
                found = Some(Asked::new(&one.subject, of, Test::Any(values), needs));
            }
            Some(Asked { subject, of, test: Test::Any(all), needs, .. })
                if *subject == one.subject && *of == one.of =>
            {
                all.extend(values);
                needs.extend(&one.needs);
            }
            Some(_) => return None,
        }
    }
    found
}

fn is_truth(subject: &Expr, value: bool) -> Asked {
    let test = Test::Compare(Comparison::Equal, Expr::Const(Datum::Bool(value)));
    Asked::new(subject, Some(Type::Bool), test, Vec::new())
}

/// What a pattern asks that begins with something fixed (`pattern_fixed_prefix`, `make_greater_string`).
fn like(subject: &Expr, pattern: &str) -> Vec<Asked> {
    let mut prefix = String::new();
    let mut chars = pattern.chars();
    let is_whole = loop {
        match chars.next() {
            None => break true,
            Some('%' | '_') => break false,
            Some('\\') => match chars.next() {
                Some(literal) => prefix.push(literal),
                // An error, when a row is asked.
                None => return Vec::new(),
            },
            Some(literal) => prefix.push(literal),
        }
    };
    let compare = |op, value: String| {
        let test = Test::Compare(op, Expr::Const(Datum::Text(value)));
        Asked::new(subject, Some(Type::Text), test, Vec::new())
    };
    if is_whole {
        return vec![compare(Comparison::Equal, prefix)];
    }
    if prefix.is_empty() {
        return Vec::new();
    }
    let mut found = vec![compare(Comparison::GreaterOrEqual, prefix.clone())];
    while let Some(last) = prefix.pop() {
        // Behind the last character there is none; between two ranges of them lie those that stand for no character.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            prefix.push(next);
            found.push(compare(Comparison::Less, prefix));
            break;
        }
    }
    found
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

/// Whether a value is the same whenever it is asked for of the same rows, and asking has no effect.
pub(super) fn is_stable(expr: &Expr) -> bool {
    is_stable_with(expr, &[])
}

/// The same where these subqueries may be in it.
fn is_stable_with(expr: &Expr, constant: &[bool]) -> bool {
    let mut is_stable = true;
    let walked = expr.clone().rewrite(&mut |part| {
        is_stable &= match part {
            Expr::Call { function, .. } => function.is_pure(),
            Expr::Subquery { index, .. } => constant.get(*index).is_some_and(|is| *is),
            Expr::Aggregate(_) | Expr::Routine { .. } => false,
            _ => true,
        };
        Ok(!is_stable)
    });
    is_stable && walked.is_ok()
}
