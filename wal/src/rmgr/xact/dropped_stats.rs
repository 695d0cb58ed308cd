//! Statistics that a transaction drops when it ends.
//!
//! ```text
//! offset  size  xl_xact_stats_item, 12 bytes before 18, 16 from then on
//!      0     4  kind
//!      4     4  dboid
//!      8     4  objoid; in 18 the low half of the object's id
//!     12     4  in 18 its high half
//! ```

use base::Oid;
use serde::{Serialize, Serializer};

use crate::rmgr::{Array, Cursor, Element as _, PayloadError};
use crate::text::Text;
use crate::version::Version;

/// `xl_xact_stats_item`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DroppedStatsItem {
    /// `PgStat_Kind`: 2 relation, 3 function, ...; numbers differ between versions.
    pub kind: i32,
    /// Database's oid.
    pub database: Oid,
    /// The object's id.
    pub object: u64,
}

/// Items of either size.
#[derive(Debug, Clone, Copy)]
pub struct DroppedStats<'a> {
    bytes: Array<'a, u8>,
    item_size: usize,
}

impl<'a> DroppedStats<'a> {
    /// None.
    pub const EMPTY: DroppedStats<'static> = DroppedStats { bytes: Array::EMPTY, item_size: 12 };

    /// The next `count` items.
    pub(super) fn read(
        version: Version,
        count: usize,
        cursor: &mut Cursor<'a>,
    ) -> Result<DroppedStats<'a>, PayloadError> {
        let item_size = if version >= Version::V18 { 16 } else { 12 };
        Ok(DroppedStats { bytes: cursor.array(count.saturating_mul(item_size))?, item_size })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.item_size
    }

    /// Their bytes as they lie in the record.
    pub fn raw(&self) -> &'a [u8] {
        self.bytes.as_bytes()
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = DroppedStatsItem> + use<'a> {
        self.bytes.as_bytes().chunks_exact(self.item_size).map(|item| {
            let word = |at: usize| item.get(at..at + 4).map_or(0, u32::read);
            DroppedStatsItem {
                kind: word(0) as i32,
                database: word(4),
                object: u64::from(word(12)) << 32 | u64::from(word(8)),
            }
        })
    }

    /// `; LABELdropped stats: 2/5/16384`, nothing without any.
    pub(super) fn describe(&self, label: &str, out: &mut Text) {
        if self.is_empty() {
            return;
        }
        out.str("; ").str(label).str("dropped stats:");
        for DroppedStatsItem { kind, database, object } in self.iter() {
            out.str(" ").int(kind).str("/").int(database).str("/").int(object);
        }
    }
}

impl Serialize for DroppedStats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}
