//! The one place where records are put in order: a position and a link to the record before, in one word.
//!
//! ```text
//! bits 63..14   position: usable bytes since the base, in units of 8          50 bits
//! bits 13..2    length of the last record in the same units                   12 bits
//!                 0         the link does not fit: it stands beside the word
//!                 4095      the word is locked
//! bits 1..0     count of the changes of the redo point, modulo 4               2 bits
//! ```
//!
//! A record of up to 32,752 bytes is given its place by one compare-and-swap: position plus length, length.
//! The prev chain is one because the word is: who is given the place behind a record knows that record's
//! length. (PostgreSQL holds a spinlock for it, `ReserveXLogInsertLocation`.)
//!
//! **What does not fit.** A longer record, a switch (which takes the rest of its segment) and a change of the
//! redo point lock the word, a swap as well, do what they do, and store a new word. Others wait meanwhile,
//! for a few instructions. The link to a long record stands in `beside`, written only under the lock. Who
//! reads it read a word with length 0 before and swaps that very word afterwards. Words never come back (the
//! position only grows, the count tells changes at one position apart), so success says that nobody locked in
//! between, and the link is that of the word.
//!
//! **The redo point** may move only before a record that was built for the new one: whoever reserves reads
//! the redo point after the word ([`Reservation::reserve`]'s `check`). At one position the redo point is moved at
//! most once (moving it to where it is does nothing), and full-page writes are switched at most twice (off, then
//! on; a record follows when they went on). Three changes do not wrap a count modulo 4.
//!
//! **The end.** 50 bits of units are 8 PiB of log since it was opened; behind that is
//! [`Exhausted`](ReserveError::Exhausted), and who opens the log again has 8 PiB more.
//!
//! Invariants: positions only grow; each record's link is the start of the record that was given the place
//! before; an acquire read of the word sees what its writer did before it.

use base::Lsn;
use base::ordering;
use base::sync::atomic::AtomicU64;
use base::sync::atomic::Ordering::Relaxed;
use crossbeam_utils::CachePadded;

use super::layout::Layout;
use super::pause::Pause;

const EPOCH_BITS: u32 = 2;
const LENGTH_BITS: u32 = 12;
const POSITION_SHIFT: u32 = EPOCH_BITS + LENGTH_BITS;
/// The first position that does not fit, in units.
const POSITIONS: u64 = 1 << (64 - POSITION_SHIFT);
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;
const EPOCH_MASK: u64 = (1 << EPOCH_BITS) - 1;
/// The link stands beside the word.
const BESIDE: u64 = 0;
const LOCKED: u64 = LENGTH_MASK;
/// Size of a unit in bytes: what records are aligned to.
pub(super) const UNIT: u64 = 8;
/// The longest record whose link fits, in units. Small under loom, so that a model has both kinds.
const LONGEST: u64 = if cfg!(loom) { 6 } else { LENGTH_MASK - 1 };

/// Where the next record goes, and the link to the last.
#[derive(Debug)]
pub(super) struct Reservation {
    word: CachePadded<AtomicU64>,
    beside: AtomicU64,
    layout: Layout,
    /// Usable position of the word's position 0, in bytes.
    base: u64,
}

/// A record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reserved {
    /// Where its header starts.
    pub(super) start: Lsn,
    /// Where it ends, what aligns the next one included; of a switch, the segment's end.
    pub(super) end: Lsn,
    /// Start of the record before.
    pub(super) previous: Lsn,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReserveError {
    /// The check said so.
    Refused,
    /// The word has no more positions.
    Exhausted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn new(position: u64, length: u64, epoch: u64) -> Word {
        debug_assert!(position < POSITIONS && length <= LENGTH_MASK && epoch <= EPOCH_MASK);
        Word(position << POSITION_SHIFT | length << EPOCH_BITS | epoch)
    }

    fn position(self) -> u64 {
        self.0 >> POSITION_SHIFT
    }

    fn length(self) -> u64 {
        self.0 >> EPOCH_BITS & LENGTH_MASK
    }

    fn epoch(self) -> u64 {
        self.0 & EPOCH_MASK
    }
}

impl Reservation {
    /// The next record ends where `next` says or starts behind the page header there; the last one started
    /// at `previous`.
    pub(super) fn new(layout: Layout, next: Lsn, previous: Lsn) -> Reservation {
        let segment = Lsn(next.0 - layout.offset_in_segment(next));
        let base = layout.usable_of(segment);
        let position = (layout.usable_of(next) - base) / UNIT;
        Reservation {
            word: CachePadded::new(AtomicU64::new(Word::new(position, BESIDE, 0).0)),
            beside: AtomicU64::new(previous.0),
            layout,
            base,
        }
    }

