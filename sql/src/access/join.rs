//! Which side of a join is found by an index, its keys being values of the other side's row; and by what values of both
//! sides they are looked for, where no index serves.
//!
//! ```text
//! t JOIN u ON u.id = t.a            for each row of t, u by its index on id
//! t JOIN u ON u.id = t.a, u small   for each row of u, t by its index on a; then the rows put in t's order
//! t, u JOIN v ON v.b = u.b          (t, u) JOIN v, where u can be found by t
//! t FULL JOIN u ON u.id = t.a       for each row of t, u by a hash of id
//! ```
//!
//! Of an outer join only the side that may be missing is found so. The other side's rows are asked beforehand what can be
//! asked of them alone.
//!
//! Invariant: rows come in the order in which they come without indexes: the left side's, and within it the right one's.
//! Sources: `joinpath.c`, `indxpath.c`, `hash_inner_and_outer`.

use std::ops::Range;
use std::rc::Rc;

use super::asked::is_stable;
use super::choice::Wanted;
use super::{Holds, Planner};
use crate::error::Result;
use crate::expr::{Comparison, Expr};
use crate::plan::{EqualSides, JoinKind, Plan};
use crate::types::Type;

/// Rows on a page, where nothing is known of them.
const PER_PAGE: f64 = 100.0;
/// The part of a join that is made where a LIMIT wants no more.
const UNTIL_LIMIT: f64 = 0.02;

/// The two sides of a join, and where their rows begin.
struct Sides {
    kind: JoinKind,
    base: usize,
    widths: [usize; 2],
}

impl Sides {
    fn lefts(&self) -> Range<usize> {
        self.base..self.base + self.widths[0]
    }

    fn rights(&self) -> Range<usize> {
        let begin = self.base + self.widths[0];
        begin..begin + self.widths[1]
    }
}

impl Planner<'_, '_, '_> {
    /// Finds indexes for a join that begins at `base`, of whose rows this holds; whether they come in the order that is
    /// wanted.
    pub(super) fn join(
        &mut self,
        node: &mut Plan,
        base: usize,
        holds: &Holds,
        wanted: Option<Wanted<'_>>,
    ) -> Result<bool> {
        self.rotate(node, base, holds)?;
        let Plan::Join { kind, left, right, on, widths, equal, .. } = node else {
            return Ok(false);
        };
        let sides = Sides { kind: *kind, base, widths: *widths };
        // Rows that a side has alone come last.
        let wanted = wanted.filter(|_| matches!(kind, JoinKind::Inner | JoinKind::Left));
        let (of_left, of_right) = sides.holds(on.as_ref(), holds);
        let by_left = match kind {
            JoinKind::Inner | JoinKind::Left => {
                self.probe(right, sides.rights().start, &of_right, &sides.lefts())?
            }
            _ => None,
        };
        let by_right = match kind {
            JoinKind::Inner | JoinKind::Right => {
                self.probe(left, base, &of_left, &sides.rights())?
            }
            _ => None,
        };
        let costs = match (&by_left, &by_right) {
            (Some(by_left), Some(by_right)) => {
                let (lefts, rights) = (by_right.without, by_left.without);
                let until =
                    if wanted.is_some_and(|wanted| wanted.limited) { UNTIL_LIMIT } else { 1.0 };
                Some((lefts * (1.0 + by_left.rows) * until, rights * (1.0 + by_right.rows)))
            }
            _ => None,
        };
        let is_turned = costs.is_none_or(|(by_left, by_right)| by_right < by_left);
        match (by_left, by_right) {
            (_, Some(probe)) if is_turned => {
                ask_before(right, &of_right, &sides.rights());
                self.below(right, &mut sides.rights().start, &of_right, None)?;
                **left = probe.plan;
                Ok(false)
            }
            (Some(probe), _) => {
                ask_before(left, &of_left, &sides.lefts());
                let is_ordered = self.below(left, &mut base.clone(), &of_left, wanted)?;
                **right = probe.plan;
                Ok(is_ordered)
            }
            _ => {
                if self.uses_hashes {
                    *equal = sides.equal(on.as_ref(), holds);
                }
                let is_ordered = self.below(left, &mut base.clone(), &of_left, wanted)?;
                self.below(right, &mut sides.rights().start, &of_right, None)?;
                Ok(is_ordered)
            }
        }
    }

    /// Puts the first relation of a join on the right side into one with the left side, where an index finds it by that.
    fn rotate(&mut self, node: &mut Plan, base: usize, holds: &Holds) -> Result<()> {
        let Plan::Join { kind: JoinKind::Inner, left, right, on, widths, .. } = node else {
            return Ok(());
        };
        let Plan::Join {
            kind: inner @ (JoinKind::Inner | JoinKind::Left),
            left: first,
            right: second,
            on: inner_on,
            widths: inner_widths,
            ..
        } = &mut **right
        else {
            return Ok(());
        };
        // What a left join's condition asks must not be asked of its rows afterwards.
        if *inner == JoinKind::Left && on.is_some() {
            return Ok(());
        }
        let begin = base + widths[0];
        let mut all = holds.clone();
        let of_inner = inner_on.as_ref().filter(|_| *inner == JoinKind::Inner);
        on.iter().chain(of_inner).for_each(|on| all.add(on));
        if self.probe(first, begin, &all, &(base..begin))?.is_none() {
            return Ok(());
        }
        let take = |plan: &mut Box<Plan>| Box::new(std::mem::replace(&mut **plan, Plan::One));
        let (first, second) = (take(first), take(second));
        let both: Vec<Expr> = on.take().into_iter().chain(inner_on.take()).collect();
        let both = match both.len() {
            0 => None,
            1 => both.into_iter().next(),
            _ => Some(Expr::And(both)),
        };
        let inner_sides = [take(left), first];
        let first_widths = [widths[0], inner_widths[0]];
        let joined = Plan::join(JoinKind::Inner, inner_sides, None, base, first_widths);
        let widths = [widths[0] + inner_widths[0], inner_widths[1]];
        *node = Plan::join(*inner, [Box::new(joined), second], both, base, widths);
        Ok(())
    }

    /// A table's rows found by those of the other side, which stand at `known`; `None` where no index does that, or one does
    /// as well without.
    fn probe(
        &mut self,
        node: &Plan,
        base: usize,
        holds: &Holds,
        known: &Range<usize>,
    ) -> Result<Option<Probe>> {
        let Plan::Scan(family) = node else { return Ok(None) };
        let found = self.family(family, base, holds, Some(known), None)?;
        let alone = self.family(family, base, holds, None, None)?;
        let (mut rows, mut without) = (0.0, 0.0);
        let mut accesses = Vec::with_capacity(found.len());
        for ((choice, alone), member) in found.into_iter().zip(alone).zip(&family.members) {
            let Some(choice) = choice else { return Ok(None) };
            let alone = alone.map_or(1.0, |alone| alone.share);
            if alone <= choice.share {
                return Ok(None);
            }
            let of_table = PER_PAGE * f64::from(member.def.table.pages(self.transaction)?);
            rows += (choice.share * of_table).max(1.0);
            without += (alone * of_table).max(1.0);
            accesses.push(choice.access);
        }
        if accesses.is_empty() {
            return Ok(None);
        }
        Ok(Some(Probe { plan: Plan::Probe(Rc::clone(family), accesses), rows, without }))
    }
}

