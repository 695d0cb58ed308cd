//! Where the rows of a table are that are found by number, kept in memory: there is no index yet.
//!
//! Invariants: a place is the root of a version which has committed. A row may have moved on since, so that the place
//! leads to the newer version or to nothing; the place is then looked up once more.

use base::Tid;
use base::sync::{Mutex, PoisonError, thread};

use crate::heap::Value;
use crate::{Error, Table, Transaction};

/// The rows' places, by number from 0.
#[derive(Debug)]
pub(super) struct Places(Vec<Mutex<Tid>>);

/// Looks at a place before the row is looked for.
const TURNS: u32 = 100;

/// A new place, to be noted when its transaction has committed.
pub(super) type Moved = Option<Tid>;

impl Places {
    /// Of rows whose places these are.
    pub(super) fn new(places: Vec<Tid>) -> Places {
        Places(places.into_iter().map(Mutex::new).collect())
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn place(&self, number: usize) -> Tid {
        *self.0[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes where a row went to.
    pub(super) fn note(&self, number: usize, moved: Moved) {
        if let Some(tid) = moved {
            *self.0[number].lock().unwrap_or_else(PoisonError::into_inner) = tid;
        }
    }

    /// Adds to the balance of a row, which holds its number and its balance; says where it went to.
    pub(super) fn add(
        &self,
        transaction: &mut Transaction<'_, '_>,
        table: &Table,
        number: usize,
        amount: i64,
    ) -> Result<Moved, Error> {
        let mut turns = 0;
        loop {
            let tid = self.place(number);
            let moved = table.update_with(transaction, tid, |values| match values {
                // Another row may have been given the place.
                [Value::Int4(id), Value::Int8(balance)] if *id as usize == number => {
                    Some(vec![Value::Int4(*id), Value::Int8(balance + amount)])
                }
                _ => None,
            })?;
            if moved.is_some() {
                return Ok(moved);
            }
            // Whoever moved it has committed, and is about to note where it went; or noted it behind one who moved it on.
            turns += 1;
            if turns % TURNS == 0 {
                self.find(transaction, table, number)?;
            }
            thread::yield_now();
        }
    }

    /// Looks for a row in the whole table.
    fn find(
        &self,
        transaction: &mut Transaction<'_, '_>,
        table: &Table,
        number: usize,
    ) -> Result<(), Error> {
        for row in table.scan(transaction)? {
            let row = row?;
            if matches!(row.values()?[..], [Value::Int4(id), _] if id as usize == number) {
                self.note(number, Some(row.root()));
            }
        }
        Ok(())
    }
}
