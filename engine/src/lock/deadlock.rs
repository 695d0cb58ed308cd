//! Deadlocks: rings of waiting, of which some are broken by another order of a queue.
//!
//! ```text
//! hard edge   waiter ──► a holder whose mode excludes what it wants
//! soft edge   waiter ──► who waits ahead of it for such a mode: it goes away if the two change places
//! ```
//!
//! A ring with a soft edge is broken by putting the waiter of that edge before the other, if no other ring comes of it; else
//! the next soft edge is tried, and so on. A ring of hard edges alone can only be broken by somebody giving up: whoever
//! looked. An order that is tried exists on the side and becomes the queue's once it is known to do.
//!
//! Invariants: rings are looked for from one waiter, who looks when he has waited for a while; each ring has a waiter who
//! came last, and he finds it. Queues change as little as the new constraints need. Source: `deadlock.c` of PostgreSQL 15.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::table::{LockTable, Owner, Request, Wait};
use super::tag::LockTag;

/// A waiter that is to come before another one in the queue of a lock.
#[derive(Debug, Clone, Copy)]
struct Constraint {
    waiter: Owner,
    blocker: Owner,
    tag: LockTag,
}

/// One of those who wait in a ring, for what and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) waiter: Owner,
    pub(super) wait: Wait,
}

/// What looking for a deadlock came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// There was one, and queues have another order now; these can go on.
    Reordered(Vec<Owner>),
    /// Somebody must give up. Each waits for the next, the last for the first.
    Ring(Vec<Link>),
}

type Orders = HashMap<LockTag, Vec<Request>>;

/// A look at the table with other orders of some queues.
struct View<'a> {
    table: &'a LockTable,
    orders: &'a Orders,
}

/// A ring through a waiter: the links, from it on, and which of them are soft.
struct Ring {
    links: Vec<Link>,
    soft: Vec<Constraint>,
}

impl View<'_> {
    fn queue(&self, tag: LockTag) -> &[Request] {
        match (self.orders.get(&tag), self.table.locks.get(&tag)) {
            (Some(order), _) => order,
            (None, Some(lock)) => &lock.queue,
            (None, None) => &[],
        }
    }

    /// A ring through this owner.
    fn ring(&self, start: Owner) -> Option<Ring> {
        let mut ring = Ring { links: Vec::new(), soft: Vec::new() };
        let mut visited = Vec::new();
        if !self.follow(start, start, &mut visited, &mut ring) {
            return None;
        }
        ring.links.reverse();
        Some(ring)
    }

    /// Whether a way leads from `at` back to `start`; if so its links are noted, the last first.
    fn follow(&self, start: Owner, at: Owner, visited: &mut Vec<Owner>, ring: &mut Ring) -> bool {
        if visited.contains(&at) {
            return at == start;
        }
        visited.push(at);
        let Some(wait) = self.table.waiting[at] else { return false };
        let Some(lock) = self.table.locks.get(&wait.tag) else { return false };
        let conflicts = wait.mode.conflicts();
        let link = Link { waiter: at, wait };
        let is_holder = |owner: Owner| lock.held_by(owner).intersects(conflicts);
        for holder in &lock.holders {
            let holds = holder.owner != at && is_holder(holder.owner);
            if holds && self.follow(start, holder.owner, visited, ring) {
                ring.links.push(link);
                return true;
            }
        }
        for request in self.queue(wait.tag).iter().take_while(|request| request.owner != at) {
            let excludes = conflicts.contains(request.mode);
            if excludes && self.follow(start, request.owner, visited, ring) {
                ring.links.push(link);
                let (blocker, tag) = (request.owner, wait.tag);
                ring.soft.push(Constraint { waiter: at, blocker, tag });
                return true;
            }
        }
        false
    }
}

/// A configuration of the queues, with the constraints that are tried.
enum Tested {
    Good(Orders),
    /// A ring that can only be broken by further constraints, one of these.
    Soft(Vec<Constraint>),
    /// It cannot be, or has a ring of hard edges.
    Bad,
}

fn test(table: &LockTable, start: Owner, constraints: &[Constraint]) -> Tested {
    let Some(orders) = orders(table, constraints) else { return Tested::Bad };
    let view = View { table, orders: &orders };
    let mut soft = None;
    let named = constraints.iter().flat_map(|constraint| [constraint.waiter, constraint.blocker]);
    // The start comes last: its own ring is dealt with first.
    for owner in named.chain([start]) {
        if let Some(ring) = view.ring(owner) {
            if ring.soft.is_empty() {
                return Tested::Bad;
            }
            soft = Some(ring.soft);
        }
    }
    match soft {
        Some(soft) => Tested::Soft(soft),
        None => Tested::Good(orders),
    }
}

/// Orders without a ring, with these constraints and as many more as it takes.
fn solve(table: &LockTable, start: Owner, constraints: &mut Vec<Constraint>) -> Option<Orders> {
    match test(table, start, constraints) {
        Tested::Good(orders) => Some(orders),
        Tested::Bad => None,
        // More than there are waiters would contradict each other.
        Tested::Soft(_) if constraints.len() >= table.waiting.len() => None,
        Tested::Soft(soft) => soft.into_iter().find_map(|constraint| {
            constraints.push(constraint);
            let solved = solve(table, start, constraints);
            constraints.pop();
            solved
        }),
    }
}

