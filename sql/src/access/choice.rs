//! Which index of a table finds rows best, as far as can be told without looking at them.
//!
//! ```text
//! index (a, b DESC, c)
//! WHERE a = 1 AND b > 2 AND c < 3     from the end of (1) to before (1, 2)
//! WHERE a = 1 ORDER BY b              backward through (1)
//! ```
//!
//! Conditions with OR are served by one index for each way.
//!
//! How many rows a condition leaves is taken to be what the server takes it for where nothing was counted. Where several
//! indexes leave as many, one that has rows in the order that is wanted is taken, then the one that was made first.
//!
//! Invariant: an index is chosen only if the transaction may read by it. Sources: `indxpath.c`, `pathkeys.c`, `selfuncs.h`.

use engine::TableIndex;
use engine::btree::Direction;

use super::asked::{Asked, Test, is_comparable, plain};
use super::scan::{Access, Bounds, IndexRange, Values};
use crate::expr::{Comparison, Expr};
use crate::plan::SortKey;
use crate::types::Type;

/// The part of the rows that have one value (`DEFAULT_EQ_SEL`).
const EQUAL: f64 = 0.005;
/// Those below a value, or above it (`DEFAULT_INEQ_SEL`).
const BEYOND: f64 = 1.0 / 3.0;
/// Those between two values (`DEFAULT_RANGE_INEQ_SEL`).
const BETWEEN: f64 = 0.005;
/// The part of what an index leaves that is read where its order serves a LIMIT.
const UNTIL_LIMIT: f64 = 0.02;

/// An index that a table's rows may be read by.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) index: TableIndex,
    pub(super) key: Vec<Part>,
    pub(super) is_unique: bool,
}

/// An element of its key.
#[derive(Debug)]
pub(super) struct Part {
    /// Over the row of the FROM; nothing if that has no such column.
    pub(super) expr: Option<Expr>,
    pub(super) of: Type,
    pub(super) descending: bool,
    pub(super) nulls_first: bool,
    /// Whether no row has a null there.
    pub(super) not_null: bool,
}

/// The order that rows are wanted in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) keys: &'a [SortKey],
    /// Whether no more of them are asked for than a LIMIT says.
    pub(super) limited: bool,
}

/// An index that was chosen.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) access: Access,
    /// The part of the table's rows that it is taken to find.
    pub(super) share: f64,
    /// Whether it gives them in the order that is wanted.
    pub(super) is_ordered: bool,
}

impl Choice {
    /// What it costs to read by it, of what the table's rows cost.
    pub(super) fn cost(&self, wanted: Option<Wanted<'_>>) -> f64 {
        let is_limited = self.is_ordered && wanted.is_some_and(|wanted| wanted.limited);
        self.share * if is_limited { UNTIL_LIMIT } else { 1.0 }
    }
}

/// The best of these, by what is asked of the table's rows.
pub(super) fn best(
    candidates: &[Candidate],
    asked: &[&Asked],
    wanted: Option<Wanted<'_>>,
) -> Option<Choice> {
    let mut best: Option<(f64, Choice)> = None;
    for candidate in candidates {
        let Some(choice) = choice(candidate, asked, wanted) else { continue };
        let cost = choice.cost(wanted);
        let is_better = best.as_ref().is_none_or(|(known, best)| {
            cost < *known || cost == *known && choice.is_ordered && !best.is_ordered
        });
        if is_better {
            best = Some((cost, choice));
        }
    }
    best.map(|(_, choice)| choice)
}

/// What an index is good for; `None` if nothing.
fn choice(candidate: &Candidate, asked: &[&Asked], wanted: Option<Wanted<'_>>) -> Option<Choice> {
    let Candidate { index, key, is_unique } = candidate;
    let mut has_one_range = true;
    let mut bounds = Bounds::default();
    let mut share = 1.0;
    for part in key {
        let of_part = || asked.iter().filter(|asked| part.is(asked));
        let found = of_part().filter_map(|asked| values(asked));
        let best = found.min_by(|(one, _), (other, _)| one.total_cmp(other));
        if let Some((values_share, values)) = best {
            has_one_range &= matches!(values, Values::One(_) | Values::Null);
            bounds.equal.push(values);
            bounds.types.push(part.of);
            share *= values_share;
            continue;
        }
        share *= range(part, of_part().copied(), &mut bounds);
        break;
    }
    if *is_unique && has_one_range && bounds.equal.len() == key.len() {
        share = 0.0;
    }
    let wanted = wanted.filter(|_| has_one_range);
    let direction = wanted.and_then(|wanted| direction(key, bounds.equal.len(), asked, wanted));
    if share == 1.0 && direction.is_none() {
        return None;
    }
    let is_ordered = direction.is_some();
    let range = IndexRange { index: index.clone(), bounds };
    Some(Choice {
        access: Access { ranges: vec![range], direction, is_alone: false },
        share,
        is_ordered,
    })
}

