//! `cargo xtask fuzz source`: see `src/source.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::source::run(bytes));
