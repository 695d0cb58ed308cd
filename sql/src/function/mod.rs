//! Functions that give one value, by name and the types of their arguments.
//!
//! Invariant: a strict function is not called with a null. Sources: `pg_proc.dat` and the functions' own files.

mod advisory;
mod number;
pub(crate) mod size;
pub(crate) mod snapshot;
mod text;

pub(crate) use text::quote_ident;

use std::time::Duration;

use crate::error::{Result, SqlError};
use crate::exec::Exec;
use crate::types::{Datum, Type};

/// A function.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) args: &'static [Type],
    pub(crate) result: Type,
    pub(crate) is_strict: bool,
    /// Takes any arguments, at least so many.
    pub(crate) least: Option<usize>,
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
    /// Whether it depends on its arguments alone.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self.call, Call::Pure(_))
    }

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
    Function { name, args, result, is_strict: true, least: None, call: Call::Pure(call) }
}

const fn session(
    name: &'static str,
    args: &'static [Type],
    result: Type,
    call: fn(&mut Exec<'_, '_, '_, '_>, &[Datum]) -> Result<Datum>,
) -> Function {
    Function { name, args, result, is_strict: true, least: None, call: Call::Session(call) }
}

/// One of any number of arguments, of any types; at least so many. It is called with nulls, too.
const fn variadic(
    name: &'static str,
    least: usize,
    result: Type,
    call: fn(&[Datum]) -> Result<Datum>,
) -> Function {
    let call = Call::Pure(call);
    Function { name, args: &[], result, is_strict: false, least: Some(least), call }
}

/// All of a name.
pub(crate) fn named(name: &str) -> impl Iterator<Item = &'static Function> {
    let all = [
        FUNCTIONS,
        advisory::FUNCTIONS,
        text::FUNCTIONS,
        number::FUNCTIONS,
        size::FUNCTIONS,
        snapshot::FUNCTIONS,
    ];
    all.into_iter().flatten().filter(move |function| function.name == name)
}

/// What gives a column of type `serial` its next number; no name that SQL can have.
pub(crate) const COUNT: &str = "next number";

static FUNCTIONS: &[Function] = &[
    session(COUNT, &[Type::Text, Type::Int4], Type::Int8, |exec, args| {
        let (name, at) = (args[0].text().unwrap_or_default(), args[1].int().unwrap_or(0) as usize);
        exec.count(&name, at)
    }),
    session("current_setting", &[Type::Text], Type::Text, |exec, args| {
        exec.setting(&args[0].text().unwrap_or_default()).map(Datum::Text)
    }),
    Function {
        is_strict: false,
        ..session("current_setting", &[Type::Text, Type::Bool], Type::Text, |exec, args| {
            let Some(name) = args[0].text() else { return Ok(Datum::Null) };
            match exec.setting(&name) {
                Err(_) if args[1].truth() == Some(true) => Ok(Datum::Null),
                found => found.map(Datum::Text),
            }
        })
    },
    session("set_config", &[Type::Text, Type::Text, Type::Bool], Type::Text, |exec, args| {
        if args[2].truth() == Some(true) {
            return Err(SqlError::not_supported("set_config for a transaction"));
        }
        let [name, value] = [0, 1].map(|at| args[at].text().unwrap_or_default());
        exec.state.settings.set(&name.to_lowercase(), Some(&value))?;
        exec.state.settings.apply(exec.transaction);
        exec.setting(&name).map(Datum::Text)
    }),
    session("pg_backend_pid", &[], Type::Int4, |exec, _| Ok(Datum::Int4(exec.session_number()))),
    session("pg_sleep", &[Type::Float8], Type::Void, sleep),
    session("now", &[], Type::TimestampTz, |exec, _| {
        Ok(Datum::TimestampTz(exec.transaction_time()))
    }),
    session("transaction_timestamp", &[], Type::TimestampTz, |exec, _| {
        Ok(Datum::TimestampTz(exec.transaction_time()))
    }),
    session("current_timestamp", &[], Type::TimestampTz, |exec, _| {
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
    pure("version", &[], Type::Text, |_| Ok(Datum::Text("PostgreSQL 15 (pgstrata)".to_owned()))),
    pure("current_database", &[], Type::Text, |_| Ok(Datum::Text("postgres".to_owned()))),
    pure("current_schema", &[], Type::Text, |_| Ok(Datum::Text("public".to_owned()))),
];

fn sleep(exec: &mut Exec<'_, '_, '_, '_>, args: &[Datum]) -> Result<Datum> {
    let Datum::Float8(seconds) = args[0] else { return Ok(Datum::Null) };
    let wanted = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    exec.transaction.sleep(wanted)?;
    Ok(Datum::Void)
}
