//! The options of foreign tables over a log, and who may use them.

use std::path::PathBuf;

use pgrx::pg_sys;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use wal::segment::Timeline;

use super::column::Form;
use crate::error::SqlError;
use crate::ffi::function::{Call, Outcome, sql_functions};
use crate::ffi::list;

/// What a foreign table is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableOptions {
    /// `rows`: what a row is.
    pub(crate) form: Form,
    /// `directory`: another log than the running server's.
    pub(crate) directory: Option<PathBuf>,
    /// `timeline`: another one than the current or, in a directory, the latest.
    pub(crate) timeline: Option<Timeline>,
}

const VALID: &str = "Valid options of a foreign table are: directory, rows, timeline.";
const NONE_VALID: &str = "There are no valid options in this context.";

impl TableOptions {
    /// From names and values.
    pub(crate) fn parse(options: &[(String, String)]) -> Result<TableOptions, SqlError> {
        let mut parsed = TableOptions { form: Form::Record, directory: None, timeline: None };
        for (name, value) in options {
            let invalid = |hint: &str| {
                SqlError::new(
                    PgSqlErrorCode::ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE,
                    format!("invalid value for option \"{name}\": \"{value}\""),
                )
                .hint(hint)
            };
            match name.as_str() {
                "rows" => {
                    parsed.form = match value.as_str() {
                        "records" => Form::Record,
                        "blocks" => Form::Block,
                        _ => return Err(invalid("It is \"records\" or \"blocks\".")),
                    };
                }
                "directory" => {
                    let path = PathBuf::from(value);
                    if !path.is_absolute() {
                        return Err(invalid("It is an absolute path."));
                    }
                    parsed.directory = Some(path);
                }
                "timeline" => {
                    let is_decimal = value.bytes().all(|byte| byte.is_ascii_digit());
                    let number = value.parse().ok().filter(|number| is_decimal && *number > 0);
                    let Some(number) = number else {
                        return Err(invalid("It is a number from 1 to 4294967295."));
                    };
                    parsed.timeline = Some(Timeline(number));
                }
                _ => return Err(unknown(name, VALID)),
            }
        }
        Ok(parsed)
    }

    /// Those of a foreign table.
    #[expect(unsafe_code)]
    pub(crate) fn of_table(table: pg_sys::Oid) -> Result<TableOptions, SqlError> {
        // SAFETY: the server gives the table's options from its cache, or raises an error.
        let options = unsafe { list::options((*pg_sys::GetForeignTable(table)).options) };
        TableOptions::parse(&options)
    }
}

fn unknown(name: &str, hint: &str) -> SqlError {
    SqlError::new(
        PgSqlErrorCode::ERRCODE_FDW_INVALID_OPTION_NAME,
        format!("invalid option \"{name}\""),
    )
    .hint(hint)
}

/// Raises an error unless `user` may read files of the server.
#[expect(unsafe_code)]
pub(crate) fn check_may_read_files(user: pg_sys::Oid) -> Result<(), SqlError> {
    /// `pg_read_server_files` (`pg_authid.dat`)
    const ROLE: u32 = 4569;
    // SAFETY: a look-up in the server's caches.
    if unsafe { pg_sys::has_privs_of_role(user, pg_sys::Oid::from(ROLE)) } {
        return Ok(());
    }
    Err(SqlError::new(
        PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
        "permission denied to read a log in another directory",
    )
    .detail("Only roles with privileges of the role \"pg_read_server_files\" may use the option \"directory\"."))
}

sql_functions!(wal_fdw_validator);

/// The wrapper's validator: `(options text[], catalog oid)`. Only foreign tables have options.
#[expect(unsafe_code)]
fn wal_fdw_validator(call: &Call) -> Outcome {
    // SAFETY: the server calls a validator with a text array of "name=value".
    let options = unsafe { list::options(pg_sys::untransformRelOptions(call.datum(0))) };
    if call.oid(1) == Some(pg_sys::ForeignTableRelationId.to_u32()) {
        if TableOptions::parse(&options)?.directory.is_some() {
            // SAFETY: it reads the session's state.
            check_may_read_files(unsafe { pg_sys::GetUserId() })?;
        }
    } else if let Some((name, _)) = options.first() {
        return Err(unknown(name, NONE_VALID));
    }
    Ok(pg_sys::Datum::from(0usize))
}
