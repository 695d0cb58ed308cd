//! Advisory locks, by one key of 64 bits or two of 32.
//!
//! Invariant: a lock for the session outlives its transaction, rolled back or not. Source: `lockfuncs.c`.

use engine::{AdvisoryKey, AdvisoryMode, WaitPolicy};

use super::{Function, session};
use crate::error::{Notice, Result};
use crate::exec::Exec;
use crate::types::{Datum, Type};

const ONE: &[Type] = &[Type::Int8];
const TWO: &[Type] = &[Type::Int4, Type::Int4];

const EXCLUSIVE: bool = false;
const SHARED: bool = true;
const SESSION: bool = true;
const TRANSACTION: bool = false;
const WAIT: bool = true;
const TRY: bool = false;

#[rustfmt::skip]
pub(super) static FUNCTIONS: &[Function] = &[
    session("pg_advisory_lock", ONE, Type::Void, lock::<EXCLUSIVE, SESSION, WAIT>),
    session("pg_advisory_lock", TWO, Type::Void, lock::<EXCLUSIVE, SESSION, WAIT>),
    session("pg_advisory_lock_shared", ONE, Type::Void, lock::<SHARED, SESSION, WAIT>),
    session("pg_advisory_lock_shared", TWO, Type::Void, lock::<SHARED, SESSION, WAIT>),
    session("pg_advisory_xact_lock", ONE, Type::Void, lock::<EXCLUSIVE, TRANSACTION, WAIT>),
    session("pg_advisory_xact_lock", TWO, Type::Void, lock::<EXCLUSIVE, TRANSACTION, WAIT>),
    session("pg_advisory_xact_lock_shared", ONE, Type::Void, lock::<SHARED, TRANSACTION, WAIT>),
    session("pg_advisory_xact_lock_shared", TWO, Type::Void, lock::<SHARED, TRANSACTION, WAIT>),
    session("pg_try_advisory_lock", ONE, Type::Bool, lock::<EXCLUSIVE, SESSION, TRY>),
    session("pg_try_advisory_lock", TWO, Type::Bool, lock::<EXCLUSIVE, SESSION, TRY>),
    session("pg_try_advisory_lock_shared", ONE, Type::Bool, lock::<SHARED, SESSION, TRY>),
    session("pg_try_advisory_lock_shared", TWO, Type::Bool, lock::<SHARED, SESSION, TRY>),
    session("pg_try_advisory_xact_lock", ONE, Type::Bool, lock::<EXCLUSIVE, TRANSACTION, TRY>),
    session("pg_try_advisory_xact_lock", TWO, Type::Bool, lock::<EXCLUSIVE, TRANSACTION, TRY>),
    session("pg_try_advisory_xact_lock_shared", ONE, Type::Bool, lock::<SHARED, TRANSACTION, TRY>),
    session("pg_try_advisory_xact_lock_shared", TWO, Type::Bool, lock::<SHARED, TRANSACTION, TRY>),
    session("pg_advisory_unlock", ONE, Type::Bool, unlock::<EXCLUSIVE>),
    session("pg_advisory_unlock", TWO, Type::Bool, unlock::<EXCLUSIVE>),
    session("pg_advisory_unlock_shared", ONE, Type::Bool, unlock::<SHARED>),
    session("pg_advisory_unlock_shared", TWO, Type::Bool, unlock::<SHARED>),
    session("pg_advisory_unlock_all", &[], Type::Void, unlock_all),
];

fn key(args: &[Datum]) -> AdvisoryKey {
    let int = |at: usize| args.get(at).and_then(Datum::int).unwrap_or(0);
    match args {
        [_, _] => AdvisoryKey::Two(int(0) as i32, int(1) as i32),
        _ => AdvisoryKey::One(int(0)),
    }
}

fn mode(is_shared: bool) -> AdvisoryMode {
    if is_shared { AdvisoryMode::Shared } else { AdvisoryMode::Exclusive }
}

fn lock<const IS_SHARED: bool, const IS_FOR_SESSION: bool, const WAITS: bool>(
    exec: &mut Exec<'_, '_, '_, '_>,
    args: &[Datum],
) -> Result<Datum> {
    let (key, mode) = (key(args), mode(IS_SHARED));
    let policy = if WAITS { WaitPolicy::Wait } else { WaitPolicy::NoWait };
    let granted = if IS_FOR_SESSION {
        exec.transaction.advisory_lock_for_session(key, mode, policy)?
    } else {
        exec.transaction.advisory_lock(key, mode, policy)?
    };
    Ok(if WAITS { Datum::Void } else { Datum::Bool(granted) })
}

fn unlock<const IS_SHARED: bool>(exec: &mut Exec<'_, '_, '_, '_>, args: &[Datum]) -> Result<Datum> {
    let is_given_back = exec.transaction.advisory_unlock(key(args), mode(IS_SHARED));
    if !is_given_back {
        let kind = if IS_SHARED { "ShareLock" } else { "ExclusiveLock" };
        let message = format!("you don't own a lock of type {kind}");
        exec.state.tell(Notice::new("WARNING", "01000", message));
    }
    Ok(Datum::Bool(is_given_back))
}

fn unlock_all(exec: &mut Exec<'_, '_, '_, '_>, _: &[Datum]) -> Result<Datum> {
    exec.transaction.advisory_unlock_all();
    Ok(Datum::Void)
}
