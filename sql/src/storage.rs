//! How columns keep long values: where they go, and how they are compressed.
//!
//! Invariant: the engine keeps it with the column; the text of a table's definition says nothing of it. Sources:
//! `ATExecSetStorage`, `ATExecSetCompression`, `GetAttributeCompression`, `MergeAttributes`.

use engine::ColumnStorage;
use engine::heap::Compression;
use sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation};

use crate::error::{Result, SqlError};
use crate::parse::{COMPRESSION, STORAGE};
use crate::table::{ColumnDef, Parts, ident};

/// What `ALTER COLUMN ... SET` says of long values, by name.
pub(crate) enum Setting<'a> {
    Storage(&'a str),
    Compression(&'a str),
}

/// The column that `ALTER TABLE` changes how it keeps long values, and how.
pub(crate) fn set_by(operation: &AlterTableOperation) -> Option<(String, Setting<'_>)> {
    let AlterTableOperation::AlterColumn {
        column_name,
        op: AlterColumnOperation::SetDataType { data_type: ast::DataType::Custom(name, _), .. },
    } = operation
    else {
        return None;
    };
    let name = rewritten(name)?;
    let storage = name.strip_prefix(STORAGE).map(Setting::Storage);
    let setting = storage.or_else(|| name.strip_prefix(COMPRESSION).map(Setting::Compression))?;
    Some((ident(column_name), setting))
}

/// The compression that an option of a column is, by name.
pub(crate) fn compression_of(collation: &ast::ObjectName) -> Option<&str> {
    rewritten(collation)?.strip_prefix(COMPRESSION)
}

/// A name of one part that is quoted.
fn rewritten(name: &ast::ObjectName) -> Option<&str> {
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(name)] if name.quote_style.is_some() => Some(&name.value),
        _ => None,
    }
}

impl ColumnDef {
    /// Whether its values can be compressed or go out of line.
    fn is_toastable(&self) -> bool {
        self.of.stored().is_some_and(|stored| stored.length().is_none())
    }

    /// Where its long values go.
    fn storage(&self) -> Option<ColumnStorage> {
        self.storage.or_else(|| self.of.stored().map(ColumnStorage::of_type))
    }

    /// The compression of a name for it; `None` of `default`.
    ///
    /// # Errors
    /// Where there is none of this name, or the column's values are not compressed.
    fn compression_named(&self, name: &str) -> Result<Option<Compression>> {
        if name == "default" {
            return Ok(None);
        }
        if !self.is_toastable() {
            let message =
                format!("column data type {} does not support compression", self.of.name());
            return Err(SqlError::new("0A000", message));
        }
        let found = Compression::of_name(name);
        let invalid = || SqlError::new("22023", format!("invalid compression method \"{name}\""));
        found.map(Some).ok_or_else(invalid)
    }

    /// Takes in a compression that its definition has, or a parent's column of its name.
    ///
    /// # Errors
    /// Where it has another one already.
    fn compress(&mut self, compression: Option<Compression>) -> Result<()> {
        match (self.compression, compression) {
            (Some(known), Some(other)) if known != other => {
                let message = format!("column \"{}\" has a compression method conflict", self.name);
                Err(conflict(message, known.name(), other.name()))
            }
            (known, other) => {
                self.compression = known.or(other);
                Ok(())
            }
        }
    }

    /// As [`ColumnDef::compress`], by name.
    ///
    /// # Errors
    /// As there; where there is none of this name, or the column's values are not compressed.
    pub(crate) fn compress_by(&mut self, name: &str) -> Result<()> {
        self.compress(self.compression_named(name)?)
    }

    /// Takes in how another parent's column of its name keeps long values.
    ///
    /// # Errors
    /// Where that is another way.
    pub(crate) fn merge_storage(&mut self, other: &ColumnDef) -> Result<()> {
        if let (Some(one), Some(other)) = (self.storage(), other.storage())
            && one != other
        {
            let message =
                format!("inherited column \"{}\" has a storage parameter conflict", self.name);
            return Err(conflict(message, one.name(), other.name()));
        }
        self.compress(other.compression)
    }
}

/// `42804`
pub(crate) fn conflict(message: String, one: &str, other: &str) -> SqlError {
    SqlError::new("42804", message).detail(format!("{one} versus {other}"))
}

impl Parts {
    /// Has a column of a table keep long values another way.
    ///
    /// # Errors
    /// Where there is no such column, or no such way, or it is none for the column.
    pub(crate) fn set_storage(
        &mut self,
        table: &str,
        column: &str,
        setting: &Setting<'_>,
    ) -> Result<()> {
        let storage = match setting {
            Setting::Compression(_) => None,
            Setting::Storage(name) => {
                let invalid = || SqlError::new("22023", format!("invalid storage type \"{name}\""));
                Some(ColumnStorage::of_name(name).ok_or_else(invalid)?)
            }
        };
        let Some(found) = self.columns.iter_mut().find(|known| known.name == column) else {
            if matches!(column, "ctid" | "tableoid" | "xmin" | "xmax" | "cmin" | "cmax") {
                let message = format!("cannot alter system column \"{column}\"");
                return Err(SqlError::new("0A000", message));
            }
            let message = format!("column \"{column}\" of relation \"{table}\" does not exist");
            return Err(SqlError::new("42703", message));
        };
        match (storage, setting) {
            (None, Setting::Compression(name)) => {
                found.compression = found.compression_named(name)?;
            }
            (Some(storage), _) if storage != ColumnStorage::Plain && !found.is_toastable() => {
                let message =
                    format!("column data type {} can only have storage PLAIN", found.of.name());
                return Err(SqlError::new("0A000", message));
            }
            _ => found.storage = storage,
        }
        Ok(())
    }
}
