//! See `checks::head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::checks::head(bytes));