    /// Everything before this has been given away: where the last record ends.
    #[inline]
    pub(super) fn end(&self) -> Lsn {
        self.layout.end_of(self.usable(self.load()))
    }

    /// Gives a place of `length` bytes, unless `check` says, after the word was read, that the record is
    /// not good any more.
    #[inline]
    pub(super) fn reserve(
        &self,
        length: u64,
        mut check: impl FnMut() -> bool,
    ) -> Result<Reserved, ReserveError> {
        let units = length.div_ceil(UNIT);
        if units > LONGEST {
            return self.reserve_long(units, check);
        }
        let mut word = self.load();
        let mut pause = Pause::default();
        loop {
            if word.length() == LOCKED {
                pause.wait();
                word = self.load();
                continue;
            }
            if !check() {
                return Err(ReserveError::Refused);
            }
            let beside = self.beside.load(Relaxed);
            let position = word.position() + units;
            if position >= POSITIONS {
                return Err(ReserveError::Exhausted);
            }
            let next = Word::new(position, units, word.epoch());
            match self.word.compare_exchange_weak(
                word.0,
                next.0,
                ordering!("log.reserve", AcqRel),
                ordering!("log.end-seen", Acquire),
            ) {
                Ok(_) => return Ok(self.reserved(word, beside, length)),
                Err(found) => word = Word(found),
            }
        }
    }

    #[cold]
    fn reserve_long(
        &self,
        units: u64,
        mut check: impl FnMut() -> bool,
    ) -> Result<Reserved, ReserveError> {
        let word = self.lock();
        let beside = self.beside.load(Relaxed);
        let position = word.position() + units;
        let answer = if !check() {
            Err(ReserveError::Refused)
        } else if position >= POSITIONS {
            Err(ReserveError::Exhausted)
        } else {
            Ok(self.reserved(word, beside, units * UNIT))
        };
        match answer {
            Ok(reserved) => {
                self.beside.store(reserved.start.0, Relaxed);
                self.unlock(Word::new(position, BESIDE, word.epoch()));
            }
            Err(_) => self.unlock(word),
        }
        answer
    }

    /// Gives the rest of the segment to a record of `length` bytes that begins it. `Ok(None)` where the next
    /// record would be a segment's first.
    pub(super) fn reserve_rest_of_segment(
        &self,
        length: u64,
    ) -> Result<Option<Reserved>, ReserveError> {
        let word = self.lock();
        let end = self.layout.end_of(self.usable(word));
        if self.layout.offset_in_segment(end) == 0 {
            self.unlock(word);
            return Ok(None);
        }
        let beside = self.beside.load(Relaxed);
        let mut reserved = self.reserved(word, beside, length);
        reserved.end = self.layout.next_segment(reserved.end);
        let position = (self.layout.usable_of(reserved.end) - self.base) / UNIT;
        if position >= POSITIONS {
            self.unlock(word);
            return Err(ReserveError::Exhausted);
        }
        self.beside.store(reserved.start.0, Relaxed);
        self.unlock(Word::new(position, BESIDE, word.epoch()));
        Ok(Some(reserved))
    }

    /// Nobody reserves while `change` runs; it is given where the next record will start. Whoever read the
    /// word before must read again what `change` changed. `change` says whether it changed anything.
    pub(super) fn change(&self, change: impl FnOnce(Lsn) -> bool) -> Lsn {
        let word = self.lock();
        let next = self.layout.start_of(self.usable(word));
        let epoch = if change(next) && !base::variant!("log.epoch-stands") {
            (word.epoch() + 1) & EPOCH_MASK
        } else {
            word.epoch()
        };
        self.unlock(Word::new(word.position(), word.length(), epoch));
        next
    }

    /// Locks the word and gives what it was.
    fn lock(&self) -> Word {
        let mut word = self.load();
        let mut pause = Pause::default();
        loop {
            if word.length() == LOCKED {
                pause.wait();
                word = self.load();
                continue;
            }
            let locked = Word::new(word.position(), LOCKED, word.epoch());
            match self.word.compare_exchange_weak(
                word.0,
                locked.0,
                ordering!("log.reserve", AcqRel),
                ordering!("log.end-seen", Acquire),
            ) {
                Ok(_) => return word,
                Err(found) => word = Word(found),
            }
        }
    }

    fn unlock(&self, word: Word) {
        self.word.store(word.0, ordering!("log.unlock", Release));
    }

    #[inline]
    fn load(&self) -> Word {
        Word(self.word.load(ordering!("log.end-seen", Acquire)))
    }

    fn usable(&self, word: Word) -> u64 {
        self.base + word.position() * UNIT
    }