/// A table that is found by the other side.
struct Probe {
    plan: Plan,
    /// How many of its rows each of those is taken to find.
    rows: f64,
    /// How many it is taken to have of those that are asked for without the other side.
    without: f64,
}

impl Sides {
    /// What holds of the left side's rows, and of the right one's.
    fn holds(&self, on: Option<&Expr>, above: &Holds) -> (Holds, Holds) {
        let mut of_left = match self.kind {
            JoinKind::Right | JoinKind::Full => above.of_nullable(),
            JoinKind::Inner | JoinKind::Left => above.clone(),
        };
        let mut of_right = match self.kind {
            JoinKind::Left | JoinKind::Full => above.of_nullable(),
            JoinKind::Inner | JoinKind::Right => above.clone(),
        };
        if let Some(on) = on {
            if matches!(self.kind, JoinKind::Inner | JoinKind::Right) {
                of_left.add(on);
            }
            if matches!(self.kind, JoinKind::Inner | JoinKind::Left) {
                of_right.add(on);
            }
        }
        (of_left, of_right)
    }

    /// What is equal of both sides in all rows that are wanted of the join.
    fn equal(&self, on: Option<&Expr>, above: &Holds) -> Vec<EqualSides> {
        let mut parts = Holds { parts: Vec::new(), ..above.clone() };
        on.iter().for_each(|on| parts.add(on));
        // An outer join has rows of one side for which this does not hold.
        if self.kind == JoinKind::Inner {
            above.parts.iter().for_each(|part| parts.add(part));
        }
        parts.parts.iter().filter_map(|part| self.equal_in(part)).collect()
    }

    /// The same in one condition; `None` if it says nothing of the kind.
    fn equal_in(&self, part: &Expr) -> Option<EqualSides> {
        let Expr::Compare { op: Comparison::Equal, of, left, right } = part else { return None };
        if *of == Type::Record {
            return None;
        }
        let own = |expr: &Expr, own: Range<usize>| {
            let reads = expr.places();
            let is_own = !reads.is_empty() && reads.iter().all(|place| own.contains(place));
            let mut shifted = (is_own && is_stable(expr)).then(|| expr.clone())?;
            let walked = shifted.rewrite(&mut |part| {
                if let Expr::Column { depth: 0, index } = part {
                    *index -= own.start;
                }
                Ok(false)
            });
            walked.is_ok().then_some(shifted)
        };
        let both = |one, other| Some((own(one, self.lefts())?, own(other, self.rights())?));
        let (left, right) = both(left, right).or_else(|| both(right, left))?;
        Some(EqualSides { left, right, of: *of })
    }
}

/// Has one side's rows asked what can be asked of them before the other side is looked for.
fn ask_before(node: &mut Plan, holds: &Holds, own: &Range<usize>) {
    let is_own = |part: &&Expr| {
        let reads = part.places();
        !reads.is_empty() && reads.iter().all(|place| own.contains(place)) && is_stable(part)
    };
    let mut parts: Vec<Expr> = holds.parts.iter().filter(is_own).cloned().collect();
    let condition = match parts.len() {
        0 => return,
        1 => parts.swap_remove(0),
        _ => Expr::And(parts),
    };
    let input = Box::new(std::mem::replace(node, Plan::One));
    *node = Plan::SideFilter { input, condition, base: own.start };
}
