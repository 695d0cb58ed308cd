//! The one door to threads, locks and atomics: the standard library's, loom's under `--cfg loom`, or shuttle's
//! under `--cfg shuttle`.
//!
//! Invariants:
//!
//! - No other module of pgstrata names `std::sync` or `std::thread` for what it shares between threads,
//!   so that a model checker's versions can be put in their place here.
//! - An ordering in lock-free code stands in [`ordering!`](crate::ordering) with the name of its site, a
//!   fence in [`fence!`](crate::fence), a wrong order that a model must notice in
//!   [`variant!`](crate::variant). Outside of loom each of the three is a constant: no code is made
//!   for it. Under loom a model can weaken one site at a time (`site`) and show that it notices.
//!   `Relaxed` has nothing to weaken and needs no site. Shuttle knows one order of memory alone, so that
//!   under it wrong orders can be followed and no ordering weakened.
//! - A payload that such an ordering publishes lives in [`UnsafeCell`], in which loom sees an access
//!   that no edge orders.

pub mod semaphore;
#[cfg(loom)]
pub mod site;
#[cfg(shuttle)]
#[path = "sync/site_of_process.rs"]
pub mod site;

#[cfg(not(loom))]
mod cell;

#[cfg(not(any(loom, shuttle)))]
pub use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic,
};
#[cfg(not(any(loom, shuttle)))]
pub use std::thread;

#[cfg(shuttle)]
pub use shuttle::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak, atomic,
};
#[cfg(shuttle)]
pub use shuttle::thread;

#[cfg(loom)]
pub use loom::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic,
};
#[cfg(loom)]
pub use loom::thread;

#[cfg(not(loom))]
pub use cell::UnsafeCell;
#[cfg(loom)]
pub use loom::cell::UnsafeCell;

pub use semaphore::Semaphore;
pub use std::sync::{PoisonError, TryLockError};

/// The ordering of an atomic access in lock-free code: `ordering!("area.site", Release)`.
///
/// The ordering itself; under loom `Relaxed` instead where a model has weakened the site.
#[cfg(not(loom))]
#[macro_export]
macro_rules! ordering {
    ($site:literal, $ordering:ident) => {
        $crate::sync::atomic::Ordering::$ordering
    };
}

/// The ordering of an atomic access in lock-free code: `ordering!("area.site", Release)`.
#[cfg(loom)]
#[macro_export]
macro_rules! ordering {
    ($site:literal, $ordering:ident) => {
        $crate::sync::site::ordering($site, $crate::sync::atomic::Ordering::$ordering)
    };
}

/// A fence with the name of its site: `fence!("area.site", SeqCst)`. Under loom no fence at all where a
/// model has weakened the site.
#[cfg(not(loom))]
#[macro_export]
macro_rules! fence {
    ($site:literal, $ordering:ident) => {
        $crate::sync::atomic::fence($crate::sync::atomic::Ordering::$ordering)
    };
}

/// A fence with the name of its site: `fence!("area.site", SeqCst)`.
#[cfg(loom)]
#[macro_export]
macro_rules! fence {
    ($site:literal, $ordering:ident) => {
        $crate::sync::site::fence($site, $crate::sync::atomic::Ordering::$ordering)
    };
}

/// Whether the wrong order of this name is to be followed: `false`, a constant; under loom and shuttle `true`
/// where a model has asked for it.
#[cfg(not(any(loom, shuttle)))]
#[macro_export]
macro_rules! variant {
    ($name:literal) => {
        false
    };
}

/// Whether the wrong order of this name is to be followed.
#[cfg(any(loom, shuttle))]
#[macro_export]
macro_rules! variant {
    ($name:literal) => {
        $crate::sync::site::variant($name)
    };
}
