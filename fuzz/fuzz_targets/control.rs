//! `cargo xtask fuzz control`: see `src/control.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::control::run(bytes));
