//! Names of things on disk: object ids, relation files, forks, blocks, tuple positions.
//!
//! Invariant: these are values as read; a [`ForkNumber`] alone is checked when made.

use std::fmt;

use serde::{Serialize, Serializer};

/// An object id. 0 is `InvalidOid`.
pub type Oid = u32;
/// A block's number within a fork, in pages. `u32::MAX` is `InvalidBlockNumber`.
pub type BlockNumber = u32;
/// A line pointer's number within a page, from 1.
pub type OffsetNumber = u16;

/// `InvalidBlockNumber`.
pub const INVALID_BLOCK: BlockNumber = u32::MAX;
/// Tablespace `pg_default`.
pub const DEFAULT_TABLESPACE: Oid = 1663;
/// Tablespace `pg_global`, of the shared catalogs.
pub const GLOBAL_TABLESPACE: Oid = 1664;

/// Which file a relation's storage lives in (`RelFileLocator`; `RelFileNode` before 16).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize)]
pub struct RelFileLocator {
    /// Tablespace's oid.
    pub tablespace: Oid,
    /// Database's oid; 0 for a shared relation.
    pub database: Oid,
    /// The relation's file number.
    pub relation: Oid,
}

impl RelFileLocator {
    /// From its 12 bytes on disk, little-endian.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 12]) -> RelFileLocator {
        let [t0, t1, t2, t3, d0, d1, d2, d3, r0, r1, r2, r3] = bytes;
        RelFileLocator {
            tablespace: Oid::from_le_bytes([t0, t1, t2, t3]),
            database: Oid::from_le_bytes([d0, d1, d2, d3]),
            relation: Oid::from_le_bytes([r0, r1, r2, r3]),
        }
    }
}

/// `tablespace/database/relation`, as `pg_waldump` prints it.
impl fmt::Display for RelFileLocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tablespace, self.database, self.relation)
    }
}

/// One of the files of a relation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ForkNumber {
    /// The data itself.
    Main = 0,
    /// Free space map.
    FreeSpaceMap = 1,
    /// Visibility map.
    VisibilityMap = 2,
    /// What an unlogged relation is reset to.
    Init = 3,
}

impl ForkNumber {
    /// From its number on disk; `None` for a number that PostgreSQL does not use.
    pub const fn from_number(number: u8) -> Option<ForkNumber> {
        Some(match number {
            0 => ForkNumber::Main,
            1 => ForkNumber::FreeSpaceMap,
            2 => ForkNumber::VisibilityMap,
            3 => ForkNumber::Init,
            _ => return None,
        })
    }

    /// `main`, `fsm`, `vm` or `init` (`forkNames`).
    pub const fn name(self) -> &'static str {
        match self {
            ForkNumber::Main => "main",
            ForkNumber::FreeSpaceMap => "fsm",
            ForkNumber::VisibilityMap => "vm",
            ForkNumber::Init => "init",
        }
    }
}

impl fmt::Display for ForkNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Serialized as its name.
impl Serialize for ForkNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A tuple's position (`ItemPointerData`): block and line pointer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize)]
pub struct Tid {
    /// Block within the main fork.
    pub block: BlockNumber,
    /// Line pointer within the block, from 1.
    pub offset: OffsetNumber,
}

impl Tid {
    /// Bytes on the disk.
    pub const SIZE: usize = 6;

    /// From its bytes: the block's upper half, its lower half, the line pointer, each little-endian.
    #[inline]
    pub const fn from_bytes(bytes: [u8; Tid::SIZE]) -> Tid {
        let [h0, h1, l0, l1, o0, o1] = bytes;
        let (high, low) = (u16::from_le_bytes([h0, h1]), u16::from_le_bytes([l0, l1]));
        Tid { block: (high as u32) << 16 | low as u32, offset: u16::from_le_bytes([o0, o1]) }
    }

    /// Its bytes.
    #[inline]
    pub const fn to_bytes(self) -> [u8; Tid::SIZE] {
        let [h0, h1] = ((self.block >> 16) as u16).to_le_bytes();
        let [l0, l1] = (self.block as u16).to_le_bytes();
        let [o0, o1] = self.offset.to_le_bytes();
        [h0, h1, l0, l1, o0, o1]
    }
}

/// `(block,offset)`.
impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.block, self.offset)
    }
}
