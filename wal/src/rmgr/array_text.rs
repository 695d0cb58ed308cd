//! Arrays in descriptions, as 16 and later print them: ` [1, 2, 3]`, a space before the bracket.
//!
//! Source: `array_desc` of `rmgrdesc_utils.c`.

use super::Array;
use crate::text::Text;

/// Appends an array whose items `push` appends.
#[inline]
pub(super) fn push_array<T>(
    items: impl Iterator<Item = T>,
    out: &mut Text,
    mut push: impl FnMut(T, &mut Text),
) {
    let mut before = " [";
    let mut empty = true;
    for item in items {
        out.str(before);
        push(item, out);
        before = ", ";
        empty = false;
    }
    out.str(if empty { " []" } else { "]" });
}

/// Appends an array of offset numbers.
#[inline]
pub(super) fn push_offsets(offsets: Array<'_, u16>, out: &mut Text) {
    push_array(offsets.iter(), out, |offset, out| {
        out.int(offset);
    });
}
