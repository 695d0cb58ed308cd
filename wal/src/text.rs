//! The buffer that records are described in.
//!
//! `core::fmt` is too slow for the text of twelve million records (DESIGN: what is measured to be too slow
//! may be written by hand): eight digits at a time are made in a register, appended whole, and cut to
//! length. `write!` still works for what is rare. Invariant: what is pushed is UTF-8 unless it came from the log as bytes
//! ([`Text::bytes`]).

use std::fmt;
use std::io;

use base::{Lsn, RelFileLocator, TimestampTz, Xid};

/// Whose form times are printed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dialect {
    /// As `pg_waldump` prints.
    #[default]
    Tool,
    /// As the server prints (`pg_walinspect`).
    Server,
}

/// A growing text.
#[derive(Debug, Clone, Default)]
pub struct Text {
    buffer: Vec<u8>,
    dialect: Dialect,
    /// In the place of the dialect's form of times.
    time_form: Option<TimeForm>,
}

/// Appends a time to a text.
pub type TimeForm = fn(TimestampTz, &mut Vec<u8>);

/// What [`Text::int`] prints.
pub trait Number: Copy {
    /// Whether it is below zero, and how far it is from it.
    fn sign_and_magnitude(self) -> (bool, u64);
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            #[inline]
            #[allow(clippy::cast_lossless, reason = "lossless for some of the types only")]
            fn sign_and_magnitude(self) -> (bool, u64) {
                #[allow(unused_comparisons, reason = "also for types without a sign")]
                let negative = self < 0;
                // The magnitude of a negative number is its two's complement; the widening keeps the sign.
                let widened = self as i64 as u64;
                if negative { (true, widened.wrapping_neg()) } else { (false, self as u64) }
            }
        }
    )*};
}
number!(u8, u16, u32, u64, usize, i8, i16, i32, i64);

