//! A line pointer: where an item lies, or what became of it.
//!
//! ```text
//! 32 bits from the lowest:   0              15      17              32
//!                            | offset (15)  | state | length (15)   |
//! ```
//!
//! A redirect keeps the number of another line pointer in place of the offset. Source: `storage/itemid.h`.

use std::fmt;
use std::mem::size_of;

use crate::OffsetNumber;

/// Bytes of a line pointer (`sizeof(ItemIdData)`).
pub const LINE_POINTER_SIZE: usize = 4;

/// A line pointer (`ItemIdData`), as read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct LinePointer(u32);

const _: () = assert!(size_of::<LinePointer>() == LINE_POINTER_SIZE);

/// What a line pointer is (`lp_flags`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum LinePointerState {
    /// Free (`LP_UNUSED`).
    Unused = 0,
    /// It points at an item (`LP_NORMAL`).
    Normal = 1,
    /// It stands for another line pointer, of a heap-only tuple (`LP_REDIRECT`).
    Redirect = 2,
    /// Its tuple is gone, and an index may still point here; in an index, its item is dead (`LP_DEAD`).
    Dead = 3,
}

impl LinePointer {
    /// Free.
    pub const UNUSED: LinePointer = LinePointer(0);
    /// Dead, without an item.
    pub const DEAD: LinePointer = LinePointer::new(LinePointerState::Dead, 0, 0);

    /// Of these parts; `offset` and `length` are cut to 15 bits.
    #[inline]
    pub const fn new(state: LinePointerState, offset: u16, length: u16) -> LinePointer {
        let (offset, length) = (offset as u32 & 0x7FFF, length as u32 & 0x7FFF);
        LinePointer(offset | (state as u32) << 15 | length << 17)
    }

    /// To an item of so many bytes at this offset within the page.
    #[inline]
    pub const fn normal(offset: u16, length: u16) -> LinePointer {
        LinePointer::new(LinePointerState::Normal, offset, length)
    }

    /// To another line pointer.
    #[inline]
    pub const fn redirect(to: OffsetNumber) -> LinePointer {
        LinePointer::new(LinePointerState::Redirect, to, 0)
    }

    /// From its four bytes.
    #[inline]
    pub const fn from_bytes(bytes: [u8; LINE_POINTER_SIZE]) -> LinePointer {
        LinePointer(u32::from_le_bytes(bytes))
    }

    /// Its four bytes.
    #[inline]
    pub const fn to_bytes(self) -> [u8; LINE_POINTER_SIZE] {
        self.0.to_le_bytes()
    }

    /// What it is.
    #[inline]
    pub const fn state(self) -> LinePointerState {
        match self.0 >> 15 & 3 {
            0 => LinePointerState::Unused,
            1 => LinePointerState::Normal,
            2 => LinePointerState::Redirect,
            _ => LinePointerState::Dead,
        }
    }

    /// Where the item begins, in bytes from the page's beginning (`lp_off`). Of a redirect, see
    /// [`LinePointer::target`].
    #[inline]
    pub const fn offset(self) -> u16 {
        (self.0 & 0x7FFF) as u16
    }

    /// Bytes of the item (`lp_len`); 0 where there is none.
    #[inline]
    pub const fn length(self) -> u16 {
        (self.0 >> 17) as u16
    }

    /// The line pointer that a redirect stands for.
    #[inline]
    pub const fn target(self) -> Option<OffsetNumber> {
        if matches!(self.state(), LinePointerState::Redirect) { Some(self.offset()) } else { None }
    }

    /// Whether it points at an item (`ItemIdIsNormal`).
    #[inline]
    pub const fn is_normal(self) -> bool {
        matches!(self.state(), LinePointerState::Normal)
    }

    /// Whether it is not free (`ItemIdIsUsed`).
    #[inline]
    pub const fn is_used(self) -> bool {
        !matches!(self.state(), LinePointerState::Unused)
    }

    /// Whether it is dead, with or without an item (`ItemIdIsDead`).
    #[inline]
    pub const fn is_dead(self) -> bool {
        matches!(self.state(), LinePointerState::Dead)
    }

    /// Whether bytes of the page belong to it (`ItemIdHasStorage`).
    #[inline]
    pub const fn has_storage(self) -> bool {
        self.length() != 0
    }
}

impl fmt::Debug for LinePointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, offset, length) = (self.state(), self.offset(), self.length());
        write!(f, "{state:?}({offset}, {length})")
    }
}
