//! A frame's word: how many hold it, how much it was used lately, and what state its page is in.
//!
//! ```text
//! bit 0                18        22      23     24       25        26               27
//!     | pins           | usage   | MAPPED | VALID | DIRTY | WRITING | CLEANUP_WAITER | CHECKED
//! ```
//!
//! Invariants: a frame without [`MAPPED`] has no name, and is pinned only by who is about to give it one. [`VALID`],
//! [`DIRTY`], [`WRITING`] and [`CHECKED`] are set only of a mapped frame. Usage is at most [`MAX_USAGE`].

use base::ordering;
use base::sync::atomic::{AtomicU32, Ordering};

const PIN: u32 = 1;
const PINS: u32 = (1 << 18) - 1;
const USAGE: u32 = 1 << 18;
const USAGES: u32 = 0xF << 18;

/// How often the clock passes a frame by that was used often (`BM_MAX_USAGE_COUNT`).
pub const MAX_USAGE: u32 = 5;

/// The frame has a name.
pub const MAPPED: u32 = 1 << 22;
/// The page was read.
pub const VALID: u32 = 1 << 23;
/// The page was changed since it was last written.
pub const DIRTY: u32 = 1 << 24;
/// The page is being written, as it was when it was last dirty.
pub const WRITING: u32 = 1 << 25;
/// Somebody waits until his pin is the only one.
pub const CLEANUP_WAITER: u32 = 1 << 26;
/// The page's line pointers were seen to fit, and were changed since by who keeps them so. Set under a lock of the content,
/// cleared under its exclusive lock.
pub const CHECKED: u32 = 1 << 27;

/// A value of the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State(u32);

impl State {
    /// How many pins there are.
    #[inline]
    pub const fn pins(self) -> u32 {
        self.0 & PINS
    }

    /// How much the frame was used lately.
    #[inline]
    pub const fn usage(self) -> u32 {
        (self.0 & USAGES) >> 18
    }

    /// Whether any of these bits is set.
    #[inline]
    pub const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// With one more pin, and with some usage if it counts and there is not much.
    #[inline]
    fn pinned(self, counts_as_use: bool) -> u32 {
        assert!(self.pins() < PINS, "a frame has {PINS} pins at most");
        let uses = counts_as_use && self.usage() < MAX_USAGE || self.usage() == 0;
        self.0 + PIN + if uses { USAGE } else { 0 }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (pins, usage) = (self.pins(), self.usage());
        write!(f, "pins {pins}, usage {usage}, flags {:#x}", self.0 >> 22)
    }
}

/// With this who pins a frame without its name's partition, or takes it, sees the name: it pairs with `buffer.mapped`, before
/// which the name was written. Whoever changes the word in between does so by a read-modify-write, and so goes on with that
/// release sequence.
#[inline]
fn mapped_seen() -> Ordering {
    ordering!("buffer.mapped-seen", Acquire)
}

/// The word.
#[derive(Debug)]
pub struct Word(AtomicU32);

impl Word {
    /// Of a frame without a page, for the first taker.
    pub(super) fn new() -> Word {
        Word(AtomicU32::new(0))
    }

    /// Its value now.
    #[inline]
    pub(super) fn load(&self) -> State {
        State(self.0.load(Ordering::Relaxed))
    }

    /// Changes it as long as `change` says how; gives the value before.
    #[inline]
    fn update(&self, change: impl Fn(State) -> Option<u32>) -> Result<State, State> {
        self.update_in(Ordering::Relaxed, change)
    }

    #[inline]
    fn update_in(
        &self,
        order: Ordering,
        change: impl Fn(State) -> Option<u32>,
    ) -> Result<State, State> {
        let mut now = self.load();
        loop {
            let Some(new) = change(now) else { return Err(now) };
            match self.0.compare_exchange_weak(now.0, new, order, Ordering::Relaxed) {
                Ok(_) => return Ok(now),
                Err(other) => now = State(other),
            }
        }
    }

    /// Pins the frame of a name that is in the table, with its partition locked (rule 2). A scan over more than the pool
    /// holds does not count as use.
    ///
    /// # Panics
    /// With 262,143 pins, which no number of sessions here can have.
    #[inline]
    pub(super) fn pin(&self, counts_as_use: bool) -> State {
        let result = self.update(|now| Some(now.pinned(counts_as_use)));
        result.unwrap_or_else(|now| now)
    }

    /// Pins the frame if it has a name, which is then there to be read, and stays (rule 2). Whether it had.
    ///
    /// # Panics
    /// As [`Word::pin`].
    #[inline]
    pub(super) fn pin_mapped(&self, counts_as_use: bool) -> bool {
        let pinned = |now: State| now.has(MAPPED).then(|| now.pinned(counts_as_use));
        self.update_in(mapped_seen(), pinned).is_ok()
    }