    /// The place at `word`. One division for the start; what lies on the same page is counted from there.
    #[inline]
    fn reserved(&self, word: Word, beside: u64, length: u64) -> Reserved {
        let usable = self.usable(word);
        let start = self.layout.start_of(usable);
        let length = length.next_multiple_of(UNIT);
        let offset = Layout::offset_in_page(start);
        let end = if offset + length < super::layout::PAGE {
            start + length
        } else {
            self.layout.end_of(usable + length)
        };
        let back = word.length() * UNIT;
        let previous = if back == BESIDE {
            Lsn(beside)
        } else if offset >= back + self.layout.header_size(Layout::page_of(start)) {
            Lsn(start.0 - back)
        } else {
            self.layout.start_of(usable - back)
        };
        Reserved { start, end, previous }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FIRST: Lsn = Lsn(0x100_0028);

    #[test]
    fn records_follow_each_other_whatever_their_length() {
        let layout = Layout::new(1 << 20);
        let reservation = Reservation::new(layout, FIRST, Lsn::INVALID);
        let mut previous = Lsn::INVALID;
        let mut end = FIRST;
        for length in [24, 25, 8128, 8168, 32_752, 32_760, 32_768, 40, 3 << 20, 24, 24] {
            let reserved = reservation.reserve(length, || true).expect("there is room");
            assert_eq!(reserved.previous, previous);
            assert_eq!(layout.usable_of(reserved.start), layout.usable_of(end));
            let aligned = length.next_multiple_of(8);
            assert_eq!(layout.usable_of(reserved.end) - layout.usable_of(reserved.start), aligned);
            assert_eq!(reservation.end(), reserved.end);
            (previous, end) = (reserved.start, reserved.end);
        }
    }

    #[test]
    fn a_switch_takes_the_rest_of_its_segment_and_is_linked() {
        let layout = Layout::new(1 << 20);
        let reservation = Reservation::new(layout, FIRST, Lsn::INVALID);
        let first = reservation.reserve(100, || true).expect("there is room");
        let switch =
            reservation.reserve_rest_of_segment(24).expect("room").expect("not at a start");
        assert_eq!((switch.previous, switch.end), (first.start, Lsn(0x110_0000)));
        assert_eq!(reservation.reserve_rest_of_segment(24), Ok(None));
        let next = reservation.reserve(24, || true).expect("there is room");
        assert_eq!((next.start, next.previous), (Lsn(0x110_0028), switch.start));
    }

    #[test]
    fn who_is_refused_takes_nothing() {
        let reservation = Reservation::new(Layout::new(1 << 20), FIRST, Lsn::INVALID);
        for length in [24, 100_000] {
            assert_eq!(reservation.reserve(length, || false), Err(ReserveError::Refused));
        }
        assert_eq!(reservation.reserve(24, || true).expect("room").start, FIRST);
    }

    #[test]
    fn the_last_position_is_the_end() {
        let layout = Layout::new(1 << 30);
        let mut reservation = Reservation::new(layout, FIRST, Lsn::INVALID);
        reservation.word = CachePadded::new(AtomicU64::new(Word::new(POSITIONS - 4, 3, 0).0));
        for length in [40, 100_000, 1 << 29] {
            assert_eq!(reservation.reserve(length, || true), Err(ReserveError::Exhausted));
        }
        assert_eq!(reservation.reserve_rest_of_segment(24), Err(ReserveError::Exhausted));
        assert!(reservation.reserve(24, || true).is_ok());
        assert_eq!(reservation.reserve(24, || true), Err(ReserveError::Exhausted));
    }

    #[test]
    fn a_change_is_noticed_by_its_count() {
        let reservation = Reservation::new(Layout::new(1 << 20), FIRST, Lsn::INVALID);
        let before = reservation.load();
        assert_eq!(reservation.change(|next| next == FIRST), FIRST);
        assert_ne!(reservation.load(), before);
        let before = reservation.load();
        reservation.change(|_| false);
        assert_eq!(reservation.load(), before);
    }

    proptest! {
        #[test]
        fn the_chain_is_whole_at_any_base(
            shift in 20u32..=30, at in 0u64..1 << 40, lengths in proptest::collection::vec(24u64..40_000, 1..60),
        ) {
            let layout = Layout::new(1 << shift);
            let first = layout.start_of(layout.usable_of(Lsn(at * 8)));
            let reservation = Reservation::new(layout, first, Lsn(77));
            let (mut previous, mut usable) = (Lsn(77), layout.usable_of(first));
            for length in lengths {
                let reserved = reservation.reserve(length, || true).expect("there is room");
                prop_assert_eq!(reserved.previous, previous);
                prop_assert_eq!(reserved.start, layout.start_of(usable));
                usable += length.next_multiple_of(8);
                prop_assert_eq!(reserved.end, layout.end_of(usable));
                previous = reserved.start;
            }
        }
    }
}
