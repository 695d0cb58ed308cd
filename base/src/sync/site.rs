//! Which site of the lock-free code a model has weakened: loom only.
//!
//! Invariants: at most one site or variant is altered at a time, and for one model alone, since loom
//! runs every thread of a model on the thread that called it; and nothing is altered without a model
//! having asked for it. Which sites a model came by is written down, so that a name that nothing bears
//! any more is noticed instead of passing as a variant that was not caught.

use std::cell::RefCell;
use std::collections::BTreeSet;

use loom::sync::atomic::{self, Ordering};

#[derive(Default)]
struct Sites {
    altered: Option<&'static str>,
    seen: BTreeSet<&'static str>,
}

std::thread_local! {
    static SITES: RefCell<Sites> = RefCell::new(Sites::default());
}

/// Notes that the code came by, and tells whether this site is altered.
fn is_altered(site: &'static str) -> bool {
    SITES.with_borrow_mut(|sites| {
        sites.seen.insert(site);
        sites.altered == Some(site)
    })
}

/// Alters this site in what the calling thread runs from here on; `None` restores everything. Forgets
/// which sites were seen.
pub fn alter(site: Option<&'static str>) {
    SITES.with_borrow_mut(|sites| *sites = Sites { altered: site, seen: BTreeSet::new() });
}

/// The sites that the code came by since the last [`alter`].
pub fn seen() -> Vec<&'static str> {
    SITES.with_borrow(|sites| sites.seen.iter().copied().collect())
}

/// What [`ordering!`](crate::ordering) stands for.
pub fn ordering(site: &'static str, ordering: Ordering) -> Ordering {
    if is_altered(site) { Ordering::Relaxed } else { ordering }
}

/// What [`fence!`](crate::fence) stands for.
pub fn fence(site: &'static str, ordering: Ordering) {
    if !is_altered(site) {
        atomic::fence(ordering);
    }
}

/// What [`variant!`](crate::variant) stands for.
pub fn variant(name: &'static str) -> bool {
    is_altered(name)
}
