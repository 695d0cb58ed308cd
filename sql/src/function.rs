//! Functions that give one value, by name and the types of their arguments.
//!
//! Invariant: a strict function is not called with a null. Sources: `pg_proc.dat` and the functions' own files.

use std::time::Duration;

use engine::{AdvisoryKey, AdvisoryMode, WaitPolicy};

use crate::error::{Notice, Result, SqlError};
use crate::exec::Exec;
use crate::numeric::Numeric;
use crate::types::{Datum, Type};

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) args: &'static [Type],
    pub(crate) result: Type,
    pub(crate) is_strict: bool,
    call: Call,
}

/// What is called.
enum Call {
    /// What depends on its arguments alone.
    Pure(fn(&[Datum]) -> Result<Datum>),
    /// What the session is asked for.
    Session(fn(&mut Exec<'_, '_, '_, '_>, &[Datum]) -> Result<Datum>),
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A function is itself.
impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Function {
    pub(crate) fn call(&self, exec: &mut Exec<'_, '_, '_, '_>, args: &[Datum]) -> Result<Datum> {
        match self.call {
            Call::Pure(call) => call(args),
            Call::Session(call) => call(exec, args),
        }
    }
}

const fn pure(
    name: &'static str,
    args: &'static [Type],
    result: Type,
    call: fn(&[Datum]) -> Result<Datum>,
) -> Function {
    Function { name, args, result, is_strict: true, call: Call::Pure(call) }
}

const fn session(
    name: &'static str,
    args: &'static [Type],
    result: Type,
    call: fn(&mut Exec<'_, '_, '_, '_>, &[Datum]) -> Result<Datum>,
) -> Function {
    Function { name, args, result, is_strict: true, call: Call::Session(call) }
}

/// All that there are.
pub(crate) fn all() -> &'static [Function] {
    FUNCTIONS
}

