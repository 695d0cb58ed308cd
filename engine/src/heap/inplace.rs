//! A tuple's values overwritten where they are, by none of its transactions: `heap_inplace_update`.
//!
//! Source: `heapam.c` of PostgreSQL 15. Invariants: as many bytes as there were, and the header stays: whoever sees the
//! tuple sees the new values at once, and a transaction that rolls back does not take them back.

use base::{OffsetNumber, PageMut};
use wal::rmgr::heap::Inplace;

use super::change::{self, Change, HeapError, RM_HEAP};

/// `XLOG_HEAP_INPLACE`
const INPLACE: u8 = 0x70;

/// Overwrites what follows the tuple's header. Logged as `INPLACE`.
///
/// # Errors
/// Where there is no tuple, or its values have another length.
pub fn overwrite(
    page: &mut PageMut<'_>,
    offset: OffsetNumber,
    values: &[u8],
    change: &mut Change,
) -> Result<(), HeapError> {
    let tuple = page.item_mut(offset).ok_or(HeapError::NoTuple { offset })?;
    let start = usize::from(change::header(tuple, offset)?.hoff);
    match tuple.get_mut(start..) {
        Some(there) if there.len() == values.len() => there.copy_from_slice(values),
        _ => return Err(HeapError::LinePointer { offset }),
    }
    change.begin(RM_HEAP, INPLACE, false);
    let payload = Inplace { offset, invalidations: None, columns: Some(values) };
    payload.encode(&mut change.main, &mut change.block_data);
    Ok(())
}
