//! Which major version of PostgreSQL wrote a log, and the numbers that tell it.
//!
//! Invariant: a log page carries its version's magic number; a log is of one version throughout.

use std::fmt;

use serde::{Serialize, Serializer};

/// A major version whose formats this crate knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// PostgreSQL 15
    V15,
    /// PostgreSQL 16
    V16,
    /// PostgreSQL 17
    V17,
    /// PostgreSQL 18
    V18,
}

impl Version {
    /// All known versions, oldest first.
    pub const ALL: [Version; 4] = [Version::V15, Version::V16, Version::V17, Version::V18];

    /// 15 to 18.
    pub const fn major(self) -> u32 {
        match self {
            Version::V15 => 15,
            Version::V16 => 16,
            Version::V17 => 17,
            Version::V18 => 18,
        }
    }

    /// `XLOG_PAGE_MAGIC`, the first two bytes of each log page.
    pub const fn page_magic(self) -> u16 {
        match self {
            Version::V15 => 0xD110,
            Version::V16 => 0xD113,
            Version::V17 => 0xD116,
            Version::V18 => 0xD118,
        }
    }

    /// The version whose log pages carry `magic`.
    pub fn from_page_magic(magic: u16) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.page_magic() == magic)
    }

    /// `PG_CONTROL_VERSION`.
    pub const fn control_version(self) -> u32 {
        match self {
            Version::V15 | Version::V16 => 1300,
            Version::V17 => 1700,
            Version::V18 => 1800,
        }
    }

    /// `CATALOG_VERSION_NO`.
    pub const fn catalog_version(self) -> u32 {
        match self {
            Version::V15 => 202_209_061,
            Version::V16 => 202_307_071,
            Version::V17 => 202_406_281,
            Version::V18 => 202_506_291,
        }
    }

    /// The directory of this version within a tablespace, `PG_15_202209061`.
    pub const fn tablespace_directory(self) -> &'static str {
        match self {
            Version::V15 => "PG_15_202209061",
            Version::V16 => "PG_16_202307071",
            Version::V17 => "PG_17_202406281",
            Version::V18 => "PG_18_202506291",
        }
    }

    /// The version of a major's number.
    pub fn from_major(major: u32) -> Option<Version> {
        Version::ALL.into_iter().find(|version| version.major() == major)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.major().fmt(f)
    }
}

/// Serialized as the major's number.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.major())
    }
}