static FUNCTIONS: &[Function] = &[
    pure("abs", &[Type::Int4], Type::Int4, absolute),
    pure("abs", &[Type::Int8], Type::Int8, absolute),
    pure("abs", &[Type::Numeric], Type::Numeric, absolute),
    pure("abs", &[Type::Float8], Type::Float8, absolute),
    pure("round", &[Type::Numeric], Type::Numeric, |args| Ok(round(&args[0], 0))),
    pure("round", &[Type::Numeric, Type::Int4], Type::Numeric, |args| {
        Ok(round(&args[0], args[1].int().unwrap_or(0)))
    }),
    pure("mod", &[Type::Int4, Type::Int4], Type::Int4, |args| {
        crate::expr::arithmetic(crate::expr::Arithmetic::Remainder, Type::Int4, &args[0], &args[1])
    }),
    pure("lower", &[Type::Text], Type::Text, |args| {
        Ok(map_text(&args[0], |c| c.to_ascii_lowercase()))
    }),
    pure("upper", &[Type::Text], Type::Text, |args| {
        Ok(map_text(&args[0], |c| c.to_ascii_uppercase()))
    }),
    pure("length", &[Type::Text], Type::Int4, |args| Ok(length(&args[0]))),
    pure("char_length", &[Type::Text], Type::Int4, |args| Ok(length(&args[0]))),
    pure("btrim", &[Type::Text], Type::Text, |args| {
        Ok(trimmed(&args[0], |text| text.trim_matches(' ')))
    }),
    pure("rtrim", &[Type::Text], Type::Text, |args| {
        Ok(trimmed(&args[0], |text| text.trim_end_matches(' ')))
    }),
    pure("ltrim", &[Type::Text], Type::Text, |args| {
        Ok(trimmed(&args[0], |text| text.trim_start_matches(' ')))
    }),
    pure("repeat", &[Type::Text, Type::Int4], Type::Text, repeat),
    pure("replace", &[Type::Text, Type::Text, Type::Text], Type::Text, |args| match args {
        [Datum::Text(text), Datum::Text(from), Datum::Text(to)] if !from.is_empty() => {
            Ok(Datum::Text(text.replace(from, to)))
        }
        _ => Ok(args[0].clone()),
    }),
    pure("substr", &[Type::Text, Type::Int4], Type::Text, substring),
    pure("substr", &[Type::Text, Type::Int4, Type::Int4], Type::Text, substring),
    pure("substring", &[Type::Text, Type::Int4], Type::Text, substring),
    pure("substring", &[Type::Text, Type::Int4, Type::Int4], Type::Text, substring),
    pure("left", &[Type::Text, Type::Int4], Type::Text, |args| {
        substring(&[args[0].clone(), Datum::Int4(1), args[1].clone()])
    }),
    session("current_setting", &[Type::Text], Type::Text, |exec, args| {
        exec.setting(&args[0].text().unwrap_or_default()).map(Datum::Text)
    }),
    session("pg_backend_pid", &[], Type::Int4, |exec, _| Ok(Datum::Int4(exec.session_number()))),
    session("pg_sleep", &[Type::Float8], Type::Void, sleep),
    session("now", &[], Type::TimestampTz, |exec, _| {
        Ok(Datum::TimestampTz(exec.transaction_time()))
    }),
    session("transaction_timestamp", &[], Type::TimestampTz, |exec, _| {
        Ok(Datum::TimestampTz(exec.transaction_time()))
    }),
    session("txid_current", &[], Type::Int8, |exec, _| exec.current_xid()),
    session("pg_current_xact_id", &[], Type::Xid8, |exec, _| exec.current_xid()),
    session("pg_current_xact_id_if_assigned", &[], Type::Xid8, |exec, _| {
        Ok(exec.assigned_xid().map_or(Datum::Null, Datum::Int8))
    }),
    session("txid_current_if_assigned", &[], Type::Int8, |exec, _| {
        Ok(exec.assigned_xid().map_or(Datum::Null, Datum::Int8))
    }),
    session("pg_advisory_unlock_all", &[], Type::Void, |exec, _| {
        exec.transaction.advisory_unlock_all();
        Ok(Datum::Void)
    }),
    session("pg_advisory_lock", &[Type::Int8], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, true, WaitPolicy::Wait)
    }),
    session("pg_advisory_lock", &[Type::Int4, Type::Int4], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, true, WaitPolicy::Wait)
    }),
    session("pg_advisory_lock_shared", &[Type::Int8], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, true, WaitPolicy::Wait)
    }),
    session("pg_advisory_lock_shared", &[Type::Int4, Type::Int4], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, true, WaitPolicy::Wait)
    }),
    session("pg_advisory_xact_lock", &[Type::Int8], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, false, WaitPolicy::Wait)
    }),
    session("pg_advisory_xact_lock", &[Type::Int4, Type::Int4], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, false, WaitPolicy::Wait)
    }),
    session("pg_advisory_xact_lock_shared", &[Type::Int8], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, false, WaitPolicy::Wait)
    }),
    session("pg_advisory_xact_lock_shared", &[Type::Int4, Type::Int4], Type::Void, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, false, WaitPolicy::Wait)
    }),
    session("pg_try_advisory_lock", &[Type::Int8], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, true, WaitPolicy::NoWait)
    }),
    session("pg_try_advisory_lock", &[Type::Int4, Type::Int4], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, true, WaitPolicy::NoWait)
    }),
    session("pg_try_advisory_lock_shared", &[Type::Int8], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, true, WaitPolicy::NoWait)
    }),
    session("pg_try_advisory_lock_shared", &[Type::Int4, Type::Int4], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, true, WaitPolicy::NoWait)
    }),
    session("pg_try_advisory_xact_lock", &[Type::Int8], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, false, WaitPolicy::NoWait)
    }),
    session("pg_try_advisory_xact_lock", &[Type::Int4, Type::Int4], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Exclusive, false, WaitPolicy::NoWait)
    }),
    session("pg_try_advisory_xact_lock_shared", &[Type::Int8], Type::Bool, |exec, args| {
        advisory_lock(exec, args, AdvisoryMode::Shared, false, WaitPolicy::NoWait)
    }),
    session(
        "pg_try_advisory_xact_lock_shared",
        &[Type::Int4, Type::Int4],
        Type::Bool,
        |exec, args| advisory_lock(exec, args, AdvisoryMode::Shared, false, WaitPolicy::NoWait),
    ),
    session("pg_advisory_unlock", &[Type::Int8], Type::Bool, |exec, args| {
        Ok(advisory_unlock(exec, args, AdvisoryMode::Exclusive))
    }),
    session("pg_advisory_unlock", &[Type::Int4, Type::Int4], Type::Bool, |exec, args| {
        Ok(advisory_unlock(exec, args, AdvisoryMode::Exclusive))
    }),
    session("pg_advisory_unlock_shared", &[Type::Int8], Type::Bool, |exec, args| {
        Ok(advisory_unlock(exec, args, AdvisoryMode::Shared))
    }),
    session("pg_advisory_unlock_shared", &[Type::Int4, Type::Int4], Type::Bool, |exec, args| {
        Ok(advisory_unlock(exec, args, AdvisoryMode::Shared))
    }),
    pure("version", &[], Type::Text, |_| Ok(Datum::Text("PostgreSQL 15 (pgstrata)".to_owned()))),
    pure("current_database", &[], Type::Text, |_| Ok(Datum::Text("postgres".to_owned()))),
    pure("current_schema", &[], Type::Text, |_| Ok(Datum::Text("public".to_owned()))),
];

