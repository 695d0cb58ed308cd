//! SQL values on their way to the server.

use std::ffi::{CStr, c_char};

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::{self, Datum};

use crate::error::SqlError;

/// A value of a result. Each is of the SQL type that its name says; a text is in the database's encoding already, or is
/// made so (see [`Value::datum`]).
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(
    dead_code,
    reason = "the types that the families of functions need, some of them still to come"
)]
pub(crate) enum Value<'a> {
    /// SQL's NULL, of any type.
    Null,
    /// `boolean`
    Bool(bool),
    /// `smallint`
    Int2(i16),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int8(i64),
    /// `double precision`
    Float8(f64),
    /// `oid`
    Oid(u32),
    /// `xid`
    Xid(u32),
    /// `xid8`
    Xid8(u64),
    /// `xid[]`
    Xids(&'a [base::Xid]),
    /// `tid`
    Tid(base::Tid),
    /// `pg_lsn`
    Lsn(base::Lsn),
    /// `timestamp with time zone`, in microseconds since 2000-01-01 UTC.
    TimestampTz(i64),
    /// `interval`, in microseconds.
    Interval(i64),
    /// `text`
    Text(&'a [u8]),
    /// `bytea`
    Bytes(&'a [u8]),
    /// `text[]`
    Texts(&'a [&'a str]),
    /// `regclass[]`
    Regclasses(&'a [u32]),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(text.as_bytes())
    }
}

impl Value<'_> {
    /// The value as the server takes it, and whether it is NULL. A text or bytea is copied into the current memory
    /// context; bytes of a text that are none of the database's encoding are shown as `\xNN`, for they come out of the
    /// log unchecked, and would not be let in by any other way.
    pub(crate) fn datum(self) -> (Datum, bool) {
        let datum = match self {
            Value::Null => return (Datum::from(0usize), true),
            Value::Bool(value) => Datum::from(value),
            Value::Int2(value) => Datum::from(value),
            Value::Int4(value) => Datum::from(value),
            Value::Int8(value) => Datum::from(value),
            Value::Float8(value) => Datum::from(value.to_bits()),
            Value::Oid(value) | Value::Xid(value) => Datum::from(value),
            Value::Xid8(value) => Datum::from(value),
            Value::Xids(xids) => {
                let elements = xids.iter().map(|xid| Datum::from(xid.0)).collect();
                array(elements, (pg_sys::XIDOID, 4, true))
            }
            Value::Tid(tid) => tid_datum(tid),
            Value::Lsn(value) => Datum::from(value.0),
            Value::TimestampTz(value) => Datum::from(value),
            Value::Interval(micros) => interval(micros),
            Value::Text(bytes) => with_valid_text(bytes, variable_length),
            Value::Bytes(bytes) => variable_length(bytes),
            Value::Texts(texts) => {
                let elements = texts.iter().map(|text| Value::from(*text).datum().0).collect();
                array(elements, (pg_sys::TEXTOID, -1, false))
            }
            Value::Regclasses(relations) => {
                let elements = relations.iter().copied().map(Datum::from).collect();
                array(elements, (pg_sys::REGCLASSOID, 4, true))
            }
        };
        (datum, false)
    }
}

/// Hands the bytes on as a text that is valid in the database's encoding; see [`Value::datum`].
#[inline]
pub(crate) fn with_valid_text<T>(bytes: &[u8], take: impl FnOnce(&[u8]) -> T) -> T {
    if is_valid_text(bytes) { take(bytes) } else { take(&escaped(bytes)) }
}

/// The error of a value that is longer than the server's values can be.
pub(crate) fn too_long(length: usize) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        format!("a value of {length} bytes is too long"),
    )
    .detail("No value of PostgreSQL is longer than 1 GB.")
}

/// Arrays of the names of the bits that are set in a byte, each made once.
#[derive(Debug)]
pub(crate) struct FlagNames {
    context: pg_sys::MemoryContext,
    names: &'static [(u8, &'static CStr)],
    arrays: Vec<Option<Datum>>,
}

impl FlagNames {
    /// The arrays live in `context`. A bit without a name is passed over.
    pub(crate) fn new(
        context: pg_sys::MemoryContext,
        names: &'static [(u8, &'static CStr)],
    ) -> FlagNames {
        FlagNames { context, names, arrays: vec![None; 256] }
    }

    /// The `text[]` of a byte, its elements in the order of the names.
    #[expect(unsafe_code)]
    pub(crate) fn array(&mut self, bits: u8) -> Datum {
        if let Some(array) = self.arrays[usize::from(bits)] {
            return array;
        }
        // SAFETY: the context is the caller's, and current only here; the elements are texts, as their type says.
        let array = unsafe {
            let outer = pg_sys::MemoryContextSwitchTo(self.context);
            let set = self.names.iter().filter(|(bit, _)| bits & bit != 0);
            let mut elements: Vec<Datum> =
                set.map(|(_, name)| variable_length(name.to_bytes())).collect();
            let array = pg_sys::construct_array(
                elements.as_mut_ptr(),
                elements.len() as i32,
                pg_sys::TEXTOID,
                -1,
                false,
                b'i' as c_char,
            );
            pg_sys::MemoryContextSwitchTo(outer);
            Datum::from(array)
        };
        self.arrays[usize::from(bits)] = Some(array);
        array
    }
}

