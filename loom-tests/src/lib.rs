//! The models of the lock-free parts, and randomized schedules of the same code under more threads.
//!
//! Under `--cfg loom` this crate is the models: a model is a function that loom runs again and again, once for each
//! order of its threads' steps and each value that a weak memory may give back. It stands in a table (`models::all`)
//! with the property that it shows and the sites that it must notice: for each of these it is run again with this one
//! site altered, and must fail. A process of its own for each run (`loom-models run NAME --alter SITE`), since a model
//! can fail by a panic in a panic.
//!
//! Otherwise it is the [`schedules`]: under `--cfg shuttle` by shuttle's schedulers, else by plain threads.
//!
//! `cargo xtask loom` builds each in a target directory of its own, as everything is compiled anew for it.
//!
//! Invariants: models and schedules run the crates' own code, never a copy; every site in the crates' sources is in
//! some model's list (`sites`), or in a schedule's where it is in what loom cannot explore (`by_schedules`).

mod by_schedules;
#[cfg(loom)]
mod model;
#[cfg(loom)]
pub mod models;
#[cfg(not(loom))]
pub mod schedules;
#[cfg(loom)]
pub mod sites;

#[cfg(loom)]
pub use model::{Explored, Model, explore};
