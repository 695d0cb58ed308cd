//! A foreign table as it is defined: its options, and which of our columns each of its columns is.

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::{PgTupleDesc, pg_sys};

use super::column::{Column, Form};
use super::options::TableOptions;
use crate::error::SqlError;

/// A foreign table's definition.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) options: TableOptions,
    /// By attribute number less one; `None` for a dropped column.
    pub(crate) columns: Vec<Option<Column>>,
}

impl Table {
    /// Reads a definition. The columns may be any of the form's, in any order, under their names and with their types.
    ///
    /// # Safety
    /// `relation` must be open.
    #[expect(unsafe_code)]
    pub(crate) unsafe fn of(relation: pg_sys::Relation) -> Result<Table, SqlError> {
        // SAFETY: an open relation has a descriptor.
        unsafe {
            let options = TableOptions::of_table((*relation).rd_id)?;
            let shape = PgTupleDesc::from_pg_copy((*relation).rd_att);
            let mut columns = Vec::with_capacity(shape.len());
            for attribute in shape.iter() {
                let sql_type = attribute.atttypid.to_u32();
                let is_there = !attribute.attisdropped;
                let column = is_there.then(|| find(options.form, attribute.name(), sql_type));
                columns.push(column.transpose()?);
            }
            Ok(Table { options, columns })
        }
    }

    /// As [`Table::of`], of a table that the query has locked.
    #[expect(unsafe_code)]
    pub(crate) fn of_locked(table: pg_sys::Oid) -> Result<Table, SqlError> {
        // SAFETY: the relation is closed again where it was opened; an error in between is the server's to tidy up.
        unsafe {
            let relation = pg_sys::table_open(table, pg_sys::NoLock as i32);
            let found = Table::of(relation);
            pg_sys::table_close(relation, pg_sys::NoLock as i32);
            found
        }
    }
}

fn find(form: Form, name: &str, sql_type: u32) -> Result<Column, SqlError> {
    let Some(column) = Column::of_name(form, name) else {
        let names: Vec<&str> = Column::of(form).map(Column::name).collect();
        return Err(SqlError::new(
            PgSqlErrorCode::ERRCODE_FDW_COLUMN_NAME_NOT_FOUND,
            format!("a log has no column \"{name}\""),
        )
        .hint(format!("Its columns are: {}.", names.join(", "))));
    };
    if column.sql_type() as u32 != sql_type {
        return Err(SqlError::new(
            PgSqlErrorCode::ERRCODE_FDW_INVALID_DATA_TYPE,
            format!("column \"{name}\" of a log is of type {}", column.sql_type().name()),
        ));
    }
    Ok(column)
}
