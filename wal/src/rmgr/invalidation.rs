//! Shared cache invalidation messages, which records of Transaction, Standby and (from 18 on) Heap carry.
//!
//! ```text
//! offset  size  SharedInvalidationMessage, a union of 16 bytes that its first byte tells apart
//!      0     1  id: 0..127 a catalog cache, -1 a catalog, -2 relation cache, -3 storage manager,
//!                   -4 relation map, -5 snapshot, -6 relation synchronisation (18)
//!      4     4  database, 0 for a shared object       -3: backend in bytes 1..4, locator in 4..16
//!      8     4  hash value (>= 0), catalog (-1), relation (-2, -5, -6)
//! ```
//!
//! Source: `storage/sinval.h`. Invariant: any 16 bytes are a message; one with an unknown id is kept as
//! such, as PostgreSQL prints it.

use base::{Oid, RelFileLocator};
use serde::Serialize;

use super::payload::{Array, Element};
use crate::text::Text;
use crate::version::Version;

/// `SharedInvalidationMessage`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Invalidation {
    /// A tuple of a catalog cache.
    Catcache {
        /// Which catalog cache.
        cache: i8,
        /// Database's oid, 0 for a shared catalog.
        database: Oid,
        /// Hash of the tuple's key.
        hash_value: u32,
    },
    /// All that is cached of a catalog.
    Catalog {
        /// Database's oid, 0 for a shared catalog.
        database: Oid,
        /// The catalog's oid.
        catalog: Oid,
    },
    /// A relation cache's entry.
    Relcache {
        /// Database's oid, 0 for a shared relation.
        database: Oid,
        /// The relation's oid, 0 for all.
        relation: Oid,
    },
    /// Open files of a relation.
    Smgr {
        /// Number of the backend that owns a temporary relation, else -1.
        backend: i32,
        /// The relation's file.
        locator: RelFileLocator,
    },
    /// A relation map.
    Relmap {
        /// Database's oid, 0 for the shared map.
        database: Oid,
    },
    /// Snapshots of a catalog.
    Snapshot {
        /// Database's oid, 0 for a shared relation.
        database: Oid,
        /// The catalog's oid.
        relation: Oid,
    },
    /// What logical decoding remembers of a relation; 15 to 17 do not have it and call it unrecognized.
    Relsync {
        /// Database's oid.
        database: Oid,
        /// The relation's oid, 0 for all.
        relation: Oid,
    },
    /// None of these.
    Unrecognized {
        /// The id.
        id: i8,
    },
}

impl Element for Invalidation {
    const SIZE: usize = 16;

    #[inline]
    fn read(bytes: &[u8]) -> Invalidation {
        let word = |at: usize| u32::read(&bytes[at..at + 4]);
        let (database, object) = (word(4), word(8));
        match bytes[0] as i8 {
            cache @ 0.. => Invalidation::Catcache { cache, database, hash_value: object },
            -1 => Invalidation::Catalog { database, catalog: object },
            -2 => Invalidation::Relcache { database, relation: object },
            -3 => Invalidation::Smgr {
                // int8 high byte, uint16 low half
                backend: i32::from(bytes[1] as i8) << 16 | i32::from(u16::read(&bytes[2..4])),
                locator: RelFileLocator::read(&bytes[4..16]),
            },
            -4 => Invalidation::Relmap { database },
            -5 => Invalidation::Snapshot { database, relation: object },
            -6 => Invalidation::Relsync { database, relation: object },
            id => Invalidation::Unrecognized { id },
        }
    }
}

/// Invalidation messages with what is printed before them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Invalidations<'a> {
    /// Database whose relation cache's init file goes, or 0.
    pub database: Oid,
    /// That database's tablespace, or 0.
    pub tablespace: Oid,
    /// Whether the relation cache's init files go too.
    pub relcache_init_file: bool,
    /// The messages.
    pub messages: Array<'a, Invalidation>,
}

impl Invalidations<'_> {
    /// Appends `; relcache init file inval dbid 5 tsid 1663; inval msgs: catcache 5 ...`; nothing where
    /// there are no messages (`standby_desc_invalidations`).
    pub(super) fn describe(&self, version: Version, out: &mut Text) {
        if self.messages.is_empty() {
            return;
        }
        if self.relcache_init_file {
            out.str("; relcache init file inval dbid ").int(self.database);
            out.str(" tsid ").int(self.tablespace);
        }
        out.str("; inval msgs:");
        for message in self.messages.iter() {
            match message {
                Invalidation::Catcache { cache, .. } => out.str(" catcache ").int(cache),
                Invalidation::Catalog { catalog, .. } => out.str(" catalog ").int(catalog),
                Invalidation::Relcache { relation, .. } => out.str(" relcache ").int(relation),
                Invalidation::Smgr { .. } => out.str(" smgr"),
                Invalidation::Relmap { database } => out.str(" relmap db ").int(database),
                Invalidation::Snapshot { relation, .. } => out.str(" snapshot ").int(relation),
                Invalidation::Relsync { relation, .. } if version >= Version::V18 => {
                    out.str(" relsync ").int(relation)
                }
                Invalidation::Relsync { .. } => out.str(" unrecognized id -6"),
                Invalidation::Unrecognized { id } => out.str(" unrecognized id ").int(id),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: i8, words: [u32; 3]) -> [u8; 16] {
        let mut bytes = [0xAA; 16]; // padding is not always zero
        bytes[0] = id as u8;
        for (place, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn text(version: Version, ids: impl IntoIterator<Item = i8>) -> String {
        let bytes: Vec<u8> = ids.into_iter().flat_map(|id| message(id, [5, 1259, 9])).collect();
        let mut cursor = super::super::Cursor::new("messages", &bytes);
        let messages = cursor.array(bytes.len() / 16).expect("whole messages");
        let mut out = Text::default();
        Invalidations { database: 5, tablespace: 1663, relcache_init_file: true, messages }
            .describe(version, &mut out);
        String::from_utf8_lossy(out.as_bytes()).into_owned()
    }

    #[test]
    fn every_kind_has_postgresqls_text() {
        assert_eq!(
            text(Version::V18, [127, -1, -2, -3, -4, -5, -6, -7, -128]),
            "; relcache init file inval dbid 5 tsid 1663; inval msgs: catcache 127 catalog 1259 \
             relcache 1259 smgr relmap db 5 snapshot 1259 relsync 1259 unrecognized id -7 \
             unrecognized id -128"
        );
        assert!(text(Version::V17, [-6]).ends_with("inval msgs: unrecognized id -6"));
    }

    #[test]
    fn nothing_is_printed_of_no_messages() {
        assert_eq!(text(Version::V18, []), "");
    }

    #[test]
    fn the_backend_of_a_temporary_relation_is_put_together_of_its_halves() {
        let mut bytes = message(-3, [1663, 5, 16384]);
        bytes[1..4].copy_from_slice(&[0xFF, 0xFF, 0xFF]);
        let locator = RelFileLocator { tablespace: 1663, database: 5, relation: 16384 };
        assert_eq!(Invalidation::read(&bytes), Invalidation::Smgr { backend: -1, locator });
        bytes[1..4].copy_from_slice(&[1, 2, 0]);
        assert_eq!(Invalidation::read(&bytes), Invalidation::Smgr { backend: 0x1_0002, locator });
    }
}