/// One key of 64 bits, or two of 32.
fn advisory_key(args: &[Datum]) -> AdvisoryKey {
    let int = |at: usize| args.get(at).and_then(Datum::int).unwrap_or(0);
    match args {
        [_, _] => AdvisoryKey::Two(int(0) as i32, int(1) as i32),
        _ => AdvisoryKey::One(int(0)),
    }
}

fn advisory_lock(
    exec: &mut Exec<'_, '_, '_, '_>,
    args: &[Datum],
    mode: AdvisoryMode,
    is_for_session: bool,
    policy: WaitPolicy,
) -> Result<Datum> {
    let key = advisory_key(args);
    let granted = if is_for_session {
        exec.transaction.advisory_lock_for_session(key, mode, policy)?
    } else {
        exec.transaction.advisory_lock(key, mode, policy)?
    };
    Ok(if policy == WaitPolicy::Wait { Datum::Void } else { Datum::Bool(granted) })
}

fn advisory_unlock(exec: &mut Exec<'_, '_, '_, '_>, args: &[Datum], mode: AdvisoryMode) -> Datum {
    let is_given_back = exec.transaction.advisory_unlock(advisory_key(args), mode);
    if !is_given_back {
        let kind = if mode == AdvisoryMode::Shared { "ShareLock" } else { "ExclusiveLock" };
        let message = format!("you don't own a lock of type {kind}");
        exec.state.notices.push(Notice { severity: "WARNING", code: "01000", message });
    }
    Datum::Bool(is_given_back)
}

fn absolute(args: &[Datum]) -> Result<Datum> {
    let out_of_range = |of: Type| SqlError::new("22003", format!("{} out of range", of.name()));
    Ok(match &args[0] {
        Datum::Int4(value) => {
            Datum::Int4(value.checked_abs().ok_or_else(|| out_of_range(Type::Int4))?)
        }
        Datum::Int8(value) => {
            Datum::Int8(value.checked_abs().ok_or_else(|| out_of_range(Type::Int8))?)
        }
        Datum::Float8(value) => Datum::Float8(value.abs()),
        Datum::Numeric(value) if *value < Numeric::zero() => Datum::Numeric(value.negate()),
        other => other.clone(),
    })
}

fn round(value: &Datum, scale: i64) -> Datum {
    match value {
        Datum::Numeric(value) => Datum::Numeric(value.round(scale)),
        other => other.clone(),
    }
}

fn map_text(value: &Datum, map: impl Fn(char) -> char) -> Datum {
    Datum::Text(value.text().unwrap_or_default().chars().map(map).collect())
}

fn trimmed(value: &Datum, trim: impl Fn(&str) -> &str) -> Datum {
    Datum::Text(trim(&value.text().unwrap_or_default()).to_owned())
}

fn length(value: &Datum) -> Datum {
    Datum::Int4(value.text().unwrap_or_default().chars().count() as i32)
}

fn repeat(args: &[Datum]) -> Result<Datum> {
    /// Bytes, as a field can have at most (`MaxAllocSize`).
    const LONGEST: usize = 0x3FFF_FFFF;
    let text = args[0].text().unwrap_or_default();
    let times = usize::try_from(args[1].int().unwrap_or(0)).unwrap_or(0);
    if text.len().saturating_mul(times) > LONGEST {
        return Err(SqlError::new("54000", "requested length too large"));
    }
    Ok(Datum::Text(text.repeat(times)))
}

/// From a character on, counted from 1, so many; what lies outside is left out.
fn substring(args: &[Datum]) -> Result<Datum> {
    let text = args[0].text().unwrap_or_default();
    let from = args[1].int().unwrap_or(1);
    let end = match args.get(2).and_then(Datum::int) {
        Some(length) if length < 0 => {
            return Err(SqlError::new("22011", "negative substring length not allowed"));
        }
        Some(length) => from.saturating_add(length),
        None => i64::MAX,
    };
    let inside = |(at, _): &(usize, char)| {
        let number = *at as i64 + 1;
        number >= from && number < end
    };
    Ok(Datum::Text(text.chars().enumerate().filter(inside).map(|(_, c)| c).collect()))
}

fn sleep(exec: &mut Exec<'_, '_, '_, '_>, args: &[Datum]) -> Result<Datum> {
    let Datum::Float8(seconds) = args[0] else { return Ok(Datum::Null) };
    let wanted = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    exec.transaction.sleep(wanted)?;
    Ok(Datum::Void)
}