/// The queues that constraints name, each in an order that heeds them; `None` if there is none.
fn orders(table: &LockTable, constraints: &[Constraint]) -> Option<Orders> {
    let mut orders = Orders::new();
    for tag in constraints.iter().map(|constraint| constraint.tag) {
        if let Entry::Vacant(place) = orders.entry(tag) {
            place.insert(order(&table.locks.get(&tag)?.queue, tag, constraints)?);
        }
    }
    Some(orders)
}

/// A queue's order that heeds the constraints: from the back, the last of those who need not come before somebody that is
/// still to be placed.
fn order(queue: &[Request], tag: LockTag, constraints: &[Constraint]) -> Option<Vec<Request>> {
    let mut left = queue.to_vec();
    let mut order = Vec::with_capacity(queue.len());
    while !left.is_empty() {
        let is_left = |owner: Owner| left.iter().any(|request| request.owner == owner);
        let may_be_last = |request: &Request| {
            !constraints.iter().any(|constraint| {
                constraint.tag == tag
                    && constraint.waiter == request.owner
                    && is_left(constraint.blocker)
            })
        };
        let at = left.iter().rposition(may_be_last)?;
        order.push(left.remove(at));
    }
    order.reverse();
    Some(order)
}

/// Looks for a deadlock that this owner, who waits, is in; breaks it by another order of queues if that can be done.
pub(super) fn check(table: &mut LockTable, start: Owner) -> Found {
    let Some(orders) = solve(table, start, &mut Vec::new()) else {
        let orders = Orders::new();
        let ring = View { table, orders: &orders }.ring(start);
        return Found::Ring(ring.map_or_else(Vec::new, |ring| ring.links));
    };
    if orders.is_empty() {
        return Found::Nothing;
    }
    let mut woken = Vec::new();
    for (tag, order) in orders {
        if let Some(lock) = table.locks.get_mut(&tag) {
            lock.queue = order;
        }
        table.wake(tag, &mut woken);
    }
    Found::Reordered(woken)
}

#[cfg(test)]
mod tests {
    use super::super::mode::TableLockMode::{self, AccessExclusive, AccessShare, Exclusive};
    use super::super::table::Asked;
    use super::*;

    fn tag(number: u32) -> LockTag {
        LockTag::Relation(number)
    }

    fn ask(table: &mut LockTable, owner: Owner, lock: u32, mode: TableLockMode) -> Asked {
        table.ask(owner, tag(lock), mode, true)
    }

    #[test]
    fn a_ring_of_holders_is_told_with_all_in_it() {
        let mut table = LockTable::new(4);
        for owner in 0..3 {
            assert_eq!(ask(&mut table, owner, owner as u32, Exclusive), Asked::Granted);
        }
        assert_eq!(ask(&mut table, 0, 1, Exclusive), Asked::Queued);
        assert_eq!(ask(&mut table, 1, 2, Exclusive), Asked::Queued);
        assert_eq!(check(&mut table, 1), Found::Nothing);
        assert_eq!(ask(&mut table, 2, 0, Exclusive), Asked::Queued);
        // Waits for the ring without being in it.
        assert_eq!(ask(&mut table, 3, 0, Exclusive), Asked::Queued);
        assert_eq!(check(&mut table, 3), Found::Nothing);
        let Found::Ring(ring) = check(&mut table, 2) else { panic!("a ring") };
        let ring: Vec<_> = ring.iter().map(|link| (link.waiter, link.wait.tag)).collect();
        assert_eq!(ring, [(2, tag(0)), (0, tag(1)), (1, tag(2))]);
    }

    /// As the isolation spec deadlock-soft: two readers of one table each, writers that wait for them, and the readers want
    /// the other table.
    #[test]
    fn a_soft_ring_is_broken_by_changing_places() {
        let mut table = LockTable::new(4);
        let [first, second, first_writer, second_writer] = [0, 1, 2, 3];
        assert_eq!(ask(&mut table, first, 1, AccessShare), Asked::Granted);
        assert_eq!(ask(&mut table, second, 2, AccessShare), Asked::Granted);
        assert_eq!(ask(&mut table, first_writer, 1, AccessExclusive), Asked::Queued);
        assert_eq!(ask(&mut table, second_writer, 2, AccessExclusive), Asked::Queued);
        assert_eq!(ask(&mut table, first, 2, AccessShare), Asked::Queued);
        assert_eq!(check(&mut table, first), Found::Nothing);
        assert_eq!(ask(&mut table, second, 1, AccessShare), Asked::Queued);
        // The edge that lies farthest from who looks is turned round first.
        assert_eq!(check(&mut table, first), Found::Reordered(vec![second]));
        assert_eq!(table.blockers(first), [second_writer]);
        assert_eq!(table.blockers(first_writer), [first, second]);
        assert_eq!(check(&mut table, first), Found::Nothing);
    }

    #[test]
    fn constraints_that_contradict_each_other_have_no_order() {
        let queue = [0, 1, 2].map(|owner| Request { owner, mode: Exclusive });
        let before = |waiter, blocker| Constraint { waiter, blocker, tag: tag(1) };
        let owners = |constraints: &[Constraint]| {
            let order = order(&queue, tag(1), constraints)?;
            Some(order.iter().map(|request| request.owner).collect::<Vec<_>>())
        };
        assert_eq!(owners(&[]), Some(vec![0, 1, 2]));
        assert_eq!(owners(&[before(2, 1)]), Some(vec![0, 2, 1]));
        assert_eq!(owners(&[before(2, 0)]), Some(vec![2, 0, 1]));
        assert_eq!(owners(&[before(2, 0), before(0, 2)]), None);
    }
}
