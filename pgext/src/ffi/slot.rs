//! The slot in which a foreign scan hands its rows to the executor.
#![expect(unsafe_code, reason = "the slot is the executor's, with arrays behind pointers")]

use pgrx::pg_sys::{self, Datum};

/// A scan's slot. Columns that are never set are NULL.
///
/// It is filled in place: what `ExecStoreVirtualTuple` does is two assignments, and a call of the server through pgrx costs
/// more than the rest of a row.
#[derive(Debug)]
pub(crate) struct Slot {
    slot: *mut pg_sys::TupleTableSlot,
}

impl Slot {
    /// # Safety
    /// `slot` must be the empty slot of a foreign scan that is being begun, and live as long as the scan.
    pub(crate) unsafe fn new(slot: *mut pg_sys::TupleTableSlot) -> Slot {
        let mut slot = Slot { slot };
        slot.set_all_null();
        slot
    }

    fn set_all_null(&mut self) {
        // SAFETY: the arrays are as long as the descriptor says.
        unsafe {
            let columns = usize::try_from((*(*self.slot).tts_tupleDescriptor).natts).unwrap_or(0);
            for column in 0..columns {
                (*self.slot).tts_values.add(column).write(Datum::from(0usize));
                (*self.slot).tts_isnull.add(column).write(true);
            }
        }
    }

    /// Begins the next row. What the values of the one before point to is not used any more.
    #[inline]
    pub(crate) fn begin(&mut self) {
        // SAFETY: the slot is valid. Where the executor has made a tuple of the row before, that is freed as
        // ExecClearTuple does it.
        unsafe {
            if u32::from((*self.slot).tts_flags) & pg_sys::TTS_FLAG_SHOULDFREE != 0 {
                self.clear();
                self.set_all_null();
            }
        }
    }

    /// Sets a column, from 0, of the row that was begun. What a pointer points to must live until the next row.
    #[inline]
    pub(crate) fn set(&mut self, column: usize, value: Option<Datum>) {
        // SAFETY: the arrays are as long as the descriptor says, which is checked.
        unsafe {
            assert!(column < (*(*self.slot).tts_tupleDescriptor).natts as usize);
            (*self.slot).tts_isnull.add(column).write(value.is_none());
            if let Some(value) = value {
                (*self.slot).tts_values.add(column).write(value);
            }
        }
    }

    /// Ends the row; what the executor gets.
    #[inline]
    pub(crate) fn store(&mut self) -> *mut pg_sys::TupleTableSlot {
        // SAFETY: the slot is valid, and holds a value or NULL for each column.
        unsafe {
            (*self.slot).tts_flags &= !(pg_sys::TTS_FLAG_EMPTY as u16);
            (*self.slot).tts_nvalid = (*(*self.slot).tts_tupleDescriptor).natts as i16;
        }
        self.slot
    }

    /// Empties it, as `ExecClearTuple`; what the executor gets behind the last row.
    pub(crate) fn clear(&mut self) -> *mut pg_sys::TupleTableSlot {
        let slot = self.slot;
        // SAFETY: the slot's own function, called as the executor calls it.
        unsafe {
            let clear = (*(*slot).tts_ops).clear.expect("a slot has this function");
            pg_sys::ffi::pg_guard_ffi_boundary(|| clear(slot));
        }
        slot
    }
}
