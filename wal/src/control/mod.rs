//! `global/pg_control`: which cluster this is, what its server was doing, where recovery begins.
//!
//! [`load()`] reads the file as PostgreSQL's tools do, a [`RawControl`] is what was found, whatever it is
//! worth ([`RawControl::warnings`]); [`RawControl::check`] makes a [`ControlFile`] of it with the checks of
//! a server that starts. `data.rs` has the byte map.
//!
//! Invariant: a [`ControlFile`] is of a known version, its checksum is right, and every value in it is one
//! that a server of that version can work with.

mod check;
mod data;
mod load;
mod state;
mod text;

pub use check::{ControlFault, ControlFile};
pub use data::{CONTROL_DATA_SIZE, ControlData};
pub use load::{LoadError, PATH, load};
use serde::{Serialize, Serializer};
pub use state::{ClusterState, StateNumber};

use crate::crc;
use crate::segment::SegmentSize;
use crate::version::Version;

/// Size of the file in bytes; behind the struct it is zero.
pub const CONTROL_FILE_SIZE: usize = 8192;

/// What was found in pg_control, not checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawControl {
    /// The version whose layout was taken for the file's.
    pub version: Version,
    /// The fields.
    pub data: ControlData,
    /// The checksum as stored.
    pub stored_crc: u32,
    /// The checksum of what is there.
    pub computed_crc: u32,
}

/// What makes the values of a control file doubtful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// The control version makes sense with its bytes in reverse order.
    ByteOrder,
    /// The checksum is not that of the bytes.
    Checksum,
    /// No segment is of this size, in bytes.
    SegmentSize(u32),
}

impl RawControl {
    /// From the struct's bytes.
    ///
    /// The layout is that of the version which the file names, if its checksum is right then; else that of
    /// `data_directory_version`, if known (PG_VERSION says it); else whichever is closest.
    pub fn read(
        bytes: &[u8; CONTROL_DATA_SIZE],
        data_directory_version: Option<Version>,
    ) -> RawControl {
        let number_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let as_version = |version: Version| RawControl {
            version,
            data: ControlData::read(bytes, version),
            stored_crc: number_at(data::crc_at(version)),
            computed_crc: crc::crc32c(&bytes[..data::crc_at(version)]),
        };
        let control_version = number_at(data::CONTROL_VERSION_AT);
        let catalog_version = number_at(data::CONTROL_VERSION_AT + size_of::<u32>());
        let named = named_version(control_version, catalog_version);
        if let Some(control) = named.map(as_version)
            && control.checksum_is_right()
        {
            return control;
        }
        let reversed = || named_version(control_version.swap_bytes(), catalog_version.swap_bytes());
        let version = data_directory_version.or(named).or_else(reversed);
        as_version(version.unwrap_or_else(|| closest_version(control_version)))
    }

    /// Whether the checksum is that of the bytes.
    pub fn checksum_is_right(&self) -> bool {
        self.stored_crc == self.computed_crc
    }

    /// Whether the control version looks like one with its bytes in reverse order.
    fn is_reversed(&self) -> bool {
        let number = self.data.control_version;
        number.is_multiple_of(1 << 16) && number != 0
    }

    /// What PostgreSQL's tools warn of, in their order.
    pub fn warnings(&self) -> impl Iterator<Item = Warning> + use<> {
        let size = self.data.wal_segment_size;
        let reversed = self.is_reversed().then_some(Warning::ByteOrder);
        let checksum = (!self.checksum_is_right()).then_some(Warning::Checksum);
        let segment_size = SegmentSize::from_bytes(u64::from(size))
            .is_none()
            .then_some(Warning::SegmentSize(size));
        [reversed, checksum, segment_size].into_iter().flatten()
    }

    /// The file's bytes with the checksum that belongs to them.
    pub fn encode(&self) -> [u8; CONTROL_FILE_SIZE] {
        let mut bytes = [0; CONTROL_FILE_SIZE];
        bytes[..CONTROL_DATA_SIZE].copy_from_slice(&self.data.encode());
        let at = data::crc_at(self.version);
        let sum = crc::crc32c(&bytes[..at]);
        bytes[at..at + size_of::<u32>()].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// Serialized as its fields, with the fault that keeps it from being relied on, or null.
impl Serialize for RawControl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            version: Version,
            fault: Option<String>,
            #[serde(flatten)]
            data: &'a ControlData,
            stored_crc: u32,
            computed_crc: u32,
        }
        let RawControl { version, data, stored_crc, computed_crc } = *self;
        let fault = self.check().err().map(|fault| fault.to_string());
        Shown { version, fault, data: &data, stored_crc, computed_crc }.serialize(serializer)
    }
}

/// The version that writes these numbers. 15 and 16 share a control version; the catalog tells them apart.
fn named_version(control_version: u32, catalog_version: u32) -> Option<Version> {
    let mut of_this = Version::ALL.into_iter().filter(|v| v.control_version() == control_version);
    let first = of_this.next()?;
    Some(of_this.find(|version| version.catalog_version() == catalog_version).unwrap_or(first))
}

/// The version whose control version is the next one not below; of what is newer, the newest.
fn closest_version(control_version: u32) -> Version {
    let not_below = |version: &Version| version.control_version() >= control_version;
    Version::ALL.into_iter().find(not_below).unwrap_or(Version::V18)
}

#[cfg(test)]
mod tests;
