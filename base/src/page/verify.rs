//! What is checked of a page before it is believed.
//!
//! [`RawPage::verify`] is what a buffer pool asks when it has read a page (`PageIsVerified`); it holds for pages
//! of any kind. [`RawPage::validate`] also looks at every line pointer, and is the only way from
//! bytes to a [`Page`].

use super::view::{Page, RawPage};
use super::{LINE_POINTER_SIZE, LinePointer, LinePointerState, PAGE_HEADER_SIZE};
use crate::checksum::page_checksum;
use crate::{BlockNumber, OffsetNumber, PAGE_SIZE, max_align};

/// What is wrong with a page. Which page it is, the caller knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PageError {
    /// The page was damaged, or belongs elsewhere.
    #[error(
        "page verification failed, calculated checksum {calculated} but expected {stored} (bytes 8-9)"
    )]
    Checksum {
        /// What the bytes and the block number make.
        calculated: u16,
        /// `pd_checksum`.
        stored: u16,
    },
    /// Not a page of 8192 bytes in the layout of 8.3 and later.
    #[error("page size {size} and layout version {version} (bytes 18-19) are not 8192 and 4")]
    SizeOrVersion {
        /// Bytes of the page, as it says.
        size: u16,
        /// Version, as it says.
        version: u8,
    },
    /// Flags without a meaning.
    #[error("page flags {flags:#06x} (bytes 10-11) have bits that PostgreSQL does not use")]
    Flags {
        /// `pd_flags`.
        flags: u16,
    },
    /// The parts of the page do not follow each other.
    #[error(
        "corrupted page pointers: lower = {lower}, upper = {upper}, special = {special} (bytes 12-17)"
    )]
    Bounds {
        /// `pd_lower`.
        lower: u16,
        /// `pd_upper`.
        upper: u16,
        /// `pd_special`.
        special: u16,
    },
    /// Part of a line pointer lies before `lower`.
    #[error("lower = {lower} (bytes 12-13) cuts a line pointer apart")]
    PartOfLinePointer {
        /// `pd_lower`.
        lower: u16,
    },
    /// A line pointer points to where no item can be.
    #[error(
        "line pointer {number} points at {offset} for {length} bytes, which is not an item between \
         upper = {upper} and special = {special}, aligned to 8"
    )]
    Item {
        /// The line pointer.
        number: OffsetNumber,
        /// `lp_off`.
        offset: u16,
        /// `lp_len`.
        length: u16,
        /// `pd_upper`.
        upper: u16,
        /// `pd_special`.
        special: u16,
    },
    /// Two items share bytes.
    #[error("the item of line pointer {number}, at {offset} for {length} bytes, overlaps another")]
    Overlap {
        /// The later of the line pointers.
        number: OffsetNumber,
        /// `lp_off`.
        offset: u16,
        /// `lp_len`.
        length: u16,
    },
    /// A line pointer that cannot have an item has one.
    #[error("line pointer {number} is {state:?} and has {length} bytes of storage")]
    Storage {
        /// The line pointer.
        number: OffsetNumber,
        /// What it is.
        state: LinePointerState,
        /// `lp_len`.
        length: u16,
    },
    /// A redirect to a line pointer that does not exist.
    #[error("line pointer {number} redirects to {to}, and the page has 1 to {last}")]
    Redirect {
        /// The line pointer.
        number: OffsetNumber,
        /// Where it redirects to.
        to: OffsetNumber,
        /// The last line pointer.
        last: OffsetNumber,
    },
    /// A page that was never initialised has no items.
    #[error("the page is new: upper = 0 (bytes 14-15)")]
    New,
}

/// What [`RawPage::verify`] found in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verified {
    /// A page with a header.
    Initialised,
    /// Zeros only: the file was extended, and the page's first change never written.
    AllZeros,
}

impl<'p> RawPage<'p> {
    /// Whether the page may enter a buffer (`PageIsVerifiedExtended`): its checksum, if there are checksums,
    /// and its header. A page of zeros may.
    ///
    /// # Errors
    /// [`PageError`]: the checksum first.
    pub fn verify(&self, block: BlockNumber, checksums: bool) -> Result<Verified, PageError> {
        let bytes = self.bytes();
        let header = self.header();
        let found = if header.upper == 0 {
            // Never initialised, so without a checksum; such a page is zeros or damaged.
            Err(PageError::New)
        } else if checksums {
            match page_checksum(bytes, block) {
                sum if sum == header.checksum => header.check(),
                calculated => Err(PageError::Checksum { calculated, stored: header.checksum }),
            }
        } else {
            header.check()
        };
        match found {
            Ok(()) => Ok(Verified::Initialised),
            Err(_) if bytes.iter().all(|byte| *byte == 0) => Ok(Verified::AllZeros),
            Err(PageError::New) => {
                let (lower, upper, special) = (header.lower, header.upper, header.special);
                Err(PageError::Bounds { lower, upper, special })
            }
            Err(error) => Err(error),
        }
    }

