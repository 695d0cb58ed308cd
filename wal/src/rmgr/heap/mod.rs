//! Resource manager 10, Heap: tuples of tables put in, changed, locked and deleted one at a time.
//!
//! Block 0 is the page that the record is about (of an update, the new tuple's), block 1 an update's old
//! page if that is another one. From 17.11 and 18.6 on, records that clear bits of the visibility map
//! refer to its page too: block 1 in general, blocks 2 and 3 of an update (for the new and the old page).
//!
//! Source: `access/heapam_xlog.h`. Invariants: the operation is in three bits of the info byte, the fourth
//! says that the page is made anew; a tuple in block data is there only if its page's image is not, or if
//! logical decoding needs it.

mod describe;
mod encode;
mod flags;
mod tuple;

use base::Xid;
use base::ids::{OffsetNumber, Oid};
use serde::Serialize;

pub use flags::{DeleteFlags, InfoBits, InsertFlags, LockFlags, TruncateFlags, UpdateFlags};
pub use tuple::{MultiInsertTuples, Tuple, TupleHeader};

use super::invalidation::Invalidations;
use super::{Array, Cursor, Payload, PayloadError};
use crate::record::Record;
use crate::version::Version;

const INSERT: u8 = 0x00;
const DELETE: u8 = 0x10;
const UPDATE: u8 = 0x20;
const TRUNCATE: u8 = 0x30;
const HOT_UPDATE: u8 = 0x40;
const CONFIRM: u8 = 0x50;
const LOCK: u8 = 0x60;
const INPLACE: u8 = 0x70;
/// The operation's bits, of Heap2 also.
pub(super) const OPERATION: u8 = 0x70;
/// The page is made anew by redo, for what comes first on it; of Heap2's multi-insert also.
pub(super) const INIT_PAGE: u8 = 0x80;

/// The payload of a Heap record.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub enum Heap<'a> {
    /// A tuple is put in.
    Insert(Insert<'a>),
    /// A tuple is deleted.
    Delete(Delete<'a>),
    /// A tuple is replaced by a new version.
    Update(Update<'a>),
    /// Tables are truncated; for logical decoding alone.
    Truncate(Truncate<'a>),
    /// A speculative insertion is confirmed.
    Confirm(Confirm),
    /// A tuple is locked.
    Lock(Lock),
    /// A catalog's tuple is overwritten where it is.
    Inplace(Inplace<'a>),
}

/// `xl_heap_insert`, 3 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Insert<'a> {
    /// The new tuple's line pointer.
    pub offset: OffsetNumber,
    /// What else happened.
    pub flags: InsertFlags,
    /// The new tuple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuple: Option<Tuple<'a>>,
}

/// `xl_heap_delete`, 8 bytes, and the old tuple behind it
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Delete<'a> {
    /// The tuple's new xmax, perhaps a multixact.
    pub xmax: Xid,
    /// The tuple's line pointer.
    pub offset: OffsetNumber,
    /// What its infomasks become.
    pub info_bits: InfoBits,
    /// What else happened.
    pub flags: DeleteFlags,
    /// The old tuple, or its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_tuple: Option<Tuple<'a>>,
}

/// `xl_heap_update`, 14 bytes, and the old tuple behind it; in block 0, the new one
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Update<'a> {
    /// The old tuple's new xmax, perhaps a multixact.
    pub old_xmax: Xid,
    /// The old tuple's line pointer.
    pub old_offset: OffsetNumber,
    /// What the old tuple's infomasks become.
    pub old_info_bits: InfoBits,
    /// What else happened.
    pub flags: UpdateFlags,
    /// The new tuple's xmax: that of lockers which the old one had.
    pub new_xmax: Xid,
    /// The new tuple's line pointer.
    pub new_offset: OffsetNumber,
    /// The new tuple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_tuple: Option<NewTuple<'a>>,
    /// The old tuple, or its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_tuple: Option<Tuple<'a>>,
}

/// An update's new tuple, which may lack what it shares with the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NewTuple<'a> {
    /// Bytes that it has in common with the old tuple at the columns' beginning; not in the record.
    pub prefix_length: u16,
    /// The same at the end.
    pub suffix_length: u16,
    /// The rest.
    #[serde(flatten)]
    pub tuple: Tuple<'a>,
}

/// `xl_heap_truncate`, 12 bytes and the oids
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Truncate<'a> {
    /// The tables' database.
    pub database: Oid,
    /// How.
    pub flags: TruncateFlags,
    /// The tables, then the sequences that start anew.
    pub relations: Array<'a, Oid>,
}

/// `xl_heap_confirm`, 2 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Confirm {
    /// The tuple's line pointer.
    pub offset: OffsetNumber,
}

/// `xl_heap_lock` and Heap2's `xl_heap_lock_updated`, 8 bytes
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// The tuple's new xmax, perhaps a multixact.
    pub xmax: Xid,
    /// The tuple's line pointer.
    pub offset: OffsetNumber,
    /// What its infomasks become.
    pub info_bits: InfoBits,
    /// What else happened.
    pub flags: LockFlags,
}

/// `xl_heap_inplace`: 2 bytes; from 18 on 20, and messages
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Inplace<'a> {
    /// The tuple's line pointer.
    pub offset: OffsetNumber,
    /// What other backends must forget; before 18, the transaction's commit said so.
    #[serde(flatten)]
    pub invalidations: Option<Invalidations<'a>>,
    /// The tuple's columns, as many bytes as before.
    #[serde(skip)]
    pub columns: Option<&'a [u8]>,
}

