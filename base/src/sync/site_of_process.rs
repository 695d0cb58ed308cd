//! Which wrong order is followed: shuttle only.
//!
//! Invariant: it is chosen once for the process, before any schedule, or there is none.

use std::sync::OnceLock;

static FOLLOWED: OnceLock<String> = OnceLock::new();

/// Has this wrong order followed in everything that the process runs from here on.
///
/// # Panics
///
/// If one was chosen already.
pub fn alter(name: &str) {
    assert!(FOLLOWED.set(name.to_owned()).is_ok(), "one wrong order a process");
}

/// What [`variant!`](crate::variant) stands for.
pub fn variant(name: &'static str) -> bool {
    FOLLOWED.get().is_some_and(|followed| followed == name)
}
