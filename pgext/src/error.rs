//! Errors as SQL knows them: SQLSTATE, message, detail, hint. The one place that says which error of the `wal` crate
//! has which SQLSTATE.

use std::fmt;

use pgrx::PgLogLevel;
use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use wal::control::LoadError;
use wal::error::DecodeError;
use wal::image::ImageError;
use wal::source::SourceError;

/// An error to raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SqlError {
    code: PgSqlErrorCode,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
}

#[allow(
    dead_code,
    reason = "the foreign tables and functions that need all of it are still to come"
)]
impl SqlError {
    pub(crate) fn new(code: PgSqlErrorCode, message: impl Into<String>) -> SqlError {
        SqlError { code, message: message.into(), detail: None, hint: None }
    }

    /// With what is known beyond the message.
    pub(crate) fn detail(self, detail: impl Into<String>) -> SqlError {
        SqlError { detail: Some(detail.into()), ..self }
    }

    /// With what to do.
    pub(crate) fn hint(self, hint: impl Into<String>) -> SqlError {
        SqlError { hint: Some(hint.into()), ..self }
    }

    /// Gives it to the client as a warning.
    pub(crate) fn warn(self) {
        self.report().report(PgLogLevel::WARNING);
    }

    /// Raises it, by unwinding to the function's entry point, which hands it to the server.
    pub(crate) fn raise(self) -> ! {
        self.report().report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }

    fn report(self) -> ErrorReport {
        let mut report = ErrorReport::new(self.code, self.message, "pgstrata");
        if let Some(detail) = self.detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = self.hint {
            report = report.set_hint(hint);
        }
        report
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

impl From<SourceError> for SqlError {
    fn from(error: SourceError) -> SqlError {
        let new = SqlError::new(code_of_source(&error), without_number(&error.to_string()));
        match error {
            SourceError::NoTimeline { .. } => new.hint("pg_ls_waldir() lists what is there."),
            SourceError::NoSegments { .. } => new.hint(
                "A log is a data directory, its pg_wal or an archive of segments, or a tar archive of one of these.",
            ),
            _ => new,
        }
    }
}

impl From<DecodeError> for SqlError {
    fn from(error: DecodeError) -> SqlError {
        SqlError::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, error.to_string())
    }
}

impl From<ImageError> for SqlError {
    fn from(error: ImageError) -> SqlError {
        SqlError::new(PgSqlErrorCode::ERRCODE_DATA_CORRUPTED, error.to_string())
    }
}

/// An error's text with the system's own words alone: Rust puts their number behind them.
pub(crate) fn without_number(text: &str) -> &str {
    text.rfind(" (os error ").map_or(text, |end| &text[..end])
}

/// The SQLSTATE of a source that cannot be read.
pub(crate) fn code_of_source(error: &SourceError) -> PgSqlErrorCode {
    match error {
        SourceError::Missing { .. } | SourceError::NoSegments { .. } => {
            PgSqlErrorCode::ERRCODE_UNDEFINED_FILE
        }
        SourceError::Io { error, .. } => code_of_io(error),
        SourceError::NothingLeft { .. }
        | SourceError::NotASegment { .. }
        | SourceError::History { .. } => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        SourceError::NoTimeline { .. } => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
        SourceError::Cancelled => PgSqlErrorCode::ERRCODE_QUERY_CANCELED,
    }
}

/// As `errcode_for_file_access`.
pub(crate) fn code_of_io(error: &std::io::Error) -> PgSqlErrorCode {
    use std::io::ErrorKind;
    // No kind has these: EMFILE, ENFILE.
    if matches!(error.raw_os_error(), Some(24 | 23)) {
        return PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES;
    }
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE
        }
        ErrorKind::NotFound => PgSqlErrorCode::ERRCODE_UNDEFINED_FILE,
        ErrorKind::AlreadyExists => PgSqlErrorCode::ERRCODE_DUPLICATE_FILE,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE
        }
        ErrorKind::OutOfMemory => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        ErrorKind::StorageFull => PgSqlErrorCode::ERRCODE_DISK_FULL,
        _ => PgSqlErrorCode::ERRCODE_IO_ERROR,
    }
}
