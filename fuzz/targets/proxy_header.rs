//! See `checks::proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::checks::proxy_header(bytes));