pub(super) fn identify(_: Version, info: u8) -> Option<&'static str> {
    const INSERT_INIT: u8 = INSERT | INIT_PAGE;
    const UPDATE_INIT: u8 = UPDATE | INIT_PAGE;
    const HOT_UPDATE_INIT: u8 = HOT_UPDATE | INIT_PAGE;
    Some(match info & 0xF0 {
        INSERT => "INSERT",
        INSERT_INIT => "INSERT+INIT",
        DELETE => "DELETE",
        UPDATE => "UPDATE",
        UPDATE_INIT => "UPDATE+INIT",
        HOT_UPDATE => "HOT_UPDATE",
        HOT_UPDATE_INIT => "HOT_UPDATE+INIT",
        TRUNCATE => "TRUNCATE",
        CONFIRM => "HEAP_CONFIRM",
        LOCK => "LOCK",
        INPLACE => "INPLACE",
        _ => return None,
    })
}

#[inline]
pub(super) fn decode<'a>(record: &Record<'a>) -> Result<Payload<'a>, PayloadError> {
    let main = record.main_data();
    Ok(Payload::Heap(match record.info() & OPERATION {
        INSERT => Heap::Insert(insert(record)?),
        DELETE => Heap::Delete(delete(main)?),
        UPDATE | HOT_UPDATE => Heap::Update(update(record)?),
        TRUNCATE => Heap::Truncate(truncate(main)?),
        CONFIRM => Heap::Confirm(Confirm { offset: Cursor::new("xl_heap_confirm", main).u16()? }),
        LOCK => Heap::Lock(lock(Cursor::new("xl_heap_lock", main))?),
        INPLACE => Heap::Inplace(inplace(record)?),
        _ => return Ok(Payload::Unknown),
    }))
}

/// The data of block `id`; `None` if the record has none for it.
#[inline]
pub(super) fn block_data<'a>(record: &Record<'a>, id: u8) -> Option<&'a [u8]> {
    let block = record.block(id)?;
    (block.data_length != 0).then(|| record.block_data(block))
}

#[inline]
fn insert<'a>(record: &Record<'a>) -> Result<Insert<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_insert", record.main_data());
    let (offset, flags) = (cursor.u16()?, InsertFlags::from_bits_retain(cursor.u8()?));
    let tuple = block_data(record, 0)
        .map(|data| Tuple::read(&mut Cursor::new("xl_heap_header", data)))
        .transpose()?;
    Ok(Insert { offset, flags, tuple })
}

fn delete(main: &[u8]) -> Result<Delete<'_>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_delete", main);
    let mut delete = Delete {
        xmax: cursor.xid()?,
        offset: cursor.u16()?,
        info_bits: InfoBits::from_bits_retain(cursor.u8()?),
        flags: DeleteFlags::from_bits_retain(cursor.u8()?),
        old_tuple: None,
    };
    if delete.flags.intersects(DeleteFlags::CONTAINS_OLD) {
        delete.old_tuple = Some(Tuple::read(&mut cursor)?);
    }
    Ok(delete)
}

#[inline]
fn update<'a>(record: &Record<'a>) -> Result<Update<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_update", record.main_data());
    let mut update = Update {
        old_xmax: cursor.xid()?,
        old_offset: cursor.u16()?,
        old_info_bits: InfoBits::from_bits_retain(cursor.u8()?),
        flags: UpdateFlags::from_bits_retain(cursor.u8()?),
        new_xmax: cursor.xid()?,
        new_offset: cursor.u16()?,
        new_tuple: None,
        old_tuple: None,
    };
    if update.flags.intersects(UpdateFlags::CONTAINS_OLD) {
        update.old_tuple = Some(Tuple::read(&mut cursor)?);
    }
    if let Some(data) = block_data(record, 0) {
        update.new_tuple = Some(new_tuple(data, update.flags)?);
    }
    Ok(update)
}

#[inline]
fn new_tuple(data: &[u8], flags: UpdateFlags) -> Result<NewTuple<'_>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_header", data);
    let mut length = |flag| if flags.contains(flag) { cursor.u16() } else { Ok(0) };
    let prefix_length = length(UpdateFlags::PREFIX_FROM_OLD)?;
    let suffix_length = length(UpdateFlags::SUFFIX_FROM_OLD)?;
    Ok(NewTuple { prefix_length, suffix_length, tuple: Tuple::read(&mut cursor)? })
}

fn truncate(main: &[u8]) -> Result<Truncate<'_>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_truncate", main);
    let (database, count) = (cursor.u32()?, cursor.u32()?);
    let flags = TruncateFlags::from_bits_retain(cursor.u8()?);
    cursor.align(4)?;
    Ok(Truncate { database, flags, relations: cursor.array(count as usize)? })
}

/// Also Heap2's lock of an updated tuple, which looks the same.
pub(super) fn lock(mut cursor: Cursor<'_>) -> Result<Lock, PayloadError> {
    Ok(Lock {
        xmax: cursor.xid()?,
        offset: cursor.u16()?,
        info_bits: InfoBits::from_bits_retain(cursor.u8()?),
        flags: LockFlags::from_bits_retain(cursor.u8()?),
    })
}

fn inplace<'a>(record: &Record<'a>) -> Result<Inplace<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_heap_inplace", record.main_data());
    let offset = cursor.u16()?;
    let invalidations = if record.version() >= Version::V18 {
        cursor.align(4)?;
        let (database, tablespace) = (cursor.u32()?, cursor.u32()?);
        let relcache_init_file = cursor.bool()?;
        cursor.align(4)?;
        // A negative count is none, as PostgreSQL takes it.
        let count = usize::try_from(cursor.i32()?).unwrap_or(0);
        let messages = cursor.array(count)?;
        Some(Invalidations { database, tablespace, relcache_init_file, messages })
    } else {
        None
    };
    Ok(Inplace { offset, invalidations, columns: block_data(record, 0) })
}
