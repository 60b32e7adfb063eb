//! See `negotiation::accept_encoding`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::negotiation::accept_encoding(bytes));
