//! See `checks::h2`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::checks::h2(bytes));
