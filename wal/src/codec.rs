//! Reading and writing the fields of a struct at fixed offsets, by one list of fields for both ways.
//!
//! A `#[repr(C)]` struct of the C struct's types tells the offsets ([`fields!`]), so
//! that the compiler places padding as C does; constant assertions beside each layout pin them to
//! PostgreSQL's. Integers are little-endian. Invariant: a struct's length is known before its fields are
//! touched, so no field is out of bounds.

use base::{FullXid, Lsn, UnixTime, Xid};

use crate::segment::Timeline;

/// A value with a fixed form on disk.
pub(crate) trait Field: Copy {
    /// From the bytes that `bytes` begins with.
    fn read(bytes: &[u8]) -> Self;
    /// Into the first bytes of `bytes`.
    fn write(self, bytes: &mut [u8]);
}

/// Takes a struct's fields one by one, with their offsets.
pub(crate) trait Codec {
    /// One field at offset `at`.
    fn field<F: Field>(&mut self, at: usize, field: &mut F);
}

/// Fills the fields from bytes.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

/// Puts the fields into bytes.
pub(crate) struct Writer<'a>(pub(crate) &'a mut [u8]);

impl Codec for Reader<'_> {
    fn field<F: Field>(&mut self, at: usize, field: &mut F) {
        *field = F::read(&self.0[at..]);
    }
}

impl Codec for Writer<'_> {
    fn field<F: Field>(&mut self, at: usize, field: &mut F) {
        field.write(&mut self.0[at..]);
    }
}

/// Gives a codec the named fields of a struct; `$layout` has fields of the same names.
macro_rules! fields {
    ($codec:ident, $data:ident, $layout:ty: $($field:ident),* $(,)?) => {
        $($codec.field(std::mem::offset_of!($layout, $field), &mut $data.$field);)*
    };
}
pub(crate) use fields;

impl<const N: usize> Field for [u8; N] {
    fn read(bytes: &[u8]) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&bytes[..N]);
        field
    }

    fn write(self, bytes: &mut [u8]) {
        bytes[..N].copy_from_slice(&self);
    }
}

/// Any byte but 0 is true.
impl Field for bool {
    fn read(bytes: &[u8]) -> bool {
        bytes[0] != 0
    }

    fn write(self, bytes: &mut [u8]) {
        bytes[0] = u8::from(self);
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(bytes: &[u8]) -> $type {
                <$type>::from_le_bytes(Field::read(bytes))
            }

            fn write(self, bytes: &mut [u8]) {
                self.to_le_bytes().write(bytes);
            }
        }
    )*};
}
number!(u32, i32, u64, i64, f64);

macro_rules! newtype {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn read(bytes: &[u8]) -> $type {
                $type(Field::read(bytes))
            }

            fn write(self, bytes: &mut [u8]) {
                self.0.write(bytes);
            }
        }
    )*};
}
newtype!(Lsn, Xid, FullXid, Timeline, UnixTime);
