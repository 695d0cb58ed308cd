//! Where rows lie among others by a hash of their keys.
//!
//! ```text
//! ends    a hash ─► the first row that has it, and the last one
//! next    a row ─► the next one of the same hash
//! ```
//!
//! Invariants: rows whose keys are equal have one hash. Those of one hash come in the order in which they were added, and
//! may have other keys: who looks for them compares. Taken are 8 bytes a row, and 24 for each hash there is, in a table that
//! may be half empty; there is no bound on it, and nothing is written to files. Source: `nodeHash.c`.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use super::{Exec, Row};
use crate::error::Result;
use crate::expr::{Expr, Rows};
use crate::plan::EqualSides;
use crate::types::{Datum, Type};

/// What stands for no row: none has this place.
pub(super) const NONE: usize = usize::MAX;

/// The places of rows that have been added one after the other.
#[derive(Debug, Default)]
pub(super) struct Places {
    ends: HashMap<u64, (usize, usize)>,
    next: Vec<usize>,
}

/// What is known of the rows that are equal to one in a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// They have this hash.
    Hash(u64),
    /// There are none: something is null.
    Null,
}

impl Places {
    /// The places of a join's right rows; `None` if their keys cannot all be worked out: whoever compares them will say so,
    /// if anybody does.
    pub(super) fn of_right(
        equal: &[EqualSides],
        rights: &[Row],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Result<Option<Places>> {
        let mut places = Places { ends: HashMap::new(), next: Vec::with_capacity(rights.len()) };
        for row in rights {
            exec.transaction.check_interrupts()?;
            let exprs = equal.iter().map(|sides| (&sides.right, sides.of));
            match key(exprs, row, exec, outer) {
                Ok(Key::Hash(hash)) => places.add(hash),
                Ok(Key::Null) => places.next.push(NONE),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(places))
    }

    /// The first place where a right row may be that is equal to a left one, [`NONE`] if there is none; nothing where the
    /// left one's key cannot be worked out.
    pub(super) fn first_of_left(
        &self,
        equal: &[EqualSides],
        left: &[Datum],
        exec: &mut Exec<'_, '_, '_, '_>,
        outer: Option<&Rows<'_>>,
    ) -> Option<usize> {
        let exprs = equal.iter().map(|sides| (&sides.left, sides.of));
        match key(exprs, left, exec, outer).ok()? {
            Key::Hash(hash) => Some(self.ends.get(&hash).map_or(NONE, |(first, _)| *first)),
            Key::Null => Some(NONE),
        }
    }

    /// The next place of the same hash; [`NONE`] behind the last.
    pub(super) fn after(&self, place: usize) -> usize {
        self.next[place]
    }

    fn add(&mut self, hash: u64) {
        let place = self.next.len();
        self.next.push(NONE);
        let (_, last) = self.ends.entry(hash).or_insert((place, place));
        if *last != place {
            self.next[*last] = place;
            *last = place;
        }
    }
}

fn key<'x>(
    exprs: impl Iterator<Item = (&'x Expr, Type)>,
    row: &[Datum],
    exec: &mut Exec<'_, '_, '_, '_>,
    outer: Option<&Rows<'_>>,
) -> Result<Key> {
    let mut hasher = DefaultHasher::new();
    for (expr, of) in exprs {
        let value = expr.eval(exec, &Rows { row, outer })?;
        if value.is_null() {
            return Ok(Key::Null);
        }
        value.hash(of, &mut hasher);
    }
    Ok(Key::Hash(hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_hash_come_in_the_order_in_which_they_were_added() {
        let mut places = Places::default();
        for hash in [7, 9, 7, 7, 9, 1] {
            places.add(hash);
        }
        let all = |hash: u64| {
            let mut found = Vec::new();
            let mut at = places.ends.get(&hash).map_or(NONE, |(first, _)| *first);
            while at != NONE {
                found.push(at);
                at = places.after(at);
            }
            found
        };
        assert_eq!([all(7), all(9), all(1), all(2)], [vec![0, 2, 3], vec![1, 4], vec![5], vec![]]);
    }
}