/// The values that something leaves, and the part of the rows that have one of them.
fn values(asked: &Asked) -> Option<(f64, Values)> {
    /// How many values a subquery is taken to give.
    const GIVEN: f64 = 20.0;
    Some(match &asked.test {
        Test::Compare(Comparison::Equal, value) => (EQUAL, Values::One(value.clone())),
        Test::Null => (EQUAL, Values::Null),
        Test::Any(values) => ((EQUAL * values.len() as f64).min(1.0), Values::Any(values.clone())),
        Test::Given(subquery) => (EQUAL * GIVEN, Values::Given(*subquery)),
        Test::Compare(..) | Test::NotNull => return None,
    })
}

/// The indexes that find the rows of each of several ways, all of them together; `None` if one finds none. `asked` is what
/// is asked in all of them.
pub(super) fn union(
    candidates: &[Candidate],
    asked: &[&Asked],
    ways: &[Vec<&Asked>],
) -> Option<Choice> {
    let (mut share, mut ranges) = (0.0, Vec::new());
    for way in ways {
        let all: Vec<&Asked> = asked.iter().chain(way).copied().collect();
        let mut choice = best(candidates, &all, None)?;
        share += choice.share;
        ranges.append(&mut choice.access.ranges);
    }
    Some(Choice {
        access: Access { ranges, direction: None, is_alone: false },
        share,
        is_ordered: false,
    })
}

/// Bounds of the column behind those of which a value is known; the part of the rows that they leave.
fn range<'a>(part: &Part, asked: impl Iterator<Item = &'a Asked>, bounds: &mut Bounds) -> f64 {
    let mut has_no_nulls = false;
    for asked in asked {
        has_no_nulls = true;
        let Test::Compare(op, value) = &asked.test else { continue };
        let is_within = matches!(op, Comparison::LessOrEqual | Comparison::GreaterOrEqual);
        let is_lower = matches!(op, Comparison::Greater | Comparison::GreaterOrEqual);
        let first = is_lower != part.descending;
        let bound = if first { &mut bounds.lower } else { &mut bounds.upper };
        bound.get_or_insert_with(|| (value.clone(), is_within));
    }
    if !has_no_nulls {
        return 1.0;
    }
    bounds.types.push(part.of);
    bounds.descending = part.descending;
    bounds.skips_nulls = Some(part.nulls_first);
    match (&bounds.lower, &bounds.upper) {
        (Some(_), Some(_)) => BETWEEN,
        (None, None) => 1.0,
        _ => BEYOND,
    }
}

impl Part {
    /// Whether something is asked of it.
    fn is(&self, asked: &Asked) -> bool {
        self.expr.as_ref() == Some(&asked.subject)
            && asked.of.is_none_or(|of| is_comparable(of, self.of))
    }
}

/// Which way through an index rows come in an order, values of the first `equal` columns of its key being known; `None` if
/// neither.
fn direction(
    key: &[Part],
    equal: usize,
    asked: &[&Asked],
    wanted: Wanted<'_>,
) -> Option<Direction> {
    let is_one = |key: &SortKey| {
        let subject = plain(&key.expr);
        let is_it = |asked: &&Asked| asked.subject == *subject && asked.is_one();
        matches!(subject, Expr::Const(_)) || asked.iter().any(is_it)
    };
    let mut found = None;
    let mut parts = key.iter().enumerate();
    let mut before: Vec<&Expr> = Vec::new();
    for wanted in wanted.keys {
        // What has one value, or was sorted by already, does not matter.
        if is_one(wanted) || before.contains(&&wanted.expr) {
            continue;
        }
        before.push(&wanted.expr);
        let part = loop {
            let (at, part) = parts.next()?;
            if part.expr.as_ref() == Some(plain(&wanted.expr)) && is_comparable(wanted.of, part.of)
            {
                break part;
            }
            if at >= equal {
                return None;
            }
        };
        let has_nulls = !part.not_null && !asked.iter().any(|asked| part.is(asked));
        let is_backward = wanted.descending != part.descending;
        if has_nulls && is_backward != (wanted.nulls_first != part.nulls_first) {
            return None;
        }
        let way = if is_backward { Direction::Backward } else { Direction::Forward };
        if *found.get_or_insert(way) != way {
            return None;
        }
    }
    Some(found.unwrap_or(Direction::Forward))
}
