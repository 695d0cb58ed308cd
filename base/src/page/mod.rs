//! A data page: its header, its line pointers, the items behind them.
//!
//! ```text
//! byte 0        24                      lower         upper          special       8192
//!      | header | line pointers, 4 each | free space  | items        | special     |
//!                 1, 2, 3, ... ──────►                 ◄────── newest first
//! ```
//!
//! Three types say how much is known of 8192 bytes:
//!
//! | type | known | what it offers |
//! |---|---|---|
//! | [`RawPage`] | nothing | the header as it lies there, checks, items that may be nonsense |
//! | [`Page`] | header and line pointers fit each other | items |
//! | [`PageMut`] | the same, and it stays so | adding, compacting, changing the header |
//!
//! Invariants: nothing of a [`RawPage`] is believed, and none of its methods can panic. Of a [`Page`] every
//! line pointer with storage points between `upper` and `special`, at a multiple of 8, and no two
//! of their items overlap; no method of [`PageMut`] can break that.
//!
//! This is the layout of heap and of index pages that hold items. Pages that keep something else between
//! header and `lower` (meta pages, compressed posting lists) pass [`RawPage::verify`] and have no [`Page`].
//! Source: `storage/bufpage.h`, `storage/itemid.h`, `bufpage.c`.

mod add;
mod compact;
mod header;
mod index_items;
mod line_pointer;
#[cfg(test)]
mod tests;
mod verify;
mod view;

pub use add::{AddError, Placement};
pub use header::{PAGE_HEADER_SIZE, PageFlags, PageHeader};
pub use line_pointer::{LINE_POINTER_SIZE, LinePointer, LinePointerState};
pub use verify::{PageError, Verified};
pub use view::{Page, PageMut, RawPage, line_pointer_at};

use crate::tuple::TUPLE_HEADER_SIZE;
use crate::{OffsetNumber, PAGE_SIZE, max_align};

/// The bytes of one page.
pub type PageBytes = [u8; PAGE_SIZE];

/// The most line pointers that a heap page may have (`MaxHeapTuplesPerPage`).
pub const MAX_HEAP_TUPLES_PER_PAGE: OffsetNumber = ((PAGE_SIZE - PAGE_HEADER_SIZE)
    / (max_align(TUPLE_HEADER_SIZE as u64) as usize + LINE_POINTER_SIZE))
    as OffsetNumber;

/// The longest heap tuple (`MaxHeapTupleSize`), in bytes, header included.
pub const MAX_HEAP_TUPLE_SIZE: usize =
    PAGE_SIZE - max_align((PAGE_HEADER_SIZE + LINE_POINTER_SIZE) as u64) as usize;

const _: () = {
    assert!(MAX_HEAP_TUPLES_PER_PAGE == 291);
    assert!(MAX_HEAP_TUPLE_SIZE == 8160);
};
