//! Errors and notices, in the words and with the codes that PostgreSQL has for them.
//!
//! Invariant: whatever goes wrong in the engine comes out here with a SQLSTATE; what has none of its own is `XX000`.

use std::fmt;

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The SQLSTATE, five characters (`errcodes.txt`).
    pub code: &'static str,
    /// The primary message.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// What a function or a statement gives.
pub(crate) type Result<T, E = SqlError> = std::result::Result<T, E>;

impl SqlError {
    /// An error.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> SqlError {
        SqlError { code, message: message.into(), detail: None, hint: None }
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> SqlError {
        SqlError { detail: Some(detail.into()), ..self }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> SqlError {
        SqlError { hint: Some(hint.into()), ..self }
    }

    /// SQL that PostgreSQL has and this does not; `what` is the word that it stumbled over.
    pub(crate) fn not_supported(what: impl fmt::Display) -> SqlError {
        SqlError::new("0A000", format!("{what} is not supported"))
    }

    /// Text that is no SQL.
    pub(crate) fn syntax(message: impl Into<String>) -> SqlError {
        SqlError::new("42601", message)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR:  {}", self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<engine::Error> for SqlError {
    fn from(error: engine::Error) -> SqlError {
        use engine::Error;
        match error {
            Error::Serialization { how, .. } => SqlError::new(
                "40001",
                format!("could not serialize access due to concurrent {how}"),
            ),
            Error::Moved { .. } => SqlError::new(
                "40001",
                "tuple to be locked was already moved to another partition due to concurrent update",
            ),
            Error::Deadlock { .. } => {
                SqlError::new("40P01", "deadlock detected").detail(error.to_string())
            }
            Error::NotNull { table, column } => SqlError::new(
                "23502",
                format!(
                    "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
                ),
            ),
            Error::NoTable(name) => {
                SqlError::new("42P01", format!("relation \"{name}\" does not exist"))
            }
            Error::TableExists(name) => {
                SqlError::new("42P07", format!("relation \"{name}\" already exists"))
            }
            Error::SelfModified { .. } => SqlError::new(
                "27000",
                "tuple to be updated was already modified by an operation triggered by the current command",
            )
            .hint(
                "Consider using an AFTER trigger instead of a BEFORE trigger to propagate changes to other rows.",
            ),
            Error::TransactionFailed => aborted(),
            error => SqlError {
                detail: error.detail(),
                hint: error.hint(),
                ..SqlError::new(error.sqlstate(), error.to_string())
            },
        }
    }
}

/// What every statement of a failed transaction gets.
pub(crate) fn aborted() -> SqlError {
    SqlError::new(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// What a session is told without that anything failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING` or another level.
    pub severity: &'static str,
    /// The SQLSTATE.
    pub code: &'static str,
    /// The message.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl Notice {
    /// A notice of one line.
    pub(crate) fn new(
        severity: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Notice {
        Notice { severity, code, message: message.into(), detail: None, hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Notice {
        Notice { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:  {}", self.severity, self.message)
    }
}
