//! The standard library's `UnsafeCell` behind the interface of loom's.
//!
//! Invariant: a pointer handed out is valid for the call alone; who may use it when is the business of
//! the protocol that the cell belongs to, told where that protocol is told.

/// A payload that a lock-free protocol hands from one thread to another.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell with this payload.
    #[inline]
    pub const fn new(payload: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(payload))
    }

    /// Hands a pointer to read through to `read`.
    #[inline]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Hands a pointer to write through to `write`.
    #[inline]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
