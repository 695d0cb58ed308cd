//! Errors as SQL knows them: SQLSTATE, message, detail, hint. The one place that says which error of the `wal` crate
//! has which SQLSTATE.

use std::fmt;

use pgrx::PgLogLevel;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use wal::control::LoadError;

/// An error to raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    code: PgSqlErrorCode,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

impl SqlError {
    pub(crate) fn new(code: PgSqlErrorCode, message: impl Into<String>) -> SqlError {
        SqlError { code, message: message.into(), detail: None, hint: None }
    }

    /// With what is known beyond the message.
    #[expect(dead_code, reason = "for the families of functions to come")]
    pub(crate) fn detail(self, detail: impl Into<String>) -> SqlError {
        SqlError { detail: Some(detail.into()), ..self }
    }

    /// With what to do.
    #[expect(dead_code, reason = "for the families of functions to come")]
    pub(crate) fn hint(self, hint: impl Into<String>) -> SqlError {
        SqlError { hint: Some(hint.into()), ..self }
    }

    /// Raises it, by unwinding to the function's entry point, which hands it to the server.
    pub(crate) fn raise(self) -> ! {
        let mut report = ErrorReport::new(self.code, self.message, "pgstrata");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report.report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<LoadError> for SqlError {
    fn from(error: LoadError) -> SqlError {
        let code = match &error {
            LoadError::Short { .. } => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            LoadError::Open { error, .. } | LoadError::Read { error, .. } => code_of_io(error),
        };
        SqlError::new(code, error.to_string())
    }
}

/// As `errcode_for_file_access`.
pub(crate) fn code_of_io(error: &std::io::Error) -> PgSqlErrorCode {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE
        }
        ErrorKind::NotFound => PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
        ErrorKind::AlreadyExists => PgSqlErrorCode::ERRCODE_DUPLICATE_FILE,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE
        }
        ErrorKind::StorageFull => PgSqlErrorCode::ERRCODE_DISK_FULL,
        _ => PgSqlErrorCode::ERRCODE_IO_ERROR,
    }
}
