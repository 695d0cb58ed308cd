//! `cargo xtask fuzz reader`: see `src/reader.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::reader::run(bytes));
