//! See `checks::connection`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::checks::connection(bytes));
