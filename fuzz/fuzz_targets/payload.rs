//! `cargo xtask fuzz payload`: see `src/payload.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::payload::run(bytes));