    /// The page, once header and line pointers are seen to fit each other.
    ///
    /// # Errors
    /// [`PageError`], with the line pointer; of a page that was never initialised, [`PageError::New`].
    pub fn validate(self) -> Result<Page<'p>, PageError> {
        let header = self.header();
        if header.upper == 0 {
            return Err(PageError::New);
        }
        header.check()?;
        let lower = header.lower;
        if !(usize::from(lower) - PAGE_HEADER_SIZE).is_multiple_of(LINE_POINTER_SIZE) {
            return Err(PageError::PartOfLinePointer { lower });
        }
        if !self.is_in_order() {
            self.check_line_pointers()?;
        }
        Ok(Page::assume_valid(self.bytes()))
    }

    /// Whether its line pointers all point at items, each of which lies before that of the line pointer before it: so pages are filled,
    /// and many stay like that. The first one's may also be the lowest, as that of a high key that came last. What is so is as
    /// [`RawPage::check_line_pointers`] wants it, and costs an eighth of looking at each by itself; what is not may still be.
    pub(super) fn is_in_order(&self) -> bool {
        let header = self.header();
        let (upper, special) = (u32::from(header.upper), u32::from(header.special));
        let at = |pointer: &[u8; LINE_POINTER_SIZE]| LinePointer::from_bytes(*pointer);
        let start = |pointer| u32::from(at(pointer).offset());
        let end = |pointer| (start(pointer) + u32::from(at(pointer).length())).next_multiple_of(8);
        let is_item = |pointer| {
            let may_have_one = at(pointer).is_normal() | at(pointer).is_dead();
            may_have_one & (at(pointer).length() != 0) & (at(pointer).offset() % 8 == 0)
        };
        let pointers = self.pointers();
        let [first, others @ ..] = pointers else { return true };
        let (Some(second), Some(last)) = (others.first(), others.last()) else {
            return is_item(first) && start(first) >= upper && end(first) <= special;
        };
        // Without a branch for each, so that several are looked at by one instruction.
        let are_items = pointers.iter().fold(true, |are, pointer| are & is_item(pointer));
        let successive = others.iter().zip(&others[1..]);
        let descend =
            successive.fold(true, |descend, (one, next)| descend & (end(next) <= start(one)));
        let is_highest =
            end(first) <= special && end(second) <= start(first) && start(last) >= upper;
        let is_lowest =
            end(second) <= special && end(first) <= start(last) && start(first) >= upper;
        are_items && descend && (is_highest || is_lowest)
    }

    /// Whether each line pointer points at what one may point at.
    pub(super) fn check_line_pointers(&self) -> Result<(), PageError> {
        let header = self.header();
        let (upper, special) = (header.upper, header.special);
        let mut taken = Taken::default();
        let last = header.line_pointers();
        for (number, pointer) in self.line_pointers() {
            let (state, offset, length) = (pointer.state(), pointer.offset(), pointer.length());
            if let Some(to) = pointer.target()
                && !(1..=last).contains(&to)
            {
                return Err(PageError::Redirect { number, to, last });
            }
            match state {
                LinePointerState::Unused | LinePointerState::Redirect if length != 0 => {
                    return Err(PageError::Storage { number, state, length });
                }
                // A dead item of an index keeps its bytes, a dead tuple of a heap does not.
                LinePointerState::Normal | LinePointerState::Dead
                    if length != 0 || state == LinePointerState::Normal =>
                {
                    let end = max_align(u64::from(offset) + u64::from(length));
                    let is_inside = offset >= upper && end <= u64::from(special);
                    if length == 0 || !is_inside || offset % 8 != 0 {
                        return Err(PageError::Item { number, offset, length, upper, special });
                    }
                    if !taken.take(usize::from(offset) / 8, end as usize / 8) {
                        return Err(PageError::Overlap { number, offset, length });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Which units of 8 bytes belong to an item seen so far: one bit each.
#[derive(Default)]
struct Taken([u64; PAGE_SIZE / 8 / 64]);

impl Taken {
    /// Takes the units from `start` to before `end`; `false` if one is taken.
    #[inline]
    fn take(&mut self, start: usize, end: usize) -> bool {
        let (first, last) = (start / 64, (end - 1) / 64);
        let mut free = true;
        for word in first..=last {
            let from = if word == first { u64::MAX << (start % 64) } else { u64::MAX };
            let to = if word == last { u64::MAX >> (63 - (end - 1) % 64) } else { u64::MAX };
            free &= self.0[word] & from & to == 0;
            self.0[word] |= from & to;
        }
        free
    }
}
