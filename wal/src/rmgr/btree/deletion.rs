//! Entries removed from a leaf, and posting lists that lose some of their tuples.
//!
//! ```text
//! block 0's data, unless the page's image is there
//!   deleted offsets                 2 each
//!   updated offsets                 2 each
//!   updates, one for each of those  count 2, then as many places in the posting list, 2 each, from 0
//! ```
//!
//! Source: `xl_btree_vacuum`, `xl_btree_delete`, `xl_btree_update` of `access/nbtxlog.h`. Invariant:
//! [`PostingUpdates`] has been walked once, so that its iteration ends where its bytes do.

use base::Xid;
use base::ids::OffsetNumber;
use serde::{Serialize, Serializer};

use crate::record::Record;
use crate::rmgr::heap::block_data;
use crate::rmgr::{Array, Cursor, PayloadError};
use crate::version::Version;

/// `xl_btree_vacuum`, 4 bytes
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Vacuum<'a> {
    /// How many entries are removed.
    pub deleted_count: u16,
    /// How many posting lists are shortened.
    pub updated_count: u16,
    /// Which.
    #[serde(flatten)]
    pub items: Option<DeletedItems<'a>>,
}

/// `xl_btree_delete`: 8 bytes in 15, 9 since 16
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Delete<'a> {
    /// Standbys cancel queries to whose snapshots this transaction still runs. 15 calls it
    /// `latestRemovedXid`.
    pub snapshot_conflict_horizon: Xid,
    /// How many entries are removed.
    pub deleted_count: u16,
    /// How many posting lists are shortened.
    pub updated_count: u16,
    /// Whether logical decoding uses the table as a catalog; since 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_catalog_relation: Option<bool>,
    /// Which.
    #[serde(flatten)]
    pub items: Option<DeletedItems<'a>>,
}

/// Which entries are removed or shortened.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DeletedItems<'a> {
    /// Line pointers of those removed.
    pub deleted: Array<'a, OffsetNumber>,
    /// Those shortened.
    pub updated: PostingUpdates<'a>,
}

/// Posting lists that lose tuples.
#[derive(Debug, Clone, Copy)]
pub struct PostingUpdates<'a> {
    offsets: Array<'a, OffsetNumber>,
    updates: &'a [u8],
}

/// A posting list that loses tuples.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PostingUpdate<'a> {
    /// Its line pointer.
    pub offset: OffsetNumber,
    /// Which of its tuples, from 0.
    pub deleted_tids: Array<'a, u16>,
}

impl<'a> PostingUpdates<'a> {
    fn read(
        offsets: Array<'a, OffsetNumber>,
        cursor: &mut Cursor<'a>,
    ) -> Result<PostingUpdates<'a>, PayloadError> {
        let updates = cursor.rest();
        for _ in 0..offsets.len() {
            update(cursor)?;
        }
        Ok(PostingUpdates { offsets, updates })
    }

    /// Over line pointers and, for each, the bytes of its `xl_btree_update`.
    ///
    /// # Errors
    /// Where the updates are fewer than the line pointers.
    pub fn new(
        offsets: Array<'a, OffsetNumber>,
        updates: &'a [u8],
    ) -> Result<PostingUpdates<'a>, PayloadError> {
        PostingUpdates::read(offsets, &mut Cursor::new("xl_btree_update", updates))
    }

    pub(super) fn raw(&self) -> (&'a [u8], &'a [u8]) {
        (self.offsets.raw(), self.updates)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// They in order.
    pub fn iter(&self) -> impl Iterator<Item = PostingUpdate<'a>> + use<'a> {
        let mut cursor = Cursor::new("xl_btree_update", self.updates);
        self.offsets.iter().map(move |offset| {
            let deleted_tids = update(&mut cursor).unwrap_or(Array::EMPTY);
            PostingUpdate { offset, deleted_tids }
        })
    }
}

impl Serialize for PostingUpdates<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// `xl_btree_update`
fn update<'a>(cursor: &mut Cursor<'a>) -> Result<Array<'a, u16>, PayloadError> {
    let count = cursor.u16()?;
    cursor.array(usize::from(count))
}

fn items<'a>(
    record: &Record<'a>,
    deleted_count: u16,
    updated_count: u16,
) -> Result<Option<DeletedItems<'a>>, PayloadError> {
    let Some(data) = block_data(record, 0) else {
        return Ok(None);
    };
    let mut cursor = Cursor::new("xl_btree_update", data);
    let deleted = cursor.array(usize::from(deleted_count))?;
    let offsets = cursor.array(usize::from(updated_count))?;
    Ok(Some(DeletedItems { deleted, updated: PostingUpdates::read(offsets, &mut cursor)? }))
}

pub(super) fn vacuum<'a>(record: &Record<'a>) -> Result<Vacuum<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_vacuum", record.main_data());
    let (deleted_count, updated_count) = (cursor.u16()?, cursor.u16()?);
    let items = items(record, deleted_count, updated_count)?;
    Ok(Vacuum { deleted_count, updated_count, items })
}

pub(super) fn delete<'a>(record: &Record<'a>) -> Result<Delete<'a>, PayloadError> {
    let mut cursor = Cursor::new("xl_btree_delete", record.main_data());
    let snapshot_conflict_horizon = cursor.xid()?;
    let (deleted_count, updated_count) = (cursor.u16()?, cursor.u16()?);
    let since_16 = record.version() >= Version::V16;
    Ok(Delete {
        snapshot_conflict_horizon,
        deleted_count,
        updated_count,
        is_catalog_relation: if since_16 { Some(cursor.bool()?) } else { None },
        items: items(record, deleted_count, updated_count)?,
    })
}
