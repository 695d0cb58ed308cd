//! Long readers: sessions that hold a snapshot while others change what it sees.
//!
//! Each reads all tables twice by one repeatable read snapshot, with a pause between. Meanwhile nothing that it sees may
//! be removed, however often it was changed.
//!
//! Invariants: the sums are those that the load's kind demands of any snapshot, and the second reading is the first.

use std::time::{Duration, Instant};

use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::sync::thread;

use super::load::{Load, LoadError};
use super::run::LOOK;
use crate::{Engine, Isolation};

/// Reads until `ends`, once at the least, and counts snapshots.
///
/// # Errors
/// [`LoadError::Broken`] with what a snapshot should not show; and where a table cannot be read.
pub(super) fn read(
    engine: &Engine,
    load: &Load,
    hold: Duration,
    ends: &AtomicBool,
    snapshots: &AtomicU64,
) -> Result<(), LoadError> {
    let mut session = engine.session()?;
    loop {
        let mut transaction = session.begin(Isolation::RepeatableRead)?;
        let first = load.sums(&mut transaction)?;
        let expected = load.expected(&first);
        if first.balances != expected {
            return Err(LoadError::Broken(format!(
                "a snapshot with {} transactions has tables whose balances sum up to {:?}, not {expected:?}",
                first.transactions, first.balances
            )));
        }
        let begun = Instant::now();
        while begun.elapsed() < hold && !ends.load(Ordering::Relaxed) {
            thread::sleep(LOOK.min(hold.saturating_sub(begun.elapsed())));
        }
        let second = load.sums(&mut transaction)?;
        if second != first {
            return Err(LoadError::Broken(format!(
                "read again by the same snapshot, {first:?} has become {second:?}"
            )));
        }
        transaction.rollback()?;
        snapshots.fetch_add(1, Ordering::Relaxed);
        if ends.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}
