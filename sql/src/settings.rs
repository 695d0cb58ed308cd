//! A session's settings (`SET`), by name.
//!
//! Invariants: a setting that changes how this works is known by its type; those that steer what is not here are kept as
//! they were given and shown again. Of the planner's, `enable_indexscan` and `enable_bitmapscan` are looked at: an index
//! serves an order with the first, conditions with one of the two; `enable_indexonlyscan`, and `enable_seqscan` where all of
//! an index may be read in a table's place; and `enable_hashjoin`. What a transaction that is rolled back has set is undone,
//! and so is what is set `LOCAL` when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::heap::Compression;
use engine::{Session, Transaction};

use crate::error::{Result, SqlError};
use crate::parse::IsolationLevel;

/// Settings that are kept as text, with their defaults.
const KEPT: [(&str, &str); 25] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("cursor_tuple_fraction", "0.1"),
    ("datestyle", "ISO, MDY"),
    ("enable_bitmapscan", "on"),
    ("enable_hashagg", "on"),
    ("enable_hashjoin", "on"),
    ("enable_indexonlyscan", "on"),
    ("enable_indexscan", "on"),
    ("enable_material", "on"),
    ("enable_mergejoin", "on"),
    ("enable_nestloop", "on"),
    ("enable_seqscan", "on"),
    ("enable_sort", "on"),
    ("extra_float_digits", "1"),
    ("force_parallel_mode", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "2"),
    ("plan_cache_mode", "auto"),
    ("search_path", "\"$user\", public"),
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
    ("work_mem", "4MB"),
];

/// A session's settings.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Of [`KEPT`], those that were set.
    kept: BTreeMap<&'static str, String>,
    pub(crate) default_isolation: IsolationLevel,
    pub(crate) default_read_only: bool,
    pub(crate) deadlock_timeout: Duration,
    /// None if nothing is waited too long for.
    pub(crate) lock_timeout: Option<Duration>,
    pub(crate) statement_timeout: Option<Duration>,
    /// How long values are compressed, and how they are if nothing is said.
    compression: Compression,
    default_compression: Compression,
    /// Of the transaction that runs.
    pub(crate) isolation: IsolationLevel,
    pub(crate) read_only: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            kept: BTreeMap::new(),
            default_isolation: IsolationLevel::ReadCommitted,
            default_read_only: false,
            deadlock_timeout: Duration::from_secs(1),
            lock_timeout: None,
            statement_timeout: None,
            compression: Compression::default(),
            default_compression: Compression::default(),
            isolation: IsolationLevel::ReadCommitted,
            read_only: false,
        }
    }
}

impl Settings {
    /// Those of a session that has just begun.
    pub(crate) fn of(session: &Session<'_>) -> Settings {
        let compression = session.compression();
        Settings { compression, default_compression: compression, ..Settings::default() }
    }

