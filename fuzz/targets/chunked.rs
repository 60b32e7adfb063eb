//! See `checks::chunked`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::checks::chunked(bytes));
