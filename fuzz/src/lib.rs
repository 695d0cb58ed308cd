//! Bodies of the fuzz targets: each is a function of some bytes that must not panic, whatever they are.
//!
//! The targets in `fuzz_targets/` hand them to libFuzzer; `tests/replay.rs` runs them over the seeds, the
//! inputs of every crash that was found among them. `docs/testing.md` tells how to run them.

pub mod control;
pub mod input;
pub mod payload;
pub mod reader;
pub mod source;

#[path = "../../wal/tests/it/exercise.rs"]
mod exercise;
#[path = "../../wal/tests/it/synthetic.rs"]
mod synthetic;

/// A target's body.
pub type Body = fn(&[u8]);

/// The targets, by name.
pub const TARGETS: [(&str, Body); 4] = [
    ("reader", reader::run),
    ("payload", payload::run),
    ("control", control::run),
    ("source", source::run),
];