    /// Gives a setting a value, or its default.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        let default = Settings::default();
        match name {
            "default_transaction_isolation" => {
                self.default_isolation = match value {
                    Some(value) => level(name, value)?,
                    None => default.default_isolation,
                };
            }
            "default_transaction_read_only" => {
                self.default_read_only = value.map_or(Ok(false), |value| boolean(name, value))?;
            }
            "deadlock_timeout" => {
                self.deadlock_timeout = match value {
                    Some(value) => duration(name, value)?,
                    None => default.deadlock_timeout,
                };
            }
            "lock_timeout" => self.lock_timeout = limit(name, value)?,
            "statement_timeout" => self.statement_timeout = limit(name, value)?,
            "default_toast_compression" => {
                self.compression = match value {
                    None => self.default_compression,
                    Some(value) => {
                        let found = Compression::of_name(&value.to_ascii_lowercase());
                        let hint = "Available values: pglz, lz4.";
                        found.ok_or_else(|| invalid(name, value).hint(hint))?
                    }
                };
            }
            name => {
                let (name, _) = kept(name)?;
                match value {
                    Some(value) if name.starts_with("enable_") => {
                        let value = if boolean(name, value)? { "on" } else { "off" };
                        self.kept.insert(name, value.to_owned());
                    }
                    Some(value) => drop(self.kept.insert(name, value.to_owned())),
                    None => drop(self.kept.remove(name)),
                }
            }
        }
        Ok(())
    }

    /// Has a transaction of the session wait as long as they say.
    pub(crate) fn apply(&self, transaction: &mut Transaction<'_, '_>) {
        transaction.set_deadlock_timeout(self.deadlock_timeout);
        transaction.set_lock_timeout(self.lock_timeout);
        transaction.set_statement_timeout(self.statement_timeout);
        transaction.set_compression(self.compression);
    }

    /// Whether a setting that switches something is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.kept.get(name).is_none_or(|value| value == "on")
    }

    /// Whether the transaction that runs has one snapshot.
    pub(crate) fn keeps_snapshot(&self) -> bool {
        !matches!(self.isolation, IsolationLevel::ReadUncommitted | IsolationLevel::ReadCommitted)
    }

    /// A setting as it is shown.
    pub(crate) fn show(&self, name: &str) -> Result<String> {
        let name = name.to_lowercase();
        let on = |value: bool| if value { "on" } else { "off" }.to_owned();
        let limited = |limit: Option<Duration>| limit.map_or_else(|| "0".to_owned(), shown);
        Ok(match name.as_str() {
            "default_transaction_isolation" => self.default_isolation.name().to_owned(),
            "default_transaction_read_only" => on(self.default_read_only),
            "transaction_isolation" => self.isolation.name().to_owned(),
            "transaction_read_only" => on(self.read_only),
            "deadlock_timeout" => shown(self.deadlock_timeout),
            "lock_timeout" => limited(self.lock_timeout),
            "statement_timeout" => limited(self.statement_timeout),
            "default_toast_compression" => self.compression.name().to_owned(),
            name => {
                let (name, default) = kept(name)?;
                self.kept.get(name).map_or(default, String::as_str).to_owned()
            }
        })
    }
}

/// A setting that is kept, with its default.
fn kept(name: &str) -> Result<(&'static str, &'static str)> {
    let found = KEPT.into_iter().find(|(kept, _)| *kept == name);
    found.ok_or_else(|| {
        SqlError::new("42704", format!("unrecognized configuration parameter \"{name}\""))
    })
}

fn invalid(name: &str, value: &str) -> SqlError {
    SqlError::new("22023", format!("invalid value for parameter \"{name}\": \"{value}\""))
}

fn level(name: &str, value: &str) -> Result<IsolationLevel> {
    IsolationLevel::named(value).ok_or_else(|| invalid(name, value))
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(SqlError::new("22023", format!("parameter \"{name}\" requires a Boolean value"))),
    }
}

/// `100ms`, `10s`, `2min`, `1h`, `1d`; milliseconds without a unit.
fn duration(name: &str, value: &str) -> Result<Duration> {
    let value = value.trim();
    if let Some(digits) =
        value.strip_prefix('-').filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    {
        let message = format!(
            "-{digits} ms is outside the valid range for parameter \"{name}\" (0 .. 2147483647)"
        );
        return Err(SqlError::new("22023", message));
    }
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..end].parse().map_err(|_| invalid(name, value))?;
    let unit = match value[end..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(invalid(name, value)),
    };
    let millis = number.saturating_mul(unit);
    if millis > i32::MAX as u64 {
        let message = format!(
            "{millis} ms is outside the valid range for parameter \"{name}\" (0 .. 2147483647)"
        );
        return Err(SqlError::new("22023", message));
    }
    Ok(Duration::from_millis(millis))
}

fn limit(name: &str, value: Option<&str>) -> Result<Option<Duration>> {
    let Some(value) = value else { return Ok(None) };
    Ok(Some(duration(name, value)?).filter(|limit| !limit.is_zero()))
}

/// With the largest unit that is exact.
fn shown(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000_u128, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let unit = units.into_iter().find(|(size, _)| millis > 0 && millis.is_multiple_of(*size));
    match unit {
        Some((size, unit)) => format!("{}{unit}", millis / size),
        None => format!("{millis}ms"),
    }
}