/// A `text` or `bytea` of these bytes, in the current memory context.
#[expect(unsafe_code)]
fn variable_length(bytes: &[u8]) -> Datum {
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX); // which the server refuses as too much
    // SAFETY: the pointer and length are those of a slice, which the server copies.
    Datum::from(unsafe {
        pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast::<c_char>(), length)
    })
}

/// An array without NULLs, in the current memory context. Of the elements' type: its oid, its length in bytes (-1 if it
/// varies), and whether it is passed by value; its alignment must be four bytes.
#[expect(unsafe_code)]
fn array(mut elements: Vec<Datum>, (oid, length, by_value): (pg_sys::Oid, i32, bool)) -> Datum {
    let count = i32::try_from(elements.len()).unwrap_or(i32::MAX); // which the server refuses as too much
    // SAFETY: the pointer and count are those of a vector, whose elements are of the type that is named; the server
    // copies them.
    let array = unsafe {
        pg_sys::construct_array(
            elements.as_mut_ptr(),
            count,
            oid,
            length,
            by_value,
            pg_sys::TYPALIGN_INT as c_char,
        )
    };
    Datum::from(array)
}

/// A `tid`, in the current memory context.
#[expect(unsafe_code)]
fn tid_datum(tid: base::Tid) -> Datum {
    let copy = pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData {
            bi_hi: (tid.block >> 16) as u16,
            bi_lo: (tid.block & 0xFFFF) as u16,
        },
        ip_posid: tid.offset,
    };
    // SAFETY: palloc gives room for one, or does not return.
    unsafe {
        let place = pg_sys::palloc(size_of::<pg_sys::ItemPointerData>());
        place.cast::<pg_sys::ItemPointerData>().write(copy);
        Datum::from(place)
    }
}

/// An `interval` of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) months: i32,
    pub(crate) days: i32,
    pub(crate) micros: i64,
}

/// An `interval` that the server gave.
#[expect(unsafe_code)]
pub(crate) fn interval_of(datum: Datum) -> Interval {
    // SAFETY: the datum points to an interval, as the function's SQL signature says.
    let interval = unsafe { *datum.cast_mut_ptr::<pg_sys::Interval>() };
    Interval { months: interval.month, days: interval.day, micros: interval.time }
}

/// An `interval` in the current memory context.
#[expect(unsafe_code)]
fn interval(micros: i64) -> Datum {
    // SAFETY: the server gives memory of this size, or an error.
    unsafe {
        let interval = pg_sys::palloc(size_of::<pg_sys::Interval>()).cast::<pg_sys::Interval>();
        interval.write(pg_sys::Interval { time: micros, day: 0, month: 0 });
        Datum::from(interval)
    }
}

/// A `text` that the server gave. Bytes that are not UTF-8 (in a database of another encoding) come as U+FFFD.
#[expect(unsafe_code)]
pub(crate) fn text_of(datum: Datum) -> String {
    // SAFETY: the datum is a text, as the function's SQL signature says; text_to_cstring gives a copy that ends in a
    // zero, in the current memory context.
    unsafe {
        let copy = pg_sys::text_to_cstring(datum.cast_mut_ptr());
        let text = CStr::from_ptr(copy).to_string_lossy().into_owned();
        pg_sys::pfree(copy.cast());
        text
    }
}

/// The bytes of a `text` or `json` that the server gave.
///
/// # Safety
/// It is one.
#[expect(unsafe_code)]
pub(super) unsafe fn bytes_of(datum: Datum) -> Vec<u8> {
    // SAFETY: as the caller's; text_to_cstring gives a copy that ends in a zero.
    unsafe {
        let copy = pg_sys::text_to_cstring(datum.cast_mut_ptr());
        let bytes = CStr::from_ptr(copy).to_bytes().to_vec();
        pg_sys::pfree(copy.cast());
        bytes
    }
}

#[expect(unsafe_code)]
fn is_valid_text(bytes: &[u8]) -> bool {
    if bytes.is_ascii() {
        return !bytes.contains(&0);
    }
    let Ok(length) = i32::try_from(bytes.len()) else { return false };
    // SAFETY: the pointer and length are those of a slice, which is only read.
    unsafe { pg_sys::pg_verifymbstr(bytes.as_ptr().cast::<c_char>(), length, true) }
}

/// What is printable ASCII as it is, everything else as `\xNN`.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 16);
    for byte in bytes {
        match byte {
            b' '..=b'~' => text.push(*byte),
            _ => text.extend_from_slice(format!("\\x{byte:02X}").as_bytes()),
        }
    }
    text
}
