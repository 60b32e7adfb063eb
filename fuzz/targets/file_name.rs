//! See `negotiation::file_name`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::negotiation::file_name(bytes));