    /// One more pin of a frame that is pinned.
    #[inline]
    pub(super) fn pin_again(&self) {
        let before = State(self.0.fetch_add(PIN, Ordering::Relaxed));
        debug_assert!(before.pins() > 0 && before.pins() < PINS);
    }

    /// Pins a frame that holds a page in any of the states `bits`; whether it did.
    #[inline]
    pub(super) fn pin_if(&self, bits: u32) -> bool {
        let pinned = |now: State| (now.has(MAPPED) && now.has(bits)).then_some(now.0 + PIN);
        self.update_in(mapped_seen(), pinned).is_ok()
    }

    /// Gives a pin back; the word before.
    #[inline]
    pub(super) fn unpin(&self) -> State {
        let before = State(self.0.fetch_sub(PIN, Ordering::Relaxed));
        debug_assert!(before.pins() > 0, "a pin is given back once");
        before
    }

    /// The clock comes by: takes a frame that is not pinned and was not used lately, with a pin; or takes some of its
    /// usage. `Err` with what was found where it is pinned or was used.
    #[inline]
    pub(super) fn claim(&self) -> Result<State, State> {
        let before = self.update_in(mapped_seen(), |now| match (now.pins(), now.usage()) {
            (0, 0) => Some(now.0 + PIN),
            (0, _) => Some(now.0 - USAGE),
            _ => None,
        })?;
        if before.usage() == 0 { Ok(before) } else { Err(before) }
    }

    /// Takes a frame that nobody pins, whatever its usage up to 1: a ring's own.
    #[inline]
    pub(super) fn claim_from_ring(&self) -> bool {
        let claimed = |now: State| (now.pins() == 0 && now.usage() <= 1).then_some(now.0 + PIN);
        self.update_in(mapped_seen(), claimed).is_ok()
    }

    /// Rule 4: from one pin and clean to no page and one pin. Whether it was so.
    #[inline]
    pub(super) fn unmap(&self) -> bool {
        let blind = base::variant!("buffer.unmap-whoever-pins");
        let unmapped = |now: State| {
            let is_free = now.pins() == 1 || blind;
            (is_free && !now.has(DIRTY | WRITING | CLEANUP_WAITER)).then_some(now.0 & PINS)
        };
        self.update(unmapped).is_ok()
    }

    /// Sets bits; the word before.
    #[inline]
    pub(super) fn set(&self, bits: u32) -> State {
        State(self.0.fetch_or(bits, Ordering::Relaxed))
    }

    /// Clears bits; the word before.
    #[inline]
    pub(super) fn clear(&self, bits: u32) -> State {
        State(self.0.fetch_and(!bits, Ordering::Relaxed))
    }

    /// Gives the frame that its taker holds, and whose name he has written, that name, and some usage.
    #[inline]
    pub(super) fn map(&self) {
        let order = ordering!("buffer.mapped", Release);
        let before = State(self.0.fetch_or(MAPPED | USAGE, order));
        debug_assert!(!before.has(MAPPED) && before.usage() == 0);
    }

    /// Rule 5: dirty becomes being written. Whether it was dirty.
    #[inline]
    pub(super) fn begin_write(&self) -> bool {
        self.update(|now| now.has(DIRTY).then_some(now.0 & !DIRTY | WRITING)).is_ok()
    }

    /// It was written; or was not, and is dirty still.
    #[inline]
    pub(super) fn end_write(&self, written: bool) {
        let dirty = if written { 0 } else { DIRTY };
        let _ = self.update(|now| Some(now.0 & !WRITING | dirty));
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn the_clock_takes_what_was_not_used() {
        let word = Word::new();
        assert!(word.claim().is_ok());
        word.map();
        assert!(word.claim().is_err(), "pinned");
        assert_eq!(word.unpin().pins(), 1);
        for _ in 0..9 {
            word.pin(true);
            word.unpin();
        }
        assert_eq!(word.load().usage(), MAX_USAGE);
        for usage in (0..MAX_USAGE).rev() {
            assert!(word.claim().is_err());
            assert_eq!(word.load().usage(), usage);
        }
        assert!(word.claim().is_ok());
        assert_eq!((word.load().pins(), word.load().has(MAPPED)), (1, true));
    }

    #[test]
    fn only_the_only_pin_of_a_clean_page_unmaps() {
        let word = Word::new();
        word.claim().expect("free");
        word.map();
        word.set(VALID | DIRTY);
        assert!(!word.unmap(), "dirty");
        assert!(word.begin_write() && !word.begin_write());
        assert!(!word.unmap(), "being written");
        word.end_write(false);
        assert!(word.load().has(DIRTY) && word.begin_write());
        word.end_write(true);
        assert!(word.pin_if(VALID) && !word.unmap(), "two pins");
        word.unpin();
        assert!(word.unmap());
        assert!(!word.pin_if(VALID), "no page");
        assert_eq!((word.load().pins(), word.load().usage()), (1, 0));
    }
}