/// Eight decimal digits, from the first one in the lowest byte on, not yet as characters. Algorithm: halves,
/// then pairs, then digits are divided side by side in one word, by multiplication with reciprocals.
#[inline]
const fn decimal_digits(number: u32) -> u64 {
    debug_assert!(number < 100_000_000);
    let fours = (number / 10_000) as u64 | ((number % 10_000) as u64) << 32;
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let pairs = hundreds | (fours - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000F_000F_000F_000F;
    tens | (pairs - 10 * tens) << 8
}

/// Eight hexadecimal digits, from the first one in the lowest byte on, not yet as characters.
#[inline]
const fn hexadecimal_digits(number: u32) -> u64 {
    let mut spread = number as u64;
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    spread.swap_bytes()
}

/// How many of eight digits are left without the leading zeroes; at least one.
#[inline]
const fn significant(digits: u64) -> usize {
    8 - (digits | 1 << 56).trailing_zeros() as usize / 8
}

const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// A number of at most eight decimal digits, padded with spaces on the left to eight characters.
#[inline]
pub(crate) const fn right_aligned(number: u32) -> [u8; 8] {
    let digits = decimal_digits(number);
    let blank = (1 << (8 * (8 - significant(digits)))) - 1;
    ((digits + EACH_BYTE * 0x30) & !blank | (EACH_BYTE * 0x20) & blank).to_le_bytes()
}

/// A number of at most eight decimal digits, in the first of eight characters, and how many it has.
#[inline]
pub(crate) const fn left_aligned(number: u32) -> ([u8; 8], usize) {
    let digits = decimal_digits(number);
    let count = significant(digits);
    (((digits + EACH_BYTE * 0x30) >> (64 - 8 * count as u32)).to_le_bytes(), count)
}

/// Eight upper-case hexadecimal digits, and how many of them are left without the leading zeroes.
#[inline]
pub(crate) const fn hexadecimal(number: u32) -> ([u8; 8], usize) {
    let digits = hexadecimal_digits(number);
    (hexadecimal_characters(digits, b'A').to_le_bytes(), significant(digits))
}

#[inline]
const fn hexadecimal_characters(digits: u64, ten: u8) -> u64 {
    let from_ten_on = ((digits + EACH_BYTE * 6) >> 4) & EACH_BYTE;
    digits + EACH_BYTE * 0x30 + from_ten_on * (ten - b'0' - 10) as u64
}

impl Text {
    /// An empty text in the given dialect.
    pub fn new(dialect: Dialect) -> Text {
        Text { buffer: Vec::new(), dialect, time_form: None }
    }

    /// An empty text in the server's dialect, with times as `form` makes them: inside a server the time zone is
    /// that of the session, not of the process.
    pub fn with_times(form: TimeForm) -> Text {
        Text { time_form: Some(form), ..Text::new(Dialect::Server) }
    }

    /// Whose form is written.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// What was written so far.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Forgets what was written, keeps the space.
    pub fn clear(&mut self) {
        self.buffer.clear();
    }

    /// Cuts back to `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.buffer.truncate(length);
    }

    /// Appends a string.
    #[inline]
    pub fn str(&mut self, text: &str) -> &mut Text {
        self.buffer.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a template, has it filled in where it stands, and keeps as much of it as `fill` says.
    #[inline]
    pub(crate) fn filled<const N: usize>(
        &mut self,
        template: &[u8; N],
        fill: impl FnOnce(&mut [u8; N]) -> usize,
    ) -> &mut Text {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(template);
        let length = self.buffer.last_chunk_mut().map_or(0, fill);
        self.buffer.truncate(start + length);
        self
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Text {
        self.buffer.extend_from_slice(bytes);
        self
    }

    /// Appends a decimal number: `%d`, `%u`, `%llu`.
    #[inline]
    pub fn int(&mut self, number: impl Number) -> &mut Text {
        self.int_padded(number, 0)
    }

    /// Appends a decimal number, padded with spaces on the left to `width`: `%*u`.
    #[inline]
    pub fn int_padded(&mut self, number: impl Number, width: usize) -> &mut Text {
        const EIGHT_DIGITS: u64 = 100_000_000;
        let (negative, magnitude) = number.sign_and_magnitude();
        if magnitude >= EIGHT_DIGITS || negative {
            return self.long_int(negative, magnitude, width);
        }
        let digits = decimal_digits(magnitude as u32);
        let count = significant(digits);
        if width > count {
            self.spaces(width - count);
        }
        self.last_of_eight(digits + EACH_BYTE * 0x30, count)
    }

    #[cold]
    fn long_int(&mut self, negative: bool, magnitude: u64, width: usize) -> &mut Text {
        let count = magnitude.checked_ilog10().map_or(1, |log| log as usize + 1);
        self.spaces(width.saturating_sub(count + usize::from(negative)));
        if negative {
            self.str("-");
        }
        let divisors = (0..count as u32).rev().map(|exponent| 10u64.pow(exponent));
        self.buffer.extend(divisors.map(|divisor| b'0' + (magnitude / divisor % 10) as u8));
        self
    }

    /// Appends the last `count` of eight characters, of which the first is in the lowest byte. The copy is
    /// of eight bytes whatever the count: one of unknown length is a call, one of bytes written one by one
    /// waits for the last of them.
    #[inline]
    fn last_of_eight(&mut self, characters: u64, count: usize) -> &mut Text {
        let end = self.buffer.len() + count;
        let characters = characters >> (64 - 8 * count as u32);
        self.buffer.extend_from_slice(&characters.to_le_bytes());
        self.buffer.truncate(end);
        self
    }

    /// Appends a string, padded with spaces on the right to `width`: `%-*s`.
    #[inline]
    pub fn str_padded(&mut self, text: &str, width: usize) -> &mut Text {
        self.str(text).spaces(width.saturating_sub(text.len()))
    }

    /// Appends spaces.
    #[inline]
    pub fn spaces(&mut self, count: usize) -> &mut Text {
        let end = self.buffer.len() + count;
        if count <= 16 {
            self.buffer.extend_from_slice(&[b' '; 16]);
            self.buffer.truncate(end);
        } else {
            self.buffer.resize(end, b' ');
        }
        self
    }

    /// Appends upper-case hexadecimal digits, at least `width`: `%0*X`.
    #[inline]
    pub fn hex_upper(&mut self, number: u64, width: usize) -> &mut Text {
        self.hex(number, width, b'A')
    }

    /// Appends lower-case hexadecimal digits, at least `width`: `%0*x`.
    #[inline]
    pub fn hex_lower(&mut self, number: u64, width: usize) -> &mut Text {
        self.hex(number, width, b'a')
    }

    #[inline]
    fn hex(&mut self, number: u64, width: usize, ten: u8) -> &mut Text {
        let (high, low) = ((number >> 32) as u32, number as u32);
        if high == 0 && width <= 8 {
            return self.short_hex(low, width, ten);
        }
        for _ in 16..width {
            self.str("0");
        }
        if high != 0 || width > 8 {
            self.short_hex(high, width.min(16).saturating_sub(8), ten);
        }
        self.short_hex(low, 8, ten)
    }

    /// At least `width` digits, which is at most 8.
    #[inline]
    fn short_hex(&mut self, number: u32, width: usize, ten: u8) -> &mut Text {
        let digits = hexadecimal_digits(number);
        let characters = hexadecimal_characters(digits, ten);
        self.last_of_eight(characters, significant(digits).max(width))
    }

    /// Appends `%X/%X`.
    #[inline]
    pub fn lsn(&mut self, lsn: Lsn) -> &mut Text {
        self.hex_upper(lsn.0 >> 32, 1).str("/").hex_upper(lsn.0 & 0xFFFF_FFFF, 1)
    }

    /// Appends `%X/%08X`.
    #[inline]
    pub fn lsn_padded(&mut self, lsn: Lsn) -> &mut Text {
        self.hex_upper(lsn.0 >> 32, 1).str("/").hex_upper(lsn.0 & 0xFFFF_FFFF, 8)
    }

    /// Appends a transaction id.
    #[inline]
    pub fn xid(&mut self, xid: Xid) -> &mut Text {
        self.int(xid.0)
    }

    /// Appends `tablespace/database/relation`.
    #[inline]
    pub fn locator(&mut self, locator: RelFileLocator) -> &mut Text {
        self.int(locator.tablespace).str("/").int(locator.database).str("/").int(locator.relation)
    }

    /// Appends a time in the dialect's form (`timestamptz_to_str`).
    pub fn time(&mut self, time: TimestampTz) -> &mut Text {
        match (self.time_form, self.dialect) {
            (Some(form), _) => form(time, &mut self.buffer),
            (None, Dialect::Tool) => time.push_tool_text(&mut self.buffer),
            (None, Dialect::Server) => time.push_server_text(&mut self.buffer),
        }
        self
    }
}

/// For serde; writing does not fail.
impl io::Write for Text {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    proptest! {
        #[test]
        fn numbers_print_as_core_fmt_prints_them(number: u64, width in 0usize..30) {
            let mut text = Text::default();
            text.hex_upper(number, width).str(" ").hex_lower(number, width).str(" ");
            text.int(number).str(" ").int_padded(number, width);
            let mut expected = Text::default();
            write!(expected, "{number:0width$X} {number:0width$x} {number} {number:width$}")?;
            prop_assert_eq!(text.as_bytes(), expected.as_bytes());
        }

        #[test]
        fn numbers_of_every_length_and_sign_do(number: i64, shift in 0u32..64) {
            let number = number >> shift;
            let mut text = Text::default();
            text.int(number).str(" ").int(number as u32).str(" ").int(number as i16).str(" ");
            text.int(number as u64).str(" ").int(number as u8).str(" ").hex_upper(number as u64, 1);
            let mut expected = Text::default();
            write!(
                expected,
                "{number} {} {} {} {} {:X}",
                number as u32, number as i16, number as u64, number as u8, number,
            )?;
            prop_assert_eq!(text.as_bytes(), expected.as_bytes());
        }
    }
}
