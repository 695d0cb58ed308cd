//! Values that columns are compared with, from the server's form into ours.
#![expect(unsafe_code, reason = "the server's values are untyped")]

use pgrx::pg_sys::{self, Datum};

use super::condition::Comparand;

/// How values of an SQL type are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// By value, with a sign; so many bits.
    Signed(u32),
    /// By value, without a sign; so many bits.
    Unsigned(u32),
    /// A text.
    Text,
    /// An array of 2-, 4- or 8-byte numbers, of this type.
    Numbers(u32),
    /// An array of texts.
    Texts,
}

impl Reading {
    /// Of the type with this object id; `None` if columns are not compared with it.
    pub(crate) fn of(sql_type: u32) -> Option<Reading> {
        Some(match sql_type {
            21 => Reading::Signed(16),
            23 => Reading::Signed(32),
            20 => Reading::Signed(64),
            26 | 28 => Reading::Unsigned(32), // oid, xid
            3220 => Reading::Unsigned(64),    // pg_lsn
            25 => Reading::Text,
            1005 => Reading::Numbers(21),
            1007 => Reading::Numbers(23),
            1016 => Reading::Numbers(20),
            1028 => Reading::Numbers(26),
            1011 => Reading::Numbers(28),
            3221 => Reading::Numbers(3220),
            1009 => Reading::Texts,
            _ => return None,
        })
    }

    /// Whether it is of an array.
    pub(crate) fn is_array(self) -> bool {
        matches!(self, Reading::Numbers(_) | Reading::Texts)
    }

    fn number(self, datum: Datum) -> i128 {
        let bits = datum.value() as u64;
        match self {
            Reading::Signed(16) => i128::from(bits as i16),
            Reading::Signed(32) => i128::from(bits as i32),
            Reading::Signed(_) => i128::from(bits as i64),
            Reading::Unsigned(32) => i128::from(bits as u32),
            _ => i128::from(bits),
        }
    }

    /// Reads a value.
    ///
    /// # Safety
    /// The datum must be of the type that this is the reading of.
    pub(crate) unsafe fn read(self, datum: Datum) -> Comparand {
        // SAFETY: as the caller says; the element types are those of the arrays.
        unsafe {
            match self {
                Reading::Signed(_) | Reading::Unsigned(_) => Comparand::Number(self.number(datum)),
                Reading::Text => Comparand::Text(text(datum)),
                Reading::Numbers(element) => {
                    let reading = Reading::of(element).expect("a number's type");
                    let width = if matches!(element, 20 | 3220) {
                        8
                    } else if element == 21 {
                        2
                    } else {
                        4
                    };
                    let align = match width {
                        8 => b'd',
                        4 => b'i',
                        _ => b's',
                    };
                    let elements = elements(datum, element, width, true, align);
                    Comparand::Numbers(elements.into_iter().map(|e| reading.number(e)).collect())
                }
                Reading::Texts => {
                    let elements = elements(datum, 25, -1, false, b'i');
                    Comparand::Texts(elements.into_iter().map(|e| text(e)).collect())
                }
            }
        }
    }
}

unsafe fn text(datum: Datum) -> Vec<u8> {
    // SAFETY: the datum is a text; the copy ends in a zero, and is freed with the memory context.
    unsafe {
        let copy = pg_sys::text_to_cstring(datum.cast_mut_ptr());
        std::ffi::CStr::from_ptr(copy).to_bytes().to_vec()
    }
}

/// The elements of an array that are not NULL.
unsafe fn elements(
    datum: Datum,
    element: u32,
    width: i32,
    by_value: bool,
    align: u8,
) -> Vec<Datum> {
    let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
    // SAFETY: the datum is an array of this element type; the server allocates `count` values and nulls.
    unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
        pg_sys::deconstruct_array(
            array,
            pg_sys::Oid::from(element),
            width,
            by_value,
            align as std::ffi::c_char,
            &raw mut values,
            &raw mut nulls,
            &raw mut count,
        );
        let count = usize::try_from(count).unwrap_or(0);
        (0..count).filter(|i| !*nulls.add(*i)).map(|i| *values.add(i)).collect()
    }
}
