//! Columns of tables.

use crate::heap::{ColumnType, Compression};

/// Where a column's values go that make a row too long (`attstorage`). Only those of variable width go anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnStorage {
    /// They stay as they are.
    Plain,
    /// Out of line, and are not compressed.
    External,
    /// They are compressed, and then out of line.
    Extended,
    /// They are compressed, and out of line only where the row does not fit a page otherwise.
    Main,
}

impl ColumnStorage {
    const ALL: [ColumnStorage; 4] = [
        ColumnStorage::Plain,
        ColumnStorage::External,
        ColumnStorage::Extended,
        ColumnStorage::Main,
    ];

    /// What a type's columns have if nothing is said (`typstorage`).
    pub const fn of_type(column_type: ColumnType) -> ColumnStorage {
        match column_type {
            ColumnType::Numeric => ColumnStorage::Main,
            ColumnType::Text | ColumnType::Bytea | ColumnType::Bpchar => ColumnStorage::Extended,
            _ => ColumnStorage::Plain,
        }
    }

    /// As SQL has it.
    pub const fn name(self) -> &'static str {
        match self {
            ColumnStorage::Plain => "PLAIN",
            ColumnStorage::External => "EXTERNAL",
            ColumnStorage::Extended => "EXTENDED",
            ColumnStorage::Main => "MAIN",
        }
    }

    /// The one of this name, in small letters or large ones.
    pub fn of_name(name: &str) -> Option<ColumnStorage> {
        ColumnStorage::ALL.into_iter().find(|storage| storage.name().eq_ignore_ascii_case(name))
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name, of 63 bytes at most.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// Whether it refuses nulls.
    pub not_null: bool,
    /// Where its long values go; of fixed width they have nowhere to go.
    pub storage: ColumnStorage,
    /// How they are compressed; `None` as the session has it when it writes them.
    pub compression: Option<Compression>,
}

impl Column {
    /// A column that takes nulls, with the storage that is its type's.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Column {
        let storage = ColumnStorage::of_type(column_type);
        Column { name: name.into(), column_type, not_null: false, storage, compression: None }
    }

    /// The same column, refusing nulls.
    pub fn not_null(self) -> Column {
        Column { not_null: true, ..self }
    }

    /// The same, whose long values go there.
    pub fn stored(self, storage: ColumnStorage) -> Column {
        Column { storage, ..self }
    }

    /// The same, whose values are compressed so.
    pub fn compressed(self, compression: Compression) -> Column {
        Column { compression: Some(compression), ..self }
    }

    /// Whether its values have short headers where they can.
    pub(crate) fn packs(&self) -> bool {
        self.storage != ColumnStorage::Plain
    }

    /// Whether its values can be compressed or go out of line.
    pub(crate) fn is_toastable(&self) -> bool {
        self.packs() && self.column_type.length().is_none()
    }
}
